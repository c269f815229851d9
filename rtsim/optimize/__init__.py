"""From dose to plan: objectives, hard limits and the solver; fluence, segments, weights; plans whose delivered dose
holds.

    fluence = rt.optimize.fluence(influence, phantom, prescription, protocol)
    plan    = rt.optimize.sequence(fluence, machine)

or, in one call and with the hard limits certified in the forward dose of what is delivered:

    planned = rt.optimize.plan_stereotactic(phantom, prescription, protocol, machine, engine=engine)
"""

from rtsim.optimize.constraints import Constraint, MaximumDose, MaximumDoseAtVolume, MaximumMean, MinimumDose
from rtsim.optimize.conventional import ConventionalSettings, FieldArrangement, plan_conventional
from rtsim.optimize.decomposition import Decomposition, decompose, least_beam_on_time
from rtsim.optimize.find import find_structure
from rtsim.optimize.fluence import FluencePlan, fluence
from rtsim.optimize.objectives import (
    Falloff,
    GEud,
    MeanDose,
    Objective,
    Region,
    SquaredDeviation,
    SquaredOverdose,
    SquaredUnderdose,
)
from rtsim.optimize.plan import Certificate, Plan, Planned
from rtsim.optimize.rows import Sampling
from rtsim.optimize.segment_weights import sequence
from rtsim.optimize.sequencing import StepAndShoot, sequence_beams
from rtsim.optimize.solver import AugmentedLagrangian, Problem, Solution, StopOptimization
from rtsim.optimize.stereotactic import StereotacticSettings, plan_stereotactic
from rtsim.optimize.wishes import Weights

__all__ = [
    "AugmentedLagrangian",
    "Certificate",
    "Constraint",
    "ConventionalSettings",
    "Decomposition",
    "Falloff",
    "FieldArrangement",
    "FluencePlan",
    "GEud",
    "MaximumDose",
    "MaximumDoseAtVolume",
    "MaximumMean",
    "MeanDose",
    "MinimumDose",
    "Objective",
    "Plan",
    "Planned",
    "Problem",
    "Region",
    "Sampling",
    "Solution",
    "SquaredDeviation",
    "SquaredOverdose",
    "SquaredUnderdose",
    "StepAndShoot",
    "StereotacticSettings",
    "StopOptimization",
    "Weights",
    "decompose",
    "find_structure",
    "fluence",
    "least_beam_on_time",
    "plan_conventional",
    "plan_stereotactic",
    "sequence",
    "sequence_beams",
]

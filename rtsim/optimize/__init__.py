"""From dose to plan: objectives, hard limits and the solver; fluence, segments, weights; plans whose delivered dose
holds.

    fluence = rt.optimize.fluence(influence, phantom, prescription, protocol)
    plan    = rt.optimize.sequence(fluence, machine)

or, in one call and with the hard limits certified in the forward dose of what is delivered:

    planned = rt.optimize.plan_stereotactic(phantom, prescription, protocol, machine, engine=engine)
"""

from rtsim.optimize.apertures import DirectAperture, Improvement, optimize_apertures
from rtsim.optimize.arcs import Arcs
from rtsim.optimize.constraints import (
    Constraint,
    MaximumDose,
    MaximumDoseAtVolume,
    MaximumGEud,
    MaximumMean,
    MinimumDose,
    MinimumGEud,
    MinimumMean,
)
from rtsim.optimize.constraints_volume import DoseOutsideVolume, MinimumDoseAtVolume
from rtsim.optimize.conventional import (
    ConventionalSettings,
    FieldArrangement,
    PrescribedTo,
    emergency,
    plan_conventional,
)
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
    Uniformity,
)
from rtsim.optimize.objectives_biology import (
    Complication,
    MeanEqd2,
    Response,
    SquaredOverEqd2,
    SquaredUnderEqd2,
    TumorControl,
)
from rtsim.optimize.plan import Certificate, Plan, Planned, PositionsHeld
from rtsim.optimize.robust import Displacement, Scenarios
from rtsim.optimize.rows import Sampling
from rtsim.optimize.sequencing import StepAndShoot, sequence, sequence_beams
from rtsim.optimize.sliding_window import SlidingWindow
from rtsim.optimize.sliding_window_beam import SweepSettings
from rtsim.optimize.solver import AugmentedLagrangian, Problem, Solution, StopOptimization
from rtsim.optimize.stereotactic import StereotacticSettings, plan_stereotactic
from rtsim.optimize.tradeoff import Tradeoff, tradeoff
from rtsim.optimize.wishes import GoalWeight, Weights

__all__ = [
    "Arcs",
    "AugmentedLagrangian",
    "Certificate",
    "Complication",
    "Constraint",
    "ConventionalSettings",
    "Decomposition",
    "DirectAperture",
    "Displacement",
    "DoseOutsideVolume",
    "Falloff",
    "FieldArrangement",
    "FluencePlan",
    "GEud",
    "GoalWeight",
    "Improvement",
    "MaximumDose",
    "MaximumDoseAtVolume",
    "MaximumGEud",
    "MaximumMean",
    "MeanDose",
    "MeanEqd2",
    "MinimumDose",
    "MinimumDoseAtVolume",
    "MinimumGEud",
    "MinimumMean",
    "Objective",
    "Plan",
    "Planned",
    "PositionsHeld",
    "PrescribedTo",
    "Problem",
    "Region",
    "Response",
    "Sampling",
    "Scenarios",
    "SlidingWindow",
    "Solution",
    "SquaredDeviation",
    "SquaredOverEqd2",
    "SquaredOverdose",
    "SquaredUnderEqd2",
    "SquaredUnderdose",
    "StepAndShoot",
    "StereotacticSettings",
    "StopOptimization",
    "SweepSettings",
    "Tradeoff",
    "TumorControl",
    "Uniformity",
    "Weights",
    "decompose",
    "emergency",
    "find_structure",
    "fluence",
    "least_beam_on_time",
    "optimize_apertures",
    "plan_conventional",
    "plan_stereotactic",
    "sequence",
    "sequence_beams",
    "tradeoff",
]

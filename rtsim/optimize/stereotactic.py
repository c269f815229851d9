"""Stereotactic plans: from a phantom and a protocol to beams whose delivered dose holds the hard limits.

Beamlets -> influence -> fluence -> a draft of the delivery -> forward dose of what is delivered, in a few rounds
(:mod:`rtsim.optimize.rounds`), the same for every technique of delivery. In the end all monitor units are scaled, which
scales the forward dose exactly: to the wanted coverage, or to the limit, whichever is lower. So the limit holds, and
the certificates say which coverage that left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rtsim.beams.model import Beam
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.dose.engine import Engine
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.machine.model import Machine
from rtsim.optimize.candidate import Candidate
from rtsim.optimize.delivered import Reader, Reading, certify
from rtsim.optimize.delivery import Delivery
from rtsim.optimize.fluence import FLUENCE_SOLVER, FluencePlan, optimize_fluence, prepare
from rtsim.optimize.interruptible import Interruptible
from rtsim.optimize.plan import Plan, Planned
from rtsim.optimize.rounds import Bench, Rounds
from rtsim.optimize.rows import Sampling
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.optimize.thin_draft import SegmentDelivery
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.optimize.wishes import Weights
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Goal, Prescription, Protocol
from rtsim.typing import Progress

INFLUENCE_DONE, FLUENCE_DONE = 0.4, 0.6
"""Shares of the progress bar: until the influence matrix, and until the fluence, is done."""


@dataclass(frozen=True, kw_only=True)
class StereotacticSettings:
    """How a stereotactic plan is made.

    Attributes:
        weights: of the objectives; default: those that suit the goals, a uniform target or a steep fall-off.
        fluence_solver: settings of the solver of the fluence; those of what follows are the delivery's.
        sampling: which voxels the optimizer sees, with its seed.
        rounds: forward doses of the delivered plan at most, each followed by a correction; from the second on the
            first that covers as wanted ends it.
    """

    weights: Weights | None = None
    fluence_solver: AugmentedLagrangian = FLUENCE_SOLVER
    sampling: Sampling = field(default_factory=Sampling)
    rounds: int = 3

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"rounds is {self.rounds}; at least one forward dose of what is delivered is needed")


def plan_stereotactic(
    phantom: Phantom,
    prescription: Prescription,
    protocol: Protocol,
    machine: Machine,
    *,
    engine: Engine,
    planning_engine: Engine | None = None,
    delivery: Delivery | None = None,
    beams: Sequence[Beam] | None = None,
    settings: StereotacticSettings | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Plan with the protocol's hard limits held in the delivered dose.

    Args:
        engine: gives the forward doses of what is delivered, which are what is certified.
        planning_engine: gives the influence matrix; default ``engine``. A coarser grid is faster, and the forward doses
            correct what it misses.
        delivery: the technique; default: step and shoot.
        beams: with beamlets; default: those of the delivery, for step and shoot nine posterior beams at gantry 100,
            120, ..., 260 on the target's centroid.
        seed: of the sampled voxels, instead of the one in ``settings.sampling``.
        progress: raise ``StopOptimization`` from it to take the best plan so far, with its certificates. (While the
            influence matrix is made there is none yet: the exception then passes on.)

    Raises:
        InfeasiblePlanError: goals contradict each other or no plan can hold the limits.
        MachineLimitError: the machine cannot deliver it.
    """
    chosen, technique, bar = settings or StereotacticSettings(), delivery or SegmentDelivery(), Interruptible(progress)
    sampling = chosen.sampling if seed is None else replace(chosen.sampling, seed=seed)
    phantom, made = with_target_and_prv(phantom, prescription, protocol)
    target = phantom.structures[prescription.target]
    laid = technique.planning_beams(machine, target) if beams is None else tuple(beams)
    influence = (planning_engine or engine).influence(phantom, laid, progress=bar.part(0.0, INFLUENCE_DONE))
    planning = prepare(influence, phantom, prescription, protocol, weights=chosen.weights, sampling=sampling)
    plan = optimize_fluence(planning, solver=chosen.fluence_solver, progress=bar.part(INFLUENCE_DONE, FLUENCE_DONE))
    draft = technique.draft(plan, machine, progress=bar.calm(FLUENCE_DONE, FLUENCE_DONE))
    limits = planning.wishes.limits
    bench = Bench(
        phantom=phantom,
        planning=planning,
        engine=engine,
        reader=Reader(target, limits, prescription),
        limits=limits,
        rounds=chosen.rounds,
    )
    rounds = Rounds(bench, bar, (FLUENCE_DONE, 1.0))
    best = rounds.run(draft)
    return _finish(best, bench, plan, (*made, *plan.notes, *rounds.notes), protocol.goals_for(prescription))


def _finish(
    best: Candidate, bench: Bench, plan: FluencePlan, notes: tuple[str, ...], goals: tuple[Goal, ...]
) -> Planned:
    prescription = plan.prescription
    beams = tuple(b.scaled(best.factor) for b in best.beams)
    for beam in beams:
        check_monitor_units(beam)
    dose = best.dose.scaled(best.factor)
    _check_limits(bench, bench.reader.read(dose))
    certificates, unchecked = certify(goals, bench.phantom, prescription, dose)
    covers = best.coverage_percent >= prescription.coverage_percent - 0.1
    units = sum(b.monitor_units for b in beams)
    scaled = (
        f"All monitor units were scaled by {best.factor:.4f} to the {'wanted coverage' if covers else 'hard limit'}; "
        f"{best.draft.segments} segments, {units:.0f} MU per fraction, "
        f"{units / prescription.dose_per_fraction_gy:.0f} MU/Gy."
    )
    result = Plan(
        beams=beams,
        prescription=prescription,
        certificates=certificates,
        not_checked=unchecked,
        notes=(*notes, scaled, *unchecked),
        label=f"stereotactic {prescription.dose_gy:g} Gy/{prescription.fractions}",
    )
    return Planned(plan=result, dose=dose, phantom=bench.phantom, fluence=plan)


def _check_limits(bench: Bench, reading: Reading) -> None:
    broken = [
        f"{limit.describe()} (got {reached:.2f} Gy)."
        for limit, reached in zip(bench.limits, reading.reached_gy, strict=True)
        if reached > limit.limit_gy
    ]
    if broken or not reading.coverage_dose_gy > 0:
        raise InfeasiblePlanError(
            f"the hard limits could not be held: {' '.join(broken)} Raise the limit, lower the prescription or choose "
            "other beams"
        )

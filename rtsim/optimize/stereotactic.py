"""Stereotactic plans: from a phantom and a protocol to beams whose delivered dose holds the hard limits.

Beamlets -> influence -> fluence -> a draft of the delivery -> forward dose of what is delivered, in a few rounds
(:mod:`rtsim.optimize.rounds`), the same for every technique of delivery. In the end all monitor units are scaled, which
scales the forward dose exactly: to the wanted coverage, or to the limit, whichever is lower. So the limit holds, and
the certificates say which coverage that left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from rtsim.beams.model import Beam
from rtsim.dose.engine import Engine
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.machine.model import Machine
from rtsim.optimize.arguments import check_stereotactic
from rtsim.optimize.confirmed import confirm
from rtsim.optimize.constraints import Constraint
from rtsim.optimize.delivery import Delivery
from rtsim.optimize.finished import finished
from rtsim.optimize.fluence import FLUENCE_SOLVER, optimize_fluence, prepare
from rtsim.optimize.goals import DoseVolumeLimit, sort_goals
from rtsim.optimize.interruptible import Interruptible
from rtsim.optimize.objectives import Objective
from rtsim.optimize.plan import Planned
from rtsim.optimize.robust.positions import UNCONFIRMED, PositionsReader
from rtsim.optimize.robust.promises import promises_of
from rtsim.optimize.robust.scenarios import Scenarios
from rtsim.optimize.rounds import Bench, Rounds
from rtsim.optimize.rows import Sampling
from rtsim.optimize.sequencing import StepAndShoot
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.optimize.wishes import Weights
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription, Protocol
from rtsim.typing import Progress

INFLUENCE_DONE, FLUENCE_DONE, ROUNDS_DONE = 0.4, 0.6, 0.9
"""Shares of the progress bar: until the influence matrix, the fluence, and the rounds are done."""


@dataclass(frozen=True, kw_only=True)
class StereotacticSettings:
    """How a stereotactic plan is made.

    Attributes:
        weights: of the objectives; default: those that suit the goals, a uniform target or a steep fall-off.
        fluence_solver: settings of the solver of the fluence; those of what follows are the delivery's.
        sampling: which voxels the optimizer sees, with its seed.
        rounds: forward doses of the delivered plan at most, each followed by a correction. From the second on it ends
            with a plan that covers as wanted, unless the last one is better but for a little coverage.
        objectives, constraints: beside those of the protocol. The upper limits among the constraints hold in the
            delivered dose as planned, not in displaced positions; the plan's notes say so of each.
    """

    weights: Weights | None = None
    fluence_solver: AugmentedLagrangian = FLUENCE_SOLVER
    sampling: Sampling = field(default_factory=Sampling)
    rounds: int = 3
    objectives: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()

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
    scenarios: Scenarios | None = None,
    beams: Sequence[Beam] | None = None,
    settings: StereotacticSettings | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Plan with the protocol's hard limits held in the delivered dose, those of the cord in stated positions.

    Args:
        engine: gives the forward doses of what is delivered, which are what is certified.
        planning_engine: gives the influence matrix; default ``engine``. A coarser grid is faster, and the forward doses
            correct what it misses.
        delivery: the technique; default: step and shoot.
        scenarios: where the patient may lie; the hard limits of the cord hold in all these positions. Default: +-1 mm
            along or +-1 degree about each axis, one displacement at a time (``Scenarios(combined=True)``: all at once,
            too); ``Scenarios.nominal_only()`` for none.
        beams: with beamlets, about the target's centroid; default: ``delivery.planning_beams(machine, target)``.
        seed: of the sampled voxels, instead of the one in ``settings.sampling``.
        progress: raise ``StopOptimization`` from it to take the best plan so far, with its certificates. (While the
            influence matrix is made there is none yet: the exception then passes on.)

    Raises:
        InfeasiblePlanError: goals contradict each other or no plan can hold the limits.
        MachineLimitError: the machine cannot deliver it.
    """
    check_stereotactic(engine, planning_engine, delivery, scenarios)
    chosen, technique, bar = settings or StereotacticSettings(), delivery or StepAndShoot(), Interruptible(progress)
    uncertain = scenarios or Scenarios()
    sampling = chosen.sampling if seed is None else replace(chosen.sampling, seed=seed)
    phantom, made = with_target_and_prv(phantom, prescription, protocol)
    target = phantom.structures[prescription.target]
    laid = technique.planning_beams(machine, target) if beams is None else tuple(beams)
    reader = _reader(phantom, prescription, protocol, uncertain, laid)
    influence = (planning_engine or engine).influence(phantom, laid, progress=bar.part(0.0, INFLUENCE_DONE))
    planning = prepare(
        influence,
        phantom,
        prescription,
        protocol,
        weights=chosen.weights,
        sampling=sampling,
        displaced={p.limit.structure.name: reader.displacements for p in reader.promises if p.everywhere},
        objectives=chosen.objectives,
        constraints=chosen.constraints,
    )
    with _naming(reader.limits):
        part = bar.part(INFLUENCE_DONE, FLUENCE_DONE, "fluence")
        plan = optimize_fluence(planning, solver=chosen.fluence_solver, progress=part)
        draft = technique.draft(plan, machine, progress=bar.calm(FLUENCE_DONE, FLUENCE_DONE))
    bench = Bench(
        phantom=phantom, planning=planning, engine=engine, rounds=chosen.rounds, recomputed=uncertain.recomputed
    )
    rounds = Rounds(bench, reader, bar, (FLUENCE_DONE, ROUNDS_DONE))
    best = confirm(rounds, bench, rounds.run(draft), bar, (ROUNDS_DONE, 1.0))
    last, factor = best.candidate, best.candidate.factor
    own = planning.wishes.own_states(factor * last.rows_gy.sum(axis=1), last.dose.scaled(factor))
    notes = (*made, *plan.notes, *rounds.notes, *own)
    levels = rounds.levels_at_limits(last)
    return finished(best, bench, rounds.reader, uncertain, protocol.goals_for(prescription), plan, notes, levels)


@contextmanager
def _naming(limits: tuple[DoseVolumeLimit, ...]) -> Iterator[None]:
    """An infeasible plan is told with the limits that leave none."""
    try:
        yield
    except InfeasiblePlanError as error:
        held = "; ".join(limit.describe() for limit in limits) or "none"
        raise InfeasiblePlanError(f"{error}. Hard limits: {held}") from error


def _reader(
    phantom: Phantom, prescription: Prescription, protocol: Protocol, scenarios: Scenarios, beams: tuple[Beam, ...]
) -> PositionsReader:
    """What is promised, and in which positions; rotations are about the isocenter of the first beam."""
    if not beams:
        raise InputError("no beams are given; at least one with beamlets is needed")
    goals = sort_goals(protocol.goals_for(prescription), prescription, phantom)
    promises = promises_of(goals.hard, phantom, prescription, scenarios)
    return PositionsReader(
        target=phantom.structures[prescription.target],
        prescription=prescription,
        promises=promises,
        displacements=scenarios.displacements(beams[0].isocenter_mm),
        margins=() if scenarios.recomputed else (UNCONFIRMED,) * len(promises),
    )

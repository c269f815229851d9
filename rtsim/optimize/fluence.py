"""Fluence optimization: how long each beamlet should be open. A wish, which sequencing makes deliverable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.optimize.beam_on_time import LeafRows, MaximumMonitorUnits, WeightLimit
from rtsim.optimize.constraints import Constraint, is_upper
from rtsim.optimize.contradictions import check_goals, check_reach
from rtsim.optimize.goals import SortedGoals, sort_goals
from rtsim.optimize.leaves import BeamletMap
from rtsim.optimize.objectives import Objective
from rtsim.optimize.own_wishes import OwnWishes
from rtsim.optimize.robust.scenarios import Displacement
from rtsim.optimize.rows import Rows, Sampling, build_rows
from rtsim.optimize.solver import AugmentedLagrangian, Problem, Solution
from rtsim.optimize.stages import in_two_stages
from rtsim.optimize.wishes import Weights, Wishes, default_wishes, suited_weights
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Goal, Prescription, Protocol
from rtsim.typing import FloatArray, Progress

FLUENCE_SOLVER = AugmentedLagrangian(max_iterations=240, tolerance=1e-3, inner_iterations=40)
"""Default solver of a fluence: the sequencer rounds more away than a finer tolerance would gain."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Planning:
    """What one plan is optimized for, shared by fluence and segment weights: rows, matrix and wishes.

    Attributes:
        matrix: (rows, beamlets) float32, Gy of all fractions per monitor unit; ``adjoint`` its transpose, also by rows.
    """

    prescription: Prescription
    goals: SortedGoals
    rows: Rows
    matrix: sparse.csr_array
    adjoint: sparse.csr_array
    wishes: Wishes
    weights: Weights
    influence: Influence

    def __repr__(self) -> str:
        return f"Planning({self.prescription}, {self.matrix.shape[0]} rows, {self.influence!r})"

    own: OwnWishes

    def with_weights(self, weights: Weights) -> Planning:
        """The same with other weights of the protocol's objectives."""
        wishes = default_wishes(self.goals, self.prescription, self.rows, weights).with_own(self.own)
        return replace(self, weights=weights, wishes=wishes)


@dataclass(frozen=True, eq=False, kw_only=True)
class FluencePlan:
    """Optimized beamlets.

    Attributes:
        beams: with ``beamlet_monitor_units`` (of one fraction).
        prescription: what was asked for.
        dose: of the influence matrix; an approximation of what an engine's ``forward`` gives.
        solution: of the solver, with the history of (objective, worst constraint).
        planning: rows, matrix and wishes, for what follows.
        notes: objectives and weights, in sentences.
    """

    beams: tuple[Beam, ...]
    prescription: Prescription
    dose: Dose
    solution: Solution
    planning: Planning
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"FluencePlan({self.prescription}, {len(self.beams)} beams, {self.solution!r}, {self.dose!r})"


def goals_of(wanted: Protocol | tuple[Goal, ...], prescription: Prescription) -> tuple[Goal, ...]:
    """The goals that hold at this prescription."""
    if isinstance(wanted, Protocol):
        return wanted.goals_for(prescription)
    return tuple(g for g in wanted if g.applies_to(prescription))


def prepare(
    influence: Influence,
    phantom: Phantom,
    prescription: Prescription,
    wanted: Protocol | tuple[Goal, ...],
    *,
    weights: Weights | None = None,
    sampling: Sampling | None = None,
    displaced: Mapping[str, tuple[Displacement, ...]] | None = None,
    objectives: tuple[Objective, ...] = (),
    constraints: tuple[Constraint, ...] = (),
) -> Planning:
    """Sort the goals, choose the rows and cut the matrix down to them.

    Args:
        displaced: by name of a hard-limited structure the positions in which its limit is to hold.
        objectives, constraints: beside those of the protocol, on structures of the phantom; the unit of a weight is 1
            per Gy^2 of the objective.

    Raises:
        InputError: an objective or limit is about a structure that is not drawn.
        InfeasiblePlanError: goals contradict each other, or no beamlet reaches the target.
        MachineLimitError: all monitor units of the machine do not suffice for the prescription.
    """
    target = phantom.structures[prescription.target]
    own = OwnWishes.of(objectives, constraints, phantom, prescription)
    goals = sort_goals(goals_of(wanted, prescription), prescription, phantom)
    check_goals(goals, prescription, phantom, influence.grid)
    organs = {limit.structure.name: limit.structure for limit in (*goals.sought, *goals.hard)}
    organs |= {structure.name: structure for structure, _, _ in goals.target_doses}
    organs |= own.organs
    limited = {limit.structure.name: limit.structure for limit in goals.hard} | own.limited
    rows = build_rows(
        phantom,
        influence.grid,
        target,
        tuple(organs.values()),
        tuple(limited.values()),
        sampling or Sampling(),
        displaced,
    )
    matrix = rows.matrix_of(influence, prescription.fractions)
    _check_reach(matrix, rows, target)
    _check_machine(influence, matrix, rows, prescription)
    chosen = weights or suited_weights(goals, prescription)
    return Planning(
        prescription=prescription,
        goals=goals,
        rows=rows,
        matrix=matrix,
        weights=chosen,
        influence=influence,
        adjoint=sparse.csr_array(matrix.T),
        wishes=default_wishes(goals, prescription, rows, chosen).with_own(own),
        own=own,
    )


def fluence(
    influence: Influence,
    phantom: Phantom,
    prescription: Prescription,
    wanted: Protocol | tuple[Goal, ...],
    *,
    solver: AugmentedLagrangian | None = None,
    weights: Weights | None = None,
    sampling: Sampling | None = None,
    dose_offset: Dose | None = None,
    objectives: tuple[Objective, ...] = (),
    constraints: tuple[Constraint, ...] = (),
    progress: Progress | None = None,
) -> FluencePlan:
    """Optimize the beamlet monitor units for the goals of a protocol, hard limits held.

    Args:
        influence: of beams with beamlets.
        wanted: a protocol, or goals.
        dose_offset: dose of all fractions that is given anyway (another course, a correction).
        objectives, constraints: beside those of the protocol, e.g. ``GEud(structure="esophagus", a=8, dose_gy=6,
            weight=20)``.
        progress: gets the objective and the worst constraint; raise ``StopOptimization`` from it to take the best so
            far.

    Raises:
        InfeasiblePlanError: goals contradict each other, no beamlet reaches the target, or hard limits fail at any
            fluence.
    """
    planning = prepare(
        influence,
        phantom,
        prescription,
        wanted,
        weights=weights,
        sampling=sampling,
        objectives=objectives,
        constraints=constraints,
    )
    return optimize_fluence(planning, solver=solver, dose_offset=dose_offset, progress=progress)


def optimize_fluence(
    planning: Planning,
    *,
    solver: AugmentedLagrangian | None = None,
    dose_offset: Dose | None = None,
    offset_gy: FloatArray | None = None,
    levels_gy: dict[int, float] | None = None,
    start: FloatArray | None = None,
    differences: sparse.csr_array | None = None,
    progress: Progress | None = None,
) -> FluencePlan:
    """The same for a planning that was prepared before; ``levels_gy`` replaces limits by position.

    Args:
        offset_gy: (rows,) the same as ``dose_offset``, where it is known at the rows only; both add up.
        start: (beamlets,) monitor units to start from; default uniform fluence.
        differences: (n, beamlets) that smoothing keeps small, instead of those of neighbors along the leaf direction.
    """
    influence, prescription, rows = planning.influence, planning.prescription, planning.rows
    offset = np.zeros(rows.count) if dose_offset is None else rows.dose_of(dose_offset)
    offset = offset if offset_gy is None else offset + offset_gy
    uniform = _start(planning)
    smoothing, unit = _smoothing(influence.beams, prescription.dose_gy / max(float(uniform.mean()), 1e-12))
    problem = Problem(
        matrix=planning.matrix,
        offset_gy=offset,
        objectives=planning.wishes.objectives,
        constraints=planning.wishes.constraints(levels_gy or {}),
        limits=_limits(planning, float(uniform.mean())),
        smoothing=smoothing if differences is None else differences,
        smoothing_weight=planning.weights.smoothness * unit,
    )
    _check_offset(problem)
    chosen = solver or FLUENCE_SOLVER
    if start is None:
        solution = in_two_stages(chosen, problem, uniform, progress)
    else:
        solution = chosen.solve(problem, start, progress=progress)
    if not solution.weights.any():
        raise InfeasiblePlanError(
            "the optimal fluence is zero everywhere: the limits leave no dose for the target. "
            "Raise a limit, lower the prescription, or give the target's objectives more weight"
        )
    beams = tuple(
        replace(b, beamlet_monitor_units=solution.weights[influence.columns_of(k)])
        for k, b in enumerate(influence.beams)
    )
    return FluencePlan(
        beams=beams,
        prescription=prescription,
        solution=solution,
        planning=planning,
        dose=influence.dose(solution.weights, prescription.fractions),
        notes=_notes(planning, solution),
    )


def _check_machine(influence: Influence, matrix: sparse.csr_array, rows: Rows, prescription: Prescription) -> None:
    """Whether the monitor units of the machine suffice; those without calibration count photons, and have no limit."""
    if any(b.machine.calibration is None for b in influence.beams):
        return
    most = np.empty(matrix.shape[1], dtype=np.float32)
    for k, beam in enumerate(influence.beams):
        most[influence.columns_of(k)] = beam.machine.limits.max_monitor_units_per_beam
    target = rows.regions[prescription.target]
    check_reach(np.asarray(matrix @ most, dtype=np.float64), target, prescription, influence.beams, prescription.target)


def _limits(planning: Planning, uniform: float) -> tuple[WeightLimit, ...]:
    per_gy = planning.weights.monitor_units_per_gy
    if per_gy is None:
        return ()
    units = per_gy * planning.prescription.dose_per_fraction_gy
    return (MaximumMonitorUnits(rows=LeafRows.of(planning.influence.beams), monitor_units=units, uniform=uniform),)


def _check_reach(matrix: sparse.csr_array, rows: Rows, target: Structure) -> None:
    reached = np.asarray(matrix[rows.regions[target.name].rows].sum(axis=1)).ravel()
    if matrix.shape[1] == 0 or not (reached > 0).any():
        raise InfeasiblePlanError(
            f"no beamlet reaches the target {target.name!r}: check isocenter, beam directions and the "
            "margin with which beamlets are laid around it"
        )


def _check_offset(problem: Problem) -> None:
    """With no beam on at all every upper limit must hold."""
    for constraint, region in problem.constraints:
        given = float(constraint.residual(problem.offset_gy[region.rows], region).max())
        if given > 0 and is_upper(constraint, region):
            raise InfeasiblePlanError(
                f"the dose that is given anyway breaks the limit '{constraint.describe()}' already; "
                "no plan can hold it. Raise the limit or take that dose out"
            )


def _start(planning: Planning) -> FloatArray:
    """Uniform fluence that gives the target its prescription on average."""
    region = planning.rows.regions[planning.prescription.target]
    ones = np.ones(planning.matrix.shape[1], dtype=np.float32)
    mean = float(region.share @ np.asarray(planning.matrix @ ones, dtype=np.float64)[region.rows])
    return np.full(ones.shape, planning.prescription.dose_gy / mean)


def _smoothing(beams: tuple[Beam, ...], gy_per_unit: float) -> tuple[sparse.csr_array, float]:
    """Differences of neighbors along the leaf direction, and the factor that makes their mean square count in Gy^2."""
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    first = count = 0
    for beam in beams:
        if beam.beamlets is None or not beam.beamlets.count:
            raise InputError(f"{beam.label} has no beamlets; build them with rtsim.beams.with_beamlets")
        index = np.full(np.add(BeamletMap.of(beam.beamlets).shape, (0, 2)), -1)
        edges = BeamletMap.of(beam.beamlets)
        index[edges.row, edges.column + 1] = first + np.arange(beam.beamlets.count)
        for left, right in zip(index[:, :-1].ravel(), index[:, 1:].ravel(), strict=True):
            for column, sign in ((left, -1.0), (right, 1.0)):
                if column >= 0:
                    rows.append(count)
                    columns.append(int(column))
                    values.append(sign)
            count += left >= 0 or right >= 0
        first += beam.beamlets.count
    matrix = sparse.csr_array((values, (rows, columns)), shape=(count, first))
    return matrix, 1e-2 * gy_per_unit**2 / max(count, 1)


def _notes(planning: Planning, solution: Solution) -> tuple[str, ...]:
    notes = [f"Objectives: {planning.wishes.describe()}."]
    if planning.wishes.limits:
        notes.append("Hard limits: " + "; ".join(limit.describe() for limit in planning.wishes.limits) + ".")
    if planning.wishes.own:
        notes.append("Own hard limits: " + "; ".join(o.constraint.describe() for o in planning.wishes.own) + ".")
    if planning.goals.absent:
        notes.append(
            f"Goals on structures that are not in this phantom were left out: {', '.join(planning.goals.absent)}."
        )
    state = (
        "converged"
        if solution.converged
        else "stopped by the user"
        if solution.stopped
        else "ended at its iteration limit"
    )
    notes.append(
        f"Fluence of {solution.weights.size} beamlets {state} after {solution.evaluations} evaluations; "
        f"objective {solution.objective:.4g}, worst hard limit {100 * solution.violation:+.2f} %."
    )
    return tuple(notes)

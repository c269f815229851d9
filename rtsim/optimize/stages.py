"""Objectives that let a share of a volume go are not convex: where to start from, so that they let go the right one."""

from __future__ import annotations

from dataclasses import replace

from rtsim.optimize.objectives import Objective, Region, SquaredDeviation, SquaredOverdose, SquaredUnderdose
from rtsim.optimize.solver import AugmentedLagrangian, Problem, Solution, StopOptimization
from rtsim.typing import FloatArray, Progress

BRIEF = 1e-2
"""Tolerance of the first of two stages."""

BRIEF_SHARE = 0.3
"""Its share of the work, for progress."""


def in_two_stages(
    solver: AugmentedLagrangian, problem: Problem, start: FloatArray, progress: Progress | None
) -> Solution:
    """First without the objectives that let the coldest or hottest part go, then with them, from there.

    Which voxels those let go is read from the present dose. In a uniform fluence it is the edge of the target; in an
    optimized one, the part that the cord makes unreachable. That is a local optimum of the better kind.

    A stop in the first stage returns its best point.
    """
    convex = _without_selections(problem.objectives)
    if convex == problem.objectives:
        return solver.solve(problem, start, progress=progress)
    brief = replace(
        solver,
        max_iterations=max(1, solver.max_iterations // 3),
        tolerance=max(solver.tolerance, BRIEF),
        inner_iterations=max(1, 3 * solver.inner_iterations // 4),
    )
    first = brief.solve(replace(problem, objectives=convex), start, progress=_part(progress, 0.0, BRIEF_SHARE))
    rest = _stop if first.stopped else _part(progress, BRIEF_SHARE, 1.0)
    solution = solver.solve(problem, first.weights, progress=rest)
    return replace(solution, evaluations=first.evaluations + solution.evaluations)


def _without_selections(objectives: tuple[tuple[Objective, Region], ...]) -> tuple[tuple[Objective, Region], ...]:
    """Without objectives on a share of the volume; on all of it where nothing else asks the structure for dose."""
    asked = {
        o.structure
        for o, _ in objectives
        if o.weight > 0
        and (isinstance(o, SquaredDeviation) or (isinstance(o, SquaredUnderdose) and o.volume_percent >= 100.0))
    }
    out: list[tuple[Objective, Region]] = []
    for objective, region in objectives:
        if isinstance(objective, SquaredUnderdose) and objective.volume_percent < 100.0:
            if objective.structure not in asked:
                out.append((replace(objective, volume_percent=100.0), region))
        elif not (isinstance(objective, SquaredOverdose) and objective.allowed_percent > 0.0):
            out.append((objective, region))
    return tuple(out)


def _part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    return None if progress is None else lambda done, text: progress(start + (stop - start) * done, text)


def _stop(done: float, text: str) -> None:
    raise StopOptimization

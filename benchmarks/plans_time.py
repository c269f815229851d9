"""How long planning takes: the fluence of a spine case on a 2 mm dose grid, and a whole arc plan with its certificate.

Wall time counts, as users wait for it; on a machine that does other work besides, the CPU seconds tell more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numba

from benchmarks.plans_asked import asked
from benchmarks.row import Row, peak_rss_mb
from rtsim.cli.planning import plan_of
from rtsim.dose import CollapsedCone
from rtsim.optimize import StepAndShoot
from rtsim.optimize.fluence import optimize_fluence, prepare
from rtsim.optimize.volumes import with_target_and_prv

CASE = "spine_t8_epidural"
FLUENCE_S, ARC_S = 15.0, 300.0
FEASIBLE = 1e-3
"""A fluence whose limits are violated by more, relative to the limit, is no solution."""
_TABLE = "time"
_T = TypeVar("_T")


def rows(only: str | None = None) -> Iterator[Row]:
    """Fluence, then arc."""
    if only is None or only in f"{CASE}:fluence":
        yield _fluence()
    if only is None or only in f"{CASE}:arc":
        yield _arc()


def _timed(work: Callable[[], _T]) -> tuple[_T, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def _fluence() -> Row:
    request = asked(CASE)
    phantom, _ = with_target_and_prv(request.phantom, request.prescription, request.protocol)
    target = phantom[request.prescription.target]
    beams = StepAndShoot().planning_beams(request.machine, target, tuple(request.gantry_deg or ()))
    influence, took, _ = _timed(lambda: CollapsedCone(spacing_mm=2.0).influence(phantom, beams))
    planning, prepared, _ = _timed(lambda: prepare(influence, phantom, request.prescription, request.protocol))
    plan, wall, cpu = _timed(lambda: optimize_fluence(planning))
    return Row(
        case=f"{CASE}:fluence",
        table=_TABLE,
        engine=influence.engine,
        spacing_mm=2.0,
        threads=numba.get_num_threads(),
        warm_median_s=wall,
        cpu_s=cpu,
        peak_rss_mb=peak_rss_mb(),
        goal=f"fluence optimization <= {FLUENCE_S:g} s",
        met=wall <= FLUENCE_S and plan.solution.violation <= FEASIBLE,
        note=f"{plan.solution.weights.size} beamlets, {plan.solution.evaluations} evaluations, worst constraint "
        f"{100.0 * plan.solution.violation:+.2f} % of its limit; before it the influence matrix {took:.1f} s and its "
        f"rows {prepared:.1f} s",
    )


def _arc() -> Row:
    request = asked(CASE, "--delivery", "arc")
    planned, wall, cpu = _timed(lambda: plan_of(request, None))
    held = all(c.held for c in planned.plan.certificates)
    return Row(
        case=f"{CASE}:arc",
        table=_TABLE,
        engine=planned.dose.engine,
        spacing_mm=request.spacing_mm,
        threads=numba.get_num_threads(),
        warm_median_s=wall,
        cpu_s=cpu,
        peak_rss_mb=peak_rss_mb(),
        goal=f"whole arc plan, certificate held, <= {ARC_S:g} s",
        met=held and wall <= ARC_S,
        note="; ".join(c.statement for c in planned.plan.certificates),
    )

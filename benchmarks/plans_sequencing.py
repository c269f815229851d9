"""What sequencing costs: PTV D95 of segments and of sliding windows beside that of the fluence, at the same cord dose.

The limit of the cord is lowered to the dose that the fluence gives it, for all that follows: sequenced, monitor units
optimized, leaf ends optimized. Read at the rows of the planning, all in the model of the influence matrix; a stage that
gives the cord more than the fluence does is scaled down to it. What the matrix misses is the business of the planner's
forward doses, not of sequencing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

import rtsim as rt
from benchmarks.row import Row, peak_rss_mb
from rtsim.cli.main import parser
from rtsim.cli.request import request_of
from rtsim.machine.model import Machine
from rtsim.optimize import SlidingWindow, StepAndShoot
from rtsim.optimize.apertures import SegmentsDraft
from rtsim.optimize.fluence import FluencePlan, Planning, optimize_fluence, prepare
from rtsim.optimize.rows import limit_name
from rtsim.optimize.segment_weights import Segment, columns_of
from rtsim.optimize.sliding_window import SlidingWindowDraft
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.typing import FloatArray

CASES = ("spine_t8_epidural", "spine_t5_sclerotic", "tg119_c_shape")
LOSS_PERCENT = 2.0
ENGINE = rt.CollapsedCone(spacing_mm=2.5)

_TABLE = "sequencing"


def rows(only: str | None = None) -> Iterator[Row]:
    """Two rows a case, step and shoot and sliding window: the loss of D95 in percent, each stage in the note."""
    for name in CASES:
        if only is None or only in name:
            request = request_of(parser().parse_args(["run", name, "-o", "unused"]), None)
            phantom, _ = with_target_and_prv(request.phantom, request.prescription, request.protocol)
            target = phantom.structures[request.prescription.target]
            beams = StepAndShoot().planning_beams(request.machine, target, tuple(request.gantry_deg or ()))
            influence = ENGINE.influence(phantom, beams)
            planning = prepare(influence, phantom, request.prescription, request.protocol)
            yield from rows_of(name, planning, request.machine)


def rows_of(name: str, planning: Planning, machine: Machine) -> Iterator[Row]:
    """All stages of one planning, for each technique."""
    plan = optimize_fluence(planning)
    yield _row(name, list(_stages(plan, machine)))
    yield _row(f"{name}:sliding_window", list(_window_stages(plan, machine)))


def _row(name: str, stages: list[_Stage]) -> Row:
    first, last = stages[0], stages[-1]
    loss = 100.0 * (1.0 - last.d95_gy / first.d95_gy)
    return Row(
        case=name,
        table=_TABLE,
        engine="influence matrix",
        cpu_s=sum(s.cpu_s for s in stages),
        peak_rss_mb=peak_rss_mb(),
        value=loss,
        unit="% of D95 lost at the same cord dose",
        goal=f"at most {LOSS_PERCENT:g} %",
        met=loss <= LOSS_PERCENT,
        note="; ".join(s.words for s in stages),
    )


@dataclass(frozen=True, kw_only=True)
class _Stage:
    name: str
    objective: float
    d95_gy: float
    cord_gy: float | None
    segments: int
    units_per_gy: float
    cpu_s: float
    parts: str = "segments"

    @property
    def words(self) -> str:
        made = (
            f", {self.segments} {self.parts}, {self.units_per_gy:.0f} MU/Gy, {self.cpu_s:.1f} s"
            if self.segments
            else ""
        )
        cord = f" (cord {self.cord_gy:.2f} Gy)" if self.cord_gy is not None else ""
        return f"{self.name}: D95 {self.d95_gy:.2f} Gy{cord}, objective {self.objective:.1f}{made}"


def _levels_gy(plan: FluencePlan) -> dict[int, float]:
    """What the fluence gives to each constraint."""
    numbered = plan.planning.wishes.numbered_constraints({})
    return {k: float(plan.solution.dose_gy[region.rows].max()) for k, (_, region) in numbered.items()}


def _window_stages(plan: FluencePlan, machine: Machine) -> Iterator[_Stage]:
    planning, levels = plan.planning, _levels_gy(plan)
    cord = _cord_gy(planning, plan.solution.dose_gy)
    yield _stage("fluence", planning, plan.solution.dose_gy, (), None, 0.0)
    start = time.process_time()
    draft = SlidingWindow().draft(plan, machine)
    yield _of_window("swept", draft, cord, start)
    start = time.process_time()
    draft = draft.improved(planning, levels, first=True)
    own = _cord_gy(planning, _window_dose(draft))
    if own is not None and cord is not None:
        draft = draft.improved(planning, {k: v * cord / own for k, v in levels.items()}, first=False)
    yield _of_window("optimized above the least that a sweep gives", draft, cord, start)


def _window_dose(draft: SlidingWindowDraft) -> FloatArray:
    return np.asarray((draft.planning.matrix @ draft.given_units.astype(np.float32)).astype(np.float64))


def _of_window(name: str, draft: SlidingWindowDraft, cord_gy: float | None, start: float) -> _Stage:
    seconds, units = time.process_time() - start, sum(b.monitor_units for b in draft.beams)
    stage = _stage(name, draft.planning, _window_dose(draft), (), cord_gy, seconds)
    per_gy = units / draft.planning.prescription.dose_per_fraction_gy
    return replace(stage, segments=draft.segments, units_per_gy=per_gy, parts="control points")


def _stages(plan: FluencePlan, machine: Machine) -> Iterator[_Stage]:
    planning, dose, levels = plan.planning, plan.solution.dose_gy, _levels_gy(plan)
    cord = _cord_gy(planning, dose)
    yield _stage("fluence", planning, dose, (), None, 0.0)
    technique = StepAndShoot()
    start = time.process_time()
    draft = technique.draft(plan, machine)
    yield _of(f"sequenced in {technique.levels} levels", planning, draft.parts, machine, cord, start)
    alone = replace(technique.improvement, direct=None, searches=0, merge=0.0)
    for name, how in (("monitor units optimized", alone), ("leaf ends optimized", technique.improvement)):
        start = time.process_time()
        better = _improved(replace(draft, improvement=how), levels, cord)
        yield _of(name, planning, better.parts, machine, cord, start)


def _improved(draft: SegmentsDraft, levels_gy: dict[int, float], cord_gy: float | None) -> SegmentsDraft:
    """Twice, as a planner does: the maximum that is held lies above the D(cc) that counts, by as much as is learned."""
    planning = draft.planning
    draft = draft.improved(planning, levels_gy, first=True)
    own = _cord_gy(planning, _dose(planning, draft.parts, draft.machine))
    if own is None or cord_gy is None:
        return draft
    return draft.improved(planning, {k: v * cord_gy / own for k, v in levels_gy.items()}, first=False)


def _dose(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> FloatArray:
    units = np.array([s.monitor_units for s in segments])
    return np.asarray(columns_of(planning, segments, machine).astype(np.float64) @ units)


def _of(
    name: str,
    planning: Planning,
    segments: tuple[Segment, ...],
    machine: Machine,
    cord_gy: float | None,
    start: float,
) -> _Stage:
    seconds = time.process_time() - start
    return _stage(name, planning, _dose(planning, segments, machine), segments, cord_gy, seconds)


def _stage(
    name: str,
    planning: Planning,
    dose: FloatArray,
    segments: tuple[Segment, ...],
    cord_gy: float | None,
    seconds: float,
) -> _Stage:
    """Scaled down to ``cord_gy`` where the cord gets more."""
    own = _cord_gy(planning, dose)
    scale = min(1.0, cord_gy / own) if cord_gy is not None and own is not None else 1.0
    target = planning.rows.regions[planning.prescription.target]
    units = scale * sum(s.monitor_units for s in segments)
    wanted = sum(o.weight * o.evaluate(scale * dose[r.rows], r)[0] for o, r in planning.wishes.objectives)
    return _Stage(
        name=name,
        objective=wanted,
        d95_gy=scale * _hottest(dose[target.rows], target.share, 0.95),
        cord_gy=None if own is None else scale * own,
        segments=len(segments),
        units_per_gy=units / planning.prescription.dose_per_fraction_gy,
        cpu_s=seconds,
    )


def _cord_gy(planning: Planning, dose: FloatArray) -> float | None:
    """D(cc) of the first hard limit in Gy; None where there is none."""
    for limit in planning.wishes.limits:
        region = planning.rows.regions.get(limit_name(limit.structure.name))
        if region is not None and not limit.mean:
            return _hottest(dose[region.rows], region.volume_cm3, limit.volume_cm3)
    return None


def _hottest(dose: FloatArray, volume: FloatArray, wanted: float) -> float:
    """The dose that the hottest ``wanted`` of the volume gets at least."""
    order = np.argsort(-dose)
    return float(np.interp(wanted, np.cumsum(volume[order]), dose[order]))

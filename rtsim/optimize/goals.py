"""From the goals of a protocol to what the solver understands: hard limits, objectives with weights, and sentences
about them.

Every upper goal on a dose-volume histogram says the same thing in one form: the hottest ``volume_cm3`` of a structure
stay at or below ``limit_gy``. D0.35cc <= 10 Gy, V10Gy <= 0.35 cm3 and "spare 700 cm3 below 9 Gy" all become that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.dose.dvh import DVH
from rtsim.dose.result import Dose
from rtsim.errors import InfeasiblePlanError
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.metric import MetricKind, Unit
from rtsim.protocol.model import Goal, Prescription, Priority, Sense
from rtsim.typing import FloatArray

SOME_PERCENT = 3.0
"""So much of a structure, at least, gets the mean dose that is wanted of it, or more [E]: less than that would have to
be unreasonably hot. More than what partial voxels may feign."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseVolumeLimit:
    """The hottest ``volume_cm3`` of a structure stay at or below ``limit_gy`` (0: every point; ``mean``: the mean)."""

    structure: Structure
    limit_gy: float
    volume_cm3: float
    goal: Goal
    mean: bool = False

    def reached_in(self, histogram: DVH) -> float:
        """The dose in Gy that is compared with ``limit_gy``; what lies outside the dose grid counts as 0."""
        if self.mean:
            return histogram.mean_gy
        return histogram.max_gy if self.volume_cm3 <= 0.0 else histogram.dose_gy_at(self.volume_cm3)

    def describe(self) -> str:
        """For notes and certificates."""
        what = "mean" if self.mean else f"D{self.volume_cm3:.3g}cc" if self.volume_cm3 > 0 else "maximum"
        return f"{self.structure.name} {what} <= {self.limit_gy:.3g} Gy"


def points_dose(dose: Dose, points_mm: FloatArray) -> FloatArray:
    """(n,) Gy at points; 0 outside the dose grid, where nothing was computed."""
    inside = dose.grid.contains(points_mm)
    out = np.zeros(len(points_mm))
    out[inside] = dose.at(points_mm[inside])
    return out


def upper_limit(goal: Goal, structure: Structure, prescription: Prescription) -> DoseVolumeLimit | None:
    """An upper goal as a limit of the hottest volume; None for goals that are not of this kind."""
    metric, percent_gy = goal.parsed, prescription.dose_gy / 100.0
    total = structure.volume_cm3
    dose_unit = percent_gy if metric.unit is Unit.PERCENT else 1.0
    threshold = metric.threshold * (percent_gy if metric.threshold_unit is Unit.PERCENT else 1.0)
    volume = goal.value * (total / 100.0 if metric.unit is Unit.PERCENT else 1.0)
    cold = metric.kind is MetricKind.COLD_VOLUME
    if goal.sense is (Sense.AT_MOST if cold else Sense.AT_LEAST):
        return None
    if metric.kind is MetricKind.DOSE_AT_VOLUME:
        at = metric.threshold * (total / 100.0 if metric.threshold_unit is Unit.PERCENT else 1.0)
        return DoseVolumeLimit(structure=structure, limit_gy=goal.value * dose_unit, volume_cm3=at, goal=goal)
    if metric.kind is MetricKind.MAX_DOSE:
        return DoseVolumeLimit(structure=structure, limit_gy=goal.value * dose_unit, volume_cm3=0.0, goal=goal)
    if metric.kind is MetricKind.MEAN_DOSE:
        return DoseVolumeLimit(
            structure=structure, limit_gy=goal.value * dose_unit, volume_cm3=0.0, goal=goal, mean=True
        )
    if metric.kind is MetricKind.VOLUME_AT_DOSE or cold:
        hot = total - volume if cold else volume
        return DoseVolumeLimit(structure=structure, limit_gy=threshold, volume_cm3=max(hot, 0.0), goal=goal)
    return None


def necessary_percent(goal: Goal, percent: float) -> float:
    """Percent of the volume that must get the dose of a lower goal at the very least, whatever the rest gets.

    A mean needs but a little volume of it: the rest may be cold. Of other goals it is ``percent``.
    """
    return min(percent, SOME_PERCENT) if goal.parsed.kind is MetricKind.MEAN_DOSE else percent


def lower_wish(goal: Goal, structure: Structure, prescription: Prescription) -> tuple[float, float] | None:
    """(dose in Gy, percent of the volume that should get it) of a lower goal on a target; None for other goals."""
    metric, percent_gy = goal.parsed, prescription.dose_gy / 100.0
    if goal.sense is not Sense.AT_LEAST:
        return None
    dose_unit = percent_gy if metric.unit is Unit.PERCENT else 1.0
    if metric.kind is MetricKind.DOSE_AT_VOLUME:
        part = (
            metric.threshold
            if metric.threshold_unit is Unit.PERCENT
            else 100.0 * metric.threshold / structure.volume_cm3
        )
        return goal.value * dose_unit, min(part, 100.0)
    if metric.kind in (MetricKind.MIN_DOSE, MetricKind.MEAN_DOSE):
        return goal.value * dose_unit, 100.0
    if metric.kind is MetricKind.VOLUME_AT_DOSE:
        threshold = metric.threshold * (percent_gy if metric.threshold_unit is Unit.PERCENT else 1.0)
        part = goal.value if metric.unit is Unit.PERCENT else 100.0 * goal.value / structure.volume_cm3
        return threshold, min(part, 100.0)
    return None


@dataclass(frozen=True, eq=False, kw_only=True)
class SortedGoals:
    """The goals of a plan by what they ask: hard limits, sought limits, sought target doses, and what is left out.

    ``hard`` are the hard goals that the solver holds. Other hard goals (a least dose, a plan index) cannot be held on
    the way: they are checked in the delivered dose and certified all the same; ``unheld`` names them.
    """

    hard: tuple[DoseVolumeLimit, ...]
    sought: tuple[DoseVolumeLimit, ...]
    target_doses: tuple[tuple[Structure, float, float], ...]
    absent: tuple[str, ...]
    unheld: tuple[Goal, ...] = ()


def sort_goals(goals: tuple[Goal, ...], prescription: Prescription, phantom: Phantom) -> SortedGoals:
    """Sort goals and check that they do not contradict each other.

    Raises:
        InfeasiblePlanError: two goals cannot both hold; both are named.
    """
    hard: list[DoseVolumeLimit] = []
    sought: list[DoseVolumeLimit] = []
    wishes: list[tuple[Structure, float, float, Goal]] = []
    absent: list[str] = []
    unheld: list[Goal] = []
    for goal in goals:
        if goal.priority is Priority.REPORT:
            continue
        structure = find_structure(phantom, goal.structure, prescription)
        if structure is None:
            absent.append(goal.structure)
            continue
        limit, wish = upper_limit(goal, structure, prescription), lower_wish(goal, structure, prescription)
        if limit is None and goal.priority is Priority.HARD:
            unheld.append(goal)
        if limit is not None:
            (hard if goal.priority is Priority.HARD else sought).append(limit)
        elif wish is not None and is_target(structure):
            wishes.append((structure, *wish, goal))
    for limit in hard + sought:
        for structure, dose_gy, percent, goal in wishes:
            _check_compatible(limit, structure, dose_gy, necessary_percent(goal, percent), goal)
        if limit.goal.priority is Priority.HARD:
            _check_prescription(limit, prescription)
    return SortedGoals(
        hard=tuple(hard),
        sought=tuple(sought),
        target_doses=tuple((s, d, p) for s, d, p, _ in wishes),
        absent=tuple(dict.fromkeys(absent)),
        unheld=tuple(unheld),
    )


def is_target(structure: Structure) -> bool:
    """GTV, CTV, ITV or PTV."""
    return structure.role in (Role.GTV, Role.CTV, Role.ITV, Role.PTV)


def _check_compatible(limit: DoseVolumeLimit, structure: Structure, dose_gy: float, percent: float, goal: Goal) -> None:
    """D(v1) >= a with D(v2) <= b < a and v2 <= v1 cannot be: D falls with volume."""
    if limit.structure.name != structure.name or limit.mean:
        return
    if limit.volume_cm3 <= percent / 100.0 * structure.volume_cm3 and limit.limit_gy < dose_gy:
        raise InfeasiblePlanError(
            f"two goals contradict each other: '{limit.goal}' and '{goal}' of the same structure "
            f"({limit.limit_gy:.3g} Gy at most against {dose_gy:.3g} Gy at least); change one of them"
        )


def _check_prescription(limit: DoseVolumeLimit, prescription: Prescription) -> None:
    if limit.structure.name != prescription.target or limit.mean:
        return
    asked = prescription.coverage_percent / 100.0 * limit.structure.volume_cm3
    if limit.volume_cm3 <= asked and limit.limit_gy < prescription.dose_gy:
        raise InfeasiblePlanError(
            f"the hard goal '{limit.goal}' contradicts the prescription {prescription}: raise the limit "
            "or prescribe less"
        )

"""What a delivered dose says about hard goals and the target, by the same DVH that the grade reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rtsim.dose.dvh import DVH, dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError
from rtsim.optimize.goals import DoseVolumeLimit, upper_limit
from rtsim.optimize.measured import GoalValue, Measured
from rtsim.optimize.plan import Certificate, PositionsHeld
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol.metric import MetricKind
from rtsim.protocol.model import Goal, Prescription, Priority, Sense

SAFETY = 0.02
"""Limits are aimed at this much below. A D0.035cc of the cord read on a grid of 2 mm rises by 1.0 % on 1.5 mm and by
1.8 % on 1 mm (docs/accuracy.md); it shall hold there, too. Rounding of scaled doses to float32 is far less."""

COVERED_WITHIN_PERCENT = 0.05
"""Coverage that lacks less than this is what was wanted: it is printed with one decimal."""

FINE_ENOUGH_MM = 2.0
"""Voxels for which ``SAFETY`` was measured."""

COVERAGE_SPARE = 0.05
"""Percent of the target that a plan covers beyond what is wanted, so that rounding leaves the goal met."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """Doses read from one delivered plan: of each hard limit (0 where it lies off the dose grid), and the target's
    DVH.
    """

    reached_gy: tuple[float, ...]
    target: DVH
    coverage_dose_gy: float

    def factor(self, limits: tuple[DoseVolumeLimit, ...], prescription: Prescription) -> float:
        """Scale of all monitor units: wanted coverage exactly, or less where a hard limit says so."""
        factors = [
            limit.limit_gy * (1.0 - SAFETY) / r for limit, r in zip(limits, self.reached_gy, strict=True) if r > 0
        ]
        return min([prescription.dose_gy / max(self.coverage_dose_gy, 1e-9), *factors])

    def coverage_percent(self, prescription: Prescription, factor: float = 1.0) -> float:
        """V100% of the target after scaling."""
        return self.target.volume_percent_at(prescription.dose_gy / max(factor, 1e-9) * (1.0 - 1e-6))


class Reader:
    """Reads plans of one phantom."""

    def __init__(self, target: Structure, limits: tuple[DoseVolumeLimit, ...], prescription: Prescription) -> None:
        self.limits, self._prescription, self._target = limits, prescription, target

    def read(self, dose: Dose) -> Reading:
        """Read one delivered dose.

        Raises:
            GeometryError: the target lies wholly outside the dose grid.
        """
        found: dict[str, DVH | None] = {}
        for limit in self.limits:
            if limit.structure.name not in found:
                found[limit.structure.name] = readable_dvh(dose, limit.structure)
        histograms = [found[limit.structure.name] for limit in self.limits]
        reached = tuple(
            0.0 if h is None else limit.reached_in(h) for limit, h in zip(self.limits, histograms, strict=True)
        )
        return target_reading(dose, self._target, self._prescription, reached, found.get(self._target.name))


def target_reading(
    dose: Dose,
    target: Structure,
    prescription: Prescription,
    reached_gy: tuple[float, ...],
    histogram: DVH | None = None,
) -> Reading:
    """The doses of the limits beside the DVH of the target.

    Args:
        histogram: of the target, where it is known already.

    Raises:
        GeometryError: the target lies wholly outside the dose grid.
    """
    of_target = histogram or dvh(dose, target)
    percent = min(100.0, prescription.coverage_percent + COVERAGE_SPARE)
    return Reading(reached_gy=reached_gy, target=of_target, coverage_dose_gy=of_target.dose_gy_at_percent(percent))


def readable_dvh(dose: Dose, structure: Structure) -> DVH | None:
    """The DVH of a structure; None where it lies wholly outside the dose grid."""
    try:
        return dvh(dose, structure)
    except GeometryError:
        return None


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """What a certificate says beyond the planned position.

    Attributes:
        positions: of the patient; None where they do not matter.
        compared_gy: the dose that counts against the limit, the worst of the positions where they are promised.
        needed_gy: see :class:`~rtsim.optimize.plan.Certificate`.
    """

    positions: PositionsHeld | None = None
    compared_gy: float | None = None
    needed_gy: float | None = None


def certify(
    goals: Sequence[Goal],
    phantom: Phantom,
    prescription: Prescription,
    dose: Dose,
    covered_at: float = 1.0,
    beyond: Mapping[tuple[str, str], Beyond] | None = None,
) -> tuple[tuple[Certificate, ...], tuple[str, ...]]:
    """One certificate for each hard goal that can be judged, and a sentence for each that cannot but should be.

    Args:
        covered_at: the share of the prescription from which a voxel of the target counts as covered.
        beyond: by structure and metric name what is known beyond the dose as planned.
    """
    measured = Measured(dose, phantom, prescription)
    hard = [measured.goal(g, goals) for g in goals if g.priority is Priority.HARD]
    short = _shortfall(measured, covered_at)
    known = beyond or {}
    certificates = tuple(
        _certificate(v, measured, short, known.get((v.structure.name, v.goal.parsed.name), Beyond()))
        for v in hard
        if v.is_judged and v.structure is not None
    )
    sentences = tuple(f"NOT CHECKED: hard goal '{v.goal}': {v.obstacle}." for v in hard if v.is_open)
    return certificates, sentences


def _shortfall(measured: Measured, covered_at: float) -> str:
    """What is missing in the target's coverage; empty when nothing is."""
    prescription = measured.prescription
    level = covered_at * prescription.dose_gy
    target = measured.dvh_of(measured.phantom[prescription.target])
    coverage = target.volume_percent_at(level * (1.0 - 1e-6))
    if coverage >= prescription.coverage_percent - COVERED_WITHIN_PERCENT:
        return ""
    reached = f"{np.floor(10 * coverage) / 10:.1f}"
    return f" {reached} % of {prescription.target} gets {level:g} Gy; {prescription.coverage_percent:g} % was wanted"


def _certificate(found: GoalValue, measured: Measured, short: str, beyond: Beyond) -> Certificate:
    goal, structure = found.goal, found.structure
    assert structure is not None
    assert found.value is not None
    limit_gy, reached_gy = _in_gy(found, measured.prescription)
    positions = beyond.positions
    held = found.is_met and (positions is None or not positions.promised or positions.held == positions.count)
    dose = measured.dose
    kind = "limit" if goal.sense is Sense.AT_MOST else "at least"
    got, wanted = (f"{number} {goal.unit}".rstrip() for number in (f"{found.value:.2f}", f"{goal.value:g}"))
    text = (
        f"{structure.name} {goal.parsed.name} is {got} in the delivered dose ({dose.engine}, {dose.grid.describe()}, "
        f"sub-voxel); {kind} {wanted} {'held' if found.is_met else 'NOT held'}."
    )
    text += f" NOTE: {found.remark}." if found.remark else ""
    text += positions.sentence if positions is not None else ""
    compared = beyond.compared_gy if beyond.compared_gy is not None else reached_gy
    if goal.sense is Sense.AT_MOST:
        text += _coarse(dose, compared, limit_gy)
    if short:
        upper = goal.sense is Sense.AT_MOST and found.is_met and limit_gy is not None
        tight = upper and (compared or 0.0) > 0.97 * (limit_gy or 0.0)
        text += short + (" and not reached; this limit came first." if tight else " and not reached.")
        if beyond.needed_gy is not None:
            percent = f"{measured.prescription.coverage_percent:g} %"
            text += f" With more monitor units this plan would cover {percent} at a limit of {beyond.needed_gy:.1f} Gy."
    return Certificate(
        structure=structure.name,
        metric=goal.parsed.name,
        limit_gy=limit_gy,
        reached_gy=reached_gy,
        held=held,
        statement=text,
        engine=dose.engine,
        grid=dose.grid.describe(),
        positions=positions,
        needed_gy=beyond.needed_gy if short else None,
    )


def _coarse(dose: Dose, reached_gy: float | None, limit_gy: float | None) -> str:
    """A sentence on a dose grid so coarse that a limit might be broken on a finer one; empty otherwise.

    Nine fields on three spine cases, D0.035cc of the cord against 1.5 mm: -1 to +1 % on 2 mm, -3 to +4 % on 2.5 mm, -4
    to +4 % on 3 mm, -5 to +11 % on 4 mm, up to +18 % on 5 mm [V].
    """
    widest = max(dose.grid.spacing_mm)
    if widest <= FINE_ENOUGH_MM * (1.0 + 1e-6):
        return ""
    low_percent = 3.0 if widest <= 2.5 else 4.0 if widest <= 3.0 else 5.0
    if reached_gy is not None and limit_gy is not None and reached_gy * (1.0 + low_percent / 100.0) <= limit_gy:
        return ""
    return (
        f" COARSE DOSE GRID: on {widest:g} mm the near-maximum of a cord can be {low_percent:g} % too low, and then "
        "the limit would not hold. Compute it on 2 mm or finer."
    )


def _in_gy(found: GoalValue, prescription: Prescription) -> tuple[float | None, float | None]:
    """The goal and what it reached as doses; a volume goal as D(volume); (None, None) for plan indices."""
    goal, structure, histogram = found.goal, found.structure, found.histogram
    assert structure is not None
    assert histogram is not None
    limit = upper_limit(goal, structure, prescription)
    if limit is not None:
        return limit.limit_gy, limit.reached_in(histogram)
    percent_gy = prescription.dose_gy / 100.0
    if goal.parsed.kind is MetricKind.VOLUME_AT_DOSE:
        threshold = goal.parsed.threshold * (percent_gy if goal.parsed.threshold_unit.value == "%" else 1.0)
        volume = goal.value * (structure.volume_cm3 / 100.0 if goal.unit == "%" else 1.0)
        return threshold, histogram.dose_gy_at(volume)
    if goal.parsed.kind in (MetricKind.DOSE_AT_VOLUME, MetricKind.MIN_DOSE, MetricKind.MEAN_DOSE, MetricKind.MAX_DOSE):
        unit = percent_gy if goal.unit == "%" else 1.0
        return goal.value * unit, (found.value or 0.0) * unit
    return None, None

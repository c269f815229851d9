"""What a delivered dose says about the hard limits and the target: sub-voxel, on the grid of that dose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.dose.result import Dose
from rtsim.dose.statistics import dose_at_hottest, structure_points, volume_receiving
from rtsim.optimize.goals import DoseVolumeLimit, points_dose
from rtsim.optimize.plan import Certificate
from rtsim.phantom.structure import Structure
from rtsim.protocol.metric import MetricKind
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray

SAFETY = 1e-3
"""Limits are aimed at this much below: a histogram with bins reads D(cc) up to half a bin higher than the points do."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """Doses read from one delivered plan: of each hard limit, and of the target at its wanted coverage."""

    reached_gy: tuple[float, ...]
    coverage_dose_gy: float
    target_dose_gy: FloatArray
    target_volume_cm3: FloatArray

    def factor(self, limits: tuple[DoseVolumeLimit, ...], prescription: Prescription) -> float:
        """Scale of all monitor units: wanted coverage exactly, or less where a hard limit says so."""
        factors = [
            limit.limit_gy * (1.0 - SAFETY) / r for limit, r in zip(limits, self.reached_gy, strict=True) if r > 0
        ]
        return min([prescription.dose_gy / max(self.coverage_dose_gy, 1e-9), *factors])

    def coverage_percent(self, prescription: Prescription, factor: float = 1.0) -> float:
        """V100% of the target after scaling."""
        got = volume_receiving(
            self.target_dose_gy * factor * (1.0 + 1e-6), self.target_volume_cm3, prescription.dose_gy
        )
        return 100.0 * got / float(self.target_volume_cm3.sum())


class Reader:
    """Reads plans of one phantom; the sub-voxel points are made once."""

    def __init__(self, target: Structure, limits: tuple[DoseVolumeLimit, ...], prescription: Prescription) -> None:
        self.limits, self._prescription = limits, prescription
        self._target = structure_points(target)
        self._points = {
            s.name: structure_points(s) for s in {limit.structure.name: limit.structure for limit in limits}.values()
        }

    def read(self, dose: Dose) -> Reading:
        """Read one delivered dose."""
        values = {name: points_dose(dose, points) for name, (points, _) in self._points.items()}
        reached = tuple(
            limit.reached_at(values[limit.structure.name], self._points[limit.structure.name][1])
            for limit in self.limits
        )
        points, volume = self._target
        target = points_dose(dose, points)
        wanted = self._prescription.coverage_percent / 100.0 * float(volume.sum())
        return Reading(
            reached_gy=reached,
            coverage_dose_gy=dose_at_hottest(target, volume, wanted),
            target_dose_gy=target,
            target_volume_cm3=volume,
        )


def certify(
    limits: tuple[DoseVolumeLimit, ...],
    reading: Reading,
    prescription: Prescription,
    dose: Dose,
    covered_at: float = 1.0,
) -> tuple[Certificate, ...]:
    """One certificate a hard limit, with the coverage that it left beside it.

    ``covered_at``: the share of the prescription from which a voxel of the target counts as covered.
    """
    coverage = reading.coverage_percent(prescription, 1.0 / covered_at)
    level = f"{covered_at * prescription.dose_gy:g} Gy"
    wanted = prescription.coverage_percent
    out = []
    for limit, reached in zip(limits, reading.reached_gy, strict=True):
        held = reached <= limit.limit_gy
        metric = _metric_name(limit)
        text = (
            f"{limit.structure.name} {metric} is {reached:.2f} Gy in the delivered dose ({dose.engine}, "
            f"{dose.grid.describe()}, sub-voxel); limit {limit.limit_gy:g} Gy {'held' if held else 'NOT held'}."
        )
        if coverage < wanted - 0.05:
            tight = " and not possible, as this limit came first" if reached > 0.98 * limit.limit_gy else ""
            possible = f"{np.floor(10 * coverage) / 10:.1f}"
            text += f" {possible} % of {prescription.target} gets {level}; {wanted:g} % was wanted{tight}."
        out.append(
            Certificate(
                structure=limit.structure.name,
                metric=metric,
                limit_gy=limit.limit_gy,
                reached_gy=reached,
                held=held,
                statement=text,
            )
        )
    return tuple(out)


def _metric_name(limit: DoseVolumeLimit) -> str:
    if limit.goal.parsed.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.COLD_VOLUME):
        return f"D{limit.volume_cm3:.3g}cc"
    return limit.goal.parsed.name

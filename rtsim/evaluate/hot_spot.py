"""Where the dose is highest, how much of the body outside the target is hot (ICRU 50: above 107 %), and where half of
the prescribed dose stands apart from the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import ndimage

from rtsim.dose.result import Dose
from rtsim.phantom.structure import Structure
from rtsim.typing import BoolArray, FloatArray, Vector3

HOT: Final = 1.07
"""Share of the prescription above which tissue outside the target is called hot (ICRU 50, section 2.5)."""

APART: Final = 0.5
"""Share of the prescription above which tissue apart from the target is told: the isodose of gradient index and R50."""
LEAST_APART_CM3: Final = 0.1
"""Smaller islands are rims of voxels."""
_MOST_TOLD: Final = 3


@dataclass(frozen=True, kw_only=True)
class Island:
    """Tissue above half of the prescription that does not hang together with what the target gets.

    Attributes:
        max_gy, point_mm: its hottest voxel.
        from_target_mm: from there to the nearest voxel of the target.
    """

    volume_cm3: float
    max_gy: float
    point_mm: Vector3
    from_target_mm: float

    def __str__(self) -> str:
        x, y, z = self.point_mm
        return (
            f"{self.volume_cm3:.1f} cm3, up to {self.max_gy:.1f} Gy at ({x:.0f}, {y:.0f}, {z:.0f}) mm, "
            f"{self.from_target_mm:.0f} mm from the target"
        )


@dataclass(frozen=True, kw_only=True)
class HotSpot:
    """The dose maximum in the body.

    Attributes:
        max_gy, max_percent: the largest voxel, in Gy and in percent of the prescription.
        point_mm: where, LPS.
        is_in_target: at least half of that voxel belongs to the target.
        hot_outside_cm3: body outside the target that gets more than 107 % of the prescription.
        islands: of more than half of the prescription, apart from the target, the largest first.
    """

    max_gy: float
    max_percent: float
    point_mm: Vector3
    is_in_target: bool
    hot_outside_cm3: float
    islands: tuple[Island, ...] = field(default=())

    def __str__(self) -> str:
        x, y, z = self.point_mm
        where = "in the target" if self.is_in_target else "OUTSIDE the target"
        return (
            f"dose maximum (hottest voxel) {self.max_gy:.2f} Gy = {self.max_percent:.0f} % "
            f"at ({x:.0f}, {y:.0f}, {z:.0f}) mm, {where}; "
            f"{self.hot_outside_cm3:.1f} cm3 outside the target get more than {100 * HOT:.0f} %"
        )

    @property
    def apart(self) -> str:
        """A sentence on the islands; empty where there are none."""
        if not self.islands:
            return ""
        told = "; ".join(str(i) for i in self.islands[:_MOST_TOLD])
        more = len(self.islands) - _MOST_TOLD
        return f"apart from the target, more than {100 * APART:.0f} %: {told}" + (
            f"; and {more} more" if more > 0 else ""
        )


def hot_spot(dose: Dose, target: Structure, external: Structure, prescription_gy: float) -> HotSpot:
    """The dose maximum inside ``external``, on the dose grid."""
    body = external.coverage_on(dose.grid)
    inside = target.coverage_on(dose.grid)
    values = np.where(body >= 0.5, dose.values_gy, 0.0)
    index = np.unravel_index(int(np.argmax(values)), values.shape)
    x, y, z = (float(v) for v in dose.grid.point_at(np.array(index)))
    hot = values > HOT * prescription_gy
    outside = float((np.clip(body - inside, 0.0, 1.0) * hot).sum(dtype=np.float64)) * dose.grid.voxel_volume_cm3
    top = float(values[index])
    return HotSpot(
        max_gy=top,
        max_percent=100.0 * top / prescription_gy,
        point_mm=(x, y, z),
        is_in_target=bool(inside[index] >= 0.5),
        hot_outside_cm3=outside,
        islands=_islands(dose, values, inside > 0.0, APART * prescription_gy),
    )


def _islands(dose: Dose, values_gy: FloatArray, target: BoolArray, level_gy: float) -> tuple[Island, ...]:
    """Voxels that touch by faces, edges or corners hang together; a target may be smaller than a voxel."""
    labels, _ = ndimage.label(values_gy > level_gy, structure=np.ones((3, 3, 3)))
    volumes_cm3 = np.bincount(labels.ravel()) * dose.grid.voxel_volume_cm3
    with_target = {0, *np.unique(labels[target]).tolist()}
    where = dose.grid.point_at(np.argwhere(target).astype(np.float64))
    found = []
    for n in np.flatnonzero(volumes_cm3 >= LEAST_APART_CM3).tolist():
        if n in with_target:
            continue
        index = np.unravel_index(int(np.argmax(np.where(labels == n, values_gy, 0.0))), labels.shape)
        point = dose.grid.point_at(np.array(index, dtype=np.float64))
        away = float(np.sqrt(((where - point) ** 2).sum(axis=1)).min()) if where.size else float("inf")
        x, y, z = (float(v) for v in point)
        found.append(
            Island(
                volume_cm3=float(volumes_cm3[n]),
                max_gy=float(values_gy[index]),
                point_mm=(x, y, z),
                from_target_mm=away,
            )
        )
    return tuple(sorted(found, key=lambda i: -i.volume_cm3))

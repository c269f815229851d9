"""Where the dose is highest, and how much of the body outside the target is hot (ICRU 50: above 107 %)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.result import Dose
from rtsim.phantom.structure import Structure
from rtsim.typing import Vector3

HOT: Final = 1.07
"""Share of the prescription above which tissue outside the target is called hot (ICRU 50, section 2.5)."""


@dataclass(frozen=True, kw_only=True)
class HotSpot:
    """The dose maximum in the body.

    Attributes:
        max_gy, max_percent: the largest voxel, in Gy and in percent of the prescription.
        point_mm: where, LPS.
        is_in_target: at least half of that voxel belongs to the target.
        hot_outside_cm3: body outside the target that gets more than 107 % of the prescription.
    """

    max_gy: float
    max_percent: float
    point_mm: Vector3
    is_in_target: bool
    hot_outside_cm3: float

    def __str__(self) -> str:
        x, y, z = self.point_mm
        where = "in the target" if self.is_in_target else "OUTSIDE the target"
        return (
            f"dose maximum (hottest voxel) {self.max_gy:.2f} Gy = {self.max_percent:.0f} % "
            f"at ({x:.0f}, {y:.0f}, {z:.0f}) mm, {where}; "
            f"{self.hot_outside_cm3:.1f} cm3 outside the target get more than {100 * HOT:.0f} %"
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
    )

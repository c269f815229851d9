"""Plan indices: conformity, homogeneity, gradient, and the falloff of dose between target and cord.

Isodose volumes are sub-voxel volumes inside the outline of the patient: air and couch do not count. ``TV`` is the
target's volume, ``V_RI`` the volume inside the prescription isodose, ``TV_RI`` that part of the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from rtsim.dose.dvh import DVH, dvh, homogeneity_icru83, isodose_volumes_cm3
from rtsim.dose.result import Dose
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray, Vector3

__all__ = [
    "Falloff",
    "conformity_paddick",
    "conformity_rtog",
    "coverage_percent",
    "falloff",
    "gradient_index",
    "homogeneity_icru83",
    "homogeneity_rtog",
    "isodose_volumes_cm3",
    "r50",
    "surface_points_mm",
]

_WINDOW_MM: Final = 1.0
_STEP_MM: Final = 0.1


def coverage_percent(dose: Dose, target: Structure, prescription_gy: float) -> float:
    """Percent of the target that gets at least the prescribed dose (V100%)."""
    return dvh(dose, target).volume_percent_at(prescription_gy)


def conformity_paddick(
    dose: Dose, target: Structure, prescription_gy: float, *, external: Structure | None = None
) -> float:
    """TV_RI^2 / (TV V_RI); 1 is perfect (Paddick 2000, doi:10.3171/jns.2000.93.supplement_3.0219). 0 without an
    isodose.
    """
    histogram = dvh(dose, target)
    (volume,) = isodose_volumes_cm3(dose, (prescription_gy,), external=external)
    return histogram.volume_cm3_at(prescription_gy) ** 2 / (histogram.volume_cm3 * volume) if volume > 0 else 0.0


def conformity_rtog(
    dose: Dose, target: Structure, prescription_gy: float, *, external: Structure | None = None
) -> float:
    """V_RI / TV (Shaw 1993, doi:10.1016/0360-3016(93)90548-A); blind to where the isodose lies."""
    (volume,) = isodose_volumes_cm3(dose, (prescription_gy,), external=external)
    return volume / dvh(dose, target).volume_cm3


def homogeneity_rtog(target: DVH, prescription_gy: float) -> float:
    """Dmax / prescription (Shaw 1993, doi:10.1016/0360-3016(93)90548-A)."""
    return target.max_gy / prescription_gy


def gradient_index(dose: Dose, prescription_gy: float, *, external: Structure | None = None) -> float:
    """V_50% / V_100% (Paddick & Lippitz 2006, doi:10.3171/sup.2006.105.7.194); inf without a prescription isodose."""
    half, full = isodose_volumes_cm3(dose, (0.5 * prescription_gy, prescription_gy), external=external)
    return half / full if full > 0 else float("inf")


def r50(dose: Dose, target: Structure, prescription_gy: float, *, external: Structure | None = None) -> float:
    """V_50% / TV (RTOG 0813, 0915)."""
    (half,) = isodose_volumes_cm3(dose, (0.5 * prescription_gy,), external=external)
    return half / dvh(dose, target).volume_cm3


@dataclass(frozen=True)
class Falloff:
    """How the dose falls from target to organ, along the shortest way between their surfaces.

    Attributes:
        distance_mm: between the surfaces.
        target_point_mm, organ_point_mm: its ends, LPS mm.
        mean_percent_per_mm: (dose at the target's surface - dose at the organ's) / distance, percent of the
            prescription.
        steepest_percent_per_mm: the steepest fall over any 1 mm of that way.
    """

    distance_mm: float
    target_point_mm: Vector3
    organ_point_mm: Vector3
    mean_percent_per_mm: float
    steepest_percent_per_mm: float


def falloff(dose: Dose, target: Structure, organ: Structure, prescription_gy: float) -> Falloff | None:
    """Falloff along the shortest straight way from the surface of ``target`` to that of ``organ`` (the cord).

    Where surfaces run parallel many ways are equally short: of all that are at most 0.25 mm longer than the shortest
        the
    one with the steepest mean fall counts. None when the surfaces touch or cross (< 1 mm): there is no way to fall
    along.
    """
    ends, starts = surface_points_mm(organ), surface_points_mm(target)
    distance, nearest = (np.atleast_1d(a) for a in cKDTree(ends).query(starts))
    shortest = float(distance.min())
    if shortest < _WINDOW_MM or float(np.minimum(target.coverage_on(organ.grid), organ.coverage).max()) >= 0.5:
        return None
    best: Falloff | None = None
    for i in np.flatnonzero(distance <= shortest + 0.25)[:2000]:
        way = _along(dose, starts[i], ends[nearest[i]], float(distance[i]), prescription_gy)
        if way is not None and (best is None or way.mean_percent_per_mm > best.mean_percent_per_mm):
            best = way
    return best


def _along(
    dose: Dose, start: FloatArray, end: FloatArray, distance_mm: float, prescription_gy: float
) -> Falloff | None:
    count = max(2, int(np.ceil(distance_mm / _STEP_MM)) + 1)
    points = start + np.linspace(0.0, 1.0, count)[:, None] * (end - start)
    if not dose.grid.contains(points).all():
        return None
    percent = 100.0 * dose.at(points) / prescription_gy
    step = distance_mm / (count - 1)
    window = max(1, round(_WINDOW_MM / step))
    steepest = float((percent[:-window] - percent[window:]).max()) / (window * step)
    a, b = (tuple(float(v) for v in p) for p in (start, end))
    return Falloff(
        distance_mm, (a[0], a[1], a[2]), (b[0], b[1], b[2]), float(percent[0] - percent[-1]) / distance_mm, steepest
    )


def surface_points_mm(structure: Structure) -> FloatArray:
    """(n, 3) LPS mm: where the coverage crosses 1/2 between neighboring voxel centers, by linear interpolation."""
    padded = np.pad(structure.coverage.astype(np.float64), 1)
    found = []
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        a, b = padded[tuple(low)], padded[tuple(high)]
        kji = np.argwhere((a >= 0.5) != (b >= 0.5))
        va, vb = a[tuple(kji.T)], b[tuple(kji.T)]
        index = kji.astype(np.float64)
        index[:, axis] += (0.5 - va) / (vb - va)
        found.append(index - 1.0)
    points = np.concatenate(found)
    if points.size == 0:  # a sliver that nowhere fills half a voxel
        points = np.argwhere(structure.coverage > 0).astype(np.float64)
    return structure.grid.point_at(points)

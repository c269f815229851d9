"""Sub-voxel points of a structure, for optimizers that need points: the very samples that the DVH is made of.

Certificates and grades read the DVH (rtsim.dose.dvh), planners the same D(cc) from these points.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from rtsim.dose.dvh.model import default_subvoxels, lattice_points, smoothed
from rtsim.errors import InputError
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, FloatArray


def structure_points(structure: Structure, subvoxels: int | None = None) -> tuple[FloatArray, FloatArray]:
    """Points (n, 3) LPS mm inside a structure and the volume (n,) in cm3 that each stands for.

    Args:
        subvoxels: n of the n^3 points in each voxel of the structure's grid, 1..10; default: as many as the DVH takes.
    """
    count = default_subvoxels(structure) if subvoxels is None else subvoxels
    if not 1 <= count <= 10:
        raise InputError(f"subvoxels is {count}; 1 <= subvoxels <= 10 gives that number cubed of points a voxel")
    voxels = np.argwhere(structure.coverage > 0.0)
    fraction = structure.coverage[tuple(voxels.T)].astype(np.float64)
    offsets = lattice_points(count**3)[:, ::-1]
    weights = np.repeat(fraction[:, None], len(offsets), axis=1)
    partial = np.flatnonzero(fraction < 1.0)
    if partial.size and count > 1:
        inside = voxels[partial, None, :] + offsets[None] + 1.0
        depth = map_coordinates(smoothed(np.pad(structure.coverage, 1)), inside.reshape(-1, 3).T, order=1)
        rank = np.argsort(np.argsort(-depth.reshape(len(partial), -1), axis=1), axis=1)
        weights[partial] = np.clip(fraction[partial, None] * len(offsets) - rank, 0.0, 1.0)
    points = structure.grid.point_at(voxels[:, None, :] + offsets[None])
    keep = weights > 1e-9
    return points[keep], weights[keep] * (structure.grid.voxel_volume_cm3 / len(offsets))


def dose_at_hottest(dose_gy: AnyFloatArray, volume_cm3: AnyFloatArray, hottest_cm3: float) -> float:
    """D(hottest_cm3): the largest dose in Gy that at least this volume gets; the minimum when there is less than that.

    Args:
        dose_gy, volume_cm3: (n,) of the points of a structure.
    """
    dose = np.asarray(dose_gy, dtype=np.float64)
    if not dose.size or not np.isfinite(hottest_cm3) or hottest_cm3 < 0:
        raise InputError(
            f"D(cc) needs points and a finite volume >= 0 cm3; given {dose.size} points and {hottest_cm3} cm3"
        )
    order = np.argsort(-dose)
    reached = np.cumsum(np.asarray(volume_cm3, dtype=np.float64)[order])
    first = int(np.searchsorted(reached, hottest_cm3 - 1e-12))
    return float(dose[order[min(first, dose.size - 1)]])


def volume_receiving(dose_gy: AnyFloatArray, volume_cm3: AnyFloatArray, threshold_gy: float) -> float:
    """Volume in cm3 of the points that get at least ``threshold_gy``."""
    inside = np.asarray(dose_gy) >= threshold_gy
    return float(np.asarray(volume_cm3, dtype=np.float64)[inside].sum())

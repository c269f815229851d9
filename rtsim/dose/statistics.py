"""Sub-voxel points of a structure and what their doses say: pure arrays, for floors that must read D(cc) alike.

A voxel that a structure covers partly is cut by a plane whose normal is the gradient of the coverage and whose position
conserves the covered volume (PLIC; Youngs 1982, "Time-dependent multi-material flow with large fluid distortion"), as
the dose-volume histograms of the evaluation do.
"""

from __future__ import annotations

import numpy as np

from rtsim.errors import InputError
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, FloatArray

_BISECTIONS = 30


def structure_points(structure: Structure, subvoxels: int = 3) -> tuple[FloatArray, FloatArray]:
    """Points (n, 3) LPS mm inside a structure and the volume (n,) in cm3 that each stands for.

    Args:
        subvoxels: points along each edge of a voxel of the structure's grid, 1..10.
    """
    if not 1 <= subvoxels <= 10:
        raise InputError(f"subvoxels is {subvoxels}; 1 <= subvoxels <= 10 points along a voxel edge")
    voxels = np.argwhere(structure.coverage > 0.0)
    fraction = structure.coverage[tuple(voxels.T)].astype(np.float64)
    line = (np.arange(subvoxels) + 0.5) / subvoxels - 0.5
    offsets = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.repeat(fraction[:, None], len(offsets), axis=1)
    partial = np.flatnonzero(fraction < 1.0)
    if partial.size and subvoxels > 1:
        weights[partial] = _behind_plane(structure, voxels[partial], fraction[partial], offsets, subvoxels)
    points = structure.grid.point_at(voxels[:, None, :] + offsets[None])
    keep = weights > 1e-9
    return points[keep], weights[keep] * (structure.grid.voxel_volume_cm3 / len(offsets))


def _behind_plane(
    structure: Structure, voxels: np.ndarray, fraction: FloatArray, offsets: FloatArray, subvoxels: int
) -> FloatArray:
    """Weights (n, m) 0..1 of the sub-voxels behind the plane that cuts off ``fraction`` of each voxel."""
    step = np.array(structure.grid.spacing_mm[::-1])
    normal = _gradient(np.pad(structure.coverage.astype(np.float64), 1), voxels + 1) / step
    extent = (np.abs(normal) * step).sum(axis=1)
    flat = extent < 1e-6
    width = np.where(flat, 1.0, extent) / subvoxels
    height = (normal * step) @ offsets.T
    low, high = -0.5 * extent - width, 0.5 * extent + width
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        share = np.clip(0.5 + (height - middle[:, None]) / width[:, None], 0.0, 1.0)
        more = share.mean(axis=1) > fraction
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(flat[:, None], fraction[:, None], share)


def _gradient(padded: FloatArray, voxels: np.ndarray) -> FloatArray:
    """Parker-Youngs 3 x 3 x 3 gradient (n, 3) in the order (z, y, x), per voxel."""
    out = np.zeros((len(voxels), 3))
    for shift in np.ndindex(3, 3, 3):
        d = np.array(shift) - 1
        value = padded[tuple((voxels + d).T)]
        weight = 2.0 - np.abs(d)
        for axis in range(3):
            others = float(np.prod(np.delete(weight, axis)))
            out[:, axis] += d[axis] * others * value / 32.0
    return out


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

"""What the optimizer sees of a phantom: the rows of its matrix, as voxels of the dose grid and as points inside them.

Targets and organs bring all their voxels, normal tissue a seeded sample, and structures with a hard limit sub-voxel
points, whose doses are interpolated as the evaluation does: what holds there holds between the voxel centers too. A
structure whose limit holds in displaced positions, too, brings the points of all of them, thinned to as many as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import distance_transform_edt

from rtsim.dose.dvh.model import default_subvoxels
from rtsim.dose.result import Dose, Influence
from rtsim.dose.statistics import structure_points
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.optimize.goals import points_dose
from rtsim.optimize.objectives import Region
from rtsim.optimize.robust.scenarios import Displacement
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray, IntArray

NEAR_TARGET_MM = 6.0
"""Organs keep all their voxels up to this far from the target."""

WIDE_CM3 = 200.0
"""A structure larger than this is no tube beside the target: where it is hottest is told by its distance from that."""

LEAST_SUBVOXELS = 3
"""Points along a voxel edge (cubed) before points are thinned: D0.035cc of a cord on 3 mm voxels is then 0.8 % off."""

NORMAL_TISSUE = "normal tissue"
"""Name of the region of sampled tissue around the target, for fall-off objectives."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many rows the optimizer gets.

    Between the voxels of a sparse sample an optimizer hides dose: of the tissue of an L2 case that got half the
    prescription 12 to 30 mm from the target, a sample of 3 % saw a fifth.

    Attributes:
        normal_fraction: of the body's voxels outside the target beyond ``shell_mm``; ``shell_fraction`` nearer than
            that.
        reach_mm: normal tissue farther from the target is not sampled.
        organ_voxels: organs with more voxels than this are sampled down to it, but for those near the target.
        limit_points: sub-voxel points of a hard-limited structure, at most.
        seed: of the samples.
    """

    normal_fraction: float = 0.06
    shell_fraction: float = 0.2
    shell_mm: float = 30.0
    reach_mm: float = 100.0
    organ_voxels: int = 800
    limit_points: int = 2500
    seed: int = 1

    def __post_init__(self) -> None:
        if not (0.0 < self.normal_fraction <= 1.0 and 0.0 < self.shell_fraction <= 1.0):
            raise InputError("normal_fraction and shell_fraction must lie in 0 < fraction <= 1")
        if self.organ_voxels < 1 or self.limit_points < 1:
            raise InputError("organ_voxels and limit_points must be >= 1")


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The rows, and how each follows from a dose.

    Attributes:
        grid: the dose grid of the influence matrix.
        voxels: (v,) flat indices into it: the first v rows.
        points_mm: (p, 3): the last p rows.
        regions: by structure name; hard-limited structures by ``limit_name``.
        distance_mm: (nz, ny, nx) to the target's surface, 0 inside.
    """

    grid: Grid
    voxels: IntArray
    points_mm: FloatArray
    regions: dict[str, Region]
    distance_mm: FloatArray

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.voxels.size + len(self.points_mm))

    def matrix_of(self, influence: Influence, fractions: int) -> sparse.csr_array:
        """(rows, beamlets) float32 CSR, Gy of all fractions per monitor unit (of each fraction) of a beamlet."""
        at_voxels = influence.matrix[self.voxels]
        at_points = interpolation(self.grid, self.points_mm) @ influence.matrix
        stacked = sparse.csr_array(sparse.vstack((at_voxels, at_points), format="csr"))
        return sparse.csr_array((stacked * np.float32(fractions)).astype(np.float32))

    def dose_of(self, dose: Dose) -> FloatArray:
        """(rows,) Gy of a dose on any grid; 0 outside of it."""
        at_voxels = dose.on(self.grid).values_gy.ravel()[self.voxels].astype(np.float64)
        return np.concatenate((at_voxels, points_dose(dose, self.points_mm))) if len(self.points_mm) else at_voxels


def limit_name(structure: str) -> str:
    """Key of the region of sub-voxel points of a hard-limited structure."""
    return f"{structure} (limit)"


def interpolation(grid: Grid, points_mm: FloatArray) -> sparse.csr_array:
    """(points, voxels) float32: trilinear weights, the edge value between the outer centers and the outer edges."""
    index = grid.index_of(points_mm)
    top = np.array(grid.shape, dtype=np.float64) - 1.0
    index = np.clip(index, 0.0, top)
    low = np.minimum(np.floor(index), np.maximum(top - 1.0, 0.0)).astype(np.int64)
    part = index - low
    rows, columns, values = [], [], []
    for corner in np.ndindex(2, 2, 2):
        at = np.minimum(low + corner, top.astype(np.int64))
        rows.append(np.arange(len(points_mm)))
        columns.append(np.ravel_multi_index(tuple(at.T), grid.shape))
        values.append(np.prod(np.where(np.array(corner) == 1, part, 1.0 - part), axis=1))
    data = (np.concatenate(values).astype(np.float32), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(data, shape=(len(points_mm), grid.size))


def build_rows(
    phantom: Phantom,
    grid: Grid,
    target: Structure,
    organs: tuple[Structure, ...],
    limited: tuple[Structure, ...],
    sampling: Sampling,
    displaced: Mapping[str, tuple[Displacement, ...]] | None = None,
) -> Rows:
    """Choose the rows.

    Args:
        displaced: by name of a limited structure the positions in which its limit holds, the nominal one among them.

    Raises:
        GeometryError: the target lies outside the dose grid.
    """
    rng = np.random.default_rng(sampling.seed)
    coverage = target.coverage_on(grid)
    if not coverage.any():
        raise GeometryError(f"target {target.name!r} lies outside the dose grid {grid.lower_mm} .. {grid.upper_mm} mm")
    distance = np.asarray(distance_transform_edt(coverage < 0.5, sampling=grid.spacing_mm[::-1]), dtype=np.float64)
    picked: dict[str, tuple[IntArray, FloatArray]] = {target.name: _voxels(coverage, grid)}
    for organ in organs:
        if organ.name != target.name:
            found = _voxels(organ.coverage_on(grid), grid)
            if found[0].size:
                picked[organ.name] = _thin(found, sampling.organ_voxels, distance, rng)
    picked[NORMAL_TISSUE] = _normal_tissue(phantom, grid, distance, sampling, rng)
    voxels = np.unique(np.concatenate([v for v, _ in picked.values()]))
    regions = {
        name: Region(
            name=name,
            rows=np.searchsorted(voxels, v),
            volume_cm3=w,
            distance_mm=distance.ravel()[v] if name == NORMAL_TISSUE else None,
        )
        for name, (v, w) in picked.items()
    }
    points = [np.zeros((0, 3))]
    first = int(voxels.size)
    for structure in limited:
        positions = (displaced or {}).get(structure.name, ())
        p, volume = _limit_points(structure, grid, sampling, distance, positions)
        if len(p):
            name = limit_name(structure.name)
            regions[name] = Region(name=name, rows=np.arange(first, first + len(p)), volume_cm3=volume)
            points.append(p)
            first += len(p)
    return Rows(grid=grid, voxels=voxels, points_mm=np.concatenate(points), regions=regions, distance_mm=distance)


def _voxels(coverage: np.ndarray, grid: Grid) -> tuple[IntArray, FloatArray]:
    inside = np.flatnonzero(coverage > 0.02)
    return inside.astype(np.int64), coverage.ravel()[inside].astype(np.float64) * grid.voxel_volume_cm3


def _thin(
    found: tuple[IntArray, FloatArray], count: int, distance: FloatArray, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """All voxels near the target, where hot spots are, and of the rest a sample that stands for its volume."""
    voxels, volume = found
    if voxels.size <= count:
        return found
    near = distance.ravel()[voxels] < NEAR_TARGET_MM
    rest = np.flatnonzero(~near)
    kept = np.sort(rng.choice(rest, min(rest.size, max(count - int(near.sum()), count // 4)), replace=False))
    scale = volume[rest].sum() / volume[kept].sum() if kept.size else 1.0
    return np.concatenate((voxels[near], voxels[kept])), np.concatenate((volume[near], volume[kept] * scale))


def _normal_tissue(
    phantom: Phantom, grid: Grid, distance: FloatArray, sampling: Sampling, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    points = grid.point_at(np.argwhere(np.ones(grid.shape, dtype=bool)).astype(np.float64))
    kji = np.rint(phantom.grid.index_of(points)).astype(np.int64)
    inside = np.all((kji >= 0) & (kji < np.array(phantom.grid.shape)), axis=1)
    body = np.zeros(grid.size, dtype=bool)
    body[inside] = phantom.external_mask()[tuple(kji[inside].T)]
    d = distance.ravel()
    chance = np.where(d < sampling.shell_mm, sampling.shell_fraction, sampling.normal_fraction)
    chosen = body & (d > 0.0) & (d < sampling.reach_mm) & (rng.random(grid.size) < chance)
    if not chosen.any():
        raise GeometryError(
            "no tissue of the body surrounds the target on the dose grid; check the outline and the dose grid"
        )
    voxels = np.flatnonzero(chosen).astype(np.int64)
    return voxels, grid.voxel_volume_cm3 / chance[voxels]


def _limit_points(
    structure: Structure,
    grid: Grid,
    sampling: Sampling,
    to_target_mm: FloatArray,
    displacements: tuple[Displacement, ...] = (),
) -> tuple[FloatArray, FloatArray]:
    """The structure's sub-voxel points on the dose grid; the outermost one of each bin where they are too many.

    A limited structure lies in a valley of the dose, so that its hottest points are on its surface; those of one above
    ``WIDE_CM3`` are the ones next to the target. Bins have the side of half a dose voxel, or more. With
    ``displacements`` they are the points of all positions, each of which stands for its share of the volume.

    Args:
        to_target_mm: (nz, ny, nx) distance of the voxels of the dose grid from the target.
    """
    usual = default_subvoxels(structure)
    for subvoxels in (usual, min(usual, LEAST_SUBVOXELS)):
        points, volume = structure_points(structure, subvoxels)
        on_grid = grid.contains(points)
        points, volume = points[on_grid], volume[on_grid]
        if len(points) <= sampling.limit_points:
            break
    axis = _Axis(points, volume) if len(points) else None
    if len(displacements) > 1:
        points = np.concatenate([d.moved(points) for d in displacements])
        volume = np.tile(volume / len(displacements), len(displacements))
        on_grid = grid.contains(points)
        points, volume = points[on_grid], volume[on_grid]
    if axis is None or len(points) <= sampling.limit_points:
        return points, volume
    is_wide = structure.volume_cm3 > WIDE_CM3
    outward = -_nearest(to_target_mm, grid, points) if is_wide else axis.distance_mm(points)
    size = 0.5 * np.array(grid.spacing_mm)
    while True:
        label = np.unique(np.floor(points / size).astype(np.int64), axis=0, return_inverse=True)[1].ravel()
        if label.max() < sampling.limit_points:
            break
        size = size * 1.2
    order = np.lexsort((-outward, label))
    outermost = order[np.unique(label[order], return_index=True)[1]]
    return points[outermost], np.asarray(np.bincount(label, weights=volume), dtype=np.float64)


def _nearest(values: FloatArray, grid: Grid, points: FloatArray) -> FloatArray:
    """(n,) the value of the voxel that each point lies in."""
    index = np.clip(np.rint(grid.index_of(points)).astype(np.int64), 0, np.array(grid.shape) - 1)
    return np.asarray(values[tuple(index.T)], dtype=np.float64)


class _Axis:
    """The centers of a structure at each of its heights z."""

    def __init__(self, points: FloatArray, volume: FloatArray) -> None:
        self._z, level = np.unique(np.round(points[:, 2], 3), return_inverse=True)
        weight = np.bincount(level.ravel(), weights=volume)
        self._centers = [np.bincount(level.ravel(), weights=volume * points[:, axis]) / weight for axis in (0, 1)]

    def distance_mm(self, points: FloatArray) -> FloatArray:
        """(n,) distance of points from the axis at their height."""
        x, y = (np.interp(points[:, 2], self._z, center) for center in self._centers)
        return np.asarray(np.hypot(points[:, 0] - x, points[:, 1] - y), dtype=np.float64)

"""Signed distance to the surface of a structure that is given as fractional voxel coverage, finer than the voxel.

The surface is a set of small flat patches. Wherever coverage crosses one half between two neighbouring voxels along the
axis that is nearest to the surface normal, the patch lies at the height that the coverage of that column of four voxels
adds up to: exact for a plane, the voxel face for a mask of zeros and ones (height functions as in volume-of-fluid
codes; Cummins 2005, DOI 10.1016/j.compstruc.2004.08.017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from rtsim.errors import GeometryError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import sample_linear
from rtsim.typing import AnyFloatArray, FloatArray, Vector3

_PAD: Final = 2
_NEIGHBOURS: Final = 8
_HALF_PATCH: Final = 0.35
"""Half width of a patch in voxels. 0.5 would close a plane but stand out of a ball; measured on balls of 6 and 15 mm,
rods and boxes on 2 mm voxels,
volumes after margins of 0.7 .. 10 mm are then within 1.5 % (5 % with 0.5, 3 % with 0.25)."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The patches of one surface.

    Attributes:
        center_mm: (n, 3) LPS mm.
        normal: (n, 3) unit vectors that point out.
        coverage: the coverage it came from, on ``grid`` (padded).
    """

    center_mm: FloatArray
    normal: FloatArray
    coverage: FloatArray
    grid: Grid

    @classmethod
    def of(cls, coverage: AnyFloatArray, grid: Grid, *, continued: tuple[bool, ...] = (False,) * 6) -> Surface:
        """Find the patches of ``coverage`` [k, j, i] on ``grid``; an axis of one voxel is taken as endless (planar).

        ``continued``: for the faces (-z, +z, -y, +y, -x, +x) whether the structure goes on beyond the grid.

        Raises:
            GeometryError: nothing is inside.
        """
        padded, padded_grid = _padded(np.asarray(coverage, dtype=np.float64), grid, continued)
        if padded.max() < 0.5:
            raise GeometryError("no voxel is at least half inside; the structure is too small for this grid")
        gradient = _outward(padded, padded_grid)
        centers, normals = [], []
        for axis in range(3):
            if grid.shape[axis] > 1:
                index, normal = _crossings(padded, gradient, padded_grid, axis)
                centers.append(padded_grid.point_at(index))
                normals.append(normal)
        if not centers or not sum(len(c) for c in centers):
            raise GeometryError("the structure has no surface on this grid: it fills all of it")
        return cls(np.concatenate(centers), np.concatenate(normals), padded, padded_grid)

    def distance(self, points_mm: AnyFloatArray, unit_mm: Vector3 = (1.0, 1.0, 1.0)) -> tuple[FloatArray, FloatArray]:
        """Signed distance (n,) of points (n, 3) LPS mm, negative inside, and the unit direction (n, 3) away from it.

        Lengths along x, y, z are counted in units of ``unit_mm``: with the semi-axes of an ellipsoid as units, distance
        1 is the surface grown by that ellipsoid.
        """
        unit = np.array(unit_mm, dtype=np.float64)
        points = np.asarray(points_mm, dtype=np.float64)
        half = _HALF_PATCH * np.array(self.grid.spacing_mm) / unit
        normal = self.normal * unit
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        count = min(_NEIGHBOURS, len(normal))
        _, near = cKDTree(self.center_mm / unit).query(points / unit, k=count, workers=-1)
        best = np.full(len(points), np.inf)
        height = np.zeros(len(points))
        direction = np.zeros((len(points), 3))
        for column in np.asarray(near).reshape(len(points), count).T:
            q = (points - self.center_mm[column]) / unit
            a = np.einsum("ij,ij->i", q, normal[column])
            lateral = q - a[:, None] * normal[column]
            beyond = np.sign(lateral) * np.maximum(np.abs(lateral) - half, 0.0)
            d = np.sqrt(a * a + (beyond * beyond).sum(axis=1))
            better = d < best
            best[better], height[better] = d[better], a[better]
            direction[better] = (a[:, None] * normal[column] + beyond)[better]
        inside = sample_linear(self.coverage, self.grid, points) >= 0.5
        flat = best <= np.abs(height) * 1.0001 + 1e-12
        near_patch = np.abs(height) < half.min() / _HALF_PATCH
        inside = np.where(flat & near_patch, height < 0.0, inside)
        signed = np.where(inside, -best, best)
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        return signed, direction / np.where(length > 0, length, 1.0)


def _padded(coverage: FloatArray, grid: Grid, continued: tuple[bool, ...]) -> tuple[FloatArray, Grid]:
    out = coverage
    for axis in range(3):
        if grid.shape[axis] == 1:
            continue
        for side, whole in enumerate(continued[2 * axis : 2 * axis + 2]):
            width = [(0, 0)] * 3
            width[axis] = (_PAD, 0) if side == 0 else (0, _PAD)
            out = np.pad(out, width, mode="edge") if whole else np.pad(out, width)
    shift = [0 if n == 1 else _PAD for n in grid.shape]
    first = grid.point_at(-np.array(shift, dtype=np.float64))
    shape = (out.shape[0], out.shape[1], out.shape[2])
    return out, Grid(shape, grid.spacing_mm, (float(first[0]), float(first[1]), float(first[2])))


def _outward(coverage: FloatArray, grid: Grid) -> FloatArray:
    """(nz, ny, nx, 3) minus the gradient of the slightly smoothed coverage, order x, y, z, per mm."""
    sigma = [0.0 if n == 1 else 0.8 for n in coverage.shape]
    smooth = gaussian_filter(coverage, sigma, mode="nearest", truncate=3.0)
    out = np.zeros((*coverage.shape, 3))
    for axis, xyz in ((0, 2), (1, 1), (2, 0)):
        if coverage.shape[axis] > 1:
            out[..., xyz] = -np.gradient(smooth, grid.spacing_mm[xyz], axis=axis)
    return out


def _crossings(c: FloatArray, outward: FloatArray, grid: Grid, axis: int) -> tuple[FloatArray, FloatArray]:
    """Fractional indices (n, 3) [k, j, i] of the patches along one axis, and their unit normals (n, 3) (x, y, z)."""
    n = c.shape[axis]
    at = np.moveaxis(c, axis, 0)
    low, high = at[:-1] >= 0.5, at[1:] >= 0.5
    first, *other = np.nonzero(low != high)
    falling = low[(first, *other)]
    column = [at[(np.clip(first + s, 0, n - 1), *other)] for s in (-1, 0, 1, 2)]
    total = sum(column)
    # falling: full .. empty, the edge lies `total` voxels above the lower face of voxel first-1; rising: mirrored
    edge = np.where(falling, first - 1.5 + total, first + 2.5 - total)
    position = np.clip(edge, first, first + 1.0)
    weight = (position - first)[:, None]
    moved = np.moveaxis(outward, axis, 0)
    normal = moved[(first, *other)] * (1 - weight) + moved[(first + 1, *other)] * weight
    steep = np.abs(normal) * np.array(grid.spacing_mm)
    keep = steep[:, 2 - axis] >= 0.6 * steep.max(axis=1)
    length = np.linalg.norm(normal, axis=1)
    keep &= length > 1e-9
    index = [o.astype(np.float64) for o in other]
    index.insert(axis, position)
    return np.stack(index, axis=1)[keep], normal[keep] / length[keep, None]

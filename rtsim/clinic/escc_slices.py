"""Axial slices of the canal, finer than the voxel: tumor, canal, sac and cord as outlines on one fine lattice.

A cord of 6 mm on voxels of 3 mm is two voxels deep, and the grades differ by a millimeter. Coverage holds more than a
mask does: each slice is drawn as polygons that give its coverage back, and these are filled on pixels of a quarter
millimeter. Areas, depths and distances are then read in the plane, as a radiologist reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.spatial import ConvexHull, QhullError

from rtsim.geometry.contours import contours_from_coverage, plane_coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_mean
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.typing import BoolArray, Float32Array, FloatArray

PIXEL_MM: Final = 0.25
BEYOND_MM: Final = 15.0
"""How far the slices reach beyond the tumor: far enough to show the canal without it."""
_MARGIN_MM: Final = 4.0


@dataclass(frozen=True, eq=False)
class Stack:
    """One structure on every slice.

    Attributes:
        z_mm: (n,) LPS z of the slices, rising.
        inside: (n, ny, nx) on the fine pixels.
        coverage: (n, rows, columns) on the voxels.
        voxel_mm: (dx, dy) of the voxels.
    """

    z_mm: FloatArray
    inside: BoolArray
    coverage: Float32Array
    voxel_mm: tuple[float, float]

    def on(self, k: int) -> BoolArray:
        """(ny, nx) of one slice."""
        return np.asarray(self.inside[k])

    @property
    def drawn(self) -> BoolArray:
        """(n,) the slices that show it."""
        return np.asarray(self.inside.any(axis=(1, 2)))

    def only(self, slices: BoolArray) -> Stack:
        """On some slices only; (n,)."""
        keep = slices[:, None, None]
        return replace(self, inside=self.inside & keep, coverage=np.where(keep, self.coverage, np.float32(0.0)))

    def joined(self, other: Stack | None) -> Stack:
        """With another structure, and without holes: a sac that is drawn as a ring around the cord is filled."""
        both = self.inside if other is None else self.inside | other.inside
        return replace(self, inside=np.array([binary_fill_holes(one) for one in both]))


@dataclass(frozen=True)
class Lattice:
    """Slices of the CT (``grid``, cropped to the canal about the tumor) and the fine pixels of each (``fine``)."""

    grid: Grid
    fine: Grid

    @classmethod
    def around(cls, tumor: tuple[Structure, ...], neural: tuple[Structure, ...], phantom: Phantom) -> Lattice:
        """The slices of the tumor and a little beyond, as wide as the neural structures (canal, sac, cord) there.

        Raises:
            GeometryError: they do not meet the CT.
        """
        low_z = min(s.grid.lower_mm[2] for s in tumor) - BEYOND_MM
        high_z = max(s.grid.upper_mm[2] for s in tumor) + BEYOND_MM
        lower, upper = np.full(2, np.inf), np.full(2, -np.inf)
        for s in neural:
            here = (s.grid.z_mm >= low_z) & (s.grid.z_mm <= high_z)
            shown = s.coverage[here].any(axis=0) if here.any() else s.coverage.any(axis=0)
            j, i = np.nonzero(shown)
            lower = np.minimum(lower, (s.grid.x_mm[i.min()], s.grid.y_mm[j.min()]))
            upper = np.maximum(upper, (s.grid.x_mm[i.max()], s.grid.y_mm[j.max()]))
        pad = _MARGIN_MM + max(phantom.grid.spacing_mm[:2])
        first = (float(lower[0]) - pad, float(lower[1]) - pad, low_z)
        last = (float(upper[0]) + pad, float(upper[1]) + pad, high_z)
        grid, _ = phantom.grid.crop(first, last)
        low, high = grid.lower_mm, grid.upper_mm
        fine = Grid.covering((low[0], low[1], 0.0), (high[0], high[1], 1.0), (PIXEL_MM, PIXEL_MM, 1.0))
        return cls(grid, fine)

    def stack(self, structures: tuple[Structure, ...]) -> Stack | None:
        """The union of structures on every slice; None when there are none."""
        if not structures:
            return None
        coverage: Float32Array = np.zeros(self.grid.shape, dtype=np.float32)
        for structure in structures:
            coverage = np.maximum(coverage, structure.coverage_on(self.grid))
        out = np.zeros((self.grid.shape[0], *self.fine.shape[1:]), dtype=np.bool_)
        if coverage.any():
            for z, polygons in contours_from_coverage(coverage, self.grid).planes():
                k = round((z - self.grid.origin_mm[2]) / self.grid.spacing_mm[2])
                out[k] = plane_coverage(polygons, self.fine) >= 0.5
        return Stack(self.grid.z_mm, out, coverage, self.grid.spacing_mm[:2])

    def voxels(self, inside: BoolArray) -> Float32Array:
        """Coverage of one slice's voxels by an area on the fine pixels."""
        (_, ny, nx), (dx, dy, _) = self.grid.shape, self.grid.spacing_mm
        target = Grid((1, ny, nx), (dx, dy, 1.0), (*self.grid.origin_mm[:2], self.fine.origin_mm[2]))
        return np.asarray(resample_mean(inside[None].astype(np.float64), self.fine, target)[0], dtype=np.float32)


def area_mm2(inside: BoolArray) -> float:
    """Area of a slice."""
    return float(np.count_nonzero(inside)) * PIXEL_MM**2


def depth_mm(inside: BoolArray) -> FloatArray:
    """(ny, nx) depth below the outline, mm; 0 outside. The middle of the first pixel lies half a pixel deep."""
    depth = np.asarray(distance_transform_edt(inside), dtype=np.float64) * PIXEL_MM
    return np.asarray(np.where(inside, depth - PIXEL_MM / 2, 0.0))


def signed_mm(inside: BoolArray) -> FloatArray:
    """(ny, nx) distance to the outline, mm, negative inside."""
    outside = np.asarray(distance_transform_edt(~inside), dtype=np.float64) * PIXEL_MM
    return np.asarray(np.where(inside, -depth_mm(inside), outside - PIXEL_MM / 2))


def deepest_mm(what: BoolArray, inside: BoolArray) -> float:
    """How deep ``what`` reaches below the outline of ``inside``; 0 when it does not."""
    return float(depth_mm(inside)[what].max()) if what.any() and inside.any() else 0.0


def gap_mm(a: BoolArray, b: BoolArray) -> float:
    """Smallest distance of two outlines, 0 when they touch or overlap; inf when one is not there."""
    if not a.any() or not b.any():
        return float("inf")
    away = np.asarray(distance_transform_edt(~b), dtype=np.float64)[a]
    return max(0.0, float(away.min()) - 1.0) * PIXEL_MM


def film_mm(what: Float32Array, inside: Float32Array, voxel_mm: tuple[float, float]) -> float:
    """How thick ``what`` is inside of ``inside`` (coverages of one slice's voxels): outlines of films are uncertain.

    What both surely share of each voxel is added up along rows and along columns; the thickness is the smaller sum, at
    the voxel where that is largest.
    """
    shared = np.maximum(what.astype(np.float64) + inside - 1.0, 0.0)
    across = shared.sum(axis=1)[:, None] * voxel_mm[0]
    along = shared.sum(axis=0)[None, :] * voxel_mm[1]
    return float(np.where(shared > 0.0, np.minimum(across, along), 0.0).max())


def space_mm(a: Float32Array, b: Float32Array, voxel_mm: tuple[float, float]) -> float:
    """Smallest space between two structures (coverages of one slice's voxels) along a row or a column; inf: none meet.

    The space is what neither covers between the voxels where each covers most: exact for flat surfaces.
    """
    smallest = np.inf
    for one, other, step in ((a, b, voxel_mm[1]), (a.T, b.T, voxel_mm[0])):
        for line_a, line_b in zip(one.T, other.T, strict=True):
            if line_a.max() < 0.5 or line_b.max() < 0.5:
                continue
            for i, j in _facing(line_a >= 0.5, line_b >= 0.5):
                free = 1.0 - line_a[i : j + 1].astype(np.float64) - line_b[i : j + 1]
                smallest = min(smallest, max(0.0, float(free.sum())) * step)
    return float(smallest)


def _facing(a: BoolArray, b: BoolArray) -> list[tuple[int, int]]:
    """Pairs (first, last) of voxels of a line: one in ``a``, the other in ``b``, neither between them."""
    marks = np.flatnonzero(a | b)
    return [(int(i), int(j)) for i, j in pairwise(marks) if (a[i] and b[j]) or (b[i] and a[j])]


def center_mm(inside: BoolArray) -> FloatArray:
    """(2,) (y, x) center of area in mm from the middle of the corner pixel."""
    j, i = np.nonzero(inside)
    return np.array((j.mean(), i.mean())) * PIXEL_MM


def hull(inside: BoolArray) -> BoolArray:
    """(ny, nx) the convex hull of an area."""
    try:
        equations = ConvexHull(np.argwhere(inside)).equations
    except (QhullError, ValueError):  # a line or a few pixels: nothing to hull
        return inside
    j, i = np.indices(inside.shape)
    out = np.ones(inside.shape, dtype=np.bool_)
    for a, b, c in equations:
        out &= a * j + b * i + c <= 1e-9
    return out


def thickness_mm(inside: BoolArray, direction: FloatArray) -> float:
    """Thickness of an area along a unit (y, x) direction, mean over the middle half of its breadth."""
    across = np.argwhere(inside) @ np.array((-direction[1], direction[0]))
    if not across.size:
        return 0.0
    breadth = float(across.max() - across.min()) + 1.0
    # pixels at the rim of the band count by their share, or whole rows would come and go with it
    share = np.clip(breadth / 4.0 + 0.5 - np.abs(across - (across.max() + across.min()) / 2.0), 0.0, 1.0)
    return float(share.sum()) / (breadth / 2.0) * PIXEL_MM

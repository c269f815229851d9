"""Planar axial polygons and their voxel coverage: RTSTRUCT contours to masks and back.

Polygons on one plane combine by even-odd (XOR): an inner polygon is a hole, two separate ones are two pieces, and a
keyhole polygon (outer and inner ring joined by a two-way channel) gives the same area. Orientation does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import contourpy
import numpy as np

from rtsim.errors import GeometryError
from rtsim.geometry._kernels import polygon_coverage
from rtsim.geometry.distance import Surface
from rtsim.geometry.grid import Grid
from rtsim.typing import AnyFloatArray, Float32Array, FloatArray

_SAME_PLANE_MM: Final = 0.01
_ON_PLANE: Final = 1e-3
_CLEAR: Final = 0.03
_CLOSE: Final = 0.02
_SPECK_MM2: Final = 0.01
"""An outline that encloses less than this is none."""
_WIDEST_GAP: Final = 3.0
"""Planes further apart than this many contour spacings belong to separate pieces."""


@dataclass(frozen=True, eq=False)
class PlanarContours:
    """Closed polygons on axial planes.

    Attributes:
        z_mm: (n,) LPS z of each polygon, read-only; several polygons may share one z.
        polygons: n arrays (m, 2) of (x, y) LPS mm, m >= 3, read-only; the last point joins the first.
    """

    z_mm: FloatArray
    polygons: tuple[FloatArray, ...]

    def __post_init__(self) -> None:
        z = np.array(self.z_mm, dtype=np.float64, order="C").reshape(-1)
        if len(z) != len(self.polygons):
            raise GeometryError(f"{len(z)} z_mm for {len(self.polygons)} polygons; each polygon needs its own")
        if not np.isfinite(z).all():
            raise GeometryError("z_mm of a contour is NaN or infinite; finite LPS mm are needed")
        polygons = []
        for position, polygon in zip(z, self.polygons, strict=True):
            points = np.array(polygon, dtype=np.float64, order="C")
            if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
                raise GeometryError(
                    f"polygon at z = {position:g} mm has shape {points.shape}; (m, 2) with m >= 3 is needed"
                )
            if not np.isfinite(points).all():
                raise GeometryError(f"polygon at z = {position:g} mm holds NaN or infinite coordinates")
            points.flags.writeable = False
            polygons.append(points)
        z.flags.writeable = False
        object.__setattr__(self, "z_mm", z)
        object.__setattr__(self, "polygons", tuple(polygons))

    def __len__(self) -> int:
        return len(self.polygons)

    def planes(self) -> tuple[tuple[float, tuple[FloatArray, ...]], ...]:
        """Polygons by plane, in order of z; planes closer than 0.01 mm are one."""
        order = np.argsort(self.z_mm, kind="stable")
        out: list[tuple[float, list[FloatArray]]] = []
        for i in order:
            z = float(self.z_mm[i])
            if out and z - out[-1][0] <= _SAME_PLANE_MM:
                out[-1][1].append(self.polygons[i])
            else:
                out.append((z, [self.polygons[i]]))
        return tuple((z, tuple(polygons)) for z, polygons in out)

    @property
    def spacing_mm(self) -> float | None:
        """Distance of neighbouring planes (the lower median), mm; None for a single plane."""
        steps = np.sort(np.diff([z for z, _ in self.planes()]))
        return float(steps[(steps.size - 1) // 2]) if steps.size else None


def plane_coverage(polygons: tuple[FloatArray, ...], grid: Grid) -> FloatArray:
    """Exact area fraction (ny, nx) of each pixel of ``grid`` inside polygons (m, 2) (x, y) LPS mm, even-odd."""
    ny, nx = grid.shape[1:]
    step = np.array(grid.spacing_mm[:2])
    pixels = [(p - np.array(grid.lower_mm[:2])) / step for p in polygons]
    ends = np.stack([np.concatenate(pixels), np.concatenate([np.roll(p, -1, axis=0) for p in pixels])])
    up = ends[0, :, 1] < ends[1, :, 1]
    lower, upper = np.where(up[:, None], ends[0], ends[1]), np.where(up[:, None], ends[1], ends[0])
    order = np.argsort(lower[:, 1], kind="stable")
    # horizontal edges bound no strip
    order = order[upper[order, 1] > lower[order, 1]]
    (x0, y0), (x1, y1) = np.ascontiguousarray(lower[order].T), np.ascontiguousarray(upper[order].T)
    cuts = np.sort(np.concatenate((np.clip(ends[0, :, 1], 0.0, float(ny)), np.arange(ny + 1.0))))
    out = np.empty((ny, nx))
    polygon_coverage(x0, y0, y1, (x1 - x0) / (y1 - y0), cuts, np.zeros((ny, nx + 1)), out)
    return out


def coverage_from_contours(contours: PlanarContours, grid: Grid, *, slab_mm: float | None = None) -> Float32Array:
    """Fraction (nz, ny, nx) of each voxel of ``grid`` inside the contours; see :func:`cropped_coverage`."""
    crop, slices, coverage = cropped_coverage(contours, grid, slab_mm=slab_mm)
    out = np.zeros(grid.shape, dtype=np.float32)
    if crop is not None:
        out[slices] = coverage
    return out


def cropped_coverage(
    contours: PlanarContours, grid: Grid, *, slab_mm: float | None = None
) -> tuple[Grid | None, tuple[slice, slice, slice], Float32Array]:
    """Voxel coverage on the part of ``grid`` that the contours meet.

    In the plane the area is exact, even-odd. Along z each plane stands for a slab of one contour spacing (the median
    distance of the planes): half a slab beyond the first and the last. Between planes the outline is interpolated by
    its signed distance, also across skipped planes up to a gap of three spacings; a wider gap separates two pieces.
    Voxels that a slab ends in are covered in part.

    Args:
        slab_mm: thickness of the slab of a single plane; default the z spacing of ``grid``.

    Returns:
        the crop of ``grid`` (None when the contours miss it), the slices [k, j, i] that cut it, and the coverage on it.
    """
    nothing = (None, (slice(0, 0),) * 3, np.zeros((0, 0, 0), dtype=np.float32))
    if not len(contours):
        return nothing
    spacing = contours.spacing_mm or slab_mm or grid.spacing_mm[2]
    points = np.concatenate(contours.polygons)
    lower = (*points.min(axis=0), contours.z_mm.min() - spacing / 2)
    upper = (*points.max(axis=0), contours.z_mm.max() + spacing / 2)
    try:
        crop, slices = grid.crop((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
    except GeometryError:
        return nothing
    coverage = np.zeros(crop.shape, dtype=np.float64)
    for piece in _pieces(contours, spacing):
        _add_piece(coverage, crop, piece, spacing)
    return crop, slices, np.clip(coverage, 0.0, 1.0).astype(np.float32)


@dataclass(eq=False)
class _Plane:
    """One plane of contours with its coverage and signed distance once they are needed."""

    z_mm: float
    polygons: tuple[FloatArray, ...]
    area: FloatArray | None = None
    surface: Surface | None = None

    def coverage(self, grid: Grid) -> FloatArray:
        if self.area is None:
            self.area = plane_coverage(self.polygons, grid)
        return self.area


def _pieces(contours: PlanarContours, spacing: float) -> list[list[_Plane]]:
    """Planes in runs without a gap wider than the limit."""
    out: list[list[_Plane]] = []
    for z, polygons in contours.planes():
        if not out or z - out[-1][-1].z_mm > _WIDEST_GAP * spacing + _SAME_PLANE_MM:
            out.append([])
        out[-1].append(_Plane(z, polygons))
    return out


def _add_piece(out: FloatArray, grid: Grid, planes: list[_Plane], spacing: float) -> None:
    """Add one run of planes: samples of the interpolated outline at the middles of the part of each voxel it fills."""
    z = np.array([p.z_mm for p in planes])
    bottom, top = z[0] - spacing / 2, z[-1] + spacing / 2
    dz, edge = grid.spacing_mm[2], grid.lower_mm[2]
    samples = max(1, math.ceil(dz / spacing - 0.01))
    for k in range(grid.shape[0]):
        lo, hi = max(edge + k * dz, bottom), min(edge + (k + 1) * dz, top)
        if hi - lo <= 1e-6 * dz:
            continue
        for s in range(samples):
            position = lo + (hi - lo) * (s + 0.5) / samples
            out[k] += _at(planes, z, position, grid) * ((hi - lo) / dz / samples)
        done = int(np.searchsorted(z, lo)) - 2
        for plane in planes[max(done - 4, 0) : max(done, 0)]:
            plane.area = plane.surface = None


def _at(planes: list[_Plane], z: FloatArray, position: float, grid: Grid) -> FloatArray:
    """Coverage (ny, nx) of the outline at z = ``position``."""
    above = int(np.searchsorted(z, position))
    if above == 0:
        return planes[0].coverage(grid)
    if above == len(planes):
        return planes[-1].coverage(grid)
    a, b = planes[above - 1], planes[above]
    t = (position - a.z_mm) / (b.z_mm - a.z_mm)
    if t < _ON_PLANE:
        return a.coverage(grid)
    if t > 1 - _ON_PLANE:
        return b.coverage(grid)
    return _between(a, b, t, grid)


def _between(a: _Plane, b: _Plane, t: float, grid: Grid) -> FloatArray:
    """Outline between two planes: the zero of the signed distance, interpolated linearly in z.

    What a distance says of the coverage on the two planes themselves is compared with their exact area, and the
    difference (corners) is interpolated too, so that the outline joins both planes without a step.
    """
    ca, cb = a.coverage(grid), b.coverage(grid)
    flat = Grid((1, *grid.shape[1:]), grid.spacing_mm, (grid.origin_mm[0], grid.origin_mm[1], 0.0))
    for plane, c in ((a, ca), (b, cb)):
        if plane.surface is None and c.max() >= 0.5:
            plane.surface = _planar_surface(c, flat)
    if a.surface is None or b.surface is None:
        return (1 - t) * ca + t * cb
    full, empty = (ca == 1.0) & (cb == 1.0), (ca == 0.0) & (cb == 0.0)
    out: FloatArray = full.astype(np.float64)
    j, i = np.nonzero(~(full | empty))
    points = np.stack([grid.x_mm[i], grid.y_mm[j], np.zeros(len(i))], axis=1)
    da, na = a.surface.distance(points)
    db, nb = b.surface.distance(points)
    joined = _ramp((1 - t) * da + t * db, (1 - t) * np.abs(na) + t * np.abs(nb), grid)
    corners = (1 - t) * (ca[j, i] - _ramp(da, na, grid)) + t * (cb[j, i] - _ramp(db, nb, grid))
    out[j, i] = np.clip(joined + corners, 0.0, 1.0)
    return out


def _ramp(distance_mm: FloatArray, normal: FloatArray, grid: Grid) -> FloatArray:
    """Coverage of pixels whose centers lie at a signed distance from a straight edge with this normal."""
    length = np.maximum(np.linalg.norm(normal[:, :2], axis=1), 1e-9)
    width = np.linalg.norm(normal[:, :2] * np.array(grid.spacing_mm[:2]), axis=1) / length
    return np.asarray(np.clip(0.5 - distance_mm / np.maximum(width, 1e-6), 0.0, 1.0))


def _planar_surface(coverage: FloatArray, flat: Grid) -> Surface | None:
    """Surface of one plane, padded in the plane so that a single row or column has one too; None when it has none."""
    padded = np.pad(coverage, 1)
    origin = (flat.origin_mm[0] - flat.spacing_mm[0], flat.origin_mm[1] - flat.spacing_mm[1], 0.0)
    try:
        return Surface.of(padded[None], Grid((1, *padded.shape), flat.spacing_mm, origin))
    except GeometryError:
        return None


def contours_from_coverage(coverage: AnyFloatArray, grid: Grid, *, passes: int = 8) -> PlanarContours:
    """Polygons on each plane of ``grid`` around the voxels that are at least half covered.

    Marching squares at one half, then a few passes that shift the level so that the polygons, rasterised again, give
    the coverage back: a 5 mm cord on 2 mm voxels would otherwise lose a percent of its area at every corner.
    """
    volume = np.asarray(coverage, dtype=np.float64)
    if volume.shape != grid.shape:
        raise GeometryError(f"coverage has shape {volume.shape}; the grid has {grid.shape} (nz, ny, nx)")
    z_mm: list[float] = []
    polygons: list[FloatArray] = []
    for k in np.flatnonzero(volume.any(axis=(1, 2))):
        for polygon in _plane_polygons(volume[k], grid, passes):
            z_mm.append(float(grid.z_mm[k]))
            polygons.append(polygon)
    return PlanarContours(np.array(z_mm), tuple(polygons))


def _plane_polygons(area: FloatArray, grid: Grid, passes: int) -> list[FloatArray]:
    j, i = np.nonzero(area)
    j0, j1, i0, i1 = j.min(), j.max() + 1, i.min(), i.max() + 1
    wanted = np.pad(area[j0:j1, i0:i1], 2)
    # a pixel that is just about half covered should stay on its side of one half
    wanted = np.where(np.abs(wanted - 0.5) < _CLEAR, np.where(wanted >= 0.5, 0.5 + _CLEAR, 0.5 - _CLEAR), wanted)
    origin = (grid.origin_mm[0] + (i0 - 2) * grid.spacing_mm[0], grid.origin_mm[1] + (j0 - 2) * grid.spacing_mm[1], 0.0)
    crop = Grid((1, *wanted.shape), grid.spacing_mm, origin)
    level = wanted.copy()
    best, best_error = _marching_squares(level, crop), np.inf
    for _ in range(passes + 1):
        trial = _marching_squares(level, crop)
        if not trial:
            return best
        difference = wanted - plane_coverage(tuple(trial), crop)
        error = float(np.abs(difference).sum())
        if error >= best_error:
            return best
        best, best_error = trial, error
        if np.abs(difference).max() < _CLOSE:
            return best
        level[1:-1, 1:-1] += difference[1:-1, 1:-1]
    return best


def _marching_squares(level: FloatArray, crop: Grid) -> list[FloatArray]:
    lines = contourpy.contour_generator(crop.x_mm, crop.y_mm, level, line_type=contourpy.LineType.Separate).lines(0.5)
    out = []
    for line in lines:
        points = np.asarray(line, dtype=np.float64)[:-1]
        # Where the level just touches one half the outline is a speck: it holds nothing, and readers refuse it.
        if len(points) >= 3 and _area_mm2(points) > _SPECK_MM2:
            out.append(points)
    return out


def _area_mm2(points: FloatArray) -> float:
    x, y = points[:, 0], points[:, 1]
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))

"""Grid: where the voxels are. The one place where (x, y, z) points meet [k, j, i] arrays.

Points are LPS mm in the order (x, y, z); volumes are C-contiguous [k, j, i] = (nz, ny, nx), so that DICOM pixel
arrays and VTK need no transpose. ``origin_mm`` is the center of voxel [0, 0, 0]; axes run along +x, +y, +z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtsim.errors import GeometryError
from rtsim.typing import AnyFloatArray, FloatArray, Vector3
from rtsim.units import CM3_PER_MM3


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels along the LPS axes.

    Attributes:
        shape: (nz, ny, nx), each >= 1: the shape of a volume on this grid.
        spacing_mm: (dx, dy, dz) > 0.
        origin_mm: (x, y, z) of the center of voxel [0, 0, 0], LPS mm.
    """

    shape: tuple[int, int, int]
    spacing_mm: Vector3
    origin_mm: Vector3

    def __post_init__(self) -> None:
        for name in ("shape", "spacing_mm", "origin_mm"):
            given = getattr(self, name)
            if not hasattr(given, "__len__") or isinstance(given, str):
                raise GeometryError(f"{name} is {given!r}; three numbers are needed, (nz, ny, nx) or (x, y, z)")
        shape = tuple(int(n) for n in self.shape)
        spacing = tuple(float(s) for s in self.spacing_mm)
        origin = tuple(float(o) for o in self.origin_mm)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"shape is {self.shape}; a grid needs three counts (nz, ny, nx) >= 1")
        if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError(f"spacing_mm is {self.spacing_mm}; three finite lengths (dx, dy, dz) > 0 mm are needed")
        if len(origin) != 3 or not all(math.isfinite(o) for o in origin):
            raise GeometryError(f"origin_mm is {self.origin_mm}; three finite LPS coordinates (x, y, z) are needed")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing_mm", spacing)
        object.__setattr__(self, "origin_mm", origin)

    @classmethod
    def covering(cls, lower_mm: Vector3, upper_mm: Vector3, spacing_mm: Vector3) -> Grid:
        """The smallest grid whose voxel *edges* start at ``lower_mm`` and reach at least ``upper_mm``."""
        counts = [
            max(1, math.ceil((u - lo) / s - 1e-9)) for lo, u, s in zip(lower_mm, upper_mm, spacing_mm, strict=True)
        ]
        origin = tuple(lo + s / 2 for lo, s in zip(lower_mm, spacing_mm, strict=True))
        return cls((counts[2], counts[1], counts[0]), spacing_mm, (origin[0], origin[1], origin[2]))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def voxel_volume_cm3(self) -> float:
        """Volume of one voxel in cm3."""
        return math.prod(self.spacing_mm) * CM3_PER_MM3

    @property
    def x_mm(self) -> FloatArray:
        """(nx,) voxel centers along x (patient left), mm."""
        return self.origin_mm[0] + self.spacing_mm[0] * np.arange(self.shape[2], dtype=np.float64)

    @property
    def y_mm(self) -> FloatArray:
        """(ny,) voxel centers along y (patient posterior), mm."""
        return self.origin_mm[1] + self.spacing_mm[1] * np.arange(self.shape[1], dtype=np.float64)

    @property
    def z_mm(self) -> FloatArray:
        """(nz,) voxel centers along z (patient superior), mm."""
        return self.origin_mm[2] + self.spacing_mm[2] * np.arange(self.shape[0], dtype=np.float64)

    @property
    def lower_mm(self) -> Vector3:
        """(x, y, z) of the lower outer edges of the grid."""
        lo = [o - s / 2 for o, s in zip(self.origin_mm, self.spacing_mm, strict=True)]
        return lo[0], lo[1], lo[2]

    @property
    def upper_mm(self) -> Vector3:
        """(x, y, z) of the upper outer edges of the grid."""
        nz, ny, nx = self.shape
        up = [lo + s * n for lo, s, n in zip(self.lower_mm, self.spacing_mm, (nx, ny, nz), strict=True)]
        return up[0], up[1], up[2]

    def center_mm(self) -> Vector3:
        """(x, y, z) of the middle of the grid."""
        c = [(a + b) / 2 for a, b in zip(self.lower_mm, self.upper_mm, strict=True)]
        return c[0], c[1], c[2]

    def index_of(self, points_mm: AnyFloatArray) -> FloatArray:
        """Fractional indices (..., 3) in the order (k, j, i) of points (..., 3) in the order (x, y, z) LPS mm."""
        xyz = (np.asarray(points_mm, dtype=np.float64) - np.array(self.origin_mm)) / np.array(self.spacing_mm)
        return np.ascontiguousarray(xyz[..., ::-1])

    def point_at(self, index_kji: AnyFloatArray) -> FloatArray:
        """Points (..., 3) in the order (x, y, z) LPS mm of (fractional) indices (..., 3) in the order (k, j, i)."""
        kji = np.asarray(index_kji, dtype=np.float64)
        return np.asarray(kji[..., ::-1] * np.array(self.spacing_mm) + np.array(self.origin_mm), dtype=np.float64)

    def contains(self, points_mm: AnyFloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Boolean (...,): True where a point (x, y, z) lies inside the outer edges of the grid."""
        p = np.asarray(points_mm, dtype=np.float64)
        return np.asarray(np.all((p >= np.array(self.lower_mm)) & (p <= np.array(self.upper_mm)), axis=-1))

    def crop(self, lower_mm: Vector3, upper_mm: Vector3) -> tuple[Grid, tuple[slice, slice, slice]]:
        """The sub-grid of whole voxels that meets the box, and the slices [k, j, i] that cut it from a volume.

        Raises:
            GeometryError: the box does not meet the grid.
        """
        slices: list[slice] = []
        origin: list[float] = []
        counts = (self.shape[2], self.shape[1], self.shape[0])
        for axis in range(3):
            edge, step = self.lower_mm[axis], self.spacing_mm[axis]
            first = max(0, math.floor((lower_mm[axis] - edge) / step + 1e-9))
            last = min(counts[axis], math.ceil((upper_mm[axis] - edge) / step - 1e-9))
            if last <= first:
                raise GeometryError(
                    f"box {lower_mm} .. {upper_mm} mm does not meet the grid {self.lower_mm} .. {self.upper_mm} mm"
                )
            slices.append(slice(first, last))
            origin.append(self.origin_mm[axis] + first * step)
        shape = (slices[2].stop - slices[2].start, slices[1].stop - slices[1].start, slices[0].stop - slices[0].start)
        grid = Grid(shape, self.spacing_mm, (origin[0], origin[1], origin[2]))
        return grid, (slices[2], slices[1], slices[0])

    def with_spacing(self, spacing_mm: Vector3 | float) -> Grid:
        """A grid over the same box (same lower edges, reaching at least the upper edges) with another spacing."""
        s: Vector3 = (spacing_mm,) * 3 if isinstance(spacing_mm, (int, float)) else spacing_mm
        return Grid.covering(self.lower_mm, self.upper_mm, s)

    def same_lattice(self, other: Grid) -> bool:
        """True when both grids share spacing and voxel centers (one may be a crop of the other), to 1e-3 of a voxel."""
        for axis in range(3):
            step = self.spacing_mm[axis]
            if abs(step - other.spacing_mm[axis]) > 1e-6 * step:
                return False
            shift = (other.origin_mm[axis] - self.origin_mm[axis]) / step
            if abs(shift - round(shift)) > 1e-3:
                return False
        return True

    def offset_in(self, other: Grid) -> tuple[int, int, int]:
        """(k, j, i) index in ``other`` of this grid's voxel [0, 0, 0]; both must share the lattice.

        Raises:
            GeometryError: the two grids do not share voxel centers.
        """
        if not self.same_lattice(other):
            raise GeometryError("the two grids do not share spacing and voxel centers; resample one of them first")
        kji = other.index_of(np.array(self.origin_mm))
        return round(float(kji[0])), round(float(kji[1])), round(float(kji[2]))

    def describe(self) -> str:
        """One line for reports: counts and spacing in the order x, y, z."""
        nz, ny, nx = self.shape
        sx, sy, sz = self.spacing_mm
        return f"{nx} x {ny} x {nz} voxels of {sx:g} x {sy:g} x {sz:g} mm"

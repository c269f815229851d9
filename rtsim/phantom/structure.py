"""Structure: a region of interest as fractional voxel coverage on its own crop of a grid; Structures: a named set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from rtsim.errors import InputError, check_choice, unknown_name
from rtsim.geometry.contours import PlanarContours
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_mean
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, Vector3


class Role(Enum):
    """What a structure is for (RTSTRUCT RT ROI Interpreted Type, ICRU 50/62/83)."""

    GTV = "GTV"
    CTV = "CTV"
    ITV = "ITV"
    PTV = "PTV"
    OAR = "OAR"
    PRV = "PRV"
    EXTERNAL = "EXTERNAL"
    SUPPORT = "SUPPORT"
    CONTROL = "CONTROL"
    IMPLANT = "IMPLANT"


@dataclass(frozen=True, eq=False)
class Structure:
    """A region of interest.

    Attributes:
        name: as in the RTSTRUCT or case file.
        role: what it is for.
        grid: a crop of the phantom's lattice that holds the structure.
        coverage: (nz, ny, nx) float32 on ``grid``: the fraction 0..1 of each voxel that lies inside, read-only.
        contours: the planar polygons it came from, when it came from polygons.
        color: RGB 0..255 for views and RTSTRUCT.
    """

    name: str
    role: Role
    grid: Grid
    coverage: Float32Array
    contours: PlanarContours | None = None
    color: tuple[int, int, int] | None = None

    def __repr__(self) -> str:
        return f"Structure({self.name!r}, {self.role.name}, {self.volume_cm3:.4g} cm3)"

    def __post_init__(self) -> None:
        check_choice(f"role of structure {self.name!r}", self.role, Role)
        coverage = np.array(self.coverage, dtype=np.float32, order="C")
        if coverage.shape != self.grid.shape:
            raise InputError(
                f"structure {self.name!r}: coverage has shape {coverage.shape}, its grid {self.grid.shape}"
            )
        if not np.isfinite(coverage).all() or coverage.min() < 0.0 or coverage.max() > 1.0 + 1e-5:
            raise InputError(
                f"structure {self.name!r}: coverage must lie in 0..1, found "
                f"{float(np.nanmin(coverage)):g} .. {float(np.nanmax(coverage)):g}"
            )
        if not coverage.any():
            raise InputError(f"structure {self.name!r} is empty; draw it or leave it out")
        np.minimum(coverage, 1.0, out=coverage)
        coverage.flags.writeable = False
        object.__setattr__(self, "coverage", coverage)

    @classmethod
    def from_coverage(
        cls,
        name: str,
        role: Role,
        grid: Grid,
        coverage: AnyFloatArray | BoolArray,
        *,
        contours: PlanarContours | None = None,
        color: tuple[int, int, int] | None = None,
    ) -> Structure:
        """Build from coverage (or a mask) on a whole grid; keeps only the crop that holds it.

        Raises:
            InputError: wrong shape, values outside 0..1, or nothing inside.
        """
        full = np.asarray(coverage)
        if full.shape != grid.shape:
            raise InputError(f"structure {name!r}: mask has shape {full.shape}; the grid has {grid.shape} (nz, ny, nx)")
        if not full.any():
            raise InputError(f"structure {name!r} is empty on this grid; draw it or leave it out")
        slices = []
        for axis in range(3):
            hit = np.flatnonzero(full.any(axis=tuple(a for a in range(3) if a != axis)))
            slices.append(slice(int(hit[0]), int(hit[-1]) + 1))
        first = grid.point_at(np.array([s.start for s in slices], dtype=np.float64))
        shape = (slices[0].stop - slices[0].start, slices[1].stop - slices[1].start, slices[2].stop - slices[2].start)
        crop = Grid(shape, grid.spacing_mm, (float(first[0]), float(first[1]), float(first[2])))
        part = np.asarray(full[slices[0], slices[1], slices[2]], dtype=np.float32)
        return cls(name, role, crop, part, contours, color)

    @property
    def volume_cm3(self) -> float:
        """Volume in cm3 (coverage-weighted)."""
        return float(self.coverage.sum(dtype=np.float64)) * self.grid.voxel_volume_cm3

    @property
    def centroid_mm(self) -> Vector3:
        """(x, y, z) LPS mm of the center of volume."""
        weight = self.coverage.astype(np.float64)
        total = weight.sum()
        x = float((weight.sum(axis=(0, 1)) * self.grid.x_mm).sum() / total)
        y = float((weight.sum(axis=(0, 2)) * self.grid.y_mm).sum() / total)
        z = float((weight.sum(axis=(1, 2)) * self.grid.z_mm).sum() / total)
        return x, y, z

    def coverage_on(self, grid: Grid) -> Float32Array:
        """Coverage (nz, ny, nx) float32 on any grid: embedded when the lattice is shared, else volume-averaged."""
        out = np.zeros(grid.shape, dtype=np.float32)
        if self.grid.same_lattice(grid):
            source, target = [], []
            for start, n_own, n_grid in zip(self.grid.offset_in(grid), self.grid.shape, grid.shape, strict=True):
                lo, hi = max(0, start), min(n_grid, start + n_own)
                if hi <= lo:
                    return out
                target.append(slice(lo, hi))
                source.append(slice(lo - start, hi - start))
            out[tuple(target)] = self.coverage[tuple(source)]
            return out
        return np.clip(resample_mean(self.coverage, self.grid, grid), 0.0, 1.0).astype(np.float32)

    def mask_on(self, grid: Grid) -> BoolArray:
        """Boolean (nz, ny, nx) on any grid: voxels at least half inside."""
        return np.asarray(self.coverage_on(grid) >= 0.5)

    def points_mm(self) -> AnyFloatArray:
        """(n, 3) LPS mm: centers of the voxels that the structure touches."""
        kji = np.argwhere(self.coverage > 0).astype(np.float64)
        return self.grid.point_at(kji)


class Structures(Mapping[str, Structure]):
    """An ordered, immutable set of structures by name. A missing name raises an InputError with the nearest one."""

    def __init__(self, structures: tuple[Structure, ...] = ()) -> None:
        by_name: dict[str, Structure] = {}
        for s in structures:
            if s.name in by_name:
                raise InputError(f"two structures are named {s.name!r}; names must be unique")
            by_name[s.name] = s
        self._by_name = by_name

    def __getitem__(self, name: str) -> Structure:
        try:
            return self._by_name[name]
        except KeyError:
            raise InputError(unknown_name("structure", name, self._by_name)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def with_role(self, role: Role) -> tuple[Structure, ...]:
        """All structures of one role, in order."""
        return tuple(s for s in self._by_name.values() if s.role is role)

    def adding(self, *structures: Structure) -> Structures:
        """A new set with these added; a structure of the same name is replaced."""
        merged = dict(self._by_name)
        for s in structures:
            merged[s.name] = s
        return Structures(tuple(merged.values()))

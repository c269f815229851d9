"""Where a dose needs fine voxels: the box about the beam; and the coarse grid for what varies slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.orientation.windows import Windows
from rtsim.dose.resolution import _kernels
from rtsim.geometry.grid import Grid
from rtsim.threads import over_ranges
from rtsim.typing import Float32Array

COARSEST_MM: Final = 6.2
"""Voxels are doubled only up to here: the scattered part of a 6 MV field changes by a few percent of the dose in it."""
EMITTING: Final = 0.03
"""Fluence outside the rectangle that holds all above this share of the largest is left to the coarse grid,"""
RAMP_MM: Final = 10.0
"""but for what passes over within this distance: the coarse grid is spared the edge of the field. A separate opening
whose fluence is just below the share is wrong by up to 40 % of its own dose, 0.7 % of the maximum."""
MARGIN_G_CM2: Final = 2.0
"""Room about the emitting voxels: a tenth of a percent of the fast part goes farther sideways."""
_THINNEST: Final = 0.25


@dataclass(frozen=True)
class TwoGrids:
    """A fine grid and one with voxels twice as large along some axes, both from the same lower corner.

    Attributes:
        fine, coarse: the grids; the same one where doubling would exceed ``COARSEST_MM``.
        factors: (z, y, x) how many fine voxels make a coarse one.
    """

    fine: Grid
    coarse: Grid
    factors: tuple[int, int, int]

    @classmethod
    def of(cls, fine: Grid) -> TwoGrids:
        """Double the voxels along every axis on which they stay below ``COARSEST_MM``."""
        factor = [
            2 if 2.0 * s <= COARSEST_MM and n > 1 else 1 for s, n in zip(fine.spacing_mm, fine.shape[::-1], strict=True)
        ]
        spacing = [s * f for s, f in zip(fine.spacing_mm, factor, strict=True)]
        counts = [-(-n // f) for n, f in zip(fine.shape[::-1], factor, strict=True)]
        origin = [lo + 0.5 * s for lo, s in zip(fine.lower_mm, spacing, strict=True)]
        coarse = Grid(
            (counts[2], counts[1], counts[0]), (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2])
        )
        return cls(fine, coarse, (factor[2], factor[1], factor[0]))

    @property
    def differ(self) -> bool:
        """False when the coarse grid is the fine one."""
        return self.factors != (1, 1, 1)

    def restrict(self, volume: Float32Array) -> Float32Array:
        """Volume means on the coarse grid (vacuum beyond the fine one): energy per volume adds up to the same."""
        if not self.differ:
            return volume
        out = np.empty(self.coarse.shape, dtype=np.float32)
        over_ranges(_kernels.restrict, out.shape[0], volume, np.array(self.factors), out)
        return out

    def prolong(self, volume: Float32Array) -> Float32Array:
        """Trilinear values on the fine grid."""
        if not self.differ:
            return volume
        out = np.empty(self.fine.shape, dtype=np.float32)
        over_ranges(_kernels.prolong, out.shape[0], volume, np.array(self.factors), out)
        return out


def emitting_box(
    soft: Float32Array, hard: Float32Array, density: Float32Array, grid: Grid
) -> tuple[tuple[slice, slice, slice], Windows]:
    """The part [k, j, i] of a grid in which the fast part is transported, and the windows of its planes.

    That is all voxels that release energy, and room about them for what goes sideways; as much more as its matter is
    thinner (its thinnest quarter counts).

    Args:
        soft, hard: released energy per volume. density: relative to water.
    """
    nz, ny, nx = soft.shape
    seen = (np.zeros((nz, ny), np.bool_), np.zeros((nz, nx), np.bool_), np.zeros((ny, nx), np.bool_))
    over_ranges(_kernels.views, nz, soft, hard, *seen)
    if not seen[0].any():
        return (slice(0, 0), slice(0, 0), slice(0, 0)), Windows.whole((0, 0, 0))
    marked = [np.flatnonzero(m) for m in (seen[0].any(axis=1), seen[0].any(axis=0), seen[1].any(axis=0))]
    spans = [(int(m[0]), int(m[-1]) + 1) for m in marked]
    inside = tuple(slice(*s) for s in spans)
    matter = density[inside]
    emitting = matter[(soft[inside] + hard[inside] > 0.0) & (matter > 0.02)]
    thin = float(np.quantile(emitting[:: max(1, emitting.size // 100_000)], 0.25)) if emitting.size else 1.0
    margin_mm = 10.0 * MARGIN_G_CM2 / min(max(thin, _THINNEST), 1.0)
    room = [int(np.ceil(margin_mm / s)) for s in grid.spacing_mm[::-1]]
    k, j, i = (
        slice(max(start - r, 0), min(stop + r, n)) for (start, stop), r, n in zip(spans, room, soft.shape, strict=True)
    )
    views = (seen[0][k, j], seen[1][k, i], seen[2][j, i])
    return (k, j, i), Windows.about(views, (room[0], room[1], room[2]))


def part_of(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    """The grid of the voxels of a box."""
    origin = [o + s * b.start for o, s, b in zip(grid.origin_mm, grid.spacing_mm, box[::-1], strict=True)]
    counts = [b.stop - b.start for b in box]
    return Grid((counts[0], counts[1], counts[2]), grid.spacing_mm, (origin[0], origin[1], origin[2]))

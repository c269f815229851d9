"""Outline: what the source sees of a structure, as the projections of its voxels onto the isocenter plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import GeometryError, InputError, MachineLimitError
from rtsim.geometry.iec61217 import project_to_isocenter_plane
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray

_COVERED = 0.5
_ROUNDING_MM = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class Outline:
    """The projections of the voxels of a structure onto the isocenter plane: one bounding rectangle per voxel.

    Attributes:
        lower_x_mm, upper_x_mm, lower_y_mm, upper_y_mm: (n,) BLD rectangles; their union is the outline.
    """

    lower_x_mm: FloatArray
    upper_x_mm: FloatArray
    lower_y_mm: FloatArray
    upper_y_mm: FloatArray

    @property
    def bounds_x_mm(self) -> tuple[float, float]:
        """Extent along BLD x."""
        return float(self.lower_x_mm.min()), float(self.upper_x_mm.max())

    @property
    def bounds_y_mm(self) -> tuple[float, float]:
        """Extent along BLD y."""
        return float(self.lower_y_mm.min()), float(self.upper_y_mm.max())

    def intervals_in_band(
        self, lower_y_mm: float, upper_y_mm: float, margin_mm: float
    ) -> tuple[FloatArray, FloatArray]:
        """BLD x intervals (lower, upper) that the outline, grown by ``margin_mm``, covers within a band of BLD y.

        The growth is round: a rectangle at the distance d < margin from the band reaches sqrt(margin^2 - d^2) beyond
        its own ends. A rectangle that only touches the band does not count.
        """
        gap = np.maximum(self.lower_y_mm - upper_y_mm, lower_y_mm - self.upper_y_mm)
        near = gap < margin_mm - _ROUNDING_MM
        reach = np.sqrt(margin_mm**2 - np.maximum(gap[near], 0.0) ** 2)
        return self.lower_x_mm[near] - reach, self.upper_x_mm[near] + reach


def project_outline(beam: Beam, structure: Structure) -> Outline:
    """Divergent projection of a structure onto the isocenter plane of a beam (at its first gantry angle).

    Voxels count that lie at least half inside (of a structure thinner than that: at least half of the best covered
    one); each is projected by its eight corners.

    Raises:
        GeometryError: part of the structure lies at or behind the source.
    """
    grid = structure.grid
    lower, spacing = np.asarray(grid.lower_mm), np.asarray(grid.spacing_mm)
    axes = [lower[a] + spacing[a] * np.arange(n + 1) for a, n in zip((2, 1, 0), grid.shape, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    corners = np.stack([x, y, z], axis=-1)
    along = (corners - np.asarray(beam.isocenter_mm)) @ beam.rotation[:, 2]
    nearest = beam.machine.sad_mm - float(along.max())
    if nearest <= 1.0:
        raise GeometryError(
            f"structure {structure.name!r} reaches to {nearest:g} mm from the source of "
            f"{beam.label}; it must lie below the source. isocenter_mm is {beam.isocenter_mm}"
        )
    bev, _ = project_to_isocenter_plane(corners, beam.isocenter_mm, beam.rotation, beam.machine.sad_mm)
    inside = structure.coverage >= _COVERED * min(1.0, float(structure.coverage.max()))
    lo_x, hi_x = _voxel_bounds(bev[..., 0])
    lo_y, hi_y = _voxel_bounds(bev[..., 1])
    return Outline(lower_x_mm=lo_x[inside], upper_x_mm=hi_x[inside], lower_y_mm=lo_y[inside], upper_y_mm=hi_y[inside])


def _voxel_bounds(at_corners: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest of the eight corner values of each voxel, (nz, ny, nx) each."""
    low = high = at_corners
    for axis in range(3):
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        low = np.minimum(low[tuple(first)], low[tuple(second)])
        high = np.maximum(high[tuple(first)], high[tuple(second)])
    return low, high


def check_margin(margin_mm: float) -> float:
    """``margin_mm`` when it is finite and 0..100 mm.

    Raises:
        InputError: anything else.
    """
    if not np.isfinite(margin_mm) or not 0.0 <= margin_mm <= 100.0:
        raise InputError(f"margin_mm is {margin_mm}; allowed are 0 <= margin_mm <= 100")
    return float(margin_mm)


def check_in_field(beam: Beam, structure: Structure, outline: Outline) -> None:
    """Refuse a structure whose outline (without a margin) exceeds what the machine can open.

    Raises:
        MachineLimitError: with both extents.
    """
    for axis, seen, limit in (
        ("x", outline.bounds_x_mm, beam.machine.field_limit_x_mm),
        ("y", outline.bounds_y_mm, beam.machine.field_limit_y_mm),
    ):
        if seen[0] < limit[0] - _ROUNDING_MM or seen[1] > limit[1] + _ROUNDING_MM:
            raise MachineLimitError(
                f"{beam.label}: {structure.name!r} reaches from {seen[0]:.1f} to {seen[1]:.1f} mm along BLD "
                f"{axis}; {beam.machine.name} opens {limit[0]:g} to {limit[1]:g} mm. Move isocenter_mm, turn the "
                "collimator, or use a machine with a larger field"
            )

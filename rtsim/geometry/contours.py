"""Planar axial polygons and their voxel coverage: RTSTRUCT contours to masks and back.

Polygons on one plane combine by even-odd (XOR): an inner polygon is a hole, two separate ones are two pieces, and a
keyhole polygon (outer and inner ring joined by a two-way channel) gives the same area. Orientation does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.errors import GeometryError
from rtsim.typing import FloatArray


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
            raise GeometryError(f"{len(z)} z_mm are given for {len(self.polygons)} polygons; each polygon needs its z_mm")
        if not np.isfinite(z).all():
            raise GeometryError("z_mm of a contour is NaN or infinite; finite LPS mm are needed")
        polygons = []
        for position, polygon in zip(z, self.polygons, strict=True):
            points = np.array(polygon, dtype=np.float64, order="C")
            if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
                raise GeometryError(f"polygon at z = {position:g} mm has shape {points.shape}; (m, 2) with m >= 3 is needed")
            if not np.isfinite(points).all():
                raise GeometryError(f"polygon at z = {position:g} mm holds NaN or infinite coordinates")
            points.flags.writeable = False
            polygons.append(points)
        z.flags.writeable = False
        object.__setattr__(self, "z_mm", z)
        object.__setattr__(self, "polygons", tuple(polygons))

    def __len__(self) -> int:
        return len(self.polygons)

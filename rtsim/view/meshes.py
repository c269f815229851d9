"""Surfaces and planes for the 3-D scene: coverage and dose to PyVista meshes, in LPS mm."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.dose.result import Dose
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import sample_linear
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, FloatArray
from rtsim.view._backend import pyvista


def image_of(volume: AnyFloatArray, grid: Grid) -> Any:
    """A PyVista ImageData whose points are the voxel centers ([k, j, i] ravels in VTK's order)."""
    nz, ny, nx = grid.shape
    image = pyvista().ImageData(dimensions=(nx, ny, nz), spacing=grid.spacing_mm, origin=grid.origin_mm)
    image.point_data["value"] = np.ascontiguousarray(volume, dtype=np.float32).ravel()
    return image


def surface_of(structure: Structure) -> Any:
    """The surface where the coverage is 1/2, closed at the ends and smoothed without shrinking (Taubin)."""
    padded = np.pad(structure.coverage, 2)
    # A mask of zeros and ones makes stairs; half a voxel of blur turns them into slopes and leaves real slopes alone.
    padded = gaussian_filter(padded, 0.6)
    sx, sy, sz = structure.grid.spacing_mm
    ox, oy, oz = structure.grid.origin_mm
    shape = padded.shape
    grid = Grid((shape[0], shape[1], shape[2]), structure.grid.spacing_mm, (ox - 2 * sx, oy - 2 * sy, oz - 2 * sz))
    level = min(0.5, 0.5 * float(padded.max()))
    mesh = image_of(padded, grid).contour([level], scalars="value")
    return mesh.smooth_taubin(n_iter=40, pass_band=0.05) if mesh.n_points else mesh


def isodose_of(dose: Dose, level_gy: float) -> Any:
    """The surface of one isodose."""
    return image_of(dose.values_gy, dose.grid).contour([level_gy], scalars="value")


def plane_of(
    phantom: Phantom, axis: int, position_mm: float, lower_mm: FloatArray, upper_mm: FloatArray, step_mm: float = 0.75
) -> tuple[Any, FloatArray]:
    """A rectangle normal to ``axis`` (x, y, z = 0, 1, 2) inside the box and the CT, with HU; its points (n, 3)."""
    low = np.maximum(lower_mm, phantom.grid.lower_mm)
    high = np.minimum(upper_mm, phantom.grid.upper_mm)
    counts = np.maximum(2, np.ceil((high - low) / step_mm).astype(int))
    origin, counts[axis] = low.copy(), 1
    origin[axis] = position_mm
    spacing = np.where(np.arange(3) == axis, 1.0, (high - low) / np.maximum(counts - 1, 1))
    image = pyvista().ImageData(dimensions=tuple(int(n) for n in counts), spacing=tuple(spacing), origin=tuple(origin))
    points = np.asarray(image.points, dtype=np.float64)
    inside = np.clip(points, np.add(phantom.grid.lower_mm, 1e-6), np.subtract(phantom.grid.upper_mm, 1e-6))
    image.point_data["hu"] = sample_linear(phantom.ct.hu, phantom.grid, inside, -1000.0)
    return image, points

"""Medium: what the engine sees of a phantom, on the dose grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from rtsim.dose.beamlets.settings import available_memory_gb
from rtsim.errors import GeometryError, InputError, ResourceError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_mean
from rtsim.materials import default_basis
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Float32Array, FloatArray, UInt8Array
from rtsim.units import BYTES_PER_GB

AIR_BELOW_G_CM3 = 0.02
"""Voxels thinner than this at the border of the phantom are left out of the dose grid."""

THINNEST_G_CM3 = np.float32(1e-6)
"""Of a voxel: some reach beyond the phantom, where there is nothing."""

_BYTES_PER_VOXEL = 80
"""Of a forward dose: matter (about 24, on two grids), energy, dose and what the transport of a part of them needs."""


@dataclass(frozen=True, eq=False)
class Medium:
    """Matter on the dose grid, all [k, j, i] float32.

    Attributes:
        grid: the dose grid.
        density_g_cm3: mass density.
        electron_density: relative to water of 1 g/cm3; scales the kernels.
        partial_g_cm3: (basis, nz, ny, nx) density of each basis material (materials.default_basis); attenuation is
            sum_b (mu/rho)_b partial_b. Basis materials that do not occur are left out.
        basis_index: which basis materials these are.
    """

    grid: Grid
    density_g_cm3: Float32Array
    electron_density: Float32Array
    partial_g_cm3: Float32Array
    basis_index: tuple[int, ...]

    @cached_property
    def partial_by_voxel(self) -> Float32Array:
        """(nz, ny, nx, basis): the same with the basis materials of a voxel side by side."""
        return np.ascontiguousarray(np.moveaxis(self.partial_g_cm3, 0, 3))

    def basis_attenuation_cm2_g(self, energy_mev: FloatArray) -> FloatArray:
        """(energies, basis) mass attenuation of the basis materials, coherent scatter included as in the kernels."""
        return np.ascontiguousarray(default_basis().mass_attenuation_cm2_g(energy_mev)[list(self.basis_index)].T)


@dataclass(frozen=True, eq=False)
class Body:
    """A phantom without the air around it, on the phantom's own voxels.

    Attributes:
        grid: of the crop.
        density_g_cm3: [k, j, i] float32, all > 0.
        material_index: [k, j, i] uint8 into the phantom's materials.
    """

    grid: Grid
    density_g_cm3: Float32Array
    material_index: UInt8Array

    def dose_grid(self, spacing_mm: float | None) -> Grid:
        """Voxels of ``spacing_mm`` over the body; ``grid`` itself for None and for its own spacing.

        Raises:
            ResourceError: a dose grid that does not fit in memory.
        """
        if spacing_mm is None or np.allclose(self.grid.spacing_mm, spacing_mm, rtol=1e-9):
            return self.grid
        grid = self.grid.with_spacing(spacing_mm)
        needed = grid.size * _BYTES_PER_VOXEL / BYTES_PER_GB
        if needed > 0.8 * available_memory_gb():
            raise ResourceError(
                f"a dose grid of {spacing_mm:g} mm has {grid.size:,} voxels and needs about {needed:.1f} GB; "
                f"{0.8 * available_memory_gb():.1f} GB may be used. Use a larger spacing_mm"
            )
        return grid


def body_of(phantom: Phantom, margin_mm: float = 5.0) -> Body:
    """The phantom cropped to what is not air, and ``margin_mm`` around it.

    Raises:
        InputError: density that is zero, negative or NaN.
        GeometryError: nothing but air.
    """
    density = phantom.density_g_cm3
    if not np.isfinite(density).all() or float(density.min()) <= 0.0:
        raise InputError(
            "density_g_cm3 holds zero, negative or NaN voxels; every voxel needs a density > 0 (air is 0.0012)"
        )
    matter = density > AIR_BELOW_G_CM3
    if not matter.any():
        raise GeometryError(
            f"phantom {phantom.name!r} is nothing but air (density <= {AIR_BELOW_G_CM3:g} g/cm3 everywhere)"
        )
    crop, slices = _body_box(phantom.grid, matter, margin_mm)
    return Body(crop, density[slices], phantom.material_index[slices])


_LAST_OF: Final[WeakKeyDictionary[Phantom, tuple[tuple[float | None, float], Medium]]] = WeakKeyDictionary()
"""The last medium of each phantom, as long as that lives: planning takes dozens of doses of one phantom, a beam each,
and averaging the voxels of a CT takes as long as some of these."""


def medium_of(phantom: Phantom, spacing_mm: float | None, margin_mm: float = 5.0) -> Medium:
    """The phantom on the dose grid: its own grid (None) or volume means at ``spacing_mm``, cropped to what is not air.

    Raises:
        InputError: density that is zero, negative or NaN.
        GeometryError: nothing but air.
        ResourceError: a dose grid that does not fit in memory.
    """
    key, last = (spacing_mm, margin_mm), _LAST_OF.get(phantom)
    if last is None or last[0] != key:
        last = key, _medium_of(phantom, spacing_mm, margin_mm)
        _LAST_OF[phantom] = last
    return last[1]


def _medium_of(phantom: Phantom, spacing_mm: float | None, margin_mm: float) -> Medium:
    body = body_of(phantom, margin_mm)
    density, index = body.density_g_cm3, body.material_index
    weights = default_basis().weight_matrix(phantom.materials)
    occurring = np.flatnonzero(np.bincount(index.ravel(), minlength=len(phantom.materials)))
    used = [b for b in range(weights.shape[1]) if np.any(weights[occurring, b] != 0.0)]
    partial = np.stack([density * weights[:, b].astype(np.float32)[index] for b in used])
    electrons = density * np.array([m.electrons_per_gram_ratio for m in phantom.materials], dtype=np.float32)[index]
    grid = body.dose_grid(spacing_mm)
    if grid is body.grid:
        return Medium(
            grid,
            np.ascontiguousarray(density),
            np.ascontiguousarray(electrons),
            np.ascontiguousarray(partial),
            tuple(used),
        )
    means = [resample_mean(v, body.grid, grid).astype(np.float32) for v in (density, electrons, *partial)]
    return Medium(grid, np.maximum(means[0], THINNEST_G_CM3), means[1], np.stack(means[2:]), tuple(used))


def _body_box(
    grid: Grid, matter: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], margin_mm: float
) -> tuple[Grid, tuple[slice, slice, slice]]:
    lower, upper = [0.0] * 3, [0.0] * 3
    for xyz in range(3):
        axis = 2 - xyz
        filled = np.flatnonzero(matter.any(axis=tuple(a for a in range(3) if a != axis)))
        lower[xyz] = grid.lower_mm[xyz] + grid.spacing_mm[xyz] * float(filled[0]) - margin_mm
        upper[xyz] = grid.lower_mm[xyz] + grid.spacing_mm[xyz] * float(filled[-1] + 1) + margin_mm
    return grid.crop((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))

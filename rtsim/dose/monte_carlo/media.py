"""Voxels: what the Monte Carlo engine sees of a phantom. One density and one material each; materials are not mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.medium import THINNEST_G_CM3, Body, body_of
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_mean
from rtsim.materials import Material
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Float32Array, UInt8Array

MOST_MATERIALS: Final = 64
"""Each has its own tables of photons and electrons."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """Matter on the dose grid.

    Attributes:
        grid: the dose grid.
        density_g_cm3: [k, j, i] float32, all > 0.
        material: [k, j, i] uint8 into ``materials``.
        materials: those that occur, in the order of the phantom.
    """

    grid: Grid
    density_g_cm3: Float32Array
    material: UInt8Array
    materials: tuple[Material, ...]


def voxels_of(phantom: Phantom, spacing_mm: float | None) -> Voxels:
    """The phantom on the dose grid of the collapsed cone: its own voxels (None) or cubes of ``spacing_mm``.

    In cubes the density is the mean over the volume (mass is kept), the material the one with most mass in it.

    Raises:
        InputError: density that is zero, negative or NaN; more materials than the engine holds.
        GeometryError: nothing but air.
        ResourceError: a dose grid that does not fit in memory.
    """
    body = body_of(phantom)
    occurring = np.flatnonzero(np.bincount(body.material_index.ravel(), minlength=len(phantom.materials)))
    if occurring.size > MOST_MATERIALS:
        raise InputError(
            f"phantom {phantom.name!r} holds {occurring.size} materials; the Monte Carlo engine takes up to "
            f"{MOST_MATERIALS}. Give voxels of nearly the same composition one material: density is free in each voxel"
        )
    grid = body.dose_grid(spacing_mm)
    if grid is body.grid:
        density = np.ascontiguousarray(body.density_g_cm3)
        material = body.material_index
    else:
        density = np.maximum(resample_mean(body.density_g_cm3, body.grid, grid).astype(np.float32), THINNEST_G_CM3)
        material = _heaviest(body, occurring.tolist(), grid)
        occurring = np.flatnonzero(np.bincount(material.ravel()))
    number = np.zeros(len(phantom.materials), dtype=np.uint8)
    number[occurring] = np.arange(occurring.size)
    return Voxels(
        grid,
        density,
        np.ascontiguousarray(number[material]),
        tuple(phantom.materials[m] for m in occurring),
    )


def _heaviest(body: Body, occurring: list[int], grid: Grid) -> UInt8Array:
    """[k, j, i] material with most mass in each voxel of ``grid``."""
    most = np.zeros(grid.shape)
    out = np.full(grid.shape, occurring[0], dtype=np.uint8)
    for m in occurring:
        mass = resample_mean(np.where(body.material_index == m, body.density_g_cm3, 0.0), body.grid, grid)
        more = mass > most
        out[more] = m
        most[more] = mass[more]
    return out

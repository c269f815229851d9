"""Small scenes of the Monte Carlo engine: voxels and a source written down directly, without machine and phantom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import f

from rtsim.dose.monte_carlo._kernels.history import simulate
from rtsim.dose.monte_carlo.media import Voxels
from rtsim.dose.monte_carlo.scene import Batches, Scene
from rtsim.dose.monte_carlo.settings import Physics
from rtsim.dose.monte_carlo.source import Source
from rtsim.geometry.grid import Grid
from rtsim.materials import Spectrum, get
from rtsim.typing import FloatArray


def layered(
    rows: Sequence[tuple[int, str, float]],
    *,
    across: int = 1,
    spacing_mm: tuple[float, float, float] = (5.0, 5.0, 5.0),
) -> Voxels:
    """Layers along y, each (number of voxels, material, g/cm3); ``across`` x ``across`` voxels in x and z.

    The corner of the first voxel is at y = 0; x and z are centered.
    """
    materials = tuple(dict.fromkeys(name for _, name, _ in rows))
    index = np.repeat([materials.index(name) for _, name, _ in rows], [n for n, _, _ in rows])
    density = np.repeat([value for _, _, value in rows], [n for n, _, _ in rows])
    shape = (across, index.size, across)
    dx, dy, dz = spacing_mm
    grid = Grid(shape, spacing_mm, (-0.5 * dx * (across - 1), 0.5 * dy, -0.5 * dz * (across - 1)))
    return Voxels(
        grid,
        np.ascontiguousarray(np.broadcast_to(density[None, :, None], shape).astype(np.float32)),
        np.ascontiguousarray(np.broadcast_to(index[None, :, None], shape).astype(np.uint8)),
        tuple(get(name) for name in materials),
    )


def spine(across: int = 24) -> Voxels:
    """Water, a bone layer with a block of titanium in it, lung with a tumor, water: every border that matters."""
    rows = [(4, "water", 1.0), (4, "bone_cortical", 1.85), (2, "water", 1.0), (8, "lung", 0.26), (6, "water", 1.0)]
    voxels = layered([*rows, (1, "titanium", 4.54)], across=across)
    density, material = voxels.density_g_cm3.copy(), voxels.material.copy()
    density[:, -1], material[:, -1] = 1.0, 0
    middle = across // 2
    metal = np.s_[middle - 2 : middle + 2, 4:7, middle - 4 : middle]
    tumor = np.s_[middle - 3 : middle + 3, 12:16, middle : middle + 4]
    density[metal], material[metal] = 4.54, voxels.materials.index(get("titanium"))
    density[tumor], material[tumor] = 1.0, 0
    return Voxels(voxels.grid, density, material, voxels.materials)


def photon_source(
    energies: Spectrum | float,
    *,
    through_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    directions: Sequence[Sequence[float]] = ((0.0, 1.0, 0.0),),
    side_mm: float = 0.0,
    distance_mm: float = 1000.0,
) -> Source:
    """For each direction a square cone of photons, of ``side_mm`` at ``through_mm``; with side 0 one exact line."""
    edges, shares = (
        (np.array([energies, energies]), np.ones(1))
        if isinstance(energies, float)
        else (energies.edges_mev, np.cumsum(energies.probabilities))
    )
    rotations = [_looking_along(np.asarray(d, dtype=np.float64)) for d in directions]
    n = len(rotations)
    return Source(
        rotation=np.array(rotations),
        source_mm=np.array([np.asarray(through_mm) + distance_mm * r[:, 2] for r in rotations]),
        sad_mm=np.full(n, distance_mm),
        raster=np.tile([-0.5 * side_mm, -0.5 * side_mm, side_mm, 1.0, 1.0], (n, 1)),
        start=np.arange(n + 1),
        cumulative=np.arange(1.0, n + 1.0),
        map_spectrum=np.zeros(n, dtype=np.int64),
        energy_edges=np.ascontiguousarray(edges[None]),
        energy_cumulative=np.ascontiguousarray(shares[None, None]),
        radius_step_mm=1000.0,
    )


def _looking_along(direction: FloatArray) -> FloatArray:
    """Columns: two axes across and the direction back to the source."""
    along = direction / np.linalg.norm(direction)
    beside = np.eye(3)[np.argmin(np.abs(along))]
    beside = beside - (beside @ along) * along
    beside /= np.linalg.norm(beside)
    return np.stack([beside, np.cross(-along, beside), -along], axis=1)


def scene_of(voxels: Voxels, source: Source | None = None, **physics: float) -> Scene:
    """A scene; without a source, for electrons that start inside."""
    return Scene(
        voxels=voxels,
        source=photon_source(1.0) if source is None else source,
        physics=Physics(**physics),  # type: ignore[arg-type]
    )


def simulated(scene: Scene, settings: FloatArray, *, seed: int, count: int, histories: int) -> Batches:
    """As ``scene.batches``, with other settings of the kernel than those of the scene."""
    energy, tallies = np.zeros((count, scene.voxels.density_g_cm3.size)), np.zeros((count, 4))
    simulate(seed, 0, histories, scene.physics.split, settings, *scene.arrays[1:], energy, tallies, 0, energy.shape[0])
    assert not tallies[:, 2].any()
    return Batches(energy.reshape(count, *scene.voxels.grid.shape), tallies)


def same_means(first: FloatArray, second: FloatArray) -> float:
    """Chance of a difference of means as large as found or larger: Hotelling's T2 of two samples (batches, values).

    Values of one batch may be correlated, and each sample has a covariance of its own. Degrees of freedom are those of
    the smaller sample, a lower bound: the chance is a little too large, so that a false alarm is not more frequent.
    """
    difference = first.mean(axis=0) - second.mean(axis=0)
    covariance = np.cov(first.T) / first.shape[0] + np.cov(second.T) / second.shape[0]
    t2 = float(difference @ np.linalg.solve(covariance, difference))
    values, freedom = difference.size, min(first.shape[0], second.shape[0]) - 1
    return float(f.sf(t2 * (freedom - values + 1) / (values * freedom), values, freedom - values + 1))

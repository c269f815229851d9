"""Electrons and positrons that start inside a phantom, as the engine's source cannot: for tests of their transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy.stats import qmc

from rtsim.dose.monte_carlo._kernels.bundle import transport_bundles
from rtsim.dose.monte_carlo._kernels.random import seed_history
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.typing import FloatArray

_SLOTS, _PHOTONS, _KEPT = 96, 1024, 64


@dataclass(frozen=True, eq=False)
class Transported:
    """What bundles of electrons left behind.

    Attributes:
        energy_mev: (nz, ny, nx) deposited.
        started_mev, escaped_mev: kinetic energy at the start; energy of electrons that left the grid, with the two
            rest masses that a positron will turn into photons.
        photons: (n, 8) energy, place (x, y, z, in voxels), direction and weight of each photon made; none is followed.
    """

    energy_mev: FloatArray
    started_mev: float
    escaped_mev: float
    photons: FloatArray

    @property
    def radiated_mev(self) -> float:
        """Energy of the photons."""
        return float(self.photons[:, 0] @ self.photons[:, 7])


@njit
def _transport(
    seed, start, kinetic, is_positron, settings, medium, table, scattering, brems, at_cut, out, tallies, kept
):
    """A bundle for each of ``start`` (number, copies, 6), in voxels; returns how many photons are in ``kept``."""
    shape = medium[2]
    number, copies = start.shape[0], start.shape[1]
    materials = at_cut.shape[0]
    state = np.zeros(2, np.uint64)
    bundles = (
        np.empty((_SLOTS, copies, 6)),
        np.empty((_SLOTS, copies, 3), np.int64),
        np.empty((_SLOTS, copies), np.int64),
        np.zeros(_SLOTS),
        np.zeros(_SLOTS, np.int64),
        np.zeros(_SLOTS, np.bool_),
    )
    work = (
        np.empty(materials),
        np.empty(materials),
        np.empty((materials, 2)),
        np.empty(materials, np.bool_),
        np.empty((materials, 2)),
        np.empty(copies, np.int64),
        at_cut,
        brems,
        np.empty(materials),
    )
    photons, cells = np.empty((_PHOTONS, 8)), np.empty((_PHOTONS, 3), np.int64)
    place, voxel, origin, energy, count, positron = bundles
    found = 0
    for n in range(number):
        seed_history(state, seed, n)
        for c in range(copies):
            for axis in range(6):
                place[0, c, axis] = start[n, c, axis]
            for axis in range(3):
                voxel[0, c, axis] = min(int(start[n, c, axis]), shape[2 - axis] - 1)
            origin[0, c] = c
        energy[0], count[0], positron[0] = kinetic, copies, is_positron
        waiting = transport_bundles(
            1, 1.0 / copies, copies, settings, state, bundles, medium, table, scattering, out, tallies, work, photons,
            cells, 0,
        )  # fmt: skip
        for p in range(waiting):
            if found < kept.shape[0]:
                kept[found] = photons[p]
            found += 1
    return found


def transported(
    scene: Scene,
    start: FloatArray,
    *,
    kinetic_mev: float,
    positron: bool = False,
    seed: int = 1,
    arrays: tuple[Any, ...] | None = None,
) -> Transported:
    """Follow electrons (or positrons) of one energy through the voxels of a scene.

    Args:
        start: (number, copies, 6) places in voxels from the lower corner (x, y, z) and directions. The copies of a
            bundle are transported together with weight 1/copies, as the engine does it with the sites of a photon.
        arrays: instead of those of the scene, e.g. those of ``slowing_down_only``.
    """
    settings, medium, _, _, table, _, scattering, brems, at_cut = scene.arrays if arrays is None else arrays
    shape = scene.voxels.grid.shape
    out, tallies, kept = np.zeros(int(np.prod(shape))), np.zeros(4), np.zeros((_KEPT * start.shape[0], 8))
    found = _transport(
        seed, start, kinetic_mev, positron, settings, medium, table, scattering, brems, at_cut, out, tallies, kept
    )
    assert tallies[2] == 0.0, "stacks overflowed"
    assert found <= kept.shape[0]
    return Transported(out.reshape(shape), kinetic_mev * start.shape[0], float(tallies[1]), kept[:found])


def without_hard_events(scene: Scene) -> tuple[Any, ...]:
    """Arrays of the scene, where electrons lose energy by its restricted stopping power alone, and scatter."""
    settings, medium, lower, source, table, photons, scattering, brems, at_cut = scene.arrays
    log_min, per_log, stopping, hard, elastic, scored, largest, step = table
    changed = (log_min, per_log, stopping, np.zeros_like(hard), elastic, scored, np.zeros_like(largest), step)
    return settings, medium, lower, source, changed, photons, scattering, brems, at_cut


def slowing_down_only(scene: Scene, stopping_mev_cm2_g: FloatArray) -> tuple[Any, ...]:
    """The same without scattering, and with this stopping power (energies, materials)."""
    settings, medium, lower, source, table, photons, scattering, brems, at_cut = without_hard_events(scene)
    log_min, per_log, _, hard, elastic, scored, largest, step = table
    straight = elastic.copy()
    straight[:, :, 0] = 0.0
    changed = (log_min, per_log, np.ascontiguousarray(0.1 * stopping_mev_cm2_g), hard, straight, scored, largest, step)
    return settings, medium, lower, source, changed, photons, scattering, brems, at_cut


def beam_start(number: int, copies: int, at: tuple[float, float, float], direction: FloatArray) -> FloatArray:
    """(number, copies, 6): all electrons from one place (voxels) in one direction."""
    unit = np.asarray(direction, dtype=np.float64)
    unit = unit / np.linalg.norm(unit)
    return np.ascontiguousarray(np.broadcast_to(np.concatenate([at, unit]), (number, copies, 6)))


def uniform_start(share: FloatArray, number: int, copies: int, *, seed: int) -> FloatArray:
    """(number, copies, 6): places in voxels with the probabilities ``share`` [k, j, i], evenly within each, isotropic.

    Place along the voxels and cosine to y are a scrambled Sobol sequence, shuffled over the bundles: evenly spread,
    which takes noise out of the start and leaves each share as it is.
    """
    total = number * copies
    assert total & (total - 1) == 0, "a Sobol sequence is balanced for powers of two"
    random = np.random.default_rng(seed)
    even = random.permutation(qmc.Sobol(2, seed=random).random(total))
    below = np.cumsum(share.ravel()) / share.sum()
    index = np.minimum(np.searchsorted(below, even[:, 0], side="right"), share.size - 1)
    k, j, i = np.unravel_index(index, share.shape)
    cosine, azimuth = 2.0 * even[:, 1] - 1.0, random.uniform(0.0, 2.0 * np.pi, total)
    sine = np.sqrt(1.0 - cosine**2)
    place = np.stack([i, j, k], axis=1) + random.random((total, 3))
    direction = np.stack([sine * np.cos(azimuth), cosine, sine * np.sin(azimuth)], axis=1)
    return np.ascontiguousarray(np.concatenate([place, direction], axis=1).reshape(number, copies, 6))

"""Electrons that start inside a phantom: what the engine's source cannot do, for tests of the transport alone."""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsim.dose.monte_carlo._kernels.bundle import transport_bundles
from rtsim.dose.monte_carlo._kernels.random import seed_history, uniform
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.typing import FloatArray

_SLOTS, _PHOTONS = 96, 1024


@njit
def _start(
    seed, number, copies, kinetic, isotropic, below, settings, medium, table, scattering, brems, at_cut, out, tallies
):
    """``number`` bundles of ``copies`` electrons; ``below`` is the running share of the voxels in the source."""
    _, _, shape, _ = medium
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
    for n in range(number):
        seed_history(state, seed, n)
        for c in range(copies):
            index = np.searchsorted(below, uniform(state))
            k, rest = divmod(index, shape[1] * shape[2])
            j, i = divmod(rest, shape[2])
            cosine, azimuth = 2.0 * uniform(state) - 1.0, 2.0 * np.pi * uniform(state)
            sine = np.sqrt(1.0 - cosine * cosine)
            at = place[0, c]
            at[0], at[1], at[2] = i + uniform(state), j + uniform(state), k + uniform(state)
            at[3], at[4], at[5] = sine * np.cos(azimuth), cosine, sine * np.sin(azimuth)
            if not isotropic:
                at[3], at[4], at[5] = 0.0, 1.0, 0.0
            voxel[0, c, 0], voxel[0, c, 1], voxel[0, c, 2] = i, j, k
            origin[0, c] = c
        energy[0], count[0], positron[0] = kinetic, copies, False
        tallies[0] += kinetic
        waiting = transport_bundles(
            1, 1.0 / copies, copies, settings, state, bundles, medium, table, scattering, out, tallies, work, photons,
            cells, 0,
        )  # fmt: skip
        for p in range(waiting):
            tallies[3] += photons[p, 0] * photons[p, 7]


def electrons(
    scene: Scene,
    share: FloatArray,
    *,
    kinetic_mev: float,
    number: int,
    copies: int = 1,
    seed: int = 1,
    isotropic: bool = True,
) -> tuple[FloatArray, FloatArray]:
    """(nz, ny, nx) MeV deposited by electrons that start in voxels with the probabilities ``share``; bremsstrahlung is
    left out. And MeV started, escaped, lost to a full stack, radiated."""
    settings, medium, _, _, table, _, scattering, brems, at_cut = scene.arrays
    out, tallies = np.zeros(share.size), np.zeros(4)
    below = np.cumsum(share.ravel() / share.sum())
    below[-1] = 1.0
    _start(
        seed,
        number,
        copies,
        kinetic_mev,
        isotropic,
        below,
        settings,
        medium,
        table,
        scattering,
        brems,
        at_cut,
        out,
        tallies,
    )
    return out.reshape(share.shape), tallies

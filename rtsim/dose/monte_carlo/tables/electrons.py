"""What electrons do: continuous loss, and hard and elastic events per MeV of it, by medium."""

from __future__ import annotations

import numpy as np

from rtsim import materials as library
from rtsim.dose.monte_carlo.tables.bremsstrahlung import hard_photons_cm2_g, soft_radiative_mev_cm2_g
from rtsim.dose.monte_carlo.tables.delta_rays import moller_cm2_g, restricted_collision_mev_cm2_g
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.dose.monte_carlo.tables.scattering import elastic
from rtsim.dose.monte_carlo.tables.stopping import collision_mev_cm2_g
from rtsim.errors import InputError
from rtsim.materials import Material
from rtsim.typing import FloatArray

STOPPING, MOLLER, BREMSSTRAHLUNG, COLLISIONS, SCREENING = 0, 1, 2, 3, 4
"""Columns of ``electron_table``."""


def electron_table(materials: tuple[Material, ...], *, electron_cut_mev: float, photon_cut_mev: float) -> FloatArray:
    """[energy, material, 5] on ``EnergyGrid.standard()``: what the kernels read of the transport of electrons.

    Columns: restricted stopping power L in MeV cm2/g (collisions that lose less than ``electron_cut_mev``, photons
    below ``photon_cut_mev``); Moller events above the cut per MeV of that loss (0 below twice the cut); bremsstrahlung
    photons above the cut per MeV; elastic collisions per MeV; their screening parameter eta. Per MeV means divided by
    L: the clock of an electron is its continuous energy loss.

    Density effect at the nominal density of each material. Raises InputError without materials or for a cut that is
    not above 0.
    """
    if not materials:
        raise InputError("electron_table was given no material; it needs at least one")
    energies = EnergyGrid.standard().energies_mev
    table = np.empty((energies.size, len(materials), 5))
    for m, material in enumerate(materials):
        stopping = restricted_collision_mev_cm2_g(material, energies, electron_cut_mev)
        stopping = stopping + soft_radiative_mev_cm2_g(material, photon_cut_mev)
        collisions, screening = elastic(material, energies)
        table[:, m, STOPPING] = stopping
        table[:, m, MOLLER] = moller_cm2_g(material, energies, electron_cut_mev) / stopping
        table[:, m, BREMSSTRAHLUNG] = hard_photons_cm2_g(material, photon_cut_mev) / stopping
        table[:, m, COLLISIONS] = collisions / stopping
        table[:, m, SCREENING] = screening
    return table


def water_over_medium(materials: tuple[Material, ...]) -> FloatArray:
    """[energy, material] collision stopping power of water over that of the medium, on ``EnergyGrid.standard()``.

    The factor from energy deposited by an electron to dose to water in that place (Bragg-Gray; unrestricted, at the
    electron's energy). Raises InputError without materials.
    """
    if not materials:
        raise InputError("water_over_medium was given no material; it needs at least one")
    energies = EnergyGrid.standard().energies_mev
    water = collision_mev_cm2_g(library.get("water"), energies)
    return np.stack([water / collision_mev_cm2_g(material, energies) for material in materials], axis=1)

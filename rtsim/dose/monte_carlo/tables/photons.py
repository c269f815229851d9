"""What photons do: attenuation by medium and the shares of the interactions."""

from __future__ import annotations

import numpy as np

from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.errors import InputError
from rtsim.materials import Material, Process
from rtsim.typing import FloatArray

ATTENUATION, COMPTON, PAIR, PHOTO = 0, 1, 2, 3
"""Columns of ``photon_table``; the last three are cumulative shares of the interactions in this order."""


def photon_table(materials: tuple[Material, ...], *, rayleigh: bool = False) -> FloatArray:
    """[energy, material, 4] on ``EnergyGrid.standard()``: mass attenuation in cm2/g and cumulative shares.

    Columns: attenuation of the processes simulated; share of Compton scatter; of Compton scatter and pairs (those in
    the field of an electron included); of these and photoabsorption. What is left to 1 is coherent scatter: with
    ``rayleigh`` it counts in the attenuation, without it is left out and the last share is 1.

    XCOM cross sections as ``Material`` mixes them. Raises InputError without materials.
    """
    if not materials:
        raise InputError("photon_table was given no material; it needs at least one")
    energies = EnergyGrid.standard().energies_mev
    table = np.empty((energies.size, len(materials), 4))
    for m, material in enumerate(materials):
        compton = material.cross_section_cm2_g(Process.COMPTON, energies)
        pairs = sum(material.cross_section_cm2_g(p, energies) for p in (Process.PAIR, Process.TRIPLET))
        photo = material.cross_section_cm2_g(Process.PHOTO, energies)
        simulated = compton + pairs + photo
        total = simulated + (material.cross_section_cm2_g(Process.COHERENT, energies) if rayleigh else 0.0)
        table[:, m, ATTENUATION] = total
        table[:, m, COMPTON] = compton / total
        table[:, m, PAIR] = (compton + pairs) / total
        table[:, m, PHOTO] = simulated / total if rayleigh else 1.0
    return table

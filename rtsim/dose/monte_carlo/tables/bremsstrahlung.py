"""Bremsstrahlung: the spectrum of the photons of one electron, and its split at a cut into many soft and few hard ones.

The shape is that of Bethe and Heitler; the number of photons follows from it and the radiative stopping power of the
medium, so that the energy radiated is that of the tables (Seltzer and Berger 1986) whatever the shape.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from rtsim import materials
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.dose.monte_carlo.tables.stopping import radiative_mev_cm2_g
from rtsim.errors import InputError
from rtsim.materials import Material
from rtsim.materials.elements import ELEMENTS, SYMBOLS
from rtsim.typing import FloatArray
from rtsim.units import ELECTRON_REST_MEV

FINE_STRUCTURE: Final = 7.2973525693e-3  # source: CODATA 2018
SHAPE_NODES: Final = 65
"""Nodes of a spectrum, k/T uniform from 0 to 1."""

_SCREENING_RADIUS: Final = 111.0  # hbar/mc over Z^(1/3), so that complete screening is ln(183 Z^(-1/3)). source: Schiff
_TINY: Final = 1.0e-6  # the ends k = 0 and k = T are limits: taken this near to them


def bremsstrahlung_table() -> FloatArray:
    """[energy, SHAPE_NODES] spectrum k dsigma/dk by k/T on ``EnergyGrid.standard()``, each row's maximum 1.

    The shape in water serves all media: the mean energy of the photons above 50 keV of electrons of 0.5 to 20 MeV is
    0.5 % lower in fat, 1.5 % higher in cortical bone, 3.5 % in titanium. What the kernel ``bremsstrahlung`` reads.
    """
    return _water_table().copy()


def spectrum_shape(material: Material, kinetic_mev: ArrayLike, share: ArrayLike) -> FloatArray:
    """k dsigma/dk of ``material`` per gram in units of alpha r_e^2 N_A, at energies T and shares k/T (broadcast).

    Bethe-Heitler without screening (3BN of Koch and Motz 1959, Rev Mod Phys 31:920) with Elwert's factor, which keeps
    the tip finite, and the effect of screening at high energy added (Schiff's exponential screening: 3BS less its own
    limit without screening), summed over the elements with Z(Z + 1), the 1 for the atom's electrons.
    """
    t, x = np.broadcast_arrays(np.asarray(kinetic_mev, np.float64) / ELECTRON_REST_MEV, np.asarray(share, np.float64))
    k = np.clip(x, _TINY, 1.0 - _TINY) * t
    total = np.zeros(k.shape)
    for z, fraction in material.mass_fractions:
        weight = fraction * z * (z + 1) / ELEMENTS[SYMBOLS[z]][1]
        total += weight * (_unscreened(t, k) * _elwert(z, t, k) + _screening(z, t, k))
    return np.asarray(np.maximum(total, 0.0))


def soft_radiative_mev_cm2_g(material: Material, cut_mev: float) -> FloatArray:
    """(energy,) radiative stopping power of photons below ``cut_mev`` in MeV cm2/g, on the nodes of the grid."""
    energies, soft, _, whole = _split(cut_mev)
    return np.asarray(radiative_mev_cm2_g(material, energies) * soft / whole)


def hard_photons_cm2_g(material: Material, cut_mev: float) -> FloatArray:
    """(energy,) bremsstrahlung photons above ``cut_mev`` per g/cm2, on the nodes of the grid; 0 for T <= cut."""
    energies, _, number, whole = _split(cut_mev)
    return np.asarray(radiative_mev_cm2_g(material, energies) / energies * number / whole)


def _unscreened(t: FloatArray, k: FloatArray) -> FloatArray:
    """3BN per Z^2: energies and momenta in units of the rest energy."""
    e0, e1 = t + 1.0, t + 1.0 - k
    p0, p1 = np.sqrt(t * (t + 2.0)), np.sqrt((t - k) * (t - k + 2.0))
    l0, l1 = 2.0 * np.log(e0 + p0), 2.0 * np.log(e1 + p1)
    ee, pp = e0 * e1, p0 * p1
    big = 2.0 * np.log((ee + pp - 1.0) / k)
    plain = 4.0 / 3.0 - 2.0 * ee * (p0**2 + p1**2) / pp**2 + l0 * e1 / p0**3 + l1 * e0 / p1**3 - l0 * l1 / pp
    bracket = 8.0 / 3.0 * ee / pp + k**2 * (ee**2 + pp**2) / pp**3
    bracket += k / (2.0 * pp) * ((ee + p0**2) / p0**3 * l0 - (ee + p1**2) / p1**3 * l1 + 2.0 * k * ee / pp**2)
    return np.asarray(p1 / p0 * (plain + big * bracket))


def _elwert(z: int, t: FloatArray, k: FloatArray) -> FloatArray:
    """Ratio of the densities of the outgoing and the incoming electron at the nucleus (Elwert 1939)."""
    before = 2.0 * np.pi * FINE_STRUCTURE * z / _beta(t)
    after = 2.0 * np.pi * FINE_STRUCTURE * z / _beta(t - k)
    return np.asarray(after * np.expm1(-before) / (before * np.expm1(-after)))


def _beta(t: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(t * (t + 2.0)) / (t + 1.0))


def _screening(z: int, t: FloatArray, k: FloatArray) -> FloatArray:
    """What exponential screening changes in the high-energy cross section (3BS), per Z^2: <= 0.

    phi_1, phi_2 of Schiff's potential less their limit without screening, 4 ln(2 E0 E/k) - 2, at b = R k/(2 E0 E).
    """
    e0, e1 = t + 1.0, t + 1.0 - k
    radius = _SCREENING_RADIUS / np.cbrt(z)
    b = radius * k / (2.0 * e0 * e1)
    arc = b * np.arctan(1.0 / b)
    common = 4.0 - 2.0 * np.log1p(1.0 / b**2)
    phi1 = common - 4.0 * arc
    phi2 = common + 1.0 / 3.0 - 6.0 * arc - b**2 * (4.0 - 4.0 * arc - 3.0 * np.log1p(1.0 / b**2))
    r = e1 / e0
    return np.asarray((1.0 + r * r) * phi1 - 2.0 / 3.0 * r * phi2)


@cache
def _water_table() -> FloatArray:
    energies = EnergyGrid.standard().energies_mev
    shape = spectrum_shape(materials.get("water"), energies[:, None], np.linspace(0.0, 1.0, SHAPE_NODES)[None, :])
    return np.asarray(shape / shape.max(axis=1, keepdims=True))


def _split(cut_mev: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Energies T, and of the shape f(x), x = k/T: integral of f below the cut, of f/x above it, and of f in all."""
    if not (np.isfinite(cut_mev) and cut_mev > 0.0):
        raise InputError(f"cut_mev is {cut_mev}; the cut of bremsstrahlung must be finite and above 0 MeV")
    energies = EnergyGrid.standard().energies_mev
    table = _water_table()
    edges = np.linspace(0.0, 1.0, SHAPE_NODES)
    cut = np.minimum(cut_mev / energies, 1.0)[:, None]
    slope = np.diff(table, axis=1) / np.diff(edges)
    level = table[:, :-1] - slope * edges[:-1]  # f = level + slope x inside a bin
    low, high = edges[None, :-1], edges[None, 1:]
    below = np.clip(cut, low, high)
    soft = level * (below - low) + 0.5 * slope * (below**2 - low**2)
    whole = level * (high - low) + 0.5 * slope * (high**2 - low**2)
    number = level * np.log(high / below, where=below > 0.0, out=np.zeros_like(table[:, 1:])) + slope * (high - below)
    return energies, soft.sum(axis=1), number.sum(axis=1), whole.sum(axis=1)

"""The spectrum of a linac in three numbers: endpoint, and how much tungsten and aluminium the beam passes."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.materials import MAX_ENERGY_MEV, Material, Spectrum

_C3: Final = -1.186
_LOWEST_MEV: Final = 0.05
_SAMPLES_PER_BIN: Final = 16


def linac_spectrum(
    name: str, *, endpoint_mev: float, tungsten_g_cm2: float, aluminium_g_cm2: float, bins: int = 60
) -> Spectrum:
    """Bremsstrahlung of a thick target behind filters, relative photons in ``bins`` equal bins of energy.

    Ali and Rogers 2012 (doi 10.1088/0031-9155/57/1/31) eq. 12 for the energy fluence, with r = E/Ee, C3 = -1.186:

        psi(E) = (1 + C3 r + r^2) (ln(Ee (Ee - E)/E + 1.65) - 0.5) exp(-mu_W C1^2 - mu_Al C2^2)

    Args:
        endpoint_mev: Ee, energy of the electrons on the target, 0.2 to 25 MeV.
        tungsten_g_cm2: C1^2, the target, 0 to 20 g/cm2.
        aluminium_g_cm2: C2^2, everything else in the beam, 0 to 200 g/cm2. It hardens; a flattening filter is more.
        bins: how many.

    Raises:
        InputError: a value outside of its range.
    """
    limits = {"endpoint_mev": (endpoint_mev, 0.2, MAX_ENERGY_MEV, "MeV")}
    limits["tungsten_g_cm2"] = (tungsten_g_cm2, 0.0, 20.0, "g/cm2")
    limits["aluminium_g_cm2"] = (aluminium_g_cm2, 0.0, 200.0, "g/cm2")
    for key, (value, low, high, unit) in limits.items():
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"{key} of spectrum {name!r} is {value}; allowed are {low:g} <= {key} <= {high:g} {unit}")
    if not 10 <= bins <= 1000:
        raise InputError(f"bins of spectrum {name!r} is {bins}; allowed are 10 <= bins <= 1000")
    edges = np.linspace(0.0, endpoint_mev, bins + 1)
    width = endpoint_mev / bins
    inside = (np.arange(_SAMPLES_PER_BIN) + 0.5) / _SAMPLES_PER_BIN
    energy = edges[:-1, None] + width * inside
    ratio = energy / endpoint_mev
    shape = (1.0 + _C3 * ratio + ratio**2) * (np.log(endpoint_mev * (endpoint_mev - energy) / energy + 1.65) - 0.5)
    path = sum(
        g_cm2 * _pure(symbol).mass_attenuation_cm2_g(np.maximum(energy.ravel(), _LOWEST_MEV)).reshape(energy.shape)
        for symbol, g_cm2 in (("W", tungsten_g_cm2), ("Al", aluminium_g_cm2))
    )
    photons = np.maximum(shape, 0.0) * np.exp(-path) / energy
    photons[energy < _LOWEST_MEV] = 0.0
    source = (
        f"Ali & Rogers 2012 PMB 57:31 eq. 12, endpoint {endpoint_mev:g} MeV, W {tungsten_g_cm2:g} g/cm2, "
        f"Al {aluminium_g_cm2:g} g/cm2"
    )
    return Spectrum(name, edges, photons.sum(axis=1) / photons.sum(), source)


def _pure(symbol: str) -> Material:
    return Material.from_mass_fractions(symbol, 1.0, {symbol: 1.0})

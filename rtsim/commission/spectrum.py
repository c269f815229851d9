"""The functional form of bremsstrahlung spectra by which a spectrum is fitted (Ali and Rogers 2012)."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.materials import Material, Spectrum
from rtsim.typing import FloatArray

C3: Final = -1.186
"""[V] Ali and Rogers 2012, Eq. 12, doi:10.1088/0031-9155/57/1/31: one value for all beams."""
BINS: Final = 60
_LOWEST_MEV: Final = 0.05


def ali_rogers(endpoint_mev: float, tungsten_g_cm2: float, aluminum_g_cm2: float, *, source: str = "") -> Spectrum:
    """The spectrum of a thick-target beam behind tungsten and aluminum.

        psi(E) = (1 + C3 r + r^2) [ln(E_e (E_e - E)/E + 1.65) - 0.5] exp(-(mu/rho)_W w - (mu/rho)_Al a),  r = E/E_e

    is the energy fluence (Ali and Rogers 2012, doi:10.1088/0031-9155/57/1/31, Eq. 12, with w = C1^2 and a = C2^2);
    the photons of a bin are psi/E at its middle.

    Args:
        endpoint_mev: E_e, the largest photon energy: 1 to 25 MeV.
        tungsten_g_cm2, aluminum_g_cm2: w and a in g/cm2, >= 0.
    """
    if not 1.0 <= endpoint_mev <= 25.0:
        raise InputError(f"endpoint_mev is {endpoint_mev}; 1 <= endpoint_mev <= 25 MeV is allowed")
    if tungsten_g_cm2 < 0.0 or aluminum_g_cm2 < 0.0:
        raise InputError(f"tungsten_g_cm2 {tungsten_g_cm2} and aluminum_g_cm2 {aluminum_g_cm2} must be >= 0 g/cm2")
    edges = np.linspace(_LOWEST_MEV, endpoint_mev, BINS + 1)
    energy = 0.5 * (edges[1:] + edges[:-1])
    ratio = energy / endpoint_mev
    target = (1.0 + C3 * ratio + ratio**2) * np.maximum(
        np.log(endpoint_mev * (endpoint_mev - energy) / energy + 1.65) - 0.5, 0.0
    )
    tungsten, aluminum = _filters(endpoint_mev)
    fluence = target * np.exp(-tungsten * tungsten_g_cm2 - aluminum * aluminum_g_cm2) / energy
    name = f"Ali-Rogers {endpoint_mev:g} MeV, W {tungsten_g_cm2:.3f}, Al {aluminum_g_cm2:.2f} g/cm2"
    return Spectrum(name, edges, fluence / fluence.sum(), source)


@cache
def _filters(endpoint_mev: float) -> tuple[FloatArray, FloatArray]:
    """Mass attenuation in cm2/g of tungsten and aluminum at the middle of the bins."""
    edges = np.linspace(_LOWEST_MEV, endpoint_mev, BINS + 1)
    energy = 0.5 * (edges[1:] + edges[:-1])
    tungsten = Material.from_mass_fractions("tungsten", 19.3, {"W": 1.0})
    aluminum = Material.from_mass_fractions("aluminum", 2.7, {"Al": 1.0})
    return tungsten.mass_attenuation_cm2_g(energy), aluminum.mass_attenuation_cm2_g(energy)

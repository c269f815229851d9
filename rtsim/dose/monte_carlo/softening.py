"""Spectra off the axis: the machine's softening mu(theta)/mu(0) as the filter that makes it.

A flattening filter is thickest on the axis and hardens the beam there most. Off the axis the spectrum is that of the
axis with some of the filter taken away,

    n(E; theta) ~ n(E; 0) exp(a mu_C(E)),

mu_C the Compton attenuation of water per g/cm2, which is that of any light filter per electron and stays below 0.2 at
low energies. ``a`` is found so that the effective attenuation of the energy fluence over 100 mm of water is
mu(theta)/mu(0) times that of the axis (narrow beam, as Tailor 1998 measured it [M]). The collapsed cone takes the
attenuation of every energy times mu(theta)/mu(0) instead. Energy fluence off the axis is that of the machine's profile
in both.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.optimize import brentq

from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.materials import MIN_ENERGY_MEV, Process, get
from rtsim.typing import AnyFloatArray, FloatArray

_DEPTH_G_CM2: Final = 10.0
_THICKEST_G_CM2: Final = 300.0


def attenuation_ratio(machine: Machine, radius_mm: AnyFloatArray) -> FloatArray:
    """mu(theta)/mu(0) of the machine at radii in the isocenter plane."""
    t = np.degrees(np.arctan(np.asarray(radius_mm, dtype=np.float64) / machine.sad_mm))
    c1, c2, c3 = machine.off_axis.softening
    return np.asarray(1.0 + t * (c1 + t * (c2 + t * c3)))


def softened(machine: Machine, radius_mm: AnyFloatArray) -> FloatArray:
    """(radii, bins) photons per bin of the machine's spectrum, each row summing to 1.

    Raises:
        InputError: a softening that no filter makes of this spectrum: one of a single energy, or a polynomial too far
            from 1.
    """
    spectrum = machine.spectrum
    ratios = attenuation_ratio(machine, radius_mm)
    energy = np.maximum(spectrum.bin_energy_mev, MIN_ENERGY_MEV)
    water = get("water")
    attenuation = water.mass_attenuation_cm2_g(energy)
    compton = water.cross_section_cm2_g(Process.COMPTON, energy)
    compton = compton - compton[spectrum.photons > 0.0].mean()

    def filtered(thickness: float) -> FloatArray:
        photons = spectrum.probabilities * np.exp(thickness * compton)
        return np.asarray(photons / photons.sum())

    def effective(thickness: float) -> float:
        psi = filtered(thickness) * energy
        return -math.log(float(psi @ np.exp(-attenuation * _DEPTH_G_CM2)) / float(psi.sum()))

    axis = effective(0.0)
    low, high = effective(-_THICKEST_G_CM2) / axis, effective(_THICKEST_G_CM2) / axis
    out = np.empty((ratios.size, energy.size))
    for row, ratio in enumerate(ratios):
        if ratio == 1.0:
            out[row] = spectrum.probabilities
            continue
        if not low < ratio < high:
            raise InputError(
                f"softening of machine {machine.name!r} asks for {ratio:.3f} times the attenuation of the axis at "
                f"{float(np.ravel(radius_mm)[row]):.0f} mm; its spectrum {spectrum.name!r} can be filtered to "
                f"{low:.3f} .. {high:.3f} of it. Use softening = [0, 0, 0] or a spectrum of more energies"
            )
        excess = brentq(lambda a, r=ratio: effective(a) / axis - r, -_THICKEST_G_CM2, _THICKEST_G_CM2, xtol=1e-6)
        out[row] = filtered(float(excess))
    return out

"""Elastic scattering of electrons: the screened Rutherford cross section with the screening of Moliere.

Per collision the density of xi = 1 - cos(theta) is 2 eta (1 + eta) / (xi + 2 eta)^2 on 0 <= xi <= 2, so that
<xi> = 2 eta [(1 + eta) ln(1 + 1/eta) - 1]. Collisions per g/cm2 times <xi> is the inverse of the first transport mean
free path; twice that is the mass scattering power of small angles.

source: G. Moliere, Z. Naturforsch. 2a (1947) 133; I. Kawrakow and A. F. Bielajew, Nucl. Instr. Meth. B 134 (1998) 325;
constants as the EGSnrc system uses them with spin effects off (NRCC PIRS-701, b_c and chi_cc of PEGS4 with Z(Z + 1)).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from rtsim.dose.monte_carlo.tables.goudsmit_saunderson import ANGLE_TABLE
from rtsim.errors import InputError
from rtsim.materials import Material
from rtsim.materials.elements import ELEMENTS, SYMBOLS
from rtsim.typing import Float32Array, FloatArray
from rtsim.units import ELECTRON_REST_MEV

AVOGADRO = 6.02214076e23
CLASSICAL_RADIUS_CM = 2.8179403262e-13
FINE_STRUCTURE = 7.2973525693e-3
"""source of the three: CODATA 2018."""
THOMAS_FERMI = 0.88534138
"""Radius of the Thomas-Fermi atom in Bohr radii times Z^(1/3): (9 pi^2 / 128)^(1/3)."""
COULOMB_CORRECTION = 3.34
"""Factor of (alpha Z)^2 in the screening angle, 3.76/1.13 in Moliere. source: PEGS4, which sets beta = 1 in it."""

_GAUSS_NODES = 64


def elastic(
    material: Material, energies_mev: ArrayLike, *, moller_cut_mev: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Elastic collisions of an electron per g/cm2, and the screening parameter eta of each.

    chi_a^2 = (alpha Z^(1/3) m c / (0.885 p))^2 1.13 (1 + 3.34 (alpha Z)^2), its logarithm averaged over the elements
    with weights w Z(Z + 1)/A; eta = chi_a^2/4; collisions = pi r_e^2 N_A <Z(Z + 1)/A> / (beta^2 tau (tau + 2) eta (1 +
    eta)). The atom's electrons are the 1 of Z + 1. This is EGSnrc with spin effects off, where it stands whatever the
    threshold of delta rays: deflections by delta rays that are followed one by one count twice there.

    With ``moller_cut_mev`` that share is taken out: the collisions are multiplied by 1 - w_e h, with h the part of the
    first moment <xi> of the electrons' own scattering that Moller's cross section places above the cut and w_e =
    <Z/A>/<Z(Z + 1)/A> (EGSnrc does so with spin effects on, by <sin^2 theta>). With a cut of 0.2 MeV: water -1.6 % at
    1 MeV, -3.6 % at 6 MeV, -4.3 % at 20 MeV; lead -0.2, -0.4 and -0.5 %; nothing below 0.4 MeV.

    Args:
        material: its composition is used, not its density.
        energies_mev: (n,) kinetic energies, MeV, above 0.
        moller_cut_mev: kinetic energy above which delta rays deflect on their own, MeV; None keeps all in this model.

    Returns:
        collisions_per_g_cm2 (n,), eta (n,), float64.

    Raises:
        InputError: an energy or cut that is not above 0.
    """
    energy = np.asarray(energies_mev, dtype=np.float64)
    if energy.size and not bool((np.isfinite(energy) & (energy > 0.0)).all()):
        raise InputError(f"energies_mev reaches from {energy.min():g} to {energy.max():g}; every one must be above 0")
    if moller_cut_mev is not None and not moller_cut_mev > 0.0:
        raise InputError(f"moller_cut_mev is {moller_cut_mev:g}; it must be above 0, or None to keep all deflections")
    z, per_atom = _atoms_per_gram(material)
    weights = per_atom * z * (z + 1.0)
    strength = float(weights.sum())
    log_screening = np.log(z ** (2.0 / 3.0) * (1.0 + COULOMB_CORRECTION * (FINE_STRUCTURE * z) ** 2))
    mean_screening = float(np.exp((weights * log_screening).sum() / strength))

    tau = energy / ELECTRON_REST_MEV
    momentum_squared = tau * (tau + 2.0)
    beta_squared = momentum_squared / (tau + 1.0) ** 2
    eta = 1.13 * (FINE_STRUCTURE / THOMAS_FERMI) ** 2 * mean_screening / (4.0 * momentum_squared)
    collisions = (
        np.pi * CLASSICAL_RADIUS_CM**2 * AVOGADRO * strength / (beta_squared * momentum_squared * eta * (1.0 + eta))
    )
    if moller_cut_mev is not None:
        electrons = float((per_atom * z).sum()) / strength
        collisions = collisions * (1.0 - electrons * _hard_share(tau, eta, moller_cut_mev / ELECTRON_REST_MEV))
    return np.asarray(collisions), np.asarray(eta)


def first_moment(eta: ArrayLike) -> FloatArray:
    """Mean 1 - cos(theta) of one collision, 2 eta [(1 + eta) ln(1 + 1/eta) - 1], at ``eta`` (any shape)."""
    screening = np.asarray(eta, dtype=np.float64)
    return np.asarray(2.0 * screening * ((1.0 + screening) * np.log1p(1.0 / screening) - 1.0))


@cache
def scattering_table() -> Float32Array:
    """The table of angles that the kernel ``scatter`` reads, the same for every medium and energy (read only)."""
    with np.load(ANGLE_TABLE) as stored:
        table = np.ascontiguousarray(stored["odds_ratio"])
    table.flags.writeable = False
    return table


def _atoms_per_gram(material: Material) -> tuple[FloatArray, FloatArray]:
    """Z (m,) and mass fraction over atomic weight (m,) of the elements."""
    z = np.array([z for z, _ in material.mass_fractions], dtype=np.float64)
    weights = np.array([fraction / ELEMENTS[SYMBOLS[z]][1] for z, fraction in material.mass_fractions])
    return z, weights


def _hard_share(tau: FloatArray, eta: FloatArray, cut: float) -> FloatArray:
    """Part of the first moment of scattering by the electrons that Moller events above ``cut`` make (0 to 1).

    Energies in rest energies. dsigma/de = 2 pi r_e^2 / (beta^2 tau) [1/e^2 + 1/(1-e)^2 + (tau/(tau+1))^2 - (2 tau +
    1)/(tau+1)^2 / (e (1-e))] for the fraction e of the slower electron; the faster one leaves at cos^2 = (1 - e)(tau +
    2)/(tau + 2 - e tau). Integrated in ln e by Gauss-Legendre quadrature.
    """
    node, weight = np.polynomial.legendre.leggauss(_GAUSS_NODES)
    lowest = np.minimum(cut / tau, 0.5)
    span = np.log(0.5 / lowest)
    e = lowest[:, None] * np.exp(span[:, None] * (0.5 * (node + 1.0)))
    t = tau[:, None]
    spectrum = 1 / e**2 + 1 / (1 - e) ** 2 + (t / (t + 1)) ** 2 - (2 * t + 1) / (t + 1) ** 2 / (e * (1 - e))
    deflection = 1.0 - np.sqrt((1 - e) * (t + 2) / (t + 2 - e * t))
    hard = 2.0 / tau * (spectrum * deflection * e * (0.5 * weight)).sum(axis=1) * span
    total = first_moment(eta) / (tau * (tau + 2.0) * eta * (1.0 + eta))
    return np.asarray(np.minimum(hard / total, 1.0))

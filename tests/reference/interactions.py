"""Cross sections of photons and electrons as the papers write them: slow, against which the samplers are held.

Each density is normalised by the quadrature of its bins, so that only its shape matters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import chi2

from rtsim.typing import FloatArray
from rtsim.units import ELECTRON_REST_MEV as REST

FALSE_ALARM = 1e-6
"""Chance that a correct sampler fails one test of this kind (fixed seeds: it fails always or never)."""
SIGMAS = 4.9
"""Normal deviation with that two-sided chance."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def bin_probabilities(density: Callable[[FloatArray], FloatArray], edges: FloatArray) -> FloatArray:
    """(n,) share of each bin in the integral of ``density``, 16-point Gauss-Legendre in every bin."""
    half = 0.5 * np.diff(edges)[:, None]
    middle = 0.5 * (edges[1:] + edges[:-1])[:, None]
    integral = (density(middle + half * _NODES) * _WEIGHTS * half).sum(axis=1)
    return np.asarray(integral / integral.sum())


def assert_drawn_from(sample: FloatArray, density: Callable[[FloatArray], FloatArray], edges: FloatArray) -> None:
    """Pearson's chi-square of a histogram against a density; wrong in one of a million cases."""
    assert sample.min() >= edges[0]
    assert sample.max() <= edges[-1]
    expected = bin_probabilities(density, edges) * sample.size
    assert expected.min() > 20.0, "bins too fine for chi-square"
    found = np.histogram(sample, edges)[0]
    statistic = ((found - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, edges.size - 2) > FALSE_ALARM, f"chi-square {statistic:.0f} of {edges.size - 1} bins"


def assert_mean(sample: FloatArray, expected: float) -> None:
    """The mean within 4.9 standard errors, a chance of one in a million to miss."""
    error = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) < SIGMAS * error, f"{sample.mean():.6g} +- {error:.2g} against {expected:.6g}"


def klein_nishina(cosine: FloatArray, energy: float) -> FloatArray:
    """dsigma/dcos, Klein and Nishina 1929: (E'/E)^2 (E'/E + E/E' - sin^2)."""
    ratio = 1.0 / (1.0 + energy / REST * (1.0 - cosine))
    return np.asarray(ratio**2 * (ratio + 1.0 / ratio - 1.0 + cosine**2))


def moller(secondary: FloatArray, kinetic: float) -> FloatArray:
    """dsigma/dW, Moller 1932 as ICRU 37 writes it, with both electrons' energies explicit."""
    total = kinetic + REST
    left = kinetic - secondary
    return np.asarray(
        1.0 / secondary**2
        + 1.0 / left**2
        + 1.0 / total**2
        - REST * (2.0 * kinetic + REST) / (total**2 * secondary * left)
    )


def sauter(cosine: FloatArray, kinetic: float) -> FloatArray:
    """dsigma/dcos of a K electron, Sauter 1931."""
    gamma = 1.0 + kinetic / REST
    beta = np.sqrt(1.0 - 1.0 / gamma**2)
    forward = 1.0 - beta * cosine
    return np.asarray((1.0 - cosine**2) / forward**4 * (1.0 + 0.5 * gamma * (gamma - 1.0) * (gamma - 2.0) * forward))


def koch_motz_2bs(cosine: FloatArray, kinetic: float, photon: float, z: float) -> FloatArray:
    """dsigma/dcos of bremsstrahlung, 2BS of Koch and Motz 1959, with y^2 = beta (1 + beta) gamma^2 (1 - cos)."""
    e0, k = 1.0 + kinetic / REST, photon / REST
    e = e0 - k
    beta = np.sqrt(1.0 - 1.0 / e0**2)
    y2 = beta * (1.0 + beta) * e0**2 * (1.0 - cosine)
    screening = (k / (2.0 * e0 * e)) ** 2 + (z ** (1.0 / 3.0) / (111.0 * (y2 + 1.0))) ** 2
    logarithm = -np.log(screening)
    return np.asarray(
        16.0 * y2 * e / ((y2 + 1.0) ** 4 * e0)
        - (e0 + e) ** 2 / ((y2 + 1.0) ** 2 * e0**2)
        + ((e0**2 + e**2) / ((y2 + 1.0) ** 2 * e0**2) - 4.0 * y2 * e / ((y2 + 1.0) ** 4 * e0)) * logarithm
    )

"""Doses of equal effect for another number of fractions, and the closed form of the HyTEC cord limit."""

from __future__ import annotations

import math
from typing import Final

from rtsim.biology._checks import alpha_beta, fraction_count, positive
from rtsim.biology.lq import eqd2_gy

CORD_EQD2_GY: Final = 44.6
"""EQD2_2 that all five HyTEC de novo cord limits (1-5 fractions) share. Source: arithmetic on Sahgal et al. 2021,
IJROBP 110:124 (12.4, 17.0, 20.3, 23.0, 25.3 Gy)."""

CORD_ALPHA_BETA_GY: Final = 2.0


def isoeffective_dose_gy(eqd2: float, fractions: float, alpha_beta_gy: float) -> float:
    """Total dose in ``fractions`` fractions whose EQD2 is ``eqd2`` Gy (the inverse of `eqd2_gy`).

    Root of D (D/n + ab) = E (2 + ab): D = n ab / 2 (sqrt(1 + 4 E (2 + ab) / (n ab^2)) - 1).
    """
    n, ratio, effect = fraction_count(fractions), alpha_beta(alpha_beta_gy), positive("eqd2", eqd2, "Gy")
    return 0.5 * n * ratio * (math.sqrt(1.0 + 4.0 * effect * (2.0 + ratio) / (n * ratio * ratio)) - 1.0)


def cord_limit_gy(fractions: float, eqd2_gy: float = CORD_EQD2_GY, alpha_beta_gy: float = CORD_ALPHA_BETA_GY) -> float:
    """Largest cord dose in Gy for any number of fractions; with the defaults D = n (sqrt(1 + 178.4 / n) - 1)."""
    return isoeffective_dose_gy(eqd2_gy, fractions, alpha_beta_gy)


def remaining_dose_gy(
    cumulative_eqd2_gy: float,
    prior_dose_gy: float,
    prior_fractions: float,
    fractions: float,
    alpha_beta_gy: float = CORD_ALPHA_BETA_GY,
) -> float:
    """Dose in Gy left for a second course by ``cumulative_eqd2_gy``; 0 when the first one used it up."""
    left = positive("cumulative_eqd2_gy", cumulative_eqd2_gy, "Gy") - eqd2_gy(
        float(prior_dose_gy), prior_fractions, alpha_beta_gy
    )
    return isoeffective_dose_gy(left, fractions, alpha_beta_gy) if left > 0.0 else 0.0

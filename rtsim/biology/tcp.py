"""Tumor control probability: log-logistic and logistic in EQD2, and Poisson with a spread of sensitivity.

A model object carries its source and a ``caveat`` that a report shows beside its number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rtsim.biology._checks import alpha_beta, doses, positive, weighted
from rtsim.biology.geud import geud_gy
from rtsim.biology.lq import bed_gy, eqd2_gy
from rtsim.sources import Source
from rtsim.typing import AnyFloatArray, FloatArray

TARGET_GEUD_A = -10.0
"""Exponent of the gEUD that stands for a non-uniform target dose; assumption of rtsim."""


@dataclass(frozen=True, kw_only=True)
class _OfEqd2(ABC):
    """A control probability that depends on one EQD2, at ``alpha_beta_gy``."""

    d50_eqd2_gy: float
    alpha_beta_gy: float
    source: Source
    caveat: str = ""

    def __post_init__(self) -> None:
        positive("d50_eqd2_gy", self.d50_eqd2_gy, "Gy")
        alpha_beta(self.alpha_beta_gy)

    def uniform(self, dose_gy: float, fractions: float) -> float:
        """TCP of a uniform total dose in Gy."""
        return self._at(eqd2_gy(float(dose_gy), fractions, self.alpha_beta_gy))

    def voxels(self, dose_gy: AnyFloatArray, fractions: float, volume: AnyFloatArray | None = None) -> float:
        """TCP of a dose distribution, through the gEUD (a = -10) of the voxelwise EQD2."""
        dose, share = weighted(dose_gy, volume)
        return self._at(geud_gy(eqd2_gy(dose, fractions, self.alpha_beta_gy), TARGET_GEUD_A, share))

    @abstractmethod
    def _at(self, eqd2: float) -> float:
        """TCP of an EQD2 in Gy."""


@dataclass(frozen=True, kw_only=True)
class LogLogisticTcp(_OfEqd2):
    """TCP = 1 / (1 + (D50 / D)^k), D the EQD2 at ``alpha_beta_gy``; the normalised slope is gamma50 = k / 4."""

    slope_k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("slope_k", self.slope_k)

    def _at(self, eqd2: float) -> float:
        # As a difference of logarithms: their quotient overflows for the nearly empty voxels of a distribution.
        if eqd2 == 0.0:
            return 0.0
        return float(expit(self.slope_k * (math.log(eqd2) - math.log(self.d50_eqd2_gy))))


@dataclass(frozen=True, kw_only=True)
class LogisticTcp(_OfEqd2):
    """TCP = 1 / (1 + exp(4 gamma50 (1 - D / D50))), D the EQD2 at ``alpha_beta_gy``.

    gamma50 is the normalized slope at D50. Without dose it leaves 1 / (1 + exp(4 gamma50)), which is no control that
    anything gave: below the doses of the fit it must not be used.
    """

    gamma50: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("gamma50", self.gamma50)

    def _at(self, eqd2: float) -> float:
        return float(expit(4.0 * self.gamma50 * (eqd2 / self.d50_eqd2_gy - 1.0)))


@dataclass(frozen=True, kw_only=True)
class PoissonTcp:
    """TCP = mean over alpha of prod_i exp(-N_i exp(-alpha BED_i)), alpha Gaussian, truncated at 0.

    ``clonogens_per_cm3`` N_i / v_i; ``alpha_per_gy`` mean and ``alpha_sd_per_gy`` spread over the population.
    Source: Webb and Nahum 1993, Phys Med Biol 38:653, doi:10.1088/0031-9155/38/6/001.
    """

    alpha_per_gy: float
    alpha_sd_per_gy: float
    alpha_beta_gy: float
    clonogens_per_cm3: float
    source: Source
    caveat: str = ""

    def __post_init__(self) -> None:
        positive("alpha_per_gy", self.alpha_per_gy, "1/Gy")
        positive("alpha_sd_per_gy", self.alpha_sd_per_gy, "1/Gy")
        positive("clonogens_per_cm3", self.clonogens_per_cm3, "1/cm3")
        alpha_beta(self.alpha_beta_gy)

    def uniform(self, dose_gy: float, fractions: float, volume_cm3: float) -> float:
        """TCP of a uniform total dose in Gy to ``volume_cm3``."""
        return self.voxels(np.array([float(dose_gy)]), fractions, np.array([positive("volume_cm3", volume_cm3, "cm3")]))

    def voxels(self, dose_gy: AnyFloatArray, fractions: float, volume_cm3: AnyFloatArray) -> float:
        """TCP of voxels with doses in Gy and volumes in cm3."""
        weighted(dose_gy, volume_cm3)
        bed = bed_gy(doses(dose_gy).ravel(), fractions, self.alpha_beta_gy)
        cells = self.clonogens_per_cm3 * np.asarray(volume_cm3, dtype=np.float64).ravel()
        alphas, shares = self.population()
        survivors = np.array([float(np.sum(cells * np.exp(-alpha * bed))) for alpha in alphas])
        return float(np.sum(shares * np.exp(-survivors)))

    def population(self) -> tuple[FloatArray, FloatArray]:
        """Sensitivities alpha in 1/Gy, and the share of the population that has each (sum 1): what is averaged over."""
        spread = np.linspace(-5.0, 5.0, 401)
        alphas = self.alpha_per_gy + self.alpha_sd_per_gy * spread
        shares = np.exp(-0.5 * spread**2)[alphas > 0.0]
        return alphas[alphas > 0.0], shares / np.sum(shares)

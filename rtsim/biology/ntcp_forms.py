"""Two further forms of the complication probability: logistic in the gEUD, and relative seriality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from rtsim.biology._checks import alpha_beta, positive, weighted
from rtsim.biology.geud import geud_gy
from rtsim.biology.lq import eqd2_gy
from rtsim.errors import InputError, unknown_name
from rtsim.sources import Source, Standing
from rtsim.typing import AnyFloatArray

_MOST_EXPONENT: Final = 690.0
"""exp() of it is still a float, and so is 1 / exp()."""


@dataclass(frozen=True, kw_only=True)
class LogisticNtcp:
    """NTCP = 1 / (1 + (TD50 / gEUD)^(4 gamma50)), gEUD with exponent ``a`` on voxelwise EQD2.

    Source: Niemierko 1999, Med Phys 26:1100; Gay and Niemierko 2007, Phys Med 23:115.
    """

    organ: str
    a: float
    td50_eqd2_gy: float
    gamma50: float
    alpha_beta_gy: float
    source: Source
    caveat: str = ""

    def __post_init__(self) -> None:
        positive("a", self.a)
        positive("td50_eqd2_gy", self.td50_eqd2_gy, "Gy")
        positive("gamma50", self.gamma50)
        alpha_beta(self.alpha_beta_gy)

    def probability(self, dose_gy: AnyFloatArray, fractions: float, volume: AnyFloatArray | None = None) -> float:
        """NTCP of voxel doses (total, Gy); ``volume`` one weight per voxel, equal when None."""
        dose, share = weighted(dose_gy, volume)
        geud = geud_gy(eqd2_gy(dose, fractions, self.alpha_beta_gy), self.a, share)
        if geud == 0.0:
            return 0.0
        return float(expit(4.0 * self.gamma50 * (math.log(geud) - math.log(self.td50_eqd2_gy))))


@dataclass(frozen=True, kw_only=True)
class RelativeSeriality:
    """NTCP = [1 - prod_i (1 - P_i^s)^v_i]^(1/s), P_i = 2^(-exp(e gamma (1 - D_i / D50))), D_i voxelwise EQD2.

    s near 1 is a serial organ (one damaged part is enough), s near 0 a parallel one; gamma is the largest normalized
    slope of P. Source: Källman, Ågren and Brahme 1992, Int J Radiat Biol 62:249.
    """

    organ: str
    d50_eqd2_gy: float
    gamma: float
    seriality: float
    alpha_beta_gy: float
    endpoint: str
    source: Source
    caveat: str = ""

    def __post_init__(self) -> None:
        positive("d50_eqd2_gy", self.d50_eqd2_gy, "Gy")
        positive("gamma", self.gamma)
        positive("seriality", self.seriality)
        alpha_beta(self.alpha_beta_gy)

    def probability(self, dose_gy: AnyFloatArray, fractions: float, volume: AnyFloatArray | None = None) -> float:
        """NTCP of voxel doses (total, Gy); ``volume`` one weight per voxel, equal when None."""
        dose, share = weighted(dose_gy, volume)
        if dose.size and np.all(dose[share > 0.0] == 0.0):
            return 0.0
        eqd2 = eqd2_gy(dose, fractions, self.alpha_beta_gy)
        # In logarithms: P^s of a cold part, and 1 - P^s of a hot one, are below what a float holds.
        steep = np.clip(math.e * self.gamma * (1.0 - eqd2 / self.d50_eqd2_gy), -_MOST_EXPONENT, _MOST_EXPONENT)
        spared = float(np.sum(share * np.log(-np.expm1(-self.seriality * math.log(2.0) * np.exp(steep)))))
        return math.pow(-math.expm1(spared), 1.0 / self.seriality)


_ROWS: Final[tuple[tuple[str, float, float, float, float, str, str], ...]] = (
    ("heart", 52.3, 1.28, 1.0, 3.0, "late cardiac death", "Gagliardi et al. 1996, Br J Radiol 69:839"),
    ("lungs", 30.1, 0.97, 0.01, 3.0, "pneumonitis", "Gagliardi et al. 2000, IJROBP 46:373"),
)

RELATIVE_SERIALITY: Final[dict[str, RelativeSeriality]] = {
    organ: RelativeSeriality(
        organ=organ,
        d50_eqd2_gy=d50,
        gamma=gamma,
        seriality=s,
        alpha_beta_gy=ratio,
        endpoint=endpoint,
        source=Source(citation=citation, standing=Standing.LITERATURE),
        caveat="fitted to the breast and Hodgkin treatments of its time, in 2 Gy fractions",
    )
    for organ, d50, gamma, s, ratio, endpoint, citation in _ROWS
}
"""By canonical organ key. The cord is left out: published sets of it contradict each other."""


def relative_seriality(organ: str) -> RelativeSeriality:
    """Relative seriality model of a canonical organ.

    Raises:
        InputError: no parameters are known for it.
    """
    if organ not in RELATIVE_SERIALITY:
        raise InputError(unknown_name("organ of relative seriality", organ, RELATIVE_SERIALITY))
    return RELATIVE_SERIALITY[organ]

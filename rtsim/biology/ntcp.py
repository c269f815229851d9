"""Normal tissue complication probability: logistic cord, Lyman-Kutcher-Burman, logistic mean lung dose.

More forms for organs other than the cord: ``rtsim.biology.ntcp_forms``.

Each model object carries its source and a ``caveat`` that a report shows beside its number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from scipy.special import ndtr

from rtsim.biology._checks import alpha_beta, positive, weighted
from rtsim.biology.geud import geud_gy
from rtsim.biology.lq import eqd2_gy
from rtsim.errors import InputError, unknown_name
from rtsim.sources import Source, Standing
from rtsim.typing import AnyFloatArray


@dataclass(frozen=True, kw_only=True)
class LogisticCord:
    """Myelopathy, P = 1 / (1 + (D50 / D)^k), D the EQD2 of the near-maximum cord dose (D0.03-0.035 cm3)."""

    d50_eqd2_gy: float
    slope_k: float
    source: Source
    caveat: str

    def probability(self, dose_gy: float, fractions: float, alpha_beta_gy: float = 2.0) -> float:
        """Probability for a total near-maximum dose in Gy; do not use alpha/beta 0.87 Gy above 4 Gy a fraction."""
        eqd2 = eqd2_gy(float(dose_gy), fractions, alpha_beta_gy)
        return _logistic(self.slope_k * (math.log(eqd2) - math.log(self.d50_eqd2_gy))) if eqd2 > 0.0 else 0.0


SCHULTHEISS_CORD: Final = LogisticCord(
    d50_eqd2_gy=69.4,
    slope_k=18.8,
    source=Source(
        citation="Schultheiss 2008, IJROBP 71:1455: D50 69.4 Gy, 0.03 % at 45, 0.2 % at 50, 5 % at 59.3 Gy; "
        "the slope k = 18.8 is rtsim's fit to these points",
        standing=Standing.VERIFIED,
    ),
    caveat="published with alpha/beta 0.87 Gy, which overstates the risk above 4 Gy per fraction (14 Gy x 1: 70 %); "
    "rtsim uses 2 Gy",
)
"""Cervical cord, conventional fractionation; with alpha/beta 2 Gy the central estimate of rtsim."""


@dataclass(frozen=True, kw_only=True)
class Lkb:
    """Lyman-Kutcher-Burman: NTCP = Phi(t), t = (gEUD - TD50) / (m TD50), gEUD with a = 1/n on voxelwise EQD2."""

    organ: str
    volume_exponent_n: float
    slope_m: float
    td50_eqd2_gy: float
    alpha_beta_gy: float
    endpoint: str
    source: Source
    caveat: str = ""

    def __post_init__(self) -> None:
        positive("volume_exponent_n", self.volume_exponent_n)
        positive("slope_m", self.slope_m)
        positive("td50_eqd2_gy", self.td50_eqd2_gy, "Gy")
        alpha_beta(self.alpha_beta_gy)

    def probability(
        self,
        dose_gy: AnyFloatArray,
        fractions: float,
        volume: AnyFloatArray | None = None,
        alpha_beta_gy: float | None = None,
    ) -> float:
        """NTCP of voxel doses (total, Gy); ``volume`` one weight per voxel, equal when None."""
        ratio = self.alpha_beta_gy if alpha_beta_gy is None else alpha_beta_gy
        dose, share = weighted(dose_gy, volume)
        geud = geud_gy(eqd2_gy(dose, fractions, ratio), 1.0 / self.volume_exponent_n, share)
        return float(ndtr((geud - self.td50_eqd2_gy) / (self.slope_m * self.td50_eqd2_gy)))


def lung_pneumonitis(mean_eqd2_gy: float) -> float:
    """Symptomatic pneumonitis from the mean EQD2 of both lungs: logistic, b0 = -3.87, b1 = 0.126 / Gy.

    Source: Marks et al. 2010 (QUANTEC), IJROBP 76:S70; literature, unverified here.
    """
    if not (math.isfinite(mean_eqd2_gy) and mean_eqd2_gy >= 0.0):
        raise InputError(f"mean_eqd2_gy is {mean_eqd2_gy}; it must be finite and >= 0 Gy")
    return _logistic(-3.87 + 0.126 * mean_eqd2_gy)


_BURMAN = Source(citation="Burman et al. 1991, IJROBP 21:123 (fit to Emami et al. 1991)", standing=Standing.LITERATURE)
_QUANTEC_LUNG = Source(citation="Marks et al. 2010 (QUANTEC lung), IJROBP 76:S70", standing=Standing.LITERATURE)
_DAWSON = Source(citation="Dawson et al. 2002, IJROBP 53:810 (liver metastases)", standing=Standing.LITERATURE)
_UPPER = (
    "LKB with these parameters overpredicts: 13 myelopathies predicted, 1 seen "
    "(24 hemangioblastomas, 20 Gy x 1); read it as an upper estimate"
)

_ROWS: Final[tuple[tuple[str, float, float, float, float, str, Source, str], ...]] = (
    ("spinal_cord", 0.05, 0.175, 66.5, 2.0, "myelitis, necrosis", _BURMAN, _UPPER),
    ("cauda_equina", 0.03, 0.12, 75.0, 3.0, "nerve damage", _BURMAN, ""),
    ("brachial_plexuses", 0.03, 0.12, 75.0, 3.0, "nerve damage", _BURMAN, ""),
    ("lungs", 1.0, 0.37, 30.8, 3.0, "pneumonitis", _QUANTEC_LUNG, ""),
    ("lungs_burman", 0.87, 0.18, 24.5, 3.0, "pneumonitis", _BURMAN, ""),
    ("kidneys", 0.70, 0.10, 28.0, 2.5, "nephritis", _BURMAN, ""),
    ("esophagus", 0.06, 0.11, 68.0, 3.0, "stricture, perforation", _BURMAN, ""),
    ("heart", 0.35, 0.10, 48.0, 3.0, "pericarditis", _BURMAN, ""),
    ("liver", 0.32, 0.15, 40.0, 2.5, "liver failure", _BURMAN, ""),
    ("liver_metastases", 0.97, 0.12, 45.8, 2.5, "radiation-induced liver disease", _DAWSON, ""),
    ("stomach", 0.15, 0.14, 65.0, 3.0, "ulceration, perforation", _BURMAN, ""),
    ("small_bowel", 0.15, 0.16, 55.0, 3.0, "obstruction, perforation", _BURMAN, ""),
    ("colon", 0.17, 0.11, 55.0, 3.0, "obstruction, perforation", _BURMAN, ""),
    ("skin", 0.10, 0.12, 70.0, 3.0, "necrosis, ulceration", _BURMAN, ""),
    ("ribs", 0.10, 0.21, 68.0, 3.0, "fracture", _BURMAN, ""),
    ("larynx", 0.11, 0.075, 70.0, 3.0, "cartilage necrosis", _BURMAN, ""),
    ("brainstem", 0.16, 0.14, 65.0, 2.0, "necrosis, infarction", _BURMAN, ""),
)

LKB_MODELS: Final[dict[str, Lkb]] = {
    organ: Lkb(
        organ=organ,
        volume_exponent_n=n,
        slope_m=m,
        td50_eqd2_gy=td50,
        alpha_beta_gy=ratio,
        endpoint=endpoint,
        source=source,
        caveat=caveat,
    )
    for organ, n, m, td50, ratio, endpoint, source, caveat in _ROWS
}
"""By canonical organ key; alpha/beta where the table gives a range is an assumption of rtsim within it."""


def lkb(organ: str) -> Lkb:
    """LKB model of a canonical organ ('spinal_cord', 'lungs', ...)."""
    if organ not in LKB_MODELS:
        raise InputError(unknown_name("LKB organ", organ, LKB_MODELS))
    return LKB_MODELS[organ]


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))

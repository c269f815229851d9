"""Risk of myelopathy by several models at once, and a warning where they disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.biology._checks import fraction_count, positive
from rtsim.biology.isoeffect import CORD_ALPHA_BETA_GY, CORD_EQD2_GY, cord_limit_gy
from rtsim.biology.lq import eqd2_gy
from rtsim.biology.ntcp import SCHULTHEISS_CORD, lkb
from rtsim.sources import Source, Standing

PUBLISHED_ALPHA_BETA_GY: Final = 0.87
"""Of the fit to 1.8-2 Gy fractions by Schultheiss 2008."""

LARGE_FRACTION_GY: Final = 4.0
"""From here on the models are told apart in reports; assumption of rtsim (alpha/beta 0.87 was fitted at 2 Gy)."""

DISAGREEMENT: Final = 3.0
"""Models disagree when the largest risk is this many times the smallest, and it is no smaller than 0.1 %."""
_NEGLIGIBLE: Final = 1.0e-3

HYTEC_CORD: Final = Source(
    citation="Sahgal et al. 2021 (HyTEC), IJROBP 110:124: 12.4, 17.0, 20.3, 23.0, 25.3 Gy in 1 to 5 fractions (1-5 % "
    "risk), all EQD2 44.6 Gy at alpha/beta 2 Gy",
    standing=Standing.VERIFIED,
)


@dataclass(frozen=True, kw_only=True)
class ModelRisk:
    """One model's probability of myelopathy, 0..1, with what must be known of it."""

    model: str
    probability: float
    source: Source
    caveat: str


@dataclass(frozen=True, kw_only=True)
class CordRisks:
    """What several models make of one near-maximum cord dose, taken as uniform over the cord.

    Attributes:
        near_max_gy: total of the course (D0.03-0.035 cm3), Gy.
        limit_gy: of HyTEC for this number of fractions.
        models: logistic with alpha/beta 2 (the central estimate), with the published 0.87, and LKB.
        warning: one sentence where the models disagree, else empty.
    """

    near_max_gy: float
    fractions: int
    eqd2_gy: float
    limit_gy: float
    models: tuple[ModelRisk, ...]
    warning: str

    @property
    def is_within_hytec(self) -> bool:
        """True when the dose is at most the limit of HyTEC, which is published to 0.1 Gy."""
        return self.near_max_gy <= self.limit_gy + 0.05


def cord_risks(near_max_gy: float, fractions: int) -> CordRisks:
    """Risk of myelopathy for a total near-maximum dose in Gy, by the models that rtsim knows.

    LKB takes the dose as that of the whole cord, which is more than a plan gives; on a plan's own distribution use
    ``lkb("spinal_cord")``. 12.4 Gy in 1 is 0.03 % (logistic, alpha/beta 2), 2.7 % (0.87), 3.0 % (LKB); 14 Gy in 1 is
    1.7, 70 and 18 %.
    """
    n = int(fraction_count(fractions))
    if near_max_gy != 0.0:
        positive("near_max_gy", near_max_gy, "Gy")
    model = lkb("spinal_cord")
    risks = (
        ModelRisk(
            model=f"logistic, alpha/beta {CORD_ALPHA_BETA_GY:g} Gy",
            probability=SCHULTHEISS_CORD.probability(near_max_gy, n, CORD_ALPHA_BETA_GY),
            source=SCHULTHEISS_CORD.source,
            caveat=f"alpha/beta {CORD_ALPHA_BETA_GY:g} Gy is that of the HyTEC limits, not of the fit",
        ),
        ModelRisk(
            model=f"logistic, alpha/beta {PUBLISHED_ALPHA_BETA_GY:g} Gy as published",
            probability=SCHULTHEISS_CORD.probability(near_max_gy, n, PUBLISHED_ALPHA_BETA_GY),
            source=SCHULTHEISS_CORD.source,
            caveat=f"not to be used above {LARGE_FRACTION_GY:g} Gy per fraction",
        ),
        ModelRisk(
            model="LKB, whole cord",
            probability=model.probability(np.array([near_max_gy]), n, None, CORD_ALPHA_BETA_GY),
            source=model.source,
            caveat=model.caveat,
        ),
    )
    return CordRisks(
        near_max_gy=float(near_max_gy),
        fractions=n,
        eqd2_gy=eqd2_gy(float(near_max_gy), n, CORD_ALPHA_BETA_GY),
        limit_gy=cord_limit_gy(n, CORD_EQD2_GY, CORD_ALPHA_BETA_GY),
        models=risks,
        warning=_warning(near_max_gy / n, risks),
    )


def risk_text(probability: float) -> str:
    """A probability 0..1 as percent that does not feign precision: "< 0.01 %", "1.7 %"."""
    return "< 0.01 %" if probability < 1e-4 else f"{100 * probability:.2g} %"


def _warning(per_fraction_gy: float, risks: tuple[ModelRisk, ...]) -> str:
    low, high = (pick(r.probability for r in risks) for pick in (min, max))
    if per_fraction_gy <= LARGE_FRACTION_GY or high < _NEGLIGIBLE or high < DISAGREEMENT * low:
        return ""
    each = ", ".join(f"{risk_text(r.probability)} ({r.model})" for r in risks)
    return (
        f"The models of myelopathy disagree at {per_fraction_gy:.3g} Gy per fraction: {each}. None was fitted to such "
        "fractions; go by the limit, not by the percentage"
    )

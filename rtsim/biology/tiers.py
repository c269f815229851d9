"""Tiers of tumor control: the models that stand for tumors of one sensitivity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.biology.tcp import LogisticTcp, LogLogisticTcp, PoissonTcp
from rtsim.sources import Source, Standing


class Tier(Enum):
    """Tier of tumor control: 1 sensitive ... 4 very resistant; BENIGN has no control model."""

    SENSITIVE = "1"
    INTERMEDIATE = "2"
    RESISTANT = "3"
    VERY_RESISTANT = "4"
    BENIGN = "B"


@dataclass(frozen=True, kw_only=True)
class TcpParameters:
    """Both tumor control models of one tier."""

    log_logistic: LogLogisticTcp
    poisson: PoissonTcp


_HYTEC = Source(
    citation="Soltys et al. 2021, IJROBP 110:112 (HyTEC spine TCP: 82/90/96 % at 18/20/24 x 1, 82 % at 24/2, 78 % at "
    "27/3, alpha/beta 6); D50 and k are rtsim's fit",
    standing=Standing.LITERATURE,
)
_SCALED = Source(citation="scaled by rtsim from the fit to HyTEC", standing=Standing.ASSUMPTION)
_OUTSIDE = "fitted to 1-5 fractions of 18-40 Gy; 8/1 and 30/10 are extrapolations (durable control, not pain relief)"
_SCALED_CAVEAT = (
    "only the resistant tier is anchored to pooled clinical data; this tier is an assumption; the anchor was "
    + _OUTSIDE
)


def _tcp(ratio: float, d50: float, k: float, alpha: float, sigma: float, source: Source) -> TcpParameters:
    caveat = _OUTSIDE if source is _HYTEC else _SCALED_CAVEAT
    return TcpParameters(
        log_logistic=LogLogisticTcp(d50_eqd2_gy=d50, slope_k=k, alpha_beta_gy=ratio, source=source, caveat=caveat),
        poisson=PoissonTcp(
            alpha_per_gy=alpha,
            alpha_sd_per_gy=sigma,
            alpha_beta_gy=ratio,
            clonogens_per_cm3=1.0e7,
            source=source,
            caveat=caveat,
        ),
    )


TCP_BY_TIER: Final[dict[Tier, TcpParameters]] = {
    Tier.SENSITIVE: _tcp(10.0, 15.0, 4.0, 1.15, 0.41, _SCALED),
    Tier.INTERMEDIATE: _tcp(4.0, 24.0, 3.0, 0.58, 0.27, _SCALED),
    Tier.RESISTANT: _tcp(6.0, 32.9, 3.0, 0.48, 0.22, _HYTEC),
    Tier.VERY_RESISTANT: _tcp(6.0, 41.0, 3.0, 0.385, 0.175, _SCALED),
}
"""Poisson parameters hold for 1e7 clonogens per cm3 and a target of 30 cm3."""

HYTEC_LOGISTIC: Final = LogisticTcp(
    d50_eqd2_gy=1.119 / 0.0362 / (1.0 + 2.0 / 6.0),
    gamma50=1.119 / 4.0,
    alpha_beta_gy=6.0,
    source=Source(
        citation="Soltys et al. 2021, IJROBP 110:112; 1 / (1 + exp(1.119 - 0.0362 BED)) at alpha/beta 6 is rtsim's fit",
        standing=Standing.LITERATURE,
    ),
    caveat="only within 1-5 fractions of 18-40 Gy: without dose it would leave 25 % control",
)
"""The second form that the HyTEC points bear, for all spinal metastases together."""

"""Tumor classes: two views of radiosensitivity side by side, alpha/beta, and tumor control models for each tier.

``noms_class`` (NOMS: which treatment) and ``stated_label`` / ``tier`` (ranking and TCP) are independent, because the
sources disagree: kidney and thyroid are 'resistant' in NOMS and of 'moderate sensitivity' elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.biology._checks import alpha_beta
from rtsim.biology.tcp import LogLogisticTcp, PoissonTcp
from rtsim.errors import InputError, unknown_name
from rtsim.sources import Source, Standing


class NomsClass(Enum):
    """Response to conventional radiotherapy as NOMS sees it; BENIGN lies outside NOMS."""

    SENSITIVE = "sensitive"
    INTERMEDIATE = "intermediate"
    RESISTANT = "resistant"
    BENIGN = "benign"


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


@dataclass(frozen=True, kw_only=True)
class Histology:
    """One tumor class. ``alpha_beta_gy`` is the tissue's own; the TCP models use that of their fit."""

    name: str
    title: str
    noms_class: NomsClass
    stated_label: str
    tier: Tier
    alpha_beta_gy: float
    source: Source
    note: str = ""

    def __post_init__(self) -> None:
        alpha_beta(self.alpha_beta_gy)

    @property
    def tcp(self) -> TcpParameters | None:
        """Tumor control models of the tier, or None for benign tumors."""
        return TCP_BY_TIER.get(self.tier)


_HYTEC = Source(
    citation="Soltys et al. 2021, IJROBP 110:112 (HyTEC spine TCP: 82/90/96 % at 18/20/24 x 1, 82 % at 24/2, 78 % at "
    "27/3, alpha/beta 6); D50 and k are rtsim's fit",
    standing=Standing.LITERATURE,
)
_SCALED = Source(citation="scaled by rtsim from the fit to HyTEC", standing=Standing.ASSUMPTION)
_OUTSIDE = "fitted to 1-5 fractions of 18-40 Gy; 8/1 and 30/10 are extrapolations (durable control, not pain relief)"
_SCALED_CAVEAT = "only the resistant tier is anchored to pooled clinical data; this tier is an assumption. " + _OUTSIDE


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

_NOMS = "NOMS: Laufer et al. 2013, Oncologist 18:744; Gerszten et al. 2009, Spine 34:S78"
_LIT, _ASSUMED = Standing.LITERATURE, Standing.ASSUMPTION
_S, _I, _R, _B = NomsClass.SENSITIVE, NomsClass.INTERMEDIATE, NomsClass.RESISTANT, NomsClass.BENIGN
_T1, _T2, _T3, _T4, _TB = Tier

_ROWS: Final[tuple[tuple[str, str, NomsClass, str, Tier, float, str, Standing, str], ...]] = (
    ("lymphoma", "Lymphoma", _S, "", _T1, 10.0, _NOMS, _LIT, "20-30 Gy conventional is durable"),
    ("myeloma", "Multiple myeloma", _S, "", _T1, 10.0, _NOMS, _LIT, "20-30 Gy conventional is durable"),
    ("plasmacytoma", "Plasmacytoma", _S, "", _T1, 10.0, _NOMS, _LIT, "40-50 Gy is curative"),
    ("germ_cell", "Seminoma, germ cell", _S, "", _T1, 10.0, _NOMS, _LIT, ""),
    ("small_cell_lung", "Small cell lung cancer", _S, "", _T1, 10.0, _NOMS, _LIT, ""),
    (
        "ewing",
        "Ewing sarcoma",
        _S,
        "treatment includes radiotherapy",
        _T1,
        10.0,
        _NOMS,
        _LIT,
        "definitive 45-55.8 Gy in 1.8 Gy with chemotherapy",
    ),
    (
        "breast",
        "Breast cancer",
        _S,
        "",
        _T2,
        3.5,
        _NOMS + "; START trials",
        _LIT,
        "sensitive in NOMS, intermediate in Gerszten",
    ),
    (
        "prostate",
        "Prostate cancer",
        _S,
        "",
        _T2,
        1.5,
        _NOMS + "; Brenner and Hall 1999, IJROBP 43:1095",
        _LIT,
        "sensitive in NOMS, intermediate in Gerszten",
    ),
    ("ovarian", "Ovarian cancer", _I, "", _T2, 10.0, _NOMS, _LIT, ""),
    ("neuroendocrine", "Neuroendocrine tumor", _I, "", _T2, 4.0, _NOMS, _LIT, ""),
    ("ependymoma", "Ependymoma", _I, "intramedullary", _T2, 10.0, "weak literature", _LIT, "45-54 Gy in 1.8 Gy"),
    (
        "renal",
        "Renal cell cancer",
        _R,
        "moderately sensitive",
        _T3,
        3.0,
        _NOMS + "; Ning et al. 1997",
        _LIT,
        "2.6-6.9 Gy in two cell lines; pooled TCP fits use 6 Gy",
    ),
    ("thyroid", "Thyroid cancer", _R, "moderately sensitive", _T3, 8.0, _NOMS, _LIT, "6-10 Gy, weak literature"),
    ("hepatocellular", "Hepatocellular cancer", _R, "", _T3, 15.0, _NOMS + "; Tai et al. 2008", _LIT, ""),
    ("non_small_cell_lung", "Non-small cell lung cancer", _R, "", _T3, 9.0, _NOMS, _LIT, "8-10 Gy"),
    (
        "astrocytoma",
        "Low-grade astrocytoma",
        _R,
        "intramedullary",
        _T3,
        7.5,
        "weak literature",
        _LIT,
        "intermediate or resistant; 45-50.4 Gy in 1.8 Gy",
    ),
    (
        "colorectal",
        "Colorectal and other gastrointestinal cancer",
        _R,
        "particularly resistant",
        _T4,
        5.0,
        _NOMS,
        _LIT,
        "",
    ),
    (
        "melanoma",
        "Melanoma",
        _R,
        "particularly resistant",
        _T4,
        2.5,
        _NOMS + "; Bentzen et al. 1989",
        _LIT,
        "0.6-2.5 Gy",
    ),
    ("sarcoma", "Soft tissue sarcoma", _R, "", _T4, 4.0, _NOMS, _LIT, "0.4-4 Gy"),
    (
        "chordoma",
        "Chordoma",
        _R,
        "radiotherapy sometimes",
        _T4,
        2.45,
        "Henderson et al. 2009",
        _LIT,
        "74-78 Gy (RBE) in 2 Gy or 24 Gy x 1",
    ),
    ("chondrosarcoma", "Chondrosarcoma", _R, "resistant", _T4, 2.5, _NOMS, _LIT, "2-3 Gy, weak; 70 Gy (RBE)"),
    (
        "osteosarcoma",
        "Osteosarcoma",
        _R,
        "surgery and chemotherapy",
        _T4,
        3.5,
        _NOMS,
        _LIT,
        "2-5 Gy, weak; 70 Gy (RBE)",
    ),
    (
        "giant_cell_tumor",
        "Giant cell tumor",
        _B,
        "surgery",
        _TB,
        3.0,
        "rtsim",
        _ASSUMED,
        "second line 45-56 Gy in 1.8-2 Gy",
    ),
    ("hemangioma", "Hemangioma", _B, "conservative", _TB, 3.0, "rtsim", _ASSUMED, "36-40 Gy in 2 Gy for pain"),
    (
        "osteoid_osteoma",
        "Osteoid osteoma, osteoblastoma",
        _B,
        "surgery or radiofrequency ablation",
        _TB,
        3.0,
        "rtsim",
        _ASSUMED,
        "no radiotherapy by default",
    ),
    (
        "meningioma",
        "Meningioma",
        _B,
        "surgery",
        _TB,
        3.5,
        "literature 3.3-3.8 Gy",
        _LIT,
        "50.4-54 Gy in 1.8 Gy, 12-16 x 1, 21/3, 25/5",
    ),
    ("schwannoma", "Schwannoma", _B, "surgery", _TB, 2.0, "literature 1.8-2.4 Gy", _LIT, "doses as for meningioma"),
)

_HISTOLOGIES: Final[dict[str, Histology]] = {
    name: Histology(
        name=name,
        title=title,
        noms_class=noms,
        stated_label=label,
        tier=tier,
        alpha_beta_gy=ratio,
        source=Source(citation=citation, standing=standing),
        note=note,
    )
    for name, title, noms, label, tier, ratio, citation, standing, note in _ROWS
}


def histology(name: str) -> Histology:
    """Tumor class by name ('renal', 'breast', ...); see `histology_names`."""
    if name not in _HISTOLOGIES:
        raise InputError(unknown_name("histology", name, _HISTOLOGIES))
    return _HISTOLOGIES[name]


def histology_names() -> tuple[str, ...]:
    """Every tumor class, from sensitive to resistant, benign last."""
    return tuple(_HISTOLOGIES)

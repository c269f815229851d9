"""How often what occurs among spinal metastases: the shares that sample_cohort draws from, each with its source.

Shares are percent of the patients at that point of the tree, and every table adds up to 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtsim.phantom.spine.spec import Compartment, EpiduralGrade, LesionKind, LesionSite
from rtsim.sources import Source, Standing


@dataclass(frozen=True)
class Table:
    """A distribution over names (histologies, levels, values of an Enum).

    Attributes:
        title: what is drawn, for the summary.
        percent: share of each name; they add up to 100.
        source: of the shares.
    """

    title: str
    percent: dict[str, float]
    source: Source

    def __post_init__(self) -> None:
        total = sum(self.percent.values())
        assert abs(total - 100.0) < 1e-9, f"{self.title}: {total}"


def _literature(citation: str) -> Source:
    return Source(citation=citation, standing=Standing.LITERATURE)


def _verified(citation: str) -> Source:
    return Source(citation=citation, standing=Standing.VERIFIED)


def _assumed(citation: str) -> Source:
    return Source(citation=citation, standing=Standing.ASSUMPTION)


def _scaled(parts: dict[str, float], total: float) -> dict[str, float]:
    factor = total / sum(parts.values())
    return {name: factor * share for name, share in parts.items()}


PRIMARY: Final = Table(
    "primary tumor",
    {
        "breast": 21.0,
        "lung": 19.0,
        "prostate": 7.5,
        "kidney": 5.0,
        "gastrointestinal": 4.5,
        "thyroid": 2.5,
        "other": 40.5,
    },
    _literature(
        "founding text of the project: breast 21, lung 19, prostate 7.5, kidney 5, gastrointestinal 4.5, thyroid "
        "2.5 %; the rest, 40.5 %, is not named there"
    ),
)

HISTOLOGY: Final[dict[str, Table]] = {
    "breast": Table("breast", {"breast": 100.0}, PRIMARY.source),
    "lung": Table(
        "lung",
        {"non_small_cell_lung": 85.0, "small_cell_lung": 15.0},
        _assumed("about 15 % of lung cancers are small cell; taken over for their metastases"),
    ),
    "prostate": Table("prostate", {"prostate": 100.0}, PRIMARY.source),
    "kidney": Table("kidney", {"renal": 100.0}, PRIMARY.source),
    "gastrointestinal": Table("gastrointestinal", {"colorectal": 100.0}, PRIMARY.source),
    "thyroid": Table("thyroid", {"thyroid": 100.0}, PRIMARY.source),
    "other": Table(
        "other",
        _scaled(
            {
                "unknown_primary": 11.0,
                "sarcoma": 7.0,
                "myeloma": 4.5,
                "lymphoma": 1.5,
                "melanoma": 1.0,
                "hepatocellular": 6.3,
                "bladder": 3.0,
                "head_and_neck": 3.0,
                "cervix_endometrium": 3.0,
                "ovarian": 2.0,
                "pancreas": 2.0,
                "neuroendocrine": 1.7,
                "germ_cell": 1.0,
            },
            100.0,
        ),
        _assumed(
            "in the proportion unknown primary 11, sarcoma 7, blood 6 (split 3 : 1), melanoma 1, all others 22 "
            "(Constans, 600 patients, quoted by a textbook); of the 22 the liver 6.3 (Wang 2019, 10.1111/os.12552), "
            "the rest of them chosen"
        ),
    ),
}
"""By the key of PRIMARY; names are those of rtsim.biology.histology."""

REGION: Final = Table(
    "region",
    {"thoracic": 70.0, "lumbar": 20.0, "cervical": 10.0},
    _verified(
        "symptomatic lesions: thoracic 70 (T4-T7 most), lumbar 20, cervical 10 %: emedicine 1157987; the founding "
        "text has the same order. In Wang 2019 (DOI 10.1111/os.12552) lumbar comes first. No sacrum in either"
    ),
)

LEVEL: Final[dict[str, Table]] = {
    "thoracic": Table(
        "thoracic level",
        {"T1": 5.0, "T2": 5.5, "T3": 7.0, "T4": 11.5, "T5": 12.0, "T6": 12.0, "T7": 11.5}
        | {"T8": 8.5, "T9": 7.5, "T10": 7.0, "T11": 6.5, "T12": 6.0},
        _assumed("a peak at T4-T7, as emedicine 1157987 says, falling off to both ends"),
    ),
    "lumbar": Table("lumbar level", dict.fromkeys(("L1", "L2", "L3", "L4", "L5"), 20.0), _assumed("all alike")),
    "cervical": Table("cervical level", dict.fromkeys(("C3", "C4", "C5", "C6", "C7"), 20.0), _assumed("all alike")),
}

COMPARTMENT: Final = Table(
    "compartment",
    {
        Compartment.EXTRADURAL.value: 94.25,
        Compartment.INTRADURAL_EXTRAMEDULLARY.value: 5.0,
        Compartment.INTRAMEDULLARY.value: 0.75,
    },
    _verified(
        "metastases: epidural or vertebral 94-98, intradural-extramedullary 5-6, intramedullary 0.5-1 %: "
        "emedicine 1157987"
    ),
)

INVASION: Final = Table(
    "canal of extradural tumors",
    {"bone only": 80.0, "canal invaded": 20.0},
    _literature("founding text of the project: about 20 % invade the canal or compress the cord"),
)

GRADE: Final = Table(
    "ESCC of canal invasion",
    {
        EpiduralGrade.ESCC_1A.value: 30.0,
        EpiduralGrade.ESCC_1B.value: 20.0,
        EpiduralGrade.ESCC_1C.value: 15.0,
        EpiduralGrade.ESCC_2.value: 20.0,
        EpiduralGrade.ESCC_3.value: 15.0,
    },
    _assumed(
        "about half with the cord touched or compressed, as 9.6 % of patients have cord compression (Van den Brande "
        "2022, DOI 10.1016/j.jbo.2022.100446); below the cord there is no 1c, and its share goes to the others"
    ),
)

SITE: Final = Table(
    "site in the vertebra",
    {
        LesionSite.WHOLE_BODY.value: 35.0,
        LesionSite.BODY_LEFT.value: 14.0,
        LesionSite.BODY_RIGHT.value: 14.0,
        LesionSite.PEDICLE_LEFT.value: 10.0,
        LesionSite.PEDICLE_RIGHT.value: 10.0,
        LesionSite.POSTERIOR.value: 10.0,
        LesionSite.CIRCUMFERENTIAL.value: 7.0,
    },
    _assumed("body before pedicle before posterior elements, as the founding text says; shares chosen"),
)

_SCLEROTIC = _literature(
    "prostate sclerotic 90 %, breast 60 % (a secondary source); the rest split between mixed and lytic by assumption"
)
_LYTIC = _assumed("lung, thyroid, renal, myeloma, melanoma lytic in the literature; the shares are chosen")
_BLASTIC = _assumed("small cell lung and carcinoid more often sclerotic in the literature; the shares are chosen")
_MIXED = _assumed("chosen")


def _kind(title: str, lytic: float, mixed: float, sclerotic: float, source: Source) -> Table:
    shares = {LesionKind.LYTIC.value: lytic, LesionKind.MIXED.value: mixed, LesionKind.SCLEROTIC.value: sclerotic}
    return Table(f"kind of lesion, {title}", shares, source)


KIND: Final[dict[str, Table]] = {
    "prostate": _kind("prostate", 2.0, 8.0, 90.0, _SCLEROTIC),
    "breast": _kind("breast", 15.0, 25.0, 60.0, _SCLEROTIC),
    "non_small_cell_lung": _kind("non-small cell lung", 75.0, 20.0, 5.0, _LYTIC),
    "renal": _kind("renal", 90.0, 10.0, 0.0, _LYTIC),
    "thyroid": _kind("thyroid", 85.0, 15.0, 0.0, _LYTIC),
    "myeloma": _kind("myeloma", 95.0, 5.0, 0.0, _LYTIC),
    "melanoma": _kind("melanoma", 80.0, 20.0, 0.0, _LYTIC),
    "small_cell_lung": _kind("small cell lung", 30.0, 30.0, 40.0, _BLASTIC),
    "neuroendocrine": _kind("neuroendocrine", 20.0, 30.0, 50.0, _BLASTIC),
}
"""By histology; those that are not named here: KIND_OF_OTHERS."""

KIND_OF_OTHERS: Final = _kind("other histologies", 50.0, 35.0, 15.0, _MIXED)

COLLAPSE_PERCENT: Final = {LesionKind.LYTIC: 30.0, LesionKind.MIXED: 15.0, LesionKind.SCLEROTIC: 5.0}
"""Share of bodies with tumor that have lost height. The shares together give fractures in 12.6 % (7.0-18.3) of patients
with spinal metastases, Van den Brande 2022, DOI 10.1016/j.jbo.2022.100446 (verified); their ratios are assumed."""

COLLAPSE_RANGE_PERCENT: Final = (10.0, 60.0)
"""Height lost by a body that has collapsed, drawn uniformly. [A]"""

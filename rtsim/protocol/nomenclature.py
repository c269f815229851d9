"""Canonical organ keys, their AAPM TG-263 names, and the labels that real data carry for them.

Keys are lower_snake_case for organs ('spinal_cord', 'kidney_left', 'vertebra_L3') and upper case for target roles
('PTV'). Labels are compared without case, blanks, underscores, dots and hyphens.
Names: Mayo et al. 2018, IJROBP 100:1057 (AAPM TG-263). Synonyms: TotalSegmentator and OpenKBP labels, clinical habit.
"""

from __future__ import annotations

import re
from typing import Final

from rtsim.errors import InputError, unknown_name

_SINGLE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "spinal_cord": (
        "SpinalCord",
        (
            "cord",
            "spine cord",
            "myelon",
            "medulla",
            "medulla spinalis",
            "rueckenmark",
            "rückenmark",
            "moelle",
            "true cord",
            "cord true",
        ),
    ),
    "spinal_cord_prv": (
        "SpinalCord_PRV",
        (
            "cord prv",
            "prv cord",
            "myelon prv",
            "spinal cord prv",
            "prv spinal cord",
            "prv myelon",
            "medulla prv",
            "rueckenmark prv",
        ),
    ),
    "spinal_canal": ("SpinalCanal", ("canal", "spinal channel", "spinalkanal", "vertebral canal")),
    "thecal_sac": ("ThecalSac", ("dural sac", "thecal", "duralsack", "dura")),
    "cauda_equina": ("CaudaEquina", ("cauda",)),
    "brainstem": ("Brainstem", ("brain stem", "hirnstamm")),
    "brain": ("Brain", ("gehirn",)),
    "esophagus": ("Esophagus", ("oesophagus", "esoph", "ösophagus", "speiseroehre")),
    "trachea": ("Trachea", ("luftroehre",)),
    "bronchi": ("Bronchus_Main", ("bronchus", "large bronchi", "main bronchi", "trachea bronchi")),
    "heart": ("Heart", ("herz", "cor")),
    "aorta": ("A_Aorta", ("aorta thoracic",)),
    "inferior_vena_cava": ("V_Venacava_I", ("ivc", "vena cava inferior", "v cava inf")),
    "superior_vena_cava": ("V_Venacava_S", ("svc", "vena cava superior")),
    "great_vessels": ("GreatVes", ("great vessels", "vessels", "greatvessel")),
    "liver": ("Liver", ("hepar", "leber")),
    "spleen": ("Spleen", ("milz",)),
    "stomach": ("Stomach", ("magen", "gaster")),
    "duodenum": ("Duodenum", ()),
    "small_bowel": ("Bowel_Small", ("small intestine", "smallbowel", "jejunum", "ileum", "jejunum ileum", "duenndarm")),
    "bowel": ("Bowel", ("bowel bag", "bag bowel", "intestine")),
    "colon": ("Colon", ("large bowel", "bowel large", "dickdarm")),
    "rectum": ("Rectum", ("rektum",)),
    "pancreas": ("Pancreas", ()),
    "gallbladder": ("Gallbladder", ("gall bladder",)),
    "bladder": ("Bladder", ("urinary bladder", "blase", "harnblase")),
    "prostate": ("Prostate", ("prostata",)),
    "larynx": ("Larynx", ()),
    "pharynx": ("Pharynx", ()),
    "thyroid": ("Glnd_Thyroid", ("thyroid gland", "schilddruese")),
    "mandible": ("Bone_Mandible", ("jaw", "unterkiefer")),
    "sacral_plexus": ("LumbSacPlex", ("lumbosacral plexus", "sacralplexus", "plexus sacralis")),
    "renal_hilum": ("Hilum_Renal", ("kidney hilum", "vascular trunk")),
    "chest_wall": ("Chestwall", ("chest wall", "thoraxwall")),
    "ribs": ("Ribs", ("rib", "rippen")),
    "sacrum": ("Sacrum", ("os sacrum",)),
    "skin": ("Skin", ("haut",)),
    "body": (
        "External",
        (
            "body",
            "external",
            "body derived",
            "outer contour",
            "patient",
            "aussenkontur",
            "skin outline",
            "water external",
            "couch free body",
            "koerper",
        ),
    ),
    "gtv": ("GTV", ("gross tumor volume", "gross tumour volume", "tumor", "tumour")),
    "ctv": ("CTV", ("clinical target volume",)),
    "itv": ("ITV", ("internal target volume",)),
    "ptv": ("PTV", ("planning target volume",)),
}
"""key -> (TG-263 name, further labels)."""

_PAIRED: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "kidney": ("kidneys", "Kidney", ("niere", "ren")),
    "lung": ("lungs", "Lung", ("lunge", "pulmo")),
    "parotid": ("parotids", "Parotid", ("parotid gland", "parotis", "glnd parotid")),
    "brachial_plexus": ("brachial_plexuses", "BrachialPlex", ("brachial plexus", "brachialplex", "plexus brachialis")),
    "hip": ("hips", "Pelvis", ("hip bone", "hueftbein")),
    "femur": ("femurs", "Femur", ("femoral head", "femur head")),
    "adrenal_gland": ("adrenal_glands", "Glnd_Adrenal", ("adrenal",)),
}
"""organ -> (key of the pair, TG-263 stem, further stems)."""

_LEFT: Final = ("left", "l", "lt", "li", "links")
_RIGHT: Final = ("right", "r", "rt", "re", "rechts")
_PLURALS: Final = {
    "kidneys": ("nieren", "kidneys both", "kidney bilateral", "renal cortex", "kidney cortex", "kidneys cortex"),
    "lungs": ("lung both", "lungs both", "total lung", "lungs total", "lunge bds"),
    "brachial_plexuses": ("brachial plexus", "brachialplex", "brachplex"),
}
_ROLE_KEYS: Final = {"gtv": "GTV", "ctv": "CTV", "itv": "ITV", "ptv": "PTV"}
_LEVELS: Final = frozenset(
    [f"C{i}" for i in range(1, 8)]
    + [f"T{i}" for i in range(1, 13)]
    + [f"L{i}" for i in range(1, 7)]
    + [f"S{i}" for i in range(1, 6)]
)
_REGION: Final = {"d": "T", "th": "T", "hwk": "C", "bwk": "T", "lwk": "L"}
_VERTEBRA: Final = re.compile(r"(?:vertebra|vertebrae|vb|vert)?([ctdls]|th|hwk|bwk|lwk)0?(\d{1,2})(?:vertebra)?")
_VERTEBRAL_BODY: Final = re.compile(r"(?:vertebralbody|vertebraebody|corpus)([ctdls])0?(\d{1,2})")
_ROLE_WITH_DETAIL: Final = re.compile(r"(gtv|ctv|itv|ptv)[\W_]*(\d.*|[ctls]\d{1,2}|cshape|total|final|eval|boost)")

_GROWN: Final = re.compile(r"(?P<organ>.+?)(?:[\s_.\-]*prv[\s_.\-]*\d*\s*(?:mm)?|\s*\+\s*\d+\s*(?:mm)?)")
"""SpinalCord_PRV02, Cord PRV 3mm, Cord+2mm: TG-263 writes the margin of a PRV in mm behind it."""
_PRV_FIRST: Final = re.compile(r"prv[\s_.\-]*\d*\s*(?:mm)?[\s_.\-]+(?P<organ>.+)")


def _plain(label: str) -> str:
    return re.sub(r"[\s_.\-+,()/\[\]]+", "", label.lower())


def _synonyms() -> dict[str, str]:
    table: dict[str, str] = {}
    for key, (tg263, others) in _SINGLE.items():
        for label in (key, tg263, *others):
            table[_plain(label)] = _ROLE_KEYS.get(key, key)
    for organ, (pair, tg263, others) in _PAIRED.items():
        for label in (pair, f"{tg263}s", f"{tg263}_Both", *_PLURALS.get(pair, ())):
            table[_plain(label)] = pair
        for stem in (organ, tg263, *others):
            for side, words in (("left", _LEFT), ("right", _RIGHT)):
                for word in words:
                    table[_plain(f"{stem}{word}")] = f"{organ}_{side}"
                    table[_plain(f"{word}{stem}")] = f"{organ}_{side}"
    return table


_BY_LABEL: Final = _synonyms()


def canonical(label: str) -> str | None:
    """Canonical key of a label found in data, or None when the label is unknown (never a guess).

    >>> canonical("Myelon"), canonical("vertebrae_L3"), canonical("Lt Lung"), canonical("Scar")
    ('spinal_cord', 'vertebra_L3', 'lung_left', None)
    """
    plain = _plain(label)
    known = _BY_LABEL.get(plain)
    if known is not None:
        return known
    for pattern, stem in ((_VERTEBRA, "vertebra"), (_VERTEBRAL_BODY, "vertebral_body")):
        match = pattern.fullmatch(plain)
        if match:
            level = _REGION.get(match[1], match[1].upper()) + match[2]
            return f"{stem}_{level}" if level in _LEVELS else None
    role = _ROLE_WITH_DETAIL.fullmatch(label.strip().lower())
    if role:
        return role[1].upper()
    grown = _GROWN.fullmatch(label.strip().lower()) or _PRV_FIRST.fullmatch(label.strip().lower())
    return "spinal_cord_prv" if grown and _BY_LABEL.get(_plain(grown["organ"])) == "spinal_cord" else None


def organs() -> tuple[str, ...]:
    """Every canonical key except the vertebrae, sorted."""
    return tuple(sorted(set(_BY_LABEL.values())))


def tg263(key: str) -> str:
    """AAPM TG-263 name of a canonical key: 'spinal_cord' -> 'SpinalCord', 'kidney_left' -> 'Kidney_L'."""
    if key.lower() in _SINGLE:
        return _SINGLE[key.lower()][0]
    for organ, (pair, stem, _) in _PAIRED.items():
        named = {pair: f"{stem}s", f"{organ}_left": f"{stem}_L", f"{organ}_right": f"{stem}_R"}
        if key in named:
            return named[key]
    match = re.fullmatch(r"vertebra_([CTLS]\d{1,2})", key)
    if match and match[1] in _LEVELS:
        return f"VB_{match[1]}"
    body = re.fullmatch(r"vertebral_body_([CTLS]\d{1,2})", key)
    if body and body[1] in _LEVELS:
        return f"VB_{body[1]}_Body"
    raise InputError(unknown_name("organ", key, organs()))

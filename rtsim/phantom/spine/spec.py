"""SpineSpec: what the spine generator is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from rtsim.errors import InputError
from rtsim.phantom.spine.anatomy import level
from rtsim.typing import Vector3


class LesionKind(Enum):
    """What the metastasis does to bone."""

    LYTIC = "lytic"
    MIXED = "mixed"
    SCLEROTIC = "sclerotic"


class LesionSite(Enum):
    """Where in the vertebra it sits; LEFT is the patient's left."""

    WHOLE_BODY = "body"
    BODY_LEFT = "body_left"
    BODY_RIGHT = "body_right"


class EpiduralGrade(Enum):
    """Epidural extent, Bilsky 2010 (DOI 10.3171/2010.3.SPINE09459): 0 bone only; 1a epidural, thecal sac not deformed;
    1b sac deformed, cord not touched; 1c sac deformed and cord touched. Higher grades compress the cord (not built)."""

    ESCC_0 = "0"
    ESCC_1A = "1a"
    ESCC_1B = "1b"
    ESCC_1C = "1c"


@dataclass(frozen=True, kw_only=True)
class SpineSpec:
    """A spine case.

    Attributes:
        level: vertebra with the lesion, C3 .. S1.
        lesion, site, epidural: what kind, where, and how far into the canal.
        ptv_margin_mm: PTV = CTV grown by this (stereotactic practice 0-3 mm).
        spare_cord: take the cord PRV (and the cauda equina) out of the PTV, as stereotactic treatment does; False
            treats the whole vertebra with its canal, as conventional treatment does.
        cord_prv_mm: cord PRV = cord grown by this (practice 1-2 mm).
        spacing_mm: (dx, dy, dz) of the CT.
        half_length_mm: how far the CT reaches above and below the target body's center.
        noise_hu: standard deviation of the scanner noise.
        seed: of noise and texture.
        roots: draw the nerve roots.
    """

    level: str = "T8"
    lesion: LesionKind = LesionKind.LYTIC
    site: LesionSite = LesionSite.WHOLE_BODY
    epidural: EpiduralGrade = EpiduralGrade.ESCC_0
    ptv_margin_mm: float = 2.0
    cord_prv_mm: float = 2.0
    spare_cord: bool = True
    spacing_mm: Vector3 = (2.0, 2.0, 2.0)
    half_length_mm: float = 90.0
    noise_hu: float = 12.0
    seed: int = 1
    roots: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", level(self.level).name)
        spacing = tuple(float(s) for s in self.spacing_mm)
        if len(spacing) != 3 or not all(0.3 <= s <= 5.0 for s in spacing):
            raise InputError(f"spacing_mm is {self.spacing_mm}; three spacings of 0.3 .. 5 mm (dx, dy, dz) are needed")
        object.__setattr__(self, "spacing_mm", spacing)
        for field, low, high in (
            ("ptv_margin_mm", 0.0, 10.0),
            ("cord_prv_mm", 0.0, 5.0),
            ("half_length_mm", 40.0, 200.0),
            ("noise_hu", 0.0, 100.0),
        ):
            value = getattr(self, field)
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"{field} is {value}; allowed are {low:g} <= {field} <= {high:g}")

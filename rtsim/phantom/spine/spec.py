"""SpineSpec: what the spine generator is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.errors import InputError, check_choice
from rtsim.phantom.spine.anatomy import level
from rtsim.phantom.spine.hardware import Hardware
from rtsim.typing import Vector3


class LesionKind(Enum):
    """What the tumor does to bone."""

    LYTIC = "lytic"
    MIXED = "mixed"
    SCLEROTIC = "sclerotic"


class LesionSite(Enum):
    """Where in the vertebra it sits; LEFT is the patient's left. POSTERIOR: laminae and spinous process;
    CIRCUMFERENTIAL: body, both pedicles, laminae and spinous process.

    An intradural-extramedullary tumor lies on that side of the cord: body in front, left, right or posterior of it.
    """

    WHOLE_BODY = "body"
    BODY_LEFT = "body_left"
    BODY_RIGHT = "body_right"
    PEDICLE_LEFT = "pedicle_left"
    PEDICLE_RIGHT = "pedicle_right"
    POSTERIOR = "posterior"
    CIRCUMFERENTIAL = "circumferential"

    @property
    def side(self) -> float:
        """+1 left, -1 right, 0 in the middle or on both sides."""
        if self in {LesionSite.BODY_LEFT, LesionSite.PEDICLE_LEFT}:
            return 1.0
        return -1.0 if self in {LesionSite.BODY_RIGHT, LesionSite.PEDICLE_RIGHT} else 0.0

    @property
    def in_body(self) -> bool:
        """True where tumor fills a good part of the vertebral body."""
        return self in _BODY_SITES


_BODY_SITES: Final = frozenset(
    {LesionSite.WHOLE_BODY, LesionSite.BODY_LEFT, LesionSite.BODY_RIGHT, LesionSite.CIRCUMFERENTIAL}
)


class EpiduralGrade(Enum):
    """Epidural extent, Bilsky 2010 (DOI 10.3171/2010.3.SPINE09459): 0 bone only; 1a epidural, thecal sac not deformed;
    1b sac deformed, cord not touched; 1c sac deformed and cord touched; 2 cord compressed, fluid still seen around it;
    3 cord compressed, no fluid seen."""

    ESCC_0 = "0"
    ESCC_1A = "1a"
    ESCC_1B = "1b"
    ESCC_1C = "1c"
    ESCC_2 = "2"
    ESCC_3 = "3"


class Compartment(Enum):
    """In which compartment of the spine the tumor grows: outside the dura (metastases, tumors of bone), within it
    beside the cord (meningioma, schwannoma), or in the cord (ependymoma, astrocytoma)."""

    EXTRADURAL = "extradural"
    INTRADURAL_EXTRAMEDULLARY = "intradural_extramedullary"
    INTRAMEDULLARY = "intramedullary"


@dataclass(frozen=True, kw_only=True)
class SpineSpec:
    """A spine case.

    Attributes:
        level: vertebra with the lesion, C3 .. S1.
        lesion, site, epidural: what kind, where, and how far into the canal.
        compartment: outside the dura (default), or within it: ``lesion`` and ``epidural`` then say nothing, and
            ``epidural`` must be 0.
        collapse_percent: height that the target's body has lost, 0 .. 70 %, for a lesion that sits in the body.
        tumor_length_mm: how long an intradural tumor is; None: about 20 mm beside the cord, 45 mm within it.
        dumbbell: an extramedullary tumor of one side goes on through the nerve's foramen.
        hardware: screws, rods, cage and cement of an operation; None: none.
        ptv_margin_mm: PTV = CTV grown by this (stereotactic practice 0-3 mm).
        spare_cord: take the cord PRV (and the cauda equina) out of the PTV, as stereotactic treatment does; False
            treats the whole vertebra with its canal, as conventional treatment does.
        cord_prv_mm: cord PRV = cord grown by this (practice 1-2 mm).
        spacing_mm: (dx, dy, dz) of the CT.
        half_length_mm: how far the CT reaches above and below the target body's center.
        noise_hu: standard deviation of the scanner noise.
        seed: of noise and texture.
        roots: draw the nerve roots.
        more_organs: add the structures of ``rtsim.phantom.spine.further_organs`` (larynx, bronchi, plexus, skin, chest
            wall, duodenum, renal hilum), which protocols limit too.
    """

    level: str = "T8"
    lesion: LesionKind = LesionKind.LYTIC
    site: LesionSite = LesionSite.WHOLE_BODY
    epidural: EpiduralGrade = EpiduralGrade.ESCC_0
    compartment: Compartment = Compartment.EXTRADURAL
    collapse_percent: float = 0.0
    tumor_length_mm: float | None = None
    dumbbell: bool = False
    hardware: Hardware | None = None
    ptv_margin_mm: float = 2.0
    cord_prv_mm: float = 2.0
    spare_cord: bool = True
    spacing_mm: Vector3 = (2.0, 2.0, 2.0)
    half_length_mm: float = 90.0
    noise_hu: float = 12.0
    seed: int = 1
    roots: bool = True
    more_organs: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", level(self.level).name)
        check_choice("lesion", self.lesion, LesionKind)
        check_choice("site", self.site, LesionSite)
        check_choice("epidural", self.epidural, EpiduralGrade)
        check_choice("compartment", self.compartment, Compartment)
        spacing = tuple(float(s) for s in self.spacing_mm)
        if len(spacing) != 3 or not all(0.3 <= s <= 5.0 for s in spacing):
            raise InputError(f"spacing_mm is {self.spacing_mm}; three spacings of 0.3 .. 5 mm (dx, dy, dz) are needed")
        object.__setattr__(self, "spacing_mm", spacing)
        for field, low, high in (
            ("ptv_margin_mm", 0.0, 10.0),
            ("cord_prv_mm", 0.0, 5.0),
            ("half_length_mm", 40.0, 200.0),
            ("noise_hu", 0.0, 100.0),
            ("collapse_percent", 0.0, 70.0),
        ):
            value = getattr(self, field)
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"{field} is {value}; allowed are {low:g} <= {field} <= {high:g}")
        _check_grade(self)
        if self.compartment is Compartment.EXTRADURAL:
            _check_extradural(self)
        else:
            _check_intradural(self)


def _check_grade(spec: SpineSpec) -> None:
    row = level(spec.level)
    if row.cord_width_mm == 0 and spec.epidural is EpiduralGrade.ESCC_1C:
        raise InputError(
            f"epidural is 1c at {row.name}; grade 1c touches the cord, which ends at L1/L2: use 0, 1a, 1b, 2 or 3 "
            "(2 and 3 are there of the cauda equina)"
        )


def _check_extradural(spec: SpineSpec) -> None:
    if spec.collapse_percent > 0 and not spec.site.in_body:
        raise InputError(
            f"collapse_percent is {spec.collapse_percent:g} with site {spec.site.value!r}; a body collapses that the "
            f"tumor weakens: use site {', '.join(sorted(s.value for s in _BODY_SITES))}, or collapse_percent 0"
        )
    if spec.tumor_length_mm is not None or spec.dumbbell:
        raise InputError(
            "tumor_length_mm and dumbbell are given for an extradural lesion, whose size follows from its vertebra; "
            "leave them out, or set compartment to intradural_extramedullary or intramedullary"
        )


def _check_intradural(spec: SpineSpec) -> None:
    where, row = spec.compartment, level(spec.level)
    if spec.epidural is not EpiduralGrade.ESCC_0:
        raise InputError(
            f"epidural is {spec.epidural.value} for a tumor that is {where.value}; the grade is one of epidural tumor: "
            "use epidural 0, or compartment extradural"
        )
    if spec.collapse_percent > 0:
        raise InputError(
            f"collapse_percent is {spec.collapse_percent:g} for a tumor that is {where.value}; such a tumor leaves the "
            "body whole: use collapse_percent 0, or compartment extradural"
        )
    length = spec.tumor_length_mm
    if length is not None and not (math.isfinite(length) and 8.0 <= length <= 2.0 * spec.half_length_mm - 20.0):
        raise InputError(
            f"tumor_length_mm is {length}; allowed are 8 <= tumor_length_mm <= {2.0 * spec.half_length_mm - 20.0:g} "
            f"(the field of view, 2 x half_length_mm, less 20)"
        )
    if where is Compartment.INTRAMEDULLARY:
        if row.cord_width_mm == 0:
            raise InputError(f"compartment is intramedullary at {row.name}; the cord ends at L1/L2: use C3 .. L1")
        if spec.spare_cord:
            raise InputError(
                "spare_cord is True for an intramedullary tumor, which lies in the cord and cannot be treated without "
                "it; set spare_cord = false and take a conventional protocol"
            )
        if spec.dumbbell:
            raise InputError("dumbbell is True for an intramedullary tumor; only one beside the cord leaves the sac")
    elif spec.site is LesionSite.CIRCUMFERENTIAL:
        raise InputError(
            "site is 'circumferential' for a tumor beside the cord; it lies on one side of it: use body (in front), "
            "pedicle_left, pedicle_right (at the side) or posterior"
        )
    elif spec.dumbbell and spec.site.side == 0.0:
        raise InputError(
            f"dumbbell is True with site {spec.site.value!r}; the foramen is at the side: use pedicle_left or "
            "pedicle_right"
        )

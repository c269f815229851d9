"""Findings: what is known of the patient beside the images. Nothing given is assumed aloud, never silently.

A field that is None was not given. What is then taken instead stands in the field's own words, and every answer that
rests on it says 'assumed'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.clinic.escc_grade import EsccGrade
from rtsim.errors import InputError, check_choice
from rtsim.phantom.spine.spec import Compartment


class Pain(Enum):
    """Pain as SINS asks for it."""

    MECHANICAL = "mechanical"
    """Worse on movement or loading, better on lying down."""
    OCCASIONAL = "occasional"
    """Occasional, but not mechanical."""
    NONE = "none"


class Alignment(Enum):
    """Alignment as SINS asks for it."""

    SUBLUXATION = "subluxation"
    """Subluxation or translation."""
    DEFORMITY = "deformity"
    """New kyphosis or scoliosis."""
    NORMAL = "normal"


class LesionQuality(Enum):
    """What the tumor does to bone, as SINS asks for it."""

    LYTIC = "lytic"
    MIXED = "mixed"
    BLASTIC = "blastic"


class Collapse(Enum):
    """Collapse of the body, as SINS asks for it."""

    MORE_THAN_HALF = "more than 50 %"
    LESS_THAN_HALF = "less than 50 %"
    NONE_BUT_HALF_INVOLVED = "none, but more than 50 % of the body involved"
    NONE = "none"


class Posterolateral(Enum):
    """Facets, pedicles or costovertebral joints involved (fractured or replaced by tumor)."""

    BILATERAL = "bilateral"
    UNILATERAL = "unilateral"
    NONE = "none"


class Stability(Enum):
    """Three classes of SINS; given as a finding, it is the judgement of a surgeon and goes before the score."""

    STABLE = "stable"
    POTENTIALLY_UNSTABLE = "potentially unstable"
    UNSTABLE = "unstable"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is known of the patient; None: not given.

    Attributes:
        pain: for SINS. Not given: assumed none, and the answer says what mechanical pain would change.
        alignment: for SINS. Not given: assumed normal (CT of a lying patient shows no instability).
        fit_for_surgery: can have an operation. Not given: assumed fit.
        survival_months: expected survival. Not given: assumed long enough for what is decided.
        myelopathy: signs of cord (or cauda) compression. Not given: assumed none.
        paralysis_hours: hours since walking was lost; None: none, or not given.
        previous_radiotherapy: this level was irradiated before. Not given: assumed not.
        lesion, collapse, posterolateral: given, they go before what is measured from the CT.
        escc: grade read from MRI; given, it goes before what is measured from the structures.
        stability: a surgeon's judgement; given, it goes before the SINS class.
        compartment: where the tumor lies about the dura. Not given: from the histology, and from the structures.
    """

    pain: Pain | None = None
    alignment: Alignment | None = None
    fit_for_surgery: bool | None = None
    survival_months: float | None = None
    myelopathy: bool | None = None
    paralysis_hours: float | None = None
    previous_radiotherapy: bool | None = None
    lesion: LesionQuality | None = None
    collapse: Collapse | None = None
    posterolateral: Posterolateral | None = None
    escc: EsccGrade | None = None
    stability: Stability | None = None
    compartment: Compartment | None = None

    def __post_init__(self) -> None:
        for field, most in (("survival_months", 600.0), ("paralysis_hours", 1.0e5)):
            value = getattr(self, field)
            if value is not None and not (math.isfinite(value) and 0.0 <= value <= most):
                raise InputError(
                    f"{field} is {value}; allowed are 0 <= {field} <= {most:g}, or None when it is unknown"
                )
        for field, kind in _KINDS.items():
            if getattr(self, field) is not None:
                check_choice(field, getattr(self, field), kind)


_KINDS: Final[dict[str, type[Enum]]] = {
    "pain": Pain,
    "alignment": Alignment,
    "lesion": LesionQuality,
    "collapse": Collapse,
    "posterolateral": Posterolateral,
    "escc": EsccGrade,
    "stability": Stability,
    "compartment": Compartment,
}

"""From [patient] and [previous] of a case to what is known of the patient and of an earlier course of radiotherapy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from rtsim.clinic.escc_grade import EsccGrade
from rtsim.clinic.findings import (
    Alignment,
    Collapse,
    Findings,
    LesionQuality,
    Pain,
    Posterolateral,
    Stability,
)
from rtsim.errors import CaseFileError
from rtsim.io.case_fields import Table
from rtsim.phantom.spine import Compartment

if TYPE_CHECKING:
    from rtsim.clinic.reirradiation import PreviousCourse

_Word = TypeVar("_Word", bound=Enum)
_PATIENT_KEYS: Final = (
    "pain",
    "alignment",
    "fit_for_surgery",
    "survival_months",
    "myelopathy",
    "paralysis_hours",
    "previous_radiotherapy",
    "lesion",
    "collapse",
    "posterolateral",
    "escc",
    "stability",
    "compartment",
)
_PREVIOUS_KEYS: Final = ("dose_gy", "fractions", "months_ago", "cord_percent", "name")


def findings(top: Table) -> Findings:
    """What [patient] says, in the words of Findings; what it leaves out was not given. A case with [previous] has had
    radiotherapy.

    Raises:
        CaseFileError: an unknown key or word (with the nearest), a wrong type, a course that was given and was not.
        InputError: a value out of range.
    """
    found = _patient(top.table("patient")) if "patient" in top else Findings()
    if "previous" not in top:
        return found
    if found.previous_radiotherapy is False:
        raise CaseFileError(
            f"{top.where}: [patient] says previous_radiotherapy = false, and [previous] describes it; "
            "leave one of them out"
        )
    return replace(found, previous_radiotherapy=True)


def previous_course(t: Table) -> PreviousCourse:
    """The earlier course that [previous] describes as a scheme.

    Raises:
        CaseFileError: an unknown key (with the nearest), a wrong type.
        InputError: no course that can have been given.
    """
    from rtsim.clinic.reirradiation import PreviousCourse  # brings the dose engines: only where a case needs it

    t.allow(*_PREVIOUS_KEYS)
    return PreviousCourse(
        fractions=t.integer("fractions"),
        dose_gy=t.number("dose_gy"),
        months_ago=t.optional_number("months_ago"),
        cord_percent=t.number("cord_percent", 100.0),
        name=t.text("name", ""),
    )


def _patient(t: Table) -> Findings:
    t.allow(*_PATIENT_KEYS)
    return Findings(
        pain=_word(t, "pain", Pain),
        alignment=_word(t, "alignment", Alignment),
        fit_for_surgery=_flag(t, "fit_for_surgery"),
        survival_months=t.optional_number("survival_months"),
        myelopathy=_flag(t, "myelopathy"),
        paralysis_hours=t.optional_number("paralysis_hours"),
        previous_radiotherapy=_flag(t, "previous_radiotherapy"),
        lesion=_word(t, "lesion", LesionQuality),
        collapse=_word(t, "collapse", Collapse),
        posterolateral=_word(t, "posterolateral", Posterolateral),
        escc=_word(t, "escc", EsccGrade),
        stability=_word(t, "stability", Stability),
        compartment=_word(t, "compartment", Compartment),
    )


def _word(t: Table, key: str, kind: type[_Word]) -> _Word | None:
    known: Mapping[str, _Word] = {member.value: member for member in kind}
    return t.choice(key, known) if key in t else None


def _flag(t: Table, key: str) -> bool | None:
    return t.flag(key, False) if key in t else None

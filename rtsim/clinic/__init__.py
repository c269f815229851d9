"""Which treatment, from what is seen: ESCC and SINS measured from the structures, NOMS, and the advice they make.

    advice = rt.clinic.advise(rt.load_phantom("spine_t8_epidural"), "renal")
    print(advice)

Names are loaded on first use: what a case file says of a patient must not bring the dose engines.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtsim.clinic import escc, reirradiation
    from rtsim.clinic.advice import DISCLAIMER, Advice, Decision, Offer, Reason, Scheme
    from rtsim.clinic.advising import advise
    from rtsim.clinic.escc_grade import EsccGrade, EsccMeasurement
    from rtsim.clinic.findings import (
        Alignment,
        Collapse,
        Findings,
        LesionQuality,
        Pain,
        Posterolateral,
        Stability,
    )
    from rtsim.clinic.noms_table import NomsAnswer, noms
    from rtsim.clinic.sins_score import How, Location, Sins, SinsPart
    from rtsim.clinic.sins_total import sins
    from rtsim.phantom.spine.spec import Compartment

_MODULE_OF = {
    "Advice": "advice",
    "Alignment": "findings",
    "Collapse": "findings",
    "Compartment": "findings",
    "DISCLAIMER": "advice",
    "Decision": "advice",
    "EsccGrade": "escc_grade",
    "EsccMeasurement": "escc_grade",
    "Findings": "findings",
    "How": "sins_score",
    "LesionQuality": "findings",
    "Location": "sins_score",
    "NomsAnswer": "noms_table",
    "Offer": "advice",
    "Pain": "findings",
    "Posterolateral": "findings",
    "Reason": "advice",
    "Scheme": "advice",
    "Sins": "sins_score",
    "SinsPart": "sins_score",
    "Stability": "findings",
    "advise": "advising",
    "noms": "noms_table",
    "sins": "sins_total",
}
_MODULES = ("escc", "reirradiation")

__all__ = [
    "DISCLAIMER",
    "Advice",
    "Alignment",
    "Collapse",
    "Compartment",
    "Decision",
    "EsccGrade",
    "EsccMeasurement",
    "Findings",
    "How",
    "LesionQuality",
    "Location",
    "NomsAnswer",
    "Offer",
    "Pain",
    "Posterolateral",
    "Reason",
    "Scheme",
    "Sins",
    "SinsPart",
    "Stability",
    "advise",
    "escc",
    "noms",
    "reirradiation",
    "sins",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"rtsim.clinic.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"rtsim.clinic.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'rtsim.clinic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Which treatment, from what is seen: ESCC and SINS measured from the structures, NOMS, and the advice they make."""

from rtsim.clinic import escc
from rtsim.clinic.advice import DISCLAIMER, Advice, Decision, Offer, Reason, Scheme
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
from rtsim.phantom.spine.spec import Compartment

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
    "LesionQuality",
    "Offer",
    "Pain",
    "Posterolateral",
    "Reason",
    "Scheme",
    "Stability",
    "escc",
]

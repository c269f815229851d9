"""Which treatment, from what is seen: ESCC and SINS measured from the structures, NOMS, and the advice they make."""

from rtsim.clinic.advice import DISCLAIMER, Advice, Decision, Offer, Reason, Scheme
from rtsim.clinic.escc_grade import EsccGrade, EsccMeasurement
from rtsim.clinic.findings import (
    Alignment,
    Collapse,
    Compartment,
    Findings,
    LesionQuality,
    Pain,
    Posterolateral,
    Stability,
)

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
]

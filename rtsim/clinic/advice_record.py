"""An advice as plain data, for JSON."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

from rtsim.clinic.advice import Advice, Offer, Reason
from rtsim.clinic.escc_grade import EsccMeasurement
from rtsim.clinic.findings import Findings
from rtsim.clinic.sins_score import Sins
from rtsim.sources import Source


def record_of(advice: Advice) -> dict[str, Any]:
    """Names, numbers, texts and lists only; lengths in mm, doses in Gy."""
    return {
        "disclaimer": advice.disclaimer,
        "patient": advice.patient,
        "histology": advice.histology.name,
        "scheme": advice.scheme.value,
        "compartment": advice.compartment.value,
        "decision": advice.decision.name.lower(),
        "decision_text": advice.decision.value,
        "technique": None if advice.decision.technique is None else advice.decision.technique.value,
        "surgery_first": advice.decision.surgery_first,
        "reasons": [_reason(r) for r in advice.reasons],
        "warnings": [_reason(r) for r in advice.warnings],
        "escc": None if advice.escc is None else _escc(advice.escc),
        "sins": None if advice.sins is None else _sins(advice.sins),
        "schedules": [_offer(o) for o in advice.schedules],
        "assumed": list(advice.assumed),
        "findings": _findings(advice.findings),
    }


def _source(source: Source) -> dict[str, str]:
    return {"citation": source.citation, "standing": source.standing.label}


def _reason(reason: Reason) -> dict[str, Any]:
    return {"letter": reason.letter, "text": reason.text, "source": _source(reason.source)}


def _escc(m: EsccMeasurement) -> dict[str, Any]:
    return {
        "grade": None if m.grade is None else m.grade.value,
        "possible": [g.value for g in m.possible],
        "given": m.given,
        "z_mm": m.z_mm,
        "tumor_in_canal_mm": m.tumor_in_canal_mm,
        "sac_dent_mm": m.sac_dent_mm,
        "cord_gap_mm": m.cord_gap_mm,
        "cord_dent_mm": m.cord_dent_mm,
        "csf_fraction": m.csf_fraction,
        "neural": m.neural,
        "inside_sac": m.inside_sac,
        "reasons": list(m.reasons),
        "missing": list(m.missing),
        "source": _source(m.source),
    }


def _sins(s: Sins) -> dict[str, Any]:
    return {
        "level": s.level,
        "total": s.total,
        "lowest": s.lowest,
        "highest": s.highest,
        "stability": s.stability.value,
        "parts": [
            {"name": p.name, "value": p.value.value, "points": p.points, "how": p.how.value, "reason": p.reason}
            for p in s.parts
        ],
        "source": _source(s.source),
    }


def _offer(o: Offer) -> dict[str, Any]:
    return {
        "dose_gy": o.dose_gy,
        "fractions": o.fractions,
        "technique": o.technique.value,
        "intent": o.intent.value,
        "protocol": o.protocol,
        "note": o.note,
        "note_source": None if o.note_source is None else _source(o.note_source),
        "source": _source(o.source),
    }


def _findings(said: Findings) -> dict[str, Any]:
    given = {field.name: getattr(said, field.name) for field in fields(said)}
    return {name: value.value if isinstance(value, Enum) else value for name, value in given.items()}

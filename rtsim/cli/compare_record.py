"""A comparison in plain values, for ``comparison.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rtsim.evaluate.comparison import CordLimit, Difference, PatientComparison, SchemeResult, differences
from rtsim.evaluate.comparison_verdict import headline, verdict
from rtsim.evaluate.comparison_words import caveats, lesson

SCHEMA = 1


def record_of_comparison(patients: Sequence[PatientComparison], *, version: str) -> dict[str, Any]:
    """Everything that the page says, in Gy, cm3, seconds and probabilities 0..1."""
    return {
        "schema": SCHEMA,
        "rtsim": version,
        "patients": [_patient(p) for p in patients],
        "differences": [
            {"first": a.name, "second": b.name, "schemes": [_difference(d) for d in differences(a, b)]}
            for a, b in ((patients[0], other) for other in patients[1:])
        ],
    }


def _patient(patient: PatientComparison) -> dict[str, Any]:
    h = patient.histology
    return {
        "name": patient.name,
        "description": patient.description,
        "histology": None if h is None else {"name": h.name, "noms": h.noms_class.value, "tier": h.tier.value},
        "alpha_beta_gy": patient.alpha_beta_gy,
        "previous": patient.previous or None,
        "verdict": verdict(patient).value,
        "headline": headline(patient),
        "lesson": lesson(patient),
        "plans": [_plan(r) for r in patient.results],
        "not_planned": [{"scheme": n.scheme.label, "reason": n.reason} for n in patient.not_planned],
        "caveats": list(caveats(patient)),
        "sources": [{"citation": s.citation, "standing": s.standing.label} for s in patient.sources],
    }


def _plan(result: SchemeResult) -> dict[str, Any]:
    scheme, report = result.scheme, result.report
    return {
        "scheme": scheme.label,
        "dose_gy": scheme.dose_gy,
        "fractions": scheme.fractions,
        "technique": scheme.technique.value,
        "protocol": scheme.protocol,
        "tumor": asdict(result.tumor) | {"control_is_extrapolated": result.is_extrapolated},
        "adequacy": None
        if result.adequacy is None
        else {
            "verdict": result.adequacy.verdict.value,
            "reason": result.adequacy.reason,
            "source": str(result.adequacy.source),
        },
        "target": asdict(report.target),
        "coverage": {"percent": result.coverage_percent, "at_percent_of_prescription": result.covered_at},
        "cord": None
        if result.cord is None
        else {
            "structure": result.cord.structure,
            "near_max_gy": result.cord.near_max_gy,
            "eqd2_gy": result.cord.eqd2_gy,
            "percent_of_prescription": result.cord.percent_of_prescription,
            "limit": _limit(result.cord.limit),
            "risk_logistic": result.cord.risk_logistic,
            "risk_lkb": result.cord.risk_lkb,
            "earlier": None if result.earlier is None else result.earlier.record(result.cord.structure),
        },
        "hard_limits": {
            "held": report.hard_limits_held,
            "headline": report.headline,
            "certificates": [c.statement for c in report.certificates],
        },
        "indices": asdict(report.indices),
        "neighbors": [asdict(n) for n in result.neighbors],
        "delivery": None if result.delivery is None else asdict(result.delivery),
    }


def _limit(limit: CordLimit | None) -> dict[str, Any] | None:
    if limit is None:
        return None
    values = {k: v for k, v in asdict(limit).items() if k != "source"}
    return values | {"margin_gy": limit.margin_gy, "source": str(limit.source)}


def _difference(d: Difference) -> dict[str, Any]:
    return {
        "scheme": d.scheme.label,
        "gtv_d95_gy": d.gtv_d95_gy,
        "tcp_points": d.tcp_points,
        "cord_gy": d.cord_gy,
        "cord_eqd2_gy": d.cord_eqd2_gy,
        "monitor_units_percent": d.monitor_units_percent,
        "same_beams": {"gtv_d95_gy": d.gtv_d95_same_beams_gy, "cord_gy": d.cord_same_beams_gy},
    }

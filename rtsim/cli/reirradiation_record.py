"""What two courses add up to, in plain values for result.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rtsim.clinic.reirradiation import Budget, Condition, Reirradiation
from rtsim.sources import Source


def record_of_reirradiation(found: Reirradiation) -> dict[str, Any]:
    """Doses in Gy, EQD2 with alpha/beta 2 Gy; each condition and budget with its source and standing.

    ``is_held`` is null where ``not_known`` names a condition that could not be judged, and no other one is broken.
    """
    return {
        "headline": found.headline,
        "previous": found.previous,
        "rule": found.rule.value,
        "is_held": found.is_held,
        "not_known": [c.name for c in found.unknown],
        "judged_in": found.judged.name,
        "structures": [asdict(r) | {"added_eqd2_gy": r.added_eqd2_gy} for r in found.rows],
        "conditions": [_condition(c) for c in found.conditions],
        "budget": None if found.budget is None else _budget(found.budget),
        "budget_by_fractions": [
            {"fractions": b.fractions, "dose_gy": b.dose_gy, "eqd2_gy": b.eqd2_gy} for b in found.table
        ],
        "notes": list(found.notes),
    }


def _condition(c: Condition) -> dict[str, Any]:
    return {
        "name": c.name,
        "value": c.value,
        "limit": c.limit,
        "sense": c.sense,
        "unit": c.unit,
        "verdict": c.verdict.value,
        "reason": c.reason,
        **_source(c.source),
    }


def _budget(b: Budget) -> dict[str, Any]:
    return {
        "fractions": b.fractions,
        "dose_gy": b.dose_gy,
        "eqd2_gy": b.eqd2_gy,
        "previous_eqd2_gy": b.previous_eqd2_gy,
        "binding": b.binding,
        **_source(b.source),
    }


def _source(source: Source) -> dict[str, str]:
    return {"source": source.citation, "standing": source.standing.label}

"""Twins: two patients who differ in one thing only. What matter alone does, by giving one the beams of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from rtsim.dose import CollapsedCone
from rtsim.evaluate.comparison_measure import beams_of_twin, compared_cord, compared_target
from rtsim.typing import Progress
from rtsim.view.compare_model import ComparedPatient, ComparedPlan

SAME_PLACE_MM: Final = 2.0
"""Twins have their tumors and cords in the same place, to within this."""


def are_twins(first: ComparedPatient, second: ComparedPatient) -> bool:
    """True when tumor and cord of both lie in the same place, so that a difference of doses means something."""
    a, b = first.plans[0], second.plans[0]
    pairs = [tuple(compared_target(p.phantom, p.result.report.prescription.target) for p in (a, b))]
    cords = compared_cord(a.phantom), compared_cord(b.phantom)
    if cords[0] is not None and cords[1] is not None:
        pairs.append((cords[0], cords[1]))
    return all(np.linalg.norm(np.subtract(s.centroid_mm, t.centroid_mm)) <= SAME_PLACE_MM for s, t in pairs)


def are_of_one_matter(first: ComparedPatient, second: ComparedPatient) -> bool:
    """True when both are the same body, so that every difference is one of tumor and planning."""
    a, b = first.plans[0].phantom, second.plans[0].phantom
    return a.grid == b.grid and np.array_equal(a.density_g_cm3, b.density_g_cm3)


def with_beams_of(first: ComparedPatient, second: ComparedPatient, progress: Progress | None = None) -> ComparedPatient:
    """The second patient with the dose that the beams of the first give there, scheme by scheme.

    Nothing is planned anew: the same monitor units, so that only matter differs. Collapsed cone, on the spacing of the
    first plan's dose. Plans without beams, and schemes that only one of them has, stay as they are.
    """
    by = {p.result.scheme: p for p in first.plans}
    plans = []
    for n, plan in enumerate(second.plans):
        part = None if progress is None else _part(progress, n, len(second.plans), plan.result.scheme.label)
        like = by.get(plan.result.scheme)
        plans.append(plan if like is None or not like.beams else _given(like, plan, part))
    results = tuple(p.result for p in plans)
    return replace(second, plans=tuple(plans), comparison=replace(second.comparison, results=results))


def _part(progress: Progress, n: int, count: int, label: str) -> Callable[[float, str], None]:
    return lambda fraction, detail: progress((n + fraction) / count, f"{label}: {detail}")


def _given(like: ComparedPlan, plan: ComparedPlan, progress: Progress | None) -> ComparedPlan:
    engine = CollapsedCone(spacing_mm=like.dose.grid.spacing_mm[0])
    dose = engine.forward(plan.phantom, like.beams, fractions=like.result.scheme.fractions, progress=progress)
    result = replace(plan.result, twin=beams_of_twin(dose, plan.phantom, plan.result.report.prescription.target))
    return replace(plan, result=result, twin_dose=dose)

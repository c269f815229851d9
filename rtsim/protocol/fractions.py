"""A protocol for a dose and a number of fractions that no file holds.

Where a file has the number of fractions, only the dose is added: limits are about the number of fractions. Otherwise
the cord's limit comes from its closed form, and the limits of the other organs are carried over from the nearest file
as doses of equal effect (EQD2; alpha/beta 2 Gy for nerves, 3 Gy for the others). Every number that was carried over is
an assumption of rtsim and says so.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Final

from rtsim.errors import InputError
from rtsim.protocol.cord import CORD_ALPHA_BETA_GY, HYTEC, closed_form_gy, hytec_goal
from rtsim.protocol.load import load_protocol, names
from rtsim.protocol.metric import MetricKind, Unit
from rtsim.protocol.model import (
    CORD_STRUCTURES,
    MOST_CORD_EQD2_GY,
    CordLimits,
    DoseLevel,
    Goal,
    Priority,
    Protocol,
    Sense,
    Technique,
)
from rtsim.sources import Source, Standing

MOST_FRACTIONS: Final = {Technique.STEREOTACTIC: 10, Technique.CONVENTIONAL: 35}
_MOST_PER_FRACTION_GY: Final = {Technique.STEREOTACTIC: 30.0, Technique.CONVENTIONAL: 10.0}
_NERVES: Final = (*CORD_STRUCTURES, "cauda_equina", "sacral_plexus", "brachial_plexuses", "brainstem")
_ORGAN_ALPHA_BETA_GY: Final = 3.0
_CORD_SETS: Final = {"quantec": (50.0, 45.0), "quantec_45": (45.0, None)}
"""Conventional sets that are an EQD2_2: hard in the cord, sought in the PRV."""
_THRESHOLD: Final = re.compile(r"(C?V)(\d+(?:\.\d+)?)Gy")


def for_fractions(dose_gy: float, fractions: int, technique: Technique = Technique.STEREOTACTIC) -> Protocol:
    """A protocol for ``dose_gy`` in ``fractions``, its default dose level; a bundled one where it holds that already.

    Raises:
        InputError: a dose or a number of fractions beyond what the technique is used with.
    """
    _check(dose_gy, fractions, technique)
    by_count = {p.default_level.fractions: p for p in map(load_protocol, names()) if p.technique is technique}
    if fractions in by_count:
        return _at_dose(by_count[fractions], dose_gy)
    nearest = min(by_count, key=lambda n: (abs(n - fractions), n))
    return _carried(by_count[nearest], nearest, dose_gy, fractions)


def _check(dose_gy: float, fractions: int, technique: Technique) -> None:
    most = MOST_FRACTIONS[technique]
    if isinstance(fractions, bool) or fractions != int(fractions) or not 1 <= fractions <= most:
        raise InputError(f"fractions is {fractions!r}; a {technique.value} course has 1 to {most}")
    each = _MOST_PER_FRACTION_GY[technique]
    if not (math.isfinite(dose_gy) and 0.0 < dose_gy <= each * fractions):
        raise InputError(
            f"dose_gy is {dose_gy:g} in {fractions}; a {technique.value} course gives more than 0 and at most {each:g} "
            "Gy per fraction"
        )


def _at_dose(protocol: Protocol, dose_gy: float) -> Protocol:
    """The protocol with ``dose_gy`` as its default level, added where it is none."""
    own = next((x for x in protocol.dose_levels if math.isclose(x.dose_gy, dose_gy, abs_tol=1e-6)), None)
    if own is not None and own.default:
        return protocol
    count = protocol.default_level.fractions
    wanted = replace(own, default=True) if own else DoseLevel(dose_gy, count, True, "not a level of the protocol file")
    others = tuple(replace(x, default=False) for x in protocol.dose_levels if x is not own)
    said = "" if own else f"; {dose_gy:g} Gy is not a level of the protocol, whose limits are for {count} fractions"
    return replace(protocol, dose_levels=(*others, wanted), description=f"{protocol.description}{said}")


def _carried(near: Protocol, before: int, dose_gy: float, fractions: int) -> Protocol:
    """The nearest protocol with its limits carried over to another number of fractions."""
    chosen = next((c.goals for c in near.cord_limits if c.name == near.cord_limits_name), ())
    goals = tuple(_goal(g, before, fractions) for g in near.goals if g not in chosen and g.dose_gy is None)
    limits = _cord_limits(near, fractions)
    in_gy = [c.name for c in limits if not _is_in_percent(c)]
    name = near.cord_limits_name if near.cord_limits_name in in_gy else in_gy[0]
    every = (*(g for c in limits for g in c.goals), *goals)
    return Protocol(
        name=near.name.replace(f"_{before}fx", f"_{fractions}fx_made"),
        description=f"Made for {dose_gy:g} Gy in {fractions} fractions: no file holds that number. Cord by its closed "
        f"form; other limits carried over from {before} fractions as doses of equal effect, an assumption of rtsim",
        technique=near.technique,
        dose_levels=(DoseLevel(dose_gy, fractions, True, "made for this number of fractions"),),
        goals=(*next(c.goals for c in limits if c.name == name), *goals),
        cord_margin_mm=near.cord_margin_mm,
        ptv_margin_mm=near.ptv_margin_mm,
        coverage_percent=near.coverage_percent,
        evaluation=near.evaluation,
        sources=tuple(dict.fromkeys(g.source for g in every)),
        cord_limits=limits,
        cord_limits_name=name,
    )


def _cord_limits(near: Protocol, fractions: int) -> tuple[CordLimits, ...]:
    """The sets that have a value for any number of fractions."""
    if near.technique is Technique.STEREOTACTIC:
        cord, prv = (
            hytec_goal(fractions, s, p) for s, p in (("spinal_cord", Priority.HARD), ("spinal_cord_prv", Priority.GOAL))
        )
        text = "EQD2_2 44.6 Gy of HyTEC, carried beyond its 1-5 fractions: "
        return (
            CordLimits(name=HYTEC, description=f"{text}held hard in the cord, sought in the PRV", goals=(cord, prv)),
            CordLimits(
                name="hytec_prv",
                description=f"{text}held hard in cord and PRV",
                goals=(replace(prv, priority=Priority.HARD), cord),
            ),
        )
    return tuple(_conventional(c, fractions) for c in near.cord_limits)


def _conventional(limits: CordLimits, fractions: int) -> CordLimits:
    if limits.name not in _CORD_SETS:
        # In percent of the prescription, the same for every number of fractions; what a note says of EQD2 is not.
        # Never the default: to choose by name, and refused where the dose is too high for it (model._check_percent).
        said = f"; in percent of the prescription, and refused where that is above EQD2_2 {MOST_CORD_EQD2_GY:g} Gy"
        return replace(
            limits,
            description=f"{limits.description}{said}",
            goals=tuple(replace(g, note="") for g in limits.goals),
        )
    by_structure = dict(zip(("spinal_cord", "spinal_cord_prv"), _CORD_SETS[limits.name], strict=True))
    goals = tuple(
        replace(
            g, value=_down(closed_form_gy(fractions, eqd2)), note=f"EQD2_2 = {eqd2:g} Gy in this number of fractions"
        )
        for g in limits.goals
        if (eqd2 := by_structure.get(g.structure)) is not None
    )
    return replace(limits, goals=goals)


def _is_in_percent(limits: CordLimits) -> bool:
    """True for a set without any hard limit in Gy: it grows with the prescription."""
    return not any(g.priority is Priority.HARD and g.unit == "Gy" for g in limits.goals)


def _goal(goal: Goal, before: int, after: int) -> Goal:
    """A goal in doses of equal effect; one without a dose in Gy (percent of the prescription, an index) as it is."""
    ratio = CORD_ALPHA_BETA_GY if goal.structure in _NERVES else _ORGAN_ALPHA_BETA_GY
    metric, value = goal.metric, goal.value
    parsed = goal.parsed
    if parsed.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.COLD_VOLUME) and parsed.threshold_unit is Unit.GY:
        gy = _equal_effect(parsed.threshold, before, after, ratio)
        metric = _THRESHOLD.sub(lambda m: f"{m[1]}{gy:g}Gy", goal.metric)
    elif goal.unit == "Gy" and goal.sense is Sense.AT_MOST:
        value = _equal_effect(goal.value, before, after, ratio)
    else:
        return goal
    source = Source(
        citation=f"rtsim: carried over from {before} to {after} fractions as a dose of equal effect, alpha/beta "
        f"{ratio:g} Gy; {goal.source.citation}",
        standing=Standing.ASSUMPTION,
    )
    was = f"{goal.parsed.name} {goal.sense.value} {goal.value:g} {goal.unit} in {before}"
    return replace(goal, metric=metric, value=value, source=source, note=f"{was}; {goal.note}".removesuffix("; "))


def _equal_effect(dose_gy: float, before: int, after: int, ratio: float) -> float:
    """D' (D'/n' + ab) = D (D/n + ab), down to 0.1 Gy."""
    effect = dose_gy * (dose_gy / before + ratio)
    return _down(0.5 * after * ratio * (math.sqrt(1.0 + 4.0 * effect / (after * ratio * ratio)) - 1.0))


def _down(gy: float) -> float:
    return math.floor(10.0 * gy + 1e-6) / 10.0

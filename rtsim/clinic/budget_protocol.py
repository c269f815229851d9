"""A protocol whose hard cord limit is what an earlier course left."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rtsim.clinic.cord_budget import CAUDA_AS_SAC, Budget, Rule, remaining_budget
from rtsim.clinic.previous import LOW_RIM_GY, PreviousCourse
from rtsim.errors import GeometryError, InputError
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol import CordLimits, Goal, Priority, Protocol, Sense
from rtsim.protocol.model import CORD_STRUCTURES

BUDGET_LIMITS: Final = "remaining_budget"
"""Held hard in thecal sac, cord and PRV: the letter of HyTEC, and its surrogate where no sac is drawn."""
PRV_LIMITS: Final = "remaining_budget_prv"
"""Held hard in cord and PRV, which stands for the thecal sac; the sac itself only sought."""
NEAR_MAXIMUM: Final = "D0.035cc"
CAUDA: Final = "cauda_equina"
SAC: Final = "thecal_sac"
_HELD: Final = ("spinal_cord", "spinal_cord_prv")


def with_remaining_budget(
    protocol: Protocol,
    previous: PreviousCourse,
    fractions: int | None = None,
    *,
    phantom: Phantom | None = None,
    rule: Rule | None = None,
) -> Protocol:
    """The protocol with the cord's remaining budget as hard limit, beside the hard limits that it has already.

    The budget is held in D0.035cc of the thecal sac, of which HyTEC speaks, of the cord (a stereotactic plan keeps both
    in every position of the patient), and of the cord's PRV, which stands for the sac where none is drawn. The set of
    cord limits ``remaining_budget_prv`` holds cord and PRV hard and only seeks the sac. The cauda equina lies in the
    sac and gets the sac's budget, but never more than the protocol gives it. Stricter limits of the protocol stay.

    Args:
        fractions: of the new course; None = those of the protocol, which must have one number of them.
        phantom: needed where the previous course is a dose, which each structure got a part of.
        rule: None = by :func:`rtsim.clinic.cord_budget.rule_for`.

    Raises:
        InputError: the budget is used up; ``fractions`` that the protocol is not made for; no cord is drawn in which a
            previous dose could be read.
        GeometryError: the previous dose does not reach the cord, or ends within it in more than low dose.
    """
    count = _fractions(protocol, fractions)
    budgets = {
        key: remaining_budget(eqd2, count, months_ago=previous.months_ago, technique=protocol.technique, rule=rule)
        for key, eqd2 in previous_eqd2_gy(previous, phantom).items()
    }
    cord = tuple(_goal(key, budgets[key], Priority.HARD) for key in _HELD)
    base, limits = _base_goals(protocol)
    sets = tuple(
        CordLimits(
            name=name,
            description=f"what the previous course ({previous}) left: {said}",
            goals=_joined((*cord, _goal(SAC, budgets[SAC], priority)), limits),
        )
        for name, priority, said in (
            (BUDGET_LIMITS, Priority.HARD, "held hard in cord, PRV and thecal sac"),
            (
                PRV_LIMITS,
                Priority.GOAL,
                "held hard in cord and PRV, which stands for the thecal sac; sought in the sac",
            ),
        )
    )
    cauda = _goal(CAUDA, budgets[CAUDA], Priority.HARD)
    goals = _joined((cauda,), tuple(g for g in base if g.structure == CAUDA)) + tuple(
        g for g in base if g.structure != CAUDA
    )
    others = tuple(c for c in protocol.cord_limits if c.name not in (BUDGET_LIMITS, PRV_LIMITS))
    return replace(
        protocol,
        description=f"{protocol.description}; after {previous}",
        goals=sets[0].goals + goals,
        cord_limits=(*others, *sets),
        cord_limits_name=BUDGET_LIMITS,
        sources=tuple(dict.fromkeys((*protocol.sources, *(g.source for g in (*sets[0].goals, cauda))))),
    )


def previous_eqd2_gy(previous: PreviousCourse, phantom: Phantom | None) -> dict[str, float]:
    """Near-maximum EQD2_2 that the previous course gave to cord, PRV, thecal sac and cauda, by canonical key.

    A scheme gave all the same. Of a dose, what is not drawn, or lies wholly beyond its grid, is counted with the most
    that anything drawn in the canal got. What leaves the grid may do so in low dose only.

    Raises:
        InputError: a dose without a phantom, or with one in which nothing of the cord is drawn.
        GeometryError: the dose reaches none of what is drawn, or not all of it while there is dose at the rim.
    """
    keys = (*_HELD, SAC, CAUDA)
    if previous.is_scheme or phantom is None:
        eqd2 = previous.given_to(None).eqd2_gy
        return dict.fromkeys(keys, eqd2)
    found = drawn_of(phantom)
    if not found:
        raise InputError(
            "no spinal cord, canal, thecal sac or cauda equina is drawn: what the previous dose gave it cannot be read"
        )
    read: dict[str, float] = {}
    beyond: GeometryError | None = None
    for key, structure in found.items():
        try:
            given = previous.given_to(structure)
        except GeometryError as error:
            beyond = error
            continue
        read[key] = given.eqd2_gy
        if not given.is_known:
            raise GeometryError(_cut_off(structure, given.unreached_cm3, given.rim_gy))
    if beyond is not None and not read:
        raise beyond
    for key, structure in found.items():
        if key not in read and (rim_gy := previous.rim_gy(structure)) > LOW_RIM_GY:
            raise GeometryError(_cut_off(structure, structure.volume_cm3, rim_gy))
    return {key: read.get(key, max(read.values())) for key in keys}


def drawn_of(phantom: Phantom) -> dict[str, Structure]:
    """What is drawn of the cord, of what stands for it, and of the cauda, by canonical key."""
    keys = (*CORD_STRUCTURES, CAUDA)
    return {key: s for key in keys if (s := find_structure(phantom, key)) is not None}


def _cut_off(structure: Structure, unreached_cm3: float, rim_gy: float) -> str:
    return (
        f"the previous dose does not reach {unreached_cm3:.2f} of {structure.volume_cm3:.2f} cm3 of {structure.name}, "
        f"and is {rim_gy:.1f} Gy where its grid ends there: what {structure.name} got beyond is not known, and the "
        f"budget cannot be computed. Allowed at that rim: at most {LOW_RIM_GY:g} Gy. Export the dose on a grid that "
        f"covers {structure.name} (or check the shift), or give the scheme, which counts the cord as having got "
        "all of it (--previous 30/10)"
    )


def _fractions(protocol: Protocol, wanted: int | None) -> int:
    own = sorted({level.fractions for level in protocol.dose_levels})
    if wanted is None and len(own) == 1:
        return own[0]
    if wanted is None or wanted not in own:
        raise InputError(
            f"fractions is {wanted}; protocol {protocol.name!r} is given in {', '.join(map(str, own))}. Make one for "
            "another number with rtsim.protocol.for_fractions (rtsim run --fractions)"
        )
    return wanted


def _goal(structure: str, budget: Budget, priority: Priority) -> Goal:
    stands = {
        "spinal_cord_prv": "the PRV stands for the thecal sac; ",
        CAUDA: "budget of the thecal sac; ",
    }.get(structure, "")
    note = (
        f"{stands}EQD2_2 {budget.eqd2_gy:.1f} Gy left after {budget.previous_eqd2_gy:.1f} Gy ({budget.binding}); "
        "no recovery credited"
    )
    return Goal(
        structure,
        NEAR_MAXIMUM,
        Sense.AT_MOST,
        budget.dose_gy,
        "Gy",
        priority,
        CAUDA_AS_SAC if structure == CAUDA else budget.source,
        note,
    )


def _base_goals(protocol: Protocol) -> tuple[tuple[Goal, ...], tuple[Goal, ...]]:
    """(goals that do not limit the cord, goals that do): the chosen set of cord limits and those beside it."""
    chosen = next((c.goals for c in protocol.cord_limits if c.name == protocol.cord_limits_name), ())
    cord = tuple(g for g in protocol.goals if g in chosen or g.structure in CORD_STRUCTURES)
    return tuple(g for g in protocol.goals if g not in cord), cord


def _joined(new: tuple[Goal, ...], old: tuple[Goal, ...]) -> tuple[Goal, ...]:
    """New limits, and of the old ones those that say more: stricter, or about something else than D0.035cc in Gy."""
    kept = list(new)
    for goal in old:
        same = [n for n in kept if (n.structure, n.metric, n.unit, n.sense) == _about(goal)]
        stricter = [n for n in same if goal.value < n.value]
        if not same:
            kept.append(goal)
        elif stricter and goal.priority is Priority.HARD:
            kept = [n for n in kept if n not in stricter]
            kept.append(goal)
        elif stricter:
            kept.append(goal)
    return tuple(kept)


def _about(goal: Goal) -> tuple[str, str, str, Sense]:
    return goal.structure, goal.metric, goal.unit, goal.sense

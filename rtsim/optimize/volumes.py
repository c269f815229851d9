"""What a planner needs drawn before it can start: the target, and the PRV that the protocol's limits speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtsim.errors import InfeasiblePlanError
from rtsim.optimize.find import find_structure
from rtsim.optimize.unlimited import unlimited_cords, unlimited_said
from rtsim.phantom.margins import expand
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.model import CORD_STRUCTURES, Goal, Prescription, Priority, Protocol

CORD, CORD_PRV, CAUDA = "spinal_cord", "spinal_cord_prv", "cauda_equina"


def with_target_and_prv(
    phantom: Phantom, prescription: Prescription, protocol: Protocol
) -> tuple[Phantom, tuple[str, ...]]:
    """The phantom with the cord's PRV added where it is missing, and sentences about what was made and what is missing.

    Raises:
        InputError: the target is not drawn; several cords or PRVs are.
        InfeasiblePlanError: the protocol limits the cord hard, but nothing that stands for it is drawn, or none of
            what is drawn is limited. A cauda equina with a hard limit suffices where nothing else is drawn.
    """
    phantom.structures[prescription.target]
    goals = protocol.goals_for(prescription)
    notes: list[str] = []
    cord, prv = find_structure(phantom, CORD), find_structure(phantom, CORD_PRV)
    if prv is None and cord is not None:
        prv = expand(cord, protocol.cord_margin_mm, phantom.grid, name=CORD_PRV, role=Role.PRV)
        phantom = phantom.with_structures(replace(prv, color=cord.color))
        notes.append(f"{CORD_PRV} was made: {cord.name} + {protocol.cord_margin_mm:g} mm.")
    limited = tuple(dict.fromkeys(g.structure for g in goals if g in protocol.cord_limit))
    if limited and not any(find_structure(phantom, s) for s in limited):
        notes.append(_without_cord(phantom, prescription, protocol, goals, limited))
    return phantom, (*notes, *unlimited_said(phantom, goals, prescription))


def _without_cord(
    phantom: Phantom, prescription: Prescription, protocol: Protocol, goals: Sequence[Goal], limited: tuple[str, ...]
) -> str:
    """What is held instead of the limits of the cord.

    Raises:
        InfeasiblePlanError: nothing is.
    """
    instead = [s.name for key in CORD_STRUCTURES if (s := find_structure(phantom, key)) is not None]
    suspects = [s.name for s in unlimited_cords(phantom, goals, prescription)]
    cauda = find_structure(phantom, CAUDA)
    hard_on_cauda = any(g.structure == CAUDA and g.priority is Priority.HARD for g in goals)
    if cauda is not None and hard_on_cauda and not instead and not suspects:
        return (
            f"No cord is drawn, so that nothing holds the limits of {', '.join(limited)}; the hard limit of "
            f"{cauda.name} is held. That suffices below the end of the cord only."
        )
    chosen = f" (cord_limits {protocol.cord_limits_name!r})" if protocol.cord_limits_name else ""
    start = f"protocol {protocol.name!r}{chosen} limits {', '.join(limited)}, but "
    drawn = [*instead, *([] if cauda is None or hard_on_cauda else [cauda.name]), *suspects]
    if not drawn:
        raise InfeasiblePlanError(
            f"{start}none of {', '.join(CORD_STRUCTURES)} is drawn; draw the cord, or name the structure that is the "
            "cord"
        )
    others = [
        c.name
        for c in protocol.cord_limits
        if any(g.priority is Priority.HARD and g.applies_to(prescription) and _is_drawn(phantom, g) for g in c.goals)
    ]
    choice = (
        f"choose cord_limits that limit what is drawn: {', '.join(others)} (--cord-limits NAME)"
        if others
        else "no cord_limits of the protocol limit what is drawn"
    )
    raise InfeasiblePlanError(
        f"{start}drawn is {', '.join(drawn)}, and no hard limit is on that. Draw the cord; or {choice}; or, to hold "
        f"{drawn[0]} to the limit of the cord, name it SpinalCord (rtsim run --cord {drawn[0]})"
    )


def _is_drawn(phantom: Phantom, goal: Goal) -> bool:
    return find_structure(phantom, goal.structure) is not None

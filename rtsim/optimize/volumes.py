"""What a planner needs drawn before it can start: the target, and the PRV that the protocol's limits speak of."""

from __future__ import annotations

from dataclasses import replace

from rtsim.errors import InfeasiblePlanError
from rtsim.optimize.find import find_structure
from rtsim.phantom.margins import expand
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.model import CORD_STRUCTURES, Prescription, Protocol

CORD, CORD_PRV = "spinal_cord", "spinal_cord_prv"


def with_target_and_prv(
    phantom: Phantom, prescription: Prescription, protocol: Protocol
) -> tuple[Phantom, tuple[str, ...]]:
    """The phantom with the cord's PRV added where it is missing, and sentences about what was made.

    Raises:
        InputError: the target is not drawn.
        InfeasiblePlanError: the protocol limits the cord hard, but nothing that stands for it is drawn.
    """
    phantom.structures[prescription.target]
    notes: list[str] = []
    cord, prv = find_structure(phantom, CORD), find_structure(phantom, CORD_PRV)
    if prv is None and cord is not None:
        prv = expand(cord, protocol.cord_margin_mm, phantom.grid, name=CORD_PRV, role=Role.PRV)
        phantom = phantom.with_structures(replace(prv, color=cord.color))
        notes.append(f"{CORD_PRV} was made: {cord.name} + {protocol.cord_margin_mm:g} mm.")
    limited = [g.structure for g in protocol.goals_for(prescription) if g in protocol.cord_limit]
    if limited and not any(find_structure(phantom, s) for s in limited):
        raise InfeasiblePlanError(
            f"protocol {protocol.name!r} limits {', '.join(dict.fromkeys(limited))}, but none of "
            f"{', '.join(CORD_STRUCTURES)} is drawn; draw the cord, or name the structure that is the cord"
        )
    return phantom, tuple(notes)

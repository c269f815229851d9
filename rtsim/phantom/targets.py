"""From what a clinician draws to what a planner needs: PTV, cord PRV, outline; and checks that a plan can be made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.errors import GeometryError
from rtsim.phantom.external import with_external
from rtsim.phantom.margins import expand, subtract
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure, Structures

CORD: Final = "spinal_cord"
CORD_PRV: Final = "spinal_cord_prv"
PTV: Final = "PTV"
NOT_USED: Final = " (as drawn, not used)"
"""Ends the name of what is set aside."""
_OVERLAP_CM3: Final = 0.05
"""A target and a cord that share more than this overlap; less is the coarseness of contours that touch."""


@dataclass(frozen=True, kw_only=True)
class PlanningVolumes:
    """How planning volumes are made.

    Attributes:
        target: name of the structure to be treated (GTV, CTV, a vertebra, or a PTV that is taken as it is).
        cord: name of the structure that is the cord.
        ptv_margin_mm: grows a target that is not a PTV itself.
        cord_margin_mm: grows the cord to its PRV.
        spare_cord: take the PRV out of the PTV (stereotactic); False treats the canal with the target (conventional).
        is_only_cord: no other structure goes by a name of the cord, but for those set aside. Otherwise a copy of
            ``cord`` named ``spinal_cord`` is added, so that every goal on the cord is about the structure that was
            chosen.
        cord_prv: name of the PRV that was drawn, or None to make one.
        set_aside: names of further structures that are named like a cord: kept under another name, and not used.
    """

    target: str
    cord: str
    ptv_margin_mm: float
    cord_margin_mm: float
    spare_cord: bool
    is_only_cord: bool = False
    cord_prv: str | None = None
    set_aside: tuple[str, ...] = ()


def with_planning_volumes(phantom: Phantom, volumes: PlanningVolumes) -> tuple[Phantom, str]:
    """The phantom with PTV, cord PRV and outline added where they are missing, and the name of the PTV.

    PTV = target + ``ptv_margin_mm``, cut at the outline, minus the PRV when ``spare_cord``. A target whose role is
    PTV is taken as it is. ``phantom.notes`` says what was made, and what a name now stands for.

    Raises:
        GeometryError: the target lies outside the body, or target and cord overlap where the cord is to be spared.
        InputError: unknown structure names (with the nearest).
    """
    phantom = with_external(phantom)
    target, cord = phantom[volumes.target], phantom[volumes.cord]
    _check_inside_body(phantom, target)
    if volumes.spare_cord:
        _check_apart(phantom, target, cord)
    added, notes = _cord_structures(phantom, cord, volumes)
    aside = _set_aside(phantom, cord, volumes, added)
    kept = tuple(s for name, s in phantom.structures.items() if name not in aside)
    notes += [f"the drawn {name!r} is kept under the name {s.name!r}: it is NOT LIMITED" for name, s in aside.items()]
    structures = Structures(kept).adding(*aside.values(), *added)
    phantom = replace(phantom, structures=structures, notes=(*phantom.notes, *notes))
    if target.role is Role.PTV:
        return phantom, target.name
    prv = added[-1] if added and added[-1].role is Role.PRV else phantom[volumes.cord_prv or CORD_PRV]
    name = PTV if PTV not in phantom.structures else f"{PTV}_{target.name}"
    ptv = expand(target, volumes.ptv_margin_mm, phantom.grid, name=name, role=Role.PTV)
    if volumes.spare_cord:
        ptv = subtract(ptv, prv, phantom.grid, name=name, role=Role.PTV)
    less = f" less {prv.name}" if volumes.spare_cord else ""
    note = f"{name} = {target.name} + {volumes.ptv_margin_mm:g} mm{less}"
    if name != PTV:
        note += f"; the drawn {PTV!r} is kept and not planned on"
    return replace(phantom.with_structures(_inside_body(phantom, ptv)), notes=(*phantom.notes, note)), name


def _cord_structures(phantom: Phantom, cord: Structure, volumes: PlanningVolumes) -> tuple[list[Structure], list[str]]:
    """What has to be added so that ``spinal_cord`` and its PRV are those of the chosen cord, and what to say of it."""
    added: list[Structure] = []
    notes: list[str] = []
    if cord.name != CORD and not volumes.is_only_cord:
        added.append(replace(cord, name=CORD))
        notes.append(f"structure {cord.name!r} is the spinal cord of this plan")
    drawn = None if volumes.cord_prv is None else phantom[volumes.cord_prv]
    if drawn is not None and _holds(drawn, cord):
        return added, notes
    prv = expand(cord, volumes.cord_margin_mm, phantom.grid, name=CORD_PRV, role=Role.PRV)
    note = f"{CORD_PRV} = {cord.name} + {volumes.cord_margin_mm:g} mm"
    if drawn is not None:
        note += f"; the drawn {drawn.name!r} does not hold {cord.name!r}"
    return [*added, prv], [*notes, note]


def _set_aside(
    phantom: Phantom, cord: Structure, volumes: PlanningVolumes, added: list[Structure]
) -> dict[str, Structure]:
    """By their drawn names: what is named like the cord or its PRV and is not what the plan is made with."""
    names = [name for name in volumes.set_aside if name != cord.name]
    made = {s.name for s in added}
    if CORD in made and CORD in phantom.structures:
        names.append(CORD)
    if CORD_PRV in made and volumes.cord_prv is not None:
        names.append(phantom[volumes.cord_prv].name)
    return {name: replace(phantom[name], name=f"{name}{NOT_USED}", role=Role.CONTROL) for name in dict.fromkeys(names)}


def _holds(outer: Structure, inner: Structure) -> bool:
    """True when ``outer`` covers ``inner`` but for the coarseness of contours."""
    shared = np.minimum(inner.coverage, outer.coverage_on(inner.grid)).sum(dtype=np.float64)
    return bool(shared >= 0.98 * inner.coverage.sum(dtype=np.float64))


def _outline(phantom: Phantom) -> Structure:
    return phantom.structures.with_role(Role.EXTERNAL)[0]


def _inside_body(phantom: Phantom, ptv: Structure) -> Structure:
    body = _outline(phantom).coverage_on(phantom.grid)
    return Structure.from_coverage(
        ptv.name, ptv.role, phantom.grid, np.minimum(ptv.coverage_on(phantom.grid), body), color=ptv.color
    )


def _check_inside_body(phantom: Phantom, target: Structure) -> None:
    body = _outline(phantom).coverage_on(target.grid)
    inside = float((target.coverage * body).sum(dtype=np.float64)) * target.grid.voxel_volume_cm3
    if inside < 0.5 * target.volume_cm3:
        raise GeometryError(
            f"target {target.name!r}: only {inside:.2f} of its {target.volume_cm3:.2f} cm3 lie inside the patient "
            f"outline {_outline(phantom).name!r}; check that the structure belongs to this CT, or draw the outline"
        )


def _check_apart(phantom: Phantom, target: Structure, cord: Structure) -> None:
    if target.role is Role.PTV:
        return
    shared = np.minimum(target.coverage, cord.coverage_on(target.grid))
    overlap = float(np.where(shared >= 0.5, shared, 0.0).sum(dtype=np.float64)) * target.grid.voxel_volume_cm3
    if overlap > _OVERLAP_CM3:
        raise GeometryError(
            f"target {target.name!r} and cord {cord.name!r} overlap by {overlap:.2f} cm3; a stereotactic plan cannot "
            "treat the cord and spare it. Cut the cord out of the target, or use a conventional protocol"
        )

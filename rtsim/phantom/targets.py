"""From what a clinician draws to what a planner needs: PTV, cord PRV, outline; and checks that a plan can be made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.errors import GeometryError
from rtsim.phantom.external import with_external
from rtsim.phantom.margins import expand, subtract
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure

CORD: Final = "spinal_cord"
CORD_PRV: Final = "spinal_cord_prv"
PTV: Final = "PTV"
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
        is_known_as_cord: the name of ``cord`` tells what it is ("SpinalCord"); otherwise a copy named ``spinal_cord``
            is added, so that goals on the cord find it.
    """

    target: str
    cord: str
    ptv_margin_mm: float
    cord_margin_mm: float
    spare_cord: bool
    is_known_as_cord: bool = False


def with_planning_volumes(phantom: Phantom, volumes: PlanningVolumes) -> Phantom:
    """The phantom with ``PTV``, ``spinal_cord``, ``spinal_cord_prv`` and an EXTERNAL outline where they are missing.

    PTV = target + ``ptv_margin_mm``, cut 0 mm inside the outline, minus the PRV when ``spare_cord``.

    Raises:
        GeometryError: the target lies outside the body, or target and cord overlap where the cord is to be spared.
        InputError: unknown structure names (with the nearest).
    """
    phantom = with_external(phantom)
    target, cord = phantom[volumes.target], phantom[volumes.cord]
    _check_inside_body(phantom, target)
    if volumes.spare_cord:
        _check_apart(phantom, target, cord)
    grid = phantom.grid
    added: list[Structure] = []
    notes: list[str] = []
    if cord.name != CORD and not volumes.is_known_as_cord:
        added.append(replace(cord, name=CORD))
        notes.append(f"structure {cord.name!r} stands for the spinal cord")
    if cord.name == CORD and CORD_PRV in phantom.structures:
        prv = phantom[CORD_PRV]
    else:
        prv = expand(cord, volumes.cord_margin_mm, grid, name=CORD_PRV, role=Role.PRV)
        added.append(prv)
        notes.append(f"{CORD_PRV} = {cord.name} + {volumes.cord_margin_mm:g} mm")
    if target.role is not Role.PTV:
        ptv = expand(target, volumes.ptv_margin_mm, grid, name=PTV, role=Role.PTV)
        if volumes.spare_cord:
            ptv = subtract(ptv, prv, grid, name=PTV, role=Role.PTV)
        added.append(_inside_body(phantom, ptv))
        less = f" less {CORD_PRV}" if volumes.spare_cord else ""
        notes.append(f"{PTV} = {target.name} + {volumes.ptv_margin_mm:g} mm{less}")
    elif target.name != PTV:
        added.append(replace(target, name=PTV))
    return replace(phantom.with_structures(*added), notes=(*phantom.notes, *notes))


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

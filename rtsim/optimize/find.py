"""Which structure a goal speaks of: one answer for planners, grades and pictures."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.phantom.margins import union
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import Prescription
from rtsim.protocol.nomenclature import canonical

_TARGET_ROLES = {"PTV": Role.PTV, "CTV": Role.CTV, "GTV": Role.GTV, "ITV": Role.ITV}
ONE_ONLY: Final = {
    "spinal_cord": "the spinal cord",
    "spinal_cord_prv": "the PRV of the spinal cord",
    "spinal_canal": "the spinal canal",
    "thecal_sac": "the thecal sac",
    "cauda_equina": "the cauda equina",
}
"""Keys that one drawn structure may have: a limit that held for one cord of two would be no limit."""


def find_structure(phantom: Phantom, wanted: str, prescription: Prescription | None = None) -> Structure | None:
    """The structure that a goal speaks of, or None: by name, by canonical key, as a pair, by target role.

    A goal on "PTV" is about the structure that the dose is prescribed to, whatever its name. A pair ("lungs") is the
    union of its left and right. A target with a detail ("gtv_left") is found by its name only, as the others of its
    role are other targets; one without ("GTV") only when exactly one structure can be meant.

    Raises:
        InputError: a key of ``ONE_ONLY`` for which several different structures are drawn; they are named.
    """
    if wanted.upper() == "PTV" and prescription is not None:
        return phantom[prescription.target]
    structures = tuple(phantom.structures.values())
    if wanted in ONE_ONLY:
        return _only(structures, wanted)
    if wanted in phantom.structures:
        return phantom[wanted]
    same = [s for s in structures if s.name.lower() == wanted.lower()]
    if len(same) == 1:
        return same[0]
    key = canonical(wanted) or wanted
    role = _TARGET_ROLES.get(key.upper())
    if role is not None:
        if wanted.upper() != key.upper():
            return None
        named = [s for s in structures if canonical(s.name) == key.upper()]
        candidates = named or list(phantom.structures.with_role(role))
        return candidates[0] if len(candidates) == 1 else None
    return _only(structures, key) if key in ONE_ONLY else _organ(phantom, structures, key)


def is_same_volume(a: Structure, b: Structure) -> bool:
    """True for one drawing under two names."""
    return a.grid == b.grid and np.array_equal(a.coverage, b.coverage)


def _only(structures: tuple[Structure, ...], key: str) -> Structure | None:
    """The one structure of a key; a copy under another name is no second one."""
    found: list[Structure] = []
    for s in sorted((s for s in structures if canonical(s.name) == key), key=lambda s: s.name != key):
        if not any(is_same_volume(s, f) for f in found):
            found.append(s)
    if len(found) > 1:
        way = (
            ""
            if key in ("spinal_cord_prv", "cauda_equina")
            else ", or say which one is the cord (rtsim run --cord NAME)"
        )
        raise InputError(
            f"{len(found)} different structures are named like {ONE_ONLY[key]}: {', '.join(s.name for s in found)}; a "
            f"limit would hold for one of them only. Draw them as one, rename those that are not meant{way}"
        )
    return found[0] if found else None


def _organ(phantom: Phantom, structures: tuple[Structure, ...], key: str) -> Structure | None:
    by_key: dict[str, Structure] = {}
    for structure in structures:
        by_key.setdefault(canonical(structure.name) or structure.name, structure)
    if key in by_key:
        return by_key[key]
    single = key.removesuffix("es") if key.endswith("plexuses") else key.removesuffix("s")
    sides = [by_key[f"{single}_{side}"] for side in ("left", "right") if f"{single}_{side}" in by_key]
    if len(sides) < 2:
        return None
    name = f"{sides[0].name} + {sides[1].name}"
    return union(sides[0], sides[1], phantom.grid, name=name, role=Role.OAR)

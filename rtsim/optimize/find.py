"""Which structure a goal speaks of: one answer for planners, grades and pictures."""

from __future__ import annotations

from rtsim.phantom.margins import union
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import Prescription
from rtsim.protocol.nomenclature import canonical

_TARGET_ROLES = {"PTV": Role.PTV, "CTV": Role.CTV, "GTV": Role.GTV, "ITV": Role.ITV}


def find_structure(phantom: Phantom, wanted: str, prescription: Prescription | None = None) -> Structure | None:
    """The structure that a goal speaks of, or None: by name, by canonical key, as a pair, by target role.

    A goal on "PTV" is about the structure that the dose is prescribed to, whatever its name. A pair ("lungs") is the
    union of its left and right. A target with a detail ("gtv_left") is found by its name only, as the others of its
    role are other targets; one without ("GTV") only when exactly one structure can be meant.
    """
    if wanted.upper() == "PTV" and prescription is not None:
        return phantom[prescription.target]
    if wanted in phantom.structures:
        return phantom[wanted]
    structures = tuple(phantom.structures.values())
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
    return _organ(phantom, structures, key)


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

"""Structures named like a cord that no hard limit speaks of: they are said, never guessed at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rtsim.optimize.find import find_structure, is_same_volume
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.phantom.targets import NOT_USED
from rtsim.protocol.model import Goal, Prescription, Priority
from rtsim.protocol.nomenclature import canonical

_LIKE_A_CORD: Final = re.compile(
    "cord|spinal|myelon|medulla|thecal|canal|cauda|rueckenmark|r\u00fcckenmark|moelle", re.IGNORECASE
)
_OTHERS: Final = (Role.GTV, Role.CTV, Role.ITV, Role.PTV, Role.EXTERNAL, Role.SUPPORT)


def unlimited_cords(phantom: Phantom, goals: Iterable[Goal], prescription: Prescription) -> tuple[Structure, ...]:
    """Drawn structures whose names sound like a cord, are none that rtsim knows, and have no hard limit. What the
    user set aside by choosing another cord is not among them; ``phantom.notes`` tells it.

    Raises:
        InputError: two structures that a hard goal may speak of (:func:`rtsim.optimize.find.find_structure`).
    """
    suspects = [
        s
        for s in phantom.structures.values()
        if s.role not in _OTHERS
        and canonical(s.name) is None
        and _LIKE_A_CORD.search(s.name)
        and not s.name.endswith(NOT_USED)
    ]
    if not suspects:
        return ()
    hard = dict.fromkeys(g.structure for g in goals if g.priority is Priority.HARD)
    limited = [s for s in (find_structure(phantom, name, prescription) for name in hard) if s is not None]
    return tuple(s for s in suspects if not any(is_same_volume(s, other) for other in limited))


def unlimited_said(phantom: Phantom, goals: Iterable[Goal], prescription: Prescription) -> tuple[str, ...]:
    """A sentence for each of :func:`unlimited_cords`."""
    return tuple(
        f"NOT LIMITED: {s.name} ({s.volume_cm3:.1f} cm3) is named like a cord, but rtsim does not know the name and no "
        "hard limit speaks of it. If it is one, rename it (SpinalCord, CaudaEquina), or say so (rtsim run --cord NAME)."
        for s in unlimited_cords(phantom, goals, prescription)
    )

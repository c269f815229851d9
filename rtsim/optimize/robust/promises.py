"""Promises: which hard limits hold as planned only, and which in every position of the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rtsim.optimize.find import find_structure
from rtsim.optimize.goals import DoseVolumeLimit, upper_limit
from rtsim.optimize.robust.scenarios import Scenarios
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.model import Goal, Prescription
from rtsim.protocol.nomenclature import canonical

CORD_KEYS: Final = ("spinal_cord", "spinal_canal", "thecal_sac", "cauda_equina")
"""What the promise is about: the cord, and what stands for it."""
PRV_KEY: Final = "spinal_cord_prv"


@dataclass(frozen=True, eq=False, kw_only=True)
class Promise:
    """A limit, and where it holds.

    Attributes:
        everywhere: in every position; else as planned, other positions being read for the report only.
        is_read: whether other positions are read at all.
        because: empty for a hard goal of the protocol; else why it is held.
        remark: why it is held where such a limit usually is not; empty otherwise.
    """

    limit: DoseVolumeLimit
    everywhere: bool = False
    is_read: bool = False
    because: str = ""
    remark: str = ""


def promises_of(
    hard: tuple[DoseVolumeLimit, ...], phantom: Phantom, prescription: Prescription, scenarios: Scenarios
) -> tuple[Promise, ...]:
    """One for each hard limit, in their order; then the limits of the PRV for the cord inside it.

    The cord gets the limit of its PRV in every position unless the protocol limits it hard by itself, at the same
    volume. Where nobody drew the cord the PRV's own limit holds in every position: else nothing would be promised.
    """
    found = find_structure(phantom, CORD_KEYS[0])
    cord = None if found is None or found.role is Role.PRV else found
    own = tuple(_promise(limit, scenarios, cord is not None) for limit in hard)
    limited = {(p.limit.goal.metric, p.limit.mean) for p in own if _key(p.limit) == CORD_KEYS[0]}
    inside = []
    for limit in hard:
        if cord is not None and is_prv(limit) and (limit.goal.metric, limit.mean) not in limited:
            goal: Goal = replace(limit.goal, structure=CORD_KEYS[0])
            same = upper_limit(goal, cord, prescription)
            if same is not None:
                because = f"the limit of {limit.structure.name}, held for the cord inside it"
                inside.append(Promise(limit=same, everywhere=True, is_read=True, because=because))
    return (*own, *inside)


def _promise(limit: DoseVolumeLimit, scenarios: Scenarios, has_cord: bool) -> Promise:
    prv = is_prv(limit)
    alone = prv and not has_cord and scenarios.sizes != ""
    everywhere = _key(limit) in CORD_KEYS or (prv and scenarios.hold_prv_too) or alone
    remark = (
        f"no cord is drawn inside {limit.structure.name}, so its own limit holds in every position" if alone else ""
    )
    return Promise(limit=limit, everywhere=everywhere, is_read=everywhere or prv, remark=remark)


def is_prv(limit: DoseVolumeLimit) -> bool:
    """Whether a limit is about a margin round the cord, by the role or by the name of what it limits."""
    return _key(limit) == PRV_KEY


def _key(limit: DoseVolumeLimit) -> str:
    """What a limit is about; a structure of the role PRV is one, whatever the goal calls it."""
    key = canonical(limit.goal.structure) or limit.goal.structure
    return PRV_KEY if key in CORD_KEYS and limit.structure.role is Role.PRV else key

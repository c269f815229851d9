"""The limit of the spinal cord for any number of fractions, by the name of who set it.

HyTEC's five limits are one number, EQD2 44.6 Gy (alpha/beta 2 Gy), so that D = n (sqrt(1 + 178.4 / n) - 1) for every n.
The others are known for the numbers of fractions that they were published for, and are not carried to other ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

from rtsim.errors import InputError, unknown_name
from rtsim.protocol.load import load_protocol, names
from rtsim.protocol.model import CORD_STRUCTURES, CordLimits, Goal, Priority, Sense
from rtsim.sources import Source, Standing

CORD_EQD2_GY: Final = 44.6
"""EQD2_2 that all five HyTEC limits of the cord share; the same number as ``rtsim.biology.CORD_EQD2_GY`` (neither
package imports the other; a test holds them together)."""
CORD_ALPHA_BETA_GY: Final = 2.0
MOST_FRACTIONS: Final = 40
HYTEC: Final = "hytec"
PUBLISHED: Final = range(1, 6)
"""Numbers of fractions that HyTEC gives limits for."""
_CLOSED_FORM: Final = Source(
    citation="rtsim: EQD2_2 44.6 Gy, which the limits of HyTEC for 1-5 fractions share (Sahgal et al. 2021, IJROBP "
    "110:124), carried to this number of fractions with alpha/beta 2 Gy",
    standing=Standing.ASSUMPTION,
)


@dataclass(frozen=True, kw_only=True)
class CordLimit:
    """The cord's limit of one source for one number of fractions.

    Attributes:
        name: of the source: 'hytec', 'tg101', 'rtog0631', 'mskcc', ...
        dose_gy: the largest near-maximum (or maximum) that it allows, over all fractions.
        eqd2_gy: the same as EQD2 with alpha/beta 2 Gy.
        goals: everything that it asks of the cord, the hard goal on ``dose_gy`` among them.
        source: of ``dose_gy``, with its standing.
    """

    name: str
    fractions: int
    dose_gy: float
    eqd2_gy: float
    goals: tuple[Goal, ...]
    source: Source

    def __str__(self) -> str:
        return f"{self.name}: {self.dose_gy:g} Gy in {self.fractions} (EQD2 {self.eqd2_gy:.1f} Gy); {self.source}"


def cord_limit_names() -> tuple[str, ...]:
    """Every name that :func:`cord_limit` takes."""
    return tuple(sorted(_published()))


def cord_limit(fractions: int, name: str = HYTEC) -> CordLimit:
    """The cord's limit for a number of fractions: HyTEC for any, others where they were published.

    Raises:
        InputError: an unknown name, or a number of fractions that the source gives no limit for; those that it has are
            named.
    """
    if isinstance(fractions, bool) or fractions != int(fractions) or not 1 <= fractions <= MOST_FRACTIONS:
        raise InputError(f"fractions is {fractions!r}; a whole number from 1 to {MOST_FRACTIONS} is needed")
    known = _published()
    if name not in known:
        raise InputError(unknown_name("cord limits", name, sorted(known)))
    found = known[name].get(int(fractions))
    if found is not None:
        return _limit(name, int(fractions), found.goals)
    if name == HYTEC:
        return _limit(name, int(fractions), (hytec_goal(int(fractions)),))
    numbers = ", ".join(map(str, sorted(known[name])))
    raise InputError(
        f"cord limits {name!r} have no value for {fractions} fractions, only for {numbers}, and are not carried to "
        f"other numbers here; {HYTEC!r} has one for any ({closed_form_gy(int(fractions)):.1f} Gy)"
    )


def closed_form_gy(fractions: int, eqd2_gy: float = CORD_EQD2_GY) -> float:
    """D = n (sqrt(1 + 4 EQD2_2 / n) - 1), in Gy, not rounded."""
    return fractions * (math.sqrt(1.0 + 4.0 * eqd2_gy / fractions) - 1.0)


def hytec_goal(fractions: int, structure: str = "spinal_cord", priority: Priority = Priority.HARD) -> Goal:
    """HyTEC's limit by its closed form, down to 0.1 Gy."""
    return Goal(
        structure,
        "D0.035cc",
        Sense.AT_MOST,
        math.floor(10.0 * closed_form_gy(fractions) + 1e-6) / 10.0,
        "Gy",
        priority,
        _CLOSED_FORM,
        f"EQD2_2 = {CORD_EQD2_GY:g} Gy in this number of fractions",
    )


def _limit(name: str, fractions: int, goals: tuple[Goal, ...]) -> CordLimit:
    """From a set of goals: the hard one on the smallest volume says the largest dose."""
    hard = [g for g in goals if g.priority is Priority.HARD and g.unit == "Gy" and g.structure in CORD_STRUCTURES]
    leading = max(hard, key=lambda g: (g.value, g.structure == "spinal_cord"))
    gy = leading.value
    return CordLimit(
        name=name,
        fractions=fractions,
        dose_gy=gy,
        eqd2_gy=gy * (gy / fractions + CORD_ALPHA_BETA_GY) / (2.0 + CORD_ALPHA_BETA_GY),
        goals=goals,
        source=leading.source,
    )


@cache
def _published() -> dict[str, dict[int, CordLimits]]:
    """name -> number of fractions -> the set in the shipped protocol of that number."""
    table: dict[str, dict[int, CordLimits]] = {}
    for protocol in map(load_protocol, names()):
        for limits in protocol.cord_limits:
            if _is_in_gy(limits):
                table.setdefault(limits.name, {})[protocol.default_level.fractions] = limits
    return table


def _is_in_gy(limits: CordLimits) -> bool:
    """A limit in percent of the prescription (a target in the cord) is no tolerance."""
    return any(g.priority is Priority.HARD and g.unit == "Gy" for g in limits.goals)

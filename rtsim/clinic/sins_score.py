"""SINS: the spinal instability neoplastic score, 0 to 18, and where each of its six parts comes from.

Points (Fisher 2010, Spine 35:E1221): location junctional 3, mobile 2, semi-rigid 1, rigid 0; pain mechanical 3,
occasional 1, none 0; lesion lytic 2, mixed 1, blastic 0; alignment subluxation 4, new deformity 2, normal 0; collapse
> 50 % 3, < 50 % 2, none but > 50 % of the body involved 1, none 0; posterolateral bilateral 3, unilateral 1, none 0.
0-6 stable, 7-12 potentially unstable, 13-18 unstable; a surgeon is asked from 7 on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.clinic.findings import Alignment, Collapse, LesionQuality, Pain, Posterolateral, Stability
from rtsim.errors import InputError, unknown_name
from rtsim.phantom.spine.anatomy import unknown_level
from rtsim.sources import Source, Standing

FISHER: Final = Source(
    citation="SINS: Fisher et al. 2010, Spine 35:E1221 (points as on pacs.de and cancercalc.com/sins)",
    standing=Standing.VERIFIED,
)
LEVELS: Final = (
    *("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7"),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
    *(f"S{n}" for n in range(1, 6)),
)
"""C0 is the occiput."""


class Location(Enum):
    """Where in the column."""

    JUNCTIONAL = "junctional"
    MOBILE = "mobile"
    SEMI_RIGID = "semi-rigid"
    RIGID = "rigid"


class How(Enum):
    """Where a part of the score comes from."""

    MEASURED = "measured"
    GIVEN = "given"
    ASSUMED = "assumed"


Part = Location | Pain | LesionQuality | Alignment | Collapse | Posterolateral
POINTS: Final[dict[Part, int]] = {
    Location.JUNCTIONAL: 3,
    Location.MOBILE: 2,
    Location.SEMI_RIGID: 1,
    Location.RIGID: 0,
    Pain.MECHANICAL: 3,
    Pain.OCCASIONAL: 1,
    Pain.NONE: 0,
    LesionQuality.LYTIC: 2,
    LesionQuality.MIXED: 1,
    LesionQuality.BLASTIC: 0,
    Alignment.SUBLUXATION: 4,
    Alignment.DEFORMITY: 2,
    Alignment.NORMAL: 0,
    Collapse.MORE_THAN_HALF: 3,
    Collapse.LESS_THAN_HALF: 2,
    Collapse.NONE_BUT_HALF_INVOLVED: 1,
    Collapse.NONE: 0,
    Posterolateral.BILATERAL: 3,
    Posterolateral.UNILATERAL: 1,
    Posterolateral.NONE: 0,
}
SURGEON_FROM: Final = 7
"""Points from which a surgeon is asked."""
UNSTABLE_FROM: Final = 13


@dataclass(frozen=True, kw_only=True)
class SinsPart:
    """One of the six parts: what it is, how it is known, and why."""

    name: str
    value: Part
    how: How
    reason: str

    @property
    def points(self) -> int:
        """Points of this part."""
        return POINTS[self.value]

    @property
    def lowest(self) -> int:
        """Fewest points that what is known allows: those of the part, or 0 when it is assumed."""
        return min(_points_of(type(self.value))) if self.how is How.ASSUMED else self.points

    @property
    def highest(self) -> int:
        """Most points that what is known allows: those of the part, or the worst value when it is assumed."""
        return max(_points_of(type(self.value))) if self.how is How.ASSUMED else self.points


@dataclass(frozen=True, kw_only=True)
class Sins:
    """The score of one level, part by part (location, pain, lesion, alignment, collapse, posterolateral)."""

    level: str
    parts: tuple[SinsPart, ...]
    source: Source = FISHER

    @property
    def total(self) -> int:
        """0 to 18, assumed parts as they were assumed."""
        return sum(part.points for part in self.parts)

    @property
    def lowest(self) -> int:
        """Fewest points, whatever the assumed parts turn out to be."""
        return sum(part.lowest for part in self.parts)

    @property
    def highest(self) -> int:
        """Most points, whatever the assumed parts turn out to be."""
        return sum(part.highest for part in self.parts)

    @property
    def stability(self) -> Stability:
        """Class of the total."""
        return stability_of(self.total)

    @property
    def assumed(self) -> tuple[SinsPart, ...]:
        """The parts that nobody measured or gave."""
        return tuple(part for part in self.parts if part.how is How.ASSUMED)

    def __getitem__(self, name: str) -> SinsPart:
        for part in self.parts:
            if part.name == name:
                return part
        raise InputError(unknown_name("part of SINS", name, [part.name for part in self.parts]))

    def __str__(self) -> str:
        spread = ""
        if self.lowest != self.highest:
            spread = f" ({self.lowest} to {self.highest} as assumed parts turn out; {self._taken()})"
        return f"SINS {self.total} of 18 at {self.level}: {self.stability.value}{spread}"

    def _taken(self) -> str:
        """Which way the assumed parts were assumed: the total leans as they do."""
        ways: dict[str, list[str]] = {"best": [], "middle": [], "worst": []}
        for part in self.assumed:
            way = "best" if part.points == part.lowest else "worst" if part.points == part.highest else "middle"
            ways[way].append(part.name)
        return ", ".join(f"{way} assumed of {' and '.join(names)}" for way, names in ways.items() if names)


def _points_of(kind: type[Part]) -> list[int]:
    return [points for value, points in POINTS.items() if isinstance(value, kind)]


def stability_of(points: int) -> Stability:
    """Class of a total of 0 to 18 points."""
    if not 0 <= points <= 18:
        raise InputError(f"a SINS of {points} points does not exist; allowed are 0 to 18")
    if points >= UNSTABLE_FROM:
        return Stability.UNSTABLE
    return Stability.POTENTIALLY_UNSTABLE if points >= SURGEON_FROM else Stability.STABLE


def level_name(level: str) -> str:
    """A level as rtsim writes it: 'Th8' and 'D8' are T8.

    Raises:
        InputError: no such level, with the nearest.
    """
    name = re.sub(r"^(TH|D)(?=\d)", "T", level.strip().upper())
    if name not in LEVELS:
        raise InputError(unknown_level("level of the spine", level, LEVELS))
    return name


def location_of(level: str) -> Location:
    """Occiput-C2, C7-T2, T11-L1, L5-S1 junctional; C3-C6, L2-L4 mobile; T3-T10 semi-rigid; S2-S5 rigid.

    Raises:
        InputError: no such level, with the nearest.
    """
    name = level_name(level)
    region, number = name[0], int(name[1:])
    junctional = {"C": number <= 2 or number == 7, "T": number <= 2 or number >= 11}
    if junctional.get(region, name in {"L1", "L5", "S1"}):
        return Location.JUNCTIONAL
    return {"C": Location.MOBILE, "T": Location.SEMI_RIGID, "L": Location.MOBILE, "S": Location.RIGID}[region]

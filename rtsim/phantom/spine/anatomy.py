"""The anatomy table: dimensions of each level of the column and HU of each tissue; sources in data/anatomy.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from rtsim.errors import InputError, nearest, unknown_name


@dataclass(frozen=True)
class Level:
    """One level of the vertebral column, mm and degrees; what each number means is written in data/anatomy.toml."""

    name: str
    endplate_width_mm: float
    endplate_depth_mm: float
    height_mm: float
    canal_ap_mm: float
    canal_width_mm: float
    pedicle_width_mm: float
    cord_width_mm: float
    cord_ap_mm: float
    sac_ap_mm: float
    disc_mm: float
    tip_mm: float
    tilt_deg: float
    skin_width_mm: float
    skin_depth_mm: float
    skin_to_canal_mm: float

    @property
    def region(self) -> str:
        """'C', 'T', 'L' or 'S'."""
        return self.name[0]

    @property
    def number(self) -> int:
        """5 for T5."""
        return int(self.name[1:])


@dataclass(frozen=True)
class Tissue:
    """Mean HU of a tissue and the standard deviation of its own texture (without scanner noise)."""

    name: str
    hu: float
    texture_hu: float


@cache
def _tables() -> tuple[tuple[Level, ...], dict[str, Tissue]]:
    raw = tomllib.loads((files("rtsim.phantom") / "data" / "anatomy.toml").read_text(encoding="utf-8"))
    rows = tuple(Level(*row) for row in raw["rows"])
    return rows, {name: Tissue(name, float(hu), float(sd)) for name, (hu, sd) in raw["tissues"].items()}


def levels() -> tuple[Level, ...]:
    """Every level, from C2 down to S2."""
    return _tables()[0]


LEVELS: tuple[str, ...] = tuple(row.name for row in _tables()[0] if row.name not in {"C2", "S2"})
"""Levels that can carry the lesion: C3 .. S1 (C2 and S2 only fill the ends of the field)."""


def level(name: str) -> Level:
    """The level called ``name`` (C3 .. S1).

    Raises:
        InputError: no such level.
    """
    for row in levels():
        if row.name == name.upper() and row.name in LEVELS:
            return row
    raise InputError(unknown_level("spine level", name, LEVELS))


def unknown_level(kind: str, name: str, known: Sequence[str]) -> str:
    """Message for an unknown level, with the nearest of the same region: L5 for 'L6', not T6."""
    region = [k for k in known if k[0] == name.strip().upper()[:1]]
    close = nearest(name, region or known)
    number = re.fullmatch(r"\s*[A-Za-z]+(\d+)\s*", name)
    if region and number is not None and 0 < int(number[1]) - int(region[-1][1:]) <= 2:
        close = region[-1]  # one too many: the last of the region
    hint = "" if close is None else f"did you mean {close!r}? "
    return f"unknown {kind} {name!r}; {hint}Known: {', '.join(known)}"


def tissue(name: str) -> Tissue:
    """The tissue called ``name``."""
    table = _tables()[1]
    if name not in table:
        raise InputError(unknown_name("tissue", name, table))
    return table[name]

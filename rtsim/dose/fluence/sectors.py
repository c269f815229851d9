"""Sectors: the fluence maps of an arc whose gantry angles are so near that they share what varies slowly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from rtsim.dose.fluence.raster import FluenceMap, Raster

SECTOR_DEG: Final = 12.0
"""Gantry angles so near to each other share the transport of what varies slowly."""


def sectors(fluences: Iterable[FluenceMap]) -> Iterator[tuple[FluenceMap, ...]]:
    """Consecutive maps of an arc whose gantry angles lie within ``SECTOR_DEG``; a fixed gantry has one sector."""
    joined: list[FluenceMap] = []
    for fluence in fluences:
        if joined and abs(_turned(fluence.gantry_deg, joined[0].gantry_deg)) >= SECTOR_DEG:
            yield tuple(joined)
            joined = []
        joined.append(fluence)
    if joined:
        yield tuple(joined)


def _turned(gantry_deg: float, from_deg: float) -> float:
    """Angle between -180 and 180 degrees by which the gantry has turned."""
    return (gantry_deg - from_deg + 180.0) % 360.0 - 180.0


def together(maps: Sequence[FluenceMap]) -> FluenceMap:
    """The sum of maps, on a raster that holds all, at their mean gantry angle by fluence."""
    first = maps[0]
    if len(maps) == 1:
        return first
    pitch = first.raster.pitch_mm
    lefts = [round((m.raster.left_mm - first.raster.left_mm) / pitch) for m in maps]
    bottoms = [round((m.raster.bottom_mm - first.raster.bottom_mm) / pitch) for m in maps]
    columns = max(x + m.raster.columns for x, m in zip(lefts, maps, strict=True)) - min(lefts)
    rows = max(y + m.raster.rows for y, m in zip(bottoms, maps, strict=True)) - min(bottoms)
    values = np.zeros((rows, columns))
    for m, x, y in zip(maps, lefts, bottoms, strict=True):
        at = y - min(bottoms), x - min(lefts)
        values[at[0] : at[0] + m.raster.rows, at[1] : at[1] + m.raster.columns] += m.values
    weights = np.array([m.values.sum() for m in maps])
    turned = np.array([_turned(m.gantry_deg, first.gantry_deg) for m in maps])
    raster = Raster(
        first.raster.left_mm + min(lefts) * pitch, first.raster.bottom_mm + min(bottoms) * pitch, pitch, columns, rows
    )
    middle = float(weights @ turned / weights.sum()) if weights.sum() > 0.0 else float(turned.mean())
    return FluenceMap(raster, values, first.gantry_deg + middle)

"""First apertures of an arc from an optimized fluence: in each sector every leaf pair sweeps once across the field.

The fluence of neighboring planning beams is summed to a sector and rounded to whole levels. A row whose profile rises
at the edges l1 <= l2 <= ... and falls at r1 <= r2 <= ... is the sum of the openings [l1, r1], [l2, r2], ...: a sliding
window in steps, one opening for each interval of the sector. Every second sector runs backwards, so that no leaf has
to return.
"""

from __future__ import annotations

import numpy as np

from rtsim.optimize.arcs.layout import ArcLayout
from rtsim.optimize.arcs.shapes import ArcShapes
from rtsim.typing import FloatArray, IntArray

SECTOR_DEG = 24.0


def first_shapes(layout: ArcLayout, beamlet_units: FloatArray) -> ArcShapes:
    """The apertures of one arc.

    Args:
        beamlet_units: (columns of the matrix,) monitor units for which each beamlet is open.
    """
    path = layout.path
    per_sector = max(path.group, round(SECTOR_DEG / path.step_deg / path.group) * path.group)
    padded = np.append(beamlet_units, 0.0)
    left = np.empty((path.intervals, layout.pairs.size))
    right, units = np.empty_like(left), np.empty(path.intervals)
    for number, start in enumerate(range(0, path.intervals, per_sector)):
        own = np.arange(start, min(start + per_sector, path.intervals))
        beams = own[:: path.group]
        fluence = padded[layout.index[beams]].sum(axis=0)
        level, openings = _sweep(fluence, own.size)
        openings = openings[::-1] if number % 2 else openings
        units[own] = level
        left[own] = layout.x_edges_mm[openings[:, layout.row, 0]]
        right[own] = layout.x_edges_mm[openings[:, layout.row, 1]]
    return ArcShapes(left_mm=_at_control_points(left), right_mm=_at_control_points(right), monitor_units=units)


def _at_control_points(intervals: FloatArray) -> FloatArray:
    """(n + 1, ...) means of neighboring intervals; the ends as their only neighbor."""
    padded = np.concatenate((intervals[:1], intervals, intervals[-1:]))
    return np.asarray(0.5 * (padded[:-1] + padded[1:]))


def _sweep(fluence: FloatArray, count: int) -> tuple[float, IntArray]:
    """The finest level whose rounded profiles need at most ``count`` openings, and (count, rows, 2) edges of them."""
    top = float(fluence.max())
    if top <= 0.0:
        return 0.0, np.full((count, len(fluence), 2), fluence.shape[1] // 2)
    low, high = top / count, top
    while _rises(fluence, high) > count:
        high *= 2.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _rises(fluence, middle) <= count else (middle, high)
    profile = np.rint(fluence / high).astype(np.int64)
    return high, np.stack([_openings(row, count) for row in profile], axis=1)


def _rises(fluence: FloatArray, level: float) -> int:
    profile = np.rint(fluence / level)
    return int(np.maximum(np.diff(profile, axis=1, prepend=0.0), 0.0).sum(axis=1).max())


def _openings(profile: IntArray, count: int) -> IntArray:
    """(count, 2) edges: the openings of one row from left to right, spread over ``count``; closed ones between."""
    step = np.diff(profile, prepend=0, append=0)
    edges = np.arange(step.size)
    lefts, rights = np.repeat(edges, np.maximum(step, 0)), np.repeat(edges, np.maximum(-step, 0))
    out = np.full((count, 2), -1, dtype=np.int64)
    slots = np.floor((np.arange(lefts.size) + 0.5) * count / max(lefts.size, 1)).astype(np.int64)
    out[slots, 0], out[slots, 1] = lefts, rights
    waiting = profile.size // 2 if not lefts.size else int(lefts[0] + rights[0]) // 2
    for n in range(count):
        if out[n, 0] < 0:
            out[n] = waiting
        waiting = int(out[n].sum()) // 2
    return out

"""From a fluence map to shapes and times: pure arrays, one row per leaf pair, one column per beamlet.

A segment is a map of open intervals, one (possibly empty) interval [first, last) a row. The least beam-on time of a
map of levels a is max over rows of sum_j max(0, a_j - a_(j-1)), and both methods here reach it.

Sources: Bortfeld et al., Int J Radiat Oncol Biol Phys 28 (1994) 723, DOI 10.1016/0360-3016(94)90200-3 (sweep); Engel,
    Discrete
Appl Math 152 (2005) 35, DOI 10.1016/j.dam.2004.10.008 (least beam-on time with few segments).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray, IntArray


class Decomposition(Enum):
    """How a map of levels becomes segments: leaves that sweep one way, or the largest steps first (fewer segments)."""

    SWEEP = "sweep"
    FEW_SEGMENTS = "few segments"


@dataclass(frozen=True, eq=False, kw_only=True)
class Shape:
    """One segment, open for ``time`` levels.

    ``open_columns`` (rows, 2): first and one past the last open column; equal: closed.
    """

    open_columns: IntArray
    time: int

    def mask(self, columns: int) -> IntArray:
        """(rows, columns) 1 where open."""
        j = np.arange(columns)
        return ((j >= self.open_columns[:, :1]) & (j < self.open_columns[:, 1:])).astype(np.int64)


def least_beam_on_time(levels: IntArray) -> int:
    """max over rows of the sum of rising steps: no sequence of intervals can be shorter."""
    return int(np.maximum(np.diff(levels, axis=1, prepend=0), 0).sum(axis=1).max())


def quantize(fluence: AnyFloatArray, levels: int) -> tuple[IntArray, float]:
    """Levels (rows, columns) and the fluence of one level, chosen among a few steps for the least squared error.

    Raises:
        InputError: negative fluence, or fewer than one level.
    """
    values = np.asarray(fluence, dtype=np.float64)
    if levels < 1 or not np.isfinite(values).all() or (values < 0).any():
        raise InputError(f"levels is {levels} and must be >= 1; fluences must be finite and >= 0")
    top = float(values.max(initial=0.0))
    if top == 0.0:
        return np.zeros(values.shape, dtype=np.int64), 0.0
    steps = top / np.linspace(max(levels - 0.5, 1.0), levels + 0.5, 9)
    errors = [float(((np.rint(values / s) * s - values) ** 2).sum()) for s in steps]
    step = float(steps[int(np.argmin(errors))])
    return np.rint(values / step).astype(np.int64), step


def decompose(levels: IntArray, method: Decomposition = Decomposition.FEW_SEGMENTS) -> tuple[Shape, ...]:
    """Shapes whose times sum up to the map exactly, with the least beam-on time.

    Args:
        levels: (rows, columns) whole numbers >= 0.
    """
    a = np.array(levels, dtype=np.int64)
    if a.ndim != 2 or (a < 0).any():
        raise InputError("levels must be a map (rows, columns) of whole numbers >= 0")
    if not a.any():
        return ()
    return _sweep(a) if method is Decomposition.SWEEP else _largest_first(a)


def _sweep(a: IntArray) -> tuple[Shape, ...]:
    """Column j is open between the passages of the leading and the trailing leaf end; equal neighbors merge."""
    step = np.diff(a, axis=1, prepend=0)
    opened = np.cumsum(np.maximum(-step, 0), axis=1)
    closed = opened + a
    shapes: list[Shape] = []
    for t in range(1, least_beam_on_time(a) + 1):
        # both passages never go back, so the open columns are one interval
        is_open = (opened < t) & (closed >= t)
        first = np.where(is_open.any(axis=1), is_open.argmax(axis=1), 0)
        interval = np.stack((first, first + is_open.sum(axis=1)), axis=1)
        if shapes and np.array_equal(shapes[-1].open_columns, interval):
            shapes[-1] = Shape(open_columns=interval, time=shapes[-1].time + 1)
        else:
            shapes.append(Shape(open_columns=interval, time=1))
    return tuple(shapes)


def _largest_first(a: IntArray) -> tuple[Shape, ...]:
    """Engel: take the largest u for which a segment exists that shortens the rest by u; among those, end most steps."""
    shapes: list[Shape] = []
    rest = a.copy()
    while rest.any():
        total = least_beam_on_time(rest)
        rows = [_Row(row, total) for row in rest]
        u = min(r.largest for r in rows)
        interval = np.array([r.choose(u) for r in rows], dtype=np.int64)
        shape = Shape(open_columns=interval, time=int(u))
        rest -= u * shape.mask(rest.shape[1])
        shapes.append(shape)
    return tuple(shapes)


class _Row:
    """The intervals [l, r] of one row and the largest time for which each can be open without lengthening the rest."""

    def __init__(self, row: IntArray, total: int) -> None:
        n = row.size
        step = np.diff(row, prepend=0, append=0)
        self.slack = total - int(np.maximum(step[:-1], 0).sum())
        self.first, self.last = np.triu_indices(n)
        lowest = np.minimum.accumulate(np.where(np.tri(n, dtype=bool).T, row, np.iinfo(np.int64).max), axis=1)
        low = lowest[self.first, self.last]
        self.rise, self.fall = step[self.first], -step[self.last + 1]
        # rest after u: max(0, rise - u) - max(0, rise) + max(0, u - fall) - max(0, -fall) <= slack - u, rising in u
        self.limit = np.minimum(low, self._largest_time())
        self.largest = max(self.slack, int(self.limit.max(initial=0)))

    def _largest_time(self) -> IntArray:
        """Per interval the largest u that fits: its slope is 0 up to the nearer of rise and fall, then 1, then 2."""
        # behind an interval that the row rises from, the rise grows by u from the start: the same as fall = 0
        rise, fall = np.maximum(self.rise, 0), np.maximum(self.fall, 0)
        low, high = np.minimum(rise, fall), np.maximum(rise, fall)
        beyond = low + self.slack > high
        return np.where(beyond, high + (self.slack - (high - low)) // 2, low + self.slack)

    def choose(self, u: int) -> tuple[int, int]:
        """The interval open for u that ends most steps of the row, the longest of those; closed where nothing ends."""
        fits = np.flatnonzero(self.limit >= u)
        if not fits.size:
            return 0, 0
        ends = (self.rise[fits] == u).astype(np.int64) + (self.fall[fits] == u)
        if self.slack >= u and not ends.any():
            return 0, 0
        score = ends * 10_000 + (self.last[fits] - self.first[fits])
        k = int(fits[int(np.argmax(score))])
        return int(self.first[k]), int(self.last[k]) + 1

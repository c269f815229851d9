"""Products with the matrix of a problem: by rows, on all threads, and only with the rows that matter.

Most rows of a plan stand for tissue that counts above a dose only. As long as such a row stays below, it adds neither
value nor slope, and nobody needs its dose. From the dose at a point x0 every other point bounds it,

a . x <= a . x0 + |a| |max(0, x - x0)|      for a >= 0 (Cauchy, Schwarz),

so that a row sleeps, with the dose it had at x0, while x stays nearer than (quiet - a . x0) / |a|. What is left out is
exactly nothing: value and slope are those of the whole matrix.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from rtsim.optimize._kernels import add_rows, rows_times, squared_rows
from rtsim.threads import over_ranges
from rtsim.typing import AnyFloatArray, FloatArray, IntArray

Matrix = sparse.csr_array | np.ndarray

_BLOCKS = 16
_BLOCK_ENTRIES = 50_000
"""A sum over rows is added up in blocks of at least so many entries: their number, and so the rounding, is the same on
any number of threads."""

_ROUNDING = 1e-5
"""Relative room for the rounding of a matrix in float32 and of sums."""


class Products:
    """A matrix (rows, n), sparse CSR or dense, that is multiplied row by row. Nothing of its values is copied."""

    def __init__(self, matrix: Matrix) -> None:
        rows, n = matrix.shape
        self.shape: tuple[int, int] = (int(rows), int(n))
        short = np.uint16 if n <= np.iinfo(np.uint16).max else np.uint32
        if isinstance(matrix, np.ndarray):
            self._starts = np.arange(rows + 1, dtype=np.int64) * n
            self._columns = np.tile(np.arange(n, dtype=short), rows)
            self._values = np.ascontiguousarray(matrix).ravel()
        else:
            self._starts = matrix.indptr.astype(np.int64)
            self._columns = matrix.indices.astype(short)
            self._values = matrix.data
        self._all = np.arange(rows)
        self.entries: IntArray = np.diff(self._starts)

    def norms(self) -> tuple[FloatArray, bool]:
        """(rows,) length of each row, and whether no entry is negative."""
        found = np.empty((self.shape[0], 2))
        over_ranges(squared_rows, self.shape[0], self._starts, self._values, found)
        return np.sqrt(found[:, 0]), bool(found[:, 1].min(initial=0.0) >= 0.0)

    def times(self, x: FloatArray, out: FloatArray, rows: IntArray | None = None) -> None:
        """Write row . x to ``out`` (rows,), at ``rows`` only when given."""
        chosen = self._all if rows is None else rows
        over_ranges(rows_times, len(chosen), self._starts, self._columns, self._values, chosen, x, out)

    def transposed_times(self, slope: FloatArray) -> FloatArray:
        """(n,) sum of ``slope`` (rows,) times row; rows of slope 0 are not touched."""
        rows = np.flatnonzero(slope)
        ends = np.cumsum(self.entries[rows])
        total = int(ends[-1]) if rows.size else 0
        blocks = min(_BLOCKS, max(1, total // _BLOCK_ENTRIES))
        borders = np.searchsorted(ends, np.arange(blocks + 1) * (total / blocks), side="right")
        borders[0], borders[-1] = 0, rows.size
        out = np.empty((blocks, self.shape[1]))
        over_ranges(add_rows, blocks, self._starts, self._columns, self._values, rows, slope, borders, out)
        return np.asarray(out.sum(axis=0))


class Waking:
    """Doses of a series of points near each other, exact in every row that counts.

    A row sleeps while its dose cannot reach ``quiet_gy``; what its entry of a dose says is then some dose below that.
    When the rows that are awake without need have cost as much as one whole product, one whole product is made.
    """

    def __init__(self, products: Products, offset_gy: FloatArray, quiet_gy: FloatArray) -> None:
        self._products, self._offset, self._quiet = products, offset_gy, quiet_gy
        self._norms, self._positive = products.norms()
        self._total = int(products.entries.sum())
        self._at: FloatArray | None = None
        self._dose = np.zeros(products.shape[0])
        self._radius = self._work = np.zeros(0)
        self._order = self._rows = np.zeros(0, dtype=np.int64)
        self._awake = self._spent = 0

    def quiet_below(self, quiet_gy: FloatArray) -> None:
        """Other levels from here on."""
        self._quiet, self._at = quiet_gy, None

    def dose(self, x: FloatArray) -> FloatArray:
        """(rows,) Gy; overwritten by the next call."""
        if self._at is None or self._spent >= self._total:
            return self._afresh(x)
        step = x - self._at
        if self._positive:
            np.maximum(step, 0.0, out=step)
        reach = float(np.sqrt(np.einsum("i,i->", step, step)))
        # a row that woke up stays awake until the next whole product: its dose may be above the level now
        awake = int(np.searchsorted(self._radius, reach, side="right"))
        if awake > self._awake:
            self._awake, self._rows = awake, np.sort(self._order[:awake])
        self._spent += int(self._work[self._awake] - self._work[self._needed])
        self._products.times(x, self._dose, self._rows)
        self._dose[self._rows] += self._offset[self._rows]
        return self._dose

    def _afresh(self, x: FloatArray) -> FloatArray:
        self._products.times(x, self._dose)
        self._dose += self._offset
        room = self._quiet - self._dose - _ROUNDING * np.abs(self._dose)
        with np.errstate(divide="ignore", invalid="ignore"):
            radius = np.where(self._norms > 0.0, room / self._norms, np.where(room > 0.0, np.inf, -np.inf))
        self._order = np.argsort(radius, kind="stable")
        self._radius = radius[self._order]
        self._work = np.concatenate(([0], np.cumsum(self._products.entries[self._order])))
        self._needed = self._awake = int(np.searchsorted(self._radius, 0.0, side="right"))
        self._rows = np.sort(self._order[: self._awake])
        self._at, self._spent = x.copy(), 0
        return self._dose


def quiet_levels(count: int, parts: list[tuple[IntArray, AnyFloatArray | float]]) -> FloatArray:
    """(count,) the lowest of the levels in ``parts`` (rows, level); rows that no part has are quiet at any dose."""
    level = np.full(count, np.inf)
    for rows, quiet in parts:
        np.minimum.at(level, rows, quiet)
    return level

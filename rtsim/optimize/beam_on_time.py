"""Limit on the monitor units that a fluence will need: the beam-on time of its leaf rows, while it is optimized.

A leaf pair that opens and closes once per rise of its row of the fluence needs sum_j max(0, a_j - a_(j-1)), a beam the
largest of its rows, and no sequence of intervals can be shorter (``decomposition.least_beam_on_time``). The sum over
the beams is convex in the fluence. Both kinks are rounded off to the safe side: a small step, and the largest row
by the p-norm of the rows.

Sources: Engel, Discrete Appl Math 152 (2005) 35, DOI 10.1016/j.dam.2004.10.008 (least beam-on time); Craft, Suss &
Bortfeld, IJROBP 67 (2007) 1596 [M] (plan quality against monitor units: much can be had for little).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy import sparse

from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.optimize.leaves import BeamletMap
from rtsim.typing import FloatArray, IntArray

POWER = 40.0
"""Of the norm that stands for the largest row: with 20 equal rows it lies 8 % above, with one that stands out, not."""

ROUNDED_STEP = 0.005
"""A step of no height counts as a quarter of this part of the uniform fluence."""


@runtime_checkable
class WeightLimit(Protocol):
    """A hard limit on the weights themselves: every entry of ``residual`` <= 0."""

    def residual(self, weights: FloatArray) -> FloatArray:
        """(m,) g / limit; > 0 where violated."""
        ...

    def pullback(self, weights: FloatArray, multipliers: FloatArray) -> FloatArray:
        """(n,) gradient of multipliers . residual."""
        ...

    def describe(self) -> str:
        """A few words for notes."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class LeafRows:
    """Steps of a fluence along the leaf rows of all beams.

    Attributes:
        steps: (m, n) differences along x, with the ones from and to the closed leaves.
        row_of_step: (m,); beam_of_row: (rows,) rising.
    """

    steps: sparse.csr_array
    row_of_step: IntArray
    beam_of_row: IntArray

    @classmethod
    def of(cls, beams: tuple[Beam, ...]) -> LeafRows:
        """Of all beamlets, in the order of an influence matrix's columns.

        Raises:
            InputError: a beam has no beamlets, or they do not lie in rows.
        """
        before: list[IntArray] = []
        after: list[IntArray] = []
        row_of: list[IntArray] = []
        beam_of: list[IntArray] = []
        first = rows = 0
        for k, beam in enumerate(beams):
            if beam.beamlets is None or not beam.beamlets.count:
                raise InputError(f"{beam.label} has no beamlets; build them with rtsim.beams.with_beamlets")
            edges = BeamletMap.of(beam.beamlets)
            count, columns = edges.shape
            index = np.full((count, columns + 2), -1)
            index[edges.row, edges.column + 1] = first + np.arange(beam.beamlets.count)
            before.append(index[:, :-1].ravel())
            after.append(index[:, 1:].ravel())
            row_of.append(rows + np.repeat(np.arange(count), columns + 1))
            beam_of.append(np.full(count, k))
            first, rows = first + beam.beamlets.count, rows + count
        left, right, row = np.concatenate(before), np.concatenate(after), np.concatenate(row_of)
        used = (left >= 0) | (right >= 0)
        left, right, row = left[used], right[used], row[used]
        number = np.arange(left.size)
        steps = sparse.coo_array(
            (
                np.concatenate((np.full((left >= 0).sum(), -1.0), np.full((right >= 0).sum(), 1.0))),
                (
                    np.concatenate((number[left >= 0], number[right >= 0])),
                    np.concatenate((left[left >= 0], right[right >= 0])),
                ),
            ),
            shape=(left.size, first),
        )
        return cls(steps=sparse.csr_array(steps), row_of_step=row, beam_of_row=np.concatenate(beam_of))

    def beam_on_time(self, weights: FloatArray) -> float:
        """The sum over the beams of the largest row's rises, exactly; in the unit of the weights."""
        rises = np.maximum(self.steps @ weights, 0.0)
        of_row = np.bincount(self.row_of_step, weights=rises, minlength=self.beam_of_row.size)
        return float(np.maximum.reduceat(of_row, self._first_rows()).sum())

    def _first_rows(self) -> IntArray:
        return np.flatnonzero(np.diff(self.beam_of_row, prepend=-1))


@dataclass(frozen=True, eq=False, kw_only=True)
class MaximumMonitorUnits:
    """The beam-on time of all beams together at most ``monitor_units`` (of one fraction, as the weights are).

    Attributes:
        uniform: the fluence in monitor units that a flat map would need, which sets how much steps are rounded off.
    """

    rows: LeafRows
    monitor_units: float
    uniform: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.monitor_units) and self.monitor_units > 0.0 and self.uniform > 0.0):
            raise InputError(f"the limit on monitor units is {self.monitor_units}; it must be finite and > 0")

    def _of_beams(self, weights: FloatArray) -> tuple[float, FloatArray]:
        """Rounded-off beam-on time, and its gradient with respect to the steps."""
        width = ROUNDED_STEP * self.uniform
        step = self.rows.steps @ weights
        part = np.clip((step + width) / (2.0 * width), 0.0, 1.0)
        rise = np.where(step > width, step, part * part * width)
        of_row = np.bincount(self.rows.row_of_step, weights=rise, minlength=self.rows.beam_of_row.size)
        first = self.rows._first_rows()
        top = np.maximum.reduceat(of_row, first)[self.rows.beam_of_row]
        norm = np.add.reduceat((of_row / top) ** POWER, first) ** (1.0 / POWER)
        share = (of_row / (top * norm[self.rows.beam_of_row])) ** (POWER - 1.0)
        return float((top[first] * norm).sum()), part * share[self.rows.row_of_step]

    def residual(self, weights: FloatArray) -> FloatArray:
        """See :class:`WeightLimit`."""
        return np.array([self._of_beams(weights)[0] / self.monitor_units - 1.0])

    def pullback(self, weights: FloatArray, multipliers: FloatArray) -> FloatArray:
        """See :class:`WeightLimit`."""
        slope = self._of_beams(weights)[1]
        return np.asarray(float(multipliers[0]) / self.monitor_units * (self.rows.steps.T @ slope), dtype=np.float64)

    def describe(self) -> str:
        """See :class:`WeightLimit`."""
        return f"beam-on time <= {self.monitor_units:.4g} MU"

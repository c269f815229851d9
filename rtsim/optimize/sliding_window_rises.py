"""What a sweep pays for: the rises along the rows of its map. As differences to be kept small by a quadratic solver.

The monitor units of a swept beam are s X plus the largest sum of rises of its rows, t_r = sum |step| / 2 over the steps
of row r, the two outer ones included. In place of the largest stands the norm (sum_r t_r^3)^(1/3), which the largest
row dominates and which has a slope in all others. Both the sum of magnitudes and the norm are minimized by iterating
weighted least squares: each step counts t_r^2 / (|step| + e), with the t and steps of the last fluence.

Source: Daubechies et al., Comm Pure Appl Math 63 (2010) 1, DOI 10.1002/cpa.20303 (iteratively reweighted least squares
for sums of magnitudes) [M].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from rtsim.beams.model import Beam
from rtsim.optimize.leaves import BeamletMap
from rtsim.typing import FloatArray, IntArray

_SMALL: Final = 0.05
"""Steps below this share of the largest fluence count as if they were this large."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rises:
    """The steps along all rows of all maps.

    Attributes:
        steps: (steps, beamlets) of neighbors along the leaf direction, and of the outer ones to nothing.
        row: (steps,) which row of which beam each belongs to.
        beam: (rows,) which beam that is.
    """

    steps: sparse.csr_array
    row: IntArray
    beam: IntArray

    @classmethod
    def of(cls, beams: tuple[Beam, ...]) -> Rises:
        """Of beams with beamlets."""
        left, right, row_of, beam_of = [], [], [], []
        first = rows = 0
        for k, beam in enumerate(beams):
            assert beam.beamlets is not None
            edges = BeamletMap.of(beam.beamlets)
            index = np.full(np.add(edges.shape, (0, 2)), -1)
            index[edges.row, edges.column + 1] = first + np.arange(beam.beamlets.count)
            left.append(index[:, :-1].ravel())
            right.append(index[:, 1:].ravel())
            row_of.append(rows + np.repeat(np.arange(edges.shape[0]), edges.shape[1] + 1))
            beam_of += [k] * edges.shape[0]
            first, rows = first + beam.beamlets.count, rows + edges.shape[0]
        lower, upper, row = np.concatenate(left), np.concatenate(right), np.concatenate(row_of)
        real = (lower >= 0) | (upper >= 0)
        lower, upper, row = lower[real], upper[real], row[real]
        at = np.arange(lower.size)
        value = np.concatenate((np.full((lower >= 0).sum(), -1.0), np.ones((upper >= 0).sum())))
        place = (
            np.concatenate((at[lower >= 0], at[upper >= 0])),
            np.concatenate((lower[lower >= 0], upper[upper >= 0])),
        )
        steps = sparse.csr_array((value, place), shape=(lower.size, first))
        return cls(steps=steps, row=row.astype(np.int64), beam=np.array(beam_of, dtype=np.int64))

    def sums(self, fluence: FloatArray) -> FloatArray:
        """(rows,) sum of the rises of each row."""
        size = np.abs(self.steps @ fluence)
        return np.asarray(0.5 * np.bincount(self.row, weights=size, minlength=self.beam.size), dtype=np.float64)

    def weighted(self, fluence: FloatArray) -> sparse.csr_array:
        """(steps, beamlets) the steps, each times the root of what it counts near ``fluence``; 1 on average."""
        size = np.abs(self.steps @ fluence)
        sums = self.sums(fluence)
        largest = np.zeros(int(self.beam.max()) + 1)
        np.maximum.at(largest, self.beam, sums)
        part = sums / np.maximum(largest[self.beam], 1e-300)
        counts = part[self.row] ** 2 / (size + _SMALL * max(float(np.abs(fluence).max()), 1e-300))
        counts *= 1.0 / max(float(counts.mean()), 1e-300)
        return sparse.csr_array(sparse.diags_array(np.sqrt(counts)) @ self.steps)

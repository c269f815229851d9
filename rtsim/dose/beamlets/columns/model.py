"""Columns of the influence matrix, and the matrix from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from rtsim.dose.beamlets.columns import _kernels
from rtsim.threads import over_ranges
from rtsim.typing import Float32Array, FloatArray

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

_ROWS_PER_BLOCK: Final = 1 << 14


@dataclass(frozen=True, eq=False)
class Columns:
    """Some columns of the matrix.

    Attributes:
        numbers: (n,) which columns.
        counts: (n,) entries of each.
        indices, values: voxels and Gy per monitor unit, column after column, voxels ascending.
        sums: (2,) summed dose of all, and of entries of at least the cut-off.
    """

    numbers: IntArray
    counts: IntArray
    indices: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    values: Float32Array
    sums: FloatArray

    def summed(self, rows: int) -> FloatArray:
        """(rows,) sum of the columns."""
        return np.bincount(self.indices, weights=self.values, minlength=rows).astype(np.float64)


def matrix_of(columns: list[Columns], rows: int) -> sparse.csr_array:
    """(rows, columns) CSR float32 with ascending columns in each row; empties the list."""
    numbers, counts = np.concatenate([c.numbers for c in columns]), np.concatenate([c.counts for c in columns])
    indices, values = np.concatenate([c.indices for c in columns]), np.concatenate([c.values for c in columns])
    columns.clear()
    order = np.argsort(numbers)
    stops = np.cumsum(counts)
    starts, stops = (stops - counts)[order], stops[order]
    blocks = np.append(np.arange(0, rows, _ROWS_PER_BLOCK), rows)
    kind: type[np.int32] | type[np.int64] = np.int32 if values.size <= np.iinfo(np.int32).max else np.int64
    pointers = np.zeros(rows + 1, dtype=kind)
    over_ranges(_kernels.count_rows, blocks.size - 1, indices, starts, stops, blocks, pointers)
    np.cumsum(pointers, out=pointers)
    own, out = np.empty(values.size, dtype=kind), np.empty(values.size, dtype=np.float32)
    over_ranges(_kernels.to_rows, blocks.size - 1, indices, values, starts, stops, blocks, pointers, own, out)
    matrix: sparse.csr_array[np.float32] = sparse.csr_array((out, own, pointers), shape=(rows, numbers.size))
    matrix.has_canonical_format = True
    return matrix


def matrix_bytes(entries: float, rows: int) -> float:
    """Bytes of the CSR matrix."""
    each = 4 if entries <= np.iinfo(np.int32).max else 8
    return entries * (4 + each) + (rows + 1) * each

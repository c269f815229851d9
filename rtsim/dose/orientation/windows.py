"""Windows: the part of each plane that a sweep visits, so that an oblique beam does not cost its bounding box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.typing import BoolArray

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
_ORDERS: Final = ((2, 0, 1), (1, 0, 2), (0, 1, 2))
"""Axes of [k, j, i] that are the planes, rows and columns of dominant x, y and z."""


@dataclass(frozen=True, eq=False)
class Windows:
    """A rectangle of constant size in every plane of the three orders of a volume.

    Attributes:
        shapes: (3, 3) planes, rows and width of each order, the border of one voxel to each side of a plane included.
        first: (3, planes, 2) number of the first voxel of each plane's rectangle along its rows and columns.
    """

    shapes: IntArray
    first: IntArray

    @classmethod
    def whole(cls, shape: tuple[int, int, int]) -> Windows:
        """All of every plane of a volume [k, j, i]."""
        counts = np.array([[shape[n] for n in order] for order in _ORDERS])
        return cls(counts + np.array([0, 2, 2]), np.zeros((3, int(counts[:, 0].max()), 2), dtype=np.int64))

    @classmethod
    def about(cls, views: tuple[BoolArray, BoolArray, BoolArray], room: tuple[int, int, int]) -> Windows:
        """Rectangles about the marked voxels of a volume.

        Args:
            views: the volume seen along i, j and k: (nz, ny), (nz, nx) and (ny, nx), True where any voxel is marked.
            room: (k, j, i) voxels to keep free about what is marked.
        """
        nz, ny = views[0].shape
        shape = (nz, ny, views[2].shape[1])
        shapes = np.empty((3, 3), dtype=np.int64)
        first = np.zeros((3, max(shape), 2), dtype=np.int64)
        for n, order in enumerate(_ORDERS):
            planes = shape[order[0]]
            shapes[n, 0] = planes
            for axis in (0, 1):
                across = order[1 + axis]
                seen = views[order[0] + across - 1]
                seen = seen if order[0] < across else seen.T
                low, high = _spread(seen, room[order[0]], room[across])
                size = int((high - low).max())
                shapes[n, 1 + axis] = size + 2
                middle = (low + high - size) // 2
                first[n, :planes, axis] = np.clip(middle, 0, shape[across] - size)
        return cls(shapes, first)


def _spread(seen: BoolArray, along: int, across: int) -> tuple[IntArray, IntArray]:
    """First and last-plus-one of the marked columns in each row, with room along the rows' axis and across it."""
    count = seen.shape[1]
    filled = seen.any(axis=1)
    low = np.where(filled, seen.argmax(axis=1), count)
    high = np.where(filled, count - seen[:, ::-1].argmax(axis=1), 0)
    rows = np.arange(seen.shape[0])
    reach = [slice(max(r - along, 0), r + along + 1) for r in rows]
    low = np.array([low[s].min() for s in reach]) - across
    high = np.array([high[s].max() for s in reach]) + across
    empty = high <= low
    low, high = np.clip(low, 0, count), np.clip(high, 0, count)
    middle = np.interp(rows, rows[~empty], ((low + high) // 2)[~empty]).round().astype(np.int64)
    return np.where(empty, middle, low), np.where(empty, middle, high)

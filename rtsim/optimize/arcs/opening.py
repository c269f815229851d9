"""How far a moving pair of leaves opens the columns of beamlets, on average over an interval; and its slopes.

A leaf end that moves evenly from a to b passes a column [x0, x1] of width w. Left of the end, the share
c(x) = clip((x - x0)/w, 0, 1) of the column lies; its mean on the way is

    m(a, b) = (F(b) - F(a)) / (b - a),     F' = c,     dm/da = (m - c(a)) / (b - a),     dm/db = (c(b) - m) / (b - a).

A pair opens m(right) - m(left). Both are exact for any way, so that the matrix sees what the engine integrates.
"""

from __future__ import annotations

import numpy as np

from rtsim.typing import FloatArray

_STILL_MM = 1e-3
"""Below this way the mean is that of the middle: the quotient would lose digits."""


def mean_cover(a_mm: FloatArray, b_mm: FloatArray, edges_mm: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean share of each column left of an end that moves from a to b, and its slopes by a and by b, per mm.

    Args:
        a_mm, b_mm: (...) positions.
        edges_mm: (columns + 1,) of columns of equal width.

    Returns:
        three arrays (..., columns).
    """
    width = float(edges_mm[1] - edges_mm[0])
    lower = edges_mm[:-1]
    u, v = (a_mm[..., None] - lower) / width, (b_mm[..., None] - lower) / width
    cover_u, cover_v = np.clip(u, 0.0, 1.0), np.clip(v, 0.0, 1.0)
    way = v - u
    still = np.abs(way) * width < _STILL_MM
    safe = np.where(still, 1.0, way)
    mean = np.where(still, np.clip(0.5 * (u + v), 0.0, 1.0), (_integral(v, cover_v) - _integral(u, cover_u)) / safe)
    inside = 0.5 * ((u > 0.0) & (u < 1.0))
    slope_a = np.where(still, inside, (mean - cover_u) / safe) / width
    slope_b = np.where(still, inside, (cover_v - mean) / safe) / width
    return mean, slope_a, slope_b


def _integral(u: FloatArray, cover: FloatArray) -> FloatArray:
    """F(u) = integral of clip(u, 0, 1)."""
    return np.asarray(0.5 * cover * cover + np.maximum(u - 1.0, 0.0), dtype=np.float64)

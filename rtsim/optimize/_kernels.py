"""Products with rows of a matrix, and the direction of limited-memory BFGS: numbers only.

Rows are stored one after the other: entries ``starts[i] .. starts[i + 1]`` of ``columns`` and ``values`` are row i.
Sums run in float64 and in one order, whatever the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def rows_times(starts, columns, values, rows, x, out, first, stop):
    """out[rows[k]] = row rows[k] . x for k in first .. stop."""
    for k in range(first, stop):
        i = rows[k]
        c = columns[starts[i] : starts[i + 1]]
        v = values[starts[i] : starts[i + 1]]
        whole = v.shape[0] // 8 * 8
        # eight sums that do not wait for each other
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for j in range(0, whole, 8):
            s0 += v[j] * x[c[j]]
            s1 += v[j + 1] * x[c[j + 1]]
            s2 += v[j + 2] * x[c[j + 2]]
            s3 += v[j + 3] * x[c[j + 3]]
            s4 += v[j + 4] * x[c[j + 4]]
            s5 += v[j + 5] * x[c[j + 5]]
            s6 += v[j + 6] * x[c[j + 6]]
            s7 += v[j + 7] * x[c[j + 7]]
        for j in range(whole, v.shape[0]):
            s0 += v[j] * x[c[j]]
        out[i] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@numba.njit(cache=True, nogil=True)
def add_rows(starts, columns, values, rows, slope, borders, out, first, stop):
    """out[block] = sum of slope[i] times row i over rows[borders[block] .. borders[block + 1]]."""
    for block in range(first, stop):
        own = out[block]
        for j in range(own.shape[0]):
            own[j] = 0.0
        for k in range(borders[block], borders[block + 1]):
            i = rows[k]
            g = slope[i]
            c = columns[starts[i] : starts[i + 1]]
            v = values[starts[i] : starts[i + 1]]
            for j in range(v.shape[0]):
                own[c[j]] += g * v[j]


@numba.njit(cache=True, nogil=True)
def squared_rows(starts, values, out, first, stop):
    """out[i] = (sum of the squares of row i, its lowest entry or 0)."""
    for i in range(first, stop):
        total = 0.0
        lowest = 0.0
        for j in range(starts[i], starts[i + 1]):
            v = values[j]
            total += v * v
            lowest = min(lowest, v)
        out[i, 0] = total
        out[i, 1] = lowest


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def quasi_newton(steps, changes, newest, count, free, gradient, out):
    """out = - H gradient on the free variables, 0 on the others; False where no pair knows a curvature there.

    H from ``count`` pairs (step, change of the gradient) in a ring, the youngest at ``newest``, all cut to the free
    variables (``free`` is 1 there, else 0): the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4).
    """
    size, n = steps.shape
    product = np.zeros(count)
    share = np.zeros(count)
    for i in range(n):
        out[i] = -gradient[i] * free[i]
    scale = 0.0
    for k in range(count):
        s = steps[(newest - k) % size]
        y = changes[(newest - k) % size]
        ss = sy = yy = sq = 0.0
        for i in range(n):
            ss += free[i] * s[i] * s[i]
            sy += free[i] * s[i] * y[i]
            yy += free[i] * y[i] * y[i]
            sq += s[i] * out[i]
        # cut to the free variables a pair may have lost its curvature
        if sy <= 0.0 or sy * sy <= 1e-16 * ss * yy:
            continue
        if scale == 0.0:
            scale = sy / yy
        product[k] = sy
        share[k] = sq / sy
        for i in range(n):
            out[i] -= share[k] * free[i] * y[i]
    if scale == 0.0:
        return False
    for i in range(n):
        out[i] *= scale
    for k in range(count - 1, -1, -1):
        if product[k] > 0.0:
            s = steps[(newest - k) % size]
            y = changes[(newest - k) % size]
            yr = 0.0
            for i in range(n):
                yr += y[i] * out[i]
            factor = share[k] - yr / product[k]
            for i in range(n):
                out[i] += factor * free[i] * s[i]
    return True

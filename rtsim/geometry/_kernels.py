"""Kernels of geometry: exact area coverage of planar polygons under the even-odd rule."""

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def _add_edge(acc, x_a, x_b, height, sign):
    """Add the area right of a straight edge that crosses ``height`` rows-fractions of one row, as a running difference.

    ``acc`` (nx + 1,): after a cumulative sum along x it holds the covered area of each pixel. A piece inside pixel i
    with mean position m in it covers (1 - m) h of pixel i and h of every pixel to the right.
    """
    nx = acc.shape[0] - 1
    lo, hi = min(x_a, x_b), max(x_a, x_b)
    if lo >= nx:
        return
    if hi <= 0.0:
        acc[0] += sign * height
        return
    width = hi - lo
    if width < 1e-12:
        i = min(int(lo), nx - 1)
        m = lo - i
        acc[i] += sign * height * (1.0 - m)
        acc[i + 1] += sign * height * m
        return
    if lo < 0.0:
        acc[0] += sign * height * (-lo / width)
    first = max(math.floor(lo), 0)
    last = min(math.ceil(hi), nx)
    for i in range(first, last):
        left, right = max(lo, float(i)), min(hi, float(i + 1))
        if right <= left:
            continue
        part = height * (right - left) / width
        m = 0.5 * (left + right) - i
        acc[i] += sign * part * (1.0 - m)
        acc[i + 1] += sign * part * m


@njit(cache=True, error_model="numpy")
def _sort_by_x(x0, y0, slope, active, count, y):
    """Insertion sort of the active edges by their x at ``y``; nearly sorted from strip to strip."""
    for i in range(1, count):
        e = active[i]
        x_e = x0[e] + slope[e] * (y - y0[e])
        j = i - 1
        while j >= 0 and x0[active[j]] + slope[active[j]] * (y - y0[active[j]]) > x_e:
            active[j + 1] = active[j]
            j -= 1
        active[j + 1] = e


@njit(cache=True, error_model="numpy")
def _strip(acc, x0, y0, slope, active, count, y_a, y_b):
    """Area of one strip y_a .. y_b in which no edge ends: edges sorted by x carry the signs + - + - (even-odd)."""
    _sort_by_x(x0, y0, slope, active, count, 0.5 * (y_a + y_b))
    sign = 1.0
    for i in range(count):
        e = active[i]
        _add_edge(acc, x0[e] + slope[e] * (y_a - y0[e]), x0[e] + slope[e] * (y_b - y0[e]), y_b - y_a, sign)
        sign = -sign


@njit(cache=True, error_model="numpy")
def _edges_cross(x0, y0, slope, active, count, y_a, y_b):
    """True when two edges of the strip change order between y_a and y_b (the active edges are sorted at the middle)."""
    for i in range(count - 1):
        e, f = active[i], active[i + 1]
        for y in (y_a, y_b):
            if x0[e] + slope[e] * (y - y0[e]) > x0[f] + slope[f] * (y - y0[f]) + 1e-9:
                return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def polygon_coverage(x0, y0, y1, slope, cuts, acc, out):
    """Fraction of each pixel inside a set of closed polygons under the even-odd rule.

    Inside a strip between two cuts the edges are straight and ordered and their area is exact. Where edges cross inside
    a strip it is cut into 16.

    Args:
        x0, y0: lower end of each edge in pixel units, ascending y0; pixel (j, i) spans [i, i+1] x [j, j+1].
        y1, slope: upper end, dx/dy.
        cuts: ascending y of all vertices, held within the rows, and of all sides of rows.
        acc: (ny, nx + 1) float64 zeros, scratch.
        out: (ny, nx) float64, overwritten with coverage 0..1.
    """
    active = np.empty(x0.size, np.int64)
    count, upcoming = 0, 0
    for s in range(cuts.shape[0] - 1):
        y_a, y_b = cuts[s], cuts[s + 1]
        if y_b - y_a < 1e-12:
            continue
        y_mid = 0.5 * (y_a + y_b)
        kept = 0
        for i in range(count):
            if y1[active[i]] > y_mid:
                active[kept] = active[i]
                kept += 1
        count = kept
        while upcoming < y0.size and y0[upcoming] < y_mid:
            if y1[upcoming] > y_mid:
                active[count] = upcoming
                count += 1
            upcoming += 1
        if count == 0:
            continue
        row = acc[int(y_mid)]
        _sort_by_x(x0, y0, slope, active, count, y_mid)
        pieces = 16 if _edges_cross(x0, y0, slope, active, count, y_a, y_b) else 1
        step = (y_b - y_a) / pieces
        for p in range(pieces):
            _strip(row, x0, y0, slope, active, count, y_a + p * step, y_a + (p + 1) * step)
    for j in range(out.shape[0]):
        total = 0.0
        for i in range(out.shape[1]):
            total += acc[j, i]
            out[j, i] = 0.0 if total < 1e-9 else (1.0 if total > 1.0 - 1e-9 else total)

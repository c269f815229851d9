"""Kernels of geometry: exact area coverage of planar polygons under the even-odd rule."""

import math

import numpy as np
from numba import njit


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
def _strip(acc, x0, y0, slope, active, count, y_a, y_b):
    """Area of one strip y_a .. y_b in which no edge ends: edges sorted by x carry the signs + - + - (even-odd)."""
    _sort_by_x(x0, y0, slope, active, count, 0.5 * (y_a + y_b))
    sign = 1.0
    for i in range(count):
        e = active[i]
        _add_edge(acc, x0[e] + slope[e] * (y_a - y0[e]), x0[e] + slope[e] * (y_b - y0[e]), y_b - y_a, sign)
        sign = -sign


@njit(cache=True)
def _edges_cross(x0, y0, slope, active, count, y_a, y_b):
    """True when two edges of the strip change order between y_a and y_b (the active edges are sorted at the middle)."""
    for i in range(count - 1):
        e, f = active[i], active[i + 1]
        for y in (y_a, y_b):
            if x0[e] + slope[e] * (y - y0[e]) > x0[f] + slope[f] * (y - y0[f]) + 1e-9:
                return True
    return False


@njit(cache=True)
def polygon_coverage(px, py, start, out):
    """Fraction of each pixel inside a set of closed polygons under the even-odd rule.

    The plane is cut into strips at every vertex and every pixel row, so that inside a strip the edges are straight and
    ordered and their area is exact. Where edges cross inside a strip it is cut into 16.

    Args:
        px, py: (n,) float64 vertices of all polygons in pixel units; pixel (j, i) spans [i, i+1] x [j, j+1].
        start: (p + 1,) int64: polygon q has the vertices start[q] .. start[q+1].
        out: (ny, nx) float64, overwritten with coverage 0..1.
    """
    ny, nx = out.shape
    n = px.shape[0]
    x0, y0, y1, slope = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    edges = 0
    for q in range(start.shape[0] - 1):
        for v in range(start[q], start[q + 1]):
            w = v + 1 if v + 1 < start[q + 1] else start[q]
            if py[v] == py[w]:
                continue
            a, b = (v, w) if py[v] < py[w] else (w, v)
            x0[edges], y0[edges], y1[edges] = px[a], py[a], py[b]
            slope[edges] = (px[b] - px[a]) / (py[b] - py[a])
            edges += 1
    acc = np.zeros((ny, nx + 1))
    if edges > 0:
        order = np.argsort(y0[:edges])
        cuts = np.sort(np.concatenate((np.clip(py, 0.0, float(ny)), np.arange(ny + 1).astype(np.float64))))
        active = np.empty(edges, dtype=np.int64)
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
            while upcoming < edges and y0[order[upcoming]] < y_mid:
                if y1[order[upcoming]] > y_mid:
                    active[count] = order[upcoming]
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
    for j in range(ny):
        total = 0.0
        for i in range(nx):
            total += acc[j, i]
            out[j, i] = 0.0 if total < 1e-9 else (1.0 if total > 1.0 - 1e-9 else total)

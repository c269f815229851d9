"""Numba kernels of the fluence: how far leaf pairs open each pixel, and what leaves and jaws let through.

Arrays and scalars in, arrays out; lengths mm in the isocenter plane.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True)
def _edge(x, first, step, values):
    """E(x): integral of what is open up to the signed distance x inside of a leaf edge."""
    at = (x - first) / step
    last = values.shape[0] - 1
    if at <= 0.0:
        return 0.0
    if at >= last:
        return values[last] + (at - last) * step
    i = int(at)
    return values[i] + (at - i) * (values[i + 1] - values[i])


@njit(cache=True)
def through_leaves(pairs, units, leak, left, pitch, columns, first, step, values, zones):
    """Sums over apertures of units x transmission: inside of each leaf pair, and between two neighbours.

    Args:
        pairs: (apertures, leaves, 2) edges of the openings.
        units: (apertures,).
        leak: transmission of a closed leaf.
        left, pitch, columns: pixels along x.
        first, step, values: the edge table.
        zones: (2 leaves - 1, columns), out: leaf 0, between 0 and 1, leaf 1, ...
    """
    count, leaves = pairs.shape[0], pairs.shape[1]
    share = np.empty((leaves, columns))
    top = first + step * (values.shape[0] - 1)
    zones[:] = 0.0
    for a in range(count):
        for n in range(leaves):
            low, high = pairs[a, n, 0], pairs[a, n, 1]
            for c in range(columns):
                lower = left + pitch * c
                upper = lower + pitch
                if upper - low <= first or high - lower <= first:
                    share[n, c] = leak
                elif lower - low >= top and high - upper >= top:
                    share[n, c] = 1.0
                else:
                    into = _edge(upper - low, first, step, values) - _edge(lower - low, first, step, values)
                    out = _edge(high - lower, first, step, values) - _edge(high - upper, first, step, values)
                    share[n, c] = leak + (1.0 - leak) * max(0.0, (into + out) / pitch - 1.0)
                zones[2 * n, c] += units[a] * share[n, c]
        for n in range(leaves - 1):
            for c in range(columns):
                zones[2 * n + 1, c] += units[a] * math.sqrt(share[n, c] * share[n + 1, c])


@njit(cache=True)
def through_head(weights, zones, beyond, profile, jaw_x, jaw_y, leak, total):
    """Add (leak + (1 - leak) jaw_x jaw_y) x leaves x profile to ``total``, all (rows, columns).

    The leaves are a mixture of zones (n, columns) by weights (n, rows); what no zone covers lets ``beyond`` through.
    """
    rows, columns = total.shape
    count = zones.shape[0]
    line = np.empty(columns)
    for r in range(rows):
        rest = 1.0
        for n in range(count):
            rest -= weights[n, r]
        for c in range(columns):
            line[c] = rest * beyond
        for n in range(count):
            w = weights[n, r]
            if w > 1e-8:
                zone = zones[n]
                for c in range(columns):
                    line[c] += w * zone[c]
        across = (1.0 - leak) * jaw_y[r]
        for c in range(columns):
            total[r, c] += (leak + across * jaw_x[c]) * line[c] * profile[r, c]


@njit(cache=True)
def _cubic(f):
    """Lagrange weights of four nodes at -1, 0, 1, 2 for 0 <= f < 1."""
    return (
        -f * (f - 1.0) * (f - 2.0) / 6.0,
        (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0,
        -(f + 1.0) * f * (f - 2.0) / 2.0,
        (f + 1.0) * f * (f - 1.0) / 6.0,
    )


@njit(cache=True)
def add_cubic(nodes, per_node, total):
    """Add a coarse map to ``total`` (rows, columns) by cubic interpolation at the middle of each pixel.

    ``nodes`` (j, i) lie every ``per_node`` pixels; the second one on the outer edge of the first pixel, and two lie
    beyond the last pixel.
    """
    rows, columns = total.shape
    line = np.empty(nodes.shape[1])
    phases = np.empty((per_node, 4))
    for n in range(per_node):
        phases[n, 0], phases[n, 1], phases[n, 2], phases[n, 3] = _cubic((n + 0.5) / per_node)
    for r in range(rows):
        j = r // per_node
        w0, w1, w2, w3 = phases[r - j * per_node]
        for n in range(nodes.shape[1]):
            line[n] = w0 * nodes[j, n] + w1 * nodes[j + 1, n] + w2 * nodes[j + 2, n] + w3 * nodes[j + 3, n]
        for phase in range(min(per_node, columns)):
            v0, v1, v2, v3 = phases[phase, 0], phases[phase, 1], phases[phase, 2], phases[phase, 3]
            for i in range((columns - phase - 1) // per_node + 1):
                total[r, i * per_node + phase] += v0 * line[i] + v1 * line[i + 1] + v2 * line[i + 2] + v3 * line[i + 3]

"""Collapsed cone transport in plain NumPy, from Ahnesjo 1989 (Med. Phys. 16, 577, doi 10.1118/1.596360), eqs. 11-14.

One line at a time, one step at a time, in float64. For a term with attenuation a along a step of radiological length
x = a n dl the energy on the line R and the energy released in the step S give

    deposited = R (1 - e^-x) + S (1 - (1 - e^-x)/x),    R <- R e^-x + S (1 - e^-x)/x

Lines start on the lattice of the first plane of the direction's dominant axis and are met by bilinear interpolation
in every further plane. Nothing here is taken from rtsim.
"""

from __future__ import annotations

import itertools

import numpy as np


def transport(
    density: np.ndarray,
    released: list[np.ndarray],
    spacing: tuple[float, float, float],
    directions: np.ndarray,
    exponents: np.ndarray,
    shares: list[np.ndarray],
) -> np.ndarray:
    """Absorbed energy per volume [k, j, i].

    Args:
        density: [k, j, i] relative electron density.
        released: volumes of released energy, one for each set of ``shares``.
        spacing: (x, y, z) cm.
        directions: (n, 3) unit vectors x, y, z. exponents: (n, terms) per cm. shares: (n, terms) each.
    """
    out = np.zeros_like(density)
    for m, direction in enumerate(directions):
        out += _one_direction(density, released, spacing, direction, exponents[m], [s[m] for s in shares])
    return out


def _one_direction(density, released, spacing, direction, exponents, shares):
    axis = int(np.argmax(np.abs(direction) + np.array([0.0, 1e-9, 2e-9])))
    others = [n for n in (0, 1, 2) if n != axis]
    counts = [density.shape[2], density.shape[1], density.shape[0]]
    slopes = [direction[o] / abs(direction[axis]) * spacing[axis] / spacing[o] for o in others]
    length = spacing[axis] / abs(direction[axis])
    planes = range(counts[axis]) if direction[axis] > 0 else range(counts[axis] - 1, -1, -1)
    reach = [int(np.ceil(abs(s) * counts[axis])) + 2 for s in slopes]
    out = np.zeros_like(density)
    for first in itertools.product(
        range(-reach[0], counts[others[0]] + reach[0]), range(-reach[1], counts[others[1]] + reach[1])
    ):
        line = np.zeros(len(exponents))
        for step, plane in enumerate(planes):
            at = [first[n] + step * slopes[n] for n in (0, 1)]
            corners = _corners(at, axis, others, plane, counts)
            n_line = sum(w * density[c] for w, c in corners)
            if n_line <= 0.0:
                continue
            source = sum(
                np.array(share) * sum(w * volume[c] for w, c in corners)
                for share, volume in zip(shares, released, strict=True)
            )
            x = exponents * n_line * length
            gone = -np.expm1(-x)
            mean = gone / x
            deposited = float((line * gone + source * (1.0 - mean)).sum())
            line = line * (1.0 - gone) + source * mean
            for w, c in corners:
                out[c] += deposited * w * density[c] / n_line
    return out


def _corners(at, axis, others, plane, counts):
    """Weights and [k, j, i] of the voxels about a point of a plane; corners outside the grid are left out."""
    low = [int(np.floor(v)) for v in at]
    frac = [v - lo for v, lo in zip(at, low, strict=True)]
    found = []
    for da, db in itertools.product((0, 1), (0, 1)):
        xyz = [0, 0, 0]
        xyz[axis] = plane
        xyz[others[0]], xyz[others[1]] = low[0] + da, low[1] + db
        weight = (frac[0] if da else 1 - frac[0]) * (frac[1] if db else 1 - frac[1])
        if weight > 0.0 and all(0 <= v < n for v, n in zip(xyz, counts, strict=True)):
            found.append((weight, (xyz[2], xyz[1], xyz[0])))
    return found

"""Exponentials for the rings of a kernel: F(r) = sum_k c_k (1 - exp(-a_k r)), linear in c once the a are chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from rtsim.dose.collapsed_cone.mono_kernels import BeamKernels
from rtsim.dose.collapsed_cone.rings import Rings
from rtsim.typing import FloatArray

FAST_RATIO = 4.0
SLOW_RATIO = 2.0
"""Second exponent of a part over the first: powers of two, so that the transport gets exp(-4x) by squaring exp(-x)."""
_FAST_PER_CM = np.geomspace(0.3, 12.0, 150)
_SLOW_PER_CM = np.geomspace(0.01, 0.12, 90)
_BUILD_UP_PER_CM = np.array([1.2, 4.8])
"""Exponents with which the scattered part builds up: electrons that scattered photons set free; they go to the fast
part."""
_EDGES_CM = np.geomspace(0.08, 6.0, 24)
_NEAR_CM = 0.4
_FIELD_WEIGHT = 5.0
_SHORTEST = 1.5


@dataclass(frozen=True, eq=False, kw_only=True)
class RingTerms:
    """Of one part: exponents (rings, 2) per g/cm2 and energies (2, rings, 2) of the soft and hard kernel's terms."""

    exponents_per_cm: FloatArray
    energies: FloatArray


def fit_slow(kernels: BeamKernels, rings: Rings) -> tuple[RingTerms, FloatArray]:
    """The scattered part: two slow terms for each ring, and the (2, angles, 2) energies of its build-up.

    What counts is the dose, not the bare F: in a broad beam attenuated by exp(-m z) a ring at angle theta brings
    G(r) = int_0^r F'(r') exp(m cos(theta) r') dr' to depth r cos(theta), so that far energy counts more than its share.
    A fit of F alone, however close, was wrong by 2 % of the dose in 25 cm of water.
    """
    radius = kernels.radius_edges_cm[1:]
    rows = [rings.sums(s[..., 1]) for s in kernels.sets]
    growth = kernels.attenuation_per_cm * rings.cosine
    mean = kernels.mixed(np.stack(rows))
    curve = _lifted(kernels.radius_edges_cm, mean[:, :-1], growth)
    at_10_cm = curve[:, [int(np.argmin(np.abs(radius - 10.0)))]]
    weight = _log_steps(radius) * np.exp(-radius / 40.0) / (curve + 0.3 * at_10_cm) ** 2
    slow = np.stack([_SLOW_PER_CM, SLOW_RATIO * _SLOW_PER_CM], axis=-1)
    candidates = np.concatenate([np.tile(_BUILD_UP_PER_CM, (slow.shape[0], 1)), slow], axis=1)
    chosen = _best(radius, candidates, curve, mean.sum(axis=1), weight, growth)
    energies = np.stack(
        [
            _fit(
                _basis(radius, candidates[chosen], growth),
                _lifted(kernels.radius_edges_cm, row[:, :-1], growth),
                row.sum(axis=1),
                weight,
            )
            for row in rows
        ]
    )
    build_up = [rings.spread(e[:, :2], s[..., 1].sum(axis=1)) for e, s in zip(energies, kernels.sets, strict=True)]
    return RingTerms(exponents_per_cm=slow[chosen], energies=energies[..., 2:]), np.stack(build_up)


def fit_fast(kernels: BeamKernels, rings: Rings, build_up: FloatArray) -> RingTerms:
    """Primary electrons and the build-up of the scattered part.

    The exponents of a ring are those that fit it best; the energies of all rings are then found together, so that their
    misfits (1 to 3 % of a ring at 6 MV, at 10 MV up to 9 % of the second ring, which holds little energy) cancel in the
    dose of fields: between edges at 0.8 mm to 6 cm distance (square field) and on one side of an edge. What two
    exponentials then cost on the axis is 0.3 % at 6 MV and 1 % at 10 to 15 MV; three (a, 2a, 4a) would cost 0.2 and
    0.4 %.
    """
    radius = kernels.radius_edges_cm[1:]
    curves = np.stack([_fast_curve(kernels, rings, s, build_up[s]) for s in (0, 1)])
    mean = kernels.mixed(curves)
    total = mean[:, -1:]
    # nearer than 4 mm to an edge is penumbra, where a misfit of the dose is a small shift: a twentieth of the weight
    near = np.where(radius > _NEAR_CM / np.sin(rings.theta_rad)[:, None], 1.0, 0.05)
    weight = near * _log_steps(radius) * np.exp(-radius / 40.0) / (mean * total)
    candidates = np.stack([_FAST_PER_CM, FAST_RATIO * _FAST_PER_CM], axis=-1)
    still = np.zeros(rings.count)
    # a slower first term fits the end of the build-up by a tail that electrons do not have
    least = _SHORTEST / np.array([np.interp(0.95, c / c[-1], radius) for c in mean])
    exponents = candidates[_best(radius, candidates, mean, total[:, 0], weight, still, least)]
    return RingTerms(
        exponents_per_cm=exponents,
        energies=np.stack([_together(rings, radius, c, exponents, weight * total**2) for c in curves]),
    )


def _fast_curve(kernels: BeamKernels, rings: Rings, which: int, build_up: FloatArray) -> FloatArray:
    """(rings, radii) cumulative energy of the fast part of the soft or hard kernel."""
    radius = kernels.radius_edges_cm[1:]
    primary = np.cumsum(rings.sums(kernels.sets[which, :, :-1, 0]), axis=1)
    grown = 1.0 - np.exp(-np.outer(_BUILD_UP_PER_CM, radius))
    grown[:, -1] = 1.0
    return np.asarray(primary + rings.sums(build_up) @ grown)


def _together(
    rings: Rings, radius: FloatArray, curve: FloatArray, exponents: FloatArray, weight: FloatArray
) -> FloatArray:
    """(rings, 2) energies for given exponents, by least squares over each ring's (radii,) curve and over fields."""
    total = curve[:, -1]
    matrix, value = np.zeros((2 * _EDGES_CM.size, rings.count)), np.zeros(2 * _EDGES_CM.size)
    rows, values = [], []
    knots = np.append(0.0, radius)
    for m in range(rings.count):
        to_edge = _EDGES_CM[:, None] / (np.sin(rings.theta_rad[m]) * _ACROSS)
        first, second = (1.0 - np.exp(-a * to_edge) for a in exponents[m])
        wanted = PchipInterpolator(knots, np.append(0.0, curve[m]))(np.minimum(to_edge, radius[-1]))
        matrix[:, m] = _by_field(first - second)
        value += _by_field(wanted - total[m] * second)
        first, second = (1.0 - np.exp(-a * radius) for a in exponents[m])
        root = np.sqrt(weight[m])
        row = np.zeros((radius.size, rings.count))
        row[:, m] = (first - second) * root
        rows.append(row)
        values.append((curve[m] - total[m] * second) * root)
    scale = _FIELD_WEIGHT / np.sqrt(_EDGES_CM.size)
    one = np.linalg.lstsq(
        np.concatenate([scale * matrix, *rows]), np.concatenate([scale * value, *values]), rcond=None
    )[0]
    return np.stack([one, total - one], axis=-1)


_AZIMUTHS = (np.arange(12) + 0.5) / 12
_ACROSS = np.cos(np.concatenate([_AZIMUTHS * np.pi / 4.0, _AZIMUTHS * np.pi / 2.0]))
"""Cosines of azimuths from the nearest edge: those of a square field's axis, then those that meet a single edge."""


def _by_field(values: FloatArray) -> FloatArray:
    """(2 edges,) means over the azimuths of a square field, then of a single edge, from (edges, 24)."""
    return np.concatenate([values[:, :12].mean(axis=1), values[:, 12:].mean(axis=1)])


def _log_steps(radius: FloatArray) -> FloatArray:
    """Weights that are equal for equal steps of ln r: every depth is to be right."""
    return np.diff(np.log(radius), prepend=np.log(0.5 * radius[0]))


def _lifted(edges: FloatArray, energy: FloatArray, growth: FloatArray) -> FloatArray:
    """(rings, radii) G from (rings, radii) energy per bin and (rings,) m cos(theta); inside a bin the energy falls as
    exp(-0.04 r), which matters in the wide ones."""
    inner = np.linspace(0.0, 1.0, 21)[1:] - 0.025
    r = edges[:-1, None] + inner * np.diff(edges)[:, None]
    fall = np.exp(-0.04 * r)
    lift = (fall * np.exp(growth[:, None, None] * r)).sum(axis=2) / fall.sum(axis=1)
    return np.cumsum(energy * lift, axis=1)


def _basis(radius: FloatArray, exponents: FloatArray, growth: FloatArray) -> FloatArray:
    """(..., radii, terms) G of 1 - exp(-a r): a/(a - g) (1 - exp(-(a - g) r)); exponents (..., terms), growth (...)."""
    slower = exponents - growth[..., None]
    slower = np.where(np.abs(slower) < 1e-6, 1e-6, slower)[..., None, :]
    return np.asarray(exponents[..., None, :] / slower * (1.0 - np.exp(-radius[:, None] * slower)))


def _fit(basis: FloatArray, curve: FloatArray, total: FloatArray, weight: FloatArray) -> FloatArray:
    """(..., terms) energies of the terms by weighted least squares, their sum being ``total`` (...) exactly."""
    root = np.sqrt(weight)
    difference = (basis[..., :-1] - basis[..., -1:]) * root[..., None]
    turned = np.swapaxes(difference, -1, -2)
    normal = turned @ difference
    # a hair of damping: two candidates may be alike
    damping = 1e-12 * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] * np.eye(normal.shape[-1])
    wanted = (curve - total[..., None] * basis[..., -1]) * root
    first = np.linalg.solve(normal + damping, turned @ wanted[..., None])[..., 0]
    return np.concatenate([first, (total - first.sum(axis=-1))[..., None]], axis=-1)


def _best(
    radius: FloatArray,
    candidates: FloatArray,
    curve: FloatArray,
    total: FloatArray,
    weight: FloatArray,
    growth: FloatArray,
    least: FloatArray | None = None,
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """(rings,) number of the candidate (n, terms) with the least squared residual for each (rings, radii) curve, its
    first exponent being at least (rings,) ``least``."""
    shape = (curve.shape[0], candidates.shape[0])
    basis = _basis(radius, np.broadcast_to(candidates, (*shape, candidates.shape[1])), np.tile(growth, (shape[1], 1)).T)
    curves, weights = (np.broadcast_to(a[:, None], (*shape, radius.size)) for a in (curve, weight))
    energies = _fit(basis, curves, np.broadcast_to(total[:, None], shape), weights)
    residual = (basis @ energies[..., None])[..., 0] - curves
    squares = (residual**2 * weights).sum(axis=-1)
    if least is not None:
        squares[candidates[:, 0] < least[:, None]] = np.inf
    return np.asarray(squares.argmin(axis=1))

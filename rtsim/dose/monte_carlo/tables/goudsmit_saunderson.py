"""The table of multiple scattering angles that the kernel reads, from the series of Goudsmit and Saunderson.

``write_angle_table`` makes data/goudsmit_saunderson.npz (about five seconds).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import k1

from rtsim.dose.monte_carlo._kernels.scattering import (
    BEND,
    COLLISION_NODES,
    COLLISION_STEP,
    HALF_WIDTH,
    KNEE,
    QUANTILES,
    WIDTH_NODES,
    WIDTH_STEP,
    width_over_screening,
)
from rtsim.typing import Float32Array, FloatArray

ANGLE_TABLE = Path(__file__).parent.parent / "data" / "goudsmit_saunderson.npz"

FEWEST_COLLISIONS = 1.0e-6
LEAST_WIDTH = 1.0e-4
"""Nodes of 0 are computed here; what they hold has converged to its limit (in the width, to 1e-4)."""
_ANGLES = 161
_NEGLIGIBLE = 1.0e-15


def odds_ratios(collisions: float, width: float) -> FloatArray:
    """One row of the table: r at the QUANTILES probabilities, for two or more collisions.

    The probability of an angle beyond xi is the series, integrated term by term: T = (1 + x)/2 + sum F_l (P_(l+1)(x) -
    P_(l-1)(x))/2 with x = 1 - xi. r = u/(1 - u) T/(1 - T), by a cubic spline in 1 - T; its limits at 0 and 1 follow
    from the densities forward and backward.

    Args:
        collisions: mean number of collisions k, above 0.
        width: a, above 0; the screening follows as a / width_over_screening(k).
    """
    eta = width / width_over_screening.py_func(collisions, np.log1p(collisions / KNEE))
    moments = scattered_moments(collisions, eta)
    order = np.arange(moments.size)
    forward = float(((order + 0.5) * moments).sum())
    backward = float(((order + 0.5) * moments * (1.0 - 2.0 * (order % 2))).sum())
    u = 0.5 - 0.5 * np.cos(np.pi * np.linspace(0.0, 1.0, _ANGLES))[1:-1]
    beyond = _beyond(2.0 * width * u / (1.0 + width - u), moments)
    ratio = u / (1.0 - u) * beyond / (1.0 - beyond)
    probability = np.concatenate([[0.0], 1.0 - beyond, [1.0]])
    ends = (1.0 + width) / (2.0 * width * forward), 2.0 * (1.0 + width) / width * backward
    spline = CubicSpline(probability, np.concatenate([[ends[0]], ratio, [ends[1]]]))
    bent = np.linspace(0.0, 1.0, QUANTILES)
    return np.asarray(spline((1.0 + BEND) * bent / (BEND + bent)))


def angle_table() -> Float32Array:
    """The whole table, float32 [COLLISION_NODES, WIDTH_NODES, QUANTILES]."""
    table = np.empty((COLLISION_NODES, WIDTH_NODES, QUANTILES), dtype=np.float32)
    for i in range(COLLISION_NODES):
        for j in range(WIDTH_NODES):
            table[i, j] = odds_ratios(*node(i, j))
    return table


def node(i: int, j: int) -> tuple[float, float]:
    """Collisions and width of the row [i, j] of the table."""
    share = j * WIDTH_STEP
    return (
        max(KNEE * float(np.expm1(i * COLLISION_STEP)), FEWEST_COLLISIONS),
        max(HALF_WIDTH * share / (1.0 - share), LEAST_WIDTH),
    )


def write_angle_table(path: Path = ANGLE_TABLE) -> None:
    """Compute the table and write it."""
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, odds_ratio=angle_table())


def scattered_moments(collisions: float, eta: float) -> FloatArray:
    """Legendre moments F_l = <P_l> of the angle after two or more collisions, (l,) until they are negligible.

    F_l = sum over n >= 2 of the Poisson probabilities of n collisions times g_l^n, over their sum.
    """
    lost = transport_moments(eta, _orders(collisions, eta))
    g = 1.0 - lost
    if collisions < 1.0:
        return np.asarray(g * g * _two_or_more(collisions * g) / _two_or_more(np.array(collisions)))
    none = np.exp(-collisions)
    several = np.exp(-collisions * lost) - none * (1.0 + collisions * g)
    x = np.minimum(collisions * g, 1.0)
    few = none * x * x * _two_or_more(x)
    return np.asarray(np.where(collisions * g < 1.0, few, several) / (1.0 - none * (1.0 + collisions)))


def transport_moments(eta: float, orders: int) -> FloatArray:
    """1 - g_l = <1 - P_l> of one collision, l = 0 .. orders; the first is ``first_moment(eta)``.

    From f(x) = 2 eta (1 + eta) / (z - x)^2, z = 1 + 2 eta, and the integral of P_l(x)/(z - x), 2 Q_l(z) (Neumann),
    g_l = -4 eta (1 + eta) Q_l'(z) = l (Q_(l-1) - z Q_l). Where g_l falls by little the recurrence l D_(l+1) = (2 l + 1)
    (z D_l - 2 eta) - (l + 1) D_(l-1) of D_l = 1 - g_l runs upwards, which keeps the digits of a small D_l; else that of
    Q_l runs downwards from where it is nothing (Miller).
    """
    z = 1.0 + 2.0 * eta
    logarithm = float(np.log1p(1.0 / eta))
    if 2.0 * orders * np.sqrt(eta) < 3.0:
        lost = [0.0, 2.0 * eta * ((1.0 + eta) * logarithm - 1.0)]
        for order in range(1, orders):
            lost.append(((2 * order + 1) * (z * lost[order] - 2.0 * eta) - (order + 1) * lost[order - 1]) / order)
        return np.array(lost)
    beyond, value, q = 0.0, 1.0, np.empty(orders + 1)
    for order in range(orders + int(10.0 / np.sqrt(eta)) + 50, 0, -1):
        beyond, value = value, ((2 * order + 1) * z * value - (order + 1) * beyond) / order
        if value > 1.0e200:
            beyond, value = beyond * 1.0e-200, value * 1.0e-200
            q[order:] *= 1.0e-200
        if order <= orders + 1:
            q[order - 1] = value
    q *= 0.5 * logarithm / q[0]
    return np.concatenate([[0.0], 1.0 - np.arange(1, orders + 1) * (q[:-1] - z * q[1:])])


def _orders(collisions: float, eta: float) -> int:
    """Orders that the series needs, from the moments at small angles g = y K1(y), y = (2 l + 1) sqrt(eta)."""
    order = np.geomspace(1.0, 3.0e5, 2000)
    y = (2.0 * order + 1.0) * np.sqrt(eta)
    g = np.minimum(y * k1(y), 1.0)
    if collisions < 300.0:
        size = _two_or_more(collisions * g) / _two_or_more(np.array(collisions)) * g * g
    else:
        size = np.exp(-collisions * (1.0 - g))
    above = np.nonzero((2.0 * order + 1.0) * size > _NEGLIGIBLE)[0]
    return int(order[min(above[-1] + 1, order.size - 1)]) + 30


def _two_or_more(x: FloatArray) -> FloatArray:
    """(exp(x) - 1 - x) / x^2, by its series below 1."""
    term = np.full(x.shape, 0.5)
    small = np.minimum(x, 1.0)
    series = np.zeros(x.shape)
    for n in range(3, 22):
        series = series + term
        term = term * small / n
    large = np.maximum(x, 1.0)
    return np.asarray(np.where(x < 1.0, series, (np.expm1(large) - large) / large**2))


def _beyond(xi: FloatArray, moments: FloatArray) -> FloatArray:
    """Probability (n,) of an angle beyond ``xi`` (n,)."""
    x = 1.0 - xi
    total = 0.5 * (1.0 + x)
    previous, current = np.ones_like(x), x
    for order in range(1, moments.size):
        following = ((2 * order + 1) * x * current - order * previous) / (order + 1)
        total += 0.5 * moments[order] * (following - previous)
        previous, current = current, following
    return np.asarray(total)

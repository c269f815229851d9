"""Angles after many collisions with the screened Rutherford cross section: Legendre series, and collision by collision.

From Goudsmit & Saunderson 1940 (Phys. Rev. 57, 24): if <P_l> of one collision is g_l and the number of collisions is
Poisson with mean k, then <P_l> of the sum is exp(-k (1 - g_l)), for every law of one collision. Here the density of
one is 2 eta (1 + eta) / (xi + 2 eta)^2, xi = 1 - cos(theta), and g_l is integrated numerically. Nothing is taken from
rtsim.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_PANELS = 200
_NODES = 24


@cache
def collision_moments(eta: float, orders: int) -> np.ndarray:
    """<P_l> of one collision, l = 0 .. orders, by Gauss-Legendre panels uniform in ln(xi + 2 eta)."""
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    edges = np.linspace(np.log(2.0 * eta), np.log(2.0 + 2.0 * eta), _PANELS + 1)
    half = 0.5 * np.diff(edges)[:, None]
    shifted = np.exp(edges[:-1, None] + half * (node + 1.0))
    share = (half * weight * 2.0 * eta * (1.0 + eta) / shifted).ravel()
    x = 1.0 - (shifted.ravel() - 2.0 * eta)
    return np.array([(share * p).sum() for p in _legendre(x, orders)])


def moment(order: int, collisions: float, eta: float) -> float:
    """<P_l> after ``collisions``: <cos(theta)> for order 1."""
    return float(np.exp(-collisions * (1.0 - collision_moments(eta, 2)[order])))


def beyond(xi: np.ndarray, collisions: float, eta: float, orders: int) -> np.ndarray:
    """Probability of two or more collisions and 1 - cos(theta) > xi, over that of two or more collisions.

    Term by term the integral of (2 l + 1)/2 F_l P_l(x) from x = -1 to 1 - xi, F_l = sum_(n >= 2) p_n g_l^n / sum p_n.
    """
    g = collision_moments(eta, orders)
    none = np.exp(-collisions)
    scattered = (np.exp(-collisions * (1.0 - g)) - none * (1.0 + collisions * g)) / (1.0 - none * (1.0 + collisions))
    assert abs(scattered[-1]) * orders < 1e-7, "the series needs more orders"
    x = 1.0 - xi
    p = _legendre(x, orders)
    total = 0.5 * (1.0 + x)
    previous, current = next(p), next(p)
    for order in range(1, orders):
        following = next(p)
        total = total + 0.5 * scattered[order] * (following - previous)
        previous, current = current, following
    return total


def one_by_one(collisions: float, eta: float, histories: int, rng: np.random.Generator) -> np.ndarray:
    """1 - cos(theta) of ``histories`` electrons that are turned collision by collision."""
    count = rng.poisson(collisions, histories)
    cosine = np.ones(histories)
    for n in range(int(count.max())):
        u = rng.random(histories)
        turn = 1.0 - 2.0 * eta * u / (1.0 - u + eta)
        azimuth = np.cos(2.0 * np.pi * rng.random(histories))
        turned = cosine * turn + np.sqrt(np.maximum((1.0 - cosine**2) * (1.0 - turn**2), 0.0)) * azimuth
        cosine = np.where(n < count, turned, cosine)
    return 1.0 - cosine


def _legendre(x: np.ndarray, orders: int):
    """P_0(x) .. P_orders(x) one after the other (Bonnet)."""
    previous, current = np.ones_like(x), x
    yield previous
    yield current
    for order in range(1, orders):
        previous, current = current, ((2 * order + 1) * x * current - order * previous) / (order + 1)
        yield current

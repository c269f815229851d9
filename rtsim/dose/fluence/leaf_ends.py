"""Rounded leaf ends: where the shadow of a leaf begins, and how its tip fades into the open beam.

A leaf end is a circle of radius R in the plane of target and leaf, its center at the distance D below the target. In
the isocenter plane (SAD) a ray at X has the slope tan(theta) = X/SAD.

Shadow (Boyer and Li 1997, doi 10.1118/1.598026). The tangent from the target to the circle, not the apex of the tip,
bounds the shadow. A leaf on the negative side whose apex projects to x0 has X = x0 + R (SAD/D) (sec(theta) - 1): its
shadow passes the apex on either side of the axis. Most machines linearize this by a table, so that a leaf position *is*
the tangent (``leaf_position`` "light_field").

Tip. A ray that meets the circle p inside of the tangent runs through a chord of 2 sqrt(2 R p) and is let through by
exp(-2 mu sqrt(2 R p)): with u = p projected to the isocenter plane, t(u) = exp(-sqrt(u/u0)), down to the transmission
of the leaf. The length u0 would follow from mu and R; it is taken from the dosimetric leaf gap, which is measured: the
width that both tips let through beyond the leaf's transmission is the gap. Off the axis du/dp grows by
D/(cos(theta) (D - R sin(theta))) for a leaf on the negative side, and the width with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from rtsim.machine.model import MultileafCollimator
from rtsim.typing import FloatArray

_STEP_MM: Final = 0.01
_SIGMAS: Final = 8.0
_LEAST_TRANSMISSION: Final = 1e-3
"""A tip is followed down to this where a leaf is said to let less through."""


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """The integral E(x) of what is open up to the signed distance x inside of a leaf position, blurred by the source.

    Attributes:
        first_mm: x of values[0]; E = 0 below it.
        step_mm: of x.
        values: (n,) E in mm; beyond its end E grows by 1 per mm.
    """

    first_mm: float
    step_mm: float
    values: FloatArray


@dataclass(frozen=True)
class Tip:
    """t(u) = (exp(-sqrt(u/u0)) - leak)/(1 - leak) for 0 <= u <= reach, 0 beyond; ``length_mm`` is u0, mm at isocenter.

    Its integral is half of the dosimetric leaf gap.
    """

    length_mm: float
    reach_mm: float
    leak: float

    @classmethod
    def of(cls, mlc: MultileafCollimator) -> Tip:
        """The tip of a collimator on the axis; of no length for flat ends or without a gap."""
        leak = min(max(mlc.transmission, _LEAST_TRANSMISSION), 0.5)
        if mlc.leaf_end_radius_mm == 0.0 or mlc.dosimetric_leaf_gap_mm == 0.0:
            return cls(0.0, 0.0, leak)
        v = -math.log(leak)
        width_per_length = 2.0 * (1.0 - leak * (1.0 + v + 0.5 * v * v)) / (1.0 - leak)
        length = 0.5 * mlc.dosimetric_leaf_gap_mm / width_per_length
        return cls(length, length * v * v, leak)

    def open_below(self, x_mm: FloatArray) -> FloatArray:
        """int t up to the signed distance x inside of the edge (negative: under the leaf), in mm."""
        if self.length_mm == 0.0:
            return np.maximum(x_mm, 0.0)
        most = math.sqrt(self.reach_mm / self.length_mm)
        v = np.sqrt(np.clip(-x_mm / self.length_mm, 0.0, most * most))
        tail = 2.0 * ((1.0 + v) * np.exp(-v) - (1.0 + most) * self.leak) - self.leak * (most * most - v * v)
        return np.asarray(self.length_mm * tail / (1.0 - self.leak) + np.maximum(x_mm, 0.0))


@lru_cache(maxsize=64)
def edge_table(mlc: MultileafCollimator, sigma_mm: float) -> EdgeTable:
    """The edge of a leaf end on the axis, blurred by ``sigma_mm`` (one standard deviation in the isocenter plane)."""
    tip = Tip.of(mlc)
    flat = 0.5 * mlc.dosimetric_leaf_gap_mm if tip.length_mm == 0.0 else 0.0  # drawn back by half of the gap
    margin = _SIGMAS * sigma_mm + 2.0 * _STEP_MM
    below = math.ceil((tip.reach_mm + flat + margin) / _STEP_MM)
    above = math.ceil(margin / _STEP_MM)
    x = _STEP_MM * np.arange(-below, above + 1, dtype=np.float64)
    values = tip.open_below(x + flat)
    if sigma_mm > 0.0:
        pad = math.ceil(margin / _STEP_MM)
        wide = np.concatenate([np.zeros(pad), values, values[-1] + _STEP_MM * np.arange(1, pad + 1)])
        values = gaussian_filter1d(wide, sigma_mm / _STEP_MM, truncate=_SIGMAS)[pad:-pad]
    values = np.maximum(values, 0.0)
    values.flags.writeable = False
    return EdgeTable(float(x[0]), _STEP_MM, values)


def tangent_offset_mm(mlc: MultileafCollimator, sad_mm: float, tangent_mm: FloatArray) -> FloatArray:
    """R (SAD/D) (sec(theta) - 1): how far the shadow at ``tangent_mm`` (isocenter plane) passes the projected apex."""
    secant = np.hypot(1.0, tangent_mm / sad_mm)
    return np.asarray(mlc.leaf_end_radius_mm * (sad_mm / mlc.distance_mm) * (secant - 1.0))


def shadow_edges_mm(mlc: MultileafCollimator, sad_mm: float, leaf_pairs_mm: FloatArray) -> FloatArray:
    """(n, 2) left and right edge of the opening, between which (and half of the gap beyond) a pair transmits.

    The tangents to the rounded ends, less the growth of the tip's width off the axis.
    """
    if mlc.leaf_end_radius_mm == 0.0:
        return leaf_pairs_mm
    mirror = np.array([1.0, -1.0])
    own = leaf_pairs_mm * mirror  # every leaf as one on the negative side
    if mlc.leaf_position == "tip":
        own = _tangent_of_tip_mm(mlc, sad_mm, own)
    radius, distance = mlc.leaf_end_radius_mm, mlc.distance_mm
    secant = np.hypot(1.0, own / sad_mm)
    growth = distance * secant / (distance - radius * own / sad_mm / secant) - 1.0
    return np.asarray((own - 0.5 * mlc.dosimetric_leaf_gap_mm * growth) * mirror)


def _tangent_of_tip_mm(mlc: MultileafCollimator, sad_mm: float, tip_mm: FloatArray) -> FloatArray:
    """The tangent from the target to a circle whose apex projects to ``tip_mm`` (leaf on the negative side), exactly.

    With the center at (c, D): D sin(theta) - c cos(theta) = R, hence theta = atan(c/D) + asin(R/hypot(c, D)).
    """
    center = tip_mm * mlc.distance_mm / sad_mm - mlc.leaf_end_radius_mm
    theta = np.arctan2(center, mlc.distance_mm) + np.arcsin(mlc.leaf_end_radius_mm / np.hypot(center, mlc.distance_mm))
    return np.asarray(sad_mm * np.tan(theta))

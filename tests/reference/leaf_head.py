"""Leaves by tracing rays: the slow way that the closed forms of ``rtsim.dose.fluence.leaf_ends`` are held against."""

from __future__ import annotations

import numpy as np


def chord_mm(x_mm: np.ndarray, tip_mm: float, *, radius_mm: float, distance_mm: float, sad_mm: float) -> np.ndarray:
    """Path of the ray through x (isocenter plane) inside a leaf from the left whose end is a circle, tip at ``tip_mm``.

    The leaf is the circle and everything to the left of it; stepped along the ray in the leaf's plane (0.02 mm), thick
    enough that its faces do not matter.
    """
    center = tip_mm * distance_mm / sad_mm - radius_mm
    z = np.arange(distance_mm - radius_mm, distance_mm + radius_mm, 0.02) + 0.01
    out = np.empty(x_mm.size)
    for n, x in enumerate(x_mm):
        at = x * z / sad_mm
        end = center + np.sqrt(np.maximum(radius_mm**2 - (z - distance_mm) ** 2, 0.0))
        out[n] = 0.02 * float((at < end).sum()) * float(np.hypot(1.0, x / sad_mm))
    return out


def strip_transmission(
    y_mm: float, x_mm: float, leaves: np.ndarray, sides: np.ndarray, width_mm: float, t: float
) -> float:
    """Two half-thick layers, t^(1/2) each: one reaches half a strip beyond its side of the leaf, one on the other.

    Every leaf (row of ``leaves``: left, right end) is a lower layer from its lower side - w/2 to its upper side - w/2
    and an upper layer from its lower side + w/2 to its upper side + w/2: tongue and groove.
    """
    layers = 1.0
    for shift in (-0.5 * width_mm, 0.5 * width_mm):
        for n, (left, right) in enumerate(leaves):
            low = sides[n] + (shift if n > 0 else 0.0)
            high = sides[n + 1] + (shift if n + 1 < len(leaves) else 0.0)
            if low <= y_mm < high and not left < x_mm < right:
                layers *= np.sqrt(t)
    return float(layers)

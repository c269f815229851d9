"""Helpers for apertures: rectangles, limits of the machine, and how much of each beamlet an aperture opens."""

from __future__ import annotations

import numpy as np

from rtsim.beams.model import Aperture, Beamlets
from rtsim.errors import MachineLimitError
from rtsim.machine.model import Machine
from rtsim.typing import FloatArray

_TOLERANCE_MM = 1e-6
_PARK_MM = 10.0

Pair = tuple[float, float]


def rectangular_aperture(machine: Machine, *, x_mm: tuple[float, float], y_mm: tuple[float, float]) -> Aperture:
    """A rectangular opening, jaws and leaves (where the machine has them) at the same place.

    Leaves that meet the rectangle open to ``x_mm``; the others are closed and parked under a jaw.

    Raises:
        MachineLimitError: beyond the largest field.
    """
    leaves = None
    if machine.mlc is not None:
        edges = machine.leaf_edges_mm
        open_pairs = (edges[1:] > y_mm[0] + _TOLERANCE_MM) & (edges[:-1] < y_mm[1] - _TOLERANCE_MM)
        leaves = parked_leaves(machine, x_mm)
        leaves[open_pairs] = x_mm
    aperture = Aperture(jaws_x_mm=x_mm, jaws_y_mm=y_mm, leaf_pairs_mm=leaves)
    check_aperture(aperture, machine)
    return aperture


def parked_leaves(machine: Machine, jaws_x_mm: tuple[float, float]) -> FloatArray:
    """(n, 2) every leaf pair closed (to its smallest gap) beside the opening of the x jaws, under the nearer free jaw.

    A closed pair leaks between its rounded ends; 10 mm outside of the opening a jaw stops that. Where an opening is too
    wide for that, they stand as far from its edge as the leaves of one bank can be apart; and where it is wider than
    twice as much, they are as narrow as they can be.
    """
    mlc = machine.mlc
    if mlc is None:
        raise MachineLimitError(f"{machine.name} has no multileaf collimator")
    gap, limit = mlc.min_gap_mm, mlc.max_position_mm
    left = jaws_x_mm[1] + _PARK_MM
    if left + gap > limit:
        left = max(-limit, jaws_x_mm[0] - _PARK_MM - gap)
    right = left + gap
    if mlc.max_leaf_span_mm is not None:
        farthest, nearest = jaws_x_mm[0] + mlc.max_leaf_span_mm, jaws_x_mm[1] - mlc.max_leaf_span_mm
        left = min(max(left, nearest - gap), farthest)
        right = max(left + gap, nearest)
    return np.tile([left, right], (mlc.leaf_count, 1))


def reachable_jaws(machine: Machine, x_mm: Pair, y_mm: Pair) -> tuple[Pair, Pair]:
    """The jaws (x, y) opened to where each can cross the midline; what they open then, leaves must cover."""
    jaws = machine.jaws
    found = []
    for (low, high), over in zip((x_mm, y_mm), (None, None) if jaws is None else jaws.overtravel_mm, strict=True):
        found.append((low, high) if over is None else (min(low, over), max(high, -over)))
    return found[0], found[1]


def check_aperture(aperture: Aperture, machine: Machine) -> None:
    """Refuse an aperture that the machine cannot set.

    Raises:
        MachineLimitError: jaws or leaves beyond their limits, leaf pairs closer than the smallest gap, leaf pairs of
            another collimator.
    """
    half = machine.max_field_mm / 2 if machine.jaws is None else min(machine.max_field_mm / 2, machine.jaws.limit_mm)
    for name, pair in (("jaws_x_mm", aperture.jaws_x_mm), ("jaws_y_mm", aperture.jaws_y_mm)):
        if max(abs(pair[0]), abs(pair[1])) > half + _TOLERANCE_MM:
            raise MachineLimitError(f"{name} is {pair}; the jaws of {machine.name} reach -{half:g} to {half:g} mm")
    leaves = aperture.leaf_pairs_mm
    if leaves is None:
        return
    count = 0 if machine.mlc is None else machine.mlc.leaf_count
    if machine.mlc is None or leaves.shape[0] != count:
        raise MachineLimitError(f"{leaves.shape[0]} leaf pairs are given; {machine.name} has {count}")
    limit, gap = machine.mlc.max_position_mm, machine.mlc.min_gap_mm
    beyond = np.flatnonzero(np.abs(leaves).max(axis=1) > limit + _TOLERANCE_MM)
    if beyond.size:
        i = int(beyond[0])
        raise MachineLimitError(
            f"leaf pair {i} stands at {leaves[i, 0]:g} and {leaves[i, 1]:g} mm; the leaves of "
            f"{machine.name} reach -{limit:g} to {limit:g} mm"
        )
    narrow = np.flatnonzero(leaves[:, 1] - leaves[:, 0] < gap - _TOLERANCE_MM)
    if narrow.size:
        i = int(narrow[0])
        raise MachineLimitError(
            f"leaf pair {i} leaves a gap of {leaves[i, 1] - leaves[i, 0]:g} mm; the smallest gap "
            f"of {machine.name} is {gap:g} mm"
        )


def beamlet_opening(aperture: Aperture, beamlets: Beamlets, machine: Machine) -> FloatArray:
    """Fraction (n,) of the area of each beamlet that the aperture opens, exact: sums of products of 1-D overlaps.

    Geometric: no transmission, no leaf gap, no penumbra.

    Raises:
        MachineLimitError: the leaf pairs are not those of the machine.
    """
    x0, x1 = beamlets.center_x_mm - beamlets.width_x_mm / 2, beamlets.center_x_mm + beamlets.width_x_mm / 2
    y0, y1 = beamlets.center_y_mm - beamlets.width_y_mm / 2, beamlets.center_y_mm + beamlets.width_y_mm / 2
    leaves = aperture.leaf_pairs_mm
    if leaves is None:
        left, right = np.array([aperture.jaws_x_mm[0]]), np.array([aperture.jaws_x_mm[1]])
        low, high = np.array([aperture.jaws_y_mm[0]]), np.array([aperture.jaws_y_mm[1]])
    else:
        edges = machine.leaf_edges_mm
        if leaves.shape[0] != edges.size - 1 or machine.mlc is None:
            raise MachineLimitError(
                f"{leaves.shape[0]} leaf pairs are given; {machine.name} has "
                f"{0 if machine.mlc is None else machine.mlc.leaf_count}"
            )
        left = np.maximum(leaves[:, 0], aperture.jaws_x_mm[0])
        right = np.minimum(leaves[:, 1], aperture.jaws_x_mm[1])
        low, high = np.maximum(edges[:-1], aperture.jaws_y_mm[0]), np.minimum(edges[1:], aperture.jaws_y_mm[1])
    open_x = np.clip(np.minimum(x1[:, None], right) - np.maximum(x0[:, None], left), 0.0, None)
    open_y = np.clip(np.minimum(y1[:, None], high) - np.maximum(y0[:, None], low), 0.0, None)
    return np.asarray((open_x * open_y).sum(axis=1) / (beamlets.width_x_mm * beamlets.width_y_mm))

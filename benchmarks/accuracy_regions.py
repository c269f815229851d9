"""Which depths of a Monte Carlo case are judged and by how much, and what of a deviation the reference's noise is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import erf

from benchmarks.compare import AxisCurve
from benchmarks.reference_cases import ReferenceCase
from rtsim.typing import BoolArray, FloatArray

DEEPEST_MM: Final = 250.0
"""The axis is judged to here: behind lies what the missing scatter of the phantom's far side reaches."""
SKIN_MM: Final = 17.0
"""Build-up of a case on a CT, where no maximum can be fitted: just behind that of every 6 MV field in water."""
INTERFACE_MM: Final = 2.0
BEHIND_ROD_MM: Final = 10.0
AROUND_ROD_MM: Final = 5.0
SMOOTHED_OVER_MM: Final = 20.0
_MAXIMUM_BETWEEN_MM: Final = (8.0, 26.0)
"""Where the README of the reference fits a cubic to find the maximum."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Region:
    """Some depths of an axis.

    Attributes:
        name: appended to the case's name in the table; empty for the only one.
        selected: (n,) which depths of the curve.
        goal_percent: largest deviation allowed in a single voxel; None = reported, not judged.
    """

    name: str
    selected: BoolArray
    goal_percent: float | None


def regions(case: ReferenceCase, curve: AxisCurve) -> tuple[Region, ...]:
    """The regions of a case, the judged ones first, as the accuracy goals name them."""
    depth = curve.depth_mm
    beyond = (depth > (SKIN_MM if case.is_ct else maximum_mm(curve))) & (depth < DEEPEST_MM)
    side = case.field_mm
    if case.is_ct:
        return (Region(name="", selected=beyond, goal_percent=2.0),)
    if not case.interfaces_mm:
        return (Region(name="", selected=beyond, goal_percent=1.0 if side >= 30.0 else 1.5),)
    first, last = case.interfaces_mm[0], case.interfaces_mm[-1]
    before, behind = beyond & (depth < first), beyond & (depth > last)
    inside = beyond & (depth > first) & (depth < last)
    if "lung" in case.name:
        in_lung = 2.5 if side >= 100.0 else (4.0 if side >= 30.0 else 5.0)
        return (
            Region(name="in lung", selected=inside, goal_percent=in_lung),
            Region(name="behind", selected=behind, goal_percent=2.0),
            Region(name="before", selected=before, goal_percent=None),
        )
    if "tirod" in case.name:
        near = (depth > first - AROUND_ROD_MM) & (depth < last + AROUND_ROD_MM)
        return (
            Region(name="behind", selected=beyond & (depth > last + BEHIND_ROD_MM), goal_percent=2.0),
            Region(name="interface", selected=near, goal_percent=None),
            Region(name="before", selected=before & ~near, goal_percent=None),
        )
    away = np.asarray(beyond & (distance_mm(curve, case.interfaces_mm) > INTERFACE_MM))
    return (
        Region(name="", selected=away, goal_percent=2.0),
        Region(name="interface", selected=np.asarray(beyond & ~away), goal_percent=None),
    )


def maximum_mm(curve: AxisCurve) -> float:
    """Depth of the reference's maximum: a cubic fit, as in its README."""
    near = (curve.depth_mm > _MAXIMUM_BETWEEN_MM[0]) & (curve.depth_mm < _MAXIMUM_BETWEEN_MM[1])
    fit = np.polynomial.Polynomial.fit(curve.depth_mm[near], curve.reference[near], 3)
    fine = np.linspace(*_MAXIMUM_BETWEEN_MM, 1801)
    return float(fine[np.argmax(fit(fine))])


def distance_mm(curve: AxisCurve, edges_mm: tuple[float, ...]) -> FloatArray:
    """(n,) distance of each depth from the nearest of some edges."""
    return np.asarray(np.abs(curve.depth_mm[:, None] - np.array(edges_mm)[None, :]).min(axis=1))


def smoothed_percent(curve: AxisCurve, selected: BoolArray, edges_mm: tuple[float, ...]) -> FloatArray:
    """Deviation where selected, each a mean (weights 1/sigma^2) over 2 cm of selected depths between the same edges.

    Noise of single voxels goes, what the engine does wrong over a centimeter stays.
    """
    depth, weight = curve.depth_mm[selected], curve.sigma[selected] ** -2.0
    layer = np.searchsorted(np.array(edges_mm), depth)
    together = np.abs(depth[:, None] - depth[None, :]) <= SMOOTHED_OVER_MM / 2
    weights = together * (layer[:, None] == layer[None, :]) * weight[None, :]
    return np.asarray(weights @ curve.deviation_percent(selected) / weights.sum(axis=1))


def noise_maximum_percent(sigma: FloatArray) -> float:
    """Largest deviation to be expected of a perfect dose: mean of max |N(0, sigma_i)| over voxels taken as independent.

    E[max] = int_0^inf (1 - prod_i erf(t / (sigma_i sqrt 2))) dt. Neighboring depths share histories: for them all to
    be off by one sigma together is as likely as for one of them.
    """
    t = np.linspace(0.0, 6.0 * float(sigma.max()), 4001)
    below = np.exp(np.log(np.maximum(erf(t[1:, None] / (sigma[None, :] * np.sqrt(2.0))), 1e-300)).sum(axis=1))
    return float(100.0 * (t[1] - t[0]) * (0.5 + (1.0 - below).sum()))

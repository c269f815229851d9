"""How far a machine is from a measured curve: what is printed, and held against tolerances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.commission.edges import find_edges, width_mm
from rtsim.commission.measured import Axis, DepthDose, OutputFactors, Profile
from rtsim.commission.model import Curve, best_scale, beyond_maximum, values_of
from rtsim.errors import InputError
from rtsim.typing import FloatArray

# Tolerances of a beam model for open fields in water: Venselaar 2001, doi:10.1016/S0167-8140(01)00377-2, table 2
# (homogeneous, simple geometry) [M]
AXIS_PERCENT: Final = 2.0
"""delta 1: on the axis beyond the maximum, and output factors; of the local dose."""
EDGE_MM: Final = 2.0
"""delta 2: build-up and penumbra, as a distance."""
BUILD_UP_PERCENT: Final = 10.0
"""delta 2: the same, as a dose (of the maximum)."""
IN_FIELD_PERCENT: Final = 3.0
"""delta 3: inside the field off the axis; of the local dose."""
OUTSIDE_PERCENT: Final = 3.0
"""delta 4: outside the field; of the dose on the axis at this depth."""


@dataclass(frozen=True, kw_only=True)
class CurveResidual:
    """One curve: the fitted machine beside the measurement. Deviations are machine - measured; None: does not apply.

    Attributes:
        curve: its name.
        max_percent, mean_percent: depth dose beyond the maximum, inside a profile (80 % of its width), output factors;
            ``max`` is the largest in size, with its sign.
        build_up_percent: largest in front of the maximum, in percent of it; where ``build_up_mm`` is smaller, that
            counts.
        build_up_mm: the same as a distance along the curve.
        edge_mm: larger shift of the two edges (positive: the machine's field is wider there).
        penumbra_mm: 80-20 % width, machine minus measured, mean of both edges.
        outside_percent: largest outside the field, in percent of the dose on the axis.
        met: within the tolerances above.
    """

    curve: str
    max_percent: float
    mean_percent: float
    build_up_percent: float | None = None
    build_up_mm: float | None = None
    edge_mm: float | None = None
    penumbra_mm: float | None = None
    outside_percent: float | None = None
    met: bool = True


def curve_residuals(curve: Curve, predicted: FloatArray) -> CurveResidual:
    """Compare a prediction (any scale) with a curve; depth doses and profiles are laid on each other by their fit."""
    scaled = best_scale(curve, predicted) * predicted
    if isinstance(curve, DepthDose):
        return _depth_dose(curve, scaled)
    if isinstance(curve, Profile):
        return _profile(curve, scaled)
    return _factors(curve, predicted)


def _largest(deviation: FloatArray) -> float:
    return float(deviation[int(np.argmax(np.abs(deviation)))]) if deviation.size else 0.0


def _depth_dose(pdd: DepthDose, scaled: FloatArray) -> CurveResidual:
    beyond = beyond_maximum(pdd)
    percent = 100.0 * (scaled[beyond] / pdd.value[beyond] - 1.0)
    front = pdd.depth_mm < pdd.dmax_mm - 1.0
    difference = (scaled - pdd.value)[front]
    slope = np.gradient(pdd.value, pdd.depth_mm)[front]
    as_percent = 100.0 * difference / pdd.value.max()
    as_mm = difference / np.maximum(np.abs(slope), 1e-9 * pdd.value.max())
    held = (np.abs(as_percent) <= BUILD_UP_PERCENT) | (np.abs(as_mm) <= EDGE_MM)
    # the point that is worst in the gentler of its two measures
    worst = (
        int(np.argmax(np.minimum(np.abs(as_percent) / BUILD_UP_PERCENT, np.abs(as_mm) / EDGE_MM))) if front.any() else 0
    )
    return CurveResidual(
        curve=pdd.name,
        max_percent=_largest(percent),
        mean_percent=float(percent.mean()),
        build_up_percent=float(as_percent[worst]) if front.any() else None,
        build_up_mm=float(as_mm[worst]) if front.any() else None,
        met=bool(np.abs(percent).max() <= AXIS_PERCENT and held.all()),
    )


def _profile(profile: Profile, scaled: FloatArray) -> CurveResidual:
    if profile.axis is Axis.DIAGONAL:
        percent = 100.0 * (scaled / profile.value - 1.0)
        return CurveResidual(
            curve=profile.name,
            max_percent=_largest(percent),
            mean_percent=float(percent.mean()),
            met=bool(np.abs(percent).max() <= IN_FIELD_PERCENT),
        )
    edges = find_edges(profile.position_mm, profile.value, profile.name)
    half = 0.5 * width_mm(edges)
    inside = np.abs(profile.position_mm) <= 0.8 * half
    outside = np.abs(profile.position_mm) >= half + 5.0
    percent = 100.0 * (scaled[inside] / profile.value[inside] - 1.0)
    away = 100.0 * (scaled - profile.value)[outside] / profile.central_value
    try:
        found = find_edges(profile.position_mm, scaled, profile.name)
    except InputError:
        return CurveResidual(
            curve=profile.name, max_percent=_largest(percent), mean_percent=float(percent.mean()), met=False
        )
    shift = np.array([edges[0].position_mm - found[0].position_mm, found[1].position_mm - edges[1].position_mm])
    wider = 0.5 * sum(f.penumbra_mm - e.penumbra_mm for f, e in zip(found, edges, strict=True))
    return CurveResidual(
        curve=profile.name,
        max_percent=_largest(percent),
        mean_percent=float(percent.mean()),
        edge_mm=_largest(shift),
        penumbra_mm=float(wider),
        outside_percent=_largest(away),
        met=bool(
            np.abs(percent).max() <= IN_FIELD_PERCENT
            and np.abs(shift).max() <= EDGE_MM
            and (away.size == 0 or np.abs(away).max() <= OUTSIDE_PERCENT)
        ),
    )


def _factors(factors: OutputFactors, predicted: FloatArray) -> CurveResidual:
    at = factors.fields_mm.index(factors.reference_mm)
    percent = 100.0 * (predicted / predicted[at] / values_of(factors) - 1.0)
    return CurveResidual(
        curve=factors.name,
        max_percent=_largest(percent),
        mean_percent=float(percent.mean()),
        met=bool(np.abs(percent).max() <= AXIS_PERCENT),
    )

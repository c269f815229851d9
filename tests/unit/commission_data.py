"""Measured curves made of formulas, for tests of what reads and checks them."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from rtsim.commission import Axis, DepthDose, MeasuredSet, OutputFactors, Profile

SAD_MM = 1000.0


def depth_dose(side_mm: float = 100.0, ssd_mm: float = 1000.0) -> DepthDose:
    """Builds up over 5 mm and falls more slowly in larger fields."""
    depth = np.arange(0.0, 301.0, 5.0)
    attenuation = 0.0055 - 4e-6 * side_mm
    value = (1.0 - 0.7 * np.exp(-depth / 5.0)) * np.exp(-attenuation * depth) * (ssd_mm / (ssd_mm + depth)) ** 2
    return DepthDose(field_mm=(side_mm, side_mm), ssd_mm=ssd_mm, depth_mm=depth, value=100.0 * value)


def profile(
    axis: Axis = Axis.CROSSLINE,
    field_mm: tuple[float, float] = (100.0, 100.0),
    depth_mm: float = 100.0,
    *,
    tilt_percent: float = 0.0,
    shift_mm: float = 0.0,
    width_mm: float | None = None,
    sigma_mm: float = 3.0,
) -> Profile:
    """An even field with Gaussian edges; ``tilt_percent``: of the dose at the edge of the middle 80 % over the axis."""
    grown = (1000.0 + depth_mm) / SAD_MM
    width = width_mm or grown * (field_mm[1] if axis is Axis.INLINE else field_mm[0])
    x = np.arange(-0.5 * width - 40.0, 0.5 * width + 40.5, 1.0)
    root = sigma_mm * 2.0**0.5
    value = 0.5 * (erf((x - shift_mm + width / 2) / root) - erf((x - shift_mm - width / 2) / root))
    # at +-0.4 width the two sides differ by tilt_percent
    value = value * (1.0 + 0.5 * tilt_percent / 100.0 * (x - shift_mm) / (0.4 * width)) + 0.01
    return Profile(field_mm=field_mm, ssd_mm=1000.0, depth_mm=depth_mm, axis=axis, position_mm=x, value=value)


def output_factors() -> OutputFactors:
    sides = (30.0, 50.0, 100.0, 200.0)
    return OutputFactors(
        fields_mm=tuple((s, s) for s in sides),
        factor=np.array([0.83, 0.9, 1.0, 1.09]),
        depth_mm=100.0,
        ssd_mm=900.0,
        dose_gy_per_mu=0.0077,
    )


def complete() -> MeasuredSet:
    """The least that a fit takes."""
    return MeasuredSet(
        depth_doses=(depth_dose(30.0), depth_dose(100.0)),
        profiles=tuple(profile(a, depth_mm=d) for a in (Axis.CROSSLINE, Axis.INLINE) for d in (50.0, 100.0)),
        output_factors=output_factors(),
    )

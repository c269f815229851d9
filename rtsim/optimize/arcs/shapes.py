"""What is optimized of one arc: leaf ends at its control points and monitor units of its intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.typing import FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ArcShapes:
    """One arc.

    Attributes:
        left_mm, right_mm: (intervals + 1, pairs) leaf ends of the pairs of its layout at each control point.
        monitor_units: (intervals,) of one fraction.
    """

    left_mm: FloatArray
    right_mm: FloatArray
    monitor_units: FloatArray


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What a machine can do in one interval of an arc.

    Attributes:
        way_mm: of a leaf at most.
        least_gap_mm: between opposing leaves.
        least_units, most_units: monitor units.
    """

    way_mm: float
    least_gap_mm: float
    least_units: float
    most_units: float


def within_limits(shapes: ArcShapes, motion: Motion) -> ArcShapes:
    """The shapes with gaps widened, steps shortened and monitor units cut to what the machine can do."""
    lack = 0.5 * np.maximum(motion.least_gap_mm - (shapes.right_mm - shapes.left_mm), 0.0)
    return ArcShapes(
        left_mm=within_reach(shapes.left_mm - lack, motion.way_mm),
        right_mm=within_reach(shapes.right_mm + lack, motion.way_mm),
        monitor_units=np.clip(shapes.monitor_units, motion.least_units, motion.most_units),
    )


def within_reach(ends_mm: FloatArray, way_mm: float) -> FloatArray:
    """The nearest thing to ``ends_mm`` (control points, ...) whose steps are at most ``way_mm``, without a preference
    for either direction of the arc: the mean of following from the first and from the last control point.

    Clipping follows the order of numbers, and so does a mean: opposing ends that keep a distance still keep it.
    """
    return 0.5 * (_followed(ends_mm, way_mm) + _followed(ends_mm[::-1], way_mm)[::-1])


def _followed(ends_mm: FloatArray, way_mm: float) -> FloatArray:
    out = ends_mm.copy()
    for n in range(1, len(out)):
        out[n] = np.clip(out[n], out[n - 1] - way_mm, out[n - 1] + way_mm)
    return out

"""The way of an arc in three dimensions: where the source goes round the patient, and the band its field sweeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from rtsim.beams.delivery_time import turn_deg
from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.typing import FloatArray
from rtsim.view.beam_shape import field_outline_mm

_FINE_DEG: Final = 3.0
_ARROWS_DEG: Final = 45.0


@dataclass(frozen=True, eq=False, kw_only=True)
class ArcPath:
    """Points in LPS mm on a circle about the isocenter, from the first control point to the last.

    Attributes:
        gantry_deg: (n,) not folded at 360, in the order of delivery: falling where the gantry turns counterclockwise.
        points_mm: (n, 3) on the beam axis, toward the source.
        low_mm, high_mm: (n, 3) the two edges of the band: the field outline's ends along the gantry's axis of rotation,
            projected to the same distance.
        arrows_mm, arrow_directions: (m, 3) where arrows stand and unit vectors of the way of the source there.
    """

    gantry_deg: FloatArray
    points_mm: FloatArray
    low_mm: FloatArray
    high_mm: FloatArray
    arrows_mm: FloatArray
    arrow_directions: FloatArray


def unfolded_gantry_deg(beam: Beam) -> FloatArray:
    """(control points,) gantry angles without the jump at 360 degrees, in the order of delivery."""
    angles = [c.gantry_deg for c in beam.control_points]
    return angles[0] + np.concatenate(([0.0], np.cumsum([turn_deg(a, b) for a, b in pairwise(angles)])))


def arc_path(beam: Beam, from_isocenter_mm: float) -> ArcPath:
    """The way of an arc, drawn ``from_isocenter_mm`` upstream of the isocenter.

    Raises:
        InputError: the gantry does not turn in this beam.
    """
    if not beam.is_arc:
        raise InputError(f"{beam.label} is no arc: its gantry does not turn. Give a beam of an arc plan")
    ends = unfolded_gantry_deg(beam)
    gantry = np.concatenate(
        [
            np.linspace(a, b, 1 + max(1, math.ceil(abs(b - a) / _FINE_DEG)))[:-1]
            for a, b in pairwise(ends.tolist())
            if a != b
        ]
        + [ends[-1:]]
    )
    factor = (beam.machine.sad_mm - from_isocenter_mm) / beam.machine.sad_mm
    low, high = _ends_along_axis_mm(beam)
    frames = np.array([bld_to_lps(float(g) % 360.0, beam.couch_deg, 0.0) for g in gantry])
    points = np.asarray(beam.isocenter_mm) + from_isocenter_mm * frames[:, :, 2]
    first, way = float(gantry[0]), math.copysign(1.0, float(ends[-1] - ends[0]))
    turned = way * (gantry - first)
    at = np.searchsorted(turned, np.arange(0.5 * _ARROWS_DEG, turned.max(), _ARROWS_DEG))
    at = np.unique(np.clip(at if at.size else [len(gantry) // 2], 1, len(gantry) - 2 if len(gantry) > 2 else 1))
    tangents = points[np.minimum(at + 1, len(points) - 1)] - points[at - 1]
    return ArcPath(
        gantry_deg=gantry,
        points_mm=points,
        low_mm=points + factor * low * frames[:, :, 1],
        high_mm=points + factor * high * frames[:, :, 1],
        arrows_mm=points[at],
        arrow_directions=tangents / np.linalg.norm(tangents, axis=1, keepdims=True),
    )


def _ends_along_axis_mm(beam: Beam) -> tuple[float, float]:
    """The field outline's ends along the gantry's axis of rotation, in the isocenter plane."""
    outline = field_outline_mm(beam)
    if not len(outline):
        return 0.0, 0.0
    turned = bld_to_lps(0.0, 0.0, 0.0).T @ bld_to_lps(0.0, 0.0, beam.collimator_deg)
    along = outline[:, 0] * turned[1, 0] + outline[:, 1] * turned[1, 1]
    return float(along.min()), float(along.max())

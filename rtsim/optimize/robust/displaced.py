"""Beams as a displaced patient sees them, exact for any rigid displacement; phantom and dose grid stay as they are.

A patient displaced by p -> c + R (p - c) + t sees a point s of the room at c + R^T (s - c - t), and the axes of the
beam limiting device turned by R^T. As (:mod:`rtsim.geometry.iec61217`)

    LPS = M Rz(-couch) Ry(gantry) Rz(collimator) BLD

covers every rotation (Z-Y-Z Euler angles), there is always a couch, gantry and collimator angle for which a static beam
lies exactly so. An arc keeps one couch and one collimator angle only where the rotation is about the axis of its
gantry; otherwise each of its control point intervals becomes a static beam at the middle angle, from which engines
compute an interval anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from rtsim.beams.model import Beam, ControlPoint
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.optimize.robust.scenarios import Displacement
from rtsim.typing import FloatArray, Vector3

_IEC_OF_LPS: Final = bld_to_lps(0.0).T
"""M^T: at angles of zero the BLD axes are those of the fixed IEC frame."""

_SAME_DEG = 1e-6
"""Couch and collimator angles of an arc that differ by less are one angle."""

_POLE = 1e-9
"""Sine of the gantry angle below which couch and collimator turn about the same axis, and only their sum counts."""

Angles = tuple[float, float, float]
"""Couch, gantry, collimator in degrees."""


def angles_of(rotation: FloatArray, near: Angles) -> Angles:
    """Couch, gantry and collimator, 0 <= angle < 360, whose :func:`bld_to_lps` is ``rotation`` (3, 3).

    Of the two answers, (c, g, k) and (c + 180, -g, k + 180), the one nearer to ``near``; where couch and collimator
    turn about the same axis, the couch stays as it is there.
    """
    turn = _IEC_OF_LPS @ rotation
    sine = math.hypot(turn[0, 2], turn[1, 2])
    if sine < _POLE:
        up = turn[2, 2] > 0.0
        around = math.degrees(math.atan2(turn[1, 0], turn[0, 0]) if up else math.atan2(-turn[1, 0], -turn[0, 0]))
        couch = near[0]
        return _wrapped(couch), 0.0 if up else 180.0, _wrapped(couch + around if up else -couch - around)
    couch = -math.degrees(math.atan2(turn[1, 2], turn[0, 2]))
    gantry = math.degrees(math.atan2(sine, turn[2, 2]))
    collimator = math.degrees(math.atan2(turn[2, 1], -turn[2, 0]))
    first = (couch, gantry, collimator)
    second = (couch + 180.0, -gantry, collimator + 180.0)
    best = min((first, second), key=lambda a: sum(abs(_difference(x, y)) for x, y in zip(a, near, strict=True)))
    return _wrapped(best[0]), _wrapped(best[1]), _wrapped(best[2])


def displaced_beams(beams: Sequence[Beam], displacement: Displacement) -> tuple[Beam, ...]:
    """All beams as the displaced patient sees them."""
    return tuple(seen for beam in beams for seen in displaced_beam(beam, displacement))


def stays_whole(beam: Beam, displacement: Displacement) -> bool:
    """True when the displaced beam is one beam again, not one for each interval of an arc."""
    return not beam.is_arc or not any(displacement.rotation_deg) or _turned_arc(beam, displacement) is not None


def displaced_beam(beam: Beam, displacement: Displacement) -> tuple[Beam, ...]:
    """One beam as the displaced patient sees it; several of an arc that no single couch angle describes.

    Args:
        beam: with control points, or with beamlets and their monitor units.
    """
    if displacement.is_nominal:
        return (beam,)
    isocenter = _vector(displacement.seen_by_patient(np.array(beam.isocenter_mm)))
    moved = replace(beam, isocenter_mm=isocenter)
    if not any(displacement.rotation_deg):
        return (moved,)
    if not beam.is_arc:
        angles = angles_of(displacement.rotation.T @ beam.rotation, _angles(beam, beam.gantry_deg))
        return (_posed(moved, angles, tuple(angles[1] for _ in beam.control_points)),)
    arc = _turned_arc(beam, displacement)
    return _intervals(moved, displacement) if arc is None else (_posed(moved, arc[0], arc[1]),)


def _turned_arc(beam: Beam, displacement: Displacement) -> tuple[Angles, tuple[float, ...]] | None:
    """The angles of the first control point and the gantry at each, when couch and collimator stay the same in all."""
    turned = [_seen(beam, c.gantry_deg, displacement) for c in beam.control_points]
    first = turned[0]
    if any(abs(_difference(a[n], first[n])) > _SAME_DEG for a in turned for n in (0, 2)):
        return None
    return first, tuple(a[1] for a in turned)


def _seen(beam: Beam, gantry_deg: float, displacement: Displacement) -> Angles:
    axes = bld_to_lps(gantry_deg, beam.couch_deg, beam.collimator_deg)
    return angles_of(displacement.rotation.T @ axes, _angles(beam, gantry_deg))


def _intervals(beam: Beam, displacement: Displacement) -> tuple[Beam, ...]:
    """A static beam for each interval of an arc, at its middle angle, leaves and jaws moving as they do."""
    out = []
    for n, (a, b) in enumerate(pairwise(beam.control_points)):
        units = b.cumulative_monitor_units - a.cumulative_monitor_units
        if units > 0.0:
            middle = _wrapped(a.gantry_deg + 0.5 * _difference(b.gantry_deg, a.gantry_deg))
            angles = _seen(beam, middle, displacement)
            points = (
                ControlPoint(cumulative_monitor_units=0.0, aperture=a.aperture, gantry_deg=middle),
                ControlPoint(cumulative_monitor_units=units, aperture=b.aperture, gantry_deg=middle),
            )
            part = replace(beam, gantry_deg=middle, control_points=points, name=f"{beam.name} {n + 1}")
            out.append(_posed(part, angles, (angles[1], angles[1])))
    return tuple(out)


def _posed(beam: Beam, angles: Angles, gantries_deg: tuple[float, ...]) -> Beam:
    points = tuple(replace(c, gantry_deg=g) for c, g in zip(beam.control_points, gantries_deg, strict=True))
    couch, gantry, collimator = angles
    return replace(beam, couch_deg=couch, gantry_deg=gantry, collimator_deg=collimator, control_points=points)


def _angles(beam: Beam, gantry_deg: float) -> Angles:
    return beam.couch_deg, gantry_deg, beam.collimator_deg


def _difference(a_deg: float, b_deg: float) -> float:
    """a - b between -180 and 180 degrees."""
    return (a_deg - b_deg + 180.0) % 360.0 - 180.0


def _wrapped(angle_deg: float) -> float:
    turned = angle_deg % 360.0
    return 0.0 if turned >= 360.0 else turned  # the remainder of -1e-16 is 360.0


def _vector(values: FloatArray) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])

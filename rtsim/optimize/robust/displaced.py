"""Beams as a displaced patient sees them, exact for any rigid displacement; phantom and dose grid stay as they are.

A patient displaced by p -> c + R (p - c) + t sees a point s of the room at c + R^T (s - c - t), and the axes of the
beam limiting device turned by R^T. As (:mod:`rtsim.geometry.iec61217`)

    LPS = M Rz(-couch) Ry(gantry) Rz(collimator) BLD

covers every rotation (Z-Y-Z Euler angles), there is always a couch, gantry and collimator angle for which a static beam
lies exactly so. An arc keeps one couch and one collimator angle only where the rotation is about the axis of its
gantry or of its couch (roll and yaw of the patient, at a couch of zero); otherwise each of its control point intervals
becomes a static beam at the middle angle, from which engines compute an interval anyway. As engines are quicker with
arcs than with their pieces, neighboring intervals may be left together where one couch and one collimator angle pose
them within a stated angle.
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


def displaced_beams(beams: Sequence[Beam], displacement: Displacement, within_deg: float = 0.0) -> tuple[Beam, ...]:
    """All beams as the displaced patient sees them; ``within_deg`` as in :func:`displaced_beam`."""
    return tuple(seen for beam in beams for seen in displaced_beam(beam, displacement, within_deg))


def stays_whole(beam: Beam, displacement: Displacement) -> bool:
    """True when the displaced beam is one beam again, not one for each interval of an arc."""
    return not beam.is_arc or not any(displacement.rotation_deg) or _turned_arc(beam, displacement) is not None


def displaced_beam(beam: Beam, displacement: Displacement, within_deg: float = 0.0) -> tuple[Beam, ...]:
    """One beam as the displaced patient sees it; several of an arc that no single couch angle describes.

    Args:
        beam: with control points, or with beamlets and their monitor units.
        within_deg: by how much the pose of an interval may err where an arc comes to pieces; 0: each interval is a
            piece, and none errs. A run of intervals is exact in its middle and errs to both sides with opposite signs.
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
    return _pieces(moved, displacement, within_deg) if arc is None else (_posed(moved, arc[0], arc[1]),)


def _turned_arc(beam: Beam, displacement: Displacement) -> tuple[Angles, tuple[float, ...]] | None:
    """The angles of the first control point and the gantry at each, when couch and collimator stay the same in all."""
    turned = [_seen(beam, c.gantry_deg, displacement) for c in beam.control_points]
    # where couch and collimator turn about the same axis, those of a point far from there describe it as well
    far = max(turned, key=lambda a: abs(math.sin(math.radians(a[1]))))
    turned = [_seen(beam, c.gantry_deg, displacement, far) for c in beam.control_points]
    first = turned[0]
    if any(abs(_difference(a[n], first[n])) > _SAME_DEG for a in turned for n in (0, 2)):
        return None
    return first, tuple(a[1] for a in turned)


def _seen(beam: Beam, gantry_deg: float, displacement: Displacement, near: Angles | None = None) -> Angles:
    axes = bld_to_lps(gantry_deg, beam.couch_deg, beam.collimator_deg)
    couch, collimator = (beam.couch_deg, beam.collimator_deg) if near is None else (near[0], near[2])
    return angles_of(displacement.rotation.T @ axes, (couch, gantry_deg, collimator))


def _pieces(beam: Beam, displacement: Displacement, within_deg: float) -> tuple[Beam, ...]:
    """Runs of intervals of an arc whose pose one couch and one collimator angle give within ``within_deg``.

    A run of one interval is a static beam at its middle angle, leaves and jaws moving as they do.
    """
    points = beam.control_points
    on = [n for n, (a, b) in enumerate(pairwise(points)) if b.cumulative_monitor_units > a.cumulative_monitor_units]
    middles = {n: _middle(points[n], points[n + 1]) for n in on}
    runs: list[list[int]] = []
    for n in on:
        longer = [*runs[-1], n] if runs else []
        joins = within_deg > 0.0 and longer and longer[-2] == n - 1
        if joins and _mismatch_deg(beam, [middles[k] for k in longer], displacement) <= within_deg:
            runs[-1] = longer
        else:
            runs.append([n])
    return tuple(_piece(beam, run, [middles[k] for k in run], displacement) for run in runs)


def _piece(beam: Beam, run: list[int], middles_deg: list[float], displacement: Displacement) -> Beam:
    """Intervals of an arc as they are seen, posed as the middle one is."""
    middle = middles_deg[len(run) // 2]
    angles = _seen(beam, middle, displacement)
    own = beam.control_points[run[0] : run[-1] + 2]
    before = own[0].cumulative_monitor_units
    gantries = [angles[1] if len(run) == 1 else _wrapped(angles[1] + _difference(p.gantry_deg, middle)) for p in own]
    points = tuple(
        replace(p, cumulative_monitor_units=p.cumulative_monitor_units - before, gantry_deg=g)
        for p, g in zip(own, gantries, strict=True)
    )
    return replace(
        beam,
        couch_deg=angles[0],
        gantry_deg=gantries[0],
        collimator_deg=angles[2],
        control_points=points,
        name=f"{beam.name} {run[0] + 1}",
    )


def _mismatch_deg(beam: Beam, middles_deg: list[float], displacement: Displacement) -> float:
    """The largest angle between the poses of intervals and those that the pose of the middle one gives them."""
    middle = middles_deg[len(middles_deg) // 2]
    couch, gantry, collimator = _seen(beam, middle, displacement)
    largest = 0.0
    for angle in middles_deg:
        exact = displacement.rotation.T @ bld_to_lps(angle, beam.couch_deg, beam.collimator_deg)
        taken = bld_to_lps(gantry + _difference(angle, middle), couch, collimator)
        # of a rotation by a small angle |A - B| = 2 sqrt(2) sin(angle / 2), exact where its cosine is not
        sine = float(np.linalg.norm(exact - taken)) / (2.0 * math.sqrt(2.0))
        largest = max(largest, math.degrees(2.0 * math.asin(min(1.0, sine))))
    return largest


def _middle(a: ControlPoint, b: ControlPoint) -> float:
    return _wrapped(a.gantry_deg + 0.5 * _difference(b.gantry_deg, a.gantry_deg))


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

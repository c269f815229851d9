"""Fields shaped to a structure plus a margin in the beam's eye view."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rtsim.beams.apertures import check_aperture, parked_leaves, reachable_jaws
from rtsim.beams.model import WIDEST_INTERVAL_DEG, Aperture, Beam, ControlPoint
from rtsim.beams.outline import Outline, check_in_field, check_margin, project_outline
from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray


def conform(beam: Beam, target: Structure, *, margin_mm: float = 7.0, monitor_units: float = 100.0) -> Beam:
    """The same beam, delivered as one static field shaped to the target plus a margin.

    Args:
        beam: its angles, isocenter and machine are used; its control points are replaced.
        target: what the field is to cover.
        margin_mm: from the projected target to the leaf ends and jaws, in the isocenter plane (5-7 mm hold the
            penumbra of a megavoltage field).
        monitor_units: of the field.

    Raises:
        InputError, MachineLimitError, GeometryError: as :func:`conformal_aperture`.
    """
    return beam.with_segments(((conformal_aperture(beam, target, margin_mm=margin_mm), monitor_units),))


def conformal_arc(
    beam: Beam,
    target: Structure,
    *,
    turn_deg: float,
    step_deg: float = 4.0,
    margin_mm: float = 5.0,
    monitor_units: float = 100.0,
) -> Beam:
    """The same beam, delivered at an even rate while the gantry turns and the leaves follow the target.

    Args:
        beam: its angles and isocenter are used, ``gantry_deg`` as the first; its control points are replaced.
        target: what the field is to cover.
        turn_deg: from the first to the last control point, positive clockwise (rising gantry angles).
        step_deg: a control point at least every so many degrees; between two of them the leaves move linearly, and the
            dose is computed from the middle of them.
        margin_mm: from the projected target to the leaf ends and jaws, in the isocenter plane.
        monitor_units: of the whole arc.

    Raises:
        InputError: a turn of more than 360 degrees or of none, a step out of range.
        InputError, MachineLimitError, GeometryError: as :func:`conformal_aperture`.
    """
    if not 0.0 < abs(turn_deg) <= 360.0:
        raise InputError(f"turn_deg is {turn_deg}; an arc turns by 0 < |turn_deg| <= 360 degrees")
    if not 0.1 <= step_deg <= WIDEST_INTERVAL_DEG:
        raise InputError(f"step_deg is {step_deg}; allowed are 0.1 <= step_deg <= {WIDEST_INTERVAL_DEG:g} degrees")
    intervals = math.ceil(abs(turn_deg) / step_deg - 1e-9)
    points = []
    for n in range(intervals + 1):
        gantry_deg = round(beam.gantry_deg + turn_deg * n / intervals, 9) % 360.0  # -1e-14 % 360 would be 360
        pose = replace(beam, gantry_deg=gantry_deg, control_points=())
        points.append(
            ControlPoint(
                cumulative_monitor_units=monitor_units * n / intervals,
                aperture=conformal_aperture(pose, target, margin_mm=margin_mm),
                gantry_deg=pose.gantry_deg,
            )
        )
    return replace(beam, control_points=tuple(points))


def conformal_aperture(beam: Beam, target: Structure, *, margin_mm: float = 7.0) -> Aperture:
    """Leaves and jaws around the divergent projection of a structure, grown roundly by ``margin_mm``.

    Each leaf ends where it touches the grown outline from outside: no point of the outline within the leaf's width is
    covered. Leaf pairs that the outline does not reach are closed and parked under a jaw. The jaws frame the opening.
    A margin that would pass the largest field ends there. A machine without leaves frames the outline by its jaws.

    Raises:
        InputError: a margin out of range.
        MachineLimitError: the target itself exceeds the largest field.
        GeometryError: the target reaches the source.
    """
    check_margin(margin_mm)
    outline = project_outline(beam, target)
    check_in_field(beam, target, outline)
    machine = beam.machine
    limit_x, limit_y = machine.field_limit_x_mm, machine.field_limit_y_mm
    jaws_x = _clipped(outline.bounds_x_mm, margin_mm, limit_x)
    jaws_y = _clipped(outline.bounds_y_mm, margin_mm, limit_y)
    if machine.mlc is not None:
        jaws_x, jaws_y = reachable_jaws(machine, jaws_x, jaws_y)
    leaves = None if machine.mlc is None else _leaves(machine, outline, margin_mm, jaws_x)
    aperture = Aperture(jaws_x_mm=jaws_x, jaws_y_mm=jaws_y, leaf_pairs_mm=leaves)
    check_aperture(aperture, machine)
    return aperture


def _clipped(bounds: tuple[float, float], margin_mm: float, limit: tuple[float, float]) -> tuple[float, float]:
    return max(limit[0], bounds[0] - margin_mm), min(limit[1], bounds[1] + margin_mm)


def _leaves(machine: Machine, outline: Outline, margin_mm: float, jaws_x_mm: tuple[float, float]) -> FloatArray:
    """(n, 2) leaf ends touching the grown outline from outside, widened to the smallest gap, others parked."""
    leaves = parked_leaves(machine, jaws_x_mm)
    low, high = machine.field_limit_x_mm
    gap = 0.0 if machine.mlc is None else machine.mlc.min_gap_mm
    edges = machine.leaf_edges_mm
    for i in range(leaves.shape[0]):
        lower, upper = outline.intervals_in_band(edges[i], edges[i + 1], margin_mm)
        if not lower.size:
            continue
        left, right = max(low, float(lower.min())), min(high, float(upper.max()))
        lack = max(0.0, gap - (right - left))
        left = float(np.clip(left - lack / 2, low, high - gap))
        leaves[i] = left, max(right, left + gap)
    return leaves

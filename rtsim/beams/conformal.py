"""Fields shaped to a structure plus a margin in the beam's eye view."""

from __future__ import annotations

import numpy as np

from rtsim.beams.apertures import check_aperture, parked_leaves
from rtsim.beams.model import Aperture, Beam
from rtsim.beams.outline import Outline, check_in_field, check_margin, project_outline
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

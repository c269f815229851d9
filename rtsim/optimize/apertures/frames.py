"""Jaws of a beam, which stand still while it is on: wide while leaf ends are sought, then fitted to what was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtsim.beams.apertures import parked_leaves, reachable_jaws
from rtsim.beams.model import Aperture
from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.optimize.fluence import Planning
from rtsim.optimize.leaves import JAW_MARGIN_MM, multileaf
from rtsim.optimize.segment_weights import Segment
from rtsim.typing import BoolArray, FloatArray

Jaws = tuple[tuple[float, float], tuple[float, float]]

CLOSED_MM = 0.05
"""A pair that is open by no more than this beyond its smallest gap is taken as closed."""


def framed(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> tuple[Segment, ...]:
    """The segments with jaws around all beamlets of their beam, so that leaves may go wherever dose is known."""
    jaws = {k: _around_beamlets(planning, k, machine) for k in {s.beam for s in segments}}
    return tuple(replace(s, aperture=with_jaws(s.aperture, jaws[s.beam], machine)) for s in segments)


def fitted(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> tuple[Segment, ...]:
    """The segments with jaws around the open pairs of their beam; pairs that are closed are parked behind a jaw."""
    out: list[Segment] = []
    for s in segments:
        shapes = [o.aperture for o in segments if o.beam == s.beam]
        opened = [is_open(shape, machine) for shape in shapes]
        if any(o.any() for o in opened):
            jaws = _around_leaves(shapes, opened, machine)
            out.append(replace(s, aperture=with_jaws(s.aperture, jaws, machine)))
    return tuple(out)


def is_open(shape: Aperture, machine: Machine) -> BoolArray:
    """(pairs,) True where a pair opens more than its smallest gap, between the jaws."""
    assert shape.leaf_pairs_mm is not None
    (x0, x1), (y0, y1) = shape.jaws_x_mm, shape.jaws_y_mm
    left, right = np.maximum(shape.leaf_pairs_mm[:, 0], x0), np.minimum(shape.leaf_pairs_mm[:, 1], x1)
    edges = machine.leaf_edges_mm
    seen = (np.minimum(edges[1:], y1) - np.maximum(edges[:-1], y0)) > 1e-6
    return np.asarray(seen & (right - left > multileaf(machine).min_gap_mm + CLOSED_MM))


def with_jaws(shape: Aperture, jaws: Jaws, machine: Machine) -> Aperture:
    """The same open pairs between other jaws, all others parked behind these."""
    assert shape.leaf_pairs_mm is not None
    leaves = parked_leaves(machine, jaws[0])
    opened = is_open(shape, machine)
    leaves[opened] = shape.leaf_pairs_mm[opened]
    return Aperture(jaws_x_mm=jaws[0], jaws_y_mm=jaws[1], leaf_pairs_mm=leaves)


def _around_beamlets(planning: Planning, k: int, machine: Machine) -> Jaws:
    b = planning.influence.beams[k].beamlets
    if b is None:
        raise InputError(f"beam {k} of the influence matrix has no beamlets, but a segment belongs to it")
    half_x, half_y = b.width_x_mm / 2, b.width_y_mm / 2
    x = (float((b.center_x_mm - half_x).min()), float((b.center_x_mm + half_x).max()))
    y = (float((b.center_y_mm - half_y).min()), float((b.center_y_mm + half_y).max()))
    return _within_field(x, y, machine)


def _around_leaves(shapes: list[Aperture], opened: list[BoolArray], machine: Machine) -> Jaws:
    ends: FloatArray = np.concatenate([np.asarray(s.leaf_pairs_mm)[o] for s, o in zip(shapes, opened, strict=True)])
    edges, pairs = machine.leaf_edges_mm, np.flatnonzero(np.any(opened, axis=0))
    x = (float(ends[:, 0].min()), float(ends[:, 1].max()))
    # a jaw that cut a leaf stays where it is
    y0, y1 = shapes[0].jaws_y_mm
    return _within_field(x, (max(y0, float(edges[pairs[0]])), min(y1, float(edges[pairs[-1] + 1]))), machine)


def _within_field(x: tuple[float, float], y: tuple[float, float], machine: Machine) -> Jaws:
    (x0, x1), (y0, y1) = machine.field_limit_x_mm, machine.field_limit_y_mm
    within_x = (max(x[0] - JAW_MARGIN_MM, x0), min(x[1] + JAW_MARGIN_MM, x1))
    return reachable_jaws(machine, within_x, (max(y[0], y0), min(y[1], y1)))

"""Beamlets that a target needs: rows aligned to the leaves, columns of a chosen pitch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtsim.beams.model import Beam, Beamlets
from rtsim.beams.outline import check_in_field, check_margin, project_outline
from rtsim.errors import GeometryError, InputError
from rtsim.machine.model import Machine
from rtsim.phantom.structure import Structure
from rtsim.typing import BoolArray, FloatArray

_SLIVER_MM = 1e-3


def with_beamlets(
    beams: Sequence[Beam], target: Structure, *, pitch_mm: float = 5.0, margin_mm: float = 5.0
) -> tuple[Beam, ...]:
    """The same beams with the beamlets whose opening can reach the target.

    Beamlet rows are leaf pairs: a leaf wider than ``pitch_mm`` is one row, narrower neighbors share a row until it is
    as wide as the pitch. Columns are ``pitch_mm`` wide with edges at multiples of it, so that the axis is an edge. A
    beamlet is kept when it overlaps the target's divergent projection grown (roundly) by ``margin_mm``; the margin
    ends at the machine's largest field, where beamlets are cut.

    Args:
        beams: any beams; their control points stay.
        target: what is to be irradiated.
        pitch_mm: beamlet width along BLD x in the isocenter plane.
        margin_mm: for the penumbra, in the isocenter plane.

    Raises:
        InputError: no beams, a pitch or a margin out of range.
        MachineLimitError: the target exceeds the largest field.
        GeometryError: the target reaches the source, or no beamlet reaches the target.
    """
    if not math.isfinite(pitch_mm) or not 0.5 <= pitch_mm <= 50.0:
        raise InputError(f"pitch_mm is {pitch_mm}; allowed are 0.5 <= pitch_mm <= 50")
    check_margin(margin_mm)
    if not beams:
        raise InputError("no beams are given; with_beamlets needs at least one")
    return tuple(
        replace(b, beamlets=_beamlets(b, target, pitch_mm, margin_mm), beamlet_monitor_units=None) for b in beams
    )


def beamlet_rows_mm(machine: Machine, pitch_mm: float) -> FloatArray:
    """(m + 1,) BLD y edges of the beamlet rows, inside the machine's field: leaf edges, or multiples of the pitch."""
    low, high = machine.field_limit_y_mm
    if machine.mlc is None:
        return _multiples(low, high, pitch_mm)
    leaf = machine.leaf_edges_mm
    leaf = np.unique(np.concatenate([[low], leaf[(leaf > low) & (leaf < high)], [high]]))
    edges = [float(leaf[0])]
    for edge in leaf[1:]:
        if edge - edges[-1] >= pitch_mm - _SLIVER_MM:
            edges.append(float(edge))
    if edges[-1] < high:  # what is left at the top joins the last row
        if len(edges) > 1:
            edges.pop()
        edges.append(high)
    return np.asarray(edges)


def _multiples(low: float, high: float, pitch_mm: float) -> FloatArray:
    """Edges at multiples of the pitch inside [low, high], and the two limits."""
    inner = pitch_mm * np.arange(math.ceil(low / pitch_mm - 1e-9), math.floor(high / pitch_mm + 1e-9) + 1)
    inner = inner[(inner > low + _SLIVER_MM) & (inner < high - _SLIVER_MM)]
    return np.concatenate([[low], inner, [high]])


def _beamlets(beam: Beam, target: Structure, pitch_mm: float, margin_mm: float) -> Beamlets:
    outline = project_outline(beam, target)
    check_in_field(beam, target, outline)
    rows = beamlet_rows_mm(beam.machine, pitch_mm)
    columns = _multiples(*beam.machine.field_limit_x_mm, pitch_mm)
    needed = np.zeros((rows.size - 1, columns.size - 1), dtype=bool)
    for row in range(rows.size - 1):
        lower, upper = outline.intervals_in_band(rows[row], rows[row + 1], margin_mm)
        if lower.size:
            needed[row] = _overlapped(columns, lower, upper)
    row_of, column_of = np.nonzero(needed)
    if not row_of.size:
        raise GeometryError(f"{beam.label}: no beamlet reaches {target.name!r}; check isocenter_mm {beam.isocenter_mm}")
    return Beamlets(
        center_x_mm=(columns[column_of] + columns[column_of + 1]) / 2,
        width_x_mm=np.diff(columns)[column_of],
        center_y_mm=(rows[row_of] + rows[row_of + 1]) / 2,
        width_y_mm=np.diff(rows)[row_of],
    )


def _overlapped(edges: FloatArray, lower: FloatArray, upper: FloatArray) -> BoolArray:
    """(n,) True for cells between ``edges`` that overlap the union of intervals by more than a sliver."""
    cells = edges.size - 1
    first = np.searchsorted(edges[1:], lower + _SLIVER_MM, side="right")
    last = np.searchsorted(edges[:-1], upper - _SLIVER_MM, side="left")  # one past the last cell
    valid = last > first
    change = np.bincount(first[valid], minlength=cells + 1) - np.bincount(last[valid], minlength=cells + 1)
    return np.asarray(np.cumsum(change)[:cells] > 0)

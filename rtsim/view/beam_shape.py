"""Outline of a beam's field in the isocenter plane, from its apertures or beamlets."""

from __future__ import annotations

import itertools

import numpy as np

from rtsim.beams.model import Beam
from rtsim.typing import FloatArray


def field_outline_mm(beam: Beam) -> FloatArray:
    """(n, 2) closed outline in BLD x, y (mm, isocenter plane) of all that is open at some time of the beam.

    Each row of the field (a leaf pair, or a row of beamlets) spans from the leftmost to the rightmost opening in it.
    """
    rows = _rows_of_apertures(beam) if beam.control_points else _rows_of_beamlets(beam)
    if not rows:
        return np.zeros((0, 2))
    right = [(x, y) for low, high, _, x in rows for y in (low, high)]
    left = [(x, y) for low, high, x, _ in reversed(rows) for y in (high, low)]
    return np.array([*right, *left, right[0]], dtype=np.float64)


def _rows_of_apertures(beam: Beam) -> list[tuple[float, float, float, float]]:
    """(y low, y high, x left, x right) of each row with an opening."""
    edges = beam.machine.leaf_edges_mm
    extents: dict[tuple[float, float], tuple[float, float]] = {}
    for point in beam.control_points:
        a = point.aperture
        leaves = a.leaf_pairs_mm
        bounds = [(a.jaws_y_mm[0], a.jaws_y_mm[1])] if leaves is None else list(itertools.pairwise(edges))
        for i, (low, high) in enumerate(bounds):
            y0, y1 = max(float(low), a.jaws_y_mm[0]), min(float(high), a.jaws_y_mm[1])
            x0, x1 = a.jaws_x_mm if leaves is None else (float(leaves[i, 0]), float(leaves[i, 1]))
            x0, x1 = max(x0, a.jaws_x_mm[0]), min(x1, a.jaws_x_mm[1])
            if y1 - y0 > 1e-6 and x1 - x0 > 0.5:
                known = extents.get((y0, y1))
                extents[(y0, y1)] = (x0, x1) if known is None else (min(x0, known[0]), max(x1, known[1]))
    return [(y0, y1, *extents[(y0, y1)]) for y0, y1 in sorted(extents)]


def _rows_of_beamlets(beam: Beam) -> list[tuple[float, float, float, float]]:
    b = beam.beamlets
    if b is None:
        return []
    rows = []
    for y in np.unique(np.round(b.center_y_mm, 3)):
        own = np.abs(b.center_y_mm - y) < 1e-2
        half_y = float(b.width_y_mm[own].max()) / 2
        left = float((b.center_x_mm - b.width_x_mm / 2)[own].min())
        right = float((b.center_x_mm + b.width_x_mm / 2)[own].max())
        rows.append((float(y) - half_y, float(y) + half_y, left, right))
    return rows


def frustum_mm(beam: Beam, outline_mm: FloatArray, from_isocenter_mm: float) -> FloatArray:
    """(n, 3) LPS mm: the outline, projected from the source, ``from_isocenter_mm`` upstream of the isocenter."""
    factor = (beam.machine.sad_mm - from_isocenter_mm) / beam.machine.sad_mm
    local = np.column_stack([outline_mm * factor, np.full(len(outline_mm), from_isocenter_mm)])
    return np.asarray(local @ beam.rotation.T + np.asarray(beam.isocenter_mm), dtype=np.float64)

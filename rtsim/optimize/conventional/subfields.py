"""Field-in-field: segments that shield, within a field, the rays that make tissue hot.

Of what the weights minimize, the slope in the dose of each voxel is known. Multiplied by what the open field gives
there and summed along its rays it says, in the beam's eye view, by how much each ray of the field would raise the sum:

        price(x, y) = sum over the voxels seen at (x, y) of  slope d_open  -  (that of the whole field per mean dose)

Where the price is positive the rays pass through what is too hot, where it is negative through what is too cold. A
subfield opens, leaf pair by leaf pair, the connected piece of the field with the lowest sum and shields the rest: the
column that lowers the sum most, to first order and as far as a field's dose splits along its rays (column generation,
as in Romeijn 2005, doi:10.1137/040606612). Then all weights are found again; what does not earn its place is left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.beams.apertures import check_aperture, parked_leaves
from rtsim.beams.model import Aperture, Beam
from rtsim.geometry.iec61217 import project_to_isocenter_plane
from rtsim.optimize.conventional.fields import Segment, Weighted, Workshop, without
from rtsim.typing import FloatArray

RAY_MM = 2.5
"""Raster of the beam's eye view."""

PENUMBRA_MM = 4.0
"""Standard deviation of the blur of the prices: what a leaf shields it shields over its penumbra."""

LEAST_OPEN_MM2 = 900.0
"""A subfield is no smaller than 3 x 3 cm: below that, small-field dosimetry begins (IAEA TRS-483) [M]."""

LEAST_WIDTH_MM = 15.0
"""A leaf pair of a subfield is open at least this far, or closed."""

LEAST_PART = 0.05
"""A subfield gives at least this part of the monitor units of its field."""

LEAST_GAIN = 0.05
"""What a subfield must take off the sum of tolerances; one that saves less is not worth its beam-on and its check."""

SPARE = 1.2
"""Room above the machine's least monitor units, for the scaling that follows."""

WORSE_PERCENT = 0.5
"""Of the median dose: by how much D95% of the target may fall, and D2% and the maximum may rise, at most."""

ALIKE = 1.05
"""Segments whose parts differ by less are mirrored ones, or as good as."""

ENOUGH = 1.0
"""Sum of both tolerances at which a plan is even and cool enough: simpler is better then."""

ROUNDS = 5


def with_subfields(workshop: Workshop, start: Weighted, most: int) -> Weighted:
    """The same fields with at most ``most`` subfields each, where they earn their place; else ``start``."""
    best = start
    for _ in range(ROUNDS if most else 0):
        if best.cost <= ENOUGH:
            break
        grown = []
        for n, field in enumerate(best.fields):
            shape = next_aperture(workshop, best, n) if len(field) <= most else None
            grown.append(field if shape is None else (*field, workshop.segment(field[0].beam, shape)))
        if all(len(a) == len(b) for a, b in zip(grown, best.fields, strict=True)):
            break
        found = _thinned(workshop, workshop.weighted(tuple(grown), best))
        if found.cost > best.cost - LEAST_GAIN or not no_worse(found, start):
            break
        best = found
    return best


def no_worse(found: Weighted, start: Weighted) -> bool:
    """Neither a colder target nor a hotter maximum buys the better sum."""
    return (
        found.target_percent(95.0) >= start.target_percent(95.0) - WORSE_PERCENT
        and found.target_percent(2.0) <= start.target_percent(2.0) + WORSE_PERCENT
        and found.maximum_percent <= start.maximum_percent + WORSE_PERCENT
    )


def _thinned(workshop: Workshop, weighted: Weighted) -> Weighted:
    """Without the segments that give too little, or that hardly lower the sum; mirrored ones go together."""
    while True:
        part = _parts_of_fields(workshop, weighted)
        if part.min() >= 1.0:  # every field has one segment
            return weighted
        least = np.flatnonzero(part <= ALIKE * part.min())
        fewer = workshop.weighted(without(weighted, least), weighted)
        if part.min() > LEAST_PART and fewer.cost > weighted.cost + LEAST_GAIN * least.size:
            return weighted
        weighted = fewer


def _parts_of_fields(workshop: Workshop, weighted: Weighted) -> FloatArray:
    """(segments,) part of its field's monitor units that each gives; 0 where the machine cannot give so few."""
    field, units = weighted.columns.field, weighted.monitor_units(workshop.prescription.dose_gy)
    part = units / np.bincount(field, weights=units)[field]
    least = SPARE * weighted.segments[0].beam.machine.limits.min_monitor_units_per_segment
    lone = np.bincount(field)[field] == 1
    return np.where(lone, 1.0, np.where(units < least, 0.0, part))


def next_aperture(workshop: Workshop, weighted: Weighted, number: int) -> Aperture | None:
    """The subfield of field ``number`` that lowers the sum most; None when there is none worth delivering."""
    field = weighted.fields[number][0]
    open_leaves = field.aperture.leaf_pairs_mm
    if open_leaves is None:
        return None
    price, x_edges = _prices(workshop, weighted, field)
    leaves = _cheapest_openings(field.beam, field.aperture, price, x_edges)
    shape = replace(field.aperture, leaf_pairs_mm=leaves)
    check_aperture(shape, field.beam.machine)
    area, whole = _open_area_mm2(field.beam, shape), _open_area_mm2(field.beam, field.aperture)
    if area < LEAST_OPEN_MM2 or area > 0.97 * whole:
        return None
    return shape


def _prices(workshop: Workshop, weighted: Weighted, field: Segment) -> tuple[FloatArray, FloatArray]:
    """(leaf pairs, bins) price of the rays of a field, and the (bins + 1,) BLD x edges of the bins."""
    columns, grid = weighted.columns, field.dose.grid
    _, inside = columns.unevenness(weighted.shares)
    _, outside = columns.heat(weighted.shares)
    hot = np.flatnonzero(outside > 0.0)
    voxel = weighted.outside_voxel[hot]
    given = np.concatenate([field.target_gy, field.dose.values_gy.ravel()[voxel]]) / field.mean_gy
    slope = np.concatenate([inside, outside[hot]]) * given
    slope[: inside.size] -= slope.sum() * columns.inside_share * given[: inside.size]
    kji = np.stack(np.unravel_index(voxel, grid.shape), axis=1).astype(np.float64)
    points = np.concatenate([workshop.points_mm, grid.point_at(kji)])
    seen, _ = project_to_isocenter_plane(
        points, field.beam.isocenter_mm, field.beam.rotation, field.beam.machine.sad_mm
    )
    (x0, x1), (y0, y1) = field.aperture.jaws_x_mm, field.aperture.jaws_y_mm
    x_edges, y_edges = _raster(x0, x1), _raster(y0, y1)
    raster, _, _ = np.histogram2d(seen[:, 1], seen[:, 0], bins=(y_edges, x_edges), weights=slope)
    price = gaussian_filter(raster, PENUMBRA_MM / RAY_MM, mode="constant")
    return _rows(field.beam, y_edges) @ price, x_edges


def _raster(lower: float, upper: float) -> FloatArray:
    return np.linspace(lower, upper, max(2, round((upper - lower) / RAY_MM) + 1))


def _rows(beam: Beam, y_edges: FloatArray) -> FloatArray:
    """(leaf pairs, rows of the raster) part of each raster row that a leaf pair covers."""
    edges = beam.machine.leaf_edges_mm
    overlap = np.minimum(edges[1:, None], y_edges[None, 1:]) - np.maximum(edges[:-1, None], y_edges[None, :-1])
    return np.asarray(np.clip(overlap, 0.0, None) / np.diff(y_edges))


def _cheapest_openings(beam: Beam, opened: Aperture, price: FloatArray, x_edges: FloatArray) -> FloatArray:
    """(leaf pairs, 2) the piece of each open pair whose prices have the lowest sum; closed where none is below zero."""
    assert opened.leaf_pairs_mm is not None
    leaves = parked_leaves(beam.machine, opened.jaws_x_mm)
    for pair in range(leaves.shape[0]):
        left, right = opened.leaf_pairs_mm[pair]
        low, high = max(left, opened.jaws_x_mm[0]), min(right, opened.jaws_x_mm[1])
        if high <= low:
            continue
        cuts = np.concatenate([[low], x_edges[(x_edges > low + RAY_MM / 2) & (x_edges < high - RAY_MM / 2)], [high]])
        total = np.interp(cuts, x_edges, np.concatenate([[0.0], np.cumsum(price[pair])]))
        gain = total[None, :] - total[:, None]
        gain[cuts[None, :] - cuts[:, None] < min(LEAST_WIDTH_MM, high - low) - 1e-9] = np.inf
        first, last = np.unravel_index(int(np.argmin(gain)), gain.shape)
        if gain[first, last] < 0.0:
            leaves[pair] = left if first == 0 else cuts[first], right if last == cuts.size - 1 else cuts[last]
    return leaves


def _open_area_mm2(beam: Beam, shape: Aperture) -> float:
    assert shape.leaf_pairs_mm is not None
    edges = beam.machine.leaf_edges_mm
    height = np.minimum(edges[1:], shape.jaws_y_mm[1]) - np.maximum(edges[:-1], shape.jaws_y_mm[0])
    width = np.minimum(shape.leaf_pairs_mm[:, 1], shape.jaws_x_mm[1]) - np.maximum(
        shape.leaf_pairs_mm[:, 0], shape.jaws_x_mm[0]
    )
    return float(np.clip(height, 0.0, None) @ np.clip(width, 0.0, None))

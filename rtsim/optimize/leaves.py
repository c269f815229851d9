"""From open intervals to positions of leaves and jaws that a machine can take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsim.beams.apertures import check_aperture, parked_leaves, reachable_jaws
from rtsim.beams.model import Aperture, Beam, Beamlets
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine.model import Machine, MultileafCollimator
from rtsim.optimize.decomposition import Shape
from rtsim.typing import AnyFloatArray, FloatArray, IntArray

JAW_MARGIN_MM = 2.0
"""The jaws stand this far outside the outermost leaf end of a beam, so that the leaves define the edge."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BeamletMap:
    """The beamlets of a beam as a map: rows along BLD y, columns along BLD x.

    Attributes:
        row, column: (n,) of each beamlet.
        x_edges_mm: (columns + 1,), y_edges_mm: (rows, 2).
    """

    row: IntArray
    column: IntArray
    x_edges_mm: FloatArray
    y_edges_mm: FloatArray

    @classmethod
    def of(cls, beamlets: Beamlets) -> BeamletMap:
        """Arrange beamlets that share one width along x and lie on one pitch.

        Raises:
            InputError: widths differ or centers lie off the pitch.
        """
        width = float(beamlets.width_x_mm[0])
        lower = beamlets.center_x_mm - beamlets.width_x_mm / 2
        column = np.rint((lower - lower.min()) / width)
        if np.ptp(beamlets.width_x_mm) > 1e-6 or np.abs(lower - lower.min() - column * width).max() > 1e-3 * width:
            raise InputError("beamlets of one beam must share width_x_mm and lie on one pitch along x to be sequenced")
        y, first, row = np.unique(np.round(beamlets.center_y_mm, 6), return_index=True, return_inverse=True)
        half = beamlets.width_y_mm[first] / 2
        count = int(column.max()) + 1
        return cls(
            row=row.astype(np.int64),
            column=column.astype(np.int64),
            x_edges_mm=lower.min() + width * np.arange(count + 1),
            y_edges_mm=np.stack((y - half, y + half), axis=1),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.y_edges_mm), len(self.x_edges_mm) - 1

    def fluence(self, values: AnyFloatArray) -> FloatArray:
        """(rows, columns) of one value a beamlet; 0 where there is no beamlet."""
        out = np.zeros(self.shape)
        out[self.row, self.column] = values
        return out


def multileaf(machine: Machine) -> MultileafCollimator:
    """The multileaf collimator of a machine, or a MachineLimitError that says what to change."""
    if machine.mlc is None:
        raise MachineLimitError(
            f"machine {machine.name!r} has no multileaf collimator; it cannot deliver a modulated plan. "
            "Choose another machine or a conventional plan"
        )
    return machine.mlc


def rows_of_leaves(edges: BeamletMap, mlc: MultileafCollimator) -> IntArray:
    """(leaf pairs,) the row of the map that each leaf pair forms, -1 for none.

    Raises:
        MachineLimitError: a row has no leaf pair (the leaves are wider than the beamlets).
    """
    sides = np.asarray(mlc.leaf_edges_mm)
    middle = 0.5 * (sides[1:] + sides[:-1])
    inside = (middle[:, None] > edges.y_edges_mm[:, 0]) & (middle[:, None] < edges.y_edges_mm[:, 1])
    missing = np.flatnonzero(~inside.any(axis=0))
    if missing.size:
        low, high = edges.y_edges_mm[missing[0]]
        raise MachineLimitError(
            f"no leaf pair of {mlc.model} forms the beamlets at {low:g} .. {high:g} mm; "
            "build the beamlets on the leaf rows of the machine"
        )
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1).astype(np.int64)


def beam_jaws(
    shapes: tuple[Shape, ...], edges: BeamletMap, machine: Machine
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Jaws (x, y) in mm that hold all shapes of a beam; they stand still while it is on."""
    opened = np.array([s.open_columns for s in shapes])
    used = opened[..., 1] > opened[..., 0]
    rows = np.flatnonzero(used.any(axis=0))
    x0 = float(edges.x_edges_mm[opened[..., 0][used].min()]) - JAW_MARGIN_MM
    x1 = float(edges.x_edges_mm[opened[..., 1][used].max()]) + JAW_MARGIN_MM
    y0, y1 = float(edges.y_edges_mm[rows].min()), float(edges.y_edges_mm[rows].max())
    low_x, high_x = machine.field_limit_x_mm
    low_y, high_y = machine.field_limit_y_mm
    return reachable_jaws(machine, (max(x0, low_x), min(x1, high_x)), (max(y0, low_y), min(y1, high_y)))


def aperture(
    shape: Shape, edges: BeamletMap, machine: Machine, jaws: tuple[tuple[float, float], tuple[float, float]]
) -> Aperture:
    """The aperture of one shape: open rows at the edges of their columns, all other pairs closed behind a jaw.

    An open pair narrower than the least gap is widened to it, and each end stands in by half of the dosimetric leaf
    gap, so that what is transmitted is as wide as what was planned.

    Raises:
        MachineLimitError: a leaf would have to go beyond its range.
    """
    mlc = multileaf(machine)
    row = rows_of_leaves(edges, mlc)
    leaves = parked_leaves(machine, jaws[0])
    for leaf in np.flatnonzero(row >= 0):
        first, last = shape.open_columns[row[leaf]]
        if last > first:
            inset = mlc.dosimetric_leaf_gap_mm / 2
            left, right = edges.x_edges_mm[first] + inset, edges.x_edges_mm[last] - inset
            if right - left < mlc.min_gap_mm:
                middle = 0.5 * (left + right)
                left, right = middle - mlc.min_gap_mm / 2, middle + mlc.min_gap_mm / 2
            leaves[leaf] = left, right
    out = Aperture(jaws_x_mm=jaws[0], jaws_y_mm=jaws[1], leaf_pairs_mm=leaves)
    check_aperture(out, machine)
    return out


def dosimetric(shape: Aperture, mlc: MultileafCollimator) -> Aperture:
    """The aperture as it transmits: every leaf end back by half of the dosimetric leaf gap."""
    if shape.leaf_pairs_mm is None:
        return shape
    half = np.array([-0.5, 0.5]) * mlc.dosimetric_leaf_gap_mm
    return replace(shape, leaf_pairs_mm=shape.leaf_pairs_mm + half)


def check_leaves(beam: Beam) -> None:
    """Refuse a beam that the machine cannot set, independently of how it was made.

    Raises:
        MachineLimitError: names the beam, the control point and the pair.
    """
    for k, point in enumerate(beam.control_points):
        try:
            check_aperture(point.aperture, beam.machine)
        except MachineLimitError as error:
            raise MachineLimitError(f"{beam.label}, control point {k}: {error}") from error

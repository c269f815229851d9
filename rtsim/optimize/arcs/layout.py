"""Which beamlets each leaf pair of each interval opens: arcs laid over the columns of an influence matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.optimize.arcs.opening import mean_cover
from rtsim.optimize.arcs.paths import ArcPath
from rtsim.optimize.leaves import BeamletMap, multileaf, rows_of_leaves
from rtsim.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ArcLayout:
    """One arc over its beamlets. Only the leaf pairs that have beamlets anywhere on the arc are in it.

    Attributes:
        path: of the gantry.
        pairs: (p,) numbers of the leaf pairs; ``row`` (p,) the row of beamlets that each is part of; ``share`` (p,)
            the share of that row's height.
        x_edges_mm: (c + 1,) of the columns, common to all planning beams.
        index: (intervals, r, c) column of the influence matrix; -1: no beamlet.
        area_mm2: (r, c) of a beamlet.
        low_mm, high_mm: (intervals + 1, p) between which a pair may open at each control point.
        opens: (intervals + 1, p) whether there is anything to open.
        transmission, leaf_gap_mm: of the leaves; the gap is the dosimetric one.
        least_gap_mm: between opposing leaves.
    """

    path: ArcPath
    pairs: IntArray
    row: IntArray
    share: FloatArray
    x_edges_mm: FloatArray
    y_mm: tuple[float, float]
    index: IntArray
    area_mm2: FloatArray
    low_mm: FloatArray
    high_mm: FloatArray
    opens: BoolArray
    transmission: float
    leaf_gap_mm: float
    least_gap_mm: float

    @classmethod
    def of(cls, path: ArcPath, beams: tuple[Beam, ...], first_column: int, machine: Machine) -> ArcLayout:
        """``beams``: the planning beams of this arc, whose beamlets begin at ``first_column`` of the matrix.

        Raises:
            InputError: the beams are not those of the arc.
            MachineLimitError: a row of beamlets has no leaf pair.
        """
        mlc = multileaf(machine)
        grid, index = _map_of(path, beams, first_column)
        row_of = rows_of_leaves(grid, mlc)
        pairs = np.flatnonzero(row_of >= 0)
        row = row_of[pairs]
        widths = np.diff(np.asarray(mlc.leaf_edges_mm))[pairs]
        heights = grid.y_edges_mm[:, 1] - grid.y_edges_mm[:, 0]
        own = index[path.planning_of]
        low, high, opens = _ranges(own, grid.x_edges_mm, row)
        return cls(
            path=path,
            pairs=pairs.astype(np.int64),
            row=row,
            share=np.minimum(widths / heights[row], 1.0),
            x_edges_mm=grid.x_edges_mm,
            y_mm=(float(grid.y_edges_mm.min()), float(grid.y_edges_mm.max())),
            index=own,
            area_mm2=heights[:, None] * np.diff(grid.x_edges_mm)[None, :],
            low_mm=low,
            high_mm=high,
            opens=opens,
            transmission=mlc.transmission,
            leaf_gap_mm=mlc.dosimetric_leaf_gap_mm,
            least_gap_mm=mlc.min_gap_mm,
        )

    def openings(self, left_mm: FloatArray, right_mm: FloatArray) -> tuple[FloatArray, ...]:
        """What each interval transmits, on average over its motion, and its slopes.

        Args:
            left_mm, right_mm: (intervals + 1, p) at the control points.

        Returns:
            (intervals, r, c) share of each beamlet, leakage included; then (intervals, p, c) slopes of a pair's share
            by the left end at the first and second control point, and by the right end at both; per mm.
        """
        half = 0.5 * self.leaf_gap_mm
        left, left_a, left_b = mean_cover(left_mm[:-1] - half, left_mm[1:] - half, self.x_edges_mm)
        right, right_a, right_b = mean_cover(right_mm[:-1] + half, right_mm[1:] + half, self.x_edges_mm)
        shares = np.zeros((self.row_count, self.pairs.size))
        shares[self.row, np.arange(self.pairs.size)] = self.share
        opened = np.einsum("rp,npc->nrc", shares, right - left, optimize=True)
        return self.transmission + (1.0 - self.transmission) * opened, left_a, left_b, right_a, right_b

    @property
    def row_count(self) -> int:
        """Rows of beamlets."""
        return int(self.index.shape[1])


def _map_of(path: ArcPath, beams: tuple[Beam, ...], first_column: int) -> tuple[BeamletMap, IntArray]:
    """One map that holds the beamlets of all planning beams, and (beams, rows, columns) their matrix columns."""
    if len(beams) != len(path.planning_deg) or any(b.beamlets is None for b in beams):
        raise InputError(
            f"the arc from {path.start_deg:g} degrees is planned on {len(path.planning_deg)} beams with beamlets; "
            f"{len(beams)} were given. Use those of Arcs.planning_beams"
        )
    for beam, angle in zip(beams, path.planning_deg, strict=True):
        if abs((beam.gantry_deg - angle + 180.0) % 360.0 - 180.0) > 1e-3 or beam.collimator_deg != path.collimator_deg:
            raise InputError(
                f"{beam.label} stands at gantry {beam.gantry_deg:g}, collimator {beam.collimator_deg:g} degrees; the "
                f"arc is planned at {angle:g} and {path.collimator_deg:g}. Use the beams of Arcs.planning_beams"
            )
    maps = [BeamletMap.of(b.beamlets) for b in beams if b.beamlets is not None]
    width = float(maps[0].x_edges_mm[1] - maps[0].x_edges_mm[0])
    left = min(float(m.x_edges_mm[0]) for m in maps)
    columns = round((max(float(m.x_edges_mm[-1]) for m in maps) - left) / width)
    bands = np.unique(np.round(np.concatenate([m.y_edges_mm for m in maps]), 6), axis=0)
    index = np.full((len(beams), len(bands), columns), -1, dtype=np.int64)
    for n, m in enumerate(maps):
        shift = round((float(m.x_edges_mm[0]) - left) / width)
        rows = np.searchsorted(bands[:, 0], np.round(m.y_edges_mm[:, 0], 6))
        index[n, rows[m.row], m.column + shift] = first_column + np.arange(m.row.size)
        first_column += m.row.size
    columns_mm: FloatArray = np.asarray(left + width * np.arange(columns + 1), dtype=np.float64)
    grid = BeamletMap(
        row=np.zeros(0, dtype=np.int64),
        column=np.zeros(0, dtype=np.int64),
        x_edges_mm=columns_mm,
        y_edges_mm=bands,
    )
    return grid, index


def _ranges(index: IntArray, x_edges_mm: FloatArray, row: IntArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """(control points, pairs) reach of the beamlets of both neighboring intervals; where there are none, a point."""
    there = index >= 0
    first, last = there.argmax(axis=2), there.shape[2] - there[:, :, ::-1].argmax(axis=2)
    some = there.any(axis=2)
    low = np.where(some, x_edges_mm[first], np.inf)
    high = np.where(some, x_edges_mm[np.minimum(last, there.shape[2])], -np.inf)
    pad = ((1, 1), (0, 0))
    low, high = np.pad(low, pad, constant_values=np.inf), np.pad(high, pad, constant_values=-np.inf)
    low, high = np.minimum(low[:-1], low[1:]), np.maximum(high[:-1], high[1:])
    opens = high > low
    n = np.arange(len(low))
    for r in range(low.shape[1]):
        if not opens[:, r].all():
            where = np.flatnonzero(opens[:, r])
            middle = 0.5 * (low[where, r] + high[where, r])
            closed = ~opens[:, r]
            low[closed, r] = high[closed, r] = np.interp(n[closed], where, middle)
    return low[:, row], high[:, row], opens[:, row]


@dataclass(frozen=True, eq=False, kw_only=True)
class Layouts:
    """All arcs of a plan, in the order of delivery, and how the matrix's columns are shared among them."""

    arcs: tuple[ArcLayout, ...]
    columns: int

    @classmethod
    def of(cls, paths: tuple[ArcPath, ...], beams: tuple[Beam, ...], machine: Machine) -> Layouts:
        """Of the planning beams of all arcs, one arc after another.

        Raises:
            InputError: the beams are not those of the arcs.
        """
        counts = [b.beamlets.count if b.beamlets is not None else 0 for b in beams]
        found, at, column = [], 0, 0
        for path in paths:
            own = beams[at : at + len(path.planning_deg)]
            found.append(ArcLayout.of(path, own, column, machine))
            column += sum(counts[at : at + len(own)])
            at += len(own)
        if at != len(beams):
            raise InputError(f"{len(beams)} planning beams are given; the arcs have {at}")
        return cls(arcs=tuple(found), columns=column)

    @property
    def arc_of_columns(self) -> IntArray:
        """(columns,) the arc that each column of the matrix belongs to."""
        out = np.zeros(self.columns, dtype=np.int64)
        for n, layout in enumerate(self.arcs):
            out[layout.index[layout.index >= 0]] = n
        return out

"""From leaf ends and monitor units to the fluence of beamlets, and its gradient back.

A beamlet gets from a segment its monitor units times the share of its area that is open, plus the transmission T of
the leaves wherever the jaws are open. For one leaf pair over one beamlet, whose column spans x0 .. x1,

    open = (1 - T) height / (width_x width_y) [W(right + g/2) - W(left - g/2)],   W(p) = R(p - x0) - R(p - x1),

g the dosimetric leaf gap. R is the ramp max(0, t), rounded over +- ``edge_mm`` by a quadratic: the convolution of the
leaf's edge with a uniform penumbra. Without rounding the fluence is piecewise linear in the leaf ends, with kinks at
every edge of a column where a descent would get caught; rounded, its gradient is continuous, and summed over the
columns it stays exact.

Source: direct aperture optimization by gradients, Hardemark et al., RaySearch white paper (2003); Cassioli & Unkelbach,
Phys Med Biol 58 (2013) 301, DOI 10.1088/0031-9155/58/2/301 (fluence piecewise linear in the leaf ends).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from rtsim.beams.apertures import beamlet_opening
from rtsim.beams.model import Aperture, Beam, Beamlets
from rtsim.dose.result import Influence
from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.optimize.leaves import dosimetric, multileaf
from rtsim.typing import BoolArray, FloatArray, IntArray


def rounded_ramp(t: FloatArray, edge_mm: float) -> FloatArray:
    """max(0, t), its corner rounded over -edge_mm .. edge_mm; mm."""
    if edge_mm <= 0.0:
        return np.maximum(t, 0.0)
    near = np.clip(t + edge_mm, 0.0, 2.0 * edge_mm)
    return np.asarray(near * near / (4.0 * edge_mm) + np.maximum(t - edge_mm, 0.0))


def rounded_step(t: FloatArray, edge_mm: float) -> FloatArray:
    """Derivative of :func:`rounded_ramp`."""
    if edge_mm <= 0.0:
        return np.asarray((t > 0.0).astype(np.float64))
    return np.clip((t + edge_mm) / (2.0 * edge_mm), 0.0, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Openings:
    """The map from leaf ends and monitor units to beamlets, for segments whose jaws stand still.

    Leaf pairs that stand behind a jaw, or that form no beamlet, do not move; what they let through is in ``base``.

    Attributes:
        segment, pair: (m,) of each pair that moves.
        lower_mm, upper_mm: (m,) how far its ends may go.
        base: (beamlets, segments) CSR, what a segment lets through without the pairs that move.
        cell_end: (c,) index of the moving pair of each pair-beamlet overlap; ``cell_beamlet`` (c,) the beamlet;
            ``cell_x0_mm``, ``cell_x1_mm`` (c,) its column between the jaws; ``cell_share`` (c,) per mm of open width.
        half_gap_mm: half of the dosimetric leaf gap.
        edge_mm: half-width of the rounding.
    """

    segment: IntArray
    pair: IntArray
    lower_mm: FloatArray
    upper_mm: FloatArray
    base: sparse.csr_array
    cell_end: IntArray
    cell_beamlet: IntArray
    cell_x0_mm: FloatArray
    cell_x1_mm: FloatArray
    cell_share: FloatArray
    half_gap_mm: float
    edge_mm: float

    @property
    def count(self) -> int:
        """How many pairs move."""
        return int(self.segment.size)

    def fluence(self, ends_mm: FloatArray, monitor_units: FloatArray) -> FloatArray:
        """(beamlets,) monitor units that each beamlet gets of ``ends_mm`` (m, 2) and ``monitor_units`` (segments,)."""
        units = monitor_units[self.segment[self.cell_end]] * self._open(ends_mm)
        moved = np.bincount(self.cell_beamlet, weights=units, minlength=self.base.shape[0])
        return np.asarray(self.base @ monitor_units + moved)

    def pullback(
        self, ends_mm: FloatArray, monitor_units: FloatArray, slope: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradients (m, 2) and (segments,) of a gradient ``slope`` (beamlets,) with respect to the fluence."""
        price = slope[self.cell_beamlet]
        owner = self.segment[self.cell_end]
        segments = self.base.shape[1]
        of_units = self.base.T @ slope + np.bincount(owner, weights=price * self._open(ends_mm), minlength=segments)
        weight = price * monitor_units[owner] * self.cell_share
        of_ends = np.empty((self.count, 2))
        for side, sign in ((0, -1.0), (1, 1.0)):
            at = ends_mm[self.cell_end, side] + sign * self.half_gap_mm
            rise = rounded_step(at - self.cell_x0_mm, self.edge_mm) - rounded_step(at - self.cell_x1_mm, self.edge_mm)
            of_ends[:, side] = np.bincount(self.cell_end, weights=sign * weight * rise, minlength=self.count)
        return of_ends, np.asarray(of_units)

    def _open(self, ends_mm: FloatArray) -> FloatArray:
        """(c,) share of each beamlet that its pair opens."""
        left, right = ends_mm[self.cell_end, 0] - self.half_gap_mm, ends_mm[self.cell_end, 1] + self.half_gap_mm
        return np.asarray(self.cell_share * (self._within(right) - self._within(left)))

    def _within(self, at_mm: FloatArray) -> FloatArray:
        """(c,) width in mm of each column to the left of a leaf edge."""
        return rounded_ramp(at_mm - self.cell_x0_mm, self.edge_mm) - rounded_ramp(at_mm - self.cell_x1_mm, self.edge_mm)


def openings(
    influence: Influence,
    apertures: Sequence[tuple[int, Aperture]],
    machine: Machine,
    edge_mm: float,
) -> Openings:
    """The map of segments given as (index of the beam in the influence matrix, aperture).

    Raises:
        MachineLimitError: the machine has no multileaf collimator, or another number of leaf pairs.
    """
    mlc = multileaf(machine)
    parts = [
        _Segment.of(influence.beams[k], influence.columns_of(k), shape, machine, edge_mm) for k, shape in apertures
    ]
    counts = [len(p.pair) for p in parts]
    first = np.concatenate(([0], np.cumsum(counts)))
    columns = [sparse.coo_array((p.base, (p.beamlets, np.zeros_like(p.beamlets))), (influence.matrix.shape[1], 1))
               for p in parts]  # fmt: skip
    return Openings(
        segment=np.repeat(np.arange(len(parts)), counts),
        pair=np.concatenate([p.pair for p in parts]),
        lower_mm=np.concatenate([p.lower_mm for p in parts]),
        upper_mm=np.concatenate([p.upper_mm for p in parts]),
        base=sparse.csr_array(sparse.hstack(columns, format="csr")),
        cell_end=np.concatenate([f + p.cell_pair for f, p in zip(first, parts, strict=False)]),
        cell_beamlet=np.concatenate([p.beamlets[p.cell_beamlet] for p in parts]),
        cell_x0_mm=np.concatenate([p.cell_x0_mm for p in parts]),
        cell_x1_mm=np.concatenate([p.cell_x1_mm for p in parts]),
        cell_share=np.concatenate([p.cell_share for p in parts]),
        half_gap_mm=mlc.dosimetric_leaf_gap_mm / 2,
        edge_mm=edge_mm,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Segment:
    """One segment's part of the map; ``cell_pair`` and ``cell_beamlet`` count within the segment and its beam."""

    beamlets: IntArray
    base: FloatArray
    pair: IntArray
    lower_mm: FloatArray
    upper_mm: FloatArray
    cell_pair: IntArray
    cell_beamlet: IntArray
    cell_x0_mm: FloatArray
    cell_x1_mm: FloatArray
    cell_share: FloatArray

    @classmethod
    def of(cls, beam: Beam, columns: slice, shape: Aperture, machine: Machine, edge_mm: float) -> _Segment:
        """Which beamlet columns the leaf pairs of one segment can open."""
        if beam.beamlets is None or shape.leaf_pairs_mm is None:
            raise InputError(f"{beam.label} needs beamlets, and its segments leaf pairs, to be optimized")
        b, mlc = beam.beamlets, multileaf(machine)
        edges = machine.leaf_edges_mm
        low, high = np.maximum(edges[:-1], shape.jaws_y_mm[0]), np.minimum(edges[1:], shape.jaws_y_mm[1])
        y0, y1 = b.center_y_mm - b.width_y_mm / 2, b.center_y_mm + b.width_y_mm / 2
        height = np.clip(np.minimum(y1, high[:, None]) - np.maximum(y0, low[:, None]), 0.0, None)
        x0 = np.maximum(b.center_x_mm - b.width_x_mm / 2, shape.jaws_x_mm[0])
        x1 = np.minimum(b.center_x_mm + b.width_x_mm / 2, shape.jaws_x_mm[1])
        reached = (height > 0.0) & (x1 > x0)
        inset = mlc.dosimetric_leaf_gap_mm / 2
        lower = np.maximum(np.where(reached, x0, np.inf).min(axis=1) + inset, -mlc.max_position_mm)
        upper = np.minimum(np.where(reached, x1, -np.inf).max(axis=1) - inset, mlc.max_position_mm)
        pair = np.flatnonzero((upper - lower > mlc.min_gap_mm) & ~_behind_jaw(shape, inset))
        cell_pair, cell_beamlet = np.nonzero(reached[pair])
        through = 1.0 - mlc.transmission
        return cls(
            beamlets=np.arange(columns.start, columns.stop),
            base=_base(shape, b, machine, pair),
            pair=pair,
            lower_mm=lower[pair],
            upper_mm=upper[pair],
            cell_pair=cell_pair,
            cell_beamlet=cell_beamlet,
            cell_x0_mm=x0[cell_beamlet],
            cell_x1_mm=x1[cell_beamlet],
            cell_share=through * height[pair][cell_pair, cell_beamlet] / (b.width_x_mm * b.width_y_mm)[cell_beamlet],
        )


def _behind_jaw(shape: Aperture, half_gap_mm: float) -> BoolArray:
    """(pairs,) True where a jaw covers the opening of the pair."""
    assert shape.leaf_pairs_mm is not None
    left, right = shape.leaf_pairs_mm.T
    return np.asarray((left - half_gap_mm >= shape.jaws_x_mm[1]) | (right + half_gap_mm <= shape.jaws_x_mm[0]))


def _base(shape: Aperture, beamlets: Beamlets, machine: Machine, moving: IntArray) -> FloatArray:
    """(n,) transmission between the jaws, and the opening of the pairs that do not move."""
    mlc = multileaf(machine)
    jaws = beamlet_opening(replace(shape, leaf_pairs_mm=None), beamlets, machine)
    assert shape.leaf_pairs_mm is not None
    rest = dosimetric(shape, mlc)
    assert rest.leaf_pairs_mm is not None
    leaves = rest.leaf_pairs_mm.copy()
    leaves[moving] = shape.jaws_x_mm[1]
    return mlc.transmission * jaws + (1.0 - mlc.transmission) * beamlet_opening(
        replace(shape, leaf_pairs_mm=leaves), beamlets, machine
    )

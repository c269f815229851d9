"""The dose of apertures at the rows of a planning, and what the plan wants of it, with gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.optimize.apertures.motion import Motion
from rtsim.optimize.apertures.openings import Openings, openings
from rtsim.optimize.apertures.settings import DirectAperture
from rtsim.optimize.constraints import Constraint
from rtsim.optimize.fluence import Planning
from rtsim.optimize.leaves import multileaf
from rtsim.optimize.objectives import Region
from rtsim.optimize.products import Products
from rtsim.optimize.segment_weights import Correction, Segment
from rtsim.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Point:
    """What is sought: ``ends_mm`` (m, 2) of the pairs that move, and ``monitor_units`` (segments,)."""

    ends_mm: FloatArray
    monitor_units: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ApertureDose:
    """Dose of leaf ends and monitor units, and the objective on it.

    Attributes:
        products: with the influence matrix.
        segments: where it starts; pairs that do not move stay as they are in them.
        openings: the map to beamlets.
        constraints: hard limits at their levels.
        unit_price: Gy^2 per monitor unit.
        scatter: (rows, beams) correction, and ``area_mm2`` (beamlets,) with the ``beam`` (beamlets,) of each; None.
    """

    planning: Planning
    products: Products
    segments: tuple[Segment, ...]
    machine: Machine
    openings: Openings
    constraints: tuple[tuple[Constraint, Region], ...]
    motion: Motion | None
    unit_price: float
    scatter: FloatArray | None
    area_mm2: FloatArray
    beam: IntArray

    @classmethod
    def of(
        cls,
        planning: Planning,
        segments: tuple[Segment, ...],
        machine: Machine,
        correction: Correction | None,
        levels_gy: dict[int, float],
        motion: Motion | None,
        settings: DirectAperture,
    ) -> ApertureDose:
        """The model of a planning's segments."""
        influence = planning.influence
        beamlets = [b.beamlets for b in influence.beams if b.beamlets is not None]
        counts = [0 if b.beamlets is None else b.beamlets.count for b in influence.beams]
        return cls(
            planning=planning,
            products=Products(planning.matrix),
            segments=segments,
            machine=machine,
            openings=openings(influence, [(s.beam, s.aperture) for s in segments], machine, settings.edge_mm),
            constraints=planning.wishes.constraints(levels_gy),
            motion=motion,
            unit_price=settings.monitor_units / planning.prescription.dose_per_fraction_gy / 100.0,
            scatter=None if correction is None else correction.gy_per_mm2_mu,
            area_mm2=np.concatenate([b.width_x_mm * b.width_y_mm for b in beamlets]),
            beam=np.repeat(np.arange(len(counts)), counts),
        )

    def start(self) -> Point:
        """The segments as they are, moved into the bounds."""
        ends = np.empty((self.openings.count, 2))
        for s, segment in enumerate(self.segments):
            own = self.openings.segment == s
            assert segment.aperture.leaf_pairs_mm is not None
            ends[own] = segment.aperture.leaf_pairs_mm[self.openings.pair[own]]
        units = np.array([s.monitor_units for s in self.segments], dtype=np.float64)
        if not np.isfinite(units).all() or (units < 0).any():
            raise InputError("monitor units of the segments to be optimized must be finite and >= 0")
        return self.within(Point(ends_mm=ends, monitor_units=units))

    def within(self, point: Point) -> Point:
        """The nearest point whose leaves are in range and leave the smallest gap."""
        gap, o = multileaf(self.machine).min_gap_mm, self.openings
        middle = np.clip(point.ends_mm.mean(axis=1), o.lower_mm + gap / 2, o.upper_mm - gap / 2)
        left = np.clip(np.minimum(point.ends_mm[:, 0], middle - gap / 2), o.lower_mm, o.upper_mm)
        right = np.clip(np.maximum(point.ends_mm[:, 1], middle + gap / 2), o.lower_mm, o.upper_mm)
        return replace(point, ends_mm=np.stack((left, right), axis=1))

    def bounds(self, point: Point) -> tuple[FloatArray, FloatArray]:
        """(m, 2) lowest and highest positions until the line between the ends of each pair moves."""
        gap, o = multileaf(self.machine).min_gap_mm, self.openings
        middle = point.ends_mm.mean(axis=1)
        return (
            np.stack((o.lower_mm, middle + gap / 2), axis=1),
            np.stack((middle - gap / 2, o.upper_mm), axis=1),
        )

    def dose(self, point: Point) -> FloatArray:
        """(rows,) Gy of all fractions."""
        fluence = self.openings.fluence(point.ends_mm, point.monitor_units)
        gy = np.empty(self.planning.rows.count)
        self.products.times(fluence, gy)
        if self.scatter is not None:
            output = np.bincount(self.beam, weights=fluence * self.area_mm2, minlength=self.scatter.shape[1])
            gy += np.einsum("ij,j->i", self.scatter, output)
        return gy

    def pullback(self, point: Point, slope: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradients (m, 2) and (segments,) of a gradient (rows,) with respect to dose."""
        of_fluence = self.products.transposed_times(slope)
        if self.scatter is not None:
            of_fluence += np.einsum("ij,i->j", self.scatter, slope)[self.beam] * self.area_mm2
        return self.openings.pullback(point.ends_mm, point.monitor_units, of_fluence)

    def objective(self, point: Point, gy: FloatArray) -> tuple[float, FloatArray, tuple[FloatArray, FloatArray]]:
        """Value, gradient (rows,) in dose, and gradients (m, 2), (segments,) of monitor units and motion."""
        value, slope = 0.0, np.zeros(gy.shape)
        for objective, region in self.planning.wishes.objectives:
            if objective.weight > 0:
                own, gradient = objective.evaluate(gy[region.rows], region)
                value += objective.weight * own
                slope[region.rows] += objective.weight * gradient
        of_ends = np.zeros((self.openings.count, 2))
        of_units = np.full(point.monitor_units.shape, self.unit_price)
        value += self.unit_price * float(point.monitor_units.sum())
        if self.motion is not None:
            own, (of_leaves, more) = self.motion.penalty(self.leaves_at(point), point.monitor_units)
            value += own
            of_ends += of_leaves[self.openings.segment, self.openings.pair]
            of_units += more
        return value, slope, (of_ends, of_units)

    def leaves_at(self, point: Point) -> FloatArray:
        """(segments, leaf pairs, 2) of all pairs."""
        leaves = np.stack([np.asarray(s.aperture.leaf_pairs_mm) for s in self.segments])
        leaves[self.openings.segment, self.openings.pair] = point.ends_mm
        return leaves

    def segments_at(self, point: Point) -> tuple[Segment, ...]:
        """The segments with their new leaves and monitor units."""
        return tuple(
            replace(s, aperture=replace(s.aperture, leaf_pairs_mm=leaves), monitor_units=float(units))
            for s, leaves, units in zip(self.segments, self.leaves_at(point), point.monitor_units, strict=True)
        )

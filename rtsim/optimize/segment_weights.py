"""Segments: their doses from the influence matrix, their monitor units optimized again, the small ones left out.

The weights are a convex problem with one column a segment. What the matrix does not know (leakage, leaf gap,
head scatter of the real aperture) comes from a forward dose of the same segments: the difference, divided by their
monitor units, is added to every column, so that the corrected doses equal the forward dose at the weights it was
computed for and scale with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from rtsim.beams import beamlet_opening
from rtsim.beams.model import Aperture, Beam, Beamlets
from rtsim.errors import InfeasiblePlanError
from rtsim.machine.model import Machine
from rtsim.optimize.fluence import Planning
from rtsim.optimize.leaves import check_leaves, dosimetric, multileaf
from rtsim.optimize.solver import AugmentedLagrangian, Problem, Solution
from rtsim.typing import AnyFloatArray, FloatArray, IntArray, Progress

LEAST_SHARE = 0.7
"""Where less of a prediction is delivered it came from few half open beamlets; others would deliver theirs [E]."""

WEIGHT_SOLVER = AugmentedLagrangian(max_iterations=120, tolerance=2e-3, inner_iterations=30)


@dataclass(frozen=True, eq=False, kw_only=True)
class Segment:
    """One aperture of one beam (its index among the influence matrix's beams) and the monitor units it is given."""

    beam: int
    aperture: Aperture
    monitor_units: float


def columns_of(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> AnyFloatArray:
    """(rows, segments) float32: Gy of all fractions per monitor unit of each segment."""
    influence = planning.influence
    out = np.empty((planning.rows.count, len(segments)), dtype=np.float32)
    for k, beam in enumerate(influence.beams):
        own = [s for s, segment in enumerate(segments) if segment.beam == k]
        if own and beam.beamlets is not None:
            opening = np.stack([opening_of(segments[s].aperture, beam.beamlets, machine) for s in own], axis=1)
            out[:, own] = planning.matrix[:, influence.columns_of(k)] @ opening.astype(np.float32)
    return out


def opening_of(aperture: Aperture, beamlets: Beamlets, machine: Machine) -> FloatArray:
    """(n,) what each beamlet lets through: open part, and leakage of the leaves wherever the jaws are open."""
    mlc = multileaf(machine)
    jaws = beamlet_opening(replace(aperture, leaf_pairs_mm=None), beamlets, machine)
    return mlc.transmission * jaws + (1.0 - mlc.transmission) * beamlet_opening(
        dosimetric(aperture, mlc), beamlets, machine
    )


def beams_of(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> tuple[Beam, ...]:
    """Beams whose leaf positions the machine can take; their monitor units are still to be scaled, to what it gives."""
    out = []
    for k, beam in enumerate(planning.influence.beams):
        own = tuple((s.aperture, s.monitor_units) for s in segments if s.beam == k)
        if own:
            out.append(replace(beam, machine=machine, beamlets=None, beamlet_monitor_units=None).with_segments(own))
            check_leaves(out[-1])
    return tuple(out)


def openings_of(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> FloatArray:
    """(segments,) mm2 of each aperture in the isocenter plane, leakage included; its scatter goes with it."""
    out = np.zeros(len(segments))
    for s, segment in enumerate(segments):
        beamlets = planning.influence.beams[segment.beam].beamlets
        if beamlets is not None:
            out[s] = opening_of(segment.aperture, beamlets, machine) @ (beamlets.width_x_mm * beamlets.width_y_mm)
    return out


@dataclass(frozen=True, eq=False, kw_only=True)
class Correction:
    """By how much the matrix errs of the delivered dose, beam by beam (of arcs: arc by arc).

    What is missing is mostly scatter beyond the reach of the beamlets' columns, so that it goes with open area times
    monitor units: a change of apertures takes its share along. What is too much (half open beamlets beside a steep
    fall) goes with the dose itself, as a factor: taken off with the open area it would make dose negative where little
    is left, and an optimizer would find these places.

    Attributes:
        gy_per_mm2_mu: (rows, beams) >= 0, missing.
        share: (rows, beams) of what the matrix predicts that is delivered, ``LEAST_SHARE`` to 1; None: all of it.
    """

    gy_per_mm2_mu: FloatArray
    share: FloatArray | None = None

    @classmethod
    def of(
        cls,
        planning: Planning,
        columns: AnyFloatArray,
        segments: tuple[Segment, ...],
        machine: Machine,
        delivered_gy: FloatArray,
    ) -> Correction:
        """From ``delivered_gy`` (rows, beams), the forward dose of each beam of these segments.

        A beam without segments takes the mean of the others.
        """
        units = np.array([s.monitor_units for s in segments])
        output = units * openings_of(planning, segments, machine)
        beam = np.array([s.beam for s in segments])
        predicted, outputs = np.zeros_like(delivered_gy), np.zeros(delivered_gy.shape[1])
        for k in np.unique(beam):
            own = beam == k
            predicted[:, k], outputs[k] = columns[:, own].astype(np.float64) @ units[own], output[own].sum()
        return cls.between(predicted, delivered_gy, outputs)

    @classmethod
    def between(cls, predicted_gy: FloatArray, delivered_gy: FloatArray, output_mm2_mu: FloatArray) -> Correction:
        """From two doses (rows, parts), a part being a beam or an arc.

        Args:
            output_mm2_mu: (parts,) open area times monitor units; a part of 0 takes the mean of the others.
        """
        delivers = output_mm2_mu > 0.0
        share = np.clip(delivered_gy / np.maximum(predicted_gy, 1e-12), LEAST_SHARE, 1.0)
        missing = np.maximum(delivered_gy - predicted_gy, 0.0) / np.where(delivers, output_mm2_mu, 1.0)
        for array in (missing, share):
            array[:, ~delivers] = array[:, delivers].mean(axis=1)[:, None]
        return cls(gy_per_mm2_mu=missing, share=share)

    def applied_to(self, planning: Planning, part: IntArray | None = None) -> Planning:
        """The planning with the matrix times ``share``; what is missing is left to :meth:`added_to`.

        Args:
            part: (columns of the matrix,) whose share each column takes; default: that of its beam.
        """
        if self.share is None:
            return planning
        matrix = planning.matrix
        if part is None:
            beamlets = [0 if b.beamlets is None else b.beamlets.count for b in planning.influence.beams]
            part = np.repeat(np.arange(len(beamlets)), beamlets)
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        values = matrix.data * self.share.astype(np.float32)[row, part[matrix.indices]]
        known = sparse.csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)
        return replace(planning, matrix=known, adjoint=sparse.csr_array(known.T))

    def added_to(
        self, columns: AnyFloatArray, planning: Planning, segments: tuple[Segment, ...], machine: Machine
    ) -> AnyFloatArray:
        """(rows, segments) columns with what is missing in them."""
        beam = [s.beam for s in segments]
        area = openings_of(planning, segments, machine)
        return np.asarray(columns + (self.gy_per_mm2_mu[:, beam] * area).astype(np.float32))


def optimize_weights(
    planning: Planning,
    segments: tuple[Segment, ...],
    machine: Machine,
    *,
    correction: Correction | None = None,
    levels_gy: dict[int, float] | None = None,
    solver: AugmentedLagrangian | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[Segment, ...], Solution]:
    """Monitor units of the segments for the same objectives and hard limits.

    Args:
        correction: what an earlier forward dose showed to be missing from the matrix.
        levels_gy: replaces hard limits by position.
    """
    columns = columns_of(planning, segments, machine)
    if correction is not None:
        columns = correction.added_to(columns, planning, segments, machine)
    problem = Problem(
        matrix=np.ascontiguousarray(columns),
        offset_gy=np.zeros(planning.rows.count),
        objectives=planning.wishes.objectives,
        constraints=planning.wishes.constraints(levels_gy or {}),
    )
    start = np.array([s.monitor_units for s in segments])
    solution = (solver or WEIGHT_SOLVER).solve(problem, start, progress=progress)
    weighted = tuple(replace(s, monitor_units=float(w)) for s, w in zip(segments, solution.weights, strict=True))
    return weighted, solution


def without_small(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> tuple[Segment, ...]:
    """The segments that keep enough monitor units for the machine, with some room for scaling.

    Raises:
        InfeasiblePlanError: no segment does.
    """
    least = 1.2 * machine.limits.min_monitor_units_per_segment
    kept = tuple(s for s in segments if s.monitor_units >= least)
    if not kept:
        raise InfeasiblePlanError(
            f"no segment keeps {least:g} monitor units or more; the prescription of "
            f"{planning.prescription.dose_per_fraction_gy:.3g} Gy per fraction is too small for "
            f"{len(segments)} segments on {machine.name}. Use fewer levels or fewer beams"
        )
    return kept

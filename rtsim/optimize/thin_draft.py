"""Step and shoot as a draft: segments with their weights, searched for new ones, corrected by their delivered dose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rtsim.beams import coplanar, posterior, with_beamlets
from rtsim.beams.model import Aperture, Beam
from rtsim.errors import MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.aperture_search import search
from rtsim.optimize.fluence import FluencePlan, Planning
from rtsim.optimize.leaves import multileaf
from rtsim.optimize.segment_weights import (
    WEIGHT_SOLVER,
    Correction,
    Segment,
    beams_of,
    columns_of,
    optimize_weights,
    without_small,
)
from rtsim.optimize.sequencing import StepAndShoot, segments_of
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray, Progress


@dataclass(frozen=True, kw_only=True)
class SegmentDelivery:
    """Step and shoot, planned as static segments.

    Attributes:
        sequencer: settings of step and shoot.
        weight_solver: of the monitor units of the segments.
        searches: for new apertures before the first forward dose; ``searches_later`` before each of the others.
        beamlet_width_mm: along the leaf direction.
        beamlet_margin_mm: how far beamlets reach beyond the target's projection.
    """

    sequencer: StepAndShoot = field(default_factory=StepAndShoot)
    weight_solver: AugmentedLagrangian = WEIGHT_SOLVER
    searches: int = 3
    searches_later: int = 1
    beamlet_width_mm: float = 5.0
    beamlet_margin_mm: float = 5.0

    @property
    def name(self) -> str:
        """For notes."""
        return "step and shoot"

    def planning_beams(
        self, machine: Machine, target: Structure, gantry_deg: tuple[float, ...] = ()
    ) -> tuple[Beam, ...]:
        """Nine posterior beams, or those named, on the target's center."""
        multileaf(machine)
        beams = (
            coplanar(machine, gantry_deg=gantry_deg, target=target)
            if gantry_deg
            else posterior(machine, count=9, target=target)
        )
        return with_beamlets(beams, target, pitch_mm=self.beamlet_width_mm, margin_mm=self.beamlet_margin_mm)

    def draft(self, plan: FluencePlan, machine: Machine, *, progress: Progress | None = None) -> SegmentDraft:
        """The sequenced fluence."""
        multileaf(machine)
        segments = segments_of(plan, machine, self.sequencer)
        frames = {s.beam: s.aperture for s in segments}
        return SegmentDraft(settings=self, planning=plan.planning, machine=machine, parts=segments, frames=frames)


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentDraft:
    """Segments, and what their forward dose said of the matrix."""

    settings: SegmentDelivery
    planning: Planning
    machine: Machine
    parts: tuple[Segment, ...]
    frames: dict[int, Aperture]
    correction: Correction | None = None

    @property
    def beams(self) -> tuple[Beam, ...]:
        """Deliverable."""
        return beams_of(self.planning, self.parts, self.machine)

    @property
    def segments(self) -> int:
        """How many."""
        return len(self.parts)

    def corrected(self, rows_gy: FloatArray) -> SegmentDraft:
        """See :class:`~rtsim.optimize.delivery.Draft`."""
        import numpy as np

        spread = np.zeros((self.planning.rows.count, len(self.planning.influence.beams)))
        spread[:, sorted({s.beam for s in self.parts})] = rows_gy
        columns = columns_of(self.planning, self.parts, self.machine)
        correction = Correction.of(self.planning, columns, self.parts, self.machine, spread)
        return replace(self, correction=correction)

    def improved(
        self, planning: Planning, levels_gy: dict[int, float], *, first: bool, progress: Progress | None = None
    ) -> SegmentDraft:
        """Weights; then new apertures where they pay, weights again; at the end without small segments."""
        segments, settings = self.parts, self.settings
        searches = settings.searches if first else settings.searches_later
        for step in range(searches + 2):
            segments, solution = optimize_weights(
                planning,
                segments,
                self.machine,
                correction=self.correction,
                levels_gy=levels_gy,
                solver=settings.weight_solver,
                progress=progress,
            )
            segments = without_small(planning, segments, self.machine) if step >= searches - 1 else segments
            if step < searches:
                new = search(planning, solution, self.machine, self.frames, settings.sequencer.min_open_mm2)
                start = sum(s.monitor_units for s in segments) / len(segments)
                segments += tuple(Segment(beam=b, aperture=a, monitor_units=0.1 * start) for b, a in new)
        return replace(self, planning=planning, parts=without_small(planning, segments, self.machine))

    def kept(self, factor: float) -> SegmentDraft:
        """Without segments that would have too few monitor units."""
        least = self.machine.limits.min_monitor_units_per_segment
        kept = tuple(s for s in self.parts if s.monitor_units * factor >= least)
        if len(kept) == len(self.parts):
            return self
        if not kept:
            raise MachineLimitError(
                f"scaled by {factor:.3g} to the hard limits no segment keeps the {least:g} MU that "
                f"{self.machine.name} gives at least. Raise the limits or use fewer beams or fractions"
            )
        return replace(self, parts=kept)

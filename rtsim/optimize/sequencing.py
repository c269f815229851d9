"""Step and shoot: from beamlet monitor units to segments that a machine can deliver."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rtsim.beams import coplanar, posterior, with_beamlets
from rtsim.beams.model import Aperture, Beam
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.apertures.draft import SegmentsDraft
from rtsim.optimize.apertures.improvement import Improvement
from rtsim.optimize.decomposition import Decomposition, decompose, quantize
from rtsim.optimize.delivery import POSTERIOR_BEAMS
from rtsim.optimize.fluence import FluencePlan
from rtsim.optimize.leaves import BeamletMap, aperture, beam_jaws, check_leaves, multileaf
from rtsim.optimize.plan import Plan
from rtsim.optimize.segment_weights import Segment, beams_of
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, Progress

SMALL_CM3 = 15.0
"""A target so small gets beamlets half as wide: 5 mm are a fifth of it, and its Paddick index says so."""


@dataclass(frozen=True, kw_only=True)
class StepAndShoot:
    """Static segments: settings of the sequencer, and of what follows (a :class:`~rtsim.optimize.delivery.Delivery`).

    Attributes:
        levels: into which the largest fluence of a beam is divided.
        method: how levels become segments.
        min_open_mm2: segments with a smaller open area in the isocenter plane are left out.
        improvement: of the sequenced segments: weights, new apertures, leaf ends.
        beamlet_width_mm: along the leaf direction; default: 5 mm, and 2.5 mm for a target below ``SMALL_CM3``.
        beamlet_margin_mm: how far beamlets reach beyond the target's projection.
    """

    levels: int = 10
    method: Decomposition = Decomposition.FEW_SEGMENTS
    min_open_mm2: float = 75.0
    improvement: Improvement = field(default_factory=Improvement)
    beamlet_width_mm: float | None = None
    beamlet_margin_mm: float = 5.0

    def __post_init__(self) -> None:
        if self.levels < 1 or self.min_open_mm2 < 0:
            raise InputError(
                f"levels is {self.levels} and min_open_mm2 {self.min_open_mm2}; levels >= 1 and an area >= 0 needed"
            )

    @property
    def name(self) -> str:
        """See :class:`~rtsim.optimize.delivery.Delivery`."""
        return "step and shoot"

    def planning_beams(
        self, machine: Machine, target: Structure, gantry_deg: tuple[float, ...] = ()
    ) -> tuple[Beam, ...]:
        """Thirteen posterior beams at gantry 90, 105, ..., 270, or those named, on the target's centroid."""
        multileaf(machine)
        named = coplanar(machine, gantry_deg=gantry_deg, target=target) if gantry_deg else None
        beams = named or posterior(machine, count=POSTERIOR_BEAMS, target=target)
        width = self.beamlet_width_mm or (2.5 if target.volume_cm3 < SMALL_CM3 else 5.0)
        return with_beamlets(beams, target, pitch_mm=width, margin_mm=self.beamlet_margin_mm)

    def draft(self, plan: FluencePlan, machine: Machine, *, progress: Progress | None = None) -> SegmentsDraft:
        """The sequenced fluence.

        Raises:
            MachineLimitError: the machine has no multileaf collimator, or cannot take its positions.
            InfeasiblePlanError: nothing is left to deliver.
        """
        multileaf(machine)
        return SegmentsDraft(
            planning=plan.planning,
            machine=machine,
            parts=segments_of(plan, machine, self),
            improvement=self.improvement,
        )

    def segments(self, beam: Beam, beamlet_monitor_units: AnyFloatArray) -> tuple[tuple[Aperture, float], ...]:
        """(aperture, monitor units) of one beam; empty when its fluence is zero."""
        if beam.beamlets is None:
            raise InputError(f"{beam.label} has no beamlets to sequence")
        edges = BeamletMap.of(beam.beamlets)
        levels, step = quantize(edges.fluence(beamlet_monitor_units), self.levels)
        widths = edges.x_edges_mm[1] - edges.x_edges_mm[0]
        heights = edges.y_edges_mm[:, 1] - edges.y_edges_mm[:, 0]
        shapes = tuple(
            s
            for s in decompose(levels, self.method)
            if float((s.mask(edges.shape[1]).sum(axis=1) * heights).sum() * widths) >= self.min_open_mm2
        )
        if not shapes:
            return ()
        jaws = beam_jaws(shapes, edges, beam.machine)
        return tuple((aperture(s, edges, beam.machine, jaws), s.time * step) for s in shapes)


def sequence_beams(
    beams: tuple[Beam, ...], machine: Machine, *, settings: StepAndShoot | None = None
) -> tuple[Beam, ...]:
    """Beams with control points from beams with ``beamlet_monitor_units``; beams without fluence are left out.

    Raises:
        MachineLimitError: no multileaf collimator, a leaf out of range, or more monitor units than a beam can give.
        InputError: a beam without optimized beamlets, or all weights zero.
    """
    multileaf(machine)
    chosen = settings or StepAndShoot()
    out = []
    for beam in beams:
        if beam.beamlet_monitor_units is None:
            raise InputError(f"{beam.label} has no beamlet_monitor_units; optimize its fluence first")
        segments = chosen.segments(replace(beam, machine=machine), beam.beamlet_monitor_units)
        if segments:
            out.append(replace(beam, machine=machine).with_segments(segments))
    if not out:
        raise InputError("all beamlet weights are zero; there is nothing to deliver. Check objectives and prescription")
    for beam in out:
        check_leaves(beam)
        check_monitor_units(beam)
    return tuple(out)


def check_segment_units(beam: Beam) -> None:
    """Raise MachineLimitError when a segment has fewer monitor units than the machine can give."""
    least = beam.machine.limits.min_monitor_units_per_segment
    fewest = min((units for _, units in beam.segments()), default=least)
    if fewest < least * (1.0 - 1e-9):
        raise MachineLimitError(
            f"{beam.label} has a segment of {fewest:.2f} MU; {beam.machine.name} gives at least {least:g} MU. "
            "Use fewer levels, fewer beams, or fewer fractions"
        )


def segments_of(plan: FluencePlan, machine: Machine, settings: StepAndShoot) -> tuple[Segment, ...]:
    """The sequenced fluence.

    Raises:
        InfeasiblePlanError: nothing is left to deliver.
    """
    out = []
    for k, beam in enumerate(plan.beams):
        assert beam.beamlet_monitor_units is not None
        for shape, units in settings.segments(replace(beam, machine=machine), beam.beamlet_monitor_units):
            out.append(Segment(beam=k, aperture=shape, monitor_units=units))
    if not out:
        raise InfeasiblePlanError(
            "the sequencer found nothing to deliver: the optimized fluence is zero, or every segment is "
            "smaller than min_open_mm2. Lower min_open_mm2 or raise the levels"
        )
    return tuple(out)


def sequence(
    plan: FluencePlan,
    machine: Machine,
    *,
    settings: StepAndShoot | None = None,
    progress: Progress | None = None,
) -> Plan:
    """A deliverable plan from a fluence: segments, improved with the hard limits held in the matrix dose.

    Nothing is certified: that takes an engine's forward dose, see :func:`rtsim.optimize.plan_stereotactic`.

    Raises:
        MachineLimitError: the machine cannot deliver it.
        InfeasiblePlanError: nothing is left to deliver.
    """
    planning = plan.planning
    first = (settings or StepAndShoot()).draft(plan, machine)
    draft = first.improved(planning, {}, first=True, progress=progress)
    beams = beams_of(planning, draft.parts, machine)
    for beam in beams:
        check_monitor_units(beam)
    note = (
        f"{first.segments} segments sequenced, {draft.segments} of the improved ones kept with at least "
        f"{machine.limits.min_monitor_units_per_segment:g} MU."
    )
    return Plan(
        beams=beams,
        prescription=plan.prescription,
        notes=(*plan.notes, note),
        label=f"{plan.prescription.dose_gy:g} Gy/{plan.prescription.fractions}",
    )

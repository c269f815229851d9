"""Step and shoot: from beamlet monitor units to segments that a machine can deliver."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rtsim.beams.model import Aperture, Beam
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.decomposition import Decomposition, decompose, quantize
from rtsim.optimize.leaves import BeamletMap, aperture, beam_jaws, check_leaves, multileaf
from rtsim.typing import AnyFloatArray


@dataclass(frozen=True, kw_only=True)
class StepAndShoot:
    """Settings of the sequencer.

    Attributes:
        levels: into which the largest fluence of a beam is divided.
        method: how levels become segments.
        min_open_mm2: segments with a smaller open area in the isocenter plane are left out.
    """

    levels: int = 10
    method: Decomposition = Decomposition.FEW_SEGMENTS
    min_open_mm2: float = 75.0

    def __post_init__(self) -> None:
        if self.levels < 1 or self.min_open_mm2 < 0:
            raise InputError(
                f"levels is {self.levels} and min_open_mm2 {self.min_open_mm2}; levels >= 1 and an area >= 0 needed"
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

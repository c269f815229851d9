"""What one beam of a plan does, in the words and numbers that every table of it gives: terminal, report, JSON."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from rtsim.beams import delivery_time, same_aperture
from rtsim.beams.delivery_time import turn_deg
from rtsim.beams.model import Beam
from rtsim.errors import RtsimError


@dataclass(frozen=True, kw_only=True)
class BeamSummary:
    """One beam.

    Attributes:
        kind: "arc", "sliding window", "step and shoot" or "static".
        gantry_stop_deg: of the last control point; as ``gantry_start_deg`` when the gantry stands.
        turn_deg: how far the gantry turns, clockwise (rising angles, IEC 61217) positive; 0 when it stands.
        control_points: those of the plan and of its RTPLAN.
        segments: static shapes that are given, of a beam that stands while it is on; None where leaves or gantry move.
        seconds: from the first control point to the last; None where the machine says no speeds.
    """

    name: str
    kind: str
    gantry_start_deg: float
    gantry_stop_deg: float
    turn_deg: float
    couch_deg: float
    collimator_deg: float
    wedge: str | None
    control_points: int
    segments: int | None
    monitor_units: float
    seconds: float | None

    @property
    def direction(self) -> str:
        """ "clockwise" or "counterclockwise", seen from the foot of the couch; "" when the gantry stands."""
        return "" if self.kind != "arc" else "clockwise" if self.turn_deg > 0 else "counterclockwise"

    @property
    def gantry(self) -> str:
        """ "90\\u00b0", or "181\\u00b0 \\u2192 179\\u00b0 clockwise"."""
        if self.kind != "arc":
            return f"{self.gantry_start_deg:g}\u00b0"
        return f"{self.gantry_start_deg:g}\u00b0 \u2192 {self.gantry_stop_deg:g}\u00b0 {self.direction}"

    @property
    def apertures(self) -> str:
        """ "6 segments", or "91 control points" where leaves or gantry move."""
        count, word = (self.control_points, "control point") if self.segments is None else (self.segments, "segment")
        return f"{count} {word}{'s' * (count != 1)}"

    @property
    def time(self) -> str:
        """ "57 s", or "-" where it is not known."""
        return "-" if self.seconds is None else f"{self.seconds:.0f} s"


def beam_summary(beam: Beam) -> BeamSummary:
    """The numbers of a deliverable beam."""
    points = beam.control_points
    on = sum(b.cumulative_monitor_units > a.cumulative_monitor_units for a, b in pairwise(points))
    moves = moves_while_on(beam)
    return BeamSummary(
        name=beam.name,
        kind="arc" if beam.is_arc else "sliding window" if moves else "step and shoot" if on > 1 else "static",
        gantry_start_deg=points[0].gantry_deg,
        gantry_stop_deg=points[-1].gantry_deg,
        turn_deg=sum(turn_deg(a.gantry_deg, b.gantry_deg) for a, b in pairwise(points)),
        couch_deg=beam.couch_deg,
        collimator_deg=beam.collimator_deg,
        wedge=None if beam.wedge is None else beam.wedge.name,
        control_points=len(points),
        segments=None if moves else on,
        monitor_units=beam.monitor_units,
        seconds=_seconds(beam),
    )


def moves_while_on(beam: Beam) -> bool:
    """Leaves, jaws or gantry move between two control points between which monitor units are given."""
    return any(
        b.cumulative_monitor_units > a.cumulative_monitor_units
        and (a.gantry_deg != b.gantry_deg or not same_aperture(a.aperture, b.aperture))
        for a, b in pairwise(beam.control_points)
    )


def _seconds(beam: Beam) -> float | None:
    try:
        return delivery_time(beam).seconds
    except RtsimError:
        return None

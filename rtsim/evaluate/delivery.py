"""How a plan is delivered, in numbers: technique, apertures, monitor units, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rtsim.beams import check_delivery, treatment_seconds
from rtsim.beams.model import Beam
from rtsim.errors import RtsimError
from rtsim.evaluate.beam_summary import moves_while_on
from rtsim.optimize.plan import Plan

SLOW_SHARE = 0.2
"""Of the intervals of a beam [E]."""


@dataclass(frozen=True, kw_only=True)
class DeliverySummary:
    """What a machine does for one fraction.

    Attributes:
        technique: as the control points say: "arcs", "sliding window", "step and shoot", "static fields".
        beams: how many.
        apertures: "54 segments", or "178 control points" where leaves or gantry move while the beam is on.
        monitor_units: of one fraction; ``monitor_units_per_gy`` of the prescribed dose of it.
        seconds: of all beams and of the machine's moves between them; None where the machine says no speeds. Imaging,
            loading of fields and people are not in it.
        slow: which beams wait for their leaves or jaws in more than ``SLOW_SHARE`` of their intervals, a sentence each:
            the control system lowers both dose rate and gantry speed below half, and may interrupt the beam.
        obstacles: why a beam cannot be delivered as it is, a sentence each; empty when all can.
    """

    technique: str
    beams: int
    apertures: str
    monitor_units: float
    monitor_units_per_gy: float
    seconds: float | None
    slow: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()

    def __str__(self) -> str:
        time = "" if self.seconds is None else f", {_clock(self.seconds)} without setup and imaging"
        return (
            f"{self.technique}: {self.beams} beam{'s' * (self.beams != 1)}, {self.apertures}, "
            f"{self.monitor_units:.0f} MU per fraction ({self.monitor_units_per_gy:.0f} MU/Gy){time}"
            + "".join(f"; {s}" for s in self.slow)
        )


def delivery_summary(plan: Plan) -> DeliverySummary:
    """The numbers of a deliverable plan."""
    beams, units = plan.beams, plan.monitor_units
    moving = any(moves_while_on(b) for b in beams)
    segments = sum(_intervals_on(b) for b in beams)
    points = sum(len(b.control_points) for b in beams)
    return DeliverySummary(
        technique=_technique(beams, moving, segments),
        beams=len(beams),
        apertures=f"{points} control points" if moving else f"{segments} segment{'s' * (segments != 1)}",
        monitor_units=units,
        monitor_units_per_gy=units / plan.prescription.dose_per_fraction_gy,
        seconds=_seconds(beams),
        slow=tuple(words for b in beams if (words := _slow(b))),
        obstacles=tuple(problem for b in beams if (problem := _problem(b))),
    )


def _technique(beams: Sequence[Beam], moving: bool, segments: int) -> str:
    if any(b.is_arc for b in beams):
        return "arcs"
    if moving:
        return "sliding window"
    return "step and shoot" if segments > len(beams) else "static fields"


def _intervals_on(beam: Beam) -> int:
    return sum(b.cumulative_monitor_units > a.cumulative_monitor_units for a, b in pairwise(beam.control_points))


def _seconds(beams: Sequence[Beam]) -> float | None:
    try:
        return treatment_seconds(beams)
    except RtsimError:
        return None


def _problem(beam: Beam) -> str:
    try:
        check_delivery(beam)
    except RtsimError as error:
        return str(error)
    return ""


def _slow(beam: Beam) -> str:
    try:
        share = check_delivery(beam).slowed_share
    except RtsimError:
        return ""
    if share <= SLOW_SHARE:
        return ""
    return f"{beam.label} stays below half of dose rate and gantry speed in {100.0 * share:.0f} % of its intervals"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"

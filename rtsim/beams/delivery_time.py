"""How long a machine takes for a beam, and at which speeds: the slowest of dose rate, gantry, leaves, jaws sets them.

Between two control points everything moves in proportion to the monitor units. A control system that wastes no time
runs each interval as fast as its slowest part allows; a gantry that turns has mass, too: its speed starts and ends at
rest and changes by the machine's acceleration. The fastest such motion follows from one pass forward over the
intervals and one back (v' = sqrt(v^2 + 2 a s) at most), as for any motion along a given path with limited speed:
Bobrow, Dubowsky, Gibson, Int J Robotics Res 4(3) (1985) 3, DOI 10.1177/027836498500400301.

Added is what a machine states to need each time that it turns its beam on: step and shoot does so for every segment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.errors import InputError
from rtsim.machine.model import Machine

_STILL = 1e-9


@dataclass(frozen=True, kw_only=True)
class IntervalTime:
    """What happens between two control points.

    Attributes:
        seconds: how long it takes.
        monitor_units: given in it; 0: the beam is off.
        turn_deg: of the gantry, rising angles positive.
        gantry_speed_deg_s: (at the first control point, highest, at the last), all >= 0.
        leaf_speed_mm_s: of the fastest leaf, at its highest; 0 without leaves.
        set_by: what sets the pace: "dose rate", "gantry speed", "gantry acceleration", "leaf pair 12", "jaws" or "".
    """

    seconds: float
    monitor_units: float
    turn_deg: float
    gantry_speed_deg_s: tuple[float, float, float]
    leaf_speed_mm_s: float
    set_by: str

    @property
    def dose_rate_mu_min(self) -> float:
        """Mean over the interval; 0 while the beam is off."""
        return 60.0 * self.monitor_units / self.seconds if self.monitor_units > 0.0 else 0.0


@dataclass(frozen=True, kw_only=True)
class DeliveryTime:
    """The time that a machine takes for a beam, from its first control point to its last.

    Entering the room, imaging and the verification of each field are not in it.

    Attributes:
        intervals: between control points.
        overhead_seconds: from set apertures to radiation, all times that the beam is turned on.
    """

    intervals: tuple[IntervalTime, ...]
    overhead_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Of the whole beam."""
        return math.fsum(i.seconds for i in self.intervals) + self.overhead_seconds

    @property
    def beam_on_seconds(self) -> float:
        """While monitor units are given."""
        return math.fsum(i.seconds for i in self.intervals if i.monitor_units > 0.0)

    def describe(self) -> str:
        """One line for reports."""
        rates = [i.dose_rate_mu_min for i in self.intervals if i.monitor_units > 0.0]
        rate = f", {min(rates):.0f} to {max(rates):.0f} MU/min" if rates else ""
        return f"{self.seconds:.0f} s, beam on for {self.beam_on_seconds:.0f} s{rate}"


def delivery_time(beam: Beam) -> DeliveryTime:
    """Time, dose rate and speeds of a deliverable beam: static, step and shoot, sliding window or arc.

    Raises:
        InputError: the beam has no control points, or its machine no monitor units.
    """
    if not isinstance(beam, Beam):  # a plan has several: treatment_seconds(plan.beams) knows the moves between them
        raise InputError(
            f"{type(beam).__name__} is given; a Beam is needed: one of plan.beams, or treatment_seconds(plan.beams)"
        )
    if not beam.control_points:
        raise InputError(f"{beam.label} has no control points: nothing is delivered that could take time")
    if beam.machine.calibration is None:
        raise InputError(
            f"{beam.machine.name} has no calibration: its beams carry photons per cm2, not monitor units, and have no "
            "dose rate. Take a machine with one"
        )
    paces = [_Pace.of(a, b, beam.machine) for a, b in pairwise(beam.control_points)]
    ends = _speeds_at_control_points(paces, beam.machine)
    on = [False, *(p.monitor_units > 0.0 for p in paces)]
    return DeliveryTime(
        intervals=tuple(p.timed(v, w, beam.machine) for p, v, w in zip(paces, ends[:-1], ends[1:], strict=True)),
        overhead_seconds=beam.machine.limits.beam_on_overhead_s * sum(now and not was for was, now in pairwise(on)),
    )


def treatment_seconds(beams: Sequence[Beam]) -> float:
    """Seconds for all beams in their order, and for the machine to move from each to the next, all parts at a time.

    Nothing that people do is counted: loading of fields, imaging, a way into the room before the couch turns; nor turns
    of collimator and couch where the machine states no speed of them.
    """
    moves = (
        max(_move_seconds(a.control_points[-1], b.control_points[0], b.machine), _turns(a, b))
        for a, b in pairwise(beams)
    )
    return math.fsum(delivery_time(b).seconds for b in beams) + math.fsum(moves)


def turn_deg(from_deg: float, to_deg: float) -> float:
    """From one gantry angle to another on the shorter way round, rising angles positive."""
    return (to_deg - from_deg + 180.0) % 360.0 - 180.0


def ramp_seconds(length_deg: float, start: float, end: float, top: float, acceleration: float | None) -> float:
    """Seconds over ``length_deg`` from speed ``start`` to ``end`` (deg/s) at ``top`` at most: a trapezoid in time."""
    if length_deg <= _STILL:
        return 0.0
    if acceleration is None:
        return length_deg / top
    peak = peak_speed(length_deg, start, end, top, acceleration)
    ramps = (2.0 * peak * peak - start * start - end * end) / (2.0 * acceleration)
    return (2.0 * peak - start - end) / acceleration + max(length_deg - ramps, 0.0) / peak


def peak_speed(length_deg: float, start: float, end: float, top: float, acceleration: float | None) -> float:
    """The highest speed (deg/s) reached in it: ``top``, or less where the way is too short to get there."""
    if acceleration is None:
        return top
    return min(top, math.sqrt(0.5 * (start * start + end * end) + acceleration * length_deg))


@dataclass(frozen=True, kw_only=True)
class _Pace:
    """What one interval asks of the machine: seconds at least, and which part needs them."""

    monitor_units: float
    turn_deg: float
    leaf_mm: float
    least_seconds: float
    set_by: str

    @classmethod
    def of(cls, a: ControlPoint, b: ControlPoint, machine: Machine) -> _Pace:
        """The pace of the interval from ``a`` to ``b``."""
        units = b.cumulative_monitor_units - a.cumulative_monitor_units
        turn = turn_deg(a.gantry_deg, b.gantry_deg)
        leaf_mm, pair = _leaf_travel(a.aperture, b.aperture)
        needs = [
            (60.0 * units / machine.limits.max_dose_rate_mu_min, "dose rate"),
            (abs(turn) / machine.limits.max_gantry_speed_deg_s, "gantry speed"),
            (_jaw_travel(a.aperture, b.aperture) / machine.limits.max_jaw_speed_mm_s, "jaws"),
        ]
        if machine.mlc is not None:
            needs.append((leaf_mm / machine.mlc.max_speed_mm_s, f"leaf pair {pair}"))
        seconds, set_by = max(needs, key=lambda need: need[0])
        return cls(
            monitor_units=units,
            turn_deg=turn,
            leaf_mm=leaf_mm,
            least_seconds=seconds,
            set_by=set_by if seconds > 0.0 else "",
        )

    @property
    def turns(self) -> bool:
        """Whether the gantry moves in it."""
        return abs(self.turn_deg) > _STILL

    @property
    def top_speed(self) -> float:
        """Of the gantry, deg/s; 0 when it stands."""
        return abs(self.turn_deg) / self.least_seconds if self.turns else 0.0

    def timed(self, start: float, end: float, machine: Machine) -> IntervalTime:
        """With the speeds of the gantry at both ends."""
        if not self.turns:
            speed = self.leaf_mm / self.least_seconds if self.least_seconds > 0.0 else 0.0
            return self._interval(self.least_seconds, (0.0, 0.0, 0.0), speed, self.set_by)
        way, limit = abs(self.turn_deg), machine.limits.max_gantry_acceleration_deg_s2
        if limit is None:
            start = end = self.top_speed
        seconds = ramp_seconds(way, start, end, self.top_speed, limit)
        peak = peak_speed(way, start, end, self.top_speed, limit)
        slower = seconds > self.least_seconds * (1.0 + 1e-6)
        by = "gantry acceleration" if slower else self.set_by
        return self._interval(seconds, (start, peak, end), self.leaf_mm * peak / way, by)

    def _interval(
        self, seconds: float, gantry: tuple[float, float, float], leaf_speed: float, set_by: str
    ) -> IntervalTime:
        return IntervalTime(
            seconds=seconds,
            monitor_units=self.monitor_units,
            turn_deg=self.turn_deg,
            gantry_speed_deg_s=gantry,
            leaf_speed_mm_s=leaf_speed,
            set_by=set_by,
        )


def _speeds_at_control_points(paces: list[_Pace], machine: Machine) -> list[float]:
    """Highest gantry speed (deg/s) at each control point that both neighbors and the acceleration allow."""
    limit = machine.limits.max_gantry_acceleration_deg_s2
    tops = [p.top_speed for p in paces]
    if limit is None:  # it changes its speed at once, at every control point
        return [*tops, 0.0]
    speeds = [0.0] * (len(paces) + 1)
    for k in range(1, len(paces)):
        same_way = paces[k - 1].turn_deg * paces[k].turn_deg > 0.0
        speeds[k] = min(tops[k - 1], tops[k]) if same_way else 0.0
    for k in range(len(paces)):
        speeds[k + 1] = min(speeds[k + 1], math.sqrt(speeds[k] ** 2 + 2.0 * limit * abs(paces[k].turn_deg)))
    for k in reversed(range(len(paces))):
        speeds[k] = min(speeds[k], math.sqrt(speeds[k + 1] ** 2 + 2.0 * limit * abs(paces[k].turn_deg)))
    return speeds


def _turns(a: Beam, b: Beam) -> float:
    """Seconds of the slower of collimator and couch, neither of which passes 180 degrees."""
    limits = b.machine.limits
    ways = (
        (a.collimator_deg, b.collimator_deg, limits.collimator_speed_deg_s),
        (a.couch_deg, b.couch_deg, limits.couch_speed_deg_s),
    )
    return max(abs(turn_deg(0.0, p) - turn_deg(0.0, q)) / (speed or math.inf) for p, q, speed in ways)


def _leaf_travel(a: Aperture, b: Aperture) -> tuple[float, int]:
    """Farthest way of a leaf in mm, and its pair."""
    if a.leaf_pairs_mm is None or b.leaf_pairs_mm is None:
        return 0.0, 0
    ways = np.abs(b.leaf_pairs_mm - a.leaf_pairs_mm).max(axis=1)
    pair = int(ways.argmax())
    return float(ways[pair]), pair


def _jaw_travel(a: Aperture, b: Aperture) -> float:
    ways = np.subtract((a.jaws_x_mm, a.jaws_y_mm), (b.jaws_x_mm, b.jaws_y_mm))
    return float(np.abs(ways).max())


def _move_seconds(a: ControlPoint, b: ControlPoint, machine: Machine) -> float:
    """Between two beams, with the beam off; the gantry does not pass 180 degrees."""
    limits = machine.limits
    leaf = 0.0 if machine.mlc is None else _leaf_travel(a.aperture, b.aperture)[0] / machine.mlc.max_speed_mm_s
    if limits.gantry_overtravel_deg is None:
        way = abs(turn_deg(a.gantry_deg, b.gantry_deg))
    else:
        way = abs((b.gantry_deg - 180.0) % 360.0 - (a.gantry_deg - 180.0) % 360.0)
        way = min(way, 360.0 - way) if 180.0 in (a.gantry_deg, b.gantry_deg) else way
    gantry = ramp_seconds(way, 0.0, 0.0, limits.max_gantry_speed_deg_s, limits.max_gantry_acceleration_deg_s2)
    return max(leaf, gantry, _jaw_travel(a.aperture, b.aperture) / limits.max_jaw_speed_mm_s)

"""Can a machine deliver a beam? A check of its control points that shares nothing with the planners that made them.

A beam, like an RTPLAN, says where everything is at which monitor unit, not when: the control system lowers dose rate
and gantry speed until leaves, jaws and acceleration can follow. What a beam without times of its own can therefore
violate: positions of jaws and leaves (range, midline, gap, span of a bank, interdigitation), the range of the gantry,
monitor units (of the beam, of a static segment, per degree), and the least gantry speed and dose rate, below which
nothing can be slowed. The highest speeds, dose rate and acceleration bind only a motion that is given with it; by
default it is that of :func:`rtsim.beams.delivery_time`, which keeps them by construction, and is verified here all the
same. How much the control system has to adapt is told by ``slowed_share``.

Not checked: acceleration of leaves and jaws, how far a leaf crosses the midline other than by its range, travel and
speed of the carriage, how fast the dose rate changes between intervals, collisions of gantry, couch and patient, and
what a record and verify system restricts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtsim.beams.delivery_positions import check_positions
from rtsim.beams.delivery_time import DeliveryTime, IntervalTime, delivery_time
from rtsim.beams.model import Beam, ControlPoint
from rtsim.errors import MachineLimitError

_SLACK = 1e-6
"""Relative, and in mm, degrees or MU: what rounding of a stored number does."""


@dataclass(frozen=True, kw_only=True)
class DeliveryCheck:
    """A beam that passed: what it asks of its machine at most.

    Attributes:
        time: seconds and speeds of each interval.
        dose_rate_mu_min: lowest and highest mean of an interval with the beam on; (0, 0): never on.
        monitor_units_per_degree: lowest and highest of the intervals of an arc with the beam on; None: no arc.
        gantry_speed_deg_s, leaf_speed_mm_s: the highest.
        gantry_acceleration_deg_s2: the highest that follows from speeds and seconds; 0 where the machine states no
            limit and its gantry changes speed at once.
        slowed_share: of the intervals with the beam on, those in which neither dose rate nor gantry comes to half of
            its highest, for leaves, jaws or acceleration do not follow.
    """

    time: DeliveryTime
    dose_rate_mu_min: tuple[float, float]
    monitor_units_per_degree: tuple[float, float] | None
    gantry_speed_deg_s: float
    gantry_acceleration_deg_s2: float
    leaf_speed_mm_s: float
    slowed_share: float

    def describe(self) -> str:
        """One line for reports."""
        parts = [self.time.describe(), f"leaves up to {self.leaf_speed_mm_s:.1f} mm/s"]
        if self.monitor_units_per_degree is not None:
            low, high = self.monitor_units_per_degree
            parts.append(f"gantry up to {self.gantry_speed_deg_s:.2f} deg/s, {low:.2f} to {high:.2f} MU/deg")
        return ", ".join(parts)


def check_delivery(beam: Beam, time: DeliveryTime | None = None) -> DeliveryCheck:
    """Refuse a beam that its machine cannot deliver.

    Args:
        time: a motion to be checked; default: the fastest, :func:`rtsim.beams.delivery_time`, which is never too fast.

    Raises:
        InputError: no control points, or a machine without monitor units.
        MachineLimitError: names the control point, the leaf pair where it is one, what is needed and what is allowed.
    """
    time = time or delivery_time(beam)
    check_positions(beam)
    _check_monitor_units(beam)
    _check_gantry_range(beam)
    per_degree = _check_units_per_degree(beam)
    for k, interval in enumerate(time.intervals):
        _check_speeds(beam, k, interval)
    on = [i.dose_rate_mu_min for i in time.intervals if i.monitor_units > 0.0]
    return DeliveryCheck(
        time=time,
        dose_rate_mu_min=(min(on, default=0.0), max(on, default=0.0)),
        monitor_units_per_degree=per_degree,
        gantry_speed_deg_s=max((max(i.gantry_speed_deg_s) for i in time.intervals), default=0.0),
        gantry_acceleration_deg_s2=_check_acceleration(beam, time),
        leaf_speed_mm_s=max((i.leaf_speed_mm_s for i in time.intervals), default=0.0),
        slowed_share=_slowed_share(beam, time),
    )


def largest_scale(beam: Beam) -> float:
    """By how much all monitor units can be multiplied before the machine gives no more, in all or per degree; inf where
    nothing limits them (a machine without monitor units)."""
    limits = beam.machine.limits
    if beam.machine.calibration is None or not beam.monitor_units > 0.0:
        return math.inf
    allowed = [limits.max_monitor_units_per_beam / beam.monitor_units]
    most = limits.monitor_units_per_degree[1]
    for a, b in pairwise(beam.control_points):
        turn = abs((b.gantry_deg - a.gantry_deg + 180.0) % 360.0 - 180.0)
        units = b.cumulative_monitor_units - a.cumulative_monitor_units
        if turn > _SLACK and units > 0.0:
            allowed.append(most * turn / units)
    return min(allowed)


def _check_monitor_units(beam: Beam) -> None:
    limits = beam.machine.limits
    meterset = [c.cumulative_monitor_units for c in beam.control_points]
    if meterset[-1] > limits.max_monitor_units_per_beam * (1.0 + _SLACK):
        raise MachineLimitError(
            f"{beam.label} gives {meterset[-1]:.6g} MU; {beam.machine.name} gives at most "
            f"{limits.max_monitor_units_per_beam:g} MU a beam"
        )
    if meterset[-1] < limits.min_monitor_units_per_beam * (1.0 - _SLACK):
        raise MachineLimitError(
            f"{beam.label} gives {meterset[-1]:.4g} MU; {beam.machine.name} gives at least "
            f"{limits.min_monitor_units_per_beam:g} MU a beam"
        )
    intervals = list(pairwise(beam.control_points))
    if beam.is_arc or any(_leaves_move(a, b) for a, b in intervals):
        return  # where the leaves of a beam that moves rest for a while, that is no segment
    for k, (a, b) in enumerate(intervals):
        units = b.cumulative_monitor_units - a.cumulative_monitor_units
        if 0.0 < units < limits.min_monitor_units_per_segment * (1.0 - _SLACK):
            raise MachineLimitError(
                f"{beam.label}, control points {k} and {k + 1}: the segment has {units:.4g} MU; {beam.machine.name} "
                f"gives at least {limits.min_monitor_units_per_segment:g} MU a segment"
            )


def _leaves_move(a: ControlPoint, b: ControlPoint) -> bool:
    """While the beam is on."""
    p, q = a.aperture.leaf_pairs_mm, b.aperture.leaf_pairs_mm
    on = b.cumulative_monitor_units > a.cumulative_monitor_units
    return on and p is not None and q is not None and not np.array_equal(p, q)


def _check_gantry_range(beam: Beam) -> None:
    """The gantry must not turn through 180 degrees by more than its overtravel: cables end there."""
    over = beam.machine.limits.gantry_overtravel_deg
    angles = np.array([c.gantry_deg for c in beam.control_points])
    if over is None:
        return
    turned = np.concatenate(([0.0], np.cumsum((np.diff(angles) + 180.0) % 360.0 - 180.0)))
    # degrees clockwise from 180, as the gantry counts them; near 180 it may have come there from either side
    way = (angles[0] - 180.0) % 360.0 + turned
    beyond = [(w < -over - _SLACK) | (w > 360.0 + over + _SLACK) for w in (way, way - 360.0, way + 360.0)]
    if not all(b.any() for b in beyond):
        return
    k = int(np.flatnonzero(beyond[0])[0])
    raise MachineLimitError(
        f"{beam.label}, control point {k}: the gantry would pass 180 degrees and reach {angles[k]:g}; "
        f"{beam.machine.name} turns to {over:g} degrees beyond 180 from either side. Go round the other way"
    )


def _check_units_per_degree(beam: Beam) -> tuple[float, float] | None:
    limits = beam.machine.limits
    points = beam.control_points
    found = []
    for k in range(len(points) - 1):
        turn = abs((points[k + 1].gantry_deg - points[k].gantry_deg + 180.0) % 360.0 - 180.0)
        units = points[k + 1].cumulative_monitor_units - points[k].cumulative_monitor_units
        if turn <= _SLACK or units <= 0.0:
            continue
        rate, high = units / turn, limits.max_monitor_units_per_degree
        where = f"{beam.label}, control points {k} and {k + 1}: {rate:.4g} MU per degree"
        if rate < limits.min_monitor_units_per_degree * (1.0 - _SLACK):
            low = limits.min_monitor_units_per_degree
            raise MachineLimitError(f"{where}; {beam.machine.name} gives at least {low:g} MU per degree")
        if high is not None and rate > high * (1.0 + _SLACK):
            raise MachineLimitError(f"{where}; {beam.machine.name} gives at most {high:g} MU per degree")
        found.append(rate)
    return (min(found), max(found)) if found else None


def _check_speeds(beam: Beam, k: int, interval: IntervalTime) -> None:
    """The motion of one interval: consistent in itself, not too fast, and not too slow while the beam is on."""
    machine, limits = beam.machine, beam.machine.limits
    where = f"{beam.label}, control points {k} and {k + 1}"
    a, b = beam.control_points[k], beam.control_points[k + 1]
    turn = abs((b.gantry_deg - a.gantry_deg + 180.0) % 360.0 - 180.0)
    seconds, peak = interval.seconds, max(interval.gantry_speed_deg_s)
    if peak > limits.max_gantry_speed_deg_s * (1.0 + _SLACK):
        raise MachineLimitError(f"{where}: gantry speed {peak:.4g} deg/s; {limits.max_gantry_speed_deg_s:g} allowed")
    if turn > _SLACK and _acceleration(interval, turn) is None:
        raise MachineLimitError(f"{where}: {turn:g} degrees do not follow from {seconds:.4g} s and the gantry's speeds")
    # the fastest instant of the interval, for whatever moves in proportion to the gantry (or to the monitor units)
    least = turn / peak if turn > _SLACK else seconds
    units = b.cumulative_monitor_units - a.cumulative_monitor_units
    if units * 60.0 > limits.max_dose_rate_mu_min * least * (1.0 + _SLACK):
        raise MachineLimitError(
            f"{where}: {units:.4g} MU in {least:.4g} s; {machine.name} gives {limits.max_dose_rate_mu_min:g} MU/min"
        )
    _check_leaf_speed(beam, k, least, where)
    if units > 0.0:
        _check_not_too_slow(beam, k, interval, units, turn)


def _check_not_too_slow(beam: Beam, k: int, interval: IntervalTime, units: float, turn: float) -> None:
    """A beam that is on has a least dose rate, and a gantry that turns a least speed.

    The dose rate is the mean of the interval in its own seconds; the gantry's speed the highest that it comes to, where
    the way is long enough to come to the least from rest.
    """
    machine, limits = beam.machine, beam.machine.limits
    where = f"{beam.label}, control points {k} and {k + 1}"
    rate, because = units * 60.0 / interval.seconds, _because(beam, k, interval)
    if rate < limits.min_dose_rate_mu_min * (1.0 - _SLACK):
        raise MachineLimitError(
            f"{where}: {units:.4g} MU in {interval.seconds:.4g} s are {rate:.3g} MU/min{because}; "
            f"{machine.name} gives at least {limits.min_dose_rate_mu_min:g} MU/min"
        )
    least, acceleration = limits.min_gantry_speed_deg_s, limits.max_gantry_acceleration_deg_s2
    if acceleration is not None:
        least = min(least, math.sqrt(acceleration * turn))
    if turn > _SLACK and max(interval.gantry_speed_deg_s) < least * (1.0 - _SLACK):
        raise MachineLimitError(
            f"{where}: the gantry would turn at {max(interval.gantry_speed_deg_s):.3g} deg/s{because}; {machine.name} "
            f"turns at {limits.min_gantry_speed_deg_s:g} deg/s at least while the beam is on"
        )


def _because(beam: Beam, k: int, interval: IntervalTime) -> str:
    """What makes an interval slow, in words: a leaf, or what the motion names."""
    a, b = beam.control_points[k].aperture, beam.control_points[k + 1].aperture
    mlc = beam.machine.mlc
    if mlc is not None and a.leaf_pairs_mm is not None and b.leaf_pairs_mm is not None:
        ways = np.abs(b.leaf_pairs_mm - a.leaf_pairs_mm).max(axis=1)
        pair = int(ways.argmax())
        if ways[pair] / mlc.max_speed_mm_s > 0.5 * interval.seconds:
            return f", for leaf pair {pair} moves {ways[pair]:.4g} mm at {mlc.max_speed_mm_s:g} mm/s"
    return f", set by {interval.set_by}" if interval.set_by else ""


def _slowed_share(beam: Beam, time: DeliveryTime) -> float:
    limits = beam.machine.limits
    on = [i for i in time.intervals if i.monitor_units > 0.0]
    slow = [
        i.dose_rate_mu_min < 0.5 * limits.max_dose_rate_mu_min
        and max(i.gantry_speed_deg_s) < 0.5 * limits.max_gantry_speed_deg_s
        for i in on
    ]
    return sum(slow) / len(slow) if slow else 0.0


def _acceleration(interval: IntervalTime, turn: float) -> float | None:
    """deg/s2, the same for both ramps, with which the stated speeds cover ``turn`` in the stated time; None: no such.

    A level stretch at the highest speed v falls short of v T by (v - start)^2 / 2a + (v - end)^2 / 2a.
    """
    start, peak, end = interval.gantry_speed_deg_s
    short, squares = peak * interval.seconds - turn, (peak - start) ** 2 + (peak - end) ** 2
    if squares <= 1e-9:
        return 0.0 if abs(short) <= 1e-4 * turn + 1e-6 else None
    if short <= 0.0:
        return None
    found = 0.5 * squares / short
    return found if (2.0 * peak - start - end) <= found * interval.seconds * (1.0 + 1e-4) + 1e-6 else None


def _check_leaf_speed(beam: Beam, k: int, seconds: float, where: str) -> None:
    """Jaws and leaves must not move faster than they can."""
    a, b = beam.control_points[k].aperture, beam.control_points[k + 1].aperture
    machine = beam.machine
    for name, p, q in (("jaws_x_mm", a.jaws_x_mm, b.jaws_x_mm), ("jaws_y_mm", a.jaws_y_mm, b.jaws_y_mm)):
        way = max(abs(q[0] - p[0]), abs(q[1] - p[1]))
        if way > machine.limits.max_jaw_speed_mm_s * seconds * (1.0 + _SLACK) + _SLACK:
            raise MachineLimitError(
                f"{where}: {name} moves {way:.4g} mm in {seconds:.4g} s; "
                f"{machine.limits.max_jaw_speed_mm_s:g} mm/s allowed"
            )
    if a.leaf_pairs_mm is None or b.leaf_pairs_mm is None or machine.mlc is None:
        return
    ways = np.abs(b.leaf_pairs_mm - a.leaf_pairs_mm)
    pair = int(ways.max(axis=1).argmax())
    if float(ways[pair].max()) > machine.mlc.max_speed_mm_s * seconds * (1.0 + _SLACK) + _SLACK:
        raise MachineLimitError(
            f"{where}: leaf pair {pair} moves {float(ways[pair].max()):.4g} mm in {seconds:.4g} s; "
            f"{machine.mlc.max_speed_mm_s:g} mm/s allowed"
        )


def _check_acceleration(beam: Beam, time: DeliveryTime) -> float:
    """The highest change of gantry speed in deg/s2; the speed must be continuous and start and end at rest."""
    limit = beam.machine.limits.max_gantry_acceleration_deg_s2
    if limit is None or not beam.is_arc:
        return 0.0
    speed, way, highest = 0.0, 0.0, 0.0
    for k, interval in enumerate(time.intervals):
        start, peak, end = interval.gantry_speed_deg_s
        turned_back = way * interval.turn_deg < 0.0
        if abs(start - speed) > _SLACK or (turned_back and start > _SLACK):
            raise MachineLimitError(f"{beam.label}, control point {k}: the gantry's speed jumps to {start:.4g} deg/s")
        found = _acceleration(interval, abs(interval.turn_deg)) or 0.0
        if found > limit * (1.0 + 1e-4):
            raise MachineLimitError(
                f"{beam.label}, control points {k} and {k + 1}: from {start:.4g} over {peak:.4g} to {end:.4g} deg/s in "
                f"{interval.seconds:.4g} s is {found:.4g} deg/s2; {limit:g} deg/s2 allowed"
            )
        speed, way, highest = end, interval.turn_deg, max(highest, found)
    if speed > _SLACK:
        raise MachineLimitError(f"{beam.label}: the gantry is not at rest after its last control point")
    return highest

"""Can a machine deliver a beam? A check of its control points that shares nothing with what makes them.

Positions, gaps, monitor units and monitor units per degree follow from the control points alone. Speeds follow from the
motion in :func:`rtsim.beams.delivery_time`, which is verified here by itself: each interval must take the time that its
own speeds say, and none of them, nor any change of the gantry's, may pass a limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtsim.beams.delivery_time import DeliveryTime, IntervalTime, delivery_time
from rtsim.beams.model import Beam, ControlPoint
from rtsim.errors import MachineLimitError
from rtsim.machine.model import Machine
from rtsim.typing import FloatArray

_SLACK = 1e-6
"""Relative, and in mm, degrees or MU: what rounding of a stored number does."""


@dataclass(frozen=True, kw_only=True)
class DeliveryCheck:
    """A beam that passed: what it asks of its machine at most.

    Attributes:
        time: seconds and speeds of each interval.
        dose_rate_mu_min: lowest and highest mean of an interval with the beam on; (0, 0): never on.
        monitor_units_per_degree: lowest and highest of the intervals of an arc with the beam on; None: no arc.
        gantry_speed_deg_s, gantry_acceleration_deg_s2, leaf_speed_mm_s: the highest.
    """

    time: DeliveryTime
    dose_rate_mu_min: tuple[float, float]
    monitor_units_per_degree: tuple[float, float] | None
    gantry_speed_deg_s: float
    gantry_acceleration_deg_s2: float
    leaf_speed_mm_s: float

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
        time: a motion to be checked; default: the fastest, :func:`rtsim.beams.delivery_time`.

    Raises:
        InputError: no control points, or a machine without monitor units.
        MachineLimitError: names the control point, the leaf pair where it is one, what is needed and what is allowed.
    """
    time = time or delivery_time(beam)
    _check_positions(beam)
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
    )


def largest_scale(beam: Beam) -> float:
    """By how much all monitor units can be multiplied before the machine gives no more, in all or per degree; inf where
    nothing limits them (a machine without monitor units)."""
    limits = beam.machine.limits
    if beam.machine.calibration is None or not beam.monitor_units > 0.0:
        return math.inf
    allowed = [limits.max_monitor_units_per_beam / beam.monitor_units]
    if limits.max_monitor_units_per_degree is not None:
        for a, b in pairwise(beam.control_points):
            turn = abs((b.gantry_deg - a.gantry_deg + 180.0) % 360.0 - 180.0)
            units = b.cumulative_monitor_units - a.cumulative_monitor_units
            if turn > _SLACK and units > 0.0:
                allowed.append(limits.max_monitor_units_per_degree * turn / units)
    return min(allowed)


def _check_positions(beam: Beam) -> None:
    machine = beam.machine
    reach = machine.max_field_mm / 2
    for k, point in enumerate(beam.control_points):
        where = f"{beam.label}, control point {k}"
        for name, pair in (("jaws_x_mm", point.aperture.jaws_x_mm), ("jaws_y_mm", point.aperture.jaws_y_mm)):
            far = reach if machine.jaws is None else min(reach, machine.jaws.limit_mm)
            if max(abs(pair[0]), abs(pair[1])) > far + _SLACK:
                raise MachineLimitError(f"{where}: {name} is {pair}; the jaws of {machine.name} reach {far:g} mm")
        if point.aperture.leaf_pairs_mm is not None:
            _check_leaves(point.aperture.leaf_pairs_mm, machine, where)


def _check_leaves(leaves_mm: FloatArray, machine: Machine, where: str) -> None:
    mlc = machine.mlc
    if mlc is None or len(leaves_mm) != len(mlc.leaf_edges_mm) - 1:
        count = 0 if mlc is None else len(mlc.leaf_edges_mm) - 1
        raise MachineLimitError(f"{where}: {len(leaves_mm)} leaf pairs are given; {machine.name} has {count}")
    for pair, (left, right) in enumerate(leaves_mm):
        if right - left < mlc.min_gap_mm - _SLACK:
            raise MachineLimitError(
                f"{where}: leaf pair {pair} leaves a gap of {right - left:.6g} mm; {machine.name} needs "
                f"{mlc.min_gap_mm:g} mm at least"
            )
        if max(abs(left), abs(right)) > mlc.max_position_mm + _SLACK:
            raise MachineLimitError(
                f"{where}: leaf pair {pair} stands at {left:g} and {right:g} mm; the leaves of {machine.name} reach "
                f"{mlc.max_position_mm:g} mm"
            )


def _check_monitor_units(beam: Beam) -> None:
    limits = beam.machine.limits
    meterset = [c.cumulative_monitor_units for c in beam.control_points]
    if meterset[-1] > limits.max_monitor_units_per_beam * (1.0 + _SLACK):
        raise MachineLimitError(
            f"{beam.label} gives {meterset[-1]:.6g} MU; {beam.machine.name} gives at most "
            f"{limits.max_monitor_units_per_beam:g} MU a beam"
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
    if turn > _SLACK and abs(_turned(interval, limits.max_gantry_acceleration_deg_s2) - turn) > 1e-4 * turn + 1e-6:
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
        _check_not_too_slow(beam, k, units, turn)


def _check_not_too_slow(beam: Beam, k: int, units: float, turn: float) -> None:
    """A beam that is on has a least dose rate, and a gantry that turns a least speed; slow leaves may ask for less."""
    machine, limits = beam.machine, beam.machine.limits
    a, b = beam.control_points[k].aperture, beam.control_points[k + 1].aperture
    where = f"{beam.label}, control points {k} and {k + 1}"
    seconds, because = max(60.0 * units / limits.max_dose_rate_mu_min, turn / limits.max_gantry_speed_deg_s), ""
    if a.leaf_pairs_mm is not None and b.leaf_pairs_mm is not None and machine.mlc is not None:
        ways = np.abs(b.leaf_pairs_mm - a.leaf_pairs_mm).max(axis=1)
        pair = int(ways.argmax())
        if ways[pair] / machine.mlc.max_speed_mm_s > seconds:
            seconds = float(ways[pair]) / machine.mlc.max_speed_mm_s
            because = f", for leaf pair {pair} moves {ways[pair]:.4g} mm at {machine.mlc.max_speed_mm_s:g} mm/s"
    if units * 60.0 / seconds < limits.min_dose_rate_mu_min * (1.0 - _SLACK):
        raise MachineLimitError(
            f"{where}: {units:.4g} MU in {seconds:.4g} s are {units * 60.0 / seconds:.3g} MU/min{because}; "
            f"{machine.name} gives at least {limits.min_dose_rate_mu_min:g} MU/min"
        )
    if turn > _SLACK and turn / seconds < limits.min_gantry_speed_deg_s * (1.0 - _SLACK):
        raise MachineLimitError(
            f"{where}: the gantry would turn at {turn / seconds:.3g} deg/s{because}; {machine.name} turns at "
            f"{limits.min_gantry_speed_deg_s:g} deg/s at least while the beam is on"
        )


def _turned(interval: IntervalTime, acceleration: float | None) -> float:
    """Degrees that the stated speeds cover in the stated seconds: ramps between them and a level stretch."""
    start, peak, end = interval.gantry_speed_deg_s
    if acceleration is None:
        return peak * interval.seconds
    up, down = (peak - start) / acceleration, (peak - end) / acceleration
    return 0.5 * (start + peak) * up + 0.5 * (end + peak) * down + peak * (interval.seconds - up - down)


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
    """The highest change of gantry speed in deg/s^2; the speed must be continuous and start and end at rest."""
    limit = beam.machine.limits.max_gantry_acceleration_deg_s2
    if limit is None or not beam.is_arc:
        return 0.0
    speed, way = 0.0, 0.0
    for k, interval in enumerate(time.intervals):
        start, peak, end = interval.gantry_speed_deg_s
        turned_back = way * interval.turn_deg < 0.0
        if abs(start - speed) > _SLACK or (turned_back and start > _SLACK):
            raise MachineLimitError(f"{beam.label}, control point {k}: the gantry's speed jumps to {start:.4g} deg/s")
        if (2.0 * peak - start - end) / limit > interval.seconds * (1.0 + 1e-4) + 1e-6:
            raise MachineLimitError(
                f"{beam.label}, control points {k} and {k + 1}: from {start:.4g} over {peak:.4g} to {end:.4g} deg/s in "
                f"{interval.seconds:.4g} s; {limit:g} deg/s2 allowed"
            )
        speed, way = end, interval.turn_deg
    if speed > _SLACK:
        raise MachineLimitError(f"{beam.label}: the gantry is not at rest after its last control point")
    return limit

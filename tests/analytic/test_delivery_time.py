"""Delivery times against what is computed by hand; speeds of the gantry against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rtsim.beams import (
    Aperture,
    Beam,
    ControlPoint,
    check_delivery,
    delivery_time,
    largest_scale,
    static_control_points,
    treatment_seconds,
)
from rtsim.beams.apertures import parked_leaves
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine import Limits, Machine, load_machine, point_source

LIMITS = Limits(
    max_dose_rate_mu_min=600.0,  # 10 MU/s
    min_dose_rate_mu_min=6.0,  # 0.1 MU/s
    max_gantry_speed_deg_s=6.0,
    min_gantry_speed_deg_s=0.5,
    max_gantry_acceleration_deg_s2=2.0,
    gantry_overtravel_deg=5.0,
    min_monitor_units_per_degree=0.1,
    max_monitor_units_per_degree=20.0,
    max_jaw_speed_mm_s=20.0,
)
MACHINE = replace(load_machine("generic_6x"), limits=LIMITS)  # leaves: 25 mm/s, gap 0.5 mm


def opened(left: float, right: float = 20.0, pair: int = 30, jaw: float = 40.0) -> Aperture:
    leaves = parked_leaves(MACHINE, (-60.0, 60.0))
    leaves[pair] = left, right
    return Aperture(jaws_x_mm=(-60.0, 60.0), jaws_y_mm=(-jaw, 40.0), leaf_pairs_mm=leaves)


def beam(points: list[tuple[float, float, Aperture]], machine: Machine = MACHINE) -> Beam:
    """From (cumulative MU, gantry, aperture)."""
    made = tuple(ControlPoint(cumulative_monitor_units=u, gantry_deg=g % 360.0, aperture=a) for u, g, a in points)
    return Beam(machine=machine, isocenter_mm=(0, 0, 0), gantry_deg=made[0].gantry_deg, name="B", control_points=made)


def arc(step_deg: float, units: list[float], apertures: list[Aperture] | None = None, start: float = 200.0) -> Beam:
    total = np.concatenate(([0.0], np.cumsum(units)))
    shapes = apertures or [opened(-20.0)] * len(total)
    return beam([(float(u), start + n * step_deg, a) for n, (u, a) in enumerate(zip(total, shapes, strict=True))])


def test_a_static_field_takes_its_units_at_the_dose_rate() -> None:
    field = beam([(0.0, 0.0, opened(-20.0)), (150.0, 0.0, opened(-20.0))])
    found = delivery_time(field)
    assert found.seconds == pytest.approx(15.0)
    assert found.intervals[0].set_by == "dose rate"
    assert found.intervals[0].dose_rate_mu_min == pytest.approx(600.0)


def test_step_and_shoot_adds_the_way_of_the_farthest_leaf_or_jaw() -> None:
    # 50 MU, 30 mm of a leaf at 25 mm/s, 30 MU, 40 mm of a jaw at 20 mm/s, 20 MU
    shapes = (opened(-20.0), opened(10.0), opened(10.0, jaw=0.0))
    found = delivery_time(
        replace(beam([(0.0, 0.0, shapes[0]), (1.0, 0.0, shapes[0])]), control_points=()).with_segments(
            ((shapes[0], 50.0), (shapes[1], 30.0), (shapes[2], 20.0))
        )
    )
    assert [i.seconds for i in found.intervals] == pytest.approx([5.0, 1.2, 3.0, 2.0, 2.0])
    assert [i.set_by for i in found.intervals] == ["dose rate", "leaf pair 30", "dose rate", "jaws", "dose rate"]
    assert found.beam_on_seconds == pytest.approx(10.0)


def test_a_sliding_window_is_as_slow_as_its_leaves() -> None:
    # 50 mm at 25 mm/s = 2 s, for 5 MU: 150 MU/min; then 5 mm for 30 MU: the dose rate
    sliding = beam([(0.0, 0.0, opened(-40.0)), (5.0, 0.0, opened(10.0)), (35.0, 0.0, opened(15.0))])
    found = delivery_time(sliding)
    assert [i.seconds for i in found.intervals] == pytest.approx([2.0, 3.0])
    assert [i.dose_rate_mu_min for i in found.intervals] == pytest.approx([150.0, 600.0])
    assert [i.leaf_speed_mm_s for i in found.intervals] == pytest.approx([25.0, 5.0 / 3.0])


@pytest.mark.parametrize("way", [10.0, 18.0, 120.0])
def test_a_gantry_that_starts_and_ends_at_rest_is_a_trapezoid(way: float) -> None:
    # source: v = 6 deg/s, a = 2 deg/s2: a triangle up to v^2/a = 18 degrees, then way/v + v/a
    steps = 12
    found = delivery_time(arc(way / steps, [0.2 * way / steps] * steps))
    expected = 2.0 * math.sqrt(way / 2.0) if way <= 18.0 else way / 6.0 + 6.0 / 2.0
    assert found.seconds == pytest.approx(expected, rel=1e-9)
    speeds = [v for i in found.intervals for v in i.gantry_speed_deg_s]
    assert max(speeds) == pytest.approx(min(6.0, math.sqrt(2.0 * way)), rel=1e-9)
    assert speeds[0] == speeds[-1] == 0.0


def test_without_a_limit_on_acceleration_each_interval_takes_its_slowest_part() -> None:
    machine = replace(MACHINE, limits=replace(LIMITS, max_gantry_acceleration_deg_s2=None))
    shapes = [opened(-20.0), opened(-20.0), opened(-20.0), opened(10.0)]
    # 5 degrees each: 5/6 s by the gantry; 20 MU: 2 s; 30 mm of a leaf: 1.2 s
    found = delivery_time(replace(arc(5.0, [1.0, 20.0, 1.0], shapes), machine=machine))
    assert [i.seconds for i in found.intervals] == pytest.approx([5.0 / 6.0, 2.0, 1.2])
    assert [i.set_by for i in found.intervals] == ["gantry speed", "dose rate", "leaf pair 30"]
    assert found.intervals[1].gantry_speed_deg_s == pytest.approx((2.5, 2.5, 2.5))


def test_a_slow_stretch_is_braked_for_in_time() -> None:
    # 20 intervals of 4 degrees; the 11th has 32 MU = 3.2 s = 1.25 deg/s. From 6 deg/s at 2 deg/s2 braking takes
    # (36 - 1.5625)/4 = 8.609 degrees, and speeding up again as much
    units = [0.4] * 20
    units[10] = 32.0
    turning = arc(4.0, units)
    found = delivery_time(turning)
    ramp_s, ramp_deg = (6.0 - 1.25) / 2.0, (36.0 - 1.5625) / 4.0
    level = (80.0 - 4.0 - 2.0 * ramp_deg - 2.0 * 9.0) / 6.0
    assert found.seconds == pytest.approx(3.2 + 2.0 * ramp_s + 2.0 * 3.0 + level, rel=1e-9)
    for a, b in pairwise(found.intervals):
        assert a.gantry_speed_deg_s[2] == b.gantry_speed_deg_s[0]
    checked = check_delivery(turning)
    assert checked.gantry_speed_deg_s == pytest.approx(6.0)
    assert checked.gantry_acceleration_deg_s2 == pytest.approx(2.0)
    assert checked.monitor_units_per_degree == pytest.approx((0.1, 8.0))


def test_the_same_way_back_takes_the_same_time() -> None:
    units = [3.0, 50.0, 1.0, 20.0, 2.0, 9.0]
    forth = arc(4.0, units)
    back = arc(-4.0, units[::-1], start=224.0)
    assert delivery_time(back).seconds == pytest.approx(delivery_time(forth).seconds, rel=1e-12)


def test_a_gantry_that_turns_back_comes_to_rest() -> None:
    still = opened(-20.0)
    there_and_back = beam([(0.0, 200.0, still), (1.0, 209.0, still), (2.0, 200.0, still)])
    assert delivery_time(there_and_back).seconds == pytest.approx(2.0 * 2.0 * math.sqrt(9.0 / 2.0))


def test_no_motion_between_two_profiles_is_faster() -> None:
    """Oracle: the arc cut in 20000 steps of equal angle, speed squared clipped forward and back, times summed."""
    rng = np.random.default_rng(3)
    units = rng.uniform(0.5, 60.0, 30)
    found = delivery_time(arc(4.0, list(units)))
    fine = np.repeat(np.minimum(6.0, 4.0 / (units / 10.0)), 700) ** 2
    step = 4.0 / 700
    squared = np.minimum(np.concatenate(([0.0], fine)), np.concatenate((fine, [0.0])))
    for n in range(1, squared.size):
        squared[n] = min(squared[n], squared[n - 1] + 2.0 * 2.0 * step)
    for n in reversed(range(squared.size - 1)):
        squared[n] = min(squared[n], squared[n + 1] + 2.0 * 2.0 * step)
    speed = np.sqrt(squared)
    seconds = float((2.0 * step / (speed[1:] + speed[:-1])).sum())
    assert found.seconds == pytest.approx(seconds, rel=2e-4)


def test_all_beams_and_the_ways_between_them() -> None:
    still = opened(-20.0)
    fields = [Beam.open_field(MACHINE, gantry_deg=g, monitor_units=100.0) for g in (100.0, 160.0, 200.0)]
    fields = [replace(f, control_points=static_control_points(((still, 100.0),), f.gantry_deg)) for f in fields]
    # 60 degrees: 10 + 3 s. From 160 to 200 the gantry goes round by 0: 320 degrees, 53.33 + 3 s
    assert treatment_seconds(fields) == pytest.approx(30.0 + 13.0 + 320.0 / 6.0 + 3.0)
    endless = replace(MACHINE, limits=replace(LIMITS, gantry_overtravel_deg=None))
    turning = [replace(f, machine=endless) for f in fields]
    assert treatment_seconds(turning) == pytest.approx(30.0 + 13.0 + 40.0 / 6.0 + 3.0)


def test_what_has_no_time() -> None:
    with pytest.raises(InputError, match="no control points"):
        delivery_time(replace(Beam.open_field(MACHINE), control_points=()))
    with pytest.raises(InputError, match="no calibration"):
        delivery_time(Beam.open_field(point_source()))


def test_limits_of_a_machine_are_checked() -> None:
    with pytest.raises(InputError, match=r"min_dose_rate_mu_min of the limits is 700.0; allowed are 0 <= .* <= 600"):
        Limits(min_dose_rate_mu_min=700.0)
    with pytest.raises(InputError, match="min_monitor_units_per_degree"):
        Limits(min_monitor_units_per_degree=3.0, max_monitor_units_per_degree=2.0)
    with pytest.raises(InputError, match="gantry_overtravel_deg"):
        Limits(gantry_overtravel_deg=-1.0)


def test_the_check_names_point_pair_need_and_limit() -> None:
    shapes = [opened(-20.0), opened(-20.0), opened(19.8)]
    with pytest.raises(MachineLimitError, match=r"'B', control point 2: leaf pair 30 leaves .* of 0.2 mm; .* 0.5 mm"):
        check_delivery(arc(4.0, [2.0, 2.0], shapes))
    with pytest.raises(MachineLimitError, match=r"control points 1 and 2: 0.05 MU per degree; .* at least 0.1 MU"):
        check_delivery(arc(4.0, [2.0, 0.2]))
    with pytest.raises(MachineLimitError, match=r"control points 0 and 1: 25 MU per degree; .* at most 20 MU"):
        check_delivery(arc(4.0, [100.0, 2.0]))
    # 100 mm at 25 mm/s: 4 s for 1 degree: 0.25 deg/s, and for 0.3 MU: 4.5 MU/min
    shapes = [opened(-80.0, -20.0), opened(-80.0, 80.0)]
    with pytest.raises(MachineLimitError, match=r"turn at 0.25 deg/s, for leaf pair 30 moves 100 mm at 25 .* 0.5"):
        check_delivery(arc(1.0, [2.0], shapes))
    # and 0.25/2 = 0.125 s for the gantry to get there and to rest again
    with pytest.raises(MachineLimitError, match=r"0.3 MU in 4.125 s are 4.36 MU/min, for leaf pair 30 .* least 6"):
        check_delivery(arc(1.0, [0.3], shapes))
    with pytest.raises(MachineLimitError, match=r"the segment has 0.5 MU; .* at least 1 MU"):
        check_delivery(Beam.open_field(MACHINE, monitor_units=0.5))


def test_the_gantry_does_not_pass_its_stop() -> None:
    still = [1.0] * 4
    check_delivery(arc(2.0, still, start=177.0))  # to 185: overtravel
    check_delivery(arc(-2.0, still, start=183.0))  # to 175: overtravel from the other side
    with pytest.raises(MachineLimitError, match=r"control point 4: the gantry would pass 180 degrees and reach 190"):
        check_delivery(arc(5.0, still, start=170.0))
    full = [1.0] * 90
    assert check_delivery(arc(358.0 / 90, full, start=181.0)).time.seconds == pytest.approx(358.0 / 6.0 + 3.0)
    endless = replace(MACHINE, limits=replace(LIMITS, gantry_overtravel_deg=None))
    check_delivery(replace(arc(5.0, still, start=170.0), machine=endless))


def test_the_check_refuses_a_motion_that_the_machine_does_not_make() -> None:
    turning = arc(4.0, [4.0, 40.0, 4.0])
    good = delivery_time(turning)
    slow = good.intervals[1]
    for change, message in (
        ({"seconds": slow.seconds / 2}, "do not follow from"),
        ({"seconds": slow.seconds * 2}, "do not follow from"),
        ({"gantry_speed_deg_s": (7.0, 7.0, 7.0)}, "gantry speed 7 deg/s; 6 allowed"),
        ({"gantry_speed_deg_s": (2.0, 2.0, 2.0), "seconds": 2.0}, r"40 MU in 2 s; .* gives 600 MU/min"),
        ({"gantry_speed_deg_s": (0.5, 0.5, 0.5), "seconds": 8.0}, "speed jumps to 0.5"),
    ):
        wrong = replace(good, intervals=(good.intervals[0], replace(slow, **change), good.intervals[2]))
        with pytest.raises(MachineLimitError, match=message):
            check_delivery(turning, wrong)
    check_delivery(turning, good)


def test_the_largest_scale_is_where_a_limit_binds() -> None:
    assert largest_scale(arc(4.0, [8.0, 40.0, 4.0])) == pytest.approx(2.0)  # 10 MU per degree of 20
    assert largest_scale(Beam.open_field(MACHINE, monitor_units=100.0)) == pytest.approx(99.99)
    assert largest_scale(Beam.open_field(point_source())) == math.inf
    turning = arc(4.0, [8.0, 40.0, 4.0])
    check_delivery(turning.scaled(largest_scale(turning)))
    with pytest.raises(MachineLimitError, match="MU per degree"):
        check_delivery(turning.scaled(1.01 * largest_scale(turning)))

"""What a real head refuses, and what a control system has to slow down: constructed beams against numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams import (
    Aperture,
    Beam,
    ControlPoint,
    check_delivery,
    conformal_aperture,
    delivery_time,
    largest_scale,
    rectangular_aperture,
    treatment_seconds,
)
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine import Jaws, Limits, Machine, load_machine
from rtsim.optimize.sequencing import sequence_beams
from rtsim.optimize.sliding_window_beam import SweepSettings, swept_beam
from tests.unit import optimize_toy as toy

LINACS = ("generic_6x", "generic_10x", "generic_15x", "generic_6fff", "generic_10fff", "generic_6x_agility")
MACHINE = load_machine("generic_6fff")


def opened(left: float = -10.0, right: float = 10.0) -> np.ndarray:
    return np.tile((left, right), (60, 1))


def shape(
    leaves: np.ndarray, x: tuple[float, float] = (-20.0, 20.0), y: tuple[float, float] = (-20.0, 20.0)
) -> Aperture:
    return Aperture(jaws_x_mm=x, jaws_y_mm=y, leaf_pairs_mm=leaves)


def arc(step_deg: float, units: float, apertures: list[Aperture], machine: Machine = MACHINE) -> Beam:
    points = tuple(
        ControlPoint(cumulative_monitor_units=units * n, aperture=a, gantry_deg=10.0 + step_deg * n)
        for n, a in enumerate(apertures)
    )
    return Beam(machine=machine, isocenter_mm=(0, 0, 0), gantry_deg=10.0, name="B", control_points=points)


def static(aperture: Aperture, units: float = 50.0, machine: Machine = MACHINE) -> Beam:
    return replace(Beam.open_field(machine, monitor_units=1.0), control_points=()).with_segments(((aperture, units),))


def test_a_gantry_that_would_have_to_crawl_is_refused() -> None:
    """A leaf 149 mm to and fro in 1 degree: 5.96 s at 25 mm/s, 0.168 deg/s, where 0.3 is the least."""
    shapes = []
    for n in range(6):
        leaves = opened()
        leaves[0] = (-84.0, -83.0) if n % 2 else (65.0, 66.0)
        shapes.append(shape(leaves))
    with pytest.raises(MachineLimitError, match=r"0.168 deg/s, for leaf pair 0 moves 149 mm at 25 mm/s; .* 0.3 deg/s"):
        check_delivery(arc(1.0, 20.0, shapes))
    # in 4 degrees 0.67 deg/s pass; the report says that the machine waits all the time
    found = check_delivery(arc(4.0, 20.0, shapes))
    assert found.slowed_share == 1.0
    assert found.gantry_speed_deg_s == pytest.approx(25.0 / 149.0 * 4.0)
    assert check_delivery(arc(4.0, 20.0, [shape(opened())] * 6)).slowed_share == 0.0


def test_the_least_dose_rate_counts_the_seconds_that_the_gantry_needs_to_speed_up() -> None:
    # 0.8 MU in the first 4 degrees, at 1.5 deg/s2 from rest: sqrt(2 4 / 1.5) = 2.309 s, 20.8 MU/min
    machine = replace(MACHINE, limits=replace(MACHINE.limits, min_dose_rate_mu_min=40.0))
    still = [shape(opened())] * 6
    with pytest.raises(MachineLimitError, match=r"0.8 MU in 2.309 s are 20.8 MU/min, set by gantry acc.* least 40 MU"):
        check_delivery(arc(4.0, 0.8, still, machine))
    assert check_delivery(arc(4.0, 0.8, still)).dose_rate_mu_min[0] == pytest.approx(48.0 / math.sqrt(8.0 / 1.5))


def test_the_acceleration_is_that_of_the_motion() -> None:
    still = [shape(opened())] * 6
    found = check_delivery(arc(4.0, 100.0, still))  # 25 MU/deg: 0.933 deg/s, reached in 0.62 s
    assert found.gantry_acceleration_deg_s2 == pytest.approx(1.5)
    # the same motion, as slowly as a gantry of a third of the acceleration turns: it is 0.5
    slow = replace(MACHINE, limits=replace(MACHINE.limits, max_gantry_acceleration_deg_s2=0.5))
    gentle = delivery_time(arc(4.0, 100.0, still, slow))
    assert check_delivery(arc(4.0, 100.0, still), gentle).gantry_acceleration_deg_s2 == pytest.approx(0.5)
    with pytest.raises(MachineLimitError, match=r"is 1.5 deg/s2; 0.5 deg/s2 allowed"):
        check_delivery(arc(4.0, 100.0, still, slow), found.time)


def test_the_highest_monitor_units_per_degree_follow_from_dose_rate_and_least_speed() -> None:
    # 600 MU/min are 10 MU/s; at 0.3 deg/s that is 33.3 MU per degree, less than the 60 that are stated
    limits = load_machine("generic_6x").limits
    assert limits.monitor_units_per_degree == pytest.approx((0.1, 10.0 / 0.3))
    assert MACHINE.limits.monitor_units_per_degree == (0.1, 60.0)
    assert Limits().monitor_units_per_degree == (0.0, math.inf)
    machine = load_machine("generic_6x")
    turning = arc(4.0, 40.0, [shape(opened())] * 6, machine)
    assert largest_scale(turning) == pytest.approx(10.0 / 0.3 / 10.0)
    check_delivery(turning.scaled(0.999 * largest_scale(turning)))
    with pytest.raises(MachineLimitError, match="gantry would turn at"):
        check_delivery(turning.scaled(1.01 * largest_scale(turning)))


def test_jaws_cross_the_midline_by_so_much() -> None:
    check_delivery(static(shape(opened(21.0, 30.0), (20.0, 50.0), (100.0, 150.0))))
    for x, y, said in (
        ((20.5, 50.0), (-20.0, 20.0), "jaws_x_mm is (20.5, 50.0)"),
        ((-50.0, -21.0), (-20.0, 20.0), "jaws_x_mm is (-50.0, -21.0)"),
        ((-20.0, 20.0), (101.0, 150.0), "jaws_y_mm is (101.0, 150.0)"),
    ):
        with pytest.raises(MachineLimitError, match=r"cross the midline by (20|100) mm at most") as caught:
            check_delivery(static(shape(opened(), x, y)))
        assert said in str(caught.value)
    with pytest.raises(InputError, match=r"overtravel_x_mm of the jaws is 300.0"):
        Jaws(distance_x_mm=400.0, distance_y_mm=300.0, limit_mm=200.0, transmission=0.0, overtravel_x_mm=300.0)


def test_leaves_of_one_bank_share_a_carriage() -> None:
    leaves = opened()
    leaves[20], leaves[21] = (-75.0, -74.5), (75.0, 75.5)
    check_delivery(static(shape(leaves)))
    leaves[21] = 75.5, 76.0
    with pytest.raises(MachineLimitError, match=r"leaves 20 and 21 of the left bank are 150.5 mm apart; .* 150 mm"):
        check_delivery(static(shape(leaves)))


def test_leaves_that_do_not_interdigitate_do_not_pass_their_neighbors() -> None:
    assert MACHINE.mlc is not None
    old = replace(MACHINE, mlc=replace(MACHINE.mlc, interdigitates=False))
    leaves = opened()
    leaves[30] = 9.0, 30.0
    check_delivery(static(shape(leaves), machine=old))
    leaves[30] = 10.0, 30.0  # beside right leaves at 10: no gap is left
    with pytest.raises(MachineLimitError, match=r"pair 29 or 30 passes .* do not interdigitate"):
        check_delivery(static(shape(leaves), machine=old))
    check_delivery(static(shape(leaves)))


def test_a_moving_beam_has_least_monitor_units_too() -> None:
    points = tuple(
        ControlPoint(cumulative_monitor_units=0.2 * n, aperture=shape(opened(-10.0 + 0.01 * n)), gantry_deg=0.0)
        for n in range(5)
    )
    with pytest.raises(MachineLimitError, match=r"gives 0.8 MU; .* at least 1 MU a beam"):
        check_delivery(replace(static(shape(opened())), control_points=points))


def test_each_segment_takes_the_time_to_turn_the_beam_on() -> None:
    seconds = 60.0 * 90.0 / 1400.0
    three = tuple((shape(opened()), 30.0) for _ in range(3))
    several = replace(static(shape(opened())), control_points=()).with_segments(three)
    assert delivery_time(static(shape(opened()), 90.0)).seconds == pytest.approx(seconds + 0.5)
    assert delivery_time(several).seconds == pytest.approx(seconds + 3 * 0.5)
    assert delivery_time(several).beam_on_seconds == pytest.approx(seconds)
    assert delivery_time(arc(4.0, 30.0, [shape(opened())] * 4)).overhead_seconds == 0.5


def test_collimator_and_couch_turn_between_beams() -> None:
    first = static(shape(opened()), 14.0)  # 0.6 s and 0.5 s
    turned = replace(first, collimator_deg=315.0)
    # from 45 over 0 to 315 degrees: 90 at 15 deg/s
    assert treatment_seconds([replace(first, collimator_deg=45.0), turned]) == pytest.approx(2 * 1.1 + 6.0)
    # the couch needs longer, 60 degrees at 3 deg/s, at the same time
    assert treatment_seconds([first, replace(turned, couch_deg=60.0)]) == pytest.approx(2 * 1.1 + 20.0)
    silent = replace(MACHINE, limits=replace(MACHINE.limits, collimator_speed_deg_s=None, couch_speed_deg_s=None))
    pair = [replace(b, machine=silent) for b in (first, turned)]
    assert treatment_seconds(pair) == pytest.approx(2 * 1.1)


@pytest.mark.parametrize("name", LINACS)
@pytest.mark.parametrize("beside_mm", [0.0, 60.0, -60.0])
def test_static_beams_beside_the_axis_keep_all_limits(name: str, beside_mm: float) -> None:
    """Conformal, step and shoot, sliding window: what is opened lies wholly beside the axis."""
    machine, phantom = load_machine(name), toy.phantom(8.0)
    beam = replace(toy.beams((180,))[0], machine=machine, isocenter_mm=(beside_mm, 0.0, 0.0))
    check_delivery(static(conformal_aperture(replace(beam, beamlets=None), phantom["PTV"]), machine=machine))
    assert beam.beamlets is not None
    moved = replace(beam.beamlets, center_x_mm=beam.beamlets.center_x_mm + beside_mm)
    units = 60.0 * np.random.default_rng(4).random(moved.count)
    wanted = replace(beam, beamlets=moved, beamlet_monitor_units=units)
    for made in sequence_beams((wanted,), machine):
        check_delivery(made)
    swept = swept_beam(wanted, units, machine, SweepSettings())
    assert swept is not None
    check_delivery(swept.beam)


@pytest.mark.parametrize("name", LINACS)
@pytest.mark.parametrize("side_mm", [40.0, 100.0, 160.0, 300.0, 400.0])
def test_open_fields_of_any_size_keep_all_limits(name: str, side_mm: float) -> None:
    machine = load_machine(name)
    half = side_mm / 2
    for y in (half, 30.0):
        check_delivery(static(rectangular_aperture(machine, x_mm=(-half, half), y_mm=(-y, y)), machine=machine))

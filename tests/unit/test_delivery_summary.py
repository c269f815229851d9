"""How a plan is delivered, in numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtsim.beams import conformal_arc, rectangular_aperture
from rtsim.beams.model import Beam, ControlPoint
from rtsim.evaluate import delivery_summary
from rtsim.optimize import Plan
from rtsim.phantom.phantom import Phantom
from tests.unit import optimize_toy as toy


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom(spacing_mm=5.0)


def beam(units: float = 300.0) -> Beam:
    return Beam.open_field(toy.machine(), (60.0, 40.0), monitor_units=units)


def plan(*beams: Beam) -> Plan:
    return Plan(beams=beams, prescription=toy.prescription())


def test_static_fields_take_their_monitor_units_at_the_dose_rate() -> None:
    found = delivery_summary(plan(beam(300.0)))
    assert (found.technique, found.beams, found.apertures) == ("static fields", 1, "1 segment")
    assert found.monitor_units_per_gy == pytest.approx(300.0 / 18.0)
    limits = toy.machine().limits
    assert found.seconds == pytest.approx(60.0 * 300.0 / limits.max_dose_rate_mu_min + limits.beam_on_overhead_s)
    assert str(found).startswith("static fields: 1 beam, 1 segment, 300 MU per fraction (17 MU/Gy), ")
    assert found.obstacles == ()


def test_segments_are_step_and_shoot() -> None:
    ((aperture, _),) = beam().segments()
    other = rectangular_aperture(toy.machine(), x_mm=(-10.0, 10.0), y_mm=(-10.0, 10.0))
    found = delivery_summary(plan(beam().with_segments(((aperture, 100.0), (other, 50.0)))))
    assert (found.technique, found.apertures, found.monitor_units) == ("step and shoot", "2 segments", 150.0)


def test_leaves_that_move_while_the_beam_is_on_are_a_sliding_window(phantom: Phantom) -> None:
    first = rectangular_aperture(toy.machine(), x_mm=(-10.0, 10.0), y_mm=(-10.0, 10.0))
    last = rectangular_aperture(toy.machine(), x_mm=(-10.0, 20.0), y_mm=(-10.0, 10.0))
    points = tuple(
        ControlPoint(cumulative_monitor_units=u, aperture=a, gantry_deg=0.0) for u, a in ((0.0, first), (50.0, last))
    )
    moving = replace(beam(), control_points=points)
    assert delivery_summary(plan(moving)).technique == "sliding window"
    start = toy.beams((181,))[0]
    arc = conformal_arc(start, phantom["PTV"], turn_deg=60.0, step_deg=15.0)
    found = delivery_summary(plan(arc))
    assert (found.technique, found.apertures) == ("arcs", f"{len(arc.control_points)} control points")


def test_a_beam_that_no_machine_gives_is_said() -> None:
    most = toy.machine().limits.max_monitor_units_per_beam
    found = delivery_summary(plan(beam(2.0 * most)))
    assert len(found.obstacles) == 1


def test_a_beam_that_waits_for_its_leaves_is_said() -> None:
    ends = (-10.0, 30.0)
    shapes = [rectangular_aperture(toy.machine(), x_mm=(-40.0, e), y_mm=(-10.0, 10.0)) for e in ends * 3]
    points = tuple(
        ControlPoint(cumulative_monitor_units=2.0 * n, aperture=a, gantry_deg=0.0) for n, a in enumerate(shapes)
    )
    found = delivery_summary(plan(replace(beam(), control_points=points)))
    assert found.obstacles == ()
    assert "stays below half of dose rate and gantry speed in 100 % of its intervals" in str(found)
    assert delivery_summary(plan(beam())).slow == ()

"""One beam in words and numbers: the same in terminal, report and JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtsim.beams import conformal_arc, delivery_time
from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.cli.beam_record import record_of_beam
from rtsim.evaluate import beam_summary
from rtsim.view.report_html import _beam_row
from tests.unit import optimize_toy as toy


def arc(turn_deg: float) -> Beam:
    start = toy.beams((350.0 if turn_deg > 0 else 10.0,))[0]
    return conformal_arc(start, toy.phantom(spacing_mm=5.0)["PTV"], turn_deg=turn_deg, step_deg=10.0)


@pytest.mark.parametrize(
    ("turn_deg", "stop_deg", "way"), [(120.0, 110.0, "clockwise"), (-120.0, 250.0, "counterclockwise")]
)
def test_an_arc_says_from_where_to_where_and_which_way(turn_deg: float, stop_deg: float, way: str) -> None:
    beam = arc(turn_deg)
    found = beam_summary(beam)
    assert (found.kind, found.direction, found.segments) == ("arc", way, None)
    assert found.turn_deg == pytest.approx(turn_deg)
    assert found.gantry_stop_deg == pytest.approx(stop_deg)
    assert found.gantry == f"{beam.gantry_deg:g}\u00b0 \u2192 {stop_deg:g}\u00b0 {way}"
    assert found.apertures == f"{len(beam.control_points)} control points"
    assert found.seconds == pytest.approx(delivery_time(beam).seconds)


def test_segments_are_counted_of_beams_that_stand_while_on() -> None:
    small, large = (Aperture(jaws_x_mm=(-w, w), jaws_y_mm=(-10.0, 10.0)) for w in (10.0, 20.0))
    start = Beam.open_field(toy.machine(), (40.0, 20.0))
    step = start.with_segments(((small, 10.0), (large, 20.0), (small, 30.0)))
    assert (beam_summary(step).kind, beam_summary(step).apertures) == ("step and shoot", "3 segments")
    points = (
        ControlPoint(cumulative_monitor_units=0.0, aperture=small, gantry_deg=0.0),
        ControlPoint(cumulative_monitor_units=10.0, aperture=large, gantry_deg=0.0),
    )
    moving = beam_summary(replace(start, control_points=points))
    assert (moving.kind, moving.segments, moving.apertures, moving.direction) == (
        "sliding window",
        None,
        "2 control points",
        "",
    )


def test_report_and_json_give_the_same_counts() -> None:
    beam = arc(120.0)
    found, record = beam_summary(beam), record_of_beam(beam)
    assert (record["control_points"], record["segments"]) == (len(beam.control_points), None)
    assert (record["gantry_deg"], record["gantry_stop_deg"], record["direction"]) == (350.0, 110.0, "clockwise")
    row = _beam_row(beam)
    assert f"{len(beam.control_points)} control points" in row
    assert found.gantry in row
    assert found.time in row

"""Where an arc is drawn in three dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.beams import conformal_arc
from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.geometry.iec61217 import source_position_mm
from rtsim.view.arc_path import arc_path, unfolded_gantry_deg
from rtsim.view.beam_shape import field_outline_mm
from tests.unit import optimize_toy as toy


@pytest.fixture(scope="module", params=[150.0, -150.0])
def arc(request: pytest.FixtureRequest) -> Beam:
    """Across 0 degrees, one way and the other."""
    start = toy.beams((300.0 if request.param > 0 else 60.0,))[0]
    return conformal_arc(start, toy.phantom(spacing_mm=5.0)["PTV"], turn_deg=request.param, step_deg=10.0)


def test_it_leads_from_the_first_source_to_the_last(arc: Beam) -> None:
    path = arc_path(arc, arc.machine.sad_mm)
    for point, control in ((path.points_mm[0], arc.control_points[0]), (path.points_mm[-1], arc.control_points[-1])):
        source = source_position_mm(arc.isocenter_mm, control.gantry_deg, arc.couch_deg, arc.machine.sad_mm)
        np.testing.assert_allclose(point, source, atol=1e-6)
    assert abs(unfolded_gantry_deg(arc)[-1] - arc.gantry_deg) == pytest.approx(150.0)


def test_it_is_a_circle_without_jumps(arc: Beam) -> None:
    path = arc_path(arc, 160.0)
    radius = np.linalg.norm(path.points_mm - np.asarray(arc.isocenter_mm), axis=1)
    np.testing.assert_allclose(radius, 160.0)
    assert np.linalg.norm(np.diff(path.points_mm, axis=0), axis=1).max() < 160.0 * np.radians(3.0) + 1e-6


def test_arrows_point_the_way_the_source_goes(arc: Beam) -> None:
    path = arc_path(arc, 160.0)
    assert len(path.arrows_mm) >= 3
    for place, direction in zip(path.arrows_mm, path.arrow_directions, strict=True):
        nearest = int(np.argmin(np.linalg.norm(path.points_mm - place, axis=1)))
        assert float(direction @ (path.points_mm[nearest + 1] - path.points_mm[nearest])) > 0


def test_the_band_is_as_wide_as_the_field_along_the_axis_of_rotation(arc: Beam) -> None:
    assert arc.collimator_deg == 0.0
    along = field_outline_mm(arc)[:, 1]
    path = arc_path(arc, 500.0)
    wide = np.linalg.norm(path.high_mm - path.low_mm, axis=1)
    np.testing.assert_allclose(wide, 0.5 * (along.max() - along.min()), rtol=1e-9)


def test_a_static_beam_has_none() -> None:
    with pytest.raises(InputError, match="no arc"):
        arc_path(Beam.open_field(toy.machine(), (60.0, 40.0)), 160.0)

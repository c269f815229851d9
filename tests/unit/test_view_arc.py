"""The picture of an arc says what the arc does."""

from __future__ import annotations

import pytest

from rtsim.beams import conformal_arc, delivery_time
from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.view import arc_figure, arc_picture
from tests.unit import optimize_toy as toy


@pytest.fixture(scope="module", params=[120.0, -120.0])
def arc(request: pytest.FixtureRequest) -> Beam:
    start = toy.beams((60.0 if request.param > 0 else 300.0,))[0]
    return conformal_arc(start, toy.phantom(spacing_mm=5.0)["PTV"], turn_deg=request.param, step_deg=10.0)


def test_the_way_of_the_gantry_is_labeled(arc: Beam) -> None:
    figure = arc_figure(arc)
    last = figure.axes[-1]
    labels = [t.get_text() for t in last.get_xticklabels()]
    expected = {"60\u00b0": 0.0, "90\u00b0": 30.0} if arc.gantry_deg == 60.0 else {"300\u00b0": 0.0, "270\u00b0": 30.0}
    for label, turned in expected.items():
        assert last.get_xticks()[labels.index(label)] == pytest.approx(turned)
    assert f"{arc.monitor_units:.0f} MU over 120 degrees" in figure.get_suptitle()


def test_monitor_units_per_degree_add_up(arc: Beam) -> None:
    per_degree = arc_figure(arc).axes[1].patches[0].get_data()
    units = float((per_degree.values * (per_degree.edges[1:] - per_degree.edges[:-1])).sum())
    assert units == pytest.approx(arc.monitor_units)


def test_the_dose_rate_is_that_of_the_delivery(arc: Beam) -> None:
    rate = arc_figure(arc).axes[3].patches[0].get_data().values
    assert max(rate) == pytest.approx(max(i.dose_rate_mu_min for i in delivery_time(arc).intervals))


def test_it_is_a_picture(arc: Beam) -> None:
    found = arc_picture(arc)
    assert found.png.startswith(b"\x89PNG")
    assert found.name.isascii()
    assert " " not in found.name


def test_a_static_beam_has_none() -> None:
    with pytest.raises(InputError, match="no arc"):
        arc_figure(Beam.open_field(toy.machine(), (60.0, 40.0)))

"""Beam, Aperture, Beamlets: what they hold, how they change, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams import Aperture, Beam, Beamlets, ControlPoint, rectangular_aperture, same_aperture
from rtsim.beams.model import rectangle_coverage, with_names
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine import load_machine, point_source

MACHINE = load_machine("generic_6x")
SMALL = rectangular_aperture(MACHINE, x_mm=(-10.0, 10.0), y_mm=(-10.0, 10.0))
LARGE = rectangular_aperture(MACHINE, x_mm=(-30.0, 30.0), y_mm=(-40.0, 40.0))


def _beam() -> Beam:
    return Beam(machine=MACHINE, isocenter_mm=(1.0, 2.0, 3.0), gantry_deg=90.0, name="B")


def test_open_field() -> None:
    beam = Beam.open_field(MACHINE, (60.0, 80.0), gantry_deg=180.0, monitor_units=150.0)
    ((aperture, units),) = beam.segments()
    assert (aperture.jaws_x_mm, aperture.jaws_y_mm, aperture.leaf_pairs_mm) == ((-30, 30), (-40, 40), None)
    assert (units, beam.monitor_units, beam.name, beam.is_arc) == (150.0, 150.0, "G180", False)
    np.testing.assert_array_equal(beam.source_mm, [0.0, 1000.0, 0.0])


def test_segments_come_back_in_order_with_their_own_units() -> None:
    beam = _beam().with_segments(((SMALL, 30.0), (LARGE, 0.0), (LARGE, 12.5)))
    assert [(same_aperture(a, SMALL), u) for a, u in beam.segments()] == [(True, 30.0), (False, 12.5)]
    assert beam.monitor_units == 42.5
    assert [u for _, u in beam.scaled(2.0).segments()] == [60.0, 25.0]
    assert beam.monitor_units == 42.5  # nothing is changed in place


def test_an_arc_has_no_static_segments() -> None:
    points = tuple(
        ControlPoint(cumulative_monitor_units=u, aperture=SMALL, gantry_deg=g) for u, g in ((0, 90), (50, 100))
    )
    arc = replace(_beam(), control_points=points)
    assert arc.is_arc
    with pytest.raises(InputError, match="moves while it is on"):
        arc.segments()


def test_same_aperture_compares_leaves() -> None:
    assert same_aperture(SMALL, replace(SMALL))
    assert not same_aperture(SMALL, LARGE)
    assert not same_aperture(SMALL, replace(SMALL, leaf_pairs_mm=None))
    assert SMALL.leaf_pairs_mm is not None
    moved = SMALL.leaf_pairs_mm.copy()
    moved[29, 0] -= 0.5
    assert not same_aperture(SMALL, replace(SMALL, leaf_pairs_mm=moved))


def test_arrays_are_read_only_copies() -> None:
    leaves = np.tile([-10.0, 10.0], (60, 1))
    aperture = Aperture(jaws_x_mm=(-10.0, 10.0), jaws_y_mm=(-10.0, 10.0), leaf_pairs_mm=leaves)
    leaves[0] = 0.0
    assert aperture.leaf_pairs_mm is not None
    assert aperture.leaf_pairs_mm[0, 1] == 10.0
    with pytest.raises(ValueError, match="read-only"):
        aperture.leaf_pairs_mm[0] = 0.0


def test_weights_of_beamlets_need_beamlets() -> None:
    two = Beamlets(
        center_x_mm=np.array([-2.5, 2.5]),
        center_y_mm=np.zeros(2),
        width_x_mm=np.full(2, 5.0),
        width_y_mm=np.full(2, 5.0),
    )
    beam = replace(_beam(), beamlets=two, beamlet_monitor_units=np.array([1.0, 2.0]))
    assert beam.beamlet_monitor_units is not None
    assert beam.scaled(3.0).beamlet_monitor_units == pytest.approx([3.0, 6.0])
    for weights, message in (([1.0], "one value for each"), ([1.0, -1.0], ">= 0"), ([1.0, np.nan], "finite")):
        with pytest.raises(InputError, match=message):
            replace(beam, beamlet_monitor_units=np.array(weights))


def test_impossible_beams_are_refused() -> None:
    with pytest.raises(InputError, match="gantry_deg is 400"):
        Beam.open_field(MACHINE, gantry_deg=400.0)
    with pytest.raises(InputError, match="two widths > 0"):
        Beam.open_field(MACHINE, (0.0, 10.0))
    with pytest.raises(MachineLimitError, match="reach beyond the 400"):
        Beam.open_field(MACHINE, (420.0, 10.0))
    crossed = np.tile([-1.0, 1.0], (60, 1))
    crossed[3] = (1.0, -1.0)
    with pytest.raises(InputError, match="leaf pair 3 crosses"):
        Aperture(jaws_x_mm=(-10.0, 10.0), jaws_y_mm=(-10.0, 10.0), leaf_pairs_mm=crossed)
    with pytest.raises(MachineLimitError, match="60 leaf pairs given; point_source has 0"):
        Beam(machine=point_source(), isocenter_mm=(0, 0, 0), gantry_deg=0.0).with_segments(((SMALL, 1.0),))
    with pytest.raises(InputError, match="monitor units are -1"):
        _beam().with_segments(((SMALL, -1.0),))
    late = ControlPoint(cumulative_monitor_units=1.0, aperture=SMALL, gantry_deg=0.0)
    with pytest.raises(InputError, match="must start at 0"):
        replace(_beam(), control_points=(late, late))
    with pytest.raises(InputError, match="lower <= upper"):
        Aperture(jaws_x_mm=(10.0, -10.0), jaws_y_mm=(-10.0, 10.0))


def test_a_beam_without_a_name_is_called_by_its_angles_and_among_others_by_its_number() -> None:
    named, bare = _beam(), replace(_beam(), name="")
    assert (named.label, bare.label) == ("beam 'B'", "the beam at gantry 90 deg")
    assert replace(bare, couch_deg=30.0).label == "the beam at gantry 90, couch 30 deg"
    first, second, third = with_names((named, bare, replace(bare, gantry_deg=270.0)))
    assert first is named
    assert second.label == "beam 'number 2, gantry 90 deg'"
    assert third.label == "beam 'number 3, gantry 270 deg'"
    late = ControlPoint(cumulative_monitor_units=1.0, aperture=SMALL, gantry_deg=90.0)
    with pytest.raises(InputError, match="of the beam at gantry 90 deg must start at 0"):
        replace(bare, control_points=(late, late))


def test_rectangle_coverage_of_intervals() -> None:
    found = rectangle_coverage(np.array([0.0, 5.0, 10.0]), np.array([5.0, 10.0, 15.0]), 2.0, 6.0)
    np.testing.assert_allclose(found, [0.6, 0.2, 0.0], rtol=1e-15)

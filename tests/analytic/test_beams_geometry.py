"""Beams against closed forms: divergent projections of boxes, exact overlaps, conformal outlines."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.beams import (
    Aperture,
    Beam,
    Beamlets,
    beamlet_opening,
    check_aperture,
    conform,
    conformal_aperture,
    conformal_arc,
    coplanar,
    project_outline,
    rectangular_aperture,
    same_aperture,
    with_beamlets,
)
from rtsim.beams.beamlets import beamlet_rows_mm
from rtsim.errors import GeometryError, InputError, MachineLimitError
from rtsim.geometry.grid import Grid
from rtsim.machine import Machine, load_machine, point_source
from rtsim.phantom.structure import Role, Structure

M120 = load_machine("generic_6x")
HD120 = load_machine("generic_6fff")
BARE = point_source()


def box(
    lower_mm: tuple[float, float, float], upper_mm: tuple[float, float, float], spacing_mm: float = 2.0
) -> Structure:
    grid = Grid.covering(lower_mm, upper_mm, (spacing_mm,) * 3)
    return Structure.from_coverage("PTV", Role.PTV, grid, np.ones(grid.shape))


def beam_at(machine: Machine, gantry_deg: float, collimator_deg: float = 0.0) -> Beam:
    return Beam(
        machine=machine, isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=gantry_deg, collimator_deg=collimator_deg, name="B"
    )


@pytest.mark.parametrize(
    ("gantry_deg", "bounds_x", "bounds_y"),
    [
        # magnification 1000 / (1000 -+ depth): the face nearest to the source decides the extent; LPS box
        # x -10..30 (left), y -20..40 (posterior), z -50..60 (superior)
        (0.0, (-10 / 0.98, 30 / 0.98), (-50 / 0.98, 60 / 0.98)),  # from anterior: +x left, +y superior
        (180.0, (-30 / 0.96, 10 / 0.96), (-50 / 0.96, 60 / 0.96)),  # from posterior: +x right
        (90.0, (-20 / 0.97, 40 / 0.97), (-50 / 0.97, 60 / 0.97)),  # from left: +x posterior
        (270.0, (-40 / 0.99, 20 / 0.99), (-50 / 0.99, 60 / 0.99)),  # from right: +x anterior
    ],
)
def test_projection_of_a_box_is_magnified_by_its_nearest_face(
    gantry_deg: float, bounds_x: tuple[float, float], bounds_y: tuple[float, float]
) -> None:
    outline = project_outline(beam_at(M120, gantry_deg), box((-10.0, -20.0, -50.0), (30.0, 40.0, 60.0)))
    assert outline.bounds_x_mm == pytest.approx(bounds_x, rel=1e-12)
    assert outline.bounds_y_mm == pytest.approx(bounds_y, rel=1e-12)


def test_collimator_90_turns_x_to_superior() -> None:
    outline = project_outline(beam_at(M120, 0.0, 90.0), box((-10.0, -20.0, -50.0), (30.0, 40.0, 60.0)))
    assert outline.bounds_x_mm == pytest.approx((-50 / 0.98, 60 / 0.98), rel=1e-12)
    assert outline.bounds_y_mm == pytest.approx((-30 / 0.98, 10 / 0.98), rel=1e-12)


def test_a_voxel_less_than_half_inside_does_not_count() -> None:
    grid = Grid.covering((-10.0, -10.0, -10.0), (10.0, 10.0, 10.0), (2.0, 2.0, 2.0))
    coverage = np.ones(grid.shape)
    coverage[:, :, -1] = 0.4
    target = Structure.from_coverage("PTV", Role.PTV, grid, coverage)
    assert project_outline(beam_at(M120, 0.0), target).bounds_x_mm == pytest.approx((-10 / 0.99, 8 / 0.99), rel=1e-12)


def test_conformal_field_of_a_box_is_the_projected_rectangle() -> None:
    aperture = conformal_aperture(beam_at(M120, 0.0), box((-10.0, -20.0, -50.0), (30.0, 40.0, 60.0)), margin_mm=7.0)
    left, right = -10 / 0.98 - 7, 30 / 0.98 + 7
    low, high = -50 / 0.98 - 7, 60 / 0.98 + 7  # -58.02, 68.22
    assert aperture.jaws_x_mm == pytest.approx((left, right), rel=1e-12)
    assert aperture.jaws_y_mm == pytest.approx((low, high), rel=1e-12)
    leaves, edges = aperture.leaf_pairs_mm, M120.leaf_edges_mm
    assert leaves is not None
    for pair, y0, y1 in zip(leaves, edges[:-1], edges[1:], strict=True):
        gap = max(y0 - 60 / 0.98, -50 / 0.98 - y1, 0.0)
        if gap < 7.0:  # round growth beside the ends of the box
            reach = math.sqrt(49 - gap**2)
            assert pair == pytest.approx((-10 / 0.98 - reach, 30 / 0.98 + reach), rel=1e-9)
        else:  # parked 10 mm outside the jaw, at the smallest gap
            assert pair == pytest.approx((right + 10.0, right + 10.5), rel=1e-12)


def test_the_leaves_of_a_conformal_arc_follow_the_target() -> None:
    """At each control point the aperture of a static field of that angle; angles and monitor units evenly spread."""
    target = box((-10.0, -20.0, -50.0), (30.0, 40.0, 60.0))
    first = beam_at(M120, 350.0)
    for turn, last in ((30.0, 20.0), (-30.0, 320.0)):
        arc = conformal_arc(first, target, turn_deg=turn, step_deg=4.0, monitor_units=80.0)
        angles = [c.gantry_deg for c in arc.control_points]
        assert (arc.is_arc, len(angles), angles[0], arc.gantry_deg) == (True, 9, 350.0, 350.0)
        assert angles[-1] == pytest.approx(last)
        np.testing.assert_allclose(np.diff(np.unwrap(angles, period=360.0)), turn / 8, rtol=1e-9)
        np.testing.assert_allclose([c.cumulative_monitor_units for c in arc.control_points], np.arange(9) * 10.0)
        for point in arc.control_points[::4]:
            static = conformal_aperture(beam_at(M120, point.gantry_deg), target, margin_mm=5.0)
            assert same_aperture(point.aperture, static)
    whole = conformal_arc(first, target, turn_deg=360.0, step_deg=20.0)
    assert len(whole.control_points) == 19
    for turn, step, word in (
        (0.0, 4.0, "turn_deg is 0"),
        (370.0, 4.0, "turn_deg is 370"),
        (90.0, 25.0, "step_deg is 25"),
    ):
        with pytest.raises(InputError, match=word):
            conformal_arc(first, target, turn_deg=turn, step_deg=step)
    with pytest.raises(InputError, match="nan"):
        conformal_arc(first, target, turn_deg=float("nan"))


def test_leaves_touch_a_wedge_shaped_target_from_outside() -> None:
    """Each leaf end is the extreme of the outline over the leaf's width, so that nothing of it is covered."""
    grid = Grid.covering((-40.0, -1.0, -40.0), (40.0, 1.0, 40.0), (1.0, 2.0, 1.0))
    z, _, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    target = Structure.from_coverage("PTV", Role.PTV, grid, np.abs(x) <= (z + 40) / 2)
    aperture = conformal_aperture(beam_at(M120, 0.0), target, margin_mm=0.0)
    leaves, edges = aperture.leaf_pairs_mm, M120.leaf_edges_mm
    assert leaves is not None
    outline = project_outline(beam_at(M120, 0.0), target)
    for pair, y0, y1 in zip(leaves, edges[:-1], edges[1:], strict=True):
        inside = (outline.upper_y_mm > y0 + 1e-6) & (outline.lower_y_mm < y1 - 1e-6)
        if inside.any():
            assert pair[0] == pytest.approx(outline.lower_x_mm[inside].min(), abs=1e-12)
            assert pair[1] == pytest.approx(outline.upper_x_mm[inside].max(), abs=1e-12)
    # the triangle widens towards superior = BLD +y
    open_pairs = leaves[(edges[:-1] >= -35) & (edges[1:] <= 40)]
    assert (np.diff(open_pairs[:, 1] - open_pairs[:, 0]) > 0).all()


def test_closed_pair_inside_the_jaws_is_parked_under_a_jaw() -> None:
    grid = Grid.covering((-10.0, -10.0, -60.0), (10.0, 10.0, 60.0), (2.0, 2.0, 2.0))
    mask = np.ones(grid.shape)
    mask[np.abs(grid.z_mm) < 30] = 0
    target = Structure.from_coverage("PTV", Role.PTV, grid, mask)
    aperture = conformal_aperture(beam_at(M120, 0.0), target, margin_mm=5.0)
    leaves, edges = aperture.leaf_pairs_mm, M120.leaf_edges_mm
    assert leaves is not None
    middle = (edges[:-1] >= -20) & (edges[1:] <= 20)
    assert middle.sum() == 8
    assert (leaves[middle, 0] > aperture.jaws_x_mm[1] + 9.9).all()
    check_aperture(aperture, M120)


def test_conform_gives_one_static_field() -> None:
    beam = conform(beam_at(M120, 180.0), box((-20.0, -20.0, -20.0), (20.0, 20.0, 20.0)), monitor_units=230.0)
    assert [units for _, units in beam.segments()] == [230.0]
    assert beam.monitor_units == 230.0


def test_conform_without_leaves_is_a_jaw_field_and_margin_ends_at_the_largest_field() -> None:
    bare = conformal_aperture(beam_at(BARE, 0.0), box((-20.0, -20.0, -20.0), (20.0, 20.0, 20.0)), margin_mm=5.0)
    assert bare.leaf_pairs_mm is None
    assert bare.jaws_x_mm == pytest.approx((-20 / 0.98 - 5, 20 / 0.98 + 5), rel=1e-12)
    long = conformal_aperture(beam_at(HD120, 0.0), box((-10.0, -10.0, -106.0), (10.0, 10.0, 106.0)), margin_mm=7.0)
    assert long.jaws_y_mm == (-110.0, 110.0)


def test_a_target_larger_than_the_field_is_refused() -> None:
    large = box((-10.0, -10.0, -120.0), (10.0, 10.0, 120.0))
    conformal_aperture(beam_at(M120, 0.0), large)
    for call in (
        lambda: conformal_aperture(beam_at(HD120, 0.0), large),
        lambda: with_beamlets((beam_at(HD120, 0.0),), large),
    ):
        with pytest.raises(MachineLimitError, match=r"'PTV' reaches from -121\.2 to 121\.2 mm along BLD y"):
            call()


def test_a_target_at_the_source_is_refused() -> None:
    with pytest.raises(GeometryError, match="must lie below the source"):
        with_beamlets(
            (replace(beam_at(M120, 0.0), isocenter_mm=(0.0, 1000.0, 0.0)),),
            box((-10.0, -10.0, -10.0), (10.0, 10.0, 10.0)),
        )


# --- beamlets ---


def test_beamlets_of_a_box() -> None:
    """Margin 0: the box projects to x -15.3..30.6, y -20.4..20.4 mm, so columns -20..35 and rows -25..25 are needed."""
    beam = with_beamlets(
        (beam_at(M120, 0.0),), box((-15.0, -20.0, -20.0), (30.0, 20.0, 20.0)), pitch_mm=5.0, margin_mm=0.0
    )[0]
    b = beam.beamlets
    assert b is not None
    assert b.count == 11 * 10
    assert set(b.width_x_mm) == {5.0}
    assert set(b.width_y_mm) == {5.0}
    assert (b.center_x_mm.min(), b.center_x_mm.max()) == (-17.5, 32.5)
    assert (b.center_y_mm.min(), b.center_y_mm.max()) == (-22.5, 22.5)


def test_margin_of_beamlets_is_round() -> None:
    """A slab seen as a square of 38 mm / 0.999: the corner cell (20..25, 20..25) mm is farther than its neighbors."""
    slab = box((-19.0, -1.0, -19.0), (19.0, 1.0, 19.0), 1.0)
    half = 19.0 / 0.999
    for margin, corner in ((1.2, False), (1.6, True)):  # the corner cell is sqrt(2) * (20 - half) = 1.39 mm away
        assert (math.sqrt(2) * (20.0 - half) < margin) == corner
        b = with_beamlets((beam_at(M120, 0.0),), slab, margin_mm=margin)[0].beamlets
        assert b is not None
        found = set(zip(b.center_x_mm, b.center_y_mm, strict=True))
        assert ((22.5, 22.5) in found) == corner
        assert (22.5, 17.5) in found


def test_a_hole_needs_no_beamlets() -> None:
    grid = Grid.covering((-60.0, -1.0, -60.0), (60.0, 1.0, 60.0), (2.0, 2.0, 2.0))
    z, _, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    ring = Structure.from_coverage("ring", Role.PTV, grid, np.hypot(x, z) > 40)
    b = with_beamlets((beam_at(M120, 0.0),), ring, margin_mm=5.0)[0].beamlets
    assert b is not None
    assert np.hypot(b.center_x_mm, b.center_y_mm).min() > 40 - 5 - 2 - 5 * math.sqrt(2)
    assert b.count > 100


def test_beamlet_rows_are_leaf_edges() -> None:
    edges = beamlet_rows_mm(HD120, 5.0)
    assert set(edges) <= set(HD120.leaf_edges_mm)
    assert (edges[0], edges[-1]) == (-110.0, 110.0)
    np.testing.assert_array_equal(np.diff(edges), 5.0)  # pairs of 2.5 mm leaves
    np.testing.assert_array_equal(beamlet_rows_mm(HD120, 2.5), HD120.leaf_edges_mm)
    np.testing.assert_array_equal(beamlet_rows_mm(M120, 5.0), M120.leaf_edges_mm)
    np.testing.assert_array_equal(beamlet_rows_mm(M120, 2.5), M120.leaf_edges_mm)  # a leaf is never cut
    np.testing.assert_array_equal(beamlet_rows_mm(BARE, 50.0), np.arange(-200.0, 201.0, 50.0))
    assert np.diff(beamlet_rows_mm(M120, 7.0)).min() >= 7.0


def test_beamlets_cover_the_target_of_every_beam() -> None:
    target = box((-15.0, -20.0, -20.0), (30.0, 20.0, 20.0))
    found = with_beamlets(coplanar(HD120, gantry_deg=range(100, 261, 40), target=target), target, margin_mm=3.0)
    for beam in found:
        b = beam.beamlets
        assert b is not None
        outline = project_outline(beam, target)
        one = rectangular_aperture(HD120, x_mm=outline.bounds_x_mm, y_mm=outline.bounds_y_mm)
        opened = (beamlet_opening(one, b, HD120) * b.width_x_mm * b.width_y_mm).sum()
        area = np.diff(outline.bounds_x_mm)[0] * np.diff(outline.bounds_y_mm)[0]
        assert opened <= area * (1 + 1e-12)
        assert opened > 0.97 * area  # the projected box is a rectangle but for its perspective


def test_beamlet_errors() -> None:
    target = box((-5.0, -5.0, -5.0), (5.0, 5.0, 5.0))
    with pytest.raises(InputError, match=r"0\.5 <= pitch_mm <= 50"):
        with_beamlets((beam_at(M120, 0.0),), target, pitch_mm=0.0)
    with pytest.raises(InputError, match="0 <= margin_mm <= 100"):
        with_beamlets((beam_at(M120, 0.0),), target, margin_mm=-1.0)
    with pytest.raises(InputError, match="no beams"):
        with_beamlets((), target)


# --- apertures ---


def test_rectangular_aperture_opens_its_area() -> None:
    aperture = rectangular_aperture(M120, x_mm=(-30.0, 12.0), y_mm=(-7.0, 53.0))
    grid = with_beamlets((beam_at(M120, 0.0),), box((-80.0, -1.0, -80.0), (80.0, 1.0, 80.0)), pitch_mm=3.0)[0].beamlets
    assert grid is not None
    opened = beamlet_opening(aperture, grid, M120) * grid.width_x_mm * grid.width_y_mm
    assert opened.sum() == pytest.approx(42.0 * 60.0, rel=1e-12)


def test_opening_of_one_beamlet_by_hand() -> None:
    """10 x 10 mm beamlet at (0, 0) over two 5 mm leaves: -2..3 open below, 1..9 above, jaws x to 4, y from -3."""
    leaves = np.tile([50.0, 50.5], (60, 1))
    leaves[29], leaves[30] = (-2.0, 3.0), (1.0, 9.0)
    aperture = Aperture(jaws_x_mm=(-10.0, 4.0), jaws_y_mm=(-3.0, 20.0), leaf_pairs_mm=leaves)
    one = Beamlets(
        center_x_mm=np.zeros(1), center_y_mm=np.zeros(1), width_x_mm=np.full(1, 10.0), width_y_mm=np.full(1, 10.0)
    )
    # below: 5 mm x 3 mm; above: 3 mm (1..4) x 5 mm
    assert beamlet_opening(aperture, one, M120) == pytest.approx([(5 * 3 + 3 * 5) / 100.0], rel=1e-14)


@given(x0=st.floats(-60, 60), wx=st.floats(0.5, 80), y0=st.floats(-60, 60), wy=st.floats(0.5, 80))
def test_opening_is_a_fraction_and_conserves_area(x0: float, wx: float, y0: float, wy: float) -> None:
    columns, rows = np.meshgrid(np.arange(-147.5, 150, 5.0), np.arange(-147.5, 150, 5.0))
    many = Beamlets(
        center_x_mm=columns.ravel(),
        center_y_mm=rows.ravel(),
        width_x_mm=np.full(columns.size, 5.0),
        width_y_mm=np.full(columns.size, 5.0),
    )
    for machine in (M120, BARE):
        aperture = rectangular_aperture(machine, x_mm=(x0, x0 + wx), y_mm=(y0, y0 + wy))
        opening = beamlet_opening(aperture, many, machine)
        assert opening.min() >= 0.0
        assert opening.max() <= 1.0 + 1e-12
        assert opening.sum() * 25.0 == pytest.approx(wx * wy, rel=1e-9)


def test_apertures_beyond_the_machine_are_refused() -> None:
    with pytest.raises(MachineLimitError, match="jaws_x_mm"):
        rectangular_aperture(M120, x_mm=(-30.0, 201.0), y_mm=(-10.0, 10.0))
    with pytest.raises(MachineLimitError, match="60 leaf pairs are given; point_source has 0"):
        check_aperture(rectangular_aperture(M120, x_mm=(-1.0, 1.0), y_mm=(-1.0, 1.0)), BARE)
    leaves = np.tile([-10.0, 10.0], (60, 1))
    leaves[7] = (0.0, 0.1)
    with pytest.raises(MachineLimitError, match=r"leaf pair 7 leaves a gap of 0\.1 mm; the smallest gap"):
        check_aperture(Aperture(jaws_x_mm=(-10, 10), jaws_y_mm=(-10, 10), leaf_pairs_mm=leaves), M120)
    leaves[7] = (-210.0, 0.0)
    with pytest.raises(MachineLimitError, match="leaf pair 7 stands at -210"):
        check_aperture(Aperture(jaws_x_mm=(-10, 10), jaws_y_mm=(-10, 10), leaf_pairs_mm=leaves), M120)

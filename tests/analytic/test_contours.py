"""Contours to coverage and back against areas and volumes in closed form."""

import math

import numpy as np
import pytest

from rtsim.errors import GeometryError
from rtsim.geometry.contours import PlanarContours, contours_from_coverage, coverage_from_contours, plane_coverage
from rtsim.geometry.grid import Grid

ANGLE = np.linspace(0.0, 2.0 * math.pi, 720, endpoint=False)
GRID = Grid((1, 60, 64), (2.0, 1.5, 2.0), (-63.3, -44.1, 0.0))
PIXEL_MM2 = 3.0


def ellipse(a, b, x=0.0, y=0.0):
    return np.stack([x + a * np.cos(ANGLE), y + b * np.sin(ANGLE)], axis=1)


def polygon_area(p):
    x, y = p.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def dice(a, b):
    return 2.0 * float(np.minimum(a, b).sum()) / float(a.sum() + b.sum())


def test_area_of_an_ellipse_is_that_of_its_polygon_exactly_and_of_the_ellipse_within_a_tenth_percent():
    p = ellipse(31.0, 17.0)
    area = plane_coverage((p,), GRID).sum() * PIXEL_MM2
    assert area == pytest.approx(polygon_area(p), rel=1e-9)
    assert area == pytest.approx(math.pi * 31.0 * 17.0, rel=1e-3)


def test_pixel_coverage_of_a_shifted_rectangle_is_the_overlap_of_intervals():
    grid = Grid((1, 4, 4), (1.0, 1.0, 1.0), (0.5, 0.5, 0.0))
    got = plane_coverage((np.array([[0.25, 0.5], [2.75, 0.5], [2.75, 3.1], [0.25, 3.1]]),), grid)
    expected = np.outer([0.5, 1.0, 1.0, 0.1], [0.75, 1.0, 0.75, 0.0])
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_torus_by_inner_contour_and_by_keyhole_are_equal_and_exact():
    outer, inner = ellipse(30.0, 30.0), ellipse(12.0, 12.0, 2.0, 1.0)
    keyhole = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
    expected = polygon_area(outer) - polygon_area(inner)
    by_xor = plane_coverage((outer, inner), GRID)
    assert by_xor.sum() * PIXEL_MM2 == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(plane_coverage((keyhole,), GRID), by_xor, atol=1e-9)


def test_orientation_and_first_point_do_not_matter():
    p = ellipse(20.0, 11.0, 3.3, -2.1)
    a = plane_coverage((p,), GRID)
    np.testing.assert_allclose(plane_coverage((np.roll(p[::-1], 100, axis=0),), GRID), a, atol=1e-12)


def test_several_contours_on_a_slice_add_and_an_island_in_a_hole_is_inside():
    left, right = ellipse(9.0, 8.0, -30.0), ellipse(14.0, 14.0, 20.0)
    hole, island = ellipse(8.0, 8.0, 20.0), ellipse(3.0, 3.0, 20.0)
    expected = polygon_area(left) + polygon_area(right) - polygon_area(hole) + polygon_area(island)
    assert plane_coverage((left, right, hole, island), GRID).sum() * PIXEL_MM2 == pytest.approx(expected, rel=1e-9)


def test_crossing_contours_follow_even_odd():
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    assert plane_coverage((square, square + 5.0), GRID).sum() * PIXEL_MM2 == pytest.approx(150.0, rel=1e-9)
    bow_tie = np.array([[-10.0, -10.0], [10.0, 10.0], [10.0, -10.0], [-10.0, 10.0]])
    assert plane_coverage((bow_tie,), GRID).sum() * PIXEL_MM2 == pytest.approx(200.0, rel=1e-3)


def test_a_polygon_beyond_the_grid_is_cut_at_its_edge():
    big = np.array([[-1e3, -1e3], [1e3, -1e3], [1e3, 1e3], [-1e3, 1e3]])
    np.testing.assert_array_equal(plane_coverage((big,), GRID), 1.0)


@pytest.mark.parametrize("dz_mm", [0.7, 2.0, 3.1])
def test_volume_of_a_cylinder_with_half_slice_caps_does_not_depend_on_the_grid(dz_mm):
    z = np.arange(10) * 2.0
    contours = PlanarContours(z, (ellipse(12.0, 12.0, 0.4, 0.9),) * 10)
    grid = Grid((int(30 / dz_mm), 30, 30), (2.0, 2.0, dz_mm), (-29.0, -29.0, -4.1))
    volume = coverage_from_contours(contours, grid).sum() * grid.voxel_volume_cm3
    # between planes the outline comes from a distance that is good to ~0.1 voxel
    assert volume == pytest.approx(math.pi * 1.44 * 2.0, rel=0.01)


def test_skipped_planes_of_a_cone_are_interpolated_and_a_wide_gap_is_not():
    z = np.array([0.0, 2.0, 4.0, 8.0, 10.0, 14.0, 16.0])
    grid = Grid((24, 50, 50), (1.0, 1.0, 1.0), (-24.7, -24.7, 0.0))
    cone = coverage_from_contours(PlanarContours(z, tuple(ellipse(20.0 - q, 20.0 - q) for q in z)), grid)
    for k in range(17):
        assert cone[k].sum() == pytest.approx(math.pi * (20.0 - k) ** 2, rel=0.01)
    assert cone[17].sum() == 0.0 or cone[17].sum() < cone[16].sum()
    two = coverage_from_contours(PlanarContours(np.array([0.0, 2.0, 18.0, 20.0]), (ellipse(5.0, 5.0),) * 4), grid)
    assert two[8].sum() == 0.0
    assert two[1].sum() > 0.0


def test_voxels_on_the_planes_hold_the_exact_area_of_their_plane():
    p = ellipse(7.0, 9.0)
    grid = Grid((5, 20, 20), (2.0, 2.0, 3.0), (-19.0, -19.0, -6.0))
    got = coverage_from_contours(PlanarContours(np.array([-3.0, 0.0, 3.0]), (p, p, p)), grid)
    np.testing.assert_allclose(got.sum(axis=(1, 2)) * 4.0, [0.0, *[polygon_area(p)] * 3, 0.0], rtol=1e-6)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.3), (1.0, 1.0), (0.9, 0.1)])
def test_a_small_cord_survives_coverage_to_contours_and_back(shift):
    grid = Grid((10, 20, 20), (2.0, 2.0, 2.0), (-19.0, -19.0, 0.0))
    first = coverage_from_contours(PlanarContours(grid.z_mm, (ellipse(5.0, 5.0, *shift),) * 10), grid)
    back = coverage_from_contours(contours_from_coverage(first, grid), grid)
    assert dice(first, back) >= 0.99
    assert dice((first >= 0.5).astype(float), (back >= 0.5).astype(float)) >= 0.99


def test_a_ring_keeps_its_hole_through_contours():
    outer, inner = ellipse(25.0, 25.0), ellipse(10.0, 10.0)
    first = plane_coverage((outer, inner), GRID)[None]
    contours = contours_from_coverage(first, GRID)
    assert len(contours) == 2
    assert dice(first, coverage_from_contours(contours, GRID)) >= 0.995


def test_spacing_of_planes_is_not_stretched_by_a_skipped_one():
    p = ellipse(5.0, 5.0)
    assert PlanarContours(np.array([9.0, 0.0, 3.0, 3.001]), (p, p, p, p)).spacing_mm == 3.0
    assert PlanarContours(np.array([9.0]), (p,)).spacing_mm is None


def test_bad_polygons_are_refused_with_their_plane():
    with pytest.raises(GeometryError, match=r"z = 4 mm"):
        PlanarContours(np.array([4.0]), (np.zeros((2, 2)),))
    with pytest.raises(GeometryError, match="NaN"):
        PlanarContours(np.array([4.0]), (np.full((3, 2), np.nan),))
    with pytest.raises(GeometryError, match="each polygon"):
        PlanarContours(np.array([4.0, 5.0]), (ellipse(1.0, 1.0),))

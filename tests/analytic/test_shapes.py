"""Shapes against closed forms: volumes, convergence, signed distances, placing, joining."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsim.errors import GeometryError
from rtsim.geometry.coverage import cover, coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import (
    Axis,
    Box,
    Capsule,
    Cylinder,
    Ellipsoid,
    Extrusion,
    HalfSpace,
    Section,
    Shape,
    Sphere,
    Sweep,
    Union,
)

CUBE = Grid.covering((-30.0, -30.0, -30.0), (30.0, 30.0, 30.0), (2.0, 2.0, 2.0))
OFF = (0.37, -0.81, 0.55)


def volume_mm3(shape: Shape, grid: Grid = CUBE, supersample: int = 2) -> float:
    return float(coverage(shape, grid, supersample).sum(dtype=np.float64)) * grid.voxel_volume_cm3 * 1000.0


SHAPES = {
    "sphere": (Sphere(OFF, 17.3), 4 / 3 * math.pi * 17.3**3),
    "ellipsoid": (Ellipsoid(OFF, (20.0, 12.0, 7.0)), 4 / 3 * math.pi * 20.0 * 12.0 * 7.0),
    "box": (Box((-11.3, -7.1, -20.2), (9.9, 13.7, 4.4)), 21.2 * 20.8 * 24.6),
    "cylinder": (Cylinder(OFF, 9.4, 33.3, Axis.X), math.pi * 9.4**2 * 33.3),
    "capsule": (
        Capsule((-8.0, 1.0, 2.0), (10.0, 5.0, -6.0), 6.0, 6.0),
        math.pi * 36.0 * math.sqrt(18.0**2 + 4.0**2 + 8.0**2) + 4 / 3 * math.pi * 216.0,
    ),
    "triangle": (Extrusion(((-15.0, -10.0), (20.0, -10.0), (0.0, 17.0)), -9.0, 12.0, Axis.Y), 0.5 * 35.0 * 27.0 * 21.0),
    "elliptic tube": (
        Sweep((Section(-20.0, (-3.0, 0.0), (8.0, 6.0)), Section(21.0, (5.0, 4.0), (8.0, 6.0)))),
        math.pi * 48.0 * 41.0,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_volume_equals_closed_form_within_half_a_percent_at_2_mm(name: str) -> None:
    shape, exact = SHAPES[name]
    assert volume_mm3(shape) == pytest.approx(exact, rel=0.005)


def test_superellipse_area() -> None:
    # area = 4 a b G(1 + 1/n)^2 / G(1 + 2/n)
    n = 2.5
    tube = Sweep((Section(-20.0, OFF[:2], (18.0, 11.0)), Section(20.0, OFF[:2], (18.0, 11.0))), exponent=n)
    area = 4 * 18.0 * 11.0 * math.gamma(1 + 1 / n) ** 2 / math.gamma(1 + 2 / n)
    assert volume_mm3(tube) == pytest.approx(area * 40.0, rel=0.005)


def test_sphere_volume_converges_at_second_order() -> None:
    error = []
    for spacing in (4.0, 2.0, 1.0):
        grid = Grid.covering((-24.0,) * 3, (24.0,) * 3, (spacing,) * 3)
        errors = [
            abs(volume_mm3(Sphere((dx, 0.3 * dx, -dx), 9.0), grid, 1) / (4 / 3 * math.pi * 729.0) - 1.0)
            for dx in np.linspace(0.0, 1.9, 7)
        ]
        error.append(float(np.mean(errors)))
    assert error[0] / error[1] > 3.0
    assert error[1] / error[2] > 3.0


def test_coverage_agrees_with_counting_points_inside() -> None:
    shape = (Ellipsoid((1.0, 0.0, 0.0), (14.0, 9.0, 11.0)) | Cylinder(OFF, 5.0, 40.0)) - Box(
        (0.0, 0.0, -30.0), (30.0, 30.0, 30.0)
    )
    grid = Grid.covering((-20.0,) * 3, (20.0,) * 3, (2.0, 2.5, 4.0))
    fine = Grid.covering((-20.0,) * 3, (20.0,) * 3, (0.25, 0.3125, 0.5))
    kji = np.moveaxis(np.indices(fine.shape), 0, -1)
    counted = shape.contains(fine.point_at(kji)).reshape(10, 8, 16, 8, 20, 8).mean(axis=(1, 3, 5))
    assert np.abs(coverage(shape, grid, 4) - counted).max() < 0.13
    assert np.abs(coverage(shape, grid, 4) - counted).mean() < 0.004


def test_blocks_change_nothing() -> None:
    """A grid large enough to be searched by blocks gives the coverage of the same voxels searched one by one."""
    grid = Grid.covering((-60.0,) * 3, (60.0,) * 3, (2.0,) * 3)
    shape = Ellipsoid((3.0, 1.0, -2.0), (57.0, 21.0, 44.0))
    whole = coverage(shape, grid)
    for start in range(0, 60, 5):
        part = Grid((5, 60, 60), grid.spacing_mm, tuple(grid.point_at(np.array((start, 0, 0)))))
        assert np.array_equal(coverage(shape, part), whole[start : start + 5])


@pytest.mark.parametrize(
    ("point", "distance"),
    [
        ((0.0, 0.0, 0.0), -2.0),
        ((4.0, 0.0, 0.0), -1.0),
        ((8.0, 0.0, 0.0), 3.0),
        ((8.0, 7.0, 0.0), 5.0),
        ((8.0, 7.0, 9.0), math.sqrt(9 + 16 + 49)),
    ],
)
def test_box_distance(point: tuple[float, float, float], distance: float) -> None:
    assert Box((-5.0, -3.0, -2.0), (5.0, 3.0, 2.0)).distance_mm(np.array(point)) == pytest.approx(distance)


def test_rotation_is_right_handed_and_moves_points() -> None:
    rod = Capsule((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), 1.0, 1.0)
    turned = rod.rotated(Axis.Z, 90.0).moved((0.0, 0.0, 3.0))
    assert turned.contains(np.array((0.0, 9.0, 3.0)))
    assert not turned.contains(np.array((9.0, 0.0, 3.0)))
    lower, upper = turned.bounds_mm()
    assert lower == pytest.approx((-1.0, -1.0, 2.0))
    assert upper == pytest.approx((1.0, 11.0, 4.0))


@pytest.mark.parametrize("axis", list(Axis))
def test_rotation_and_shift_keep_volume(axis: Axis) -> None:
    shape = Ellipsoid((2.0, 1.0, 0.0), (18.0, 9.0, 12.0)).rotated(axis, 37.0).moved((1.0, -2.0, 3.0))
    assert volume_mm3(shape) == pytest.approx(4 / 3 * math.pi * 18.0 * 9.0 * 12.0, rel=0.005)


def test_inclusion_exclusion() -> None:
    a, b = Sphere((-4.0, 0.0, 0.0), 12.0), Box((-3.0, -9.0, -9.0), (20.0, 9.0, 9.0))
    va, vb = volume_mm3(a, supersample=4), volume_mm3(b, supersample=4)
    assert volume_mm3(a | b, supersample=4) == pytest.approx(va + vb - volume_mm3(a & b, supersample=4), rel=0.002)
    assert volume_mm3(a - b, supersample=4) == pytest.approx(va - volume_mm3(a & b, supersample=4), rel=0.004)


def test_half_of_a_sphere() -> None:
    half = Sphere((0.0, 0.0, 0.0), 15.0) & HalfSpace((0.0, 0.0, 0.0), (1.0, 1.0, 0.0))
    assert volume_mm3(half) == pytest.approx(2 / 3 * math.pi * 15.0**3, rel=0.005)


def test_blend_only_adds() -> None:
    parts = (Sphere((-6.0, 0.0, 0.0), 8.0), Sphere((6.0, 0.0, 0.0), 8.0))
    sharp, soft = coverage(Union(parts), CUBE), coverage(Union(parts, 4.0), CUBE)
    assert np.all(soft >= sharp - 1e-6)
    assert soft.sum() > 1.01 * sharp.sum()


def test_grown_sphere_is_a_larger_sphere() -> None:
    assert volume_mm3(Sphere(OFF, 10.0).grown(3.0)) == pytest.approx(4 / 3 * math.pi * 13.0**3, rel=0.005)


def test_a_shape_off_the_grid_covers_nothing() -> None:
    assert cover(Sphere((200.0, 0.0, 0.0), 5.0), CUBE) is None
    assert not coverage(Sphere((200.0, 0.0, 0.0), 5.0), CUBE).any()


@pytest.mark.parametrize(
    "build",
    [
        lambda: Sphere((0.0, 0.0, 0.0), -1.0),
        lambda: Box((0.0, 0.0, 0.0), (1.0, 0.0, 1.0)),
        lambda: Extrusion(((0.0, 0.0), (1.0, 1.0)), 0.0, 1.0),
        lambda: Sweep((Section(1.0, (0.0, 0.0), (1.0, 1.0)), Section(1.0, (0.0, 0.0), (1.0, 1.0)))),
        lambda: coverage(Sphere((0.0, 0.0, 0.0), 1.0), CUBE, 0),
    ],
)
def test_impossible_shapes_are_refused(build) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GeometryError):
        build()

"""Margins against volumes in closed form."""

import math

import numpy as np
import pytest

from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.margins import SixMargins, expand, intersect, ring, shrink, subtract, union
from rtsim.phantom.structure import Role, Structure

GRID = Grid((40, 44, 42), (2.0, 2.0, 2.5), (-41.0, -43.3, -48.7))


def sampled(inside, grid=GRID, n=5):
    """Coverage of ``inside(x, y, z)`` by n^3 points a voxel."""
    out = np.zeros(grid.shape)
    sub = (np.arange(n) + 0.5) / n - 0.5
    dx, dy, dz = grid.spacing_mm
    for a in sub:
        for b in sub:
            for c in sub:
                z = (grid.z_mm + a * dz)[:, None, None]
                y = (grid.y_mm + b * dy)[None, :, None]
                x = (grid.x_mm + c * dx)[None, None, :]
                out += inside(x, y, z)
    return out / n**3


def sphere(radius_mm, grid=GRID, center=(0.0, 0.0, 0.0)):
    cov = sampled(
        lambda x, y, z: (x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2 <= radius_mm**2, grid
    )
    return Structure.from_coverage("ball", Role.GTV, grid, cov)


def cylinder(radius_mm, half_mm):
    return Structure.from_coverage(
        "rod", Role.OAR, GRID, sampled(lambda x, y, z: (x**2 + y**2 <= radius_mm**2) & (abs(z) <= half_mm))
    )


def ball_cm3(radius_mm):
    return 4e-3 / 3.0 * math.pi * radius_mm**3


@pytest.mark.parametrize("radius_mm", [6.0, 15.0])
@pytest.mark.parametrize("margin_mm", [0.7, 1.5, 3.0, 5.0, 10.0])
def test_sphere_plus_margin(radius_mm, margin_mm):
    grown = expand(sphere(radius_mm), margin_mm, GRID, name="PTV", role=Role.PTV)
    assert grown.volume_cm3 == pytest.approx(ball_cm3(radius_mm + margin_mm), rel=0.02)
    assert np.abs(grown.centroid_mm).max() < 0.05
    assert grown.role is Role.PTV


@pytest.mark.parametrize("margin_mm", [0.7, 2.0, 5.0])
def test_sphere_less_margin(margin_mm):
    small = shrink(sphere(15.0), margin_mm, GRID, name="core", role=Role.CONTROL)
    assert small.volume_cm3 == pytest.approx(ball_cm3(15.0 - margin_mm), rel=0.02)


def test_cylinder_plus_margin_is_the_steiner_volume():
    r, h, m = 5.0, 60.0, 2.0
    grown = expand(cylinder(r, h / 2), m, GRID, name="PRV", role=Role.PRV)
    # Steiner: V + S m + M m^2 + 4/3 pi m^3 with M = pi (h + pi r) for a cylinder; source: Schneider, Convex Bodies, 4.2
    expected = math.pi * r * r * h + (2 * math.pi * r * h + 2 * math.pi * r * r) * m
    expected += math.pi * (h + math.pi * r) * m**2 + 4 / 3 * math.pi * m**3
    assert grown.volume_cm3 == pytest.approx(expected * 1e-3, rel=0.02)


def test_a_mask_of_zeros_and_ones_grows_as_its_voxels_do():
    cube = np.zeros(GRID.shape)
    cube[15:25, 15:25, 15:25] = 1.0
    box = Structure.from_coverage("box", Role.CTV, GRID, cube)
    grown = expand(box, 3.0, GRID, name="PTV", role=Role.PTV)
    a, b, c, m = 20.0, 20.0, 25.0, 3.0
    expected = a * b * c + 2 * (a * b + b * c + a * c) * m + math.pi * (a + b + c) * m**2 + 4 / 3 * math.pi * m**3
    assert grown.volume_cm3 == pytest.approx(expected * 1e-3, rel=0.02)


def test_six_margins_reach_each_side_by_their_own_amount():
    cube = np.zeros(GRID.shape)
    cube[15:25, 15:25, 15:25] = 1.0
    box = Structure.from_coverage("box", Role.CTV, GRID, cube)
    margins = SixMargins(left_mm=6.0, right_mm=2.0, anterior_mm=4.0, posterior_mm=0.0, superior_mm=5.0, inferior_mm=2.5)
    grown = expand(box, margins, GRID, name="PTV", role=Role.PTV)
    full = grown.coverage_on(GRID)
    own = box.coverage_on(GRID)
    # along the lines through the middle of the faces the reach is the margin itself
    every = slice(None)
    for axis, index, reach in ((0, (every, 20, 20), 7.5), (1, (20, every, 20), 4.0), (2, (20, 20, every), 8.0)):
        step = GRID.spacing_mm[2 - axis]
        assert (full[index].sum() - own[index].sum()) * step == pytest.approx(reach, abs=0.25)
    assert full[20, 25:, 20].max() < 0.1  # posterior margin 0


def test_zero_margin_in_z_stays_on_its_slices():
    rod = cylinder(8.0, 25.0)
    flat = SixMargins(left_mm=4.0, right_mm=4.0, anterior_mm=4.0, posterior_mm=4.0, superior_mm=0.0, inferior_mm=0.0)
    grown = expand(rod, flat, GRID, name="PTV", role=Role.PTV)
    assert grown.volume_cm3 == pytest.approx(math.pi * 12.0**2 * 50.0 * 1e-3, rel=0.02)


def test_margin_below_a_coarse_voxel_is_not_lost():
    grid = Grid((20, 20, 20), (5.0, 5.0, 5.0), (-47.5, -47.5, -47.5))
    grown = expand(sphere(20.0, grid), 1.0, grid, name="PRV", role=Role.PRV)
    assert grown.volume_cm3 == pytest.approx(ball_cm3(21.0), rel=0.02)


def test_ring_union_intersection_difference():
    a, b = sphere(12.0), sphere(12.0, center=(8.0, 0.0, 0.0))
    shell = ring(a, 3.0, 9.0, GRID, name="ring")
    assert shell.volume_cm3 == pytest.approx(ball_cm3(21.0) - ball_cm3(15.0), rel=0.02)
    assert shell.role is Role.CONTROL
    # two balls of radius R at distance d share pi (4R + d)(2R - d)^2 / 12 (closed form)
    lens = math.pi * (4 * 12.0 + 8.0) * (2 * 12.0 - 8.0) ** 2 / 12 * 1e-3
    both = intersect(a, b, GRID, name="both", role=Role.CONTROL)
    assert both.volume_cm3 == pytest.approx(lens, rel=0.02)
    assert union(a, b, GRID, name="u", role=Role.CTV).volume_cm3 == pytest.approx(2 * ball_cm3(12.0) - lens, rel=0.02)
    assert subtract(a, b, GRID, name="s", role=Role.CTV).volume_cm3 == pytest.approx(ball_cm3(12.0) - lens, rel=0.02)


def test_an_outline_that_leaves_the_grid_is_not_eroded_there():
    inside = sampled(lambda x, y, z: (x**2 + y**2 <= 30.0**2) & (z > -1e9))
    slab = Structure.from_coverage("BODY", Role.EXTERNAL, GRID, inside)
    core = shrink(slab, 5.0, GRID, name="core", role=Role.CONTROL)
    assert core.volume_cm3 == pytest.approx(math.pi * 25.0**2 * 100.0 * 1e-3, rel=0.01)


def test_bad_margins_say_what_to_do():
    with pytest.raises(InputError, match="shrink"):
        expand(sphere(6.0), -1.0, GRID, name="x", role=Role.PTV)
    with pytest.raises(InputError, match="leaves nothing"):
        shrink(sphere(6.0), 7.5, GRID, name="x", role=Role.PTV)
    with pytest.raises(InputError, match="inner_mm < outer_mm"):
        ring(sphere(6.0), 3.0, 2.0, GRID, name="x")
    with pytest.raises(InputError, match="covers all"):
        subtract(sphere(6.0), sphere(9.0), GRID, name="x", role=Role.CTV)

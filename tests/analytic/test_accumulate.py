"""Doses of several courses added as EQD2, against sums by hand; a shift and a rotation against where the dose went."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.biology import eqd2_gy
from rtsim.dose.accumulate import Course, RigidShift, accumulate, moved_dose
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.optimize.robust.scenarios import Displacement
from rtsim.phantom.structure import Role, Structure

GRID = Grid((11, 13, 15), (4.0, 4.0, 4.0), (-28.0, -24.0, -20.0))


def uniform(gy: float, fractions: int, grid: Grid = GRID) -> Dose:
    return Dose(values_gy=np.full(grid.shape, gy, np.float32), grid=grid, fractions=fractions)


def slope(grid: Grid, fractions: int = 1) -> Dose:
    """10 Gy + 0.05, -0.03, 0.08 Gy/mm along x, y, z: linear, so that trilinear samples of it are exact."""
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    values = 10.0 + 0.05 * x - 0.03 * y + 0.08 * z
    return Dose(values_gy=values.astype(np.float32), grid=grid, fractions=fractions)


def test_two_uniform_courses_add_by_hand() -> None:
    """30/10: 30 (3 + 2) / 4 = 37.5; 12 Gy in 2: 12 (6 + 2) / 4 = 24; 61.5 in all. With alpha/beta 3: 36 + 21.6."""
    courses = (Course(dose=uniform(30.0, 10)), Course(dose=uniform(12.0, 2)))
    assert accumulate(courses, GRID).values_gy == pytest.approx(61.5, rel=1e-6)
    assert accumulate(courses, GRID, 3.0).values_gy == pytest.approx(57.6, rel=1e-6)


def test_the_dose_is_interpolated_and_its_effect_taken_after_that() -> None:
    fine = Grid((20, 22, 24), (2.0, 2.0, 2.0), (-22.0, -20.0, -18.0))
    z, y, x = np.meshgrid(fine.z_mm, fine.y_mm, fine.x_mm, indexing="ij")
    expected = eqd2_gy(10.0 + 0.05 * x - 0.03 * y + 0.08 * z, 5, 2.0)
    got = accumulate((Course(dose=slope(GRID, 5)),), fine)
    assert got.values_gy == pytest.approx(expected, rel=1e-5)
    assert all(r.all() for r in got.reached)


def test_the_order_of_courses_does_not_matter() -> None:
    one, two = Course(dose=slope(GRID, 10)), Course(dose=uniform(12.0, 2), shift=RigidShift(shift_mm=(1.0, 2.0, -3.0)))
    assert np.array_equal(accumulate((one, two), GRID).values_gy, accumulate((two, one), GRID).values_gy)


def test_a_shift_carries_the_dose_along() -> None:
    """What was at p is at p + shift: the linear dose falls by slope * shift at a fixed point."""
    moved, inside = moved_dose(Course(dose=slope(GRID), shift=RigidShift(shift_mm=(2.0, -4.0, 3.0))), GRID)
    expected = slope(GRID).values_gy - (0.05 * 2.0 - 0.03 * -4.0 + 0.08 * 3.0)
    deep = (slice(2, -2),) * 3
    assert moved.values_gy[deep] == pytest.approx(expected[deep], abs=1e-5)
    assert inside[deep].all()


def test_a_quarter_turn_carries_x_to_y() -> None:
    """90 degrees about LPS z take +x to +y: a hot corner at (8, 0, 0) comes to (0, 8, 0)."""
    grid = Grid((5, 9, 9), (4.0, 4.0, 4.0), (-16.0, -16.0, -8.0))
    values = np.zeros(grid.shape, np.float32)
    values[2, 4, 6] = 20.0
    dose = Dose(values_gy=values, grid=grid)
    moved, _ = moved_dose(Course(dose=dose, shift=RigidShift(rotation_deg=(0.0, 0.0, 90.0))), grid)
    expected = np.zeros(grid.shape)
    expected[2, 6, 4] = 20.0
    assert moved.values_gy == pytest.approx(expected, abs=1e-4)


def test_it_moves_as_the_displacements_of_the_planner_do() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-50, 50, (20, 3))
    where = {"shift_mm": (3.0, -2.0, 5.0), "rotation_deg": (4.0, -7.0, 11.0), "center_mm": (10.0, 20.0, -30.0)}
    displacement = Displacement(name="", **where)
    assert RigidShift(**where).before(displacement.moved(points)) == pytest.approx(points, abs=1e-9)


def test_where_a_grid_does_not_reach_is_said() -> None:
    """A dose that ends at z = 0: half of a box astride is not reached. 24 mm wide, 16 mm to either side of z = 0."""
    low = Grid((5, 13, 15), (4.0, 4.0, 4.0), (-28.0, -24.0, -18.0))  # z from -20 to 0 mm
    top = Grid((10, 13, 15), (4.0, 4.0, 4.0), (-28.0, -24.0, -18.0))
    box = np.zeros(top.shape, np.float32)
    box[1:9, 4:10, 4:10] = 1.0
    cord = Structure.from_coverage("spinal_cord", Role.OAR, top, box)
    total = accumulate((Course(dose=uniform(30.0, 10, low), name="old"), Course(dose=uniform(8.0, 1, top))), top)
    assert total.names == ("old", "course 2")
    lost, none = total.unreached_cm3(cord)
    assert lost == pytest.approx(2.4 * 2.4 * 1.6, rel=1e-6)
    assert none == 0.0
    assert total.values_gy[:5] == pytest.approx(57.5, rel=1e-6)  # 37.5 + 20
    assert total.values_gy[5:] == pytest.approx(20.0, rel=1e-6)


@pytest.mark.parametrize(
    ("shift", "words"), [((500.0, 0.0, 0.0), "does not reach the grid"), ((np.nan, 0.0, 0.0), "three finite numbers")]
)
def test_what_cannot_be_is_refused(shift: tuple[float, float, float], words: str) -> None:
    with pytest.raises((GeometryError, InputError), match=words):
        accumulate((Course(dose=uniform(30.0, 10), shift=RigidShift(shift_mm=shift)),), GRID)


def test_no_course_is_refused() -> None:
    with pytest.raises(InputError, match="no course"):
        accumulate((), GRID)

"""Grid and resampling: indices and points, crops, covers, and what each resampling keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.errors import GeometryError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_linear, resample_mean, sample_linear

SPACING = st.tuples(*[st.floats(0.3, 6.0)] * 3)
ORIGIN = st.tuples(*[st.floats(-500.0, 500.0)] * 3)
SHAPE = st.tuples(*[st.integers(1, 9)] * 3)
GRIDS = st.builds(Grid, SHAPE, SPACING, ORIGIN)
GRID = Grid((4, 5, 6), (1.0, 2.0, 3.0), (-10.0, 20.0, 30.0))


def linear_field(grid: Grid) -> np.ndarray:
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    return 3.0 + 0.5 * x - 0.25 * y + 2.0 * z


def test_the_order_flips_between_shape_and_points() -> None:
    assert (len(GRID.x_mm), len(GRID.y_mm), len(GRID.z_mm)) == (6, 5, 4)
    np.testing.assert_array_equal(GRID.point_at(np.array([1, 2, 3])), [-7.0, 24.0, 33.0])
    np.testing.assert_array_equal(GRID.index_of(np.array([-7.0, 24.0, 33.0])), [1, 2, 3])
    assert GRID.lower_mm == (-10.5, 19.0, 28.5)
    assert GRID.upper_mm == (-4.5, 29.0, 40.5)
    assert GRID.center_mm() == (-7.5, 24.0, 34.5)
    assert (GRID.size, GRID.voxel_volume_cm3) == (120, pytest.approx(0.006, rel=1e-15))
    assert GRID.describe() == "6 x 5 x 4 voxels of 1 x 2 x 3 mm"


@given(grid=GRIDS, index=st.lists(st.tuples(*[st.floats(-20, 20)] * 3), min_size=1, max_size=5))
def test_index_and_point_are_inverse(grid: Grid, index: list[tuple[float, float, float]]) -> None:
    kji = np.array(index)
    np.testing.assert_allclose(grid.index_of(grid.point_at(kji)), kji, atol=1e-9)


@given(grid=GRIDS)
def test_edges_lie_half_a_voxel_outside_and_centers_inside(grid: Grid) -> None:
    corners = grid.index_of(np.array([grid.lower_mm, grid.upper_mm]))
    np.testing.assert_allclose(corners[0], -0.5, atol=1e-9)
    np.testing.assert_allclose(corners[1], np.array(grid.shape) - 0.5, atol=1e-9)
    ends = np.array([(grid.x_mm[0], grid.y_mm[0], grid.z_mm[0]), (grid.x_mm[-1], grid.y_mm[-1], grid.z_mm[-1])])
    assert grid.contains(ends).all()
    assert not grid.contains(np.array(grid.upper_mm) + 0.01).any()


@given(lower=ORIGIN, size=st.tuples(*[st.floats(0.1, 40.0)] * 3), spacing=SPACING)
def test_covering_starts_at_the_lower_edge_and_is_the_smallest(
    lower: tuple[float, float, float], size: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    upper = (lower[0] + size[0], lower[1] + size[1], lower[2] + size[2])
    grid = Grid.covering(lower, upper, spacing)
    np.testing.assert_allclose(grid.lower_mm, lower, atol=1e-9)
    for axis, count in enumerate((grid.shape[2], grid.shape[1], grid.shape[0])):
        assert grid.upper_mm[axis] >= upper[axis] - 1e-6 * spacing[axis]
        assert count == 1 or grid.upper_mm[axis] - spacing[axis] < upper[axis]


def test_crop_holds_the_box_and_cuts_the_same_voxels() -> None:
    volume = np.arange(120.0).reshape(GRID.shape)
    grid, slices = GRID.crop((-8.0, 22.0, 31.0), (-6.9, 27.0, 36.0))
    assert slices == (slice(0, 3), slice(1, 4), slice(2, 4))
    cut = volume[slices]
    assert cut.shape == grid.shape
    for kji in np.ndindex(*grid.shape):
        point = grid.point_at(np.array(kji))
        assert volume[tuple(np.rint(GRID.index_of(point)).astype(int))] == cut[kji]
    assert grid.same_lattice(GRID)
    assert grid.offset_in(GRID) == (0, 1, 2)
    assert all(a <= b for a, b in zip(grid.lower_mm, (-8.0, 22.0, 31.0), strict=True))
    assert all(a >= b for a, b in zip(grid.upper_mm, (-6.9, 27.0, 36.0), strict=True))


@given(grid=GRIDS)
def test_crop_to_its_own_box_is_the_grid(grid: Grid) -> None:
    cropped, slices = grid.crop(grid.lower_mm, grid.upper_mm)
    assert cropped.shape == grid.shape
    assert [s.start for s in slices] == [0, 0, 0]


def test_crop_beside_the_grid_is_refused() -> None:
    with pytest.raises(GeometryError, match="does not meet the grid"):
        GRID.crop((100.0, 0.0, 0.0), (110.0, 50.0, 50.0))


def test_lattices() -> None:
    assert not GRID.same_lattice(Grid((4, 5, 6), (1.0, 2.0, 3.0), (-9.6, 20.0, 30.0)))
    assert not GRID.same_lattice(GRID.with_spacing(1.0))
    with pytest.raises(GeometryError, match="do not share"):
        GRID.with_spacing(1.0).offset_in(GRID)
    assert GRID.with_spacing(1.0).shape == (12, 10, 6)


@pytest.mark.parametrize(
    ("shape", "spacing", "origin", "message"),
    [
        ((0, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), "shape is"),
        ((4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), "shape is"),
        ((4, 5, 6), (1.0, -1.0, 1.0), (0.0, 0.0, 0.0), "spacing_mm is"),
        ((4, 5, 6), (1.0, float("nan"), 1.0), (0.0, 0.0, 0.0), "spacing_mm is"),
        ((4, 5, 6), (1.0, 1.0, 1.0), (0.0, float("inf"), 0.0), "origin_mm is"),
    ],
)
def test_impossible_grids_are_refused(
    shape: tuple[int, ...], spacing: tuple[float, ...], origin: tuple[float, ...], message: str
) -> None:
    with pytest.raises(GeometryError, match=message):
        Grid(shape, spacing, origin)  # type: ignore[arg-type]


@given(points=st.lists(st.tuples(st.floats(-10, -5), st.floats(20, 28), st.floats(30, 39)), min_size=1, max_size=8))
def test_linear_samples_are_exact_on_a_linear_field(points: list[tuple[float, float, float]]) -> None:
    p = np.array(points)
    expected = 3.0 + 0.5 * p[:, 0] - 0.25 * p[:, 1] + 2.0 * p[:, 2]
    np.testing.assert_allclose(sample_linear(linear_field(GRID), GRID, p), expected, rtol=1e-12)


def test_samples_hold_to_the_edge_and_then_fill() -> None:
    volume = linear_field(GRID)
    at = np.array([[-10.4, 20.0, 30.0], [-10.6, 20.0, 30.0]])
    np.testing.assert_allclose(sample_linear(volume, GRID, at, fill=-1.0), [volume[0, 0, 0], -1.0], rtol=1e-14)


def test_linear_resampling_is_exact_on_a_linear_field_inside_the_centers() -> None:
    fine = Grid((7, 9, 11), (0.45, 0.9, 1.1), (-9.9, 20.1, 30.2))
    np.testing.assert_allclose(resample_linear(linear_field(GRID), GRID, fine), linear_field(fine), rtol=1e-12)


@given(target=st.builds(Grid, SHAPE, SPACING, st.tuples(st.floats(-14, -2), st.floats(15, 32), st.floats(25, 44))))
def test_resampling_agrees_with_sampling_at_every_center(target: Grid) -> None:
    volume = np.random.default_rng(3).uniform(size=GRID.shape)
    points = target.point_at(np.argwhere(np.ones(target.shape)).astype(float))
    edges = np.abs(points[:, None, :] - np.array([GRID.lower_mm, GRID.upper_mm])).min()
    if edges < 1e-6:
        return  # on an edge the two may round to different sides
    expected = sample_linear(volume, GRID, points, fill=-3.0).reshape(target.shape)
    np.testing.assert_allclose(resample_linear(volume, GRID, target, fill=-3.0), expected, atol=1e-9)


@given(spacing=SPACING, shift=st.tuples(*[st.floats(0.0, 3.0)] * 3))
def test_mean_resampling_conserves_the_integral(
    spacing: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    volume = np.random.default_rng(5).uniform(size=GRID.shape)
    lower = (GRID.lower_mm[0] - shift[0], GRID.lower_mm[1] - shift[1], GRID.lower_mm[2] - shift[2])
    target = Grid.covering(lower, GRID.upper_mm, spacing)
    moved = resample_mean(volume, GRID, target)
    assert moved.sum() * target.voxel_volume_cm3 == pytest.approx(volume.sum() * GRID.voxel_volume_cm3, rel=1e-9)
    assert moved.max() <= volume.max() + 1e-12


def test_mean_resampling_to_the_same_grid_is_the_identity_and_to_one_voxel_the_mean() -> None:
    volume = np.random.default_rng(7).uniform(size=GRID.shape)
    np.testing.assert_allclose(resample_mean(volume, GRID, GRID), volume, rtol=1e-12)
    one = Grid.covering(GRID.lower_mm, GRID.upper_mm, (6.0, 10.0, 12.0))
    assert one.shape == (1, 1, 1)
    assert resample_mean(volume, GRID, one)[0, 0, 0] == pytest.approx(volume.mean(), rel=1e-12)


def test_mean_resampling_counts_the_outside_with_the_fill() -> None:
    half_outside = Grid((1, 1, 1), (6.0, 10.0, 12.0), (-10.5, 24.0, 34.5))
    found = resample_mean(np.full(GRID.shape, 2.0), GRID, half_outside, fill=-1.0)
    assert found[0, 0, 0] == pytest.approx(0.5, rel=1e-12)


def test_one_voxel_along_an_axis_resamples() -> None:
    flat = Grid((1, 5, 6), (1.0, 2.0, 3.0), (-10.0, 20.0, 30.0))
    volume = np.arange(30.0).reshape(flat.shape)
    np.testing.assert_array_equal(resample_linear(volume, flat, flat), volume)


def test_sampling_one_point_gives_one_value() -> None:
    grid = Grid((3, 4, 5), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    volume = np.broadcast_to(grid.x_mm, grid.shape)
    value = sample_linear(volume, grid, np.array([3.0, 1.0, 1.0]))
    assert value.shape == ()
    assert float(value) == 3.0


@pytest.mark.parametrize("spacing", [3.0, "3", None])
def test_spacing_that_is_no_triple_is_an_error_with_the_field(spacing: object) -> None:
    with pytest.raises(GeometryError, match="spacing_mm"):
        Grid((2, 2, 2), spacing, (0.0, 0.0, 0.0))  # type: ignore[arg-type]

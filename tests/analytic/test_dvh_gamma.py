"""Gamma against closed forms: a uniform offset, and a shifted linear ramp."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate.gamma import _shells, gamma
from rtsim.geometry.grid import Grid

GRID = Grid((12, 14, 40), (1.5, 2.0, 2.5), (-3.0, 4.0, 7.0))


def ramp(slope_gy_per_mm: float, shift_mm: float = 0.0, grid: Grid = GRID) -> Dose:
    values = np.broadcast_to(10.0 + slope_gy_per_mm * (grid.x_mm - shift_mm), grid.shape)
    return Dose(values_gy=values, grid=grid)


def inner(values: np.ndarray) -> np.ndarray:
    return values[4:-4, 4:-4, 4:-4]


@pytest.mark.parametrize("offset_percent", [0.5, 1.0, 2.9, 4.0])
def test_uniform_offset_is_the_dose_ratio(offset_percent: float) -> None:
    """gamma = |dD| / DD, whatever the distance criterion, since no place is nearer in dose."""
    flat = Dose(values_gy=np.full(GRID.shape, 20.0), grid=GRID)
    result = gamma(flat, flat.scaled(1 + offset_percent / 100), dose_percent=3.0, distance_mm=3.0)
    np.testing.assert_allclose(result.values, offset_percent / 3.0, rtol=1e-4)
    assert result.pass_percent == (100.0 if offset_percent <= 3 else 0.0)


@pytest.mark.parametrize("slope", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("shift_mm", [0.7, 1.6, 2.5])
def test_shifted_ramp(slope: float, shift_mm: float) -> None:
    """gamma = s / sqrt(DTA^2 + (DD/g)^2): the least distance to a line in the (r/DTA, dD/DD) plane.

    The search in steps of DTA/10 can only overestimate: by sqrt(3)/2 * 0.1 near gamma 0, far less elsewhere.
    """
    reference = ramp(slope)
    criterion_gy = 0.03 * reference.max_gy
    result = gamma(reference, ramp(slope, shift_mm), dose_percent=3.0, distance_mm=2.0, threshold_percent=0.0)
    exact = shift_mm / np.hypot(2.0, criterion_gy / slope)
    got = inner(result.values)
    assert got.min() >= exact - 1e-4
    assert got.max() <= exact + 0.01


def test_identical_doses_pass_on_another_grid() -> None:
    """A linear dose is exact under trilinear interpolation: gamma is 0 on any finer grid."""
    fine = GRID.with_spacing(1.1)
    result = gamma(ramp(0.05), ramp(0.05, grid=fine))
    assert np.nanmax(inner(result.values)) < 1e-3
    assert result.pass_percent == 100.0


def test_local_criterion_is_stricter_in_low_dose() -> None:
    reference = ramp(0.1)
    raised = Dose(values_gy=reference.values_gy + 0.2, grid=GRID)
    overall, local = (
        gamma(reference, raised, dose_percent=2.0, distance_mm=0.1, is_local=flag) for flag in (False, True)
    )
    assert local.mean > overall.mean
    steep = 0.2 / (0.02 * reference.values_gy)  # a distance criterion of 0.1 mm on 0.1 Gy/mm leaves the dose term alone
    np.testing.assert_allclose(local.values, np.minimum(steep, 2.0), atol=0.05)


def test_threshold_mask_and_outside() -> None:
    reference = ramp(0.1)
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[:, :, 20:] = True
    crop, slices = GRID.crop(GRID.lower_mm, (GRID.lower_mm[0] + 45.0, *GRID.upper_mm[1:]))
    result = gamma(reference, Dose(values_gy=reference.values_gy[slices], grid=crop), mask=mask)
    assert result.evaluated_voxels == 12 * 14 * 10
    assert result.outside_voxels == 12 * 14 * 10
    assert np.isnan(result.values[:, :, :20]).all()
    with pytest.raises(InputError, match="no voxel of the reference"):
        gamma(reference, reference, threshold_percent=101.0)
    with pytest.raises(InputError, match="distance_mm is 0"):
        gamma(reference, reference, distance_mm=0.0)


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.36, 0.48, 0.8)])
def test_oblique_ramp_in_space_and_in_planes(direction: tuple[float, float, float]) -> None:
    """A ramp along any direction, moved along it; a plane sees the part of the gradient that lies in it.

    gamma = dD / DD / sqrt(1 + g^2), g the gradient seen in criteria; too large by the distance to the nearest search
    point at most, 0.087 x sqrt(1 + g^2).
    """
    x, y, z = GRID.x_mm[None, None, :], GRID.y_mm[None, :, None], GRID.z_mm[:, None, None]
    along = direction[0] * x + direction[1] * y + direction[2] * z
    slope, shift_mm, distance_mm = 0.2, 1.3, 2.0
    first, second = (Dose(values_gy=20.0 + slope * (along - s), grid=GRID) for s in (0.0, shift_mm))
    criterion_gy = 0.02 * first.max_gy
    for is_planar, seen in ((False, 1.0), (True, np.hypot(*direction[:2]))):
        gradient = seen * slope * distance_mm / criterion_gy
        exact = shift_mm * slope / criterion_gy / np.hypot(1.0, gradient)
        result = gamma(first, second, dose_percent=2.0, distance_mm=distance_mm, is_planar=is_planar)
        got = inner(result.values)
        assert got.min() >= exact - 1e-4
        assert got.max() <= exact + 0.087 * np.hypot(1.0, gradient)
        assert np.median(got) <= exact + 0.01


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 2.5, 4.0])
def test_search_passes_nothing_over(spacing_mm: float) -> None:
    """Against every search point one by one: bounds and blocks change nothing, whatever the size of a voxel."""
    rng = np.random.default_rng(8)
    grid = Grid((9, 9, 9), (spacing_mm, 0.9 * spacing_mm, 1.1 * spacing_mm), (0.0, 0.0, 0.0))
    evaluated = Dose(values_gy=rng.uniform(5.0, 20.0, grid.shape), grid=grid)
    center = grid.center_mm()
    place = Grid((3, 3, 3), (0.37, 0.41, 0.53), (center[0] - 0.2, center[1] - 0.3, center[2] - 0.1))
    reference = Dose(values_gy=rng.uniform(5.0, 20.0, place.shape), grid=place)
    result = gamma(reference, evaluated, dose_percent=1.0, distance_mm=2.0, normalization_gy=20.0)
    offsets = 2.0 * _shells(2.0, (True, True, True))[:, ::-1]
    for k, j, i in np.ndindex(place.shape):
        points = place.point_at(np.array([k, j, i])) + offsets
        known = np.all((points >= 0.0) & (points <= grid.point_at(np.array(grid.shape) - 1.0)), axis=1)
        difference = (evaluated.at(points[known]) - reference.values_gy[k, j, i]) / 0.2
        every = np.hypot(np.linalg.norm(offsets[known], axis=1) / 2.0, difference)
        assert result.values[k, j, i] == pytest.approx(min(every.min(), 2.0), abs=2e-5)

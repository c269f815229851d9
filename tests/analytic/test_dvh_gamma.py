"""Gamma against closed forms: a uniform offset, and a shifted linear ramp."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate.gamma import gamma
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

    The search in steps of DTA/10 can only overestimate: by less than sqrt(3)/2 * 0.1 near gamma 0, far less elsewhere.
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


def test_two_million_voxels_in_time() -> None:
    """source: the goal is 2 million voxels of well-matched doses in about 10 s; here a tenth of them in a tenth of
    it.
    """
    grid = Grid((58, 58, 60), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    rng = np.random.default_rng(3)
    smooth = 20.0 + 5.0 * np.sin(grid.x_mm / 20.0)[None, None, :] * np.cos(grid.y_mm / 15.0)[None, :, None]
    values = np.broadcast_to(smooth, grid.shape)
    noisy = values * (1.0 + 0.01 * rng.standard_normal(grid.shape))
    first, second = Dose(values_gy=values, grid=grid), Dose(values_gy=noisy, grid=grid)
    gamma(first, second)
    start = time.process_time()
    result = gamma(first, second)
    assert time.process_time() - start < 4.0
    assert result.pass_percent > 99.0

"""Gamma: what it says, what it leaves out, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate import gamma
from rtsim.geometry.grid import Grid

GRID = Grid((6, 7, 8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def dose(shift_mm: float = 0.0, grid: Grid = GRID) -> Dose:
    values = 10.0 + 0.1 * (grid.x_mm[None, None, :] + 2.0 * grid.z_mm[:, None, None] - shift_mm)
    return Dose(values_gy=np.broadcast_to(values, grid.shape), grid=grid)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dose_percent": 0.0}, "dose_percent is 0.0"),
        ({"dose_percent": float("nan")}, "dose_percent is nan"),
        ({"distance_mm": -1.0}, "distance_mm is -1.0"),
        ({"cap": float("inf")}, "cap is inf"),
        ({"cap": 50.0}, "at most 10"),
        ({"threshold_percent": -1.0}, "threshold_percent is -1.0"),
        ({"threshold_percent": 101.0}, "no voxel of the reference"),
        ({"normalization_gy": 0.0}, "normalization_gy is 0.0"),
        ({"normalization_gy": float("nan")}, "normalization_gy is nan"),
        ({"mask": np.ones((2, 2, 2), dtype=bool)}, "mask has shape"),
        ({"mask": np.zeros(GRID.shape, dtype=bool)}, "normalization_gy is 0.0"),
    ],
)
def test_bad_input_is_named(asked: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gamma(dose(), dose(), **asked)


def test_no_dose_is_refused() -> None:
    with pytest.raises(InputError, match="evaluated is a ndarray"):
        gamma(dose(), dose().values_gy)


def test_grids_that_do_not_meet() -> None:
    with pytest.raises(InputError, match="does not meet"):
        gamma(dose(), dose(grid=replace(GRID, origin_mm=(500.0, 0.0, 0.0))))


def test_planar_does_not_look_across() -> None:
    """A dose that rises along z and is moved along it: 3-D finds it at a distance, slices do not."""
    other = Dose(values_gy=np.roll(dose().values_gy, 1, axis=0), grid=GRID)
    solid, planar = (gamma(dose(), other, is_planar=flag, dose_percent=0.5, cap=5.0) for flag in (False, True))
    inner = np.s_[2:-2, 2:-2, 2:-2]
    assert solid.values[inner].max() < planar.values[inner].min()
    assert "slice by slice" in str(planar)


def test_planar_wants_common_slices() -> None:
    between = dose(grid=replace(GRID, origin_mm=(0.0, 0.0, 0.7)))
    with pytest.raises(InputError, match=r"up to 0\.7 mm"):
        gamma(dose(), between, is_planar=True)
    assert gamma(dose(), between.on(GRID), is_planar=True).evaluated_voxels == GRID.size


def test_one_slice_holds_over_its_thickness() -> None:
    """A plane 0.9 mm beside an evaluated slice of 2 mm is compared with it; one 1.1 mm beside is outside."""
    plane = Grid((1, 7, 8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    flat = Dose(values_gy=np.full(plane.shape, 5.0), grid=plane)
    near, far = (Dose(values_gy=flat.values_gy, grid=replace(plane, origin_mm=(0.0, 0.0, z))) for z in (0.9, 1.1))
    assert gamma(near, flat).values.max() == 0.0
    with pytest.raises(InputError, match="does not meet"):
        gamma(far, flat)


def test_outer_half_voxel_is_as_far_as_the_nearest_center() -> None:
    """Dose is known between voxel centers: a voxel 0.6 mm outside them has gamma 0.6 / 2; beyond the edge none."""
    flat = Dose(values_gy=np.full(GRID.shape, 5.0), grid=GRID)
    for apart, expected in ((0.6, 0.3), (0.9, 0.5)):  # shells of 0.2 mm: the first within is at 0.6 and at 1.0 mm
        moved = Dose(values_gy=flat.values_gy, grid=replace(GRID, origin_mm=(-apart, 0.0, 0.0)))
        got = gamma(moved, flat).values
        np.testing.assert_allclose(got[:, 1:-1, 0], expected, atol=1e-6)
        assert got[:, :, 1:].max() == 0.0
    beyond = Dose(values_gy=flat.values_gy, grid=replace(GRID, origin_mm=(-1.1, 0.0, 0.0)))
    result = gamma(beyond, flat)
    assert result.outside_voxels == 6 * 7
    assert np.isnan(result.values[:, :, 0]).all()


def test_zero_dose_counts_without_a_threshold_but_not_locally() -> None:
    """0 Gy is a dose to agree with; it has no percent of itself."""
    values = dose().values_gy.copy()
    values[0] = 0.0
    reference = Dose(values_gy=values, grid=GRID)
    assert gamma(reference, reference, threshold_percent=0.0).evaluated_voxels == GRID.size
    assert gamma(reference, reference, threshold_percent=0.0, is_local=True).evaluated_voxels == GRID.size - 7 * 8


def test_progress_reaches_the_end() -> None:
    seen: list[float] = []
    gamma(dose(), dose(0.3), progress=lambda done, _: seen.append(done))
    assert seen[-1] == 1.0


def test_normalization_is_not_a_voxel_that_one_electron_met() -> None:
    grid = Grid((20, 20, 20), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    values = np.full(grid.shape, 1.0, dtype=np.float32)
    noise = np.full(grid.shape, 0.01, dtype=np.float32)
    values[0, 0, 0] = noise[0, 0, 0] = 23.0
    noisy = Dose(values_gy=values, grid=grid, uncertainty_gy=noise)
    assert noisy.max_gy == pytest.approx(1.0)
    assert "maximum 1 Gy" in repr(noisy)
    plain = Dose(values_gy=np.full(grid.shape, 1.05, dtype=np.float32), grid=grid)
    found = gamma(noisy, plain, dose_percent=3.0, distance_mm=2.0)
    assert found.normalization_gy == pytest.approx(1.0)
    assert found.pass_percent == 0.0
    assert plain.max_gy == pytest.approx(1.05)
    assert Dose(values_gy=values, grid=grid).max_gy == 23.0

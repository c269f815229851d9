"""What must hold for any dose and any structure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.dose.result import Dose
from rtsim.evaluate import dvh, gamma, isodose_volumes_cm3, metric
from rtsim.geometry.grid import Grid
from rtsim.phantom.structure import Role, Structure

SPACING = st.tuples(*[st.floats(0.5, 4.0)] * 3)
SEED = st.integers(0, 2**32 - 1)


def random_case(seed: int, spacing_mm: tuple[float, float, float]) -> tuple[Dose, Structure]:
    """A random dose, and a random ragged structure (fractional, with gaps) on another grid inside it."""
    rng = np.random.default_rng(seed)
    grid = Grid((7, 8, 9), spacing_mm, (0.0, 0.0, 0.0))
    dose = Dose(values_gy=rng.uniform(0.0, 40.0, grid.shape), grid=grid, fractions=3)
    inner = Grid.covering(
        tuple(s * 1.0 for s in spacing_mm), tuple(s * 5.5 for s in spacing_mm), tuple(s * 0.7 for s in spacing_mm)
    )
    coverage = np.clip(rng.uniform(-0.5, 1.5, inner.shape), 0.0, 1.0)
    coverage[0, 0, 0] = 0.5
    return dose, Structure.from_coverage("s", Role.OAR, inner, coverage)


@given(seed=SEED, spacing=SPACING, subvoxels=st.integers(1, 4))
def test_dvh_is_a_falling_curve_between_minimum_and_maximum(seed: int, spacing, subvoxels: int) -> None:
    dose, structure = random_case(seed, spacing)
    h = dvh(dose, structure, subvoxels=subvoxels)
    assert h.volume_cm3 == pytest.approx(structure.volume_cm3, rel=1e-5)
    assert h.outside_cm3 == 0.0
    assert (np.diff(h.cumulative_cm3) <= 1e-12).all()
    assert h.cumulative_cm3[0] == pytest.approx(h.volume_cm3)
    assert dose.values_gy.min() - 1e-5 <= h.min_gy <= h.mean_gy <= h.max_gy <= dose.max_gy + 1e-5
    percents = [h.dose_gy_at_percent(p) for p in (0, 2, 50, 95, 98, 100)]
    assert percents == sorted(percents, reverse=True)
    assert percents[0] == h.max_gy
    assert percents[-1] == pytest.approx(h.min_gy, abs=0.02)
    doses, volumes = h.differential()
    bin_gy = h.dose_gy[1]
    assert (doses * volumes).sum() / volumes.sum() == pytest.approx(h.mean_gy, abs=bin_gy)


@given(seed=SEED, spacing=SPACING, factor=st.floats(0.1, 10.0))
def test_metrics_scale_with_the_dose(seed: int, spacing, factor: float) -> None:
    dose, structure = random_case(seed, spacing)
    for name in ("D2%", "D50%", "Dmean", "Dmax", "D0.01cc"):
        before, after = float(metric(dose, structure, name)), float(metric(dose.scaled(factor), structure, name))
        assert after == pytest.approx(factor * before, rel=1e-3, abs=1e-4), name
    hot, cold = (float(metric(dose, structure, f"{m}20Gy %")) for m in ("V", "CV"))
    assert hot + cold == pytest.approx(100.0)


@given(seed=SEED, spacing=SPACING, shift=st.tuples(*[st.floats(-500.0, 500.0)] * 3))
def test_translation_changes_nothing(seed: int, spacing, shift) -> None:
    dose, structure = random_case(seed, spacing)

    def moved(grid: Grid) -> Grid:
        x, y, z = (o + s for o, s in zip(grid.origin_mm, shift, strict=True))
        return Grid(grid.shape, grid.spacing_mm, (x, y, z))

    there = dvh(
        Dose(values_gy=dose.values_gy, grid=moved(dose.grid)),
        Structure("s", Role.OAR, moved(structure.grid), structure.coverage),
    )
    here = dvh(dose, structure)
    assert there.mean_gy == pytest.approx(here.mean_gy, rel=1e-6)
    assert there.dose_gy_at_percent(50) == pytest.approx(here.dose_gy_at_percent(50), abs=0.05)


@given(seed=SEED, spacing=SPACING)
def test_isodose_volumes_fall_with_the_level(seed: int, spacing) -> None:
    dose, _ = random_case(seed, spacing)
    volumes = isodose_volumes_cm3(dose, (1.0, 10.0, 20.0, 39.0))
    assert list(volumes) == sorted(volumes, reverse=True)
    assert volumes[0] <= dose.grid.size * dose.grid.voxel_volume_cm3 * (1 + 1e-6)


@given(seed=SEED, spacing=SPACING, factor=st.floats(0.01, 100.0))
def test_gamma_of_itself_is_zero_and_scale_free(seed: int, spacing, factor: float) -> None:
    dose, _ = random_case(seed, spacing)
    assert np.nanmax(gamma(dose, dose).values) == pytest.approx(0.0, abs=1e-4)
    rng = np.random.default_rng(seed)
    other = Dose(values_gy=dose.values_gy * rng.uniform(0.95, 1.05, dose.grid.shape), grid=dose.grid)
    a, b = gamma(dose, other), gamma(dose.scaled(factor), other.scaled(factor))
    np.testing.assert_allclose(np.nan_to_num(a.values), np.nan_to_num(b.values), atol=2e-3)
    assert gamma(dose, other, dose_percent=6.0).pass_percent >= a.pass_percent


@given(seed=SEED, spacing=SPACING)
def test_gamma_never_exceeds_the_dose_difference(seed: int, spacing) -> None:
    """Offset 0 is always among the candidates: gamma <= |dD| / DD."""
    dose, _ = random_case(seed, spacing)
    other = Dose(values_gy=np.random.default_rng(seed + 1).uniform(0, 40, dose.grid.shape), grid=dose.grid)
    result = gamma(dose, other, threshold_percent=0.0)
    bound = np.abs(other.values_gy - dose.values_gy) / (0.03 * result.normalization_gy)
    inside = np.isfinite(result.values)
    assert (result.values[inside] <= np.minimum(bound[inside], result.cap) + 1e-3).all()

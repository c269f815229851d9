"""The judge of the accuracy benchmark: regions, noise, smoothing and build-up on curves whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.accuracy_regions import maximum_mm, noise_maximum_percent, regions, smoothed_percent
from benchmarks.compare import AxisCurve, build_up

DEPTH = np.arange(1.25, 300.0, 2.5)
LUNG = ["in lung", "behind", "before"]


@dataclass(frozen=True)
class Case:
    """As much of a reference case as the judge asks for."""

    name: str
    field_mm: float
    interfaces_mm: tuple[float, ...] = ()
    is_ct: bool = False


def curve(deviation_percent: np.ndarray | float = 0.0, sigma: float = 0.005) -> AxisCurve:
    reference = (1.0 - 0.6 * np.exp(-DEPTH / 4.0)) * np.exp(-DEPTH / 200.0)
    return AxisCurve(
        DEPTH, reference, reference * (1.0 + np.asarray(deviation_percent) / 100.0), np.full(DEPTH.size, sigma)
    )


def test_noise_alone_is_what_sampling_gives() -> None:
    sigma = np.array([0.002, 0.004, 0.004, 0.009, 0.009, 0.009, 0.001])
    samples = np.random.default_rng(4).normal(size=(1_000_000, sigma.size)) * sigma
    expected = 100.0 * np.abs(samples).max(axis=1).mean()
    assert noise_maximum_percent(sigma) == pytest.approx(expected, rel=2e-3)  # sampled: 0.04 % is one sigma


def test_smoothing_keeps_a_level_error_and_stops_at_interfaces() -> None:
    step = np.where(DEPTH > 130.0, 3.0, 1.0)
    noisy = step + 0.5 * (-1.0) ** np.arange(DEPTH.size)
    everything = np.ones(DEPTH.size, dtype=bool)
    smooth = smoothed_percent(curve(noisy), everything, (130.0,))
    np.testing.assert_allclose(smooth, step, atol=0.13)
    blurred = smoothed_percent(curve(step), everything, ())
    assert np.any((blurred > 1.5) & (blurred < 2.5))


@pytest.mark.parametrize(
    ("case", "names", "goals", "first_to_last"),
    [
        (Case("water_10x10", 100.0), [""], [1.0], (16.25, 248.75)),
        (Case("water_2x2", 20.0), [""], [1.5], (16.25, 248.75)),
        (Case("ct_spine", 60.0, is_ct=True), [""], [2.0], (18.75, 248.75)),
        (Case("slab_lung_3x3", 30.0, (30.0, 130.0)), LUNG, [4.0, 2.0, None], (31.25, 128.75)),
        (Case("slab_lung_20x20", 200.0, (30.0, 130.0)), LUNG, [2.5, 2.0, None], (31.25, 128.75)),
        (Case("slab_bone_5x5", 50.0, (30.0, 60.0)), ["", "interface"], [2.0, None], (16.25, 248.75)),
        (Case("tirod_4x4", 40.0, (37.0, 43.0)), ["behind", "interface", "before"], [2.0, None, None], (53.75, 248.75)),
    ],
)  # fmt: skip
def test_regions_are_those_of_the_goals(
    case: Case, names: list[str], goals: list[float | None], first_to_last: tuple[float, float]
) -> None:
    dose = AxisCurve(
        DEPTH, *(2 * [np.where(DEPTH < 15.0, DEPTH / 15.0, 2.0 - DEPTH / 15.0)]), np.full(DEPTH.size, 0.01)
    )
    assert maximum_mm(dose) == pytest.approx(15.0, abs=1.0)
    found = regions(case, dose)  # type: ignore[arg-type]
    assert [r.name for r in found] == names
    assert [r.goal_percent for r in found] == goals
    depths = DEPTH[found[0].selected]
    assert (depths[0], depths[-1]) == first_to_last
    if "bone" in case.name:
        assert not np.any((np.abs(depths - 30.0) < 2.0) | (np.abs(depths - 60.0) < 2.0))
        np.testing.assert_array_equal(DEPTH[found[1].selected], [28.75, 31.25, 58.75, 61.25])


def test_build_up_counts_the_better_of_difference_and_distance() -> None:
    depth = DEPTH[:5]
    straight = AxisCurve(depth, 0.4 + 0.05 * depth, 0.4 + 0.05 * (depth + 0.5), np.full(5, 0.005))
    found = build_up(straight, 10.0)
    assert found.deviation_percent[0] > 5.0
    np.testing.assert_allclose(found.shift_mm, 0.5)
    np.testing.assert_allclose(found.index(5.0, 1.0)[0], 0.5)
    level = build_up(curve(6.0), 12.0)
    np.testing.assert_allclose(level.deviation_percent, 6.0)
    assert level.index(5.0, 1.0).max() > 1.0

"""Objectives and constraints against finite differences and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.errors import InputError
from rtsim.optimize.constraints import Constraint, MaximumDose, MaximumDoseAtVolume, MaximumMean, MinimumDose
from rtsim.optimize.objectives import (
    Falloff,
    GEud,
    MeanDose,
    Objective,
    Region,
    SquaredDeviation,
    SquaredOverdose,
    SquaredUnderdose,
    hottest_share,
)

RNG = np.random.default_rng(4)
N = 23
REGION = Region(name="s", rows=np.arange(N), volume_cm3=RNG.uniform(0.1, 1.0, N), distance_mm=RNG.uniform(0.0, 40.0, N))
DOSE = RNG.uniform(1.0, 24.0, N)

OBJECTIVES: tuple[Objective, ...] = (
    SquaredOverdose(structure="s", dose_gy=10.0),
    SquaredUnderdose(structure="s", dose_gy=18.0),
    SquaredUnderdose(structure="s", dose_gy=18.0, volume_percent=60.0),
    SquaredDeviation(structure="s", dose_gy=12.0),
    MeanDose(structure="s"),
    MeanDose(structure="s", dose_gy=4.0),
    GEud(structure="s", a=8.0, dose_gy=9.0),
    GEud(structure="s", a=-10.0, dose_gy=18.0),
    Falloff(structure="s", dose_gy=18.0),
)
CONSTRAINTS: tuple[Constraint, ...] = (
    MaximumDose(structure="s", dose_gy=12.0),
    MinimumDose(structure="s", dose_gy=3.0),
    MaximumMean(structure="s", dose_gy=5.0),
    MaximumDoseAtVolume(structure="s", dose_gy=12.0, volume_cm3=1.7),
)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.describe())
def test_gradient_equals_central_differences(objective: Objective) -> None:
    _, gradient = objective.evaluate(DOSE, REGION)
    step = 1e-5
    for i in range(N):
        up, down = DOSE.copy(), DOSE.copy()
        up[i] += step
        down[i] -= step
        slope = (objective.evaluate(up, REGION)[0] - objective.evaluate(down, REGION)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-7)  # truncation h^2, rounding eps f / h


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: c.describe())
def test_pullback_equals_central_differences(constraint: Constraint) -> None:
    m = RNG.uniform(0.5, 2.0, constraint.residual(DOSE, REGION).size)
    gradient = constraint.pullback(DOSE, REGION, m)
    step = 1e-5
    for i in range(N):
        up, down = DOSE.copy(), DOSE.copy()
        up[i] += step
        down[i] -= step
        slope = float(m @ (constraint.residual(up, REGION) - constraint.residual(down, REGION))) / (2 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_values_by_hand() -> None:
    region = Region(name="s", rows=np.arange(2), volume_cm3=np.array([3.0, 1.0]))
    dose = np.array([10.0, 20.0])
    assert SquaredOverdose(structure="s", dose_gy=12.0).evaluate(dose, region)[0] == pytest.approx(0.25 * 64.0)
    assert SquaredUnderdose(structure="s", dose_gy=12.0).evaluate(dose, region)[0] == pytest.approx(0.75 * 4.0)
    assert MeanDose(structure="s").evaluate(dose, region)[0] == pytest.approx(12.5)
    assert GEud(structure="s", a=2.0, dose_gy=0.0).evaluate(dose, region)[0] == pytest.approx(0.75 * 100 + 0.25 * 400)
    # the coldest quarter is not asked for: of four equal volumes only the three hottest count
    four = Region(name="s", rows=np.arange(4), volume_cm3=np.ones(4))
    asked = SquaredUnderdose(structure="s", dose_gy=10.0, volume_percent=75.0)
    assert asked.evaluate(np.array([1.0, 9.0, 10.0, 12.0]), four)[0] == pytest.approx(0.25 * 1.0)


def test_mean_of_hottest_volume_is_never_below_the_dose_at_volume() -> None:
    constraint = MaximumDoseAtVolume(structure="s", dose_gy=1.0, volume_cm3=2.0)
    hottest = float(constraint.residual(DOSE, REGION)[0]) + 1.0
    order = np.argsort(-DOSE)
    reached = np.cumsum(REGION.volume_cm3[order])
    assert hottest >= DOSE[order[np.searchsorted(reached, 2.0)]]


def test_hottest_share_sums_to_the_fraction() -> None:
    taken = hottest_share(DOSE, REGION.share, 0.37)
    assert taken.sum() == pytest.approx(0.37)
    assert (taken <= REGION.share + 1e-15).all()
    assert taken[np.argmax(DOSE)] == pytest.approx(REGION.share[np.argmax(DOSE)])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SquaredOverdose(structure="s", dose_gy=-1.0), "dose_gy"),
        (lambda: SquaredUnderdose(structure="s", dose_gy=1.0, weight=-1.0), "weight"),
        (lambda: GEud(structure="s", a=0.5, dose_gy=1.0), "a >= 1"),
        (lambda: MaximumDose(structure="cord", dose_gy=0.0), "limit on 'cord'"),
    ],
)
def test_wrong_settings_are_named(build: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()  # type: ignore[operator]

"""Objectives and constraints against finite differences and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.biology import bed_gy, eqd2_gy, geud_gy, histology, lkb
from rtsim.errors import InputError
from rtsim.optimize.constraints import (
    Constraint,
    MaximumDose,
    MaximumDoseAtVolume,
    MaximumGEud,
    MaximumMean,
    MinimumDose,
    MinimumGEud,
    MinimumMean,
)
from rtsim.optimize.constraints_volume import DoseOutsideVolume, MinimumDoseAtVolume
from rtsim.optimize.objectives import (
    Falloff,
    GEud,
    MeanDose,
    Objective,
    Region,
    SquaredDeviation,
    SquaredOverdose,
    SquaredUnderdose,
    Uniformity,
    hottest_share,
)
from rtsim.optimize.objectives_biology import (
    Complication,
    MeanEqd2,
    Response,
    SquaredOverEqd2,
    SquaredUnderEqd2,
    TumorControl,
)

RNG = np.random.default_rng(4)
N = 23
REGION = Region(name="s", rows=np.arange(N), volume_cm3=RNG.uniform(0.1, 1.0, N), distance_mm=RNG.uniform(0.0, 40.0, N))
DOSE = RNG.uniform(1.0, 24.0, N)
CONTROL = histology("renal").tcp
assert CONTROL is not None
ESOPHAGUS, LUNGS = lkb("esophagus"), lkb("lungs")

OBJECTIVES: tuple[Objective, ...] = (
    SquaredOverdose(structure="s", dose_gy=10.0),
    SquaredOverdose(structure="s", dose_gy=10.0, allowed_percent=30.0),
    SquaredUnderdose(structure="s", dose_gy=18.0),
    SquaredUnderdose(structure="s", dose_gy=18.0, volume_percent=60.0),
    SquaredDeviation(structure="s", dose_gy=12.0),
    Uniformity(structure="s"),
    MeanDose(structure="s"),
    MeanDose(structure="s", dose_gy=4.0),
    GEud(structure="s", a=8.0, dose_gy=9.0),
    GEud(structure="s", a=-10.0, dose_gy=18.0),
    Falloff(structure="s", dose_gy=18.0),
    SquaredOverEqd2(structure="s", eqd2_gy=20.0, fractions=3, alpha_beta_gy=3.0),
    SquaredUnderEqd2(structure="s", eqd2_gy=20.0, fractions=3, alpha_beta_gy=10.0),
    MeanEqd2(structure="s", fractions=3, alpha_beta_gy=3.0),
    MeanEqd2(structure="s", fractions=3, alpha_beta_gy=3.0, eqd2_gy=5.0),
    TumorControl(structure="s", model=CONTROL.poisson, fractions=2),
    Complication(structure="s", model=ESOPHAGUS, fractions=2),
    Complication(structure="s", model=LUNGS, fractions=2, response=Response.LOGISTIC),
)
CONSTRAINTS: tuple[Constraint, ...] = (
    MaximumDose(structure="s", dose_gy=12.0),
    MinimumDose(structure="s", dose_gy=3.0),
    MaximumMean(structure="s", dose_gy=5.0),
    MinimumMean(structure="s", dose_gy=20.0),
    MaximumGEud(structure="s", dose_gy=9.0, a=6.0),
    MinimumGEud(structure="s", dose_gy=18.0, a=-8.0),
    MaximumDoseAtVolume(structure="s", dose_gy=12.0, volume_cm3=1.7),
    MinimumDoseAtVolume(structure="s", dose_gy=12.0, volume_percent=80.0),
    DoseOutsideVolume(structure="s", dose_gy=12.0, volume_cm3=1.7),
)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.describe())
def test_gradient_equals_central_differences(objective: Objective) -> None:
    # the clonogens of a cold voxel alone would make a value of 1e7, whose rounding drowns the differences
    dose = DOSE + 15.0 if isinstance(objective, TumorControl) else DOSE
    _, gradient = objective.evaluate(dose, REGION)
    step = 1e-5
    for i in range(N):
        up, down = dose.copy(), dose.copy()
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


def test_allowed_volume_counts_only_the_rest() -> None:
    """Of four equal volumes the hottest may exceed; of the next, half of a quarter at 37.5 % allowed."""
    four = Region(name="s", rows=np.arange(4), volume_cm3=np.ones(4))
    dose = np.array([30.0, 22.0, 21.0, 5.0])
    upper = SquaredOverdose(structure="s", dose_gy=20.0, allowed_percent=25.0)
    assert upper.evaluate(dose, four)[0] == pytest.approx(0.25 * 4.0 + 0.25 * 1.0)
    upper = SquaredOverdose(structure="s", dose_gy=20.0, allowed_percent=37.5)
    assert upper.evaluate(dose, four)[0] == pytest.approx(0.125 * 4.0 + 0.25 * 1.0)


def test_uniformity_is_the_variance() -> None:
    mean = np.average(DOSE, weights=REGION.volume_cm3)
    variance = np.average((DOSE - mean) ** 2, weights=REGION.volume_cm3)
    assert Uniformity(structure="s").evaluate(DOSE, REGION)[0] == pytest.approx(variance)


def test_biological_values_are_those_of_rtsim_biology() -> None:
    """The optimizer and the report read the same formula: to rounding, not to a tolerance."""
    volume = REGION.volume_cm3
    share = volume / volume.sum()
    for model in (ESOPHAGUS, LUNGS, lkb("spinal_cord")):
        value = Complication(structure="s", model=model, fractions=2).evaluate(DOSE, REGION)[0]
        assert -np.expm1(-value) == pytest.approx(model.probability(DOSE, 2, volume), rel=1e-9, abs=1e-15)
    value = TumorControl(structure="s", model=CONTROL.poisson, fractions=2).evaluate(DOSE + 15.0, REGION)[0]
    assert np.exp(-value) == pytest.approx(CONTROL.poisson.voxels(DOSE + 15.0, 2, volume), rel=1e-9)
    assert 0.1 < np.exp(-value) < 0.9
    value = MeanEqd2(structure="s", fractions=4, alpha_beta_gy=3.0).evaluate(DOSE, REGION)[0]
    assert value == pytest.approx(share @ eqd2_gy(DOSE, 4, 3.0))
    # a dose in BED is one in EQD2 times 1 + 2 / (alpha/beta)
    wanted = bed_gy(16.0, 2, 10.0) / 1.2
    under = SquaredUnderEqd2(structure="s", eqd2_gy=wanted, fractions=2, alpha_beta_gy=10.0)
    missing = np.maximum(bed_gy(16.0, 2, 10.0) - bed_gy(DOSE, 2, 10.0), 0.0) / 1.2
    assert under.evaluate(DOSE, REGION)[0] == pytest.approx(share @ missing**2)


def test_logistic_response_crosses_the_probit_at_td50_with_its_slope() -> None:
    one = Region(name="s", rows=np.arange(1), volume_cm3=np.ones(1))
    probit = Complication(structure="s", model=LUNGS, fractions=10)
    logistic = Complication(structure="s", model=LUNGS, fractions=10, response=Response.LOGISTIC)
    a = LUNGS.alpha_beta_gy
    at = 5.0 * (np.sqrt(a * a + 0.4 * LUNGS.td50_eqd2_gy * (2.0 + a)) - a)  # dose in ten fractions with EQD2 = TD50
    assert eqd2_gy(float(at), 10, a) == pytest.approx(LUNGS.td50_eqd2_gy)
    both = [o.evaluate(np.array([at]), one) for o in (probit, logistic)]
    assert both[0][0] == pytest.approx(np.log(2.0))
    assert both[1][0] == pytest.approx(np.log(2.0))
    assert both[0][1] == pytest.approx(both[1][1])


def test_control_and_complication_stay_finite_far_out() -> None:
    for dose in (np.zeros(N), np.full(N, 300.0)):
        for objective in OBJECTIVES:
            value, gradient = objective.evaluate(dose, REGION)
            assert np.isfinite(value), objective.describe()
            assert np.isfinite(gradient).all(), objective.describe()


def test_geud_limits_are_those_of_rtsim_biology() -> None:
    upper = MaximumGEud(structure="s", dose_gy=10.0, a=6.0).residual(DOSE, REGION)[0]
    assert 10.0 * (1.0 + upper) == pytest.approx(geud_gy(DOSE, 6.0, REGION.volume_cm3))
    lower = MinimumGEud(structure="s", dose_gy=10.0, a=-8.0).residual(DOSE, REGION)[0]
    assert 10.0 * (1.0 - lower) == pytest.approx(geud_gy(DOSE, -8.0, REGION.volume_cm3))


def test_mean_of_coldest_volume_is_never_above_the_dose_at_volume() -> None:
    lower = MinimumDoseAtVolume(structure="s", dose_gy=1.0, volume_percent=70.0)
    coldest = 1.0 - float(lower.residual(DOSE, REGION)[0])
    order = np.argsort(-DOSE)
    reached = np.cumsum(REGION.share[order])
    assert coldest <= DOSE[order[np.searchsorted(reached, 0.7)]]
    assert coldest >= DOSE.min()


def test_dose_outside_volume_is_the_dose_at_volume() -> None:
    """Its worst row is the hottest one that is not let go: D(cc) as the next row has it."""
    order = np.argsort(-DOSE)
    reached = np.cumsum(REGION.volume_cm3[order])
    volume = float(reached[3])
    limit = DoseOutsideVolume(structure="s", dose_gy=1.0, volume_cm3=volume)
    assert limit.residual(DOSE, REGION).max() + 1.0 == pytest.approx(DOSE[order[4]])
    half = DoseOutsideVolume(structure="s", dose_gy=1.0, volume_cm3=volume - 0.5 * REGION.volume_cm3[order[3]])
    assert half.residual(DOSE, REGION).max() + 1.0 == pytest.approx(DOSE[order[3]])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SquaredOverdose(structure="s", dose_gy=1.0, allowed_percent=100.0), "allowed_percent"),
        (lambda: SquaredOverEqd2(structure="s", eqd2_gy=1.0, fractions=0, alpha_beta_gy=3.0), "fractions"),
        (lambda: MeanEqd2(structure="cord", fractions=1, alpha_beta_gy=0.0), "'cord'.*alpha_beta"),
        (lambda: TumorControl(structure="s", model=CONTROL.poisson, fractions=0), "fractions"),
        (lambda: MaximumGEud(structure="s", dose_gy=1.0, a=0.5), "a >= 1"),
        (lambda: MinimumGEud(structure="s", dose_gy=1.0, a=2.0), "a <= 1"),
        (lambda: MinimumMean(structure="s", dose_gy=float("nan")), "dose_gy > 0"),
        (lambda: MinimumDoseAtVolume(structure="s", dose_gy=1.0, volume_percent=100.0), "MinimumDose holds"),
        (lambda: DoseOutsideVolume(structure="s", dose_gy=1.0, volume_cm3=0.0), "volume_cm3"),
        (lambda: SquaredOverdose(structure="s", dose_gy=-1.0), "dose_gy"),
        (lambda: SquaredUnderdose(structure="s", dose_gy=1.0, weight=-1.0), "weight"),
        (lambda: GEud(structure="s", a=0.5, dose_gy=1.0), "a >= 1"),
        (lambda: MaximumDose(structure="cord", dose_gy=0.0), "limit on 'cord'"),
    ],
)
def test_wrong_settings_are_named(build: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()  # type: ignore[operator]

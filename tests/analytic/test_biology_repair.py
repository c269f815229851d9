"""Survival at large doses and incomplete repair, by hand and against the definition integrated numerically."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsim import biology
from rtsim.biology import CORD_REPAIR, PARK_H460, RepairKinetics, UniversalSurvivalCurve
from rtsim.errors import InputError
from tests.reference.lea_catcheside import lea_catcheside

SOURCE = CORD_REPAIR.source
ONE_HOUR = RepairKinetics(half_times_h=(1.0,), shares=(1.0,), source=SOURCE)


def test_universal_curve_by_hand() -> None:
    # alpha 0.25, D0 2, Dq 3: 1 - alpha D0 = 1/2, d_T = 12, beta = 1/4 / 24 = 1/96, alpha/beta = 24
    curve = UniversalSurvivalCurve(alpha_per_gy=0.25, d0_gy=2.0, dq_gy=3.0, source=SOURCE)
    assert curve.transition_gy == pytest.approx(12.0, rel=1e-15)
    assert curve.beta_per_gy2 == pytest.approx(1.0 / 96.0, rel=1e-15)
    assert curve.alpha_beta_gy == pytest.approx(24.0, rel=1e-15)
    assert curve.bed_gy(18.0, 3) == pytest.approx(18.0 * (1.0 + 6.0 / 24.0), rel=1e-15)
    assert curve.bed_gy(60.0, 3) == pytest.approx((60.0 - 9.0) / 0.5, rel=1e-15)
    # both branches of the single equivalent: D - (n - 1) Dq, and the root of d (1 + d / 24) = 3 x 2 x (1 + 2 / 24)
    assert curve.single_fraction_equivalent_gy(60.0, 3) == pytest.approx(54.0, rel=1e-15)
    root = 12.0 * (math.sqrt(1.0 + 4.0 * 6.5 / 24.0) - 1.0)
    assert curve.single_fraction_equivalent_gy(6.0, 3) == pytest.approx(root, rel=1e-14)


# source: Park 2008 (IJROBP 70:847) gives alpha/beta 8.6 Gy and a transition at 6.2 Gy for H460, both rounded
def test_the_published_cell_line() -> None:
    assert PARK_H460.alpha_beta_gy == pytest.approx(8.6, abs=0.05)
    assert PARK_H460.transition_gy == pytest.approx(6.2, abs=0.1)


def test_universal_curve_is_the_linear_quadratic_linear_model_with_its_transition() -> None:
    dose = np.linspace(0.0, 80.0, 161)
    lql = biology.lql_bed_gy(dose, 4, PARK_H460.alpha_beta_gy, PARK_H460.transition_gy)
    np.testing.assert_allclose(PARK_H460.bed_gy(dose, 4), lql, rtol=1e-13)


# source: Dale 1985 (Br J Radiol 58:515), 2 / x (1 - (1 - exp(-x)) / x) at x = mu T = ln 2
def test_one_half_time_of_irradiation() -> None:
    x = math.log(2.0)
    assert ONE_HOUR.protraction(1.0) == pytest.approx(2.0 / x * (1.0 - 0.5 / x), rel=1e-14)
    assert ONE_HOUR.protraction(0.0) == 1.0
    # very long: 2 / (mu T)
    assert ONE_HOUR.protraction(1e6) == pytest.approx(2.0 / (math.log(2.0) * 1e6), rel=1e-5)


def test_series_and_closed_form_meet() -> None:
    # The closed form loses about 1e-16 / x^2 = 1e-10 where the series takes over, at x = mu T = 1e-3.
    at = 1e-3 / math.log(2.0)
    below, above = ONE_HOUR.protraction(at * (1.0 - 1e-9)), ONE_HOUR.protraction(at * (1.0 + 1e-9))
    assert below == pytest.approx(above, abs=1e-9)


# source: Thames 1985: h_2 = K, h_3 = (2/3) K (2 + K) by hand
@pytest.mark.parametrize("left", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_thames_factors(left: float) -> None:
    assert biology.thames_h(1, left) == 0.0
    assert biology.thames_h(2, left) == pytest.approx(left, rel=1e-15)
    assert biology.thames_h(3, left) == pytest.approx(2.0 / 3.0 * left * (2.0 + left), rel=1e-14)
    if left < 1.0:
        m = 5
        closed = 2.0 / m * left / (1.0 - left) * (m - (1.0 - left**m) / (1.0 - left))
        assert biology.thames_h(m, left) == pytest.approx(closed, rel=1e-12)
    else:  # nothing is mended: n fractions are one
        assert biology.thames_h(5, left) == pytest.approx(4.0, rel=1e-15)


# The oracle's midpoint rule with 400 steps errs by about (mu dt)^2 / 12 < 1e-6; the bound has 10 times that.
@pytest.mark.parametrize(("n", "interval_h", "duration_h"), [(1, 1.0, 0.75), (2, 6.0, 0.5), (3, 2.0, 2.0)])
def test_courses_against_the_definition(n: int, interval_h: float, duration_h: float) -> None:
    expected = n * lea_catcheside(math.log(2.0), n, interval_h, duration_h)
    assert ONE_HOUR.course(n, interval_h, duration_h) == pytest.approx(expected, rel=1e-5)


def test_components_add_by_their_shares() -> None:
    slow = RepairKinetics(half_times_h=(3.8,), shares=(1.0,), source=SOURCE)
    fast = RepairKinetics(half_times_h=(0.7,), shares=(1.0,), source=SOURCE)
    for hours in (0.25, 2.0):
        both = 0.5 * (slow.protraction(hours) + fast.protraction(hours))
        assert CORD_REPAIR.protraction(hours) == pytest.approx(both, rel=1e-14)
    assert CORD_REPAIR.course(2, 6.0) == pytest.approx(0.5 * (slow.course(2, 6.0) + fast.course(2, 6.0)), rel=1e-14)


def test_incomplete_bed_by_hand() -> None:
    # 2 x 1.5 Gy a day for 3 days, 6 h apart, half-time 6 h: K = 1/2, G = 1.5: 9 (1 + 1.5 x 1.5 / 3) = 15.75 Gy
    six = RepairKinetics(half_times_h=(6.0,), shares=(1.0,), source=SOURCE)
    assert biology.incomplete_bed_gy(9.0, 6, 3.0, six, interval_h=6.0, per_day=2) == pytest.approx(15.75, rel=1e-14)
    assert biology.incomplete_bed_gy(9.0, 6, 3.0, six) == pytest.approx(biology.bed_gy(9.0, 6, 3.0), rel=1e-15)
    # Fractions without any pause between them and hardly any repair are one fraction.
    none = RepairKinetics(half_times_h=(1e9,), shares=(1.0,), source=SOURCE)
    together = biology.incomplete_bed_gy(9.0, 3, 3.0, none, minutes_per_fraction=60.0, interval_h=1.0)
    assert together == pytest.approx(biology.bed_gy(9.0, 1, 3.0), rel=1e-8)


def test_three_contiguous_fractions_are_one_long_one() -> None:
    # G of a course is per fraction: 3 fractions of 1 h end to end are one of 3 h, with 3 times the dose in it.
    assert ONE_HOUR.course(3, 1.0, 1.0) == pytest.approx(3.0 * ONE_HOUR.protraction(3.0), rel=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: UniversalSurvivalCurve(alpha_per_gy=0.5, d0_gy=2.0, dq_gy=1.0, source=SOURCE), "leave no shoulder"),
        (lambda: RepairKinetics(half_times_h=(1.0,), shares=(0.5, 0.5), source=SOURCE), "one share each"),
        (lambda: RepairKinetics(half_times_h=(1.0, 2.0), shares=(0.5, 0.6), source=SOURCE), "must sum to 1"),
        (lambda: ONE_HOUR.protraction(-1.0), "duration_h is -1"),
        (lambda: ONE_HOUR.course(2, 0.5, 1.0), "at least 1 h apart"),
        (lambda: biology.thames_h(2, 1.5), "left is 1.5"),
        (lambda: biology.incomplete_bed_gy(9.0, 3, 3.0, ONE_HOUR, interval_h=6.0, per_day=4), "per_day is 4"),
    ],
)
def test_bad_input(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]

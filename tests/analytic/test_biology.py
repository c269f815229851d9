"""Biology against hand calculations and the published points each model claims to meet."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsim import biology
from rtsim.biology import NomsClass, Tier
from rtsim.errors import InputError
from rtsim.sources import Standing

# source: D (d + ab) / (2 + ab) by hand, rounded to 0.1 Gy: (dose, fractions, BED10, BED6, EQD2_10, EQD2_6, EQD2_2)
SCHEMES = [
    (8.0, 1, 14.4, 18.7, 12.0, 14.0, 20.0),
    (20.0, 5, 28.0, 33.3, 23.3, 25.0, 30.0),
    (30.0, 10, 39.0, 45.0, 32.5, 33.8, 37.5),
    (37.5, 15, 46.9, 53.1, 39.1, 39.8, 42.2),
    (40.0, 20, 48.0, 53.3, 40.0, 40.0, 40.0),
    (42.0, 18, 51.8, 58.3, 43.2, 43.8, 45.5),
    (20.0, 1, 60.0, 86.7, 50.0, 65.0, 110.0),
    (24.0, 1, 81.6, 120.0, 68.0, 90.0, 156.0),
    (24.0, 2, 52.8, 72.0, 44.0, 54.0, 84.0),
    (28.0, 2, 67.2, 93.3, 56.0, 70.0, 112.0),
    (27.0, 3, 51.3, 67.5, 42.75, 50.6, 74.25),
    (30.0, 5, 48.0, 60.0, 40.0, 45.0, 60.0),
    (35.0, 5, 59.5, 75.8, 49.6, 56.9, 78.75),
    (40.0, 5, 72.0, 93.3, 60.0, 70.0, 100.0),
]


@pytest.mark.parametrize(("dose_gy", "n", "bed10", "bed6", "eqd2_10", "eqd2_6", "eqd2_2"), SCHEMES)
def test_fractionation_table(
    dose_gy: float, n: int, bed10: float, bed6: float, eqd2_10: float, eqd2_6: float, eqd2_2: float
) -> None:
    got = [
        biology.bed_gy(dose_gy, n, 10.0),
        biology.bed_gy(dose_gy, n, 6.0),
        biology.eqd2_gy(dose_gy, n, 10.0),
        biology.eqd2_gy(dose_gy, n, 6.0),
        biology.eqd2_gy(dose_gy, n, 2.0),
    ]
    assert got == pytest.approx([bed10, bed6, eqd2_10, eqd2_6, eqd2_2], abs=0.0501)


def test_voxels_keep_their_shape_and_numbers_stay_numbers() -> None:
    dose = np.array([[8.0, 0.0], [4.0, 2.0]])
    np.testing.assert_allclose(biology.eqd2_gy(dose, 1, 2.0), [[20.0, 0.0], [6.0, 2.0]], rtol=1e-15)
    assert isinstance(biology.bed_gy(8.0, 1, 10.0), float)


# source: HyTEC, Sahgal 2021 (IJROBP 110:124), published to 0.1 Gy
@pytest.mark.parametrize(("n", "limit_gy"), [(1, 12.4), (2, 17.0), (3, 20.3), (4, 23.0), (5, 25.3)])
def test_cord_limit_is_hytec(n: int, limit_gy: float) -> None:
    assert biology.cord_limit_gy(n) == pytest.approx(limit_gy, abs=0.05)
    assert biology.cord_limit_gy(n) == pytest.approx(n * (math.sqrt(1.0 + 178.4 / n) - 1.0), rel=1e-14)


# source: Sahgal 2012 re-irradiation, 25 Gy EQD2_2, arithmetic
@pytest.mark.parametrize(("n", "limit_gy"), [(1, 9.0), (2, 12.3), (3, 14.6), (4, 16.4), (5, 17.9)])
def test_reirradiation_limit(n: int, limit_gy: float) -> None:
    assert biology.cord_limit_gy(n, eqd2_gy=25.0) == pytest.approx(limit_gy, abs=0.0501)


def test_remaining_dose_after_30_in_10() -> None:
    # 70 - 37.5 = 32.5 Gy EQD2_2 in one fraction: D (D + 2) = 130, D = sqrt(131) - 1
    assert biology.remaining_dose_gy(70.0, 30.0, 10, 1) == pytest.approx(math.sqrt(131.0) - 1.0, rel=1e-14)
    assert biology.remaining_dose_gy(40.0, 50.0, 25, 1) == 0.0


def test_lql_is_lq_below_and_a_tangent_above_the_transition() -> None:
    assert biology.lql_bed_gy(20.0, 5, 3.0) == pytest.approx(biology.bed_gy(20.0, 5, 3.0), rel=1e-15)
    # d_T = 6: 6 (1 + 2) + (1 + 4)(10 - 6) = 38 per fraction
    assert biology.lql_bed_gy(20.0, 2, 3.0) == pytest.approx(76.0, rel=1e-15)


def test_geud_limits() -> None:
    dose, volume = np.array([10.0, 30.0]), np.array([3.0, 1.0])
    assert biology.geud_gy(dose, 1.0, volume) == pytest.approx(15.0, rel=1e-15)
    assert biology.geud_gy(dose, 2.0, volume) == pytest.approx(math.sqrt(300.0), rel=1e-15)
    assert biology.geud_gy(dose, 2000.0) == pytest.approx(30.0, rel=1e-3)
    assert biology.geud_gy(dose, -2000.0) == pytest.approx(10.0, rel=1e-3)
    assert biology.geud_gy(np.array([0.0, 30.0]), -10.0) == 0.0


# source: HyTEC spine TCP, Soltys 2021 (IJROBP 110:112), 2-year local control; the fit misses by at most 0.015
@pytest.mark.parametrize(
    ("dose_gy", "n", "control"),
    [
        (18.0, 1, 0.82),
        (20.0, 1, 0.90),
        (24.0, 1, 0.96),
        (24.0, 2, 0.82),
        (27.0, 3, 0.78),
        (28.0, 2, 0.90),
        (33.0, 3, 0.90),
        (40.0, 5, 0.90),
    ],
)
def test_resistant_tier_meets_hytec(dose_gy: float, n: int, control: float) -> None:
    models = biology.TCP_BY_TIER[Tier.RESISTANT]
    assert models.log_logistic.uniform(dose_gy, n) == pytest.approx(control, abs=0.016)
    assert models.poisson.uniform(dose_gy, n, 30.0) == pytest.approx(control, abs=0.035)
    assert models.log_logistic.source.standing is Standing.LITERATURE


def test_tcp_of_uniform_voxels_is_that_of_the_uniform_dose() -> None:
    models = biology.TCP_BY_TIER[Tier.RESISTANT]
    dose = np.full(30, 24.0)
    assert models.log_logistic.voxels(dose, 2) == pytest.approx(models.log_logistic.uniform(24.0, 2), rel=1e-12)
    uniform = models.poisson.uniform(24.0, 2, 30.0)
    assert models.poisson.voxels(dose, 2, np.ones(30)) == pytest.approx(uniform, rel=1e-12)


def test_poisson_with_a_narrow_population_is_the_closed_form() -> None:
    narrow = biology.PoissonTcp(
        alpha_per_gy=0.3,
        alpha_sd_per_gy=1e-6,
        alpha_beta_gy=10.0,
        clonogens_per_cm3=1e7,
        source=biology.SCHULTHEISS_CORD.source,
    )
    expected = math.exp(-1e7 * math.exp(-0.3 * 60.0 * 1.2))
    assert narrow.uniform(60.0, 30, 1.0) == pytest.approx(expected, rel=1e-5)


# source: Schultheiss 2008 (0.03 % at 45, 0.2 % at 50, 5 % at 59.3 Gy, D50 69.4) and QUANTEC (< 1 % at 54 Gy)
@pytest.mark.parametrize(
    ("dose_gy", "risk", "rounding"),
    [(45.0, 0.0003, 5e-5), (50.0, 0.002, 5e-4), (54.0, 0.009, 5e-4), (59.3, 0.05, 5e-3), (69.4, 0.5, 1e-12)],
)
def test_cord_at_two_gy_fractions(dose_gy: float, risk: float, rounding: float) -> None:
    k, d50 = biology.SCHULTHEISS_CORD.slope_k, biology.SCHULTHEISS_CORD.d50_eqd2_gy
    assert 1.0 / (1.0 + (d50 / dose_gy) ** k) == pytest.approx(risk, abs=rounding)
    n = 25  # total dose in 25 fractions with the same EQD2
    total_gy = biology.isoeffective_dose_gy(dose_gy, n, 2.0)
    assert biology.SCHULTHEISS_CORD.probability(total_gy, n) == pytest.approx(risk, abs=rounding)


def test_published_alpha_beta_overstates_single_fractions() -> None:
    cord = biology.SCHULTHEISS_CORD
    assert cord.probability(14.0, 1, alpha_beta_gy=0.87) == pytest.approx(0.70, abs=0.005)
    assert cord.probability(14.0, 1) == pytest.approx(0.017, abs=0.0005)
    assert "0.87" in cord.caveat


@pytest.mark.parametrize("organ", biology.LKB_MODELS)
def test_lkb_is_one_half_at_td50(organ: str) -> None:
    model = biology.lkb(organ)
    n = 30
    dose = np.full(7, biology.isoeffective_dose_gy(model.td50_eqd2_gy, n, model.alpha_beta_gy))
    assert model.probability(dose, n) == pytest.approx(0.5, abs=1e-9)


def test_lkb_one_m_above_td50_is_one_sigma() -> None:
    model = biology.lkb("lungs")
    gy = biology.isoeffective_dose_gy(model.td50_eqd2_gy * (1.0 + model.slope_m), 25, model.alpha_beta_gy)
    assert model.probability(np.array([gy]), 25) == pytest.approx(0.5 * math.erfc(-1.0 / math.sqrt(2.0)), rel=1e-9)


def test_lung_logistic() -> None:
    # source: QUANTEC lung: TD50 = 3.87 / 0.126 = 30.7 Gy
    assert biology.lung_pneumonitis(3.87 / 0.126) == pytest.approx(0.5, rel=1e-12)
    assert biology.lung_pneumonitis(0.0) == pytest.approx(1.0 / (1.0 + math.exp(3.87)), rel=1e-12)


def test_both_views_of_kidney_are_kept() -> None:
    renal, melanoma = biology.histology("renal"), biology.histology("melanoma")
    assert renal.noms_class is NomsClass.RESISTANT
    assert renal.stated_label == "moderately sensitive"
    assert (renal.tier, melanoma.tier) == (Tier.RESISTANT, Tier.VERY_RESISTANT)
    assert renal.tcp is not None
    assert melanoma.tcp is not None
    assert renal.tcp.log_logistic.uniform(24.0, 2) > melanoma.tcp.log_logistic.uniform(24.0, 2)
    assert melanoma.tcp.log_logistic.source.standing is Standing.ASSUMPTION
    assert biology.histology("meningioma").tcp is None


def test_every_histology_cites_and_unknown_names_are_answered() -> None:
    assert len(biology.histology_names()) == 35
    for name in biology.histology_names():
        assert biology.histology(name).source.citation
    with pytest.raises(InputError, match="did you mean 'melanoma'"):
        biology.histology("melanom")
    with pytest.raises(InputError, match="did you mean 'esophagus'"):
        biology.lkb("oesophagus")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: biology.eqd2_gy(-1.0, 1, 2.0), "negative or not finite"),
        (lambda: biology.eqd2_gy(1.0, 0, 2.0), "fractions is 0"),
        (lambda: biology.eqd2_gy(1.0, 1, 0.0), "alpha_beta_gy is 0.0"),
        (lambda: biology.geud_gy(np.array([]), 1.0), "is empty"),
        (lambda: biology.geud_gy(np.ones(2), 0.0), "a is 0.0"),
        (lambda: biology.geud_gy(np.ones(2), 1.0, np.ones(3)), "one volume per voxel"),
    ],
)
def test_bad_input(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]

"""What must hold of the biological models for any dose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim import biology

DOSE = st.floats(0.1, 100.0)
RATIO = st.floats(0.5, 20.0)
FRACTIONS = st.integers(1, 40)
VOXELS = st.lists(st.floats(0.5, 80.0), min_size=1, max_size=20).map(np.array)


@given(DOSE, FRACTIONS, RATIO)
def test_isoeffect_inverts_eqd2(dose_gy: float, n: int, ratio: float) -> None:
    eqd2 = biology.eqd2_gy(dose_gy, n, ratio)
    assert biology.isoeffective_dose_gy(eqd2, n, ratio) == pytest.approx(dose_gy, rel=1e-9)
    assert biology.eqd2_from_bed_gy(biology.bed_gy(dose_gy, n, ratio), ratio) == pytest.approx(eqd2, rel=1e-12)


@given(DOSE, FRACTIONS, RATIO)
def test_more_fractions_spare(dose_gy: float, n: int, ratio: float) -> None:
    assert biology.bed_gy(dose_gy, n + 1, ratio) < biology.bed_gy(dose_gy, n, ratio)
    assert biology.lql_bed_gy(dose_gy, n, ratio) <= biology.bed_gy(dose_gy, n, ratio) * (1.0 + 1e-12)


@given(VOXELS, st.floats(-20.0, 20.0).filter(lambda a: abs(a) > 0.1), st.floats(0.1, 5.0))
def test_geud_lies_between_extremes_and_rises_with_a(dose: np.ndarray, a: float, step: float) -> None:
    geud = biology.geud_gy(dose, a)
    assert dose.min() * (1.0 - 1e-9) <= geud <= dose.max() * (1.0 + 1e-9)
    if abs(a + step) > 0.1:
        assert biology.geud_gy(dose, a + step) >= geud * (1.0 - 1e-9)


@given(VOXELS, FRACTIONS, st.sampled_from(tuple(biology.LKB_MODELS)))
def test_ntcp_is_a_probability_that_rises_with_dose(dose: np.ndarray, n: int, organ: str) -> None:
    model = biology.lkb(organ)
    low, high = model.probability(dose, n), model.probability(1.1 * dose, n)
    assert 0.0 <= low <= high <= 1.0


@given(VOXELS, st.integers(1, 10), st.sampled_from(tuple(biology.TCP_BY_TIER)))
def test_tcp_is_a_probability_that_rises_with_dose(dose: np.ndarray, n: int, tier: biology.Tier) -> None:
    models = biology.TCP_BY_TIER[tier]
    volume = np.full(dose.size, 0.1)
    for model in (models.log_logistic, models.poisson):
        low, high = model.voxels(dose, n, volume), model.voxels(1.1 * dose, n, volume)
        assert 0.0 <= low <= high + 1e-12
        assert high <= 1.0 + 1e-12


@given(DOSE, FRACTIONS)
def test_cord_risk_rises_with_dose(dose_gy: float, n: int) -> None:
    assert biology.SCHULTHEISS_CORD.probability(dose_gy, n) <= biology.SCHULTHEISS_CORD.probability(1.05 * dose_gy, n)


@given(st.sampled_from(biology.histology_names()), DOSE, FRACTIONS, st.floats(1.0, 3.0))
def test_more_dose_is_never_less_adequate(name: str, dose_gy: float, n: int, factor: float) -> None:
    tumor = biology.histology(name)
    low, high = biology.adequacy(tumor, dose_gy, n), biology.adequacy(tumor, factor * dose_gy, n)
    assert high.is_enough or not low.is_enough
    if low.control_probability is not None and high.control_probability is not None:
        assert low.control_probability <= high.control_probability <= 1.0


@given(st.sampled_from(biology.histology_names()), DOSE, st.integers(1, 4))
def test_the_same_dose_in_fewer_fractions_is_no_weaker(name: str, dose_gy: float, n: int) -> None:
    tumor = biology.histology(name)
    assert biology.adequacy(tumor, dose_gy, n).is_enough or not biology.adequacy(tumor, dose_gy, n + 1).is_enough


@given(st.floats(0.0, 30.0), st.floats(1.0, 2.0), st.integers(1, 10))
def test_every_cord_model_rises_with_dose(dose_gy: float, factor: float, n: int) -> None:
    low, high = biology.cord_risks(dose_gy, n), biology.cord_risks(factor * dose_gy, n)
    for a, b in zip(low.models, high.models, strict=True):
        assert 0.0 <= a.probability <= b.probability + 1e-12 <= 1.0 + 2e-12


@given(VOXELS, FRACTIONS, st.floats(0.01, 4.0))
def test_relative_seriality_rises_with_dose_and_lies_between_its_coldest_and_hottest_voxel(
    dose: np.ndarray, n: int, s: float
) -> None:
    model = replace(biology.relative_seriality("heart"), seriality=s)
    found = model.probability(dose, n)
    slack = 1e-6  # of powers with 1 / s up to 100
    assert found <= model.probability(1.1 * dose, n) * (1.0 + slack) + 1e-300
    assert model.probability(np.array([dose.min()]), n) * (1.0 - slack) <= found
    assert found <= model.probability(np.array([dose.max()]), n) * (1.0 + slack) + 1e-300


@given(st.floats(0.0, 24.0), st.floats(0.0, 10.0), st.integers(1, 30), st.floats(2.0, 24.0))
def test_protraction_spares_and_unmended_damage_does_not(hours: float, more: float, n: int, interval_h: float) -> None:
    repair = biology.CORD_REPAIR
    assert 0.0 < repair.protraction(hours + more) <= repair.protraction(hours) * (1.0 + 1e-9) <= 1.0 + 2e-9
    assert (
        1.0 <= repair.course(n, interval_h + more) <= repair.course(n, interval_h) * (1.0 + 1e-12) <= n * (1.0 + 1e-9)
    )


@given(st.floats(0.0, 40.0), st.floats(0.0, 5.0), st.integers(1, 10))
def test_universal_survival_falls_and_lies_below_the_linear_quadratic_effect(
    dose_gy: float, more: float, n: int
) -> None:
    curve = biology.PARK_H460
    bed = curve.bed_gy(dose_gy, n)
    assert bed <= curve.bed_gy(dose_gy + more, n)
    assert bed <= biology.bed_gy(dose_gy, n, curve.alpha_beta_gy) * (1.0 + 1e-12)
    single = curve.single_fraction_equivalent_gy(dose_gy, n)
    assert curve.bed_gy(single, 1) == pytest.approx(bed, rel=1e-9, abs=1e-9)
    assert single <= dose_gy * (1.0 + 1e-12)


@given(st.floats(1.0, 30.0), st.floats(1.0, 2.0), st.integers(1, 5))
def test_hazard_of_fracture_rises_with_dose_per_fraction(dose_gy: float, factor: float, n: int) -> None:
    low, high = biology.fracture_risk(dose_gy, n), biology.fracture_risk(factor * dose_gy, n)
    assert low.relative_hazard <= high.relative_hazard
    assert low.band_percent <= high.band_percent


@given(VOXELS, st.integers(1, 10))
def test_logistic_control_and_complication_rise_with_dose(dose: np.ndarray, n: int) -> None:
    control = biology.HYTEC_LOGISTIC
    harm = biology.LogisticNtcp(
        organ="heart", a=3.0, td50_eqd2_gy=50.0, gamma50=2.0, alpha_beta_gy=3.0, source=control.source
    )
    for model in (control.voxels, harm.probability):
        assert 0.0 <= model(dose, n) <= model(1.1 * dose, n) <= 1.0

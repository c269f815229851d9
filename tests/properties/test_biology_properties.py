"""What must hold of the biological models for any dose."""

from __future__ import annotations

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

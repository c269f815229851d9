"""Logistic control, further forms of complication, all cord models at once, fracture: hand calculations and tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsim import biology
from rtsim.biology import BodyState, LogisticNtcp, RelativeSeriality, VertebraFindings
from rtsim.errors import InputError
from rtsim.sources import Standing

SOURCE = biology.SCHULTHEISS_CORD.source


# source: HyTEC spine TCP, Soltys 2021 (IJROBP 110:112); the logistic fit misses by at most 0.02
@pytest.mark.parametrize(
    ("dose_gy", "n", "control"),
    [(18.0, 1, 0.82), (20.0, 1, 0.90), (24.0, 1, 0.96), (24.0, 2, 0.82), (27.0, 3, 0.78), (28.0, 2, 0.90)],
)
def test_logistic_control_meets_hytec(dose_gy: float, n: int, control: float) -> None:
    assert biology.HYTEC_LOGISTIC.uniform(dose_gy, n) == pytest.approx(control, abs=0.021)
    bed = biology.bed_gy(dose_gy, n, 6.0)
    expected = 1.0 / (1.0 + math.exp(1.119 - 0.0362 * bed))
    assert biology.HYTEC_LOGISTIC.uniform(dose_gy, n) == pytest.approx(expected, rel=1e-12)


def test_logistic_control_has_its_slope_at_d50() -> None:
    model = biology.HYTEC_LOGISTIC
    dose = [biology.isoeffective_dose_gy(model.d50_eqd2_gy * f, 20, 6.0) for f in (0.999, 1.0, 1.001)]
    low, half, high = (model.uniform(d, 20) for d in dose)
    assert half == pytest.approx(0.5, abs=1e-12)
    assert (high - low) / 0.002 == pytest.approx(model.gamma50, rel=1e-6)
    assert model.voxels(np.full(4, dose[2]), 20) == pytest.approx(high, rel=1e-12)


def test_logistic_complication_by_hand() -> None:
    model = LogisticNtcp(organ="heart", a=1.0, td50_eqd2_gy=40.0, gamma50=1.0, alpha_beta_gy=3.0, source=SOURCE)
    at = biology.isoeffective_dose_gy(20.0, 20, 3.0)
    assert model.probability(np.full(3, at), 20) == pytest.approx(1.0 / (1.0 + 2.0**4), rel=1e-12)
    assert model.probability(np.zeros(3), 20) == 0.0


def seriality(s: float) -> RelativeSeriality:
    return RelativeSeriality(
        organ="heart",
        d50_eqd2_gy=50.0,
        gamma=2.0,
        seriality=s,
        alpha_beta_gy=3.0,
        endpoint="made for this test",
        source=SOURCE,
    )


def response(eqd2: float) -> float:
    return 2.0 ** -math.exp(math.e * 2.0 * (1.0 - eqd2 / 50.0))


@pytest.mark.parametrize("s", [0.01, 0.5, 1.0, 4.0])
def test_relative_seriality_of_a_uniform_dose_is_the_response_itself(s: float) -> None:
    for eqd2 in (10.0, 45.0, 50.0, 80.0):
        dose = np.full(5, biology.isoeffective_dose_gy(eqd2, 25, 3.0))
        assert seriality(s).probability(dose, 25) == pytest.approx(response(eqd2), rel=1e-9)


def test_relative_seriality_by_hand() -> None:
    # s = 1: NTCP = 1 - (1 - P1)^(1/4) (1 - P2)^(3/4)
    dose = np.array([biology.isoeffective_dose_gy(e, 25, 3.0) for e in (60.0, 40.0)])
    expected = 1.0 - (1.0 - response(60.0)) ** 0.25 * (1.0 - response(40.0)) ** 0.75
    assert seriality(1.0).probability(dose, 25, np.array([1.0, 3.0])) == pytest.approx(expected, rel=1e-12)
    # Half of the organ at D50, half without dose: a serial organ suffers nearly as from all of it, a parallel one not.
    half = np.array([biology.isoeffective_dose_gy(50.0, 25, 3.0), 0.0])
    assert seriality(4.0).probability(half, 25) > 0.4
    assert seriality(0.01).probability(half, 25) < 1e-3
    assert seriality(1.0).probability(np.zeros(4), 25) == 0.0
    assert seriality(1.0).probability(np.full(2, 5000.0), 1) == pytest.approx(1.0, abs=1e-12)


def test_published_seriality_is_one_half_at_d50() -> None:
    for organ in ("heart", "lungs"):
        model = biology.relative_seriality(organ)
        dose = np.full(3, biology.isoeffective_dose_gy(model.d50_eqd2_gy, 25, model.alpha_beta_gy))
        assert model.probability(dose, 25) == pytest.approx(0.5, abs=1e-9)
        assert model.source.standing is Standing.LITERATURE
    with pytest.raises(InputError, match="organ of relative seriality 'spinal_cord'"):
        biology.relative_seriality("spinal_cord")


# source: arithmetic of the three models at the limit of HyTEC and at 14 Gy, rounded as in the table it is held against
@pytest.mark.parametrize(
    ("dose_gy", "central", "published", "lkb", "rounding"),
    [(12.4, 0.0003, 0.027, 0.030, 5.1e-4), (14.0, 0.017, 0.70, 0.18, 5e-3)],
)
def test_cord_models_at_single_fractions(
    dose_gy: float, central: float, published: float, lkb: float, rounding: float
) -> None:
    risks = biology.cord_risks(dose_gy, 1)
    assert [m.probability for m in risks.models] == pytest.approx([central, published, lkb], abs=rounding)
    assert risks.limit_gy == pytest.approx(12.4, abs=0.05)
    assert risks.is_within_hytec is (dose_gy < 13.0)
    assert "disagree" in risks.warning
    assert "70 %" in risks.warning if dose_gy == 14.0 else "2.7 %" in risks.warning


def test_cord_models_do_not_warn_where_they_were_fitted_or_where_nothing_happens() -> None:
    assert biology.cord_risks(50.0, 25).warning == ""  # 2 Gy per fraction
    assert biology.cord_risks(6.0, 1).warning == ""  # below 0.1 % by all
    assert biology.cord_risks(0.0, 1).models[0].probability == 0.0
    with pytest.raises(InputError, match="near_max_gy"):
        biology.cord_risks(-1.0, 1)


# source: Sahgal 2013 (J Clin Oncol 31:3426), table 3
def test_fracture_table() -> None:
    sick = VertebraFindings(lytic=True, deformity=True, body=BodyState.COLLAPSED_LESS)
    risk = biology.fracture_risk(24.0, 1, sick, ptv_v15_cm3=42.5)
    assert [f.hazard_ratio for f in risk.factors] == [5.25, 8.98, 3.53, 2.99]
    assert risk.relative_hazard == pytest.approx(5.25 * 8.98 * 3.53 * 2.99, rel=1e-15)
    assert (risk.v15_percent, risk.unknown) == (22.1, ())
    sound = VertebraFindings(lytic=False, deformity=False, body=BodyState.SOUND)
    assert biology.fracture_risk(27.0, 3, sound).relative_hazard == 1.0


@pytest.mark.parametrize(
    ("dose_gy", "n", "percent"),
    [(24.0, 1, 39.0), (20.0, 1, 23.0), (18.0, 1, 10.0), (48.0, 2, 39.0), (24.0, 2, 10.0), (60.0, 3, 23.0)],
)
def test_fracture_bands(dose_gy: float, n: int, percent: float) -> None:
    risk = biology.fracture_risk(dose_gy, n)
    assert risk.band_percent == percent
    assert risk.band_source.standing is Standing.LITERATURE
    assert len(risk.unknown) == 3
    assert "Not known" in " ".join(risk.sentences)


def test_v15_is_of_single_fractions_only() -> None:
    assert biology.fracture_risk(18.0, 1, ptv_v15_cm3=42.0).v15_percent == 3.8
    assert biology.fracture_risk(24.0, 2, ptv_v15_cm3=60.0).v15_percent is None
    with pytest.raises(InputError, match="ptv_v15_cm3 is -1"):
        biology.fracture_risk(24.0, 1, ptv_v15_cm3=-1.0)

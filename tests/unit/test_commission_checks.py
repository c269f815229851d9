"""Data that is too thin, tilted, shifted, swapped or mislabeled is refused; the message says which curve and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.commission import Axis, DepthDose, MeasuredSet, OutputFactors, Profile, check_measured
from rtsim.commission.checks import Severity, missing_curves, refuse_unfit
from rtsim.commission.edges import asymmetry_percent, center_mm, find_edges, width_mm
from rtsim.errors import InputError
from tests.unit.commission_data import SAD_MM, complete, depth_dose, output_factors, profile


def _refusal(measured: MeasuredSet, *, accept_asymmetry: bool = False) -> str:
    with pytest.raises(InputError) as error:
        refuse_unfit(measured, sad_mm=SAD_MM, accept_asymmetry=accept_asymmetry)
    return str(error.value)


def test_a_complete_set_passes_without_a_word() -> None:
    assert missing_curves(complete()) == ()
    assert refuse_unfit(complete(), sad_mm=SAD_MM, accept_asymmetry=False) == ()


def test_every_missing_curve_is_named_at_once() -> None:
    text = _refusal(MeasuredSet())
    for words in ("depth dose of a field near 100 x 100 mm", "small field", "crossline profiles", "inline profiles"):
        assert words in text
    assert "output factors of at least 4 fields (0 are there)" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: replace(m, depth_doses=m.depth_doses[:1]), "near 100 x 100 mm"),
        (lambda m: replace(m, output_factors=None), "output factors"),
        (lambda m: replace(m, profiles=[p for p in m.profiles if p.axis is Axis.INLINE]), "crossline profiles"),
        (
            lambda m: replace(m, profiles=[p for p in m.profiles if p.axis is Axis.INLINE or p.depth_mm > 60]),
            "only 100 mm is there",
        ),
    ],
)
def test_what_is_missing_is_named(change, words: str) -> None:
    assert words in _refusal(change(complete()))


def test_edges_of_a_formula() -> None:
    p = profile(shift_mm=0.7, sigma_mm=3.0)
    edges = find_edges(p.position_mm, p.value)
    assert center_mm(edges) == pytest.approx(0.7, abs=0.02)
    assert width_mm(edges) == pytest.approx(110.0, abs=0.2)
    # 80 to 20 % of a Gaussian edge: 2 x 0.8416 sigma, read from steps of 1 mm
    assert edges[0].penumbra_mm == pytest.approx(2 * 0.8416 * 3.0, abs=0.25)


def test_a_beam_without_flattening_filter_has_its_edges_where_its_jaws_are() -> None:
    """At the edge of a 40 cm field its dose is below half of the axis; a width at half of the axis would be wrong."""
    p = profile(field_mm=(400.0, 400.0))
    peaked = p.value * np.exp(-np.abs(p.position_mm) / 180.0)
    edges = find_edges(p.position_mm, peaked)
    assert edges[0].inside < 0.5
    assert width_mm(edges) == pytest.approx(440.0, abs=1.0)
    assert check_measured(MeasuredSet(profiles=(replace(p, value=peaked),)), sad_mm=SAD_MM) == ()


@pytest.mark.parametrize("tilt", [3.0, -5.0])
def test_a_tilt_is_measured_and_refused(tilt: float) -> None:
    p = profile(depth_mm=200.0, tilt_percent=tilt)
    assert asymmetry_percent(p.position_mm, p.value, find_edges(p.position_mm, p.value)) == pytest.approx(
        tilt, rel=0.05
    )
    measured = replace(complete(), profiles=(*complete().profiles, p))
    text = _refusal(measured)
    assert f"{abs(tilt):.1f} % higher" in text
    assert ("positive" if tilt > 0 else "negative") in text
    assert "--accept-asymmetry" in text
    findings = refuse_unfit(measured, sad_mm=SAD_MM, accept_asymmetry=True)
    assert [f.severity for f in findings] == [Severity.ASYMMETRY]


def test_a_small_tilt_passes() -> None:
    assert check_measured(MeasuredSet(profiles=(profile(tilt_percent=1.0),)), sad_mm=SAD_MM) == ()


def test_a_shifted_profile_is_refused_and_a_little_shift_is_said() -> None:
    assert "shifted by +3.0 mm" in str(check_measured(MeasuredSet(profiles=(profile(shift_mm=3.0),)), sad_mm=SAD_MM)[0])
    (finding,) = check_measured(MeasuredSet(profiles=(profile(shift_mm=-1.0),)), sad_mm=SAD_MM)
    assert finding.severity is Severity.NOTE
    assert "shifted by -1.0 mm" in finding.text


@pytest.mark.parametrize("accept", [False, True])
def test_swapped_axes_are_refused_whatever_is_accepted(accept: bool) -> None:
    swapped = profile(Axis.CROSSLINE, field_mm=(50.0, 200.0), width_mm=220.0)
    text = _refusal(replace(complete(), profiles=(*complete().profiles, swapped)), accept_asymmetry=accept)
    assert "but the field 50 x 200 mm is 55.0 mm wide at this depth along crossline" in text
    assert "crossline and inline are swapped" in text


@pytest.mark.parametrize(
    ("width_mm", "words"),
    [
        (100.0, "projected to the isocenter plane"),
        (11.0, "look like cm"),
        (1100.0, "ten times too large: does '# units: cm' stand above mm"),
        (110.0 * 2**0.5, "diagonal"),
        (95.0, "check"),
    ],
)
def test_a_wrong_width_gets_its_likely_reason(width_mm: float, words: str) -> None:
    (finding,) = [
        f
        for f in check_measured(
            MeasuredSet(profiles=(profile(width_mm=width_mm, sigma_mm=0.5 if width_mm < 20 else 3.0),)), sad_mm=SAD_MM
        )
        if "wide" in f.text
    ]
    assert finding.severity is Severity.REFUSED
    assert words in finding.text


def test_a_profile_that_ends_inside_the_field_is_refused() -> None:
    p = profile()
    inside = np.abs(p.position_mm) < 50.0
    short = replace(p, position_mm=p.position_mm[inside], value=p.value[inside])
    (finding,) = check_measured(MeasuredSet(profiles=(short,)), sad_mm=SAD_MM)
    assert finding.severity is Severity.REFUSED


def test_a_diagonal_may_end_inside_a_large_field() -> None:
    p = profile(field_mm=(400.0, 400.0))
    inside = np.abs(p.position_mm) < 200.0
    short = replace(p, axis=Axis.DIAGONAL, position_mm=p.position_mm[inside], value=p.value[inside])
    (finding,) = check_measured(MeasuredSet(profiles=(short,)), sad_mm=SAD_MM)
    assert finding.severity is Severity.NOTE


def test_a_field_that_is_all_penumbra_has_no_tilt() -> None:
    p = profile(field_mm=(10.0, 10.0), depth_mm=50.0, shift_mm=0.25)
    assert asymmetry_percent(p.position_mm, p.value, find_edges(p.position_mm, p.value)) == 0.0


def test_depth_measured_from_the_bottom_is_refused() -> None:
    pdd = depth_dose()
    upside_down = replace(pdd, depth_mm=300.0 - pdd.depth_mm)
    assert "swapped axis" in _refusal(replace(complete(), depth_doses=(depth_dose(30.0), upside_down)))


def test_a_depth_dose_in_cm_is_recognized() -> None:
    pdd = depth_dose()
    text = _refusal(replace(complete(), depth_doses=(depth_dose(30.0), replace(pdd, depth_mm=pdd.depth_mm / 10.0))))
    assert "ends at 30 mm" in text
    assert "units: cm" in text


def test_depth_doses_of_two_fields_mixed_up_are_refused() -> None:
    small, large = depth_dose(30.0), depth_dose(300.0)
    measured = MeasuredSet(depth_doses=(replace(large, field_mm=(30.0, 30.0)), replace(small, field_mm=(300.0, 300.0))))
    assert any("mixed up" in f.text for f in check_measured(measured, sad_mm=SAD_MM))
    assert check_measured(MeasuredSet(depth_doses=(small, large)), sad_mm=SAD_MM) == ()


def test_two_depth_doses_of_one_set_up_are_refused_with_both_files() -> None:
    first, second = replace(depth_dose(), source="a.csv"), replace(depth_dose(), source="b.csv")
    thin = complete()
    text = _refusal(replace(thin, depth_doses=(*thin.depth_doses[:1], first, second)))
    assert (
        "(b.csv): is of the same field and set-up as depth dose 100 x 100 mm (a.csv): the same values, a copy" in text
    )
    # 3 % of the value at 100 mm, which is 0.486 of the largest here
    scaled = np.where(second.depth_mm > 95.0, 1.03, 1.0) * second.value
    share = 3.0 * float((second.value[second.depth_mm > 95.0] / second.value.max()).max())
    text = _refusal(replace(thin, depth_doses=(*thin.depth_doses[:1], first, replace(second, value=scaled))))
    assert f"they differ by up to {share:.1f} % of the largest value; keep one" in text
    # on another scale it is the same curve, but which points count is not for the fit to choose
    twice = replace(second, value=2.0 * second.value)
    text = _refusal(replace(thin, depth_doses=(*thin.depth_doses[:1], first, twice)))
    assert "they differ by up to 0.0 %" in text


def test_two_profiles_of_one_set_up_are_refused_and_others_are_not() -> None:
    thin = complete()
    copy = replace(thin.profiles[0], source="again.csv")
    assert "again.csv" in _refusal(replace(thin, profiles=(*thin.profiles, copy)))
    others = (profile(depth_mm=200.0), profile(field_mm=(100.0, 50.0)), profile(Axis.INLINE, (100.0, 50.0)))
    assert check_measured(replace(thin, profiles=(*thin.profiles, *others)), sad_mm=SAD_MM) == ()
    elsewhere = depth_dose(100.0, ssd_mm=900.0)
    assert check_measured(replace(thin, depth_doses=(*thin.depth_doses, elsewhere)), sad_mm=SAD_MM) == ()


@pytest.mark.parametrize("dose", [0.77, 1e-4, float("nan")])
def test_a_calibration_in_cgy_is_refused(dose: float) -> None:
    with pytest.raises(InputError, match=r"0\.0005 to 0\.05 Gy per MU is allowed; is it in cGy"):
        replace(output_factors(), dose_gy_per_mu=dose)


def test_output_factors_in_percent_are_those_of_the_reference_field() -> None:
    given = output_factors()
    np.testing.assert_allclose(replace(given, factor=100.0 * given.factor).factor, given.factor, rtol=1e-15)


def _depth_dose(depth: list[float], value: list[float]) -> DepthDose:
    return DepthDose(field_mm=(100.0, 100.0), ssd_mm=1000.0, depth_mm=np.array(depth), value=np.array(value))


@pytest.mark.parametrize(
    ("depth", "value", "words"),
    [
        ([0, 10, 10, 20], [1, 2, 2, 1], "10 mm is followed by 10 mm"),
        ([0, 10, 5, 20], [1, 2, 2, 1], "does not go one way"),
        ([0, 10, 20, 30], [1, 2, -0.1, 1], "-0.1 at 20 mm"),
        ([0, 10, 20, 30], [1, 2, float("nan"), 1], "NaN"),
        ([0, 10, 20, 30], [0, 0, 0, 0], "every value is 0"),
        ([0, 10], [1, 2], "at least 4 points"),
    ],
)
def test_a_curve_that_is_none_is_refused(depth: list[float], value: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _depth_dose(depth, value)


def test_a_scan_from_deep_to_shallow_is_turned() -> None:
    pdd = depth_dose()
    turned = replace(pdd, depth_mm=pdd.depth_mm[::-1], value=pdd.value[::-1])
    np.testing.assert_array_equal(turned.depth_mm, pdd.depth_mm)
    np.testing.assert_array_equal(turned.value, pdd.value)


def test_a_profile_of_one_side_is_refused() -> None:
    p = profile()
    right = p.position_mm > 0
    with pytest.raises(InputError, match="both sides"):
        Profile(
            field_mm=p.field_mm,
            ssd_mm=1000.0,
            depth_mm=100.0,
            axis=Axis.INLINE,
            position_mm=p.position_mm[right],
            value=p.value[right],
        )


@pytest.mark.parametrize(
    ("fields", "factor", "words"),
    [
        (((50.0, 50.0),), [1.0], "reference field 100 x 100 mm is not among"),
        (((100.0, 100.0), (100.0, 100.0)), [1.0, 1.0], "given twice"),
        (((100.0, 100.0), (50.0, 50.0)), [1.0, -0.9], "finite factor > 0"),
        (((100.0, 100.0), (2.0, 2.0)), [1.0, 0.9], "4 to 500 mm"),
        (
            ((100.0, 100.0), (50.0, 50.0)),
            [1.0, 92.0],
            "50 x 50 mm is 92 of .* 0.3 to 2 is allowed: are some in percent",
        ),
        (((100.0, 100.0), (50.0, 50.0)), [100.0, 0.92], "50 x 50 mm is 0.0092 of .*: are some in percent"),
    ],
)
def test_output_factors_that_are_none_are_refused(fields, factor: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        OutputFactors(fields_mm=fields, factor=np.array(factor), depth_mm=100.0, ssd_mm=1000.0)

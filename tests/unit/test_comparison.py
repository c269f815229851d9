"""Comparisons of schemes: numbers against hand calculations, words against numbers, the page, the pictures."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rtsim.beams.model import Beam
from rtsim.biology import AdequacyVerdict, histology, histology_names
from rtsim.dose import CollapsedCone
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate import GradeReport, grade
from rtsim.evaluate.comparison import (
    NotPlanned,
    PatientComparison,
    Scheme,
    SchemeResult,
    best,
    differences,
)
from rtsim.evaluate.comparison_measure import scheme_result
from rtsim.evaluate.comparison_text import comparison_lines, comparison_text, difference_text
from rtsim.evaluate.comparison_verdict import Verdict, headline, verdict
from rtsim.evaluate.comparison_words import difference_lesson, lesson
from rtsim.machine import load_machine
from rtsim.phantom.phantom import DensityOverride, Phantom
from rtsim.protocol import Technique, load_protocol
from rtsim.view.compare_difference import difference_figure, difference_percent
from rtsim.view.compare_html import comparison_html
from rtsim.view.compare_model import ComparedPatient, ComparedPlan
from rtsim.view.compare_pictures import compare_pictures
from rtsim.view.compare_plots import scheme_colors
from rtsim.view.compare_slices import EQD2_LEVELS_GY, band_colors, dose_comparison_figure, eqd2_of
from rtsim.view.compare_twins import are_of_one_matter, are_twins, with_beams_of
from rtsim.view.slices import Plane, window_of
from tests.unit.test_evaluate_grade import bent_dose, spine

USUAL = Scheme(dose_gy=30.0, fractions=10, technique=Technique.CONVENTIONAL, protocol="spine_conventional_10fx")
STEEP = Scheme(dose_gy=24.0, fractions=2, technique=Technique.STEREOTACTIC, protocol="spine_sbrt_2fx")


@cache
def flat_dose(dose_gy: float, fractions: int) -> Dose:
    """The same dose everywhere: every number can be had by hand."""
    like = bent_dose()
    return Dose(values_gy=np.full(like.grid.shape, dose_gy), grid=like.grid, fractions=fractions, engine="flat")


@cache
def graded(scheme: Scheme, tumor: str | None, dose: Dose) -> GradeReport:
    protocol = load_protocol(scheme.protocol)
    kind = None if tumor is None else histology(tumor)
    return grade(dose, spine(), protocol.prescription("PTV", scheme.dose_gy), protocol, histology=kind)


@cache
def plan(scheme: Scheme, tumor: str | None, dose: Dose) -> ComparedPlan:
    kind = None if tumor is None else histology(tumor)
    result = scheme_result(scheme, dose, spine(), graded(scheme, tumor, dose), histology=kind)
    return ComparedPlan(result=result, dose=dose, phantom=spine(), notes=("made for this test",))


def patient(tumor: str | None = "renal", *plans: ComparedPlan, name: str = "toy") -> ComparedPatient:
    chosen = plans or (plan(USUAL, tumor, flat_dose(30.0, 10)), plan(STEEP, tumor, bent_dose(0.9, 2)))
    kind = None if tumor is None else histology(tumor)
    results = tuple(p.result for p in chosen)
    return ComparedPatient(
        comparison=PatientComparison(name=name, description="a <toy>", histology=kind, results=results), plans=chosen
    )


def test_a_flat_dose_by_hand() -> None:
    """30 Gy in 10 everywhere, renal (alpha/beta 3; control model D50 32.9 Gy, k 3 at alpha/beta 6), cord 2 Gy."""
    found = plan(USUAL, "renal", flat_dose(30.0, 10)).result
    t, c = found.tumor, found.cord
    assert (t.d95_gy, t.d98_gy) == pytest.approx((30.0, 30.0), rel=1e-3)
    assert t.d95_eqd2_gy == pytest.approx(30.0 * (3.0 + 3.0) / 5.0, rel=2e-3)
    assert t.d95_bed_gy == pytest.approx(30.0 * (1.0 + 3.0 / 3.0), rel=2e-3)
    control = 1.0 / (1.0 + (32.9 / (30.0 * (3.0 + 6.0) / 8.0)) ** 3)
    assert t.tcp_log_logistic == pytest.approx(control, abs=2e-3)
    assert t.tcp_prescribed == pytest.approx(control, abs=1e-9)
    assert c is not None
    assert c.limit is not None
    assert c.eqd2_gy == pytest.approx(30.0 * (3.0 + 2.0) / 4.0, rel=2e-3)
    assert c.percent_of_prescription == pytest.approx(100.0, rel=1e-3)
    assert c.risk_logistic == pytest.approx(1.0 / (1.0 + (69.4 / 37.5) ** 18.8), rel=0.05)
    assert c.limit.limit_eqd2_gy == pytest.approx(c.limit.limit_gy * (c.limit.limit_gy / 10.0 + 2.0) / 4.0, rel=1e-9)
    assert c.limit.margin_gy == pytest.approx(c.limit.limit_gy - 30.0, abs=0.03)
    assert found.coverage_percent == pytest.approx(100.0)
    lungs = next(n for n in found.neighbors if n.organ == "lungs")
    assert lungs.near_max_gy == pytest.approx(30.0, rel=1e-3)
    assert lungs.is_truncated
    assert lungs.mean_gy < 30.0
    assert lungs.near_max_eqd2_gy == pytest.approx(36.0, rel=2e-3)


def test_coverage_is_that_of_the_technique() -> None:
    """29 Gy of 30 cover a conventional plan (95 % of the dose), 23.5 of 24 not a stereotactic one."""
    assert plan(USUAL, None, flat_dose(29.0, 10)).result.coverage_percent == pytest.approx(100.0)
    assert plan(STEEP, None, flat_dose(23.5, 2)).result.coverage_percent == pytest.approx(0.0, abs=0.5)


@cache
def sloping_dose() -> Dose:
    """24 Gy in 2 at the front of the body, falling by 0.4 Gy/mm towards the cord behind it."""
    like = flat_dose(24.0, 2)
    slope = np.broadcast_to((24.0 - 0.4 * (like.grid.y_mm + 20.0))[None, :, None], like.grid.shape)
    return replace(like, values_gy=np.clip(slope, 0.0, 24.0))


def test_the_coldest_part_of_the_tumor_is_found_beside_the_cord() -> None:
    found = plan(STEEP, "renal", sloping_dose()).result
    t = found.tumor
    assert t.cold_mm is not None
    assert t.median_mm is not None
    assert t.cold_mm < 0.6 * t.median_mm
    other = replace(found, tumor=replace(t, cold_mm=t.median_mm))
    usual = plan(USUAL, "renal", flat_dose(30.0, 10)).result
    for result, is_said in ((found, True), (other, False)):
        c = replace(patient().comparison, results=(usual, result))
        assert ("which lie beside the cord" in lesson(c)) is is_said


def test_a_dose_of_another_course_is_refused() -> None:
    report = plan(USUAL, None, flat_dose(30.0, 10)).result.report
    with pytest.raises(InputError, match="the dose is for 2 fractions, the scheme 30/10 for 10"):
        scheme_result(USUAL, bent_dose(0.9, 2), spine(), report)


def controlling(tumor: str, low: float, high: float) -> PatientComparison:
    """30/10 and 24/2, both held, that control so much; whether the dose is enough is judged as ever."""
    known = patient(tumor).comparison
    results = tuple(
        replace(r, tumor=replace(r.tumor, tcp_log_logistic=p), report=replace(r.report, tumor=None))
        for r, p in zip(known.results, (low, high), strict=True)
    )
    return replace(known, results=results)


@pytest.mark.parametrize(
    ("tumor", "low", "high", "expected", "words"),
    [
        ("myeloma", 0.96, 0.98, Verdict.CONVENTIONAL_IS_ENOUGH, "Conventional radiotherapy is enough"),
        ("breast", 0.76, 0.83, Verdict.CONVENTIONAL_IS_ENOUGH, "Conventional radiotherapy is enough"),
        ("renal", 0.52, 0.77, Verdict.RADIOSURGERY, "Conventional radiotherapy is not enough"),
        ("melanoma", 0.36, 0.52, Verdict.RADIOSURGERY, "radiosurgery is better, not good"),
        ("melanoma", 0.36, 0.44, Verdict.NEITHER, "Neither controls it well: .*; radiosurgery adds 8 points"),
        ("breast", 0.36, 0.44, Verdict.NEITHER, "radiosurgery adds 8 points"),
        ("melanoma", 0.36, 0.20, Verdict.NEITHER, "radiosurgery cannot, it controls 16 points less"),
        ("breast", 0.76, 0.95, Verdict.A_CHOICE, "It is a choice: .*; radiosurgery adds 19 points"),
        ("melanoma", 0.78, 0.80, Verdict.NEITHER, "radiosurgery adds 2 points"),
        ("melanoma", 0.90, 0.92, Verdict.A_CHOICE, "and 30/10 is TOO WEAK for its class"),
        ("plasmacytoma", 0.96, 0.99, Verdict.A_CHOICE, "and 30/10 is palliative by intent"),
    ],
)
def test_the_verdict_follows_the_numbers(tumor: str, low: float, high: float, expected: Verdict, words: str) -> None:
    """30/10 is adequate for myeloma and breast, palliative for plasmacytoma, TOO WEAK for renal and melanoma."""
    c = controlling(tumor, low, high)
    assert verdict(c) is expected
    assert re.search(words, headline(c))
    for text in (headline(c), lesson(c)):
        assert f"{round(100 * low)} %" in text
        assert f"{round(100 * high)} %" in text
        assert ("is enough" in text) is (expected is Verdict.CONVENTIONAL_IS_ENOUGH)


@pytest.mark.parametrize("tumor", histology_names())
def test_what_a_table_calls_too_weak_is_never_enough(tumor: str) -> None:
    """For every tumor that rtsim knows, with the control that its own model gives to the prescribed doses."""
    models = histology(tumor).tcp
    if models is None:
        assert verdict(patient(tumor).comparison) is Verdict.UNKNOWN
        return
    c = controlling(tumor, models.log_logistic.uniform(30.0, 10), models.log_logistic.uniform(24.0, 2))
    usual = c.results[0]
    assert usual.adequacy is not None
    if verdict(c) is Verdict.CONVENTIONAL_IS_ENOUGH:
        assert usual.adequacy.verdict is AdequacyVerdict.ADEQUATE
        assert (usual.tumor.tcp_log_logistic or 0.0) >= 0.70
    assert histology(tumor).title in lesson(c)


def test_only_plans_that_hold_their_limits_have_a_voice() -> None:
    usual, burned = plan(USUAL, "renal", flat_dose(30.0, 10)), plan(USUAL, "renal", flat_dose(60.0, 10))
    good = plan(STEEP, "renal", bent_dose(0.9, 2))
    c = patient("renal", usual, broken()).comparison
    assert verdict(c) is Verdict.NOT_HELD
    assert headline(c) == "No stereotactic plan holds its hard limits; 30/10 controls 52 %"
    assert "enough" not in lesson(c)
    assert best(c.of(Technique.STEREOTACTIC)) is None
    c = patient("renal", burned, broken()).comparison
    assert headline(c) == "No conventional and no stereotactic plan holds its hard limits"
    assert verdict(c) is Verdict.NOT_HELD
    c = patient("renal", burned, good).comparison
    assert headline(c).startswith("No conventional plan holds its hard limits; 24/2 controls")
    assert verdict(patient("renal", usual, good, broken()).comparison) is Verdict.RADIOSURGERY


def cord_of(plan_of: ComparedPlan, near_max_gy: float) -> SchemeResult:
    """The same plan with another dose to the cord; every number of it by hand, without a limit."""
    r = plan_of.result
    assert r.cord is not None
    n, rx = r.scheme.fractions, r.scheme.dose_gy
    eqd2 = near_max_gy * (near_max_gy / n + 2.0) / 4.0
    cord = replace(r.cord, near_max_gy=near_max_gy, eqd2_gy=eqd2, percent_of_prescription=100.0 * near_max_gy / rx)
    return replace(r, cord=replace(cord, limit=None))


@pytest.mark.parametrize(
    ("usual_gy", "steep_gy", "said", "unsaid"),
    [
        (
            30.0,
            14.0,
            ("lies in the field and gets 100 %", "the dose falls to 58 % before it", "because a dose that"),
            (),
        ),
        # the tumor lies in the cord: all of the dose in both
        (30.6, 24.5, ("gets 102 %", "24/2 it lies in the field and gets 102 %", "pays for it: EQD2 87 Gy"), ("falls",)),
        # the cord beside the fields
        (12.0, 14.0, ("in 30/10 it gets 40 %", "in 24/2 it gets 58 %"), ("falls", "in the field", "because")),
        (24.0, 14.0, ("in 30/10 it gets 80 %", "the dose falls to 58 %"), ("in the field", "because")),
        (0.0, 1.0, ("in 30/10 it gets 0 %",), ("in the field", "because")),
    ],
)
def test_where_the_cord_lies_is_said_as_its_doses_have_it(
    usual_gy: float, steep_gy: float, said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    results = (
        cord_of(plan(USUAL, "renal", flat_dose(30.0, 10)), usual_gy),
        cord_of(plan(STEEP, "renal", bent_dose(0.9, 2)), steep_gy),
    )
    c = replace(patient("renal").comparison, results=results)
    assert verdict(c) is Verdict.RADIOSURGERY
    assert all(words in lesson(c) for words in said), lesson(c)
    assert not any(words in lesson(c) for words in unsaid), lesson(c)


def test_a_resistant_tumor_gets_radiosurgery_and_myeloma_does_not() -> None:
    assert verdict(patient("renal").comparison) is Verdict.RADIOSURGERY
    assert "not enough" in headline(patient("renal").comparison)
    assert verdict(patient("myeloma").comparison) is Verdict.CONVENTIONAL_IS_ENOUGH
    assert "is enough" in headline(patient("myeloma").comparison)


def test_the_paragraph_says_what_the_cord_pays_as_the_numbers_have_it() -> None:
    usual = plan(USUAL, "renal", flat_dose(30.0, 10))
    kind = histology("renal")
    for dose, words in ((bent_dose(0.9, 2), "less"), (flat_dose(16.9, 2), "more")):
        steep = plan(STEEP, "renal", dose)
        found = PatientComparison(name="x", description="", histology=kind, results=(usual.result, steep.result))
        assert usual.result.cord is not None
        assert steep.result.cord is not None
        is_more = steep.result.cord.eqd2_gy > usual.result.cord.eqd2_gy
        assert (words == "more") is is_more
        share = 100.0 * abs(steep.result.cord.eqd2_gy / usual.result.cord.eqd2_gy - 1.0)
        assert f"{share:.0f} % {words}" in lesson(found)


def broken() -> ComparedPlan:
    """24 Gy in 2 to the cord."""
    return plan(STEEP, "renal", flat_dose(24.0, 2))


def test_a_broken_limit_is_not_hidden() -> None:
    usual = plan(USUAL, "renal", flat_dose(30.0, 10))
    found = patient("renal", usual, broken())
    c = found.comparison
    assert not c.hard_limits_held
    assert best(c.results) is c.results[0], "what breaks its limits is not the best"
    assert c.results[1].held == "NOT HELD"
    assert "NOT ALLOWED AS IT IS: 24/2. HARD LIMIT VIOLATED" in lesson(c)
    assert comparison_text(c).startswith("!!!")
    assert "HARD LIMIT NOT HELD" in comparison_html([found], compare_pictures([found]))


def test_a_scheme_without_a_plan_is_named() -> None:
    none = NotPlanned(scheme=STEEP, reason="the limits leave no plan. Raise them", limits_fail=True)
    usual = plan(USUAL, "renal", flat_dose(30.0, 10))
    c = replace(patient("renal", usual).comparison, not_planned=(none,))
    assert "No plan for 24/2: the limits leave no plan." in lesson(c)
    assert verdict(c) is Verdict.NOT_HELD
    assert headline(c) == "No stereotactic plan holds its hard limits; 30/10 controls 52 %"
    assert verdict(replace(c, not_planned=(replace(none, limits_fail=False),))) is Verdict.UNKNOWN
    with pytest.raises(InputError, match="toy: no plan to compare: the limits leave no plan"):
        replace(c, results=())


def test_without_a_histology_nothing_is_said_of_control() -> None:
    c = patient(None).comparison
    assert c.alpha_beta_gy == 10.0
    assert verdict(c) is Verdict.UNKNOWN
    assert "control" not in "".join(line.title for line in comparison_lines(c))
    assert "histology is not given" in lesson(c)


def test_text_and_page_show_the_same_rows_with_sources_and_standing() -> None:
    found = patient()
    c, pictures = found.comparison, compare_pictures([found])
    text, page = comparison_text(c), comparison_html([found], pictures, version="1.2.3")
    flowing = " ".join(text.split())
    for line in comparison_lines(c):
        assert len(line.cells) == 2
        assert all(cell in text for cell in line.cells)
    for source in c.sources:
        assert source.standing.label in page
        assert " ".join(str(source).split()) in flowing
    assert len(c.sources) == len(set(c.sources)) >= 8
    assert "a &lt;toy&gt;" in page
    assert "Not a medical device" in page
    assert "1.2.3" in page
    sources = re.findall(r"(?:src|href)='([^']{0,40})", page)
    assert sources
    assert all(s.startswith("data:image/png;base64,") for s in sources), "everything is in the one file"
    assert len(sources) == len(pictures.all) == 3


def test_what_the_bone_pays() -> None:
    """Sahgal 2013: 39 % fractured at 24 Gy or more per fraction, 10 % at 19 Gy or less; conventional: not said."""
    once = Scheme(dose_gy=24.0, fractions=1, technique=Technique.STEREOTACTIC, protocol="spine_sbrt_1fx")
    plans = (
        plan(USUAL, "renal", flat_dose(30.0, 10)),
        plan(STEEP, "renal", bent_dose(0.9, 2)),
        plan(once, "renal", bent_dose(1.0, 1)),
    )
    c = patient("renal", *plans).comparison
    (row,) = (line for line in comparison_lines(c) if line.title == "fractured, in a series")
    assert row.cells == ("-", "10 %", "39 %")
    assert "39 % fractured, of those treated as 24/2 10 %" in lesson(c)
    assert any("Sahgal et al. 2013" in s.citation for s in c.sources)


def test_the_weakest_course_that_is_enough_is_named() -> None:
    """Myeloma: 20 Gy in 5 controls 85.4 % by its tier (D50 15 Gy, k 4, alpha/beta 10)."""
    five = Scheme(dose_gy=20.0, fractions=5, technique=Technique.CONVENTIONAL, protocol="spine_conventional_5fx")
    plans = (
        plan(five, "myeloma", flat_dose(20.0, 5)),
        plan(USUAL, "myeloma", flat_dose(30.0, 10)),
        plan(STEEP, "myeloma", bent_dose(0.9, 2)),
    )
    control = 1.0 / (1.0 + (15.0 / (20.0 * 14.0 / 12.0)) ** 4)
    assert f"20/5 controls {100 * control:.0f} % already" in lesson(patient("myeloma", *plans).comparison)


def test_a_dose_that_does_not_reach_the_tumor_is_said() -> None:
    """24 Gy in 2 is enough for a renal metastasis; 15 Gy of it in the tumor are not."""
    weak = plan(STEEP, "renal", flat_dose(15.0, 2))
    assert weak.result.is_underdosed
    (row,) = (r for r in comparison_lines(patient("renal", weak).comparison) if r.title == "dose for this tumor")
    assert row.cells == ("UNDERDOSED",)
    page = comparison_html([patient("renal", weak)])
    assert "<td class=warn>UNDERDOSED" in page
    assert "TOO WEAK as planned" in page


def test_values_outside_the_fit_are_marked() -> None:
    row = next(line for line in comparison_lines(patient().comparison) if line.title == "control, log-logistic")
    assert row.cells[0].endswith("%*")
    assert row.cells[1].endswith("%")


@cache
def with_metal() -> Phantom:
    return spine().overriding(DensityOverride(structure="PTV", density_g_cm3=4.43))


def test_the_beams_of_a_twin_show_what_matter_alone_does() -> None:
    """A field from the front through the target onto the cord: metal in the target takes from the cord behind it."""
    beam = Beam.open_field(
        load_machine("generic_6x"), (60.0, 40.0), gantry_deg=0.0, monitor_units=300.0, isocenter_mm=(0.0, 0.0, 0.0)
    )
    dose = CollapsedCone(spacing_mm=6.0).forward(spine(), [beam], fractions=10)
    plain = replace(plan(USUAL, "renal", dose), beams=(beam,))
    first = patient("renal", plain, name="one")
    metal = patient("renal", replace(plain, phantom=with_metal()), name="metal")
    assert are_of_one_matter(first, patient("renal", plain))
    for second, words in ((metal, "less"), (patient("renal", plain, name="same"), "the same")):
        (found,) = differences(first.comparison, with_beams_of(first, second).comparison)
        assert found.cord_same_beams_gy is not None
        assert found.gtv_d95_same_beams_gy is not None
        if words == "the same":
            assert found.cord_same_beams_gy == pytest.approx(0.0, abs=1e-4)
            assert found.gtv_d95_same_beams_gy == pytest.approx(0.0, abs=1e-4)
        else:
            assert found.first.cord is not None
            assert -0.6 < found.cord_same_beams_gy / found.first.cord.near_max_gy < -0.05
    given = with_beams_of(first, metal)
    assert given.plans[0].twin_dose is not None
    assert "same beams: cord D0.035cc" in difference_text(
        first.comparison, given.comparison, differences(first.comparison, given.comparison)
    )
    said = difference_lesson(differences(first.comparison, given.comparison))
    assert said.startswith("30/10: the same beams change the cord by -")
    assert said.endswith("planned anew, by less than 0.05 Gy and less than 0.05 Gy.")
    rows = [axes.get_ylabel() for axes in difference_figure(first, given).axes if axes.get_ylabel()]
    assert rows == ["the same beams,\naxial", "the same beams,\nsagittal", "own plan,\naxial"]


def test_differences_of_twins() -> None:
    """Three percent more dose everywhere."""
    first = patient("renal", plan(USUAL, "renal", flat_dose(30.0, 10)), name="one")
    other = replace(plan(USUAL, "renal", flat_dose(30.9, 10)), phantom=with_metal())
    second = patient("renal", other, name="two")
    (found,) = differences(first.comparison, second.comparison)
    assert found.gtv_d95_gy == pytest.approx(0.9, abs=0.03)
    assert found.cord_gy == pytest.approx(0.9, abs=0.03)
    assert found.tcp_points is not None
    assert found.tcp_points > 1.0
    text = difference_text(first.comparison, second.comparison, [found])
    assert "two minus one" in text
    assert "+0.90 Gy" in text
    assert are_twins(first, second)
    assert not are_of_one_matter(first, second)
    a, b = first.plans[0], second.plans[0]
    window = window_of(spine().grid, Plane.AXIAL, (0.0, 0.0, 0.0), 40.0)
    assert difference_percent(a, b.dose, window) == pytest.approx(3.0, abs=1e-4)
    assert difference_figure(first, second) is not None
    pictures = compare_pictures([first, second])
    assert pictures.differences[0] is not None
    page = comparison_html([first, second], pictures)
    assert "two minus one" in page
    for c in (first.comparison, second.comparison):
        assert f"<li><b>{c.name}</b>: {headline(c)}" in page
    assert len(re.findall("<img", page)) == 7


def test_patients_whose_tumors_lie_elsewhere_are_no_twins() -> None:
    ptv = spine()["PTV"]
    x, y, z = ptv.grid.origin_mm
    moved = spine().with_structures(replace(ptv, grid=replace(ptv.grid, origin_mm=(x + 6.0, y, z))))
    first = patient("renal", plan(USUAL, "renal", flat_dose(30.0, 10)))
    second = replace(first, plans=(replace(first.plans[0], phantom=moved),))
    assert not are_twins(first, second)
    assert compare_pictures([first, second]).differences == (None,)


def test_one_color_scale_for_everything() -> None:
    """EQD2 of the pictures by hand, bands that rise, and as many colors as bands."""
    a = plan(STEEP, "renal", bent_dose(0.9, 2))
    assert eqd2_of(np.array([24.0]), a, 2.0) == pytest.approx([24.0 * (12.0 + 2.0) / 4.0])
    assert list(EQD2_LEVELS_GY) == sorted(set(EQD2_LEVELS_GY))
    colors = band_colors()
    assert len({tuple(np.round(c, 3)) for c in colors}) == len(EQD2_LEVELS_GY)
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in colors]
    assert light == sorted(light), "more dose is lighter"


def test_each_scheme_is_a_column_and_each_technique_a_hue() -> None:
    found = patient()
    figure = dose_comparison_figure(found)
    heads = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert heads[:2] == ["30 Gy in 10\nconventional", "24 Gy in 2\nstereotactic"]
    blue, orange = (tuple(int(c[n : n + 2], 16) for n in (1, 3, 5)) for c in scheme_colors(found.comparison.results))
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    with pytest.raises(InputError, match="no plan to draw"):
        dose_comparison_figure(replace(found, plans=()))


def test_labels() -> None:
    single = Scheme(dose_gy=24.0, fractions=1, technique=Technique.STEREOTACTIC, protocol="spine_sbrt_1fx")
    assert (single.label, USUAL.label) == ("24x1", "30/10")


def test_what_became_of_the_limits_in_a_few_words() -> None:
    assert plan(USUAL, "renal", flat_dose(30.0, 10)).result.held == "held"
    assert broken().result.held == "NOT HELD"

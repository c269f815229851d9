"""The biology of a report: terminal, HTML and archive say whether the dose is enough, and where models disagree."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from rtsim.biology import BodyState, VertebraFindings, histology
from rtsim.cli.vertebra import vertebra_of
from rtsim.clinic.findings import Alignment, Collapse, Findings, LesionQuality
from rtsim.dose.result import Dose
from rtsim.evaluate import GradeReport, grade
from rtsim.evaluate.earlier_course import BothCourses, EarlierCourse
from rtsim.evaluate.effects import fracture_record
from rtsim.geometry.grid import Grid
from rtsim.io.case import load_case
from rtsim.io.case_phantom import SpineRecipe
from rtsim.phantom.spine import LesionKind
from rtsim.protocol import Prescription
from rtsim.protocol.load import load_protocol
from rtsim.view.report_biology import biology_section
from rtsim.view.report_html import lead
from tests.unit.test_grade_sentences import ORIGIN_MM, SHAPE, SPACING_MM, phantom


def graded(
    protocol: str,
    dose_gy: float,
    fractions: int,
    tumor: str | None,
    vertebra: VertebraFindings | None = None,
    given_gy: float | None = None,
) -> GradeReport:
    """The same dose everywhere: ``given_gy``, else the prescription."""
    everywhere = np.full(SHAPE, given_gy or dose_gy, dtype=np.float32)
    made = Dose(values_gy=everywhere, grid=Grid(SHAPE, SPACING_MM, ORIGIN_MM), fractions=fractions)
    rx = Prescription("PTV", dose_gy, fractions)
    cells = None if tumor is None else histology(tumor)
    return grade(made, phantom(), rx, load_protocol(protocol), histology=cells, vertebra=vertebra)


def words(report: GradeReport) -> str:
    return " ".join(str(report).split())


def test_a_plan_that_is_too_weak_is_said_to_be_so() -> None:
    report = graded("spine_conventional_10fx", 30.0, 10, "renal")
    assert report.tumor is not None
    assert report.tumor.is_too_weak
    head = words(report).split("dose:")[0]
    assert "Prescription TOO WEAK for Renal cell cancer: EQD2 33.8 Gy; at least 44.0 Gy (16 Gy in 1)" in head
    assert "TOO WEAK for its class: Renal cell cancer (NOMS: resistant)" in words(report)
    assert "52 % (extrapolated) [least dose: assumption of rtsim; model: literature, unverified here]" in words(report)
    page = biology_section(report)
    assert "The dose is TOO WEAK for the tumor" in page
    assert "class='limits bad'" in page
    assert "moderately sensitive" in page
    assert "AO Foundation" in page
    assert page.count("[literature, unverified here]") >= 2


def test_relief_and_control_are_told_apart() -> None:
    relief = graded("spine_conventional_1fx", 8.0, 1, "renal")
    assert relief.tumor is not None
    assert not relief.tumor.is_too_weak
    assert "Palliative by intent: Renal cell cancer" in words(relief)
    assert "TOO WEAK" not in words(relief)
    assert "it does not control the tumor for long" in biology_section(relief)
    myeloma = graded("spine_conventional_10fx", 30.0, 10, "myeloma")
    assert "Adequate: Multiple myeloma (NOMS: sensitive)" in words(myeloma)
    assert "limits good" in biology_section(myeloma)


def test_what_the_tumor_gets_counts_too() -> None:
    report = graded("spine_sbrt_2fx", 24.0, 2, "renal", given_gy=13.5)
    assert report.tumor is not None
    assert report.tumor.adequacy.is_enough
    assert report.tumor.is_too_weak
    assert "TOO WEAK as planned: D95% of PTV is 13.50 Gy in 2" in words(report)
    assert report.tumor.headline.startswith("D95% of PTV TOO WEAK")
    assert "what the tumor gets is TOO WEAK" in biology_section(report)


def test_a_dose_counts_as_given_at_95_percent() -> None:
    for given_gy, is_weak in ((28.6, False), (28.4, True)):  # 95 % of 30 Gy, the least for breast, is 28.5 Gy
        tumor = graded("spine_conventional_10fx", 30.0, 10, "breast", given_gy=given_gy).tumor
        assert tumor is not None
        assert tumor.is_too_weak is is_weak
        assert tumor.is_underdosed is is_weak
    missed = graded("spine_sbrt_2fx", 24.0, 2, "renal").tumor
    assert missed is not None
    nothing = replace(missed, reached=None)
    assert nothing.is_too_weak
    assert "get no dose" in nothing.headline
    assert "get no dose" in " ".join(nothing.verdict_sentences)


def test_disagreement_of_the_cord_models_reaches_the_report() -> None:
    report = graded("spine_sbrt_1fx", 24.0, 1, None, given_gy=14.0)
    assert report.cord is not None
    assert report.cord.near_max_gy == pytest.approx(14.0, abs=0.02)
    assert "The models of myelopathy disagree at 14 Gy per fraction" in words(report)
    assert "go by the limit" in biology_section(report)
    assert "1.7 % (logistic), at most 18 % (LKB, upper estimate)" in words(report)
    assert "97 % (logistic), 93 % (LKB)" in words(graded("spine_sbrt_2fx", 24.0, 2, None))
    quiet = graded("spine_conventional_10fx", 30.0, 10, None)
    assert "disagree" not in words(quiet)
    assert "disagree" not in biology_section(quiet)


def test_after_an_earlier_course_the_risk_is_that_of_both() -> None:
    """8 Gy in 1 after 40 in 20: this course alone is harmless, 67.7 Gy are 39 % (D50 69.4 Gy, k 18.8)."""
    report = graded("spine_conventional_1fx", 8.0, 1, None)
    assert report.cord is not None
    assert "both courses" not in words(report)
    cord = BothCourses(structure=report.cord.structure, previous_eqd2_gy=40.0, accumulated_eqd2_gy=67.7)
    assert cord.risk_logistic == pytest.approx(1.0 / (1.0 + (69.4 / 67.7) ** 18.8), rel=1e-6)
    earlier = EarlierCourse(previous="40 Gy in 20, 2 months ago", sums=(cord,), conditions="", headline="")
    again = replace(report, cord=replace(report.cord, earlier=earlier))
    page = biology_section(again)
    for text in (words(again), page):
        assert "39 % (logistic) of the accumulated EQD2 67.7 Gy, 40.0 Gy of it from the earlier course" in text
        assert "40 Gy in 20, 2 months ago" in text
    assert "Risk of myelopathy, this course alone < 0.01 % (logistic)" in words(again)
    assert "<th>risk of myelopathy, this course alone<td>&lt; 0.01 %" in page
    assert again.cord is not None
    record = json.loads(json.dumps(again.cord.record))
    assert record["earlier"]["risk_logistic"] == pytest.approx(0.385, abs=2e-3)
    least = replace(cord, is_lower_bound=True)
    assert (least.eqd2_text, least.risk_text) == (">= 67.7 Gy", ">= 39 %")
    unknown = replace(again.cord, earlier=replace(earlier, sums=()))
    assert unknown.risk_rows[0][1].startswith("not known: ")


def test_fracture_is_spoken_of_in_stereotactic_plans_of_bone() -> None:
    known = VertebraFindings(lytic=True, deformity=False, body=BodyState.SOUND)
    report = graded("spine_sbrt_1fx", 24.0, 1, "renal", known)
    text = words(report)
    assert "24 Gy or more per fraction (hazard ratio 5.25, 2.29-12.01); not fractured" in text
    assert "lytic tumor (hazard ratio 3.53" in text
    assert "Not known" not in text
    assert "PTV V15Gy is" in text
    assert "vertebral fractures are frequent" in text
    assert "retrospective, 57 events" in biology_section(report)
    assert "Not known, and each several times the hazard" in words(graded("spine_sbrt_2fx", 24.0, 2, None))
    assert graded("spine_sbrt_1fx", 16.0, 1, "meningioma").fracture is None
    assert graded("spine_conventional_5fx", 20.0, 5, "breast").fracture is None


def test_the_archive_holds_plain_values() -> None:
    report = graded("spine_sbrt_1fx", 24.0, 1, "melanoma")
    assert report.tumor is not None
    assert report.cord is not None
    assert report.fracture is not None
    record = json.loads(json.dumps([report.tumor.record, report.cord.record, fracture_record(report.fracture)]))
    assert record[0]["adequacy"]["verdict"] == "adequate"
    assert record[0]["stated_class"] == "particularly resistant"
    assert len(record[1]["models"]) == 3
    assert record[2]["band_percent"] == 39.0


def test_benign_and_untreated_tumors() -> None:
    weak = graded("spine_conventional_20fx", 40.0, 20, "schwannoma")
    assert "TOO WEAK for Schwannoma" in words(weak)
    assert "Control at 2 years" not in words(weak)
    none = graded("spine_conventional_10fx", 30.0, 10, "osteoid_osteoma")
    assert "NO PLACE FOR RADIOTHERAPY in Osteoid osteoma" in words(none)
    assert "Radiotherapy has no place" in biology_section(none)


def test_what_is_known_of_a_vertebra() -> None:
    """Nothing of a CT without vertebrae; the phantom's recipe; what a person said goes before it."""
    case, bare = replace(load_case("spine_t8_epidural"), findings=Findings()), phantom()
    assert isinstance(case.recipe, SpineRecipe)
    assert vertebra_of(None, bare) == VertebraFindings()
    assert vertebra_of(case, bare) == VertebraFindings(lytic=True, deformity=None, body=None)
    fallen = replace(case.recipe, spec=replace(case.recipe.spec, collapse_percent=30.0, lesion=LesionKind.SCLEROTIC))
    found = vertebra_of(replace(case, recipe=fallen), bare)
    assert found == VertebraFindings(lytic=False, deformity=None, body=BodyState.COLLAPSED_LESS)
    said = Findings(lesion=LesionQuality.MIXED, alignment=Alignment.DEFORMITY, collapse=Collapse.NONE)
    found = vertebra_of(replace(case, findings=said), bare)
    assert found == VertebraFindings(lytic=False, deformity=True, body=BodyState.SOUND)


@pytest.mark.parametrize(
    ("name", "body"),
    [("spine_t8_epidural", BodyState.SOUND), ("spine_l4_thyroid_cement", BodyState.COLLAPSED_LESS)],
)
def test_a_vertebra_of_which_nobody_said_anything_is_looked_at(name: str, body: BodyState) -> None:
    assert vertebra_of(None, load_case(name).phantom) == VertebraFindings(lytic=True, deformity=None, body=body)


def test_the_lead_says_when_the_report_is_about_another_scheme_than_the_case() -> None:
    case = "Renal cell metastasis of the body of T8 (ESCC 1b): 24 Gy in 2"
    assert lead(case, Prescription("PTV", 24.0, 2)) == case
    assert lead(case, Prescription("CTV", 8.0, 1)).endswith(
        "24 Gy in 2. (So the case; this report is about 8 Gy in 1 fraction to CTV.)"
    )
    assert "So the case" in lead(case.replace("24 Gy in 2", "24 Gy in 25"), Prescription("PTV", 24.0, 2))
    assert lead("A patient", Prescription("PTV", 24.0, 2)) == "A patient"

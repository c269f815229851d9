"""``rtsim run --previous``: what is refused, what becomes the hard limit, and what the outputs say of both courses."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import rtsim as rt
from rtsim.beams.model import Beam
from rtsim.cli.console import ExitCode
from rtsim.cli.main import main, parser
from rtsim.cli.reirradiation_record import record_of_reirradiation
from rtsim.cli.request import Request, check_arguments, request_of
from rtsim.clinic.reirradiation import PreviousCourse, RigidShift, assess
from rtsim.dose.accumulate import accumulate
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.io.case import load_case
from rtsim.io.dicom_write import write_dicom
from rtsim.io.previous_dose import read_previous
from rtsim.machine import load_machine
from rtsim.optimize import Plan, Planned
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import Prescription
from rtsim.view import report_pictures
from rtsim.view.reirradiation_html import reirradiation_section

CASE = """
[case]
name = "toy_spine"
description = "A rod in water"
sources = ["made for this test"]
[grid]
lower_mm = [-50.0, -50.0, -30.0]
upper_mm = [50.0, 50.0, 30.0]
spacing_mm = [5.0, 5.0, 5.0]
[[structures]]
name = "BODY"
role = "EXTERNAL"
material = "water"
shape = { kind = "box", lower_mm = [-48.0, -48.0, -30.0], upper_mm = [48.0, 48.0, 30.0] }
[[structures]]
name = "CTV"
role = "CTV"
shape = { kind = "box", lower_mm = [-20.0, -30.0, -15.0], upper_mm = [20.0, -10.0, 15.0] }
[[structures]]
name = "spinal_cord"
role = "OAR"
shape = { kind = "box", lower_mm = [-5.0, 0.0, -25.0], upper_mm = [5.0, 10.0, 25.0] }
[protocol]
name = "spine_sbrt_2fx"
[prescription]
target = "CTV"
dose_gy = 24.0
fractions = 2
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("case") / "toy_spine.toml"
    file.write_text(CASE)
    return file


@pytest.fixture(scope="module")
def phantom(case: Path) -> Phantom:
    return load_case(str(case)).build()


def given(case: Path, *options: str) -> Request:
    arguments = parser().parse_args(["run", str(case), "-o", "unused", *options])
    check_arguments(arguments)
    return request_of(arguments, None)


def even(phantom: Phantom, gy: float, fractions: int) -> Dose:
    """The same dose everywhere."""
    return Dose(values_gy=np.full(phantom.grid.shape, gy, np.float32), grid=phantom.grid, fractions=fractions)


def plan_of(phantom: Phantom, gy: float, fractions: int, target: str = "CTV") -> Plan:
    beam = Beam.open_field(load_machine("generic_6x"), (60.0, 40.0), monitor_units=100.0)
    return Plan(beams=(beam,), prescription=Prescription(target, gy, fractions))


@pytest.fixture(scope="module")
def old(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 Gy in 10, as DICOM."""
    folder = tmp_path_factory.mktemp("old")
    write_dicom(folder, phantom, plan_of(phantom, 30.0, 10), even(phantom, 30.0, 10))
    return folder


def dose_file(folder: Path) -> Path:
    return folder / "RTDOSE.dcm"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--previous", "30/10", "--months-ago", "-2"), "--months-ago is -2"),
        (("--previous", "30/"), "neither a scheme"),
        (("--previous", "30/0"), "is no scheme"),
        (("--previous", "nowhere.dcm"), "nor a file or folder"),
        (("--previous", "30/10", "--shift", "1,2,3"), "--shift is about an RTDOSE"),
        (("--previous", "30/10", "--previous-fractions", "10"), "--previous-fractions is about an RTDOSE"),
        (("--months-ago", "8"), "add --previous"),
        (("--previous-percent", "50"), "add --previous"),
        (("--shift", "1,2,3"), "add --previous"),
        (("--previous", "30/10", "--months-ago", "8", "--previous-percent", "0"), "0 to 150 %"),
        (("--previous", "30/10"), "needs --months-ago M.*not known, give --months-ago 0"),
        (("--previous", "30x10", "--months-ago", "8"), "did you mean 30/10"),
        (("--cord-limits", "remaining_budget"), "add --previous 30/10"),
        (("--previous", "70/35", "--months-ago", "24"), "budget is used up"),
        (("--fractions", "6"), "add --dose"),
        (("--fractions", "60", "--dose", "60"), "has 1 to 10"),
    ],
)
def test_what_cannot_be_is_refused(case: Path, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        given(case, *options)


def test_a_scheme_becomes_the_hard_limit(case: Path) -> None:
    request = given(case, "--previous", "30/10", "--months-ago", "8")
    assert request.previous is not None
    held = {g.structure: g.value for g in request.protocol.cord_limit}
    assert held == dict.fromkeys(("spinal_cord", "spinal_cord_prv", "thecal_sac"), 12.28)
    half = given(case, "--previous", "30/10", "--months-ago", "8", "--previous-percent", "50")
    assert {g.value for g in half.protocol.cord_limit} == {13.99}  # as one: 44.6 - 13.1 = 31.5 Gy EQD2


def test_the_choice_of_what_is_held(case: Path) -> None:
    request = given(case, "--previous", "30/10", "--months-ago", "8", "--cord-limits", "remaining_budget_prv")
    assert {g.structure for g in request.protocol.cord_limit} == {"spinal_cord", "spinal_cord_prv"}
    other = given(
        case, "--previous", "30/10", "--months-ago", "8", "--protocol", "spine_sbrt_1fx", "--cord-limits", "tg101"
    )
    assert "spinal_cord D1.2cc <= 7 Gy" in {str(g) for g in other.protocol.cord_limit}


def test_another_number_of_fractions(case: Path) -> None:
    request = given(case, "--fractions", "8", "--dose", "32")
    assert (request.prescription.dose_gy, request.prescription.fractions) == (32.0, 8)
    assert [g.value for g in request.protocol.cord_limit] == [30.6]
    again = given(case, "--fractions", "3", "--dose", "24", "--previous", "30/10", "--months-ago", "8")
    assert {g.value for g in again.protocol.cord_limit} == {14.57}


def test_a_case_says_its_previous_course(tmp_path: Path) -> None:
    file = tmp_path / "again.toml"
    file.write_text(f"{CASE}\n[previous]\ndose_gy = 20.0\nfractions = 5\nmonths_ago = 14.0\n")
    request = given(file)
    assert request.previous is not None
    assert request.previous.dose_gy == 20.0
    assert {g.value for g in request.protocol.cord_limit} == {12.28}
    assert given(file, "--previous", "none").previous is None
    later = given(file, "--months-ago", "3")
    assert later.previous is not None
    assert later.previous.months_ago == 3.0


def test_a_dose_of_the_same_case_becomes_the_hard_limit(case: Path, old: Path) -> None:
    """Its RTPLAN says in how many fractions it was given; 30/10 everywhere left 12.28 Gy in 2."""
    for where in (old, dose_file(old)):
        request = given(case, "--previous", str(where), "--months-ago", "8")
        assert request.previous is not None
        assert request.previous.fractions == 10
        assert {g.value for g in request.protocol.cord_limit} == {12.28}
        assert any("same coordinates are taken for granted" in n for n in request.previous.notes)


def test_a_dose_alone_does_not_say_its_fractions(phantom: Phantom, tmp_path: Path) -> None:
    write_dicom(tmp_path, phantom, plan_of(phantom, 30.0, 10), even(phantom, 30.0, 10))
    (tmp_path / "RTPLAN.dcm").unlink()
    with pytest.raises(InputError, match=r"in how many fractions .* is not known.*--previous-fractions"):
        read_previous(tmp_path, phantom)
    assert read_previous(tmp_path, phantom, fractions=10).given_to(phantom["spinal_cord"]).eqd2_gy == pytest.approx(
        37.5, rel=1e-4
    )


def test_another_frame_of_reference_needs_a_shift(case: Path, phantom: Phantom, tmp_path: Path) -> None:
    other = replace(phantom, ct=replace(phantom.ct, frame_of_reference_uid="1.2.3", patient_id="someone"))
    write_dicom(tmp_path, other, plan_of(other, 30.0, 10), even(other, 30.0, 10))
    with pytest.raises(InputError, match=r"frame of reference 1\.2\.3.*--shift 0,0,0"):
        given(case, "--previous", str(tmp_path), "--months-ago", "8")
    request = given(case, "--previous", str(tmp_path), "--shift=-2.5,0,2", "--months-ago", "8")
    assert request.previous is not None
    assert request.previous.shift.shift_mm == (-2.5, 0.0, 2.0)
    assert any("registered by the user" in n for n in request.previous.notes)
    same = read_previous(tmp_path, other)
    assert same.notes == ()
    with pytest.raises(InputError, match="three numbers of mm"):
        given(case, "--previous", str(tmp_path), "--shift", "1,2")
    with pytest.raises(InputError, match="needs --months-ago"):
        given(case, "--previous", str(tmp_path), "--shift", "0,0,0")


@pytest.mark.parametrize(("factor", "code", "kind"), [(1.0, 0, "good"), (1.5, 3, "bad")])
def test_both_courses_are_printed_and_written(
    case: Path,
    old: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    factor: float,
    code: int,
    kind: str,
) -> None:
    """12 Gy in 2 on the cord, EQD2 24, after 37.5: all conditions met. 18 Gy, EQD2 49.5: none but the interval."""

    def planned(request: Request, _: object) -> Planned:
        dose = even(request.phantom, 12.0 * factor, 2)
        plan = plan_of(request.phantom, 24.0, 2, request.prescription.target)
        return Planned(plan=replace(plan, prescription=request.prescription), dose=dose, phantom=request.phantom)

    monkeypatch.setattr("rtsim.cli.run.plan_of", planned)
    monkeypatch.setattr("rtsim.cli.outputs.report_pictures", partial(report_pictures, has_scene=False))
    output = tmp_path / "out"
    argv = ["run", str(case), "--previous", str(old), "--months-ago", "8", "-o", str(output), "--quiet"]
    assert main(argv) == ExitCode(code)
    said = " ".join(capsys.readouterr().out.split())
    found = json.loads((output / "result.json").read_text())["metrics"]["reirradiation"]
    (cord,) = [r for r in found["structures"] if r["key"] == "spinal_cord"]
    now = 12.0 * factor * (6.0 * factor + 2.0) / 4.0
    assert cord["previous_eqd2_gy"] == pytest.approx(37.5, rel=1e-4)
    assert cord["this_eqd2_gy"] == pytest.approx(now, rel=1e-4)
    assert cord["accumulated_eqd2_gy"] == pytest.approx(37.5 + now, rel=1e-3)
    verdicts = [c["verdict"] for c in found["conditions"]]
    assert verdicts == (["met"] * 4 if code == 0 else ["NOT MET"] * 3 + ["met"])
    assert all(c["standing"] == "verified" for c in found["conditions"])
    assert found["budget"]["dose_gy"] == 12.28
    assert len(found["budget_by_fractions"]) == 30
    assert found["is_held"] is (code == 0)
    assert found["not_known"] == []
    assert ("4 of 4 conditions met" in said) is (code == 0)
    html = (output / "report.html").read_text()
    assert f"<section class='limits {kind}'><h2>Re-irradiation</h2>" in html
    assert "accumulated voxel by voxel" in html


def test_a_script_finds_it_where_it_looks() -> None:
    assert rt.io.read_previous is read_previous
    assert rt.dose.accumulate is accumulate
    assert rt.clinic.reirradiation.PreviousCourse is PreviousCourse


def test_a_shifted_dose_misses_the_cord_by_what_is_said(phantom: Phantom) -> None:
    """An old dose of z = -30 to 0 that is shifted up by 10 mm reaches the cord from -20 to 10 only: 15 and 5 of
    50 mm are beyond."""
    grid = Grid((6, 20, 20), (5.0, 5.0, 5.0), (-47.5, -47.5, -27.5))
    dose = Dose(values_gy=np.full(grid.shape, 30.0, np.float32), grid=grid, fractions=10)
    course = PreviousCourse(fractions=10, dose=dose, shift=RigidShift(shift_mm=(0.0, 0.0, 10.0)))
    cord = phantom["spinal_cord"]
    assert course.given_to(cord).unreached_cm3 == pytest.approx(20.0 / 50.0 * cord.volume_cm3, rel=0.01)
    course = replace(course, months_ago=8.0)
    found = assess(even(phantom, 8.0, 2), phantom, course)
    record = record_of_reirradiation(found)
    assert (record["is_held"], record["budget"]) == (None, None)
    assert record["not_known"] == ["cumulative EQD2", "share of this course"]
    html = reirradiation_section(found)
    assert "<section class='limits open'>" in html
    assert "budget is not known" in html
    again = assess(even(phantom, 2.0, 2), phantom, PreviousCourse.scheme("30/10"))
    assert record_of_reirradiation(again)["is_held"] is None
    assert record_of_reirradiation(again)["not_known"] == ["interval"]

"""``rtsim compare``: which schemes, which phantom for which technique, exit codes, and that nothing half is left."""

from __future__ import annotations

import json
import os
import signal
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rtsim.beams.model import Beam
from rtsim.cli.compare_request import Patient, check_cord_limits, technique_of
from rtsim.cli.compare_schemes import GROUPS, bundled_schemes, schemes_of
from rtsim.cli.console import ExitCode
from rtsim.cli.main import main
from rtsim.cli.request import Request
from rtsim.dose import Dose
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.io.case import load_case
from rtsim.optimize import FieldArrangement, Plan, Planned
from rtsim.protocol import Technique
from rtsim.typing import Progress

CASE = """
[case]
name = "{name}"
description = "a body in front of a cord"
histology = "{histology}"
sources = ["made for this test"]

[grid]
lower_mm = [-60.0, -60.0, -40.0]
upper_mm = [60.0, 60.0, 40.0]
spacing_mm = [4.0, 4.0, 4.0]

[[structures]]
name = "BODY"
role = "EXTERNAL"
material = "water"
shape = {{ kind = "cylinder", center_mm = [0.0, 0.0, 0.0], radius_mm = 55.0, length_mm = 76.0 }}

[[structures]]
name = "GTV"
role = "GTV"
shape = {{ kind = "sphere", center_mm = [0.0, -10.0, 0.0], radius_mm = 14.0 }}

[[structures]]
name = "spinal_cord"
shape = {{ kind = "cylinder", center_mm = [0.0, 24.0, 0.0], radius_mm = 6.0, length_mm = 76.0 }}

[prescription]
target = "GTV"
dose_gy = 24.0
fractions = 2

[protocol]
name = "spine_sbrt_2fx"
"""
SPINE = """
[case]
name = "coarse"
description = "T8"
histology = "renal"
sources = ["made for this test"]

[spine]
level = "T8"
lesion = "lytic"
site = "body"
epidural = "1b"
spacing_mm = [5.0, 5.0, 5.0]
half_length_mm = 50.0

[prescription]
target = "PTV"
dose_gy = 24.0
fractions = 2

[protocol]
name = "spine_sbrt_2fx"

[beams]
machine = "generic_6fff"
technique = "stereotactic"
gantry_deg = [100.0, 140.0, 180.0, 220.0, 260.0]
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(CASE.format(name="toy", histology="renal"))
    return path


def planned(request: Request, _: Progress | None, cord: float = 0.6, from_mm: float = 14.0) -> Planned:
    """A plan that is there at once: the prescription everywhere, ``cord`` of it from the cord on backwards."""
    grid, rx = request.phantom.grid, request.prescription
    share = np.where(grid.y_mm > from_mm, cord, 1.02)[None, :, None]
    dose = Dose(
        values_gy=np.broadcast_to(rx.dose_gy * share, grid.shape), grid=grid, fractions=rx.fractions, engine="toy"
    )
    beam = Beam.open_field(request.machine, (40.0, 40.0), monitor_units=200.0)
    return Planned(plan=Plan(beams=(beam,), prescription=rx), dose=dose, phantom=request.phantom)


def use(monkeypatch: pytest.MonkeyPatch, plan_of: Callable[..., Planned]) -> None:
    monkeypatch.setattr("rtsim.cli.compare.plan_of", plan_of)


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("conventional,stereotactic", ["8x1", "20/5", "30/10", "24/2", "24x1"]),
        ("8x1, 4x5 ,3x10", ["8x1", "20/5", "30/10"]),
        ("24/2,12x2,stereotactic", ["24/2", "24x1"]),
        ("24/1,24x1", ["24x1"]),
        ("spine_sbrt_5fx:30,30/10", ["30/5", "30/10"]),
        ("37.5/15", ["37.5/15"]),
    ],
)
def test_schemes_in_words(text: str, labels: list[str]) -> None:
    assert [s.label for s in schemes_of(text)] == labels


def test_every_group_and_every_bundled_scheme_is_found() -> None:
    for group in GROUPS:
        assert all(s.technique.value == group for s in schemes_of(group))
    for scheme in bundled_schemes():
        assert schemes_of(f"{scheme.protocol}:{scheme.dose_gy:g}") == (scheme,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("25/5", r"no bundled protocol holds 25 Gy in 5.*nearest is .*5.*Offered are 8x1, 20/5"),
        ("stereotaktic", "did you mean 'stereotactic'"),
        ("30:10", "no bundled protocol '30'"),
        ("30-10", "is no scheme; .*total/fractions"),
        ("30/0", "at least 1 fraction"),
        ("0/5", "more than 0 Gy"),
        ("spine_sbrt_5x:30", "did you mean 'spine_sbrt_5fx'"),
        ("spine_sbrt_5fx:31", "it holds spine_sbrt_5fx:30"),
        (" , ", "names no scheme"),
    ],
)
def test_schemes_that_nobody_holds_are_refused_with_what_is_offered(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        schemes_of(text)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["spine_t8_epidurl"], "did you mean 'spine_t8_epidural'"),
        (["spine_t8_epidural", "--with", "24x1"], "one scheme of one case is 'rtsim run'"),
        (["spine_t8_epidural", "spine_t8_epidural"], "is given twice"),
        (["spine_t8_epidural", "--spacing", "9"], "0.5 to 5 mm"),
        (["spine_t8_epidural", "--seed", "-1"], "a whole number from 0 to 2^58"),
        (["spine_t8_epidural", "--histology", "renall"], "did you mean 'renal'"),
        (["spine_t8_epidural", "--cord-limits", "hytecc"], "They hold: 8x1 (spine_conventional_1fx): quantec"),
        (["spine_t8_epidural", "--with", "24/2,24x1", "--cord-limits", "tg101"], "not held by the protocols of 24/2."),
        (["spine_t8_epidural", "--with", "24x1,24/2", "--cord-limits", "tg101"], "24/2 (spine_sbrt_2fx): hytec"),
        (["spine_t8_epidural", "--cord-limits", "quantec,hytec,tg1o1"], "'tg1o1': none of the protocols holds"),
        (["spine_t8_epidural", "--cord-limits", ","], "not held by the protocols of 8x1"),
        (["spine_t8_epidural", "--with", "24/2,25/5"], "no bundled protocol holds 25 Gy in 5"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object) -> Planned:
        raise AssertionError

    use(monkeypatch, never)
    assert main(["compare", *argv, "-o", str(tmp_path / "out"), "--quiet"]) == ExitCode.BAD_INPUT
    assert words in _error(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_everything(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, planned)
    out = tmp_path / "out"
    argv = ["compare", str(toy), "--with", "30/10,24/2", "-o", str(out), "--quiet"]
    assert main(argv) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "Conventional radiotherapy is not enough: 30/10 controls" in said
    names = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    pictures = {f"pictures/toy_{what}.png" for what in ("balance", "doses", "dvh")}
    assert names == {"comparison.html", "comparison.txt", "comparison.json", *pictures}
    assert main(argv) == ExitCode.OUTPUT_EXISTS
    record = json.loads((out / "comparison.json").read_text())
    (patient,) = record["patients"]
    usual, steep = patient["plans"]
    assert (usual["scheme"], steep["scheme"]) == ("30/10", "24/2")
    assert usual["tumor"]["volume_cm3"] == pytest.approx(steep["tumor"]["volume_cm3"]), "the same GTV"
    assert steep["tumor"]["d95_gy"] == pytest.approx(1.02 * 24.0, rel=1e-3)
    assert steep["cord"]["eqd2_gy"] == pytest.approx(14.4 * (7.2 + 2.0) / 4.0, rel=1e-2)
    assert steep["cord"]["limit"]["margin_gy"] == pytest.approx(17.0 - 14.4, abs=0.05)
    assert usual["adequacy"]["verdict"] == "TOO WEAK for its class"
    assert patient["histology"]["name"] == "renal"


def test_json_is_all_that_is_printed(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, planned)
    argv = ["compare", str(toy), "--with", "8x1,24/2", "-o", str(tmp_path / "out"), "--quiet", "--json"]
    assert main([*argv, "--histology", "myeloma"]) == ExitCode.DONE
    record = json.loads(capsys.readouterr().out)
    assert record["patients"][0]["histology"]["name"] == "myeloma"


def test_twins_stand_beside_each_other(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    text = CASE.format(name="other", histology="myeloma")
    other.write_text(text.replace('material = "water"', 'material = "water"\ndensity_g_cm3 = 1.1'))
    use(monkeypatch, planned)
    argv = ["compare", str(toy), str(other), "--with", "24/2", "-o", str(tmp_path / "out"), "--quiet"]
    assert main(argv) == ExitCode.DONE
    assert (tmp_path / "out/pictures/other_minus_toy.png").exists()
    (difference,) = json.loads((tmp_path / "out/comparison.json").read_text())["differences"]
    assert (difference["first"], difference["second"]) == ("toy", "other")
    (only,) = difference["schemes"]
    assert only["cord_gy"] == pytest.approx(0.0, abs=1e-9)
    assert only["same_beams"]["cord_gy"] < 0.0, "the toy beam gives less than the toy dose"
    assert only["tcp_points"] > 5.0, "the same dose controls more of a sensitive tumor"


def test_a_broken_limit_is_the_exit_status(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, lambda request, progress: planned(request, progress, cord=1.0))
    argv = ["compare", str(toy), "--with", "30/10,24/2", "-o", str(tmp_path / "out"), "--quiet"]
    assert main(argv) == ExitCode.LIMIT_NOT_HELD
    assert "NOT ALLOWED AS IT IS: 24/2" in capsys.readouterr().out
    assert "HARD LIMIT NOT HELD" in (tmp_path / "out/comparison.html").read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InfeasiblePlanError("the limits leave no plan"), ExitCode.LIMIT_NOT_HELD),
        (MachineLimitError("too many monitor units"), ExitCode.NOT_DELIVERABLE),
    ],
)
def test_a_scheme_without_a_plan_does_not_end_the_others(
    error: Exception, code: ExitCode, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(request: Request, progress: Progress | None) -> Planned:
        if request.protocol.technique is Technique.STEREOTACTIC:
            raise error
        return planned(request, progress)

    use(monkeypatch, sometimes)
    argv = ["compare", str(toy), "--with", "30/10,24/2", "-o", str(tmp_path / "out"), "--quiet"]
    assert main(argv) == code
    assert str(error) in (tmp_path / "out/comparison.html").read_text()


def test_ctrl_c_leaves_nothing(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def second(request: Request, progress: Progress | None) -> Planned:
        if request.prescription.fractions == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return planned(request, progress)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        use(monkeypatch, second)
        argv = ["compare", str(toy), "--with", "30/10,24/2", "-o", str(tmp_path / "out"), "--quiet"]
        assert main(argv) == ExitCode.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert "nothing half-written is left" in _error(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["toy.toml"]


def test_each_technique_has_its_own_target_in_the_same_patient(tmp_path: Path) -> None:
    path = tmp_path / "coarse.toml"
    path.write_text(SPINE)
    case = load_case(path)
    assert technique_of(case) is Technique.STEREOTACTIC
    patient = Patient(case=case)
    wanted = Namespace(spacing=None, histology=None, cord_limits=None, seed=7)
    usual, steep = (patient.request(s, wanted, None) for s in schemes_of("30/10,24/2"))
    assert np.array_equal(usual.phantom.ct.hu, steep.phantom.ct.hu)
    for name in ("GTV", "spinal_cord"):
        assert np.array_equal(usual.phantom[name].coverage, steep.phantom[name].coverage)
    cord = usual.phantom["spinal_cord"]
    inside = [float((r.phantom["PTV"].coverage_on(cord.grid) * cord.coverage).sum()) for r in (usual, steep)]
    assert inside[0] > 0.2 * cord.coverage.sum()
    assert inside[1] < 0.01 * cord.coverage.sum(), "voxels that both share in part"
    assert usual.phantom["PTV"].volume_cm3 > 2.0 * steep.phantom["PTV"].volume_cm3
    assert (usual.machine.name, steep.machine.name) == ("generic_6x", "generic_6fff")
    assert (usual.gantry_deg, steep.gantry_deg) == ((), case.beams.gantry_deg)
    assert usual.arrangement is FieldArrangement.PA_AND_OBLIQUES
    assert (usual.seed, steep.spacing_mm) == (7, 2.0)
    assert patient.request(schemes_of("20/5")[0], wanted, None).phantom["GTV"] is usual.phantom["GTV"], "built once"


def test_a_ptv_of_the_other_technique_is_not_taken_for_this_one(toy: Path) -> None:
    """A patient with a PTV of 2 mm drawn for radiosurgery: conventional grows the GTV by its own margin."""
    text = toy.read_text().replace('target = "GTV"', 'target = "PTV_2mm"')
    ptv = '\n[[structures]]\nname = "PTV_2mm"\nrole = "PTV"\nshape = { kind = "sphere", center_mm = [0.0, -10.0, 0.0], '
    toy.write_text(text.replace("\n[prescription]", f"{ptv}radius_mm = 16.0 }}\n\n[prescription]"))
    patient = Patient(case=load_case(toy))
    wanted = Namespace(spacing=None, histology=None, cord_limits=None, seed=1)
    usual, steep = (patient.request(s, wanted, None) for s in schemes_of("30/10,24/2"))
    assert steep.prescription.target == "PTV_2mm"
    grown = usual.phantom[usual.prescription.target]
    assert usual.prescription.target != "PTV_2mm"
    assert grown.volume_cm3 == pytest.approx(4.19e-3 * 24.0**3, rel=0.1), "14 mm and a margin of 10"


def test_cord_limits_are_those_of_the_protocols_that_hold_them(toy: Path) -> None:
    patient = Patient(case=load_case(toy))
    schemes = schemes_of("30/10,24x1")
    check_cord_limits(schemes, "tg101, quantec")
    wanted = Namespace(spacing=None, histology=None, cord_limits="tg101, quantec", seed=1)
    usual, steep = (patient.request(s, wanted, None) for s in schemes)
    assert (usual.protocol.cord_limits_name, steep.protocol.cord_limits_name) == ("quantec", "tg101")


PREVIOUS = """
[previous]
dose_gy = 30.0
fractions = 10
months_ago = 8.0
"""


def test_after_an_earlier_course_every_plan_holds_what_is_left(toy: Path) -> None:
    """As in ``rtsim run``. EQD2 37.5 Gy before: 25 Gy (SBRT) and 32.5 Gy (conventional) are left."""
    wanted = Namespace(spacing=None, histology=None, cord_limits=None, seed=1)
    fresh = [Patient(case=load_case(toy)).request(s, wanted, None) for s in schemes_of("30/10,24/2")]
    toy.write_text(toy.read_text() + PREVIOUS)
    patient = Patient(case=load_case(toy))
    again = [patient.request(s, wanted, None) for s in schemes_of("30/10,24/2")]
    for before, after, left in zip(fresh, again, (32.5, 25.0), strict=True):
        assert after.previous is not None
        limits = [
            min(g.value for g in r.protocol.goals if g.structure == "spinal_cord" and g.metric == "D0.035cc")
            for r in (before, after)
        ]
        n = after.prescription.fractions
        assert limits[1] <= limits[0]
        assert limits[1] * (limits[1] / n + 2.0) / 4.0 <= left + 1e-6
    wanted.cord_limits = "remaining_budget_prv"
    assert patient.request(schemes_of("24/2")[0], wanted, None).protocol.cord_limits_name == "remaining_budget_prv"


def test_after_an_earlier_course_the_comparison_speaks_of_both(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """24/2 with 12 Gy to the cord (EQD2 24) after EQD2 37.5: 61.5 Gy, of which 9 % get myelopathy."""
    use(monkeypatch, lambda request, progress: planned(request, progress, cord=0.5, from_mm=10.0))
    toy.write_text(toy.read_text() + PREVIOUS)
    out = tmp_path / "out"
    argv = ["compare", str(toy), "--with", "30/10,24/2", "-o", str(out), "--quiet"]
    assert main(argv) == ExitCode.DONE
    said = " ".join(capsys.readouterr().out.split())
    assert "After an earlier course: 30 Gy in 10, which the cord got whole, 8 months ago." in said
    (patient,) = json.loads((out / "comparison.json").read_text())["patients"]
    earlier = patient["plans"][1]["cord"]["earlier"]
    assert patient["previous"].startswith("30 Gy in 10")
    assert earlier["accumulated_eqd2_gy"] == pytest.approx(37.5 + 24.0, abs=0.1)
    risk = 1.0 / (1.0 + (69.4 / earlier["accumulated_eqd2_gy"]) ** 18.8)
    assert earlier["risk_logistic"] == pytest.approx(risk, rel=1e-6)
    assert patient["plans"][1]["cord"]["risk_logistic"] < 1e-4
    page = (out / "comparison.html").read_text()
    for text in (said, page):
        assert "risk, both courses, logistic" in text
        assert f"{100 * risk:.2g} %" in text
        assert "conditions on 2nd course" in text
        assert earlier["conditions"] in text
    assert "After an earlier course" in page
    assert "with the earlier course EQD2" in said


@pytest.mark.slow
def test_two_plans_from_end_to_end(tmp_path: Path) -> None:
    """On a coarse grid: fields and an optimized plan, the cord limits held, the plans' own folders linked."""
    path = tmp_path / "coarse.toml"
    path.write_text(SPINE)
    out = tmp_path / "out"
    argv = ["compare", str(path), "--with", "30/10,24/2", "--spacing", "5", "-o", str(out), "--quiet", "--keep-plans"]
    assert main(argv) == ExitCode.DONE
    (patient,) = json.loads((out / "comparison.json").read_text())["patients"]
    usual, steep = patient["plans"]
    assert usual["hard_limits"]["held"]
    assert steep["hard_limits"]["held"]
    assert steep["tumor"]["d95_eqd2_gy"] > 1.3 * usual["tumor"]["d95_eqd2_gy"]
    assert steep["cord"]["percent_of_prescription"] < 80.0 < usual["cord"]["percent_of_prescription"]
    for name in ("coarse_30_in_10", "coarse_24_in_2"):
        assert (out / "plans" / name / "report.html").exists()
        assert f"plans/{name}/report.html" in (out / "comparison.html").read_text()

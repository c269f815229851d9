"""``rtsim advise``: the page, JSON, what the options mean, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtsim.cli import advise as command
from rtsim.cli.console import ExitCode
from rtsim.cli.main import main
from rtsim.clinic import Findings, Pain
from rtsim.phantom.phantom import Phantom
from tests.shared import SHARED, requires_shared
from tests.unit.escc_scenes import scene


@pytest.fixture(scope="module")
def patient() -> Phantom:
    return scene("1b", (3.0, 3.0, 3.0))


@pytest.fixture
def known(patient: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case 'scene' of a renal metastasis with occasional pain."""
    said = (patient, "renal", Findings(pain=Pain.OCCASIONAL))
    monkeypatch.setattr(command, "_patient", lambda arguments: said)


def record(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert main(["advise", "scene", "--json", *options]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("known")
def test_the_page_shows_decision_scores_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "scene"]) == ExitCode.DONE
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "STEREOTACTIC RADIOTHERAPY" in lines[1]
    assert max(map(len, lines)) <= 112
    for word in ("ESCC 1b (measured)", "SINS", "N (neurologic)", "spine_sbrt_2fx", "assumed", "[verified]", "teaches"):
        assert word in out


@pytest.mark.usefixtures("known")
def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys)
    assert found["decision"] == "stereotactic"
    assert found["technique"] == "stereotactic"
    assert found["surgery_first"] is False
    escc, sins = found["escc"], found["sins"]
    assert isinstance(escc, dict)
    assert isinstance(sins, dict)
    assert escc["grade"] == "1b"
    assert escc["possible"] == ["1b"]
    assert sins["total"] == sum(part["points"] for part in sins["parts"])
    assert {part["how"] for part in sins["parts"]} <= {"measured", "given", "assumed"}
    assert "teaches" in str(found["disclaimer"])
    assert found["schedules"]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("options", "decision"),
    [
        (["--histology", "myeloma"], "conventional"),
        (["--scheme", "stated"], "conventional"),
        (["--escc", "2"], "separation_then_stereotactic"),
        (["--escc", "3", "--unfit-for-surgery"], "conventional"),
        (["--escc", "3", "--survival-months", "1"], "conventional"),
        (["--stability", "unstable"], "stabilize_then_stereotactic"),
        (["--histology", "breast", "--escc", "3"], "conventional"),
        (["--histology", "breast", "--escc", "3", "--irradiated-before"], "separation_then_stereotactic"),
        (["--histology", "kidney", "--scheme", "stated", "--irradiated-before"], "stereotactic"),
        (["--histology", "meningioma"], "outside_noms"),
        (["--histology", "osteoid_osteoma"], "no_radiotherapy"),
        (["--compartment", "intradural_extramedullary"], "outside_noms"),
    ],
)
def test_options_lead_to_decisions(options: list[str], decision: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(capsys, *options)["decision"] == decision


@pytest.mark.usefixtures("known")
def test_options_go_before_the_case(capsys: pytest.CaptureFixture[str]) -> None:
    of_case, told = record(capsys, "--escc", "0")["findings"], record(
        capsys, "--escc", "0", "--pain", "mechanical", "--collapse", "less_than_half", "--posterolateral", "bilateral",
        "--alignment", "deformity", "--lesion", "mixed", "--level", "L1", "--no-myelopathy", "--irradiated-before",
    )  # fmt: skip
    assert isinstance(of_case, dict)
    assert of_case["pain"] == "occasional"
    assert of_case["myelopathy"] is None
    said, sins = told["findings"], told["sins"]
    assert isinstance(said, dict)
    assert isinstance(sins, dict)
    assert said["pain"] == "mechanical"
    assert said["myelopathy"] is False
    assert said["previous_radiotherapy"] is True
    assert sins["total"] == 3 + 3 + 1 + 2 + 2 + 3
    assert sins["level"] == "L1"
    assert sins["stability"] == "unstable"
    assert told["decision"] == "stabilize_then_stereotactic"


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--histology", "melanom"], "did you mean 'melanoma'"),
        (["--scheme", "nomss"], "did you mean 'noms'"),
        (["--level", "T99"], "unknown level of the spine 'T99'"),
        (["--gtv", "GTW"], "did you mean 'GTV'"),
        (["--survival-months", "-3"], "survival_months is -3"),
    ],
)
def test_bad_input_says_what_to_do(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "scene", *options]) == ExitCode.BAD_INPUT
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_case_without_a_histology_needs_one(
    patient: Phantom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_patient", lambda arguments: (patient, None, Findings()))
    assert main(["advise", "scene"]) == ExitCode.BAD_INPUT
    assert "give --histology" in capsys.readouterr().err


def test_an_unknown_case_and_a_series_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", "spine_t8_epidurall"]) == ExitCode.BAD_INPUT
    assert "did you mean 'spine_t8_epidural'" in " ".join(capsys.readouterr().err.split())
    assert main(["advise", "spine_t8_epidural", "--series", "1.2.3"]) == ExitCode.BAD_INPUT
    assert "DICOM folder" in " ".join(capsys.readouterr().err.split())


_SMALL = """
[case]
name = "small"
description = "Renal cell metastasis of T8, ESCC 1b, on large voxels"
histology = "renal"
sources = ["none"]
[spine]
level = "T8"
epidural = "1b"
spacing_mm = [2.5, 2.5, 3.0]
half_length_mm = 50.0
"""


@pytest.mark.slow
def test_a_case_and_the_same_from_dicom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The case written as DICOM and read again, contours and all: the same grade and the same points."""
    name = str(tmp_path / "small.toml")
    Path(name).write_text(_SMALL)
    assert main(["advise", name, "--json"]) == ExitCode.DONE
    of_case = json.loads(capsys.readouterr().out)
    assert main(["phantom", name, "-o", str(tmp_path / "dicom")]) == ExitCode.DONE
    capsys.readouterr()
    assert main(["advise", str(tmp_path / "dicom"), "--histology", "renal", "--json"]) == ExitCode.DONE
    of_dicom = json.loads(capsys.readouterr().out)
    assert of_case["escc"]["grade"] == of_dicom["escc"]["grade"] == "1b"
    assert of_case["escc"]["cord_gap_mm"] == pytest.approx(of_dicom["escc"]["cord_gap_mm"], abs=0.3)
    measured = [
        {p["name"]: p["points"] for p in found["sins"]["parts"] if p["how"] == "measured"}
        for found in (of_case, of_dicom)
    ]
    assert measured[0] == measured[1]


@pytest.mark.slow
@requires_shared
def test_a_real_patient_without_a_tumor_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    folder = SHARED / "data" / "lumbar_totalseg" / "dicom_rewrapped"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    assert main(["advise", str(folder), "--histology", "renal", "--json"]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["decision"] == "undecided"
    assert found["escc"]["missing"] == ["GTV"]
    assert found["sins"] is None

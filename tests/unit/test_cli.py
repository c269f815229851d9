"""The command line: exit codes, messages, and that nothing half-written is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main as benchmarks_main
from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.cli.check import DOSE_TO_MEDIUM
from rtsim.cli.choices import CHECK_RUNS, MOST_SEED
from rtsim.cli.console import ExitCode
from rtsim.cli.delivery import delivery_of, scenarios_of
from rtsim.cli.main import main
from rtsim.cli.request import CheckRequest, Request
from rtsim.dose import Dose, MonteCarlo
from rtsim.dose.monte_carlo.batches import deposit
from rtsim.dose.monte_carlo.goal import Goal
from rtsim.dose.monte_carlo.tables.electrons import water_over_medium
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.errors import ConvergenceError, InputError, ResourceError
from rtsim.evaluate import second_opinion
from rtsim.io.archive import read_archive, read_check
from rtsim.machine import load_machine
from rtsim.optimize import Arcs, Certificate, FieldArrangement, Plan, Planned
from rtsim.optimize.plan import PositionsHeld
from rtsim.protocol import Priority, Sense, Technique, load_protocol
from rtsim.view import report_pictures
from tests.properties.test_monte_carlo_statistics import ONES, Noise
from tests.unit.test_evaluate_grade import RX, goal, spine
from tests.unit.test_second_opinion import bent, cord_numbers


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "-o", "x"], "either a case"),
        (["run", "spine_t8_epidurl", "-o", "x"], "did you mean 'spine_t8_epidural'"),
        (["run", "spine_t8_epidural", "--protocol", "spine_sbrt_2fxx", "-o", "x"], "did you mean 'spine_sbrt_2fx'"),
        (["run", "spine_t8_epidural", "--dose", "23", "-o", "x"], "24 Gy/2"),
        (["run", "spine_t8_epidural", "--cord-limits", "hytecc", "-o", "x"], "hytec"),
        (["run", "spine_t8_epidural", "--machine", "generic_6ff", "-o", "x"], "did you mean 'generic_6fff'"),
        (["run", "spine_t8_epidural", "--histology", "renall", "-o", "x"], "did you mean 'renal'"),
        (["run", "spine_t8_epidural", "--spacing", "9", "-o", "x"], "0.5 to 5 mm"),
        (["run", "spine_t8_epidural", "--seed", "-1", "-o", "x"], "--seed is -1; a whole number from 0 to 2^58"),
        (["run", "spine_t8_epidural", "--seed", str(2**58), "-o", "x"], "a whole number from 0 to 2^58"),
        (["run", "water_tank", "-o", "x"], "--protocol"),
        (["run", "--dicom", "nowhere", "-o", "x"], "--target"),
        (["run", "--dicom", "nowhere", "--target", "PTV", "-o", "x"], "--protocol"),
        (["run", "--dicom", "nowhere", "--target", "PTV", "--emergency", "-o", "x"], "nowhere"),
        (["run", "--dicom", "nowhere", "--target", "PTV", "--protocol", "spine_sbrt_1fx", "-o", "x"], "nowhere"),
        (["run", "spine_t8_epidural", "--structure-set", "rs.dcm", "-o", "x"], "--structure-set chooses in a DICOM"),
        (["run", "spine_t8_epidural", "--series", "1.2.3", "-o", "x"], "--series chooses in a DICOM folder"),
        (["advise", "spine_t8_epidural", "--structure-set", "rs.dcm"], "--structure-set chooses in a DICOM folder"),
        (["view", "water_tank", "--structure-set", "rs.dcm"], "--structure-set chooses in a DICOM folder"),
        (["view", "water_tank", "--save", "picture.xyz"], "picture.xyz does not end in .png"),
        (["info", "nowhere"], "nowhere"),
        (["phantom", "water_tnk", "-o", "x"], "water_tank"),
    ],
)
def test_bad_input_says_what_to_do(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*argv, "--quiet"] if argv[0] == "run" else argv) == ExitCode.BAD_INPUT
    assert words in _error(capsys)
    assert list(tmp_path.iterdir()) == [], "bad input must leave nothing behind"


@pytest.mark.parametrize(
    ("argv", "handed_on"),
    [
        (["bench"], []),
        (["bench", "--suite", "speed", "--case", "arc"], ["--suite", "speed", "--case", "arc"]),
        (["--verbose", "bench", "--help"], ["--help"]),
    ],
)
@pytest.mark.parametrize(
    ("status", "code"),
    [(0, ExitCode.DONE), (1, ExitCode.UNEXPECTED), (2, ExitCode.BAD_INPUT), (-9, ExitCode.UNEXPECTED)],
)
def test_bench_hands_everything_behind_it_on(
    argv: list[str], handed_on: list[str], status: int, code: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr("rtsim.cli.bench.subprocess.run", run)
    assert main(argv) == code
    assert called == [[sys.executable, "-m", "benchmarks", *handed_on]]


def test_options_of_other_commands_are_not_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["info", "bench", "--suite", "speed"])
    assert stop.value.code == ExitCode.BAD_INPUT
    assert "unrecognized arguments: --suite" in _error(capsys)


def test_a_benchmark_of_no_such_name_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    argv = ["--suite", "scaling", "--suite", "peers", "--case", "nonsense", "--json", str(table)]
    assert benchmarks_main(argv) == ExitCode.BAD_INPUT
    assert "no case of the suites scaling, peers holds 'nonsense' in its name" in _error(capsys)
    assert not table.exists()


def test_an_output_folder_in_use_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text("{}")
    assert main(["run", "spine_t8_epidural", "-o", str(tmp_path), "--quiet"]) == ExitCode.OUTPUT_EXISTS
    assert "holds a result already" in _error(capsys)
    assert (tmp_path / "result.json").read_text() == "{}"


def test_ctrl_c_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rtsim.cli.run.plan_of", interrupt)
    output = tmp_path / "out"
    assert main(["run", "spine_l3_conventional", "-o", str(output), "--quiet"]) == ExitCode.INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_info_lists_what_is_bundled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == ExitCode.DONE
    out = capsys.readouterr().out
    for name in ("spine_t8_epidural", "spine_sbrt_1fx", "spine_conventional_10fx", "generic_6fff", "renal"):
        assert name in out
    assert out.index("spine_c6 ") < out.index("spine_t8_epidural") < out.index("spine_s1_chordoma")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("spine_t8_epidural", ("T8 ", "ESCC 1b", "renal", "24/2, stereotactic")),
        ("spine_t8_myeloma", ("T8 ", "ESCC 1b", "myeloma", "30/10, conventional")),
        ("spine_t12_renal_carbon", ("T12 ", "ESCC 1a", "27/3, stereotactic", "carbon-peek screws")),
        ("spine_t7_sarcoma_cage", ("titanium screws and cage",)),
        ("spine_l4_thyroid_cement", ("cement, collapsed",)),
        ("spine_t9_lung_again", ("irradiated before",)),
        ("spine_c6_ependymoma", ("in the cord",)),
        ("spine_t5_meningioma", ("in the dura",)),
    ],
)
def test_info_says_of_a_spine_what_one_looks_for(
    name: str, said: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["info"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  {name} "))
    assert all(words in line for words in said), line


def test_phantom_writes_a_series_that_info_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tank"
    assert main(["phantom", "slab_bone", "-o", str(folder)]) == ExitCode.DONE
    assert main(["info", str(folder)]) == ExitCode.DONE
    assert "BODY" in capsys.readouterr().out


def test_an_output_that_cannot_be_made_is_an_error_not_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["phantom", "slab_bone", "-o", str(tmp_path / "file" / "below")]) == ExitCode.BAD_INPUT
    assert "cannot be made" in _error(capsys)


def test_conventional_fields_are_refused_for_a_stereotactic_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["run", "spine_t8_epidural", "--fields", "laterals", "-o", str(tmp_path / "out"), "--quiet"]
    assert main(argv) == ExitCode.BAD_INPUT
    assert "conventional protocol" in _error(capsys)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["spine_l3_conventional", "--delivery", "sliding_window"], "is about a stereotactic plan"),
        (["spine_l3_conventional", "--arcs", "2"], "--arcs is about a stereotactic plan"),
        (["spine_l3_conventional", "--tradeoff"], "choose a stereotactic protocol"),
        (["spine_l3_conventional", "--scenarios", "1mm"], "--scenarios is about a stereotactic plan"),
    ],
)
def test_options_of_stereotactic_plans_are_refused_for_conventional_ones(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *options, "-o", str(tmp_path / "out"), "--quiet"]) == ExitCode.BAD_INPUT
    assert words in _error(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arcs", "2"], "--arcs counts the arcs of --delivery arc; the delivery here is step_and_shoot"),
        (["--delivery", "sliding_window", "--arcs", "1"], "the delivery here is sliding_window"),
        (["--delivery", "arc", "--arcs", "4"], "1 to 3 arcs"),
        (["--subfields", "2"], "about the wedged and conformal fields of a conventional plan"),
        (["--emergency", "--subfields", "2"], "emergency fields are open"),
        (["--emergency", "--protocol", "spine_sbrt_1fx"], "spine_sbrt_1fx is stereotactic"),
        (["--emergency", "--fields", "laterals"], "pa or ap_pa"),
        (["--emergency", "--delivery", "arc"], "--delivery arc is about a stereotactic plan"),
        (["--depth", "50"], "--depth is about open emergency fields; add --emergency"),
        (["--emergency", "--at", "cord", "--depth", "50"], "--at and --depth are given"),
        (["--emergency", "--field", "80", "120", "--levels", "1"], "--field and --levels are given"),
    ],
)
def test_combinations_that_cannot_be_are_refused_before_any_work(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["run", "spine_t8_epidural", "-o", str(tmp_path / "out"), "--quiet", *options]
    assert main(argv) == ExitCode.BAD_INPUT
    assert words in _error(capsys)
    assert list(tmp_path.iterdir()) == []


def test_arcs_are_counted() -> None:
    found = delivery_of("arc", Technique.STEREOTACTIC, 3)
    assert isinstance(found, Arcs)
    assert found.count == 3


def test_a_delivery_of_no_such_name_is_said_with_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "spine_t8_epidural", "--delivery", "tomotherapy", "-o", str(tmp_path / "out")])
    assert stop.value.code == ExitCode.BAD_INPUT
    assert "'step_and_shoot', 'sliding_window', 'arc'" in _error(capsys)
    with pytest.raises(InputError, match="did you mean 'sliding_window'"):
        delivery_of("sliding_windw", Technique.STEREOTACTIC)


@pytest.mark.parametrize(
    ("text", "shift_mm", "rotation_deg"),
    [("1mm,1deg", 1.0, 1.0), ("2.5 mm", 2.5, 0.0), ("0.5deg", 0.0, 0.5), ("NONE", 0.0, 0.0)],
)
def test_scenarios_in_words(text: str, shift_mm: float, rotation_deg: float) -> None:
    found = scenarios_of(text, Technique.STEREOTACTIC)
    assert found is not None
    assert (found.shift_mm, found.rotation_deg) == (shift_mm, rotation_deg)


@pytest.mark.parametrize("text", ["", "1", "1cm", "1mm,2mm", "-1mm", "1mm;1deg", "30mm"])
def test_scenarios_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"e\.g\. 1mm,1deg|0 to 20 mm"):
        scenarios_of(text, Technique.STEREOTACTIC)


def test_a_scheduler_that_ends_the_run_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminate(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("rtsim.cli.run.plan_of", terminate)
    assert main(["run", "spine_l3_conventional", "-o", str(tmp_path / "out"), "--quiet"]) == ExitCode.INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_the_engine_takes_every_seed_that_is_allowed() -> None:
    assert MonteCarlo(seed=CHECK_RUNS * MOST_SEED + CHECK_RUNS - 1).seed < 2**62


@pytest.mark.parametrize(("material", "low", "high"), [("bone_cortical", 1.12, 1.14), ("cord", 1.0, 1.01)])
def test_what_is_said_of_dose_to_water_is_so(material: str, low: float, high: float) -> None:
    """The note of the check: 13 % in cortical bone, within 1 % in cord; titanium about 40 %, in the same way."""
    energies = EnergyGrid.standard().energies_mev
    ratios = water_over_medium((materials.get(material), materials.get("ti6al4v")))
    asked = (energies >= 0.2) & (energies <= 3.0)
    assert low < ratios[asked, 0].min() <= ratios[asked, 0].max() < high
    assert ratios[asked, 1].mean() == pytest.approx(1.4, abs=0.05)
    assert "13 % higher in cortical bone" in DOSE_TO_MEDIUM
    assert "40 % in titanium" in DOSE_TO_MEDIUM


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--check-uncertainty", "1"], "add --check monte_carlo"),
        (["--check", "monte_carlo", "--check-uncertainty", "0"], "0.1 to 5 %"),
        (["--check", "monte_carlo", "--check-uncertainty", "nan"], "0.1 to 5 %"),
        (["--check", "monte_carlo", "--check-uncertainty", "6"], "0.1 to 5 %"),
    ],
)
def test_a_check_that_cannot_be_made_is_refused_before_any_work(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["run", "spine_t8_epidural", "-o", str(tmp_path / "out"), "--quiet", *options]
    assert main(argv) == ExitCode.BAD_INPUT
    assert words in _error(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_be_delivered_has_an_exit_status_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten times the most monitor units of a beam: written, said last, and red at the top of the report."""
    output = tmp_path / "out"
    argv = [a for a in _planned_with_a_check(monkeypatch, output, _Check, monitor_units=1e5) if "--check" not in a]
    assert main(argv[:-1]) == ExitCode.NOT_DELIVERABLE
    last = capsys.readouterr().out.splitlines()[-3:-1]
    assert last[0].startswith("NOT DELIVERABLE: ")
    assert "100000" in last[0]
    assert last[1].endswith("exit status 6.")
    html = (output / "report.html").read_text()
    assert "<section class='limits bad'><h2>NOT DELIVERABLE</h2>" in html
    assert html.index("<h2>NOT DELIVERABLE</h2>") < html.index("Hard limits held")


def test_a_broken_limit_comes_before_a_beam_that_cannot_be_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = _planned_with_a_check(monkeypatch, tmp_path / "out", partial(_Check, factor=1.2), monitor_units=1e5)
    assert main(argv) == ExitCode.LIMIT_NOT_HELD
    assert "cannot deliver it as it is; exit status 3." in capsys.readouterr().out


@dataclass(frozen=True, kw_only=True)
class _Check:
    """Stands for a Monte Carlo engine: ``factor`` times the planned dose, almost without noise."""

    spacing_mm: float
    uncertainty_percent: float
    seed: int
    factor: float = 1.0

    def forward(self, *_: object, fractions: int = 1, **__: object) -> Dose:
        assert (self.spacing_mm, fractions) == (2.0, 2)
        assert self.uncertainty_percent == pytest.approx(0.5 * 8**0.5)
        assert self.seed in range(56, 64), "eight runs, none of them a run of seed 6 or 8"
        sigma = np.full(bent().grid.shape, 0.01, dtype=np.float32)
        return replace(bent(), values_gy=bent().values_gy * self.factor, uncertainty_gy=sigma, engine="stand-in")


def _planned_with_a_check(
    monkeypatch: pytest.MonkeyPatch,
    output: Path,
    make: Callable[..., _Check],
    monitor_units: float = 100.0,
    certificates: tuple[Certificate, ...] = (),
) -> list[str]:
    """Command line of a plan that is there at once, and is checked by what ``make`` makes.

    The cord gets 6.2 Gy, its limit is 7 Gy.
    """
    limit = goal("spinal_cord", "D0.035cc", Sense.AT_MOST, 7.0, "Gy", Priority.HARD)
    protocol = replace(load_protocol("spine_sbrt_2fx"), goals=(limit,), cord_limits=(), cord_limits_name="")
    beam = Beam.open_field(load_machine("generic_6fff"), (60.0, 40.0), monitor_units=monitor_units)
    planned = Planned(
        plan=Plan(beams=(beam,), prescription=RX, certificates=certificates), dose=bent(), phantom=spine()
    )
    request = Request(
        phantom=spine(),
        prescription=RX,
        protocol=protocol,
        machine=beam.machine,
        arrangement=FieldArrangement.PA,
        gantry_deg=(),
        spacing_mm=2.0,
        seed=7,
        histology=None,
        is_from_dicom=True,
        check=CheckRequest(engine="monte_carlo", uncertainty_percent=0.5),
    )
    monkeypatch.setattr("rtsim.cli.run.request_of", lambda *_: request)
    monkeypatch.setattr("rtsim.cli.run.plan_of", lambda *_: planned)
    monkeypatch.setattr("rtsim.cli.check.engine_named", lambda _: make)
    monkeypatch.setattr("rtsim.cli.check.forward", lambda *_, engine, **__: engine.forward(fractions=2))
    monkeypatch.setattr("rtsim.cli.check.second_opinion", partial(second_opinion, samples=16))
    monkeypatch.setattr("rtsim.cli.outputs.report_pictures", partial(report_pictures, has_scene=False))
    monkeypatch.setattr("rtsim.cli.outputs.write_dicom", lambda *_, **__: None)
    return ["run", "spine_t8_epidural", "-o", str(output), "--quiet", "--check", "monte_carlo"]


@pytest.mark.parametrize(("factor", "code", "verdict"), [(1.0, 0, "held"), (1.2, 3, "broken")])
def test_check_is_printed_written_and_decides_the_exit_status(
    factor: float,
    code: int,
    verdict: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Held in the plan, broken in a check that gives 20 % more."""
    output = tmp_path / "out"
    argv = _planned_with_a_check(monkeypatch, output, partial(_Check, factor=factor))
    assert main(argv) == code
    said = capsys.readouterr().out
    assert "SECOND OPINION by stand-in" in said
    assert ("A HARD LIMIT IS BROKEN" in said) == (code == ExitCode.LIMIT_NOT_HELD)
    assert {"held": "hold in it too", "broken": "A HARD LIMIT IS BROKEN in it"}[verdict] in said.splitlines()[-2]
    written = json.loads((output / "result.json").read_text())["check"]
    assert written["verdict"] == verdict
    assert written["limits"][0]["structure"] == "SpinalCord"
    assert written["limits"][0]["sigmas_needed"] == pytest.approx(2.43, abs=0.005)
    row = next(m for m in written["metrics"] if m["metric"] == "D50%")
    assert row.keys() >= {"structure", "metric", "planned", "check", "uncertainty", "noise_bias"}
    # source: SIGMA of rtsim.dose.monte_carlo.calibration; the machine has a calibration
    assert row["common_uncertainty"] == pytest.approx(0.002 * row["check"], rel=0.01)
    assert row["uncertainty"] > row["common_uncertainty"]
    said_once = " ".join(said.split())
    for words in ("not checked, because plan and check have it in common", "0.2 % of the dose", "need 2.43 of these"):
        assert words in said_once
        assert words in (output / "report.html").read_text()
    second = read_check(output)
    assert second is not None
    np.testing.assert_allclose(second.values_gy, factor * bent().values_gy, rtol=1e-6)
    assert second.uncertainty_gy is not None
    assert read_archive(output)[0].uncertainty_gy is None
    assert (output / "pictures" / "check.png").is_file()
    assert "<h2>Second opinion</h2>" in (output / "report.html").read_text()


@pytest.mark.parametrize(("factor", "words"), [(1.0, "hold in the check too"), (1.2, "IS BROKEN in the check")])
def test_a_check_says_that_it_judges_the_planned_position_of_several(
    factor: float, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    positions = PositionsHeld(
        scenarios="+-1 mm",
        promised=True,
        count=13,
        held=13,
        worst="1 mm left",
        worst_gy=6.6,
        recomputed=(),
        margin_percent=0.0,
    )
    everywhere = Certificate(
        structure="SpinalCord",
        metric="D0.035cc",
        limit_gy=7.0,
        reached_gy=6.2,
        held=True,
        statement="",
        positions=positions,
    )
    make = partial(_Check, factor=factor)
    argv = _planned_with_a_check(monkeypatch, tmp_path / "out", make, certificates=(everywhere,))
    main(argv)
    said = capsys.readouterr().out
    where = ", in the planned position (it does not judge the other 12 of the certificate)"
    assert where in said.splitlines()[-2]
    assert f"{words}{where}." in " ".join(said.split())
    assert f"{words}{where}." in (tmp_path / "out" / "report.html").read_text()


@dataclass(frozen=True, kw_only=True)
class _StopsAt(_Check):
    """Raises ``stop`` in run ``run`` (0..7)."""

    run: int
    stop: type[BaseException]

    def forward(self, *_: object, fractions: int = 1, **__: object) -> Dose:
        if self.seed == 56 + self.run:
            raise self.stop("the stand-in stopped")
        return super().forward(fractions=fractions)


@pytest.mark.parametrize(
    ("stop", "code", "words"),
    [
        (KeyboardInterrupt, ExitCode.INTERRUPTED, "the check was interrupted"),
        (ConvergenceError, ExitCode.BAD_INPUT, "the check failed: the stand-in stopped"),
        (ResourceError, ExitCode.NOT_ENOUGH_MEMORY, "the check failed: the stand-in stopped"),
    ],
)
def test_a_check_that_stops_does_not_cost_the_plan(
    stop: type[BaseException],
    code: ExitCode,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    argv = _planned_with_a_check(monkeypatch, output, partial(_StopsAt, run=0, stop=stop))
    assert main(argv) == code
    said = capsys.readouterr()
    assert words in said.out
    assert words in said.err, "said at once, before the pictures"
    written = json.loads((output / "result.json").read_text())
    assert written["check"] is None
    assert words in written["notes"][-1]
    assert read_check(output) is None
    np.testing.assert_array_equal(read_archive(output)[0].values_gy, bent().values_gy)
    report = (output / "report.html").read_text()
    assert words in report
    assert "Hard limits held, not checked by a second engine" in report
    assert "class='limits open'" in report


def test_a_check_that_does_not_resolve_a_limit_says_so_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that puts the cord on its limit: the exit status is that of the plan, and the last lines say so."""
    argv = _planned_with_a_check(monkeypatch, tmp_path / "out", partial(_Check, factor=7.0 / cord_numbers(bent())[0]))
    assert main(argv) == ExitCode.DONE
    said = capsys.readouterr().out
    last = said.splitlines()[-2]
    assert "check: NOT RESOLVED" in last
    assert "the exit status is that of the plan alone" in last


def test_ctrl_c_in_a_later_run_keeps_those_that_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    argv = _planned_with_a_check(monkeypatch, output, partial(_StopsAt, run=5, stop=KeyboardInterrupt))
    assert main(argv) == ExitCode.DONE
    said = capsys.readouterr().out
    cut = "The check was interrupted in or after run 5 of 8"
    assert cut in said.splitlines()[-2]
    assert cut in " ".join(said.split("note:")[1].split())
    assert cut in (output / "report.html").read_text()
    written = json.loads((output / "result.json").read_text())["check"]
    assert (written["verdict"], written["engine"]) == ("held", "stand-in; 5 independent runs")


def test_a_scheduler_ends_a_monte_carlo_dose_that_ctrl_c_would_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM in the middle of a run of batches: nothing goes on, nothing is left."""
    said: list[float] = []

    def terminate(done: float, _: str) -> None:
        said.append(done)
        if done > 0.3:
            os.kill(os.getpid(), signal.SIGTERM)

    def simulate(*_: object, **__: object) -> None:
        deposit(Noise(), Goal(histories=64_000), seed=2, weight=ONES, progress=terminate)
        pytest.fail("the dose came to an end")

    output = tmp_path / "out"
    argv = _planned_with_a_check(monkeypatch, output, _Check)
    monkeypatch.setattr("rtsim.cli.check.forward", simulate)
    assert main(argv) == ExitCode.INTERRUPTED
    assert max(said) < 0.5
    assert "ended by SIGTERM" in _error(capsys)
    assert list(tmp_path.iterdir()) == []

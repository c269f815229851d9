"""``rtsim run``: what other cord limits would leave is in the output where the limit kept a plan from its coverage."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from rtsim.cli.console import ExitCode
from rtsim.cli.main import main
from rtsim.cli.request import Request
from rtsim.optimize import FieldArrangement, Planned, Scenarios, plan_stereotactic
from rtsim.typing import Progress
from rtsim.view import report_pictures
from tests.unit import optimize_toy as toy
from tests.unit.test_optimize_plans import FEW, QUICK


def plan_of(request: Request, progress: Progress | None) -> Planned:
    return plan_stereotactic(
        request.phantom,
        request.prescription,
        request.protocol,
        request.machine,
        engine=toy.PencilEngine(),
        beams=toy.beams((140, 180, 220)),
        settings=QUICK,
        delivery=FEW,
        scenarios=Scenarios.nominal_only(),
        progress=progress,
    )


@pytest.mark.parametrize(("cord_gy", "has_tradeoff"), [(1.2, False), (10.0, True)])
def test_it_is_drawn_where_coverage_lacks_and_where_it_is_asked_for(
    cord_gy: float,
    has_tradeoff: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    protocol = toy.protocol(cord_gy=cord_gy)
    request = Request(
        phantom=toy.phantom(spacing_mm=5.0),
        prescription=protocol.prescription("PTV"),
        protocol=protocol,
        machine=toy.machine(),
        arrangement=FieldArrangement.PA,
        gantry_deg=(),
        spacing_mm=4.0,
        seed=1,
        histology=None,
        is_from_dicom=True,
        has_tradeoff=has_tradeoff,
    )
    monkeypatch.setattr("rtsim.cli.run.request_of", lambda *_: request)
    monkeypatch.setattr("rtsim.cli.run.plan_of", plan_of)
    monkeypatch.setattr("rtsim.cli.outputs.report_pictures", partial(report_pictures, has_scene=False))
    monkeypatch.setattr("rtsim.cli.outputs.write_dicom", lambda *_, **__: None)
    output = tmp_path / "out"
    assert main(["run", "spine_t8_epidural", "-o", str(output), "--quiet"]) == ExitCode.DONE
    said = " ".join(capsys.readouterr().out.split())
    found = json.loads((output / "result.json").read_text())["metrics"]["tradeoff"]
    assert f"trade-off: {found['statement']}" in said
    assert f"limit of {cord_gy:g} Gy" in found["statement"]
    assert found["coverage_percent"] == sorted(found["coverage_percent"])
    assert (output / "pictures" / "tradeoff.png").is_file()
    page = (output / "report.html").read_text()
    assert "What other cord limits would leave" in page
    assert "Delivery: step and shoot" in page
    assert "delivery: step and shoot: 3 beams" in said

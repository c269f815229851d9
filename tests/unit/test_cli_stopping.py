"""Ctrl-C while a plan is optimized: the first keeps the best plan so far, a second ends everything."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from rtsim.cli.console import ExitCode, steps
from rtsim.cli.main import main
from rtsim.cli.request import Request
from rtsim.cli.stopping import STOPPED, STOPPING, stoppable
from rtsim.io.archive import read_archive
from rtsim.optimize import FieldArrangement, Planned, StopOptimization, plan_stereotactic
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress
from rtsim.view import report_pictures
from tests.unit import optimize_toy as toy
from tests.unit.test_optimize_plans import FEW, QUICK


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Python's own handler of Ctrl-C: a process started in the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def work(*steps_of_it: Callable[[Progress], None], said: list[str]) -> None:
    """Some work with a progress callback that Ctrl-C stops."""
    with steps(quiet=True) as bars, bars.step("plan"), stoppable(bars) as stopping:
        progress = stopping.stops(lambda _, text: said.append(text))
        for step in steps_of_it:
            step(progress)


def press(_: Progress | None = None) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def search(progress: Progress) -> None:
    with suppress(StopOptimization):
        progress(0.1, "search")
        progress(0.2, "goes on")


def test_the_first_ctrl_c_tells_the_optimizer() -> None:
    said: list[str] = []
    work(search, press, search, said=said)
    assert said == ["search", "goes on", "search"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_ends() -> None:
    with pytest.raises(KeyboardInterrupt):
        work(press, search, press, said=[])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_there_is_a_plan_ends_everything() -> None:
    with pytest.raises(KeyboardInterrupt):
        work(press, lambda progress: progress(0.1, "influence matrix"), said=[])


def test_another_handler_of_ctrl_c_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with steps(quiet=True) as bars, stoppable(bars) as stopping:
        press()
        assert not stopping.asked
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_line_below_the_bars_says_what_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with steps(quiet=False) as bars, bars.step("plan") as progress:
        progress(0.5, "objective 137, worst constraint spinal_cord +0.4 %, " + 99 * "x")
        bars.notice(STOPPING)
        time.sleep(0.6)
    out = capsys.readouterr().err
    assert "objective 137, worst constraint spinal_cord +0.4 %" in out
    assert "\u2026" in out, "a long line is cut, it does not wrap"
    assert STOPPING in out


def stereotactic_toy(phantom: Phantom, progress: Progress | None) -> Planned:
    protocol = toy.protocol(cord_gy=10.0)
    return plan_stereotactic(
        phantom,
        protocol.prescription("PTV"),
        protocol,
        toy.machine(),
        engine=toy.PencilEngine(),
        beams=toy.beams((140, 220)),
        settings=QUICK,
        delivery=FEW,
        progress=progress,
    )


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_during_the_search(
    presses: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan of one round is finished, certified and written, and says so; pressed twice, nothing is."""
    phantom, protocol = toy.phantom(spacing_mm=5.0), toy.protocol(cord_gy=10.0)
    request = Request(
        phantom=phantom,
        prescription=protocol.prescription("PTV"),
        protocol=protocol,
        machine=toy.machine(),
        arrangement=FieldArrangement.PA,
        gantry_deg=(),
        spacing_mm=4.0,
        seed=1,
        histology=None,
        is_from_dicom=True,
    )
    pressed: list[str] = []

    def plan_of(request: Request, progress: Progress) -> Planned:
        def watched(done: float, text: str) -> None:
            if "objective" in text and not pressed:
                pressed.append(text)
                for _ in range(presses):
                    press()
            progress(done, text)

        return stereotactic_toy(request.phantom, watched)

    monkeypatch.setattr("rtsim.cli.run.request_of", lambda *_: request)
    monkeypatch.setattr("rtsim.cli.run.plan_of", plan_of)
    monkeypatch.setattr("rtsim.cli.outputs.report_pictures", partial(report_pictures, has_scene=False))
    monkeypatch.setattr("rtsim.cli.outputs.write_dicom", lambda *_, **__: None)
    output = tmp_path / "out"
    code = main(["run", "spine_t8_epidural", "-o", str(output), "--quiet"])
    said = capsys.readouterr()
    if presses == 2:
        assert code == ExitCode.INTERRUPTED
        assert list(tmp_path.iterdir()) == []
        return
    assert code == ExitCode.DONE
    assert STOPPED in " ".join(said.err.split())
    _, record = read_archive(output)
    assert STOPPED in record.notes
    assert [c["held"] for c in record.certificates] == [True]
    assert (output / "report.html").is_file()

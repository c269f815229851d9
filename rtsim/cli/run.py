"""``rtsim run``: from a CT to a graded plan, a report, pictures, a DICOM set and a result archive."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtsim import __version__
from rtsim.beams import coplanar, with_beamlets
from rtsim.beams.model import Beam
from rtsim.cli.check import Checked, NotChecked, check_or_reason
from rtsim.cli.console import NOT_A_DEVICE, ExitCode, Steps, errors, steps, terminal
from rtsim.cli.outputs import record_of, write_outputs
from rtsim.cli.request import Request, case_name, check_arguments, request_of
from rtsim.dose import CollapsedCone
from rtsim.evaluate import GradeReport, grade
from rtsim.io.files import refuse_existing, whole_folder
from rtsim.optimize import Planned, plan_conventional, plan_stereotactic
from rtsim.protocol import Technique
from rtsim.typing import Progress

PLANNING_SPACING_MM = 2.5
"""The influence matrix is computed no finer than this; the forward doses that correct and certify it may be."""


class Clock:
    """Wall seconds by step, for the report."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, bars: Steps, title: str) -> Iterator[Progress]:
        """A progress bar whose wall time is kept."""
        start = time.perf_counter()
        with bars.step(title) as progress:
            yield progress
        self.seconds[title] = round(time.perf_counter() - start, 2)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Plan what was asked for and write everything into the output folder, which appears whole or not at all."""
    check_arguments(arguments)
    output: Path = arguments.output
    refuse_existing(output, overwrite=arguments.overwrite)
    clock = Clock()
    with whole_folder(output, overwrite=arguments.overwrite) as folder, steps(quiet=arguments.quiet) as bars:
        with clock.timed(bars, "phantom") as progress:
            request = request_of(arguments, progress)
        with clock.timed(bars, "plan") as progress:
            planned = plan_of(request, progress)
        with clock.timed(bars, "grade") as progress:
            report = grade(
                planned.dose,
                planned.phantom,
                request.prescription,
                request.protocol,
                histology=request.histology,
                certificates=planned.plan.certificates,
            )
        checked: Checked | NotChecked | None = None
        if request.check is not None:
            with clock.timed(bars, f"check ({request.check.engine})") as progress:
                checked = check_or_reason(request, request.check, planned, progress)
            if isinstance(checked, NotChecked):
                errors().print(checked.reason, markup=False)
        with clock.timed(bars, "pictures, DICOM, archive") as progress:
            record = record_of(
                request,
                planned,
                report,
                name=case_name(arguments),
                version=__version__,
                seconds=clock.seconds,
                checked=checked,
            )
            write_outputs(folder, request, planned, report, record, progress, checked=checked)
    _say(output, planned, report, clock, checked)
    if isinstance(checked, NotChecked):
        return checked.code
    held = report.hard_limits_held and all(c.held for c in planned.plan.certificates)
    held = held and not (checked is not None and checked.is_broken)
    return ExitCode.DONE if held else ExitCode.LIMIT_NOT_HELD


def plan_of(request: Request, progress: Progress | None) -> Planned:
    """Plan by the technique of the protocol; the dose is the forward dose of what is delivered."""
    engine = CollapsedCone(spacing_mm=request.spacing_mm)
    if request.protocol.technique is Technique.CONVENTIONAL:
        return plan_conventional(
            request.phantom,
            request.prescription,
            request.protocol,
            request.machine,
            engine=engine,
            technique=request.arrangement,
            progress=progress,
        )
    planning = CollapsedCone(spacing_mm=max(request.spacing_mm, PLANNING_SPACING_MM))
    return plan_stereotactic(
        request.phantom,
        request.prescription,
        request.protocol,
        request.machine,
        engine=engine,
        planning_engine=planning,
        beams=_beams(request),
        seed=request.seed,
        progress=progress,
    )


def _beams(request: Request) -> tuple[Beam, ...] | None:
    """The beams that the case names, with beamlets; None leaves them to the planner."""
    if not request.gantry_deg:
        return None
    target = request.phantom[request.prescription.target]
    return with_beamlets(coplanar(request.machine, gantry_deg=request.gantry_deg, target=target), target)


def _say(
    output: Path, planned: Planned, report: GradeReport, clock: Clock, checked: Checked | NotChecked | None
) -> None:
    console = terminal()
    console.print(str(report), markup=False)
    if isinstance(checked, Checked):
        console.print(f"\n{checked.opinion}\n", markup=False)
    for note in (*planned.phantom.notes, *planned.plan.notes):
        console.print(f"note: {note}", markup=False)
    total = sum(clock.seconds.values())
    console.print(
        f"\n{output}/report.html and pictures, dicom/, result.npz, result.json, in {total:.0f} s", markup=False
    )
    if checked is not None:
        console.print(checked.reason if isinstance(checked, NotChecked) else checked.last_word, markup=False)
    console.print(NOT_A_DEVICE, markup=False)

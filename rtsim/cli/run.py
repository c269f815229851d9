"""``rtsim run``: from a CT to a graded plan, a report, pictures, a DICOM set and a result archive."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rtsim import __version__
from rtsim.cli.both_courses import both_courses, with_earlier_course
from rtsim.cli.check import Checked, NotChecked, check_or_reason
from rtsim.cli.console import NOT_A_DEVICE, ExitCode, Steps, steps, terminal
from rtsim.cli.outputs import Extras, record_of, write_outputs
from rtsim.cli.planning import plan_of, tradeoff_or_none, wants_tradeoff
from rtsim.cli.request import Request, case_name, check_arguments, request_of
from rtsim.cli.stopping import STOPPED, stoppable
from rtsim.evaluate import GradeReport, beam_summary, delivery_summary, grade
from rtsim.io.files import refuse_existing, whole_folder
from rtsim.optimize import Planned, Tradeoff
from rtsim.protocol import Technique
from rtsim.typing import Progress

_WIDTH = 110
"""Of notes on the terminal, as of the tables."""


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
        planned, was_stopped = _planned(request, clock, bars)
        with clock.timed(bars, "grade") as progress:
            report = grade(
                planned.dose,
                planned.phantom,
                request.prescription,
                request.protocol,
                histology=request.histology,
                vertebra=request.vertebra,
                certificates=planned.plan.certificates,
            )
            again = both_courses(request, planned)
            report = with_earlier_course(report, again)
        extras = Extras(
            tradeoff=None if was_stopped else _traded(request, planned, report, clock, bars),
            checked=_checked(request, planned, clock, bars),
            reirradiation=again,
        )
        with clock.timed(bars, "pictures, DICOM, archive") as progress:
            record = record_of(
                request,
                planned,
                report,
                name=case_name(arguments),
                version=__version__,
                seconds=clock.seconds,
                extras=extras,
            )
            write_outputs(folder, request, planned, report, record, progress, extras=extras)
    _say(output, planned, report, clock, extras)
    return _exit_code(planned, report, extras.checked)


def _planned(request: Request, clock: Clock, bars: Steps) -> tuple[Planned, bool]:
    """The plan, and whether the user stopped its search."""
    has_search = request.protocol.technique is Technique.STEREOTACTIC
    with clock.timed(bars, "plan") as progress, stoppable(bars, has_search=has_search) as stopping:
        planned = plan_of(request, stopping.stops(progress))
    if not stopping.asked:
        return planned, False
    bars.say(STOPPED)
    return replace(planned, plan=replace(planned.plan, notes=(*planned.plan.notes, STOPPED))), True


def _traded(request: Request, planned: Planned, report: GradeReport, clock: Clock, bars: Steps) -> Tradeoff | None:
    if not wants_tradeoff(request, planned, report.target.coverage_percent):
        return None
    with clock.timed(bars, "trade-off") as progress, stoppable(bars) as stopping:
        return tradeoff_or_none(planned, stopping.stops(progress), bars.say)


def _checked(request: Request, planned: Planned, clock: Clock, bars: Steps) -> Checked | NotChecked | None:
    if request.check is None:
        return None
    with clock.timed(bars, f"check ({request.check.engine})") as progress:
        checked = check_or_reason(request, request.check, planned, progress)
    if isinstance(checked, NotChecked):
        bars.say(checked.reason)
    return checked


def _exit_code(planned: Planned, report: GradeReport, checked: Checked | NotChecked | None) -> ExitCode:
    if isinstance(checked, NotChecked):
        return checked.code
    held = report.hard_limits_held and all(c.held for c in planned.plan.certificates)
    held = held and not (checked is not None and checked.is_broken)
    if not held:
        return ExitCode.LIMIT_NOT_HELD
    return ExitCode.NOT_DELIVERABLE if delivery_summary(planned.plan).obstacles else ExitCode.DONE


def _say(output: Path, planned: Planned, report: GradeReport, clock: Clock, extras: Extras) -> None:
    console, checked = terminal(), extras.checked
    console.print(str(report), markup=False)
    if isinstance(checked, Checked):
        console.print(f"\n{checked.opinion}\n", markup=False)
    if extras.reirradiation is not None:
        console.print(f"\n{extras.reirradiation}\n", markup=False)
    for note in (*planned.phantom.notes, *planned.plan.notes):
        console.print(textwrap.fill(f"note: {note}", _WIDTH, subsequent_indent="  "), markup=False)
    delivery = delivery_summary(planned.plan)
    machines = ", ".join(dict.fromkeys(b.machine.name for b in planned.plan.beams))
    console.print(f"\ndelivery: {delivery}, on {machines}", markup=False)
    for b in map(beam_summary, (b for b in planned.plan.beams if b.is_arc)):
        console.print(
            f"  {b.name}: gantry {b.gantry}, collimator {b.collimator_deg:g}\u00b0, {b.apertures}, "
            f"{b.monitor_units:.0f} MU, {b.time}",
            markup=False,
        )
    if extras.tradeoff is not None:
        console.print(f"trade-off: {extras.tradeoff.statement}", markup=False)
    total = sum(clock.seconds.values())
    console.print(
        f"\n{output}/report.html and pictures, dicom/, result.npz, result.json, in {total:.0f} s", markup=False
    )
    if checked is not None:
        console.print(checked.reason if isinstance(checked, NotChecked) else checked.last_word, markup=False)
    for problem in delivery.obstacles:
        console.print(f"NOT DELIVERABLE: {problem}", markup=False)
    if delivery.obstacles:
        code = int(_exit_code(planned, report, checked))
        console.print(
            f"NOT DELIVERABLE: the plan was written, RTPLAN and all, but the machine cannot deliver it as it is; exit "
            f"status {code}.",
            markup=False,
        )
    console.print(NOT_A_DEVICE, markup=False)

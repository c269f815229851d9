"""``rtsim compare``: the same patient under several dose schemes, on one page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtsim import __version__
from rtsim.biology import Histology, histology
from rtsim.cli.both_courses import both_courses, with_earlier_course
from rtsim.cli.choices import MOST_SEED
from rtsim.cli.compare_record import record_of_comparison
from rtsim.cli.compare_request import Patient, check_cord_limits
from rtsim.cli.compare_schemes import schemes_of
from rtsim.cli.console import NOT_A_DEVICE, ExitCode, Steps, steps, terminal
from rtsim.cli.outputs import Extras, record_of, write_outputs
from rtsim.cli.planning import plan_of
from rtsim.cli.request import Request
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.evaluate import GradeReport, grade
from rtsim.evaluate.comparison import NotPlanned, PatientComparison, Scheme, differences
from rtsim.evaluate.comparison_text import comparison_text, difference_text
from rtsim.io.case import load_case
from rtsim.io.files import refuse_existing, whole_folder, write_whole
from rtsim.optimize import Planned
from rtsim.typing import Progress
from rtsim.view import write_picture
from rtsim.view.compare_html import write_comparison
from rtsim.view.compare_model import ComparedPatient, ComparedPlan, compared_patient, compared_plan
from rtsim.view.compare_pictures import compare_pictures
from rtsim.view.compare_twins import are_of_one_matter, are_twins, with_beams_of

_PLANS = "plans"
"""Folder of the plans that are kept."""
_PLANNED = 0.95
"""Of the bar of one plan; the rest is grading."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Planning:
    """What all plans of one comparison have in common."""

    arguments: argparse.Namespace
    schemes: tuple[Scheme, ...]
    folder: Path


def compare(arguments: argparse.Namespace) -> ExitCode:
    """Plan every case under every scheme, and write page, text, JSON and pictures; the folder appears whole or not."""
    schemes = _check(arguments)
    patients = [Patient(case=load_case(name)) for name in arguments.cases]
    output: Path = arguments.output
    refuse_existing(output, overwrite=arguments.overwrite)
    with whole_folder(output, overwrite=arguments.overwrite) as folder, steps(quiet=arguments.quiet) as bars:
        planning = _Planning(arguments=arguments, schemes=schemes, folder=folder)
        compared = _with_twins(_all_plans(planning, patients, bars), bars)
        with bars.step("pictures, page") as progress:
            text = "\n\n".join([*(comparison_text(c.comparison) for c in compared), *_differences(compared)])
            record = record_of_comparison([c.comparison for c in compared], version=__version__)
            _write(folder, compared, text, record, progress)
    console = terminal()
    if arguments.json:
        console.print_json(json.dumps(record))
    else:
        console.print(text, markup=False)
        console.print(f"\n{output}/comparison.html, .txt, .json and pictures\n{NOT_A_DEVICE}", markup=False)
    return exit_code([c.comparison for c in compared])


def exit_code(patients: Sequence[PatientComparison]) -> ExitCode:
    """As of ``rtsim run``, of the worst plan: a limit not held (or no plan that holds it), then not deliverable."""
    if any(not p.hard_limits_held or any(n.limits_fail for n in p.not_planned) for p in patients):
        return ExitCode.LIMIT_NOT_HELD
    obstacles = any(r.delivery is not None and r.delivery.obstacles for p in patients for r in p.results)
    if obstacles or any(p.not_planned for p in patients):
        return ExitCode.NOT_DELIVERABLE
    return ExitCode.DONE


def _check(arguments: argparse.Namespace) -> tuple[Scheme, ...]:
    """Refuse what cannot work before anything slow is done."""
    if arguments.spacing is not None and not 0.5 <= arguments.spacing <= 5.0:
        raise InputError(f"--spacing is {arguments.spacing:g} mm; a plan is computed on 0.5 to 5 mm")
    if not 0 <= arguments.seed <= MOST_SEED:
        raise InputError(f"--seed is {arguments.seed}; a whole number from 0 to 2^58 - 1 = {MOST_SEED} is needed")
    schemes = schemes_of(arguments.schemes)
    if len(schemes) < 2 and len(arguments.cases) < 2:
        raise InputError(f"--with {arguments.schemes}: one scheme of one case is 'rtsim run'; name another to compare")
    twice = [name for n, name in enumerate(arguments.cases) if name in arguments.cases[:n]]
    if twice:
        raise InputError(f"case {twice[0]!r} is given twice; what would differ?")
    check_cord_limits(schemes, arguments.cord_limits)
    if arguments.histology is not None:
        histology(arguments.histology)
    return schemes


def _all_plans(planning: _Planning, patients: Sequence[Patient], bars: Steps) -> list[ComparedPatient]:
    """One bar over all plans."""
    count, compared = len(patients) * len(planning.schemes), []
    with bars.step(f"{count} plans") as progress:
        for n, patient in enumerate(patients):
            first = n * len(planning.schemes)

            def part(fraction: float, detail: str, *, first: int = first, patient: Patient = patient) -> None:
                progress((first + fraction * len(planning.schemes)) / count, f"{patient.case.name}, {detail}")

            compared.append(_patient(planning, patient, part))
    return compared


def _with_twins(compared: list[ComparedPatient], bars: Steps) -> list[ComparedPatient]:
    """Twins of the first patient get its beams, too: what differs then is matter alone."""
    first, found = compared[0], compared[:1]
    for other in compared[1:]:
        if are_twins(first, other) and not are_of_one_matter(first, other):
            with bars.step("the beams of the twin") as progress:
                other = with_beams_of(first, other, progress)
        found.append(other)
    return found


def _patient(planning: _Planning, patient: Patient, progress: Progress) -> ComparedPatient:
    case, count = patient.case, len(planning.schemes)
    plans: list[ComparedPlan] = []
    failed: list[NotPlanned] = []
    for n, scheme in enumerate(planning.schemes):

        def part(fraction: float, detail: str, *, n: int = n, scheme: Scheme = scheme) -> None:
            progress((n + min(max(fraction, 0.0), 1.0)) / count, f"{scheme.label}: {detail}")

        try:
            plans.append(_plan(planning, patient, scheme, part))
        except (InfeasiblePlanError, MachineLimitError) as error:
            failed.append(
                NotPlanned(scheme=scheme, reason=str(error), limits_fail=isinstance(error, InfeasiblePlanError))
            )
    return compared_patient(
        case.name,
        plans,
        histology=_histology(planning, patient),
        description=_description(planning, patient),
        not_planned=failed,
    )


def _description(planning: _Planning, patient: Patient) -> str:
    """Of the case, whose words may speak of another tumor than the one that was asked for."""
    given, case = planning.arguments.histology, patient.case
    return case.description if given in (None, case.histology) else f"{case.description} (compared as: {given})"


def _histology(planning: _Planning, patient: Patient) -> Histology | None:
    name = planning.arguments.histology or patient.case.histology
    return None if name is None else histology(name)


def _plan(planning: _Planning, patient: Patient, scheme: Scheme, progress: Progress) -> ComparedPlan:
    progress(0.0, "phantom")
    request = patient.request(scheme, planning.arguments, None)
    planned = plan_of(request, lambda fraction, detail: progress(_PLANNED * fraction, detail))
    progress(_PLANNED, "grade")
    report = grade(
        planned.dose,
        planned.phantom,
        request.prescription,
        request.protocol,
        histology=request.histology,
        certificates=planned.plan.certificates,
        vertebra=request.vertebra,
    )
    again = both_courses(request, planned)
    report = with_earlier_course(report, again)
    extras = Extras(reirradiation=again)
    link = _kept(planning, patient, scheme, request, planned, report, extras) if planning.arguments.keep_plans else ""
    return compared_plan(planned, request.protocol, histology=request.histology, report=report, link=link)


def _kept(
    planning: _Planning,
    patient: Patient,
    scheme: Scheme,
    request: Request,
    planned: Planned,
    report: GradeReport,
    extras: Extras,
) -> str:
    """Write the plan's own folder; returns the way to its report from the page."""
    name = f"{patient.case.name}_{scheme.label.replace('/', '_in_')}"
    record = record_of(request, planned, report, name=patient.case.name, version=__version__, seconds={}, extras=extras)
    write_outputs(
        planning.folder / _PLANS / name, request, planned, report, record, lambda fraction, detail: None, extras=extras
    )
    return f"{_PLANS}/{name}/report.html"


def _differences(compared: Sequence[ComparedPatient]) -> list[str]:
    if len(compared) < 2:
        return []
    first = compared[0].comparison
    others = [c.comparison for c in compared[1:]]
    return [difference_text(first, other, differences(first, other)) for other in others]


def _write(
    folder: Path, compared: Sequence[ComparedPatient], text: str, record: dict[str, object], progress: Progress
) -> None:
    pictures = compare_pictures(compared, progress=lambda done, what: progress(0.9 * done, what))
    progress(0.9, "page")
    write_whole(folder / "comparison.txt", f"{text}\n\n{NOT_A_DEVICE}\n".encode())
    write_whole(folder / "comparison.json", json.dumps(record, indent=1).encode())
    write_comparison(folder / "comparison.html", compared, pictures)
    for picture in pictures.all:
        write_picture(folder / "pictures" / f"{picture.name}.png", picture.png)

"""Every bundled case with a prescription, planned and graded.

The hard limits must hold in the delivered dose, and what published plans of the same case reached (``[[expect]]``) is
compared: met or missed, with the number that rtsim gets.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator

import numba

from benchmarks.row import Row, peak_rss_mb
from rtsim.cli.main import parser
from rtsim.cli.planning import plan_of
from rtsim.cli.request import Request, request_of
from rtsim.evaluate import GradeReport, Status, find_structure, grade
from rtsim.io.case import Case, Expectation, case_names, load_case
from rtsim.optimize.measured import Measured
from rtsim.protocol import Metric, Technique

_TABLE = "every bundled case, delivered"


def rows(only: str | None = None) -> Iterator[Row]:
    """One row per bundled case with a protocol or goals of its own, and one for each number that it expects."""
    for name in case_names():
        case = load_case(name)
        planned = case.protocol is not None or (case.prescription is not None and case.goals)
        if planned and (only is None or only in name):
            yield from _rows(name, case)


def _rows(name: str, case: Case) -> Iterator[Row]:
    arguments: Namespace = parser().parse_args(["run", name, "-o", "unused"])
    request = request_of(arguments, None)
    start = time.perf_counter()
    planned = plan_of(request, None)
    seconds = time.perf_counter() - start
    report = grade(
        planned.dose,
        planned.phantom,
        request.prescription,
        request.protocol,
        histology=request.histology,
        certificates=planned.plan.certificates,
    )
    absent = dict.fromkeys(r.goal.structure for r in report.unmeasured_hard_limits)
    unchecked = f"; hard limits NOT CHECKED on {', '.join(absent)}" if absent else ""
    judged = [r for r in report.rows if r.is_judged and not r.is_violation]
    met = sum(r.status is Status.MET for r in judged)
    yield Row(
        case=name,
        table=_TABLE,
        engine=planned.dose.engine,
        spacing_mm=request.spacing_mm,
        threads=numba.get_num_threads(),
        warm_median_s=seconds,
        peak_rss_mb=peak_rss_mb(),
        value=report.target.coverage_percent,
        unit="% of PTV covered",
        goal="every hard limit held",
        met=report.hard_limits_held,
        note=f"{_figures(request, report)}; {met} of {len(judged)} judged goals met{unchecked}",
        sha256=case.sha256,
    )
    measured = Measured(planned.dose, planned.phantom, request.prescription)
    for wanted in case.expects:
        yield _expected(name, case, wanted, measured)


def _expected(name: str, case: Case, wanted: Expectation, measured: Measured) -> Row:
    """A number that published plans reached, beside what this plan reaches; the tolerance is in the same unit."""
    structure = find_structure(measured.phantom, wanted.structure or "PTV", measured.prescription)
    value = None
    if structure is not None:
        value = measured.value(structure, Metric.parse(wanted.quantity, wanted.unit))
    return Row(
        case=name,
        table=_TABLE,
        engine=measured.dose.engine,
        value=value,
        unit=wanted.unit,
        goal=f"{wanted.structure} {wanted.quantity} {wanted.value:g} +- {wanted.tolerance:g} {wanted.unit}",
        met=value is not None and abs(value - wanted.value) <= wanted.tolerance,
        note=f"{wanted.source}; {wanted.note}" if wanted.note else wanted.source,
        sha256=case.sha256,
    )


def _figures(request: Request, report: GradeReport) -> str:
    indices = report.indices
    words = [str(request.prescription), f"D95 {report.target.d95_gy:.1f} Gy"]
    if report.cord is not None:
        words.append(f"cord D0.035cc {report.cord.near_max_gy:.1f} Gy")
    if request.protocol.technique is Technique.STEREOTACTIC:
        words.append(f"Paddick {indices.conformity_paddick:.2f}, GI {indices.gradient_index:.1f}")
        if indices.falloff is not None:
            words.append(f"falloff {indices.falloff.mean_percent_per_mm:.0f} %/mm")
    else:
        words.append(f"D2 {report.target.d2_gy:.1f} Gy")
    return ", ".join(words)

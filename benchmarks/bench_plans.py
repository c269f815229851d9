"""Plans: every bundled case that has a protocol, planned and graded; the cord limit must hold in the delivered dose."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator

import numba

from benchmarks.row import Row, peak_rss_mb
from rtsim.cli.main import parser
from rtsim.cli.request import Request, request_of
from rtsim.cli.run import plan_of
from rtsim.evaluate import GradeReport, grade
from rtsim.io.case import case_names, load_case
from rtsim.protocol import Technique


def rows(only: str | None) -> Iterator[Row]:
    """One row per bundled case with a protocol."""
    for name in case_names():
        case = load_case(name)
        if case.protocol is not None and (only is None or only in name):
            yield _row(name, case.sha256)


def _row(name: str, sha256: str) -> Row:
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
    held = all(c.held for c in planned.plan.certificates)
    return Row(
        case=name,
        engine=planned.dose.engine,
        spacing_mm=request.spacing_mm,
        threads=numba.get_num_threads(),
        warm_median_s=seconds,
        peak_rss_mb=peak_rss_mb(),
        value=report.target.coverage_percent,
        unit="% of PTV covered",
        goal="every hard limit held",
        met=held,
        note=_figures(request, report),
        sha256=sha256,
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

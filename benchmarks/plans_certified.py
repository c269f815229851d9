"""Whether the cord limit holds in the dose of another engine: every stereotactic dose level over every spine case.

Each plan is made and certified as ``rtsim run`` does it (scenarios included), then recomputed by Monte Carlo in eight
independent runs, and its hard limits are judged there: held or broken by 2.43 standard deviations, else not resolved.
The runs are short first; only where their noise hides the answer are they made longer (``LOOKS``). Each look
errs in 0.75 % of the limits that lie just at their edge. It is two hours of work on two cores: a finished row is
kept in ``out/benchmarks/certified`` for this commit and read from there the next time (not where files differ from the
commit); ``--case spine_t8_epidural:24x1`` or ``--case t8:24x1`` chooses one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict

import numba

from benchmarks.plans_asked import asked, stereotactic_spines
from benchmarks.row import ROOT, Row, commit, peak_rss_mb
from rtsim.cli.check import check_plan
from rtsim.cli.planning import plan_of
from rtsim.cli.request import CheckRequest, Request
from rtsim.evaluate import SecondOpinion, Verdict
from rtsim.optimize import Planned
from rtsim.optimize.measured import Measured

LEVELS = {"24x1": ("spine_sbrt_1fx", 24.0), "24/2": ("spine_sbrt_2fx", 24.0)} | {
    "27/3": ("spine_sbrt_3fx", 27.0),
    "30/5": ("spine_sbrt_5fx", 30.0),
}
LOOKS = (
    CheckRequest(engine="monte_carlo", uncertainty_percent=1.5, histories=800_000),
    CheckRequest(engine="monte_carlo", uncertainty_percent=1.5),
)
"""The recomputed doses: the second is computed where the first one decides nothing."""
KEPT = ROOT / "out" / "benchmarks" / "certified"
_TABLE = "hard limits in the dose of an independent engine"


def rows(only: str | None = None) -> Iterator[Row]:
    """One row for each level of each case."""
    for case in stereotactic_spines():
        for level in LEVELS:
            if is_wanted(only, case, level):
                yield _kept_or_new(case, level)


def is_unnamed(state: str) -> bool:
    """Whether ``commit()`` names no one state of the code, so that a kept row might be that of another."""
    return state == "unknown" or state.endswith("-dirty")


def is_wanted(only: str | None, case: str, level: str) -> bool:
    """Whether ``--case`` chooses this level of this case: part of the name, or part of the name:level."""
    if only is None:
        return True
    part, _, wanted = only.partition(":")
    return part in case and wanted in ("", level)


def _kept_or_new(case: str, level: str) -> Row:
    if is_unnamed(commit()):
        return _row(case, level)
    path = KEPT / f"{commit()}_{case}_{level.replace('/', 'in')}.json"
    if path.is_file():
        return Row(**json.loads(path.read_text(encoding="utf-8")))
    row = _row(case, level)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(row)), encoding="utf-8")
    partial.replace(path)
    return row


def _row(case: str, level: str) -> Row:
    protocol, dose_gy = LEVELS[level]
    request = asked(case, "--protocol", protocol, "--dose", f"{dose_gy:g}")
    start = time.perf_counter()
    planned = plan_of(request, None)
    seconds = time.perf_counter() - start
    opinion = _opinion(request, planned)
    return Row(
        case=f"{case}:{level}",
        table=_TABLE,
        engine=f"{opinion.planned_engine}, then {opinion.check_engine}",
        spacing_mm=request.spacing_mm,
        threads=numba.get_num_threads(),
        warm_median_s=seconds,
        peak_rss_mb=peak_rss_mb(),
        value=_coverage(planned, request),
        unit="% of PTV covered",
        goal="every hard limit held in the dose of the other engine",
        met=opinion.verdict is Verdict.HELD and all(c.held for c in planned.plan.certificates),
        note=_limits(opinion),
    )


def _opinion(request: Request, planned: Planned) -> SecondOpinion:
    """The first look that decides; the last one, whatever it says."""
    for wanted in LOOKS:
        opinion = check_plan(request, wanted, planned, lambda done, what: None).opinion
        if opinion.verdict is not Verdict.UNRESOLVED:
            break
    return opinion


def _coverage(planned: Planned, request: Request) -> float:
    measured = Measured(planned.dose, planned.phantom, request.prescription)
    return measured.dvh_of(planned.phantom[request.prescription.target]).volume_percent_at(request.prescription.dose_gy)


def _limits(opinion: SecondOpinion) -> str:
    return "; ".join(limit.statement for limit in opinion.limits) or "no hard limit could be judged"

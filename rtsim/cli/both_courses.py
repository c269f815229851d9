"""An earlier course and the planned one together: judged, and carried into the grade."""

from __future__ import annotations

from dataclasses import replace

from rtsim.cli.previous import judged_in
from rtsim.cli.request import Request
from rtsim.clinic.reirradiation import Reirradiation, Verdict, assess
from rtsim.evaluate import GradeReport
from rtsim.evaluate.earlier_course import BothCourses, EarlierCourse
from rtsim.optimize import Planned


def both_courses(request: Request, planned: Planned) -> Reirradiation | None:
    """What both courses add up to; None without an earlier one."""
    if request.previous is None:
        return None
    return assess(
        planned.dose,
        planned.phantom,
        request.previous,
        technique=request.protocol.technique,
        judged_in=judged_in(request.protocol),
    )


def with_earlier_course(report: GradeReport, found: Reirradiation | None) -> GradeReport:
    """The grade whose risk of myelopathy is that of both courses; unchanged without an earlier one."""
    if found is None or report.cord is None:
        return report
    return replace(report, cord=replace(report.cord, earlier=earlier_course(found)))


def earlier_course(found: Reirradiation) -> EarlierCourse:
    """The numbers and words of it that reports print beside the risk of myelopathy."""
    return EarlierCourse(
        previous=found.previous,
        sums=tuple(
            BothCourses(
                structure=r.name,
                previous_eqd2_gy=r.previous_eqd2_gy,
                accumulated_eqd2_gy=r.accumulated_eqd2_gy,
                is_lower_bound=r.unreached_cm3 > 0.0,
            )
            for r in found.rows
        ),
        conditions=_conditions(found),
        headline=found.headline,
    )


def _conditions(found: Reirradiation) -> str:
    """ "4 of 4 met", "NOT MET: 1 of 4"; conditions that are not asked are not counted. Which: see the headline."""
    count = sum(c.verdict is not Verdict.NOT_ASKED for c in found.conditions)
    if found.unmet:
        return f"NOT MET: {len(found.unmet)} of {count}"
    if found.unknown:
        return f"not known: {len(found.unknown)} of {count}"
    return f"{count} of {count} met"

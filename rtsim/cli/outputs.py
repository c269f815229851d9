"""What ``rtsim run`` leaves behind: report, pictures, DICOM set, result archive."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtsim.cli.beam_record import record_of_beam
from rtsim.cli.check import Checked, NotChecked, record_of_check
from rtsim.cli.reirradiation_record import record_of_reirradiation
from rtsim.cli.request import Request
from rtsim.clinic.reirradiation import Reirradiation
from rtsim.evaluate import GradeReport, delivery_summary
from rtsim.evaluate.effects import fracture_record
from rtsim.io.archive import RunRecord, write_archive
from rtsim.io.dicom_write import write_dicom
from rtsim.optimize import Planned, Tradeoff
from rtsim.typing import Progress
from rtsim.view import arc_picture, check_picture, report_pictures, tradeoff_picture, write_picture, write_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Extras:
    """What was made of a plan beside its grade.

    Attributes:
        tradeoff: other cord limits, and what they would leave of the coverage.
        checked: a second opinion, or why there is none.
        reirradiation: what this and an earlier course add up to.
    """

    tradeoff: Tradeoff | None = None
    checked: Checked | NotChecked | None = None
    reirradiation: Reirradiation | None = None


def record_of(
    request: Request,
    planned: Planned,
    report: GradeReport,
    *,
    name: str,
    version: str,
    seconds: dict[str, float],
    extras: Extras,
) -> RunRecord:
    """What was run and what came of it, in plain values."""
    plan, checked = planned.plan, extras.checked
    return RunRecord(
        version=version,
        case=name,
        case_sha256=planned.phantom.case_sha256,
        machine=request.machine.name,
        protocol=f"{request.protocol.name} (cord limits {request.protocol.cord_limits_name})",
        engine=planned.dose.engine,
        grid=planned.dose.grid.describe(),
        prescription=str(plan.prescription),
        seed=request.seed,
        beams=tuple(record_of_beam(b) for b in plan.beams),
        grade=tuple(
            {
                "structure": r.goal.structure,
                "found_as": r.found_as,
                "metric": str(r.goal.parsed),
                "wanted": r.wanted,
                "value": r.value,
                "unit": r.goal.unit,
                "status": r.status.value,
                "priority": r.goal.priority.value,
                "source": r.goal.source.citation,
                "standing": r.goal.source.standing.label,
                "note": r.note,
            }
            for r in report.rows
        ),
        certificates=tuple(asdict(c) for c in plan.certificates),
        metrics={
            "target": asdict(report.target),
            "indices": asdict(report.indices),
            "hot_spot": asdict(report.hot_spot),
            "cord": None if report.cord is None else report.cord.record,
            "tumor": None if report.tumor is None else report.tumor.record,
            "fracture": None if report.fracture is None else fracture_record(report.fracture),
            "delivery": asdict(delivery_summary(plan)),
            "tradeoff": None if extras.tradeoff is None else _record_of_tradeoff(extras.tradeoff),
            "reirradiation": None if extras.reirradiation is None else record_of_reirradiation(extras.reirradiation),
        },
        notes=(*planned.phantom.notes, *plan.notes, *([checked.reason] if isinstance(checked, NotChecked) else [])),
        seconds=seconds,
        check=record_of_check(checked) if isinstance(checked, Checked) else None,
    )


def _record_of_tradeoff(found: Tradeoff) -> dict[str, Any]:
    return {
        "statement": found.statement,
        "structure": found.structure,
        "metric": found.metric,
        "limit_gy": found.limit_gy,
        "needed_gy": found.needed_gy,
        "limits_gy": found.limits_gy.tolist(),
        "coverage_percent": found.coverage_percent.tolist(),
        "d95_gy": found.d95_gy.tolist(),
        "reached_gy": found.reached_gy.tolist(),
        "delivery_gy": found.delivery_gy,
        "delivery_d95_gy": found.delivery_d95_gy,
        "scaled_with": list(found.scaled_with),
    }


def write_outputs(
    folder: Path,
    request: Request,
    planned: Planned,
    report: GradeReport,
    record: RunRecord,
    progress: Progress,
    *,
    extras: Extras,
) -> None:
    """Write everything into ``folder``."""
    phantom, plan, dose, checked = planned.phantom, planned.plan, planned.dose, extras.checked
    progress(0.0, "DICOM")
    # The CT of a patient is already DICOM, in the folder it came from; that of a phantom was made here.
    write_dicom(folder / "dicom", phantom, plan, dose, ct=not request.is_from_dicom)
    progress(0.3, "archive")
    write_archive(folder, phantom, dose, record, check=checked.dose if isinstance(checked, Checked) else None)
    progress(0.5, "pictures")
    pictures = report_pictures(
        phantom, dose, report, plan=plan, progress=lambda done, what: progress(0.5 + 0.4 * done, what)
    )
    difference = None
    if isinstance(checked, Checked):
        at = plan.beams[0].isocenter_mm
        difference = check_picture(phantom, dose, checked.dose, plan.prescription, at_mm=at)
    traded = None if extras.tradeoff is None else tradeoff_picture(extras.tradeoff)
    arcs = tuple(arc_picture(b) for b in plan.beams if b.is_arc)
    for picture in (*pictures.all, *arcs, *(p for p in (traded, difference) if p)):
        write_picture(folder / "pictures" / f"{picture.name}.png", picture.png)
    if pictures.problem:
        # The report says so too; a machine without OpenGL still gets its plan.
        logger.warning("no 3-D picture: %s", pictures.problem)
    progress(0.95, "report")
    write_report(
        folder / "report.html",
        phantom,
        dose,
        report,
        plan=plan,
        record=record,
        pictures=pictures,
        tradeoff=traded,
        arcs=arcs,
        check=checked.opinion if isinstance(checked, Checked) else None,
        check_picture=difference,
        not_checked=checked.reason if isinstance(checked, NotChecked) else "",
        reirradiation=extras.reirradiation,
    )

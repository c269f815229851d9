"""The report: one HTML file that holds everything, pictures included, for screen and paper."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from rtsim.beams.model import Beam
from rtsim.clinic.reirradiation import Reirradiation
from rtsim.dose.result import Dose
from rtsim.evaluate import (
    Comparison,
    DeliverySummary,
    GoalRow,
    GradeReport,
    SecondOpinion,
    Status,
    Verdict,
    beam_summary,
    delivery_summary,
)
from rtsim.evaluate.opinion import signed
from rtsim.io.archive import RunRecord
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import Prescription, Priority
from rtsim.view._backend import write_picture
from rtsim.view.reirradiation_html import reirradiation_section
from rtsim.view.report_biology import biology_section
from rtsim.view.report_pictures import Picture, ReportPictures, report_pictures
from rtsim.view.report_style import CSS

_BANNER: Final = "A simulation for teaching and research. Not a medical device; not for the treatment of patients."


def write_report(
    path: str | Path,
    phantom: Phantom,
    dose: Dose,
    grade: GradeReport,
    *,
    plan: Plan | None = None,
    record: RunRecord | None = None,
    pictures: ReportPictures | None = None,
    tradeoff: Picture | None = None,
    arcs: Sequence[Picture] = (),
    check: SecondOpinion | None = None,
    check_picture: Picture | None = None,
    not_checked: str = "",
    reirradiation: Reirradiation | None = None,
) -> Path:
    """Write :func:`report_html` to ``path`` (temporary name, then renamed)."""
    text = report_html(
        phantom,
        dose,
        grade,
        plan=plan,
        record=record,
        pictures=pictures,
        tradeoff=tradeoff,
        arcs=arcs,
        check=check,
        check_picture=check_picture,
        not_checked=not_checked,
        reirradiation=reirradiation,
    )
    return write_picture(path, text.encode("utf-8"))


def report_html(
    phantom: Phantom,
    dose: Dose,
    grade: GradeReport,
    *,
    plan: Plan | None = None,
    record: RunRecord | None = None,
    pictures: ReportPictures | None = None,
    tradeoff: Picture | None = None,
    arcs: Sequence[Picture] = (),
    check: SecondOpinion | None = None,
    check_picture: Picture | None = None,
    not_checked: str = "",
    reirradiation: Reirradiation | None = None,
) -> str:
    """One HTML document: hard limits first, then goals, pictures, DVH, biology, beams, and what was run.

    Args:
        pictures: what :func:`rtsim.view.report_pictures` drew; None draws them.
        tradeoff: what :func:`rtsim.view.tradeoff_picture` drew; it follows the hard limits, which it explains.
        arcs: what :func:`rtsim.view.arc_picture` drew of each arc; they follow the beams.
        check: a second opinion on the plan; its verdict joins the hard limits, its numbers follow the goals.
        check_picture: what :func:`rtsim.view.check_picture` drew of it.
        not_checked: why a second opinion that was wanted is not there.
        reirradiation: what this and an earlier course add up to; it follows the hard limits.
    """
    drawn = report_pictures(phantom, dose, grade, plan=plan) if pictures is None else pictures
    title = f"{phantom.name}: {grade.prescription}"
    delivery = None if plan is None else delivery_summary(plan)
    parts = [
        f"<p class='banner'>{escape(_BANNER)}</p>",
        f"<h1>{escape(title)}</h1>",
        f"<p class='lead'>{escape(lead(phantom.description, grade.prescription))}</p>" if phantom.description else "",
        _obstacles_box(delivery),
        _limits_box(grade, check, not_checked),
        reirradiation_section(reirradiation),
        "" if tradeoff is None else "<h2>What other cord limits would leave</h2>" + _figure(tradeoff),
        "<h2>Goals</h2>",
        _goal_table(grade),
        _check_section(check, check_picture),
        "<h2>Pictures</h2>",
        _figure(drawn.slices),
        _scenes(drawn),
        "<h2>Dose and volume</h2>",
        _figure(drawn.dvh),
        _target_table(grade),
        biology_section(grade),
        _plan_table(plan, delivery, grade),
        *(_figure(p) for p in arcs),
        _run_table(phantom, dose, grade, record),
        _sources(grade),
    ]
    body = "\n".join(p for p in parts if p)
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<title>{escape(title)}</title>\n"
        f"<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _obstacles_box(delivery: DeliverySummary | None) -> str:
    """In red, above everything that praises the plan."""
    if delivery is None or not delivery.obstacles:
        return ""
    items = "".join(f"<li>{escape(o)}</li>" for o in delivery.obstacles)
    return (
        "<section class='limits bad'><h2>NOT DELIVERABLE</h2><p>The machine cannot deliver this plan as it is, so that "
        f"the dose below is not what a patient would get.</p><ul>{items}</ul></section>"
    )


def lead(description: str, prescription: Prescription) -> str:
    """Who is planned; a case may name another scheme than that of the report."""
    schemes = re.findall(r"[0-9.]+ Gy in [0-9]+", description)
    if not schemes or f"{prescription.dose_gy:g} Gy in {prescription.fractions}" in schemes:
        return description
    return f"{description}. (So the case; this report is about {prescription}.)"


def _limits_box(grade: GradeReport, check: SecondOpinion | None, not_checked: str) -> str:
    held = grade.hard_limits_held
    verdict = None if check is None else check.verdict
    head = "Hard limits held" if held else "HARD LIMIT VIOLATED"
    lines = [f"<p><b>{escape(text)}</b></p>" for text in grade.position_headlines]
    lines += [f"<p><b>{escape(text)}</b></p>" for text in grade.unlimited]
    said = (*(c.statement for c in grade.certificates), *grade.margin_sentences, *grade.information)
    lines += [f"<p>{escape(text)}</p>" for text in said]
    measured = [r for r in grade.rows if r.goal.priority is Priority.HARD and r.value is not None]
    if measured:
        items = "".join(
            f"<li><b>{escape(str(r.found_as))}</b> {escape(r.goal.parsed.name)}: {escape(r.got)}, limit "
            f"{escape(r.wanted)}{' <b>VIOLATED</b>' if r.is_violation else ''}</li>"
            for r in measured
        )
        lines.append(f"<ul>{items}</ul>")
    if not measured and not grade.certificates:
        head = "No hard limit was measured"
    open_limits = list(dict.fromkeys(r.goal.structure for r in grade.unmeasured_hard_limits))
    if open_limits:
        lines.append(
            f"<p>Not checked, because not drawn or outside the dose grid: {escape(', '.join(open_limits))}.</p>"
        )
    lines.append(
        f"<p>{escape(grade.goals_sentence)} {escape(grade.target.name)}: "
        f"{grade.target.coverage_percent:.1f} % gets the prescribed dose.</p>"
    )
    if grade.tumor is not None and grade.tumor.headline:
        lines.append(f"<p><b>{escape(grade.tumor.headline)}</b></p>")
    if check is not None:
        lines.append(f"<p><b>Second opinion:</b> {escape(check.headline)}</p>")
        if held and verdict is Verdict.BROKEN:
            head = "Hard limits held in the plan, BROKEN IN THE CHECK"
        elif held and verdict is not Verdict.HELD:
            head += ", not confirmed by the check"
    if not_checked:
        lines.append(f"<p><b>Second opinion:</b> {escape(not_checked)}</p>")
        head += ", not checked by a second engine" if held else ""
    kind = "good" if held and (measured or grade.certificates) else "open" if held else "bad"
    if check is not None and kind == "good" and verdict is not Verdict.HELD:
        kind = "bad" if verdict is Verdict.BROKEN else "open"
    head += ", but something named like a cord is not limited" if held and grade.unlimited else ""
    kind = "open" if (not_checked or grade.unlimited) and kind == "good" else kind
    return f"<section class='limits {kind}'><h2>{escape(head)}</h2>{''.join(lines)}</section>"


def _goal_table(grade: GradeReport) -> str:
    numbers = {source: i + 1 for i, source in enumerate(grade.sources)}
    head = "<tr><th>verdict<th>structure<th>metric<th>wanted<th>got<th>priority<th>source and standing</tr>"
    rows = "".join(_goal_row(r, numbers[r.goal.source]) for r in grade.shown_rows)
    notes = "".join(f"<li>{escape(n)}</li>" for n in grade.notes)
    absent = ", ".join(grade.absent_structures)
    return (
        f"<table class='goals'><thead>{head}</thead><tbody>{rows}</tbody></table>"
        + (f"<ul class='notes'>{notes}</ul>" if notes else "")
        + (f"<p class='notes'>Not drawn, so not judged: {escape(absent)}.</p>" if absent else "")
    )


def _check_section(check: SecondOpinion | None, picture: Picture | None) -> str:
    """The second opinion: what computed it, both doses metric by metric, gamma, and where they differ."""
    if check is None:
        return ""
    head = "<tr><th>structure<th>metric<th>plan<th>check<th>\u00b1 1 \u03c3<th>difference<th>noise, taken off</tr>"
    rows = "".join(_check_row(row) for row in check.rows)
    gammas = "".join(f"<li>{escape(str(g))}</li>" for g in check.gammas)
    notes = "".join(f"<li>{escape(n)}</li>" for n in (*check.changed, *check.notes))
    return (
        f"<h2>Second opinion</h2><p>Plan: {escape(check.planned_engine)}. Check: {escape(check.check_engine)}; "
        f"{escape(check.noise_text)}.</p><table><thead>{head}</thead><tbody>{rows}</tbody></table><ul>{gammas}</ul>"
        + ("" if picture is None else _figure(picture))
        + f"<ul class='notes'>{notes}</ul>"
    )


def _check_row(row: Comparison) -> str:
    unit = escape(row.metric.unit.value)
    share = "" if row.difference_percent is None else f" <small>{signed(row.difference_percent, 1)} %</small>"
    return (
        f"<tr><td>{escape(row.structure)}<td>{escape(str(row.metric))}<td class='n'>{row.planned:.2f} {unit}"
        f"<td class='n'>{row.checked:.2f} {unit}<td class='n'>{row.uncertainty:.2f}"
        f"<td class='n'>{signed(row.difference, 2)} {unit}{share}<td class='n'>{signed(row.noise_bias, 2)}</tr>"
    )


def _goal_row(row: GoalRow, number: int) -> str:
    kind = (
        "violated"
        if row.is_violation
        else "met"
        if row.status is Status.MET
        else "missed"
        if row.status is Status.MISSED
        else "absent"
    )
    unknown = "\u2013 " if row.status is Status.AS_CORD else "? "
    sign = {"violated": "\u2716 ", "met": "\u2714 ", "missed": "\u2716 ", "absent": unknown}[kind]
    found = "" if row.found_as in (None, row.goal.structure) else f" <small>{escape(str(row.found_as))}</small>"
    standing = row.goal.source.standing
    return (
        f"<tr class='{kind}'><td>{sign}{escape(row.verdict)}<td>{escape(row.goal.structure)}{found}"
        f"<td>{escape(row.goal.parsed.name)}<td class='n'>{escape(row.wanted)}<td class='n'>{escape(row.got)}"
        f"<td>{escape(row.goal.priority.value)}<td><a href='#s{number}'>[{number}]</a> "
        f"<span class='standing {standing.name.lower()}'>{escape(standing.label)}</span></tr>"
    )


def _figure(picture: Picture) -> str:
    data = b64encode(picture.png).decode("ascii")
    return (
        f"<figure><img alt='{escape(picture.caption)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _scenes(pictures: ReportPictures) -> str:
    missing = f"<p class='notes'>No 3-D picture: {escape(pictures.problem)}.</p>" if pictures.problem else ""
    return missing + "".join(_figure(p) for p in pictures.scenes)


def _target_table(grade: GradeReport) -> str:
    t, i = grade.target, grade.indices
    rows = [
        ("volume", f"{t.volume_cm3:.2f} cm3"),
        ("gets the prescription", f"{t.coverage_percent:.1f} %"),
        ("D98% / D95%", f"{t.d98_gy:.2f} / {t.d95_gy:.2f} Gy"),
        ("D50% / D2%", f"{t.d50_gy:.2f} / {t.d2_gy:.2f} Gy"),
        ("minimum / mean / maximum, between voxel centers", f"{t.min_gy:.2f} / {t.mean_gy:.2f} / {t.max_gy:.2f} Gy"),
        ("hottest voxel", str(grade.hot_spot)),
        ("conformity (Paddick)", f"{i.conformity_paddick:.3f}"),
        ("conformity (RTOG)", f"{i.conformity_rtog:.2f}"),
        ("homogeneity (ICRU 83)", f"{i.homogeneity_icru83:.3f}"),
        ("homogeneity (RTOG)", f"{i.homogeneity_rtog:.2f}"),
        ("gradient index", f"{i.gradient_index:.2f}"),
        ("R50", f"{i.r50:.2f}"),
    ]
    if grade.hot_spot.islands:
        rows.append(("half of the dose elsewhere", grade.hot_spot.apart))
    if i.falloff is not None:
        f = i.falloff
        rows.append(
            (
                "falloff from target to cord",
                f"{f.mean_percent_per_mm:.1f} %/mm over {f.distance_mm:.1f} mm, steepest "
                f"{f.steepest_percent_per_mm:.1f} %/mm",
            )
        )
    return f"<h3>{escape(t.name)}</h3>" + _pairs(rows)


def _plan_table(plan: Plan | None, delivery: DeliverySummary | None, grade: GradeReport) -> str:
    if plan is None or delivery is None:
        return ""
    head = "<tr><th>beam<th>kind<th>gantry<th>couch<th>collimator<th>shapes<th>wedge<th>time<th>MU</tr>"
    rows = "".join(_beam_row(b) for b in plan.beams)
    total = (
        f"<tr class='total'><td colspan='8'>all beams, one fraction of {grade.prescription.fractions}"
        f"<td class='n'>{plan.monitor_units:.1f}</tr>"
    )
    notes = "".join(f"<li>{escape(n)}</li>" for n in (*delivery.obstacles, *plan.notes))
    return (
        f"<h2>Beams</h2><p>Delivery: {escape(str(delivery))}.</p>"
        f"<table><thead>{head}</thead><tbody>{rows}{total}</tbody></table>"
        + (f"<ul class='notes'>{notes}</ul>" if notes else "")
    )


def _beam_row(beam: Beam) -> str:
    b = beam_summary(beam)
    wedge = "-" if beam.wedge is None else f"{beam.wedge.angle_deg:g}\u00b0"
    return (
        f"<tr><td>{escape(b.name)}<td>{escape(b.kind)}<td class='n'>{escape(b.gantry)}"
        f"<td class='n'>{b.couch_deg:g}\u00b0<td class='n'>{b.collimator_deg:g}\u00b0"
        f"<td class='n'>{escape(b.apertures)}<td class='n'>{wedge}"
        f"<td class='n'>{b.time}<td class='n'>{b.monitor_units:.1f}</tr>"
    )


def _run_table(phantom: Phantom, dose: Dose, grade: GradeReport, record: RunRecord | None) -> str:
    rows = [
        ("engine", dose.engine or "not named"),
        ("dose grid", grade.grid),
        ("CT", phantom.grid.describe()),
        ("protocol", grade.protocol or "goals given one by one"),
        ("case sha256", phantom.case_sha256 or "none (made in memory)"),
    ]
    if record is not None:
        rows = [
            ("rtsim", record.version),
            ("case", record.case),
            *rows,
            ("machine", record.machine),
            ("seed", "none" if record.seed is None else str(record.seed)),
        ]
        rows += [(f"time: {step}", f"{seconds:.1f} s") for step, seconds in record.seconds.items()]
    notes = "".join(f"<li>{escape(n)}</li>" for n in phantom.ct.notes)
    return "<h2>What was run</h2>" + _pairs(rows) + (f"<ul class='notes'>{notes}</ul>" if notes else "")


def _sources(grade: GradeReport) -> str:
    items = "".join(f"<li id='s{i}'>{escape(str(s))}</li>" for i, s in enumerate(grade.sources, start=1))
    return f"<h2>Sources of the goals</h2><ol>{items}</ol>" if items else ""


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "<table class='pairs'>" + "".join(f"<tr><th>{escape(a)}<td>{escape(b)}</tr>" for a, b in rows) + "</table>"

"""The page of a comparison: one HTML file that holds everything, pictures included, for screen and paper."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from rtsim import __version__
from rtsim.evaluate.comparison import PatientComparison, differences
from rtsim.evaluate.comparison_text import Line, comparison_lines, difference_lines, missed_goals
from rtsim.evaluate.comparison_verdict import Verdict, headline, verdict
from rtsim.evaluate.comparison_words import caveats, difference_lesson, sentences
from rtsim.view._backend import write_picture
from rtsim.view.compare_model import ComparedPatient
from rtsim.view.compare_pictures import ComparisonPictures, PatientPictures, compare_pictures
from rtsim.view.report_pictures import Picture
from rtsim.view.report_style import CSS

_BANNER: Final = "A simulation for teaching and research. Not a medical device; not for the treatment of patients."
_EXTRA_CSS: Final = """
main { max-width: 1180px; }
.verdict { border: 2px solid #1F4E8C; border-left-width: 10px; border-radius: 4px; background: #f2f6fb;
  padding: 10px 16px; margin: 14px 0; }
.verdict h2 { margin: 0 0 4px; border: 0; font-size: 21px; color: #1F4E8C; }
.verdict p { margin: 4px 0; } .verdict ul { margin: 4px 0; padding-left: 20px; }
.verdict.radiosurgery { border-color: #B8420F; background: #fdf4ee; } .verdict.radiosurgery h2 { color: #B8420F; }
table.side th, table.side td { text-align: right; white-space: nowrap; }
table.side th:first-child, table.side td:first-child { text-align: left; white-space: normal; }
table.side thead th { color: var(--ink); font-size: 15px; }
table.side thead th.conventional, table.side thead tr.kind th.conventional { color: #1F4E8C; }
table.side thead th.stereotactic, table.side thead tr.kind th.stereotactic { color: #B8420F; }
table.side thead tr.kind th { text-align: center; font-size: 13px; border-bottom: 0; padding-bottom: 0; }
table.side tr.group td { padding-top: 14px; font-weight: 700; border-bottom: 1px solid var(--ink); }
table.side tr.key td { font-weight: 700; }
table.side td.warn { color: var(--bad); }
.patient { border-top: 3px solid var(--ink); margin-top: 40px; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--muted); }
@media print { main { max-width: none; } .notes { font-size: 9.5px; } table.side { font-size: 9.5px; }
  details > * { display: block; } .patient { break-before: page; } }
"""


def write_comparison(
    path: str | Path,
    patients: Sequence[ComparedPatient],
    pictures: ComparisonPictures | None = None,
    *,
    version: str = __version__,
) -> Path:
    """Write :func:`comparison_html` to ``path`` (temporary name, then renamed)."""
    return write_picture(path, comparison_html(patients, pictures, version=version).encode("utf-8"))


def comparison_html(
    patients: Sequence[ComparedPatient], pictures: ComparisonPictures | None = None, *, version: str = __version__
) -> str:
    """One HTML document: what differs between patients; for each the lesson, the balance, doses, table, histograms.

    Args:
        pictures: what :func:`rtsim.view.compare_pictures.compare_pictures` drew; None draws them.
    """
    pictures = compare_pictures(patients) if pictures is None else pictures
    names = [p.comparison.name for p in patients]
    title = f"{names[0]}: the same patient, side by side" if len(names) == 1 else f"Side by side: {', '.join(names)}"
    parts = [f"<p class='banner'>{escape(_BANNER)}</p>", f"<h1>{escape(title)}</h1>"]
    parts += [_headlines(patients), _difference_section(patients, pictures)]
    for patient, drawn in zip(patients, pictures.patients, strict=True):
        parts += _patient(patient, drawn, is_only=len(patients) == 1)
    parts += [_sources([p.comparison for p in patients]), _foot(version)]
    body = "\n".join(p for p in parts if p)
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<title>{escape(title)}</title>\n"
        f"<style>{CSS}{_EXTRA_CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _patient(patient: ComparedPatient, drawn: PatientPictures, *, is_only: bool) -> list[str]:
    c = patient.comparison
    return [
        "" if is_only else f"<h1 class='patient'>{escape(c.name)}</h1>",
        f"<p class='lead'>{escape(c.description)}</p>" if c.description else "",
        _limits_box(c),
        _earlier_box(c),
        _verdict_box(c),
        _figure(drawn.balance),
        "<h2>The dose, as tumor and cord feel it</h2>",
        _figure(drawn.doses),
        "<h2>Side by side</h2>",
        _table(c),
        _links(patient),
        "<h2>Dose and volume</h2>",
        _figure(drawn.dvh),
        "<h2>How far to trust these numbers</h2>",
        _list(caveats(c)),
        _adequacies(c),
        _plan_notes(patient),
    ]


def _limits_box(patient: PatientComparison) -> str:
    """Only where something is wrong: a limit that is not held, a plan that there is not, one no machine delivers."""
    lines = [
        f"<b>{escape(r.scheme.title)}</b>: {escape(r.report.headline)}"
        for r in patient.results
        if not r.report.hard_limits_held
    ]
    lines += [f"<b>{escape(n.scheme.title)}</b>: no plan. {escape(n.reason)}" for n in patient.not_planned]
    lines += [
        f"<b>{escape(r.scheme.title)}</b> is NOT DELIVERABLE: {escape(o)}"
        for r in patient.results
        if r.delivery is not None
        for o in r.delivery.obstacles
    ]
    if not lines:
        return ""
    head = "HARD LIMIT NOT HELD" if not patient.hard_limits_held else "Not every scheme can be given"
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<section class='limits bad'><h2>{escape(head)}</h2><ul>{items}</ul></section>"


def _earlier_box(patient: PatientComparison) -> str:
    """After an earlier course: which, and what each plan makes of it."""
    if not patient.previous:
        return ""
    judged = [(r.scheme.title, r.earlier) for r in patient.results if r.earlier is not None]
    items = "".join(f"<li><b>{escape(title)}</b>: {escape(earlier.headline)}" for title, earlier in judged)
    head = f"After an earlier course: {patient.previous}"
    return f"<section class='limits open'><h2>{escape(head)}</h2><ul>{items}</ul></section>"


def _verdict_box(patient: PatientComparison) -> str:
    kind = "radiosurgery" if verdict(patient) is Verdict.RADIOSURGERY else ""
    said = " ".join(f"<b>{escape(s.about)}:</b> {escape(s.text)}" for s in sentences(patient))
    return f"<section class='verdict {kind}'><h2>{escape(headline(patient))}</h2><p>{said}</p></section>"


def _table(patient: PatientComparison) -> str:
    results = patient.results
    kinds = "".join(
        f"<th class='{technique}' colspan='{len(list(group))}'>{technique}"
        for technique, group in groupby(r.scheme.technique.value for r in results)
    )
    heads = "".join(
        f"<th class='{r.scheme.technique.value}'>{r.scheme.dose_gy:g} Gy in {r.scheme.fractions}" for r in results
    )
    rows, group = [], ""
    for line in comparison_lines(patient):
        if line.group != group:
            group = line.group
            heading = f"{group[0].upper()}{group[1:]}"
            rows.append(f"<tr class='group'><td colspan='{len(results) + 1}'>{escape(heading)}</tr>")
        rows.append(_row(line))
    notes = _list(tuple(f"! {n}" for n in missed_goals(patient)))
    return (
        f"<table class='side'><thead><tr class='kind'><th>{kinds}</tr><tr><th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{notes}"
    )


def _row(line: Line) -> str:
    cells = "".join(f"<td{' class=warn' if _is_warning(c) else ''}>{escape(c)}" for c in line.cells)
    return f"<tr{' class=key' if line.is_key else ''}><td>{escape(line.title)}{cells}</tr>"


def _is_warning(cell: str) -> bool:
    return any(word in cell for word in ("TOO WEAK", "UNDERDOSED", "NOT HELD", "NOT MET", "!"))


def _difference_section(patients: Sequence[ComparedPatient], pictures: ComparisonPictures) -> str:
    first = patients[0].comparison
    parts = []
    for other, picture in zip(patients[1:], pictures.differences, strict=True):
        found = differences(first, other.comparison)
        if not found:
            continue
        heads = "".join(f"<th class='{d.scheme.technique.value}'>{escape(d.scheme.label)}" for d in found)
        rows = "".join(
            _row(Line(group="", title=x.title, cells=x.cells, is_key=x.is_key)) for x in difference_lines(found)
        )
        parts.append(
            f"<h2>{escape(other.comparison.name)} minus {escape(first.name)}</h2>"
            f"{_paragraph(difference_lesson(found))}"
            f"<table class='side'><thead><tr><th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
            + ("" if picture is None else _figure(picture))
        )
    return "".join(parts)


def _headlines(patients: Sequence[ComparedPatient]) -> str:
    """Of several patients: what is found of each, in a line."""
    if len(patients) == 1:
        return ""
    rows = (f"<li><b>{escape(p.comparison.name)}</b>: {escape(headline(p.comparison))}" for p in patients)
    return f"<section class='verdict'><ul>{''.join(rows)}</ul></section>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _links(patient: ComparedPatient) -> str:
    kept = [f"<a href='{escape(p.link)}'>{escape(p.result.scheme.label)}</a>" for p in patient.plans if p.link]
    return f"<p>Reports of the plans: {', '.join(kept)}.</p>" if kept else ""


def _adequacies(patient: PatientComparison) -> str:
    said = [f"{r.scheme.label}: {' '.join(r.adequacy_sentences)}" for r in patient.results if r.adequacy_sentences]
    return "<h3>Is the dose given for such a tumor?</h3>" + _list(tuple(said)) if said else ""


def _plan_notes(patient: ComparedPatient) -> str:
    parts = []
    for plan in patient.plans:
        report = plan.result.report
        said = (*(c.statement for c in report.certificates), report.goals_sentence, *plan.notes)
        delivery = () if plan.result.delivery is None else (f"delivery: {plan.result.delivery}",)
        parts.append(
            f"<details><summary>{escape(plan.result.scheme.title)}: protocol {escape(plan.result.scheme.protocol)}, "
            f"{escape(report.engine)} on {escape(report.grid)}</summary>{_list((*said, *delivery))}</details>"
        )
    return "<h3>How each plan was made, and its certificates</h3>" + "".join(parts)


def _sources(patients: Sequence[PatientComparison]) -> str:
    found = dict.fromkeys(s for p in patients for s in p.sources)
    items = "".join(
        f"<li>{escape(s.citation)} <span class='standing {s.standing.name.lower()}'>{escape(s.standing.label)}</span>"
        for s in found
    )
    return f"<h2>Sources, and how far each was checked</h2><ol>{items}</ol>"


def _foot(version: str) -> str:
    return f"<p class='notes'>rtsim {escape(version)}. {escape(_BANNER)}</p>"


def _list(lines: Sequence[str]) -> str:
    return "<ul class='notes'>" + "".join(f"<li>{escape(n)}</li>" for n in lines) + "</ul>" if lines else ""


def _figure(picture: Picture) -> str:
    data = b64encode(picture.png).decode("ascii")
    return (
        f"<figure><img alt='{escape(picture.caption, quote=True)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )

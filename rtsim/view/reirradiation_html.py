"""The section of the report on an earlier course: its dose, this one's, both together, and the conditions on them."""

from __future__ import annotations

from html import escape
from typing import Final

from rtsim.clinic.reirradiation import Condition, CourseSum, Reirradiation, Verdict

_SIGN: Final = {
    Verdict.MET: ("met", "\u2714 "),
    Verdict.NOT_MET: ("missed", "\u2716 "),
    Verdict.NOT_KNOWN: ("absent", "? "),
    Verdict.NOT_ASKED: ("absent", ""),
}


def reirradiation_section(found: Reirradiation | None) -> str:
    """A box with the headline, then doses by structure, the four conditions, and the budget by number of fractions."""
    if found is None:
        return ""
    kind = "bad" if found.is_held is False else "open" if found.unmet or found.unknown else "good"
    head = (
        "<tr><th>structure<th>before<th>EQD2<th>this course<th>EQD2<th>both maxima<th>accumulated voxel by voxel</tr>"
    )
    rows = "".join(_row(r) for r in found.rows)
    asked = "<tr><th>verdict<th>condition<th>wanted<th>got<th>why<th>source and standing</tr>"
    numbers = {source: n for n, source in enumerate(found.sources, start=1)}
    items = "".join(_condition(c, numbers[c.source]) for c in found.conditions)
    notes = "".join(f"<li>{escape(n)}</li>" for n in found.notes)
    sources = "".join(f"<li id='r{n}'>[R{n}] {escape(str(s))}</li>" for s, n in numbers.items())
    return (
        f"<section class='limits {kind}'><h2>Re-irradiation</h2><p><b>{escape(found.headline)}</b></p>"
        f"<p>Previous course: {escape(found.previous)}.</p></section>"
        f"<h3>Dose of both courses</h3><table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        f"<p class='notes'>D0.035cc; EQD2 with alpha/beta 2 Gy.</p>"
        f"<h3>Conditions on a second course</h3><table class='goals'><thead>{asked}</thead><tbody>{items}</tbody>"
        f"</table>{_budgets(found)}<ul class='notes'>{notes}{sources}</ul>"
    )


def _row(r: CourseSum) -> str:
    least = "\u2265 " if r.unreached_cm3 > 0.0 else ""
    return (
        f"<tr><td>{escape(r.name)}<td class='n'>{least}{r.previous_gy:.2f} Gy<td class='n'>{least}"
        f"{r.previous_eqd2_gy:.1f} Gy<td class='n'>{r.this_gy:.2f} Gy<td class='n'>{r.this_eqd2_gy:.1f} Gy"
        f"<td class='n'>{least}{r.added_eqd2_gy:.1f} Gy<td class='n'>{least}{r.accumulated_eqd2_gy:.1f} Gy</tr>"
    )


def _condition(c: Condition, number: int) -> str:
    kind, sign = _SIGN[c.verdict]
    standing = c.source.standing
    return (
        f"<tr class='{kind}'><td>{sign}{escape(c.verdict.value)}<td>{escape(c.name)}<td class='n'>{escape(c.wanted)}"
        f"<td class='n'>{escape(c.got)}<td>{escape(c.reason)}<td><a href='#r{number}'>[R{number}]</a> "
        f"<span class='standing {standing.name.lower()}'>{escape(standing.label)}</span></tr>"
    )


def _budgets(found: Reirradiation) -> str:
    if found.budget is None:
        why = "Nothing was left of the cord's budget." if found.judged.is_known else "The cord's budget is not known."
        return f"<p>{why}</p>"
    halves = (found.table[:15], found.table[15:])
    rows = "".join(
        "<tr><th>fractions"
        + "".join(f"<td class='n'><b>{b.fractions}</b>" for b in half)
        + "</tr><tr><th>Gy"
        + "".join(f"<td class='n'>{b.dose_gy:.1f}" for b in half)
        + "</tr>"
        for half in halves
        if half
    )
    standing = found.budget.source.standing
    return (
        f"<h3>What was left</h3><p>For this course {escape(str(found.budget))}, by {escape(found.budget.rule.value)} "
        f"<span class='standing {standing.name.lower()}'>{escape(standing.label)}</span>. By number of fractions, Gy:"
        f"</p><table>{rows}</table>"
    )

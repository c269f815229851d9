"""A comparison as a text table: one column for each scheme; and the differences of two patients."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rtsim.biology import AdequacyVerdict
from rtsim.evaluate.comparison import CordPays, Difference, PatientComparison, SchemeResult
from rtsim.evaluate.comparison_verdict import headline
from rtsim.evaluate.comparison_words import caveats, difference_lesson, lesson
from rtsim.evaluate.report import risk_text

_WIDTH: Final = 110
NONE: Final = "-"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the table.

    Attributes:
        group: heading that it stands under.
        cells: one for each plan.
        is_key: one of the few numbers that the comparison is about.
    """

    group: str
    title: str
    cells: tuple[str, ...]
    is_key: bool = False


def comparison_lines(patient: PatientComparison) -> tuple[Line, ...]:
    """Every row: target, cord, plan, delivery, neighbors. Text and page show the same."""
    results = patient.results
    lines = [*_target_lines(patient), *_cord_lines(results), *_bone_lines(results), *_plan_lines(results)]
    for organ in patient.neighbors:
        cells = tuple(_neighbor(r, organ) for r in results)
        lines.append(Line(group=NEIGHBORS, title=organ.replace("_", " "), cells=cells))
    return tuple(lines)


TARGET: Final = "the tumor gets"
CORD: Final = "the cord pays"
BONE: Final = "the bone pays (vertebrae treated with such a dose per fraction)"
PLAN: Final = "the plan"
NEIGHBORS: Final = "the neighbors get, Gy (D0.035cc; EQD2 of it at alpha/beta 3; mean, > of an organ cut by the grid)"


def _target_lines(patient: PatientComparison) -> list[Line]:
    results, ratio = patient.results, patient.alpha_beta_gy
    name = results[0].tumor.structure
    has_control = any(r.tumor.tcp_log_logistic is not None for r in results)
    lines = [
        _line(TARGET, f"{name} D95%", results, lambda r: f"{r.tumor.d95_gy:.1f} Gy"),
        _line(TARGET, f"EQD2 (alpha/beta {ratio:g})", results, lambda r: f"{r.tumor.d95_eqd2_gy:.1f} Gy", is_key=True),
        _line(TARGET, f"BED (alpha/beta {ratio:g})", results, lambda r: f"{r.tumor.d95_bed_gy:.1f} Gy"),
    ]
    if has_control:
        lines += [
            _line(
                TARGET,
                "control, log-logistic",
                results,
                lambda r: _control(r.tumor.tcp_log_logistic, r.is_extrapolated),
                is_key=True,
            ),
            _line(TARGET, "control, Poisson", results, lambda r: _control(r.tumor.tcp_poisson, r.is_extrapolated)),
        ]
    if any(r.adequacy is not None for r in results):
        lines.append(_line(TARGET, "dose for this tumor", results, _adequacy))
    return [
        *lines,
        _line(TARGET, "PTV D95%", results, lambda r: f"{r.report.target.d95_gy:.1f} Gy"),
        _line(TARGET, "PTV coverage", results, lambda r: f"{r.coverage_percent:.0f} % (V{r.covered_at:.0f}%)"),
        _line(TARGET, "PTV volume", results, lambda r: f"{r.report.target.volume_cm3:.0f} cm3"),
    ]


def _cord_lines(results: Sequence[SchemeResult]) -> list[Line]:
    if all(r.cord is None for r in results):
        return []
    name = next(r.cord.structure for r in results if r.cord is not None)
    rows: list[tuple[str, Callable[[CordPays], str], bool]] = [
        (f"{name} D0.035cc", lambda c: f"{c.near_max_gy:.1f} Gy", False),
        ("of the prescription", lambda c: f"{c.percent_of_prescription:.0f} %", False),
        ("EQD2 (alpha/beta 2)", lambda c: f"{c.eqd2_gy:.1f} Gy", True),
        ("limit", _limit, False),
        ("limit, EQD2", lambda c: NONE if c.limit is None else f"{c.limit.limit_eqd2_gy:.1f} Gy", False),
        ("worst position", _worst, False),
        ("margin left, as planned", lambda c: NONE if c.limit is None else f"{c.limit.margin_gy:.1f} Gy", True),
    ]
    rows += _risk_rows(has_earlier=any(r.earlier is not None for r in results))
    lines = [
        Line(
            group=CORD,
            title=title,
            cells=tuple(NONE if r.cord is None else read(r.cord) for r in results),
            is_key=is_key,
        )
        for title, read, is_key in rows
    ]
    if any(r.earlier is not None for r in results):
        lines.append(_line(CORD, "conditions on 2nd course", results, _conditions, is_key=True))
    return [*lines, _line(CORD, "hard limits", results, lambda r: r.held, is_key=True)]


def _risk_rows(*, has_earlier: bool) -> list[tuple[str, Callable[[CordPays], str], bool]]:
    """After an earlier course that of both first: alone, this course says too little."""
    if not has_earlier:
        return [
            ("risk of myelopathy, logistic", lambda c: _risk(c.risk_logistic), True),
            ("risk of myelopathy, LKB", lambda c: _risk(c.risk_lkb), False),
        ]
    return [
        ("earlier course, EQD2", lambda c: NONE if c.both is None else f"{c.both.previous_eqd2_gy:.1f} Gy", False),
        ("both courses, EQD2", lambda c: NONE if c.both is None else c.both.eqd2_text, True),
        ("risk, both courses, logistic", _both_risk, True),
        ("risk, this one alone, logistic", lambda c: _risk(c.risk_logistic), False),
        ("risk, this one alone, LKB", lambda c: _risk(c.risk_lkb), False),
    ]


def _both_risk(cord: CordPays) -> str:
    return NONE if cord.both is None or cord.risk_logistic is None else cord.both.risk_text


def _conditions(result: SchemeResult) -> str:
    return NONE if result.earlier is None else result.earlier.conditions


def _bone_lines(results: Sequence[SchemeResult]) -> list[Line]:
    if all(r.report.fracture is None for r in results):
        return []
    title = "fractured, in a series"
    return [_line(BONE, title, results, _fractured)]


def _fractured(result: SchemeResult) -> str:
    return NONE if result.report.fracture is None else f"{result.report.fracture.band_percent:.0f} %"


def _plan_lines(results: Sequence[SchemeResult]) -> list[Line]:
    lines = [
        _line(PLAN, "conformity (Paddick)", results, lambda r: f"{r.report.indices.conformity_paddick:.2f}"),
        _line(PLAN, "gradient index", results, lambda r: f"{r.report.indices.gradient_index:.1f}"),
        _line(PLAN, "hottest voxel", results, lambda r: f"{r.report.hot_spot.max_percent:.0f} %"),
    ]
    if any(r.delivery is not None for r in results):
        lines += [
            _line(PLAN, "monitor units, fraction", results, _units),
            _line(PLAN, "time of a fraction", results, _time),
            _line(PLAN, "visits", results, lambda r: f"{r.scheme.fractions}"),
        ]
    return lines


def _line(
    group: str, title: str, results: Sequence[SchemeResult], read: Callable[[SchemeResult], str], is_key: bool = False
) -> Line:
    return Line(group=group, title=title, cells=tuple(read(r) for r in results), is_key=is_key)


def _control(value: float | None, is_extrapolated: bool) -> str:
    return NONE if value is None else f"{100 * value:.0f} %{'*' if is_extrapolated else ''}"


def _adequacy(result: SchemeResult) -> str:
    if result.adequacy is None:
        return NONE
    words = {
        AdequacyVerdict.ADEQUATE: "adequate",
        AdequacyVerdict.PALLIATIVE: "palliative",
        AdequacyVerdict.TOO_WEAK: "TOO WEAK",
        AdequacyVerdict.NO_ROLE: "no place",
    }
    return "UNDERDOSED" if result.is_underdosed else words[result.adequacy.verdict]


def _limit(cord: CordPays) -> str:
    limit = cord.limit
    if limit is None:
        return NONE
    own = limit.structure == cord.structure and limit.metric == "D0.035cc"
    return f"{limit.limit_gy:g} Gy" if own else f"{limit.structure} {limit.metric} {limit.limit_gy:g} Gy"


def _worst(cord: CordPays) -> str:
    return NONE if cord.limit is None or cord.limit.worst_gy is None else f"{cord.limit.worst_gy:.1f} Gy"


def _risk(value: float | None) -> str:
    return NONE if value is None else risk_text(value)


def _units(result: SchemeResult) -> str:
    return NONE if result.delivery is None else f"{result.delivery.monitor_units:.0f}"


def _time(result: SchemeResult) -> str:
    if result.delivery is None or result.delivery.seconds is None:
        return NONE
    return f"{result.delivery.seconds / 60:.1f} min"


def _neighbor(result: SchemeResult, organ: str) -> str:
    found = next((n for n in result.neighbors if n.organ == organ), None)
    if found is None:
        return NONE
    mark = "!" if found.missed else ""
    least = ">" if found.is_truncated else ""
    return f"{found.near_max_gy:.1f}; {found.near_max_eqd2_gy:.1f}; {least}{found.mean_gy:.1f}{mark}"


def comparison_text(patient: PatientComparison) -> str:
    """The whole comparison of one patient for a terminal."""
    mark = "=" if patient.hard_limits_held else "!"
    lines = [mark * _WIDTH, patient.name, *textwrap.wrap(headline(patient), _WIDTH)]
    lines += textwrap.wrap(f"After an earlier course: {patient.previous}.", _WIDTH) if patient.previous else []
    lines.append(mark * _WIDTH)
    lines += [*textwrap.wrap(lesson(patient), _WIDTH), ""]
    rows = comparison_lines(patient)
    heads = [r.scheme.label for r in patient.results]
    first = max(len(row.title) for row in rows) + 2
    widths = [max(len(h), *(len(row.cells[i]) for row in rows)) for i, h in enumerate(heads)]

    def row_text(title: str, cells: Sequence[str]) -> str:
        return f"{title:<{first}}" + "  ".join(c.rjust(w) for c, w in zip(cells, widths, strict=True))

    techniques = [r.scheme.technique.value[: max(widths)] for r in patient.results]
    widths = [max(w, len(t)) for w, t in zip(widths, techniques, strict=True)]
    lines += [row_text("", heads), row_text("", techniques)]
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines += ["", group]
        lines.append(row_text(f"  {row.title}"[:first], row.cells))
    lines += ["", *(text for note in missed_goals(patient) for text in textwrap.wrap(f"! {note}", _WIDTH))]
    lines += [text for note in caveats(patient) for text in textwrap.wrap(note, _WIDTH)]
    for number, source in enumerate(patient.sources, start=1):
        lines += textwrap.wrap(f"[{number}] {source}", _WIDTH, subsequent_indent="    ")
    return "\n".join(line.rstrip() for line in lines)


def missed_goals(patient: PatientComparison) -> tuple[str, ...]:
    """Of the neighbors: which goals of its protocol each plan misses."""
    return tuple(
        f"{r.scheme.label}: {n.organ.replace('_', ' ')} misses {', '.join(n.missed)}"
        for r in patient.results
        for n in r.neighbors
        if n.missed
    )


def difference_lines(found: Sequence[Difference]) -> tuple[Line, ...]:
    """What differs between two patients, one column for each scheme."""
    rows: tuple[tuple[str, Callable[[Difference], float | None], str, int], ...] = (
        ("GTV D95%", lambda d: d.gtv_d95_gy, "Gy", 2),
        ("control", lambda d: d.tcp_points, "points", 1),
        ("cord D0.035cc", lambda d: d.cord_gy, "Gy", 2),
        ("cord EQD2 (alpha/beta 2)", lambda d: d.cord_eqd2_gy, "Gy", 1),
        ("monitor units", lambda d: d.monitor_units_percent, "%", 1),
    )
    if any(d.second.twin is not None for d in found):
        rows = (
            ("same beams: GTV D95%", lambda d: d.gtv_d95_same_beams_gy, "Gy", 2),
            ("same beams: cord D0.035cc", lambda d: d.cord_same_beams_gy, "Gy", 2),
            *((f"own plan: {title}", read, unit, digits) for title, read, unit, digits in rows),
        )
    return tuple(
        Line(
            group="",
            title=title,
            cells=tuple(_signed(read(d), unit, digits) for d in found),
            is_key=title.startswith("same beams"),
        )
        for title, read, unit, digits in rows
    )


def _signed(value: float | None, unit: str, digits: int) -> str:
    if value is None:
        return NONE
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f} {unit}" if rounded else f"{0.0:.{digits}f} {unit}"


def difference_text(first: PatientComparison, second: PatientComparison, found: Sequence[Difference]) -> str:
    """Second minus first, for a terminal."""
    rows = difference_lines(found)
    heads = [d.scheme.label for d in found]
    left = max(len(r.title) for r in rows) + 2
    width = max(len(c) for r in rows for c in (*r.cells, *heads)) + 2
    lines = [f"{second.name} minus {first.name}", " " * left + "".join(h.rjust(width) for h in heads)]
    lines += [f"{r.title:<{left}}" + "".join(c.rjust(width) for c in r.cells) for r in rows]
    return "\n".join([*lines, *textwrap.wrap(difference_lesson(found), _WIDTH)])

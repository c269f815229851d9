"""The page of ``rtsim advise``: the decision in a box, then warnings, reasons, scores and schedules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rtsim.cli.console import NOT_A_DEVICE
from rtsim.clinic.advice import Advice, Decision
from rtsim.clinic.advice_text import Citations, doses_by_intent, note_text, why
from rtsim.clinic.sins_score import How, Sins

_WIDTH: Final = 112
_COLOR: Final = {
    Decision.CONVENTIONAL: "green",
    Decision.STEREOTACTIC: "cyan",
    Decision.STABILIZE_THEN_CONVENTIONAL: "yellow",
    Decision.STABILIZE_THEN_STEREOTACTIC: "yellow",
    Decision.SEPARATION_THEN_STEREOTACTIC: "red",
    Decision.UNDECIDED: "magenta",
}


def print_page(console: Console, advice: Advice) -> None:
    """Print it; nothing is wider than a report's tables."""
    width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    console.width = width
    cite = Citations()
    console.print(_box(advice), soft_wrap=False)
    _list(console, "warnings", [f"{w.text} {cite.mark(w.source)}" for w in advice.warnings], "bold red")
    _list(console, "why", why(advice, cite))
    if advice.escc is not None:
        _list(console, str(advice.escc), advice.escc.reasons)
    if advice.sins is not None:
        _head(console, str(advice.sins))
        console.print(Padding(_sins(advice.sins), (0, 0, 0, 2)), soft_wrap=False)
    if advice.schedules:
        _head(console, "schedules offered")
        console.print(Padding(_schedules(advice, cite), (0, 0, 0, 2)), soft_wrap=False)
    _list(console, "assumed, as it was not given", advice.assumed)
    _list(console, "sources", cite.lines(), bullet="")
    console.print()
    console.print(Text(f"{advice.disclaimer} {NOT_A_DEVICE}", style="bold"), soft_wrap=False)


def _box(advice: Advice) -> Panel:
    color = _COLOR.get(advice.decision, "blue")
    lines = [Text(advice.decision.value.upper(), style=f"bold {color}")]
    where = f" at {advice.sins.level}" if advice.sins is not None else ""
    lines.append(Text(f"{advice.histology.title}{where}; radiosensitivity by {advice.scheme.value}"))
    lines += [Text(str(one)) for one in (advice.escc, advice.sins) if one is not None]
    lines += [Text(line) for line in doses_by_intent(advice.schedules)]
    urgent = [w.text for w in advice.warnings if w.text.startswith("EMERGENCY")]
    lines += [Text(text, style="bold red") for text in urgent]
    return Panel(Group(*lines), title=advice.patient, title_align="left", border_style=color, box=box.ROUNDED)


def _head(console: Console, title: str, style: str = "bold") -> None:
    console.print()
    console.print(Text(title, style=style))


def _list(console: Console, title: str, lines: Iterable[str], style: str = "bold", bullet: str = "- ") -> None:
    found = tuple(lines)
    if not found:
        return
    _head(console, title, style)
    grid = Table.grid(padding=(0, 0))
    grid.add_column(width=len(bullet))
    grid.add_column()
    for line in found:
        grid.add_row(bullet, Text(line))
    console.print(Padding(grid, (0, 0, 0, 2)), soft_wrap=False)


def _sins(score: Sins) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("part", "points", "value", "known how", "why"):
        table.add_column(heading, justify="right" if heading == "points" else "left")
    for part in score.parts:
        style = "yellow" if part.how is How.ASSUMED else ""
        table.add_row(
            part.name, str(part.points), part.value.value, Text(part.how.value, style=style), Text(part.reason)
        )
    return table


def _schedules(advice: Advice, cite: Citations) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("dose", "technique", "for", "rtsim run --protocol", "note"):
        table.add_column(heading)
    for o in advice.schedules:
        dose = Text(f"{o} {cite.mark(o.source)}")
        table.add_row(dose, o.technique.value, o.intent.value, o.protocol or "(none)", Text(note_text(o, cite)))
    return table

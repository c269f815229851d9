"""Run the benchmark suites: ``python -m benchmarks [--suite NAME ...] [--engine NAME] [--case NAME] [--json FILE]``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numba
from rich.console import Console
from rich.table import Table

from benchmarks.row import Row, header, write_json

SUITES = ("accuracy", "speed", "plans", "scaling", "peers")
ENGINES = ("collapsed_cone", "monte_carlo")
"""Of the suite ``accuracy``; the other suites name their engines in their rows."""
Suite = Callable[[str | None], Iterator[Row]]


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table a suite; exit status 1 when a goal was missed, 2 when no case has the name that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, action="append", help="may be given several times; default: all")
    parser.add_argument("--engine", choices=ENGINES, help="of the suite accuracy (default: collapsed_cone)")
    parser.add_argument("--case", help="only cases whose name holds this text")
    parser.add_argument("--json", type=Path, help="write header and rows here")
    arguments = parser.parse_args(argv)
    suites = arguments.suite or list(SUITES)
    if arguments.engine is not None and suites != ["accuracy"]:
        print(
            f"--engine {arguments.engine} with the suites {', '.join(suites)}: only the suite accuracy is of one "
            f"engine, {' or '.join(ENGINES)}. Say --suite accuracy --engine {arguments.engine}",
            file=sys.stderr,
        )
        return 2
    console = Console(width=170)
    rows: list[Row] = []
    for name in suites:
        suite = _suite(name, arguments.engine)
        found = []
        for row in suite(arguments.case):
            console.print(f"[dim]{name}: {row.case} {row.note}[/dim]")
            found.append(row)
        for table in dict.fromkeys(r.table for r in found):
            console.print(_table(f"{name}: {table}" if table else name, [r for r in found if r.table == table]))
        rows += found
    if arguments.case is not None and not rows:
        print(
            f"no case of the suites {', '.join(suites)} holds {arguments.case!r} in its name; a suite without --case "
            "names all of its cases",
            file=sys.stderr,
        )
        return 2
    if arguments.json:
        write_json(arguments.json, header(suites, numba.get_num_threads()), rows)
    missed = [r.case for r in rows if r.met is False]
    if missed:
        console.print(f"{len(missed)} goals missed: {', '.join(missed)}")
    return 1 if missed else 0


def _suite(name: str, engine: str | None) -> Suite:
    module = importlib.import_module(f"benchmarks.bench_{name}")
    suite: Suite = module.rows if engine in (None, "collapsed_cone") else module.monte_carlo_rows
    return suite


def _table(title: str, rows: list[Row]) -> Table:
    engines = sorted({r.engine for r in rows if r.engine})
    if len(engines) == 1:
        title = f"{title} ({engines[0]})"
        rows = [replace(r, engine="") for r in rows]
    table = Table(title=title, title_justify="left")
    columns = [
        ("case", "case"),
        ("engine", "engine"),
        ("mm", "spacing_mm"),
        ("thr", "threads"),
        ("first s", "first_call_s"),
        ("warm s", "warm_median_s"),
        ("CPU s", "cpu_s"),
        ("RSS MB", "peak_rss_mb"),
        ("max %", "max_error_percent"),
        ("2 cm mean %", "smoothed_error_percent"),
        ("noise %", "noise_percent"),
        ("mean %", "mean_error_percent"),
        ("gamma %", "gamma_percent"),
        ("penumbra mm", "penumbra_shift_mm"),
        ("value", "value"),
        ("unit", "unit"),
        ("goal", "goal"),
        ("met", "met"),
        ("note", "note"),
    ]
    used = [(head, key) for head, key in columns if any(getattr(r, key) not in (None, "") for r in rows)]
    for head, _ in used:
        table.add_column(head, overflow="fold")
    for r in rows:
        table.add_row(*(_cell(getattr(r, key)) for _, key in used))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "[green]yes[/green]" if value else "[red]NO[/red]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())

"""``rtsim commission``: fit a machine to measured curves, print the residual of each, write the machine file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from rtsim.cli.console import NOT_A_DEVICE, ExitCode, steps, terminal
from rtsim.commission import Axis, CurveResidual, Fitted, fit_machine, read_measured, write_machine
from rtsim.commission.machine_file import refuse_existing
from rtsim.machine import load_machine

_UNBOUNDED: Final = 10_000
"""Characters; wider than any table."""
NOT_CLINICAL = "The machine file is not for clinical use: it is a fit, and nobody has validated it."


def commission(arguments: argparse.Namespace) -> ExitCode:
    """Read, check, fit, write, and say how far the machine is from each curve."""
    refuse_existing(arguments.output, overwrite=arguments.overwrite)
    base = load_machine(arguments.base)
    rfa300_x = None if arguments.rfa300_x is None else Axis(arguments.rfa300_x)
    measured = read_measured(arguments.measured, rfa300_x=rfa300_x)
    with steps(quiet=arguments.quiet) as bars, bars.step("commission") as progress:
        fitted = fit_machine(
            measured,
            base,
            name=arguments.output.stem,
            endpoint_mev=arguments.energy,
            accept_asymmetry=arguments.accept_asymmetry,
            progress=progress,
        )
    write_machine(arguments.output, fitted, overwrite=arguments.overwrite)
    if arguments.json:
        terminal().print_json(json.dumps(_record(fitted)))
    else:
        _say(arguments, fitted)
    return ExitCode.DONE if fitted.within_tolerance else ExitCode.LIMIT_NOT_HELD


def _record(fitted: Fitted) -> dict[str, object]:
    return {
        "machine": fitted.machine.name,
        "not_for_clinical_use": True,
        "within_tolerance": fitted.within_tolerance,
        "values": [asdict(v) for v in fitted.values],
        "residuals": [asdict(r) for r in fitted.residuals],
        "findings": [str(f) for f in fitted.findings],
        "notes": list(fitted.notes),
    }


def _say(arguments: argparse.Namespace, fitted: Fitted) -> None:
    console = terminal()
    for line in (*map(str, fitted.findings), *fitted.notes):
        console.print(f"note: {line}", markup=False)
    _print_table(console, _values(fitted))
    _print_table(console, _residuals(fitted.residuals))
    console.print("machine - measured; the tolerances are in docs/commissioning.md", markup=False)
    out = [r.curve for r in fitted.residuals if not r.met]
    if out:
        console.print(f"out of tolerance: {'; '.join(out)}", markup=False)
    console.print(f"\n{arguments.output}: rtsim run CASE --machine {arguments.output} -o out", markup=False)
    console.print(f"{NOT_CLINICAL} {NOT_A_DEVICE}", markup=False)


def _print_table(console: Console, table: Table) -> None:
    """A table; into a file or a pipe, which have no width, without a frame and with every cell on one full line."""
    if not console.is_terminal:
        table.box = None
        console.width = Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum
    console.print(table)


def _values(fitted: Fitted) -> Table:
    table = Table(title="fitted to measured data", title_justify="left")
    for name in ("", "value", "+-", "start", "unit"):
        table.add_column(name, justify="left" if name in ("", "unit") else "right")
    for v in fitted.values:
        table.add_row(v.name, f"{v.value:.4g}", f"{v.uncertainty:.1g}", f"{v.start:.4g}", v.unit)
    return table


def _residuals(residuals: tuple[CurveResidual, ...]) -> Table:
    table = Table(title="residual per curve", title_justify="left")
    table.add_column("curve")
    for name in ("largest %", "mean %", "build-up % / mm", "edge mm", "penumbra mm", "outside %", "met"):
        table.add_column(name, justify="right")
    for r in residuals:
        build_up = "" if r.build_up_mm is None else f"{r.build_up_percent:+.1f} / {r.build_up_mm:+.1f}"
        table.add_row(
            r.curve,
            f"{r.max_percent:+.2f}",
            f"{r.mean_percent:+.2f}",
            build_up,
            *("" if v is None else f"{v:+.2f}" for v in (r.edge_mm, r.penumbra_mm, r.outside_percent)),
            "yes" if r.met else "no",
        )
    return table

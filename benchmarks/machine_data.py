"""The beam data of the reference folder beside the shipped machines, and the same quantities where none is known."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import water_tank as tank
from benchmarks.row import Row
from rtsim.machine import Machine, load_machine

MACHINES: Final = {
    "6X": "generic_6x",
    "6FFF": "generic_6fff",
    "10X": "generic_10x",
    "10FFF": "generic_10fff",
    "15X": "generic_15x",
    "Co60": "cobalt60",
}
UNKNOWN: Final = ("generic_6x_agility",)
"""Machines of which nothing is known; theirs are values without a goal."""
FIELDS_MM: Final = (10.0, 20.0, 30.0, 40.0, 60.0, 100.0, 200.0, 300.0)
"""Output factors that every machine prints; 400 mm where a value is known."""

Measurement = Callable[[Machine], float]


@dataclass(frozen=True, kw_only=True)
class Known:
    """One line of the table: what is known of a beam's quantity."""

    beam: str
    quantity: str
    value: float
    tolerance: float
    standing: str
    unit: str
    source: str


def machine_rows(table: Path, only: str | None) -> Iterator[Row]:
    """Rows of every machine with a head: known values with a goal, the others without."""
    if not table.is_file():
        yield Row(case="beam data", note=f"skipped: no table at {table}; set RTSIM_SHARED")
        return
    known = known_values(table)
    for beam, name in [*MACHINES.items(), *(("", name) for name in UNKNOWN)]:
        if only is not None and only not in name:
            continue
        machine = load_machine(name)
        told = [k for k in known if k.beam == beam]
        wanted = quantities(machine)
        for line in told:
            measurement = measurement_of(line.quantity, machine)
            if measurement is None:
                continue
            wanted = {q: m for q, m in wanted.items() if q != _short(line.quantity)}
            yield _known_row(name, line, measurement(machine))
        for quantity, (measure, unit) in wanted.items():
            yield Row(case=f"{name} {quantity}", value=measure(machine), unit=unit, note="no value known")


def known_values(table: Path) -> list[Known]:
    """The lines of the table that carry a number."""
    out = []
    with table.open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            try:
                value, tolerance = float(row["value"]), float(row["tol"])
            except ValueError:
                continue
            unit = "" if row["unit"] == "1" else row["unit"]
            standing, source = row["status"], row["source"]
            out.append(
                Known(
                    beam=row["beam"],
                    quantity=row["quantity"],
                    value=value,
                    tolerance=tolerance,
                    standing=standing,
                    unit=unit,
                    source=source,
                )
            )
    return out


def measurement_of(quantity: str, machine: Machine) -> Measurement | None:
    """How a quantity of the table is measured on a machine; None when it is not one (another MLC, a parameter)."""
    found = re.match(r"OF (\d+)x\1\b", quantity)
    if found:
        field_mm = 10.0 * float(found[1])
        return lambda m: tank.output_factor(m, field_mm)
    found = re.match(r"PDD ?(\d+)(?:cm)? 10x10 SSD(\d+)", quantity)
    if found:
        depth_mm, ssd_mm = 10.0 * float(found[1]), 10.0 * float(found[2])
        return lambda m: tank.percentage_depth_dose(m, depth_mm, ssd_mm=ssd_mm)
    found = re.search(r"(?:in-air OAR|off-axis in-air ratio) at (\d+) cm", quantity)
    if found:
        radius_mm = 10.0 * float(found[1])
        return lambda m: tank.off_axis_ratio(m, radius_mm)
    found = re.match(r"MLC transmission (\w+)", quantity)
    if found:
        own = machine.mlc is not None and machine.mlc.model.replace(" ", "").lower() == found[1].lower()
        return tank.leaf_transmission_percent if own else None
    simple: dict[str, Measurement] = {
        "TPR20/10": tank.tissue_phantom_ratio,
        "dmax": lambda m: tank.depth_of_maximum_mm(m) / 10.0,
        "jaw transmission": tank.jaw_transmission_percent,
    }
    if quantity.startswith("20-80% penumbra 10x10 d=10"):
        return tank.penumbra_mm
    return simple.get(quantity)


def quantities(machine: Machine) -> dict[str, tuple[Measurement, str]]:
    """What is printed of every machine, by the short name of the quantity."""
    out: dict[str, tuple[Measurement, str]] = {}
    for side in FIELDS_MM:
        if side != 100.0:
            out[f"OF {side / 10:g}x{side / 10:g}"] = (_output(side), "")
    for depth in (50.0, 100.0, 200.0):
        out[f"PDD{depth / 10:g}"] = (_pdd(depth), "%")
    out["TPR20/10"] = (tank.tissue_phantom_ratio, "")
    out["dmax"] = (lambda m: tank.depth_of_maximum_mm(m) / 10.0, "cm")
    out["surface dose"] = (tank.surface_dose_percent, "%")
    out["penumbra"] = (tank.penumbra_mm, "mm")
    out["OAR 10 cm"] = (lambda m: tank.off_axis_ratio(m, 100.0), "")
    if machine.mlc is not None:
        out["MLC transmission"] = (tank.leaf_transmission_percent, "%")
    if machine.jaws is not None:
        out["jaw transmission"] = (tank.jaw_transmission_percent, "%")
    return out


def _output(field_mm: float) -> Measurement:
    return lambda m: tank.output_factor(m, field_mm)


def _pdd(depth_mm: float) -> Measurement:
    return lambda m: tank.percentage_depth_dose(m, depth_mm)


def _short(quantity: str) -> str:
    """The name in :func:`quantities` of a quantity of the table."""
    for pattern, name in (
        (r"OF (\d+)x\1\b.*", r"OF \1x\1"),
        (r"PDD ?(\d+)(?:cm)? .*", r"PDD\1"),
        (r".*penumbra.*", "penumbra"),
        (r".*(?:in-air OAR|in-air ratio) at (\d+) cm.*", r"OAR \1 cm"),
        (r"MLC transmission.*", "MLC transmission"),
    ):
        if re.fullmatch(pattern, quantity):
            return re.sub(pattern, name, quantity)
    return quantity


def _known_row(name: str, line: Known, value: float) -> Row:
    deviation = abs(value - line.value)
    return Row(
        case=f"{name} {line.quantity}",
        value=value,
        unit=line.unit,
        max_error_percent=100.0 * deviation / line.value,
        goal=f"{line.value:g} +- {line.tolerance:g}",
        met=deviation <= line.tolerance,
        note=f"[{line.standing}] {'from memory of its source: ' if line.standing == 'M' else ''}{line.source}",
    )

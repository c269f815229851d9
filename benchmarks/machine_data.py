"""The measured beam data of the reference folder beside the generic machines: output factors, PDD(10 cm), dmax."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.row import Row
from rtsim.beams import Beam
from rtsim.dose import CollapsedCone
from rtsim.geometry.grid import Grid
from rtsim.machine import Machine, load_machine
from rtsim.materials import get
from rtsim.phantom.phantom import Phantom

MACHINES = {
    "6X": "generic_6x",
    "6FFF": "generic_6fff",
    "10X": "generic_10x",
    "10FFF": "generic_10fff",
    "15X": "generic_15x",
}
_DEPTH_MM = 100.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table that a machine can be asked for. ``field_mm`` is None where no output factor is meant."""

    beam: str
    quantity: str
    value: float
    tolerance: float
    standing: str
    unit: str
    field_mm: float | None


def machine_rows(table: Path, only: str | None) -> Iterator[Row]:
    """One row per output factor of 6X and 6FFF and per PDD(10 cm) and dmax of every generic machine."""
    if not table.is_file():
        yield Row(case="beam data", note=f"skipped: no table at {table}; set RTSIM_SHARED")
        return
    for line in _lines(table):
        name = MACHINES[line.beam]
        if only is None or only in name:
            value = _measured(load_machine(name), line)
            deviation = value - line.value
            yield Row(
                case=f"{name} {line.quantity}",
                value=round(value, 4),
                unit="" if line.unit == "1" else line.unit,
                max_error_percent=100.0 * abs(deviation) / line.value,
                goal=f"{line.value:g} +- {line.tolerance:g}",
                met=abs(deviation) <= line.tolerance,
                note=f"[{line.standing}] {'from memory of its source' if line.standing == 'M' else 'verified'}"
                + ("; the machine's head scatter is fitted to these" if line.field_mm is not None else ""),
            )


def _lines(table: Path) -> Iterator[Line]:
    with table.open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            if row["beam"] not in MACHINES:
                continue
            output = re.match(r"OF (\d+)x\1 ", row["quantity"])
            if output is None and row["quantity"] not in {"PDD10 10x10 SSD100", "dmax"}:
                continue
            yield Line(
                beam=row["beam"],
                quantity=row["quantity"],
                value=float(row["value"]),
                tolerance=float(row["tol"]),
                standing=row["status"],
                unit=row["unit"],
                field_mm=None if output is None else 10.0 * float(output[1]),
            )


def _measured(machine: Machine, line: Line) -> float:
    if line.field_mm is not None:
        at = -_DEPTH_MM
        return float(
            np.interp(_DEPTH_MM, *_depth_dose(machine, line.field_mm, at))
            / np.interp(_DEPTH_MM, *_depth_dose(machine, 100.0, at))
        )
    depth_mm, dose_gy = _depth_dose(machine, 100.0, 0.0)
    top = int(np.argmax(dose_gy))
    a, b, c = np.polyfit(depth_mm[top - 2 : top + 3], dose_gy[top - 2 : top + 3], 2)
    deepest_mm = -b / (2.0 * a)
    if line.quantity == "dmax":
        return float(deepest_mm / 10.0)
    return float(100.0 * np.interp(_DEPTH_MM, depth_mm, dose_gy) / (c - b * b / (4.0 * a)))


def _depth_dose(machine: Machine, field_mm: float, surface_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Depths in mm and Gy per monitor unit on the axis in water, its surface at y = ``surface_mm`` (isocenter: 0).

    Voxels across are fine enough for the field; 60 mm of water surround it (35 mm below 30 mm), 80 mm lie behind.
    """
    across = 5.0 if field_mm > 80.0 else (2.5 if field_mm >= 30.0 else 1.25)
    voxels = 2 * round((field_mm / 2 + (60.0 if field_mm >= 30.0 else 35.0)) / across) + 1
    half = across * voxels / 2
    grid = Grid.covering((-half, surface_mm, -half), (half, surface_mm + 180.0, half), (across, 2.0, across))
    water = Phantom.from_density(
        np.ones(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8), (get("water"),), grid
    )
    beam = Beam.open_field(machine, (field_mm, field_mm), monitor_units=1.0)
    dose = CollapsedCone(cones=64).forward(water, [beam])
    middle = dose.grid.shape[0] // 2, dose.grid.shape[2] // 2
    axis = dose.values_gy[middle[0], :, middle[1]].astype(np.float64)
    return dose.grid.y_mm - surface_mm, axis

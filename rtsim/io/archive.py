"""The result archive: ``result.npz`` (dose and structures as arrays) and ``result.json`` (all else, readable)."""

from __future__ import annotations

import io as _io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.io.files import write_whole
from rtsim.phantom.phantom import Phantom

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What was run and what came of it, in plain values that JSON can hold.

    Attributes:
        version: of rtsim.
        case, case_sha256: what was planned; the hash is of the case file or of the DICOM instances.
        machine, protocol, engine, grid, seed: with what.
        prescription: in words.
        beams: one mapping per beam: name, angles, segments, monitor units.
        grade: one mapping per goal: structure, metric, wanted, got, met, priority, source, standing.
        certificates: one mapping per hard limit.
        metrics: plan indices and biology by name.
        notes: what the planner decided.
        seconds: wall time by step.
    """

    version: str
    case: str
    case_sha256: str
    machine: str
    protocol: str
    engine: str
    grid: str
    prescription: str
    seed: int | None = None
    beams: tuple[dict[str, Any], ...] = ()
    grade: tuple[dict[str, Any], ...] = ()
    certificates: tuple[dict[str, Any], ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def write_archive(folder: str | Path, phantom: Phantom, dose: Dose, record: RunRecord) -> None:
    """Write ``result.npz`` and ``result.json`` into ``folder``; each file appears whole or not at all."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    buffer = _io.BytesIO()
    arrays: dict[str, Any] = {
        "dose_gy": dose.values_gy,
        "spacing_mm": np.array(dose.grid.spacing_mm),
        "origin_mm": np.array(dose.grid.origin_mm),
        "fractions": np.array(dose.fractions),
        "engine": np.array(dose.engine),
    }
    if dose.uncertainty_gy is not None:
        arrays["uncertainty_gy"] = dose.uncertainty_gy
    for name, structure in phantom.structures.items():
        coverage = structure.coverage_on(dose.grid)
        arrays[f"coverage/{name}"] = np.round(coverage * 255.0).astype(np.uint8)
    np.savez_compressed(buffer, **arrays)
    write_whole(target / "result.npz", buffer.getvalue())
    text = json.dumps({"schema": SCHEMA, **vars(record)}, indent=1, default=_plain)
    write_whole(target / "result.json", (text + "\n").encode())


def read_archive(folder: str | Path) -> tuple[Dose, RunRecord]:
    """Read back what :func:`write_archive` wrote.

    Raises:
        InputError: the folder holds no archive, or one of another schema.
    """
    source = Path(folder)
    for name in ("result.npz", "result.json"):
        if not (source / name).is_file():
            raise InputError(f"{source} holds no {name}; give the output folder of 'rtsim run'")
    content = json.loads((source / "result.json").read_text())
    if content.pop("schema", None) != SCHEMA:
        raise InputError(f"{source / 'result.json'} is of another schema; this rtsim reads schema {SCHEMA}")
    for name in ("beams", "grade", "certificates", "notes"):
        content[name] = tuple(content[name])
    with np.load(source / "result.npz") as arrays:
        values = arrays["dose_gy"]
        spacing, origin = arrays["spacing_mm"].tolist(), arrays["origin_mm"].tolist()
        grid = Grid(values.shape, (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]))
        sigma = arrays["uncertainty_gy"] if "uncertainty_gy" in arrays.files else None
        dose = Dose(
            values_gy=values,
            grid=grid,
            fractions=int(arrays["fractions"]),
            engine=str(arrays["engine"]),
            uncertainty_gy=sigma,
        )
    return dose, RunRecord(**content)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to JSON")

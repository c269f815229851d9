"""The result archive: ``result.npz`` (doses and structures as arrays) and ``result.json`` (all else, readable)."""

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
_CHECK = "check/"
"""Before the names of the arrays of a second opinion."""


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
        check: of a second opinion: verdict, limits, metrics, gamma; None when none was asked for.
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
    check: dict[str, Any] | None = None


def write_archive(
    folder: str | Path, phantom: Phantom, dose: Dose, record: RunRecord, *, check: Dose | None = None
) -> None:
    """Write ``result.npz`` and ``result.json`` into ``folder``; each file appears whole or not at all.

    Args:
        check: the dose of a second opinion.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    buffer = _io.BytesIO()
    arrays = _arrays_of(dose, "")
    if check is not None:
        arrays |= _arrays_of(check, _CHECK)
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
        return _dose_in(arrays, ""), RunRecord(**content)


def read_check(folder: str | Path) -> Dose | None:
    """The dose of the second opinion that :func:`write_archive` wrote; None when there was none.

    Raises:
        InputError: the folder holds no archive.
    """
    source = Path(folder) / "result.npz"
    if not source.is_file():
        raise InputError(f"{folder} holds no result.npz; give the output folder of 'rtsim run'")
    with np.load(source) as arrays:
        return _dose_in(arrays, _CHECK) if f"{_CHECK}dose_gy" in arrays.files else None


def _arrays_of(dose: Dose, prefix: str) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "dose_gy": dose.values_gy,
        "spacing_mm": np.array(dose.grid.spacing_mm),
        "origin_mm": np.array(dose.grid.origin_mm),
        "fractions": np.array(dose.fractions),
        "engine": np.array(dose.engine),
    }
    if dose.uncertainty_gy is not None:
        arrays["uncertainty_gy"] = dose.uncertainty_gy
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _dose_in(arrays: Any, prefix: str) -> Dose:
    values = arrays[f"{prefix}dose_gy"]
    spacing, origin = arrays[f"{prefix}spacing_mm"].tolist(), arrays[f"{prefix}origin_mm"].tolist()
    sigma = f"{prefix}uncertainty_gy"
    return Dose(
        values_gy=values,
        grid=Grid(values.shape, (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2])),
        fractions=int(arrays[f"{prefix}fractions"]),
        engine=str(arrays[f"{prefix}engine"]),
        uncertainty_gy=arrays[sigma] if sigma in arrays.files else None,
    )


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to JSON")

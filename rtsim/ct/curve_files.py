"""Reading a calibration curve that a user wrote: CSV or TOML, strict."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from rtsim.ct.calibration import CalibrationCurve
from rtsim.errors import CaseFileError, InputError, unknown_name

_CSV_COLUMNS = ("hu", "density_g_cm3")
_TOML_KEYS = ("name", "source", "hu", "density_g_cm3")


def read_calibration(path: str | Path) -> CalibrationCurve:
    """Read a curve from ``.csv`` or ``.toml``.

    CSV: a header ``hu,density_g_cm3``, one point a line; lines that begin with ``#`` are comments and become the
    source. TOML: a table ``[calibration]`` with ``hu`` and ``density_g_cm3`` as lists of equal length, and ``name``
    and ``source`` if wished.

    Raises:
        CaseFileError: the file is missing or is not such a file; the message names the file, the line or the key.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".toml": _read_toml}
    if path.suffix.lower() not in readers:
        raise CaseFileError(
            f"{path}: a calibration curve is a .csv or .toml file, not {path.suffix or 'without suffix'!r}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CaseFileError(f"{path}: there is no such calibration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CaseFileError(f"{path}: cannot be read as text: {error}") from error
    try:
        return readers[path.suffix.lower()](path, text)
    except CaseFileError:
        raise
    except InputError as error:
        raise CaseFileError(f"{path}: {error}") from error


def _read_csv(path: Path, text: str) -> CalibrationCurve:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    comments = " ".join(line.lstrip("# ") for _, line in lines if line.startswith("#"))
    rows = [(number, line) for number, line in lines if line and not line.startswith("#")]
    header = [field.strip() for field in next(csv.reader([rows[0][1]]))] if rows else []
    if header != list(_CSV_COLUMNS):
        number = rows[0][0] if rows else 1
        raise CaseFileError(
            f"{path} line {number}: the header is {','.join(header)!r}; it must be {','.join(_CSV_COLUMNS)!r} "
            "(mass density in g/cm3)"
        )
    points = []
    for number, line in rows[1:]:
        fields = next(csv.reader([line]))
        try:
            hu, density = (float(field) for field in fields)
        except ValueError as error:
            raise CaseFileError(f"{path} line {number}: {line!r} is not two numbers hu,density_g_cm3") from error
        points.append((hu, density))
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    return CalibrationCurve(path.stem, table[:, 0], table[:, 1], comments or str(path.name))


def _read_toml(path: Path, text: str) -> CalibrationCurve:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CaseFileError(f"{path}: not TOML: {error}") from error
    for key in document:
        if key != "calibration":
            raise CaseFileError(f"{path}: {unknown_name('table', key, ['calibration'])}")
    table = document.get("calibration")
    if not isinstance(table, dict):
        raise CaseFileError(f"{path}: a table [calibration] is needed, with the lists hu and density_g_cm3")
    for key in table:
        if key not in _TOML_KEYS:
            raise CaseFileError(f"{path} [calibration]: {unknown_name('key', key, _TOML_KEYS)}")
    hu, density = (_numbers(path, table, key) for key in ("hu", "density_g_cm3"))
    name, source = (_text(path, table, key, default) for key, default in (("name", path.stem), ("source", path.name)))
    return CalibrationCurve(name, np.array(hu), np.array(density), source)


def _numbers(path: Path, table: dict[str, Any], key: str) -> list[float]:
    value = table.get(key)
    if not isinstance(value, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        given = "missing" if value is None else repr(value)
        raise CaseFileError(f"{path} [calibration]: {key} is {given}; it must be a list of numbers")
    return [float(v) for v in value]


def _text(path: Path, table: dict[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise CaseFileError(f"{path} [calibration]: {key} is {value!r}; it must be text")
    return value

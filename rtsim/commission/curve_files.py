"""The CSV form of measured curves: one file a curve, '# key: value' lines, then columns. See docs/commissioning.md."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Final

import numpy as np

from rtsim.commission.measured import Axis, DepthDose, MeasuredSet, OutputFactors, Profile
from rtsim.errors import CaseFileError, InputError, unknown_name

QUANTITIES: Final = ("depth_dose", "profile", "output_factors")
_SCALE: Final = {"mm": 1.0, "cm": 10.0}
_LARGEST_CM: Final = 60.0
"""Of a depth, of a position from the axis and of a field: no tank is larger."""
_KEYS: Final = {
    "depth_dose": ({"quantity", "field_mm", "ssd_mm", "units"}, {"detector_mm", "comment"}),
    "profile": ({"quantity", "field_mm", "ssd_mm", "depth_mm", "axis", "units"}, {"detector_mm", "comment"}),
    "output_factors": (
        {"quantity", "ssd_mm", "depth_mm", "units"},
        {"reference_field_mm", "dose_gy_per_mu", "comment"},
    ),
}
_COLUMNS: Final = {
    "depth_dose": ("depth", "value"),
    "profile": ("position", "value"),
    "output_factors": ("field_x", "field_y", "factor"),
}


def read_curve(path: Path) -> DepthDose | Profile | OutputFactors:
    """One CSV file.

    Raises:
        CaseFileError: a key or column is missing, unknown or not readable; the message names the file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CaseFileError(f"{path.name} cannot be read as UTF-8 text: {error}") from error
    header = _header(path.name, lines)
    quantity = header["quantity"]
    table = _table(path.name, lines, _COLUMNS[quantity])
    scale = _scale(path.name, header["units"])
    _refuse_millimeters_as_cm(path.name, table[:, :-1], header["units"])
    try:
        if quantity == "depth_dose":
            return DepthDose(
                field_mm=_field(path.name, "field_mm", header["field_mm"]),
                ssd_mm=_number(path.name, "ssd_mm", header["ssd_mm"]),
                depth_mm=table[:, 0] * scale,
                value=table[:, 1],
                detector_mm=_number(path.name, "detector_mm", header.get("detector_mm", "0")),
                source=path.name,
            )
        if quantity == "profile":
            return Profile(
                field_mm=_field(path.name, "field_mm", header["field_mm"]),
                ssd_mm=_number(path.name, "ssd_mm", header["ssd_mm"]),
                depth_mm=_number(path.name, "depth_mm", header["depth_mm"]),
                axis=_axis(path.name, header["axis"]),
                position_mm=table[:, 0] * scale,
                value=table[:, 1],
                detector_mm=_number(path.name, "detector_mm", header.get("detector_mm", "0")),
                source=path.name,
            )
        absolute = header.get("dose_gy_per_mu")
        return OutputFactors(
            fields_mm=tuple((float(x), float(y)) for x, y in table[:, :2] * scale),
            factor=table[:, 2],
            depth_mm=_number(path.name, "depth_mm", header["depth_mm"]),
            ssd_mm=_number(path.name, "ssd_mm", header["ssd_mm"]),
            reference_mm=_field(path.name, "reference_field_mm", header.get("reference_field_mm", "100 x 100")),
            dose_gy_per_mu=None if absolute is None else _number(path.name, "dose_gy_per_mu", absolute),
            source=path.name,
        )
    except CaseFileError:
        raise
    except InputError as error:
        raise CaseFileError(f"{path.name}: {error}") from error


def _header(name: str, lines: list[str]) -> dict[str, str]:
    header: dict[str, str] = {}
    for line in lines:
        if line.startswith("#"):
            key, colon, value = line[1:].partition(":")
            if colon:
                header[key.strip().lower()] = value.strip()
    quantity = header.get("quantity")
    if quantity is None:
        raise CaseFileError(
            f"{name}: the line '# quantity: ...' is missing; it is one of {', '.join(QUANTITIES)} "
            "(docs/commissioning.md shows the format)"
        )
    if quantity not in QUANTITIES:
        raise CaseFileError(f"{name}: " + unknown_name("quantity", quantity, QUANTITIES))
    needed, optional = _KEYS[quantity]
    for key in header:
        if key not in needed | optional:
            raise CaseFileError(f"{name}: " + unknown_name("key", key, needed | optional))
    missing = sorted(needed - set(header))
    if missing:
        raise CaseFileError(f"{name}: {', '.join(missing)} missing; write each as a line '# key: value'")
    return header


def _table(name: str, lines: list[str], columns: tuple[str, ...]) -> np.ndarray:
    rows = [r for r in csv.reader(line for line in lines if line.strip() and not line.startswith("#")) if r]
    if not rows or tuple(c.strip().lower() for c in rows[0]) != columns:
        given = ",".join(rows[0]) if rows else "nothing"
        raise CaseFileError(
            f"{name}: the columns are {given!r}; the line '{','.join(columns)}' is needed above the data"
            + _hint_of_commas(given)
        )
    out = []
    for row in rows[1:]:
        try:
            values = [float(v) for v in row]
        except ValueError:
            values = []
        if len(values) != len(columns):
            text = ",".join(row)
            raise CaseFileError(f"{name}: the row {text!r} is not {len(columns)} numbers{_hint_of_commas(text)}")
        out.append(values)
    if not out:
        raise CaseFileError(f"{name}: there is no data below the column names")
    return np.array(out)


def _hint_of_commas(text: str) -> str:
    if ";" in text or "\t" in text:
        return "; separate columns with commas, and write decimals with a point"
    return ""


def _scale(name: str, text: str) -> float:
    if text not in _SCALE:
        raise CaseFileError(f"{name}: units is {text!r}; the lengths in the columns are in 'mm' or 'cm'")
    return _SCALE[text]


def _refuse_millimeters_as_cm(name: str, lengths: np.ndarray, units: str) -> None:
    largest = float(np.abs(lengths).max())
    if units == "cm" and largest > _LARGEST_CM:
        raise CaseFileError(
            f"{name}: units says cm, and the lengths reach {largest:g}, more than any water tank; are these mm? Then "
            "write '# units: mm'"
        )


def _number(name: str, key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CaseFileError(f"{name}: {key} is {text!r}; a number is needed") from error


def _field(name: str, key: str, text: str) -> tuple[float, float]:
    match = re.fullmatch(r"([\d.]+)\s*[x*]\s*([\d.]+)", text)
    if match is None:
        raise CaseFileError(f"{name}: {key} is {text!r}; write the widths along BLD x and y in mm, e.g. '100 x 100'")
    return _number(name, key, match[1]), _number(name, key, match[2])


def _axis(name: str, text: str) -> Axis:
    allowed = [a.value for a in Axis]
    if text not in allowed:
        raise CaseFileError(f"{name}: " + unknown_name("axis", text, allowed))
    return Axis(text)


def write_curves(measured: MeasuredSet, folder: Path) -> tuple[Path, ...]:
    """Write a set as CSV files, one a curve, that :func:`read_measured` reads back."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for pdd in measured.depth_doses:
        head = _set_up(pdd.field_mm, pdd.ssd_mm, pdd.detector_mm)
        name = f"pdd_{pdd.field_mm[0]:g}x{pdd.field_mm[1]:g}.csv"
        written.append(_write(folder / name, {"quantity": "depth_dose", **head}, pdd.depth_mm, pdd.value))
    for p in measured.profiles:
        head = {"axis": p.axis.value, **_set_up(p.field_mm, p.ssd_mm, p.detector_mm), "depth_mm": f"{p.depth_mm:g}"}
        name = f"{p.axis.value}_{p.field_mm[0]:g}x{p.field_mm[1]:g}_d{p.depth_mm:g}.csv"
        written.append(_write(folder / name, {"quantity": "profile", **head}, p.position_mm, p.value))
    if measured.output_factors is not None:
        written.append(_write_factors(folder / "output_factors.csv", measured.output_factors))
    return tuple(written)


def _set_up(field_mm: tuple[float, float], ssd_mm: float, detector_mm: float) -> dict[str, str]:
    head = {"field_mm": f"{field_mm[0]:g} x {field_mm[1]:g}", "ssd_mm": f"{ssd_mm:g}", "units": "mm"}
    return head if detector_mm == 0.0 else {**head, "detector_mm": f"{detector_mm:g}"}


def _write(path: Path, head: dict[str, str], position: np.ndarray, value: np.ndarray) -> Path:
    lines = [f"# {key}: {text}" for key, text in head.items()]
    lines.append(",".join(_COLUMNS[head["quantity"]]))
    lines += [f"{x:g},{v:.6g}" for x, v in zip(position, value, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _write_factors(path: Path, factors: OutputFactors) -> Path:
    reference = factors.reference_mm
    lines = [
        "# quantity: output_factors",
        f"# ssd_mm: {factors.ssd_mm:g}",
        f"# depth_mm: {factors.depth_mm:g}",
        f"# reference_field_mm: {reference[0]:g} x {reference[1]:g}",
        "# units: mm",
    ]
    if factors.dose_gy_per_mu is not None:
        lines.append(f"# dose_gy_per_mu: {factors.dose_gy_per_mu:.8g}")
    lines.append(",".join(_COLUMNS["output_factors"]))
    lines += [f"{x:g},{y:g},{f:.6g}" for (x, y), f in zip(factors.fields_mm, factors.factor, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

"""Machines from TOML: strict (an unknown or missing key is an error that names the nearest and the allowed ones)."""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, fields
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from rtsim.errors import CaseFileError, InputError, nearest, unknown_name
from rtsim.machine.limits import Limits
from rtsim.machine.linac_spectrum import linac_spectrum
from rtsim.machine.model import (
    Calibration,
    ElectronContamination,
    ExtraFocalSource,
    FocalSpot,
    Jaws,
    Machine,
    MultileafCollimator,
    OffAxisProfile,
    Wedge,
)
from rtsim.materials import Spectrum
from rtsim.materials import spectrum as named_spectrum

Part = TypeVar("Part")

_PARTS: Final[dict[str, type[Any]]] = {
    "calibration": Calibration,
    "focal_spot": FocalSpot,
    "extra_focal": ExtraFocalSource,
    "electrons": ElectronContamination,
    "off_axis": OffAxisProfile,
    "jaws": Jaws,
    "mlc": MultileafCollimator,
    "limits": Limits,
}
_STATED: Final[dict[type[Any], tuple[str, ...]]] = {
    Machine: ("sad_mm",),
    FocalSpot: ("fwhm_x_mm", "fwhm_y_mm"),
    ExtraFocalSource: ("fraction", "sigma_mm", "distance_mm"),
    ElectronContamination: ("fraction", "attenuation_per_mm", "sigma_mm"),
    OffAxisProfile: ("radius_mm", "relative"),
    MultileafCollimator: ("leaf_end_radius_mm", "dosimetric_leaf_gap_mm", "max_position_mm"),
}
"""Keys that a file must state although a machine made in memory has defaults: an omission would change its dose."""
_LEAF_GROUPS: Final = "leaf_groups"
_FORMULA: Final = ("endpoint_mev", "tungsten_g_cm2", "aluminium_g_cm2")
_BINS: Final = ("edges_mev", "photons")


def names() -> tuple[str, ...]:
    """Names of the machines that come with rtsim, sorted."""
    folder = resources.files("rtsim.machine").joinpath("data")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_machine(name_or_path: str | Path) -> Machine:
    """A machine by name (see :func:`names`) or from the path of a ``.toml`` file of the user's own.

    A table that is in a file states every number that the dose depends on; one that is left out means a point as focal
    spot, no extra-focal source, no electrons, a flat fluence. Only a bare point source has no ``[calibration]``.

    Raises:
        InputError: no machine of that name (with the nearest one), or no such file.
        CaseFileError: the file is not TOML, has an unknown or missing key, or a value of the wrong type or range.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise InputError(
            f"the machine is {name_or_path!r}; give the path of a .toml file or one of {', '.join(names())}"
        )
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise InputError(
                f"machine file {path} does not exist; give the path of a .toml file or one of {', '.join(names())}"
            )
        return _parse(path.read_bytes(), str(path))
    if name_or_path not in names():
        raise InputError(unknown_name("machine", name_or_path, names()))
    data = resources.files("rtsim.machine").joinpath("data", f"{name_or_path}.toml").read_bytes()
    return _parse(data, f"{name_or_path}.toml")


def point_source(
    spectrum: Spectrum | str = "mohan6", *, sad_mm: float = 1000.0, max_field_mm: float = 400.0
) -> Machine:
    """A bare point source of photons: no head, ideal collimator edges, flat fluence in the isocenter plane.

    It has no calibration: its beams carry photons per cm2 (on the axis, in the isocenter plane, in vacuum) where others
    carry monitor units, so that its dose can be laid beside a Monte Carlo reference in Gy cm2 per photon.

    Args:
        spectrum: a Spectrum, or the name of one in ``rtsim.materials``.
        sad_mm: distance of the source from the isocenter.
        max_field_mm: full side of the largest field in the isocenter plane.
    """
    found = named_spectrum(spectrum) if isinstance(spectrum, str) else spectrum
    return Machine(
        name="point_source",
        description=f"bare point source, {found.name}",
        spectrum=found,
        sad_mm=sad_mm,
        max_field_mm=max_field_mm,
    )


def _parse(data: bytes, where: str) -> Machine:
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CaseFileError(f"{where} is not valid TOML: {error}") from error
    try:
        return _machine(table, where)
    except CaseFileError:
        raise
    except InputError as error:  # a range check of the model: add the file
        raise CaseFileError(f"{where}: {error}") from error


def _machine(table: dict[str, Any], where: str) -> Machine:
    allowed = {f.name for f in fields(Machine)}
    _refuse_unknown(table, allowed, where)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in _PARTS:
            values[key] = _part(_PARTS[key], _sub_table(value, where, key), f"{where} [{key}]")
        elif key == "wedges":
            if not isinstance(value, list):
                raise CaseFileError(f"{where}: wedges is {value!r}; write each wedge as a [[wedges]] table")
            values[key] = tuple(_wedge(_sub_table(w, where, key), f"{where} [[wedges]]") for w in value)
        elif key == "spectrum":
            values[key] = _spectrum(value, where)
        elif key == "sources":
            values[key] = _texts(value, where, key)
        else:
            values[key] = _checked("float" if key in {"sad_mm", "max_field_mm"} else "str", value, where, key)
    _refuse_missing(Machine, values, where)
    head = [key for key in ("jaws", "mlc") if key in values]
    if head and "calibration" not in values:
        raise CaseFileError(
            f"{where}: [calibration] is missing; only a bare point source has none, and this machine has "
            f"{' and '.join(head)}. Give dose_gy_per_mu, depth_mm and ssd_mm"
        )
    return Machine(**values)


def _wedge(table: dict[str, Any], where: str) -> Wedge:
    wedge = _part(Wedge, table, where)
    if wedge.physical and "factor" not in table:
        raise CaseFileError(
            f"{where}: factor of wedge {wedge.name!r} is missing; a physical wedge attenuates: give its factor "
            "on the axis, e.g. factor = 0.63"
        )
    return wedge


def _spectrum(value: Any, where: str) -> Spectrum:
    """The name of a shipped spectrum, or a table: three numbers of a linac's formula, or bins of its own."""
    if not isinstance(value, dict):
        if not isinstance(value, str):
            raise CaseFileError(f"{where}: spectrum is {value!r}; a spectrum's name or a table [spectrum] is needed")
        return named_spectrum(value)
    where = f"{where} [spectrum]"
    _refuse_unknown(value, {"name", "source", *_FORMULA, *_BINS}, where)
    by_formula = any(key in value for key in _FORMULA)
    wanted = _FORMULA if by_formula else _BINS
    strange = [key for key in value if key not in ("name", "source", *wanted)]
    missing = [key for key in ("name", *wanted) if key not in value]
    if missing or strange:
        raise CaseFileError(
            f"{where}: {', '.join(missing) or 'nothing'} missing, {', '.join(strange) or 'nothing'} too much; give "
            f"name and either {', '.join(_FORMULA)} or {', '.join(_BINS)}"
        )
    name = _checked("str", value["name"], where, "name")
    if by_formula:
        return linac_spectrum(name, **{key: _checked("float", value[key], where, key) for key in _FORMULA})
    edges, photons = (np.array(_checked("tuple[float, ...]", value[key], where, key)) for key in _BINS)
    return Spectrum(name, edges, photons, _checked("str", value.get("source", ""), where, "source"))


def _part(kind: type[Part], table: dict[str, Any], where: str) -> Part:
    types = {f.name: str(f.type) for f in fields(kind)}  # type: ignore[arg-type]
    table = dict(table)
    if kind is MultileafCollimator:
        _refuse_unknown(table, (set(types) - {"leaf_edges_mm"}) | {_LEAF_GROUPS}, where)
        if _LEAF_GROUPS not in table:
            raise CaseFileError(f"{where}: {_LEAF_GROUPS} is missing; give [[count, width_mm], ...] from -y to +y")
        edges = _leaf_edges(table.pop(_LEAF_GROUPS), where)
        values: dict[str, Any] = {"leaf_edges_mm": edges}
    else:
        _refuse_unknown(table, set(types), where)
        values = {}
    for key, value in table.items():
        values[key] = _checked(types[key], value, where, key)
    _refuse_missing(kind, values, where)
    return kind(**values)


def _leaf_edges(groups: Any, where: str) -> tuple[float, ...]:
    """Edges of leaves given as [[count, width_mm], ...] from -y to +y, centered on the axis."""
    widths: list[float] = []
    for group in groups if isinstance(groups, list) else [groups]:
        good = isinstance(group, list) and len(group) == 2 and isinstance(group[0], int) and group[0] > 0
        if not good or not _is_number(group[1]) or group[1] <= 0:
            raise CaseFileError(f"{where}: {_LEAF_GROUPS} holds {group!r}; each entry is [count >= 1, width_mm > 0]")
        widths += [float(group[1])] * group[0]
    edges = [-sum(widths) / 2]
    for width in widths:
        edges.append(edges[-1] + width)
    return tuple(edges)


def _refuse_unknown(table: dict[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            close = nearest(key, allowed)
            hint = f"did you mean {close!r}? " if close else ""
            raise CaseFileError(f"{where}: unknown key {key!r}; {hint}Allowed: {', '.join(sorted(allowed))}")


def _refuse_missing(kind: type[Any], values: dict[str, Any], where: str) -> None:
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    required |= set(_STATED.get(kind, ()))
    missing = sorted(required - set(values))
    if missing:
        raise CaseFileError(f"{where}: {', '.join(missing)} missing")


def _sub_table(value: Any, where: str, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CaseFileError(f"{where}: {key} is {value!r}; a table of keys is needed")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _texts(value: Any, where: str, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise CaseFileError(f"{where}: {key} is {value!r}; a list of strings is needed")
    return tuple(value)


def _checked(kind: str, value: Any, where: str, key: str) -> Any:
    """``value`` as the annotated type of a field: str, bool, float, or a tuple of floats of the annotated length."""
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    kind = kind.removesuffix(" | None")  # TOML has no null: such a key is given or left out
    if kind == "float" and _is_number(value):
        return float(value)
    if kind.startswith("tuple[") and isinstance(value, list) and all(_is_number(v) for v in value):
        count = None if "..." in kind else kind.count("float")
        if count is None or len(value) == count:
            return tuple(float(v) for v in value)
    need = {"str": "a string", "bool": "true or false", "float": "a finite number"}.get(kind, f"numbers as {kind}")
    raise CaseFileError(f"{where}: {key} is {value!r}; {need} is needed")

"""Protocols from TOML, read strictly: an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from rtsim.errors import CaseFileError, InputError, unknown_name
from rtsim.protocol.model import (
    CordLimits,
    DoseLevel,
    Goal,
    Priority,
    Protocol,
    Sense,
    Source,
    Standing,
    Technique,
)
from rtsim.protocol.nomenclature import canonical

_T = TypeVar("_T")

_TOP = frozenset(
    {
        "name",
        "description",
        "technique",
        "coverage_percent",
        "cord_margin_mm",
        "ptv_margin_mm",
        "evaluation",
        "default_cord_limits",
        "dose_levels",
        "sources",
        "cord_limits",
        "goals",
    }
)
_TOP_NEEDED = frozenset(
    {"name", "description", "technique", "cord_margin_mm", "ptv_margin_mm", "dose_levels", "sources", "goals"}
)
_LEVEL = frozenset({"dose_gy", "fractions", "default", "note"})
_LEVEL_NEEDED = frozenset({"dose_gy", "fractions"})
_GOAL = frozenset({"structure", "metric", "sense", "value", "unit", "priority", "source", "note", "dose_gy"})
_GOAL_NEEDED = _GOAL - {"note", "dose_gy"}
_LIMITS = frozenset({"name", "description", "goals"})
_SOURCE = frozenset({"citation", "standing"})
_STANDINGS = {s.name.lower(): s for s in Standing}


def names() -> tuple[str, ...]:
    """Names of the protocols that rtsim ships, sorted by technique and number of fractions."""
    found = [f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml")]
    return tuple(sorted(found, key=_by_fractions))


def load_protocol(name_or_path: str | Path, *, cord_limits: str | None = None) -> Protocol:
    """Load a shipped protocol by name ('spine_sbrt_2fx') or one's own TOML file by path.

    ``cord_limits`` selects another of the protocol's sets of cord limits ('hytec_prv', 'tg101', ...).
    """
    text, where = _read(name_or_path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CaseFileError(f"{where} is not valid TOML: {error}") from error
    try:
        protocol = _protocol(table, where)
        return protocol if cord_limits is None else protocol.with_cord_limits(cord_limits)
    except CaseFileError:
        raise
    except InputError as error:
        raise CaseFileError(f"{where}: {error}") from error


def _folder() -> Traversable:
    return resources.files("rtsim.protocol") / "data"


def _by_fractions(name: str) -> tuple[str, int]:
    stem, _, tail = name.rpartition("_")
    return stem, int(tail.removesuffix("fx")) if tail.removesuffix("fx").isdigit() else 0


def _read(name_or_path: str | Path) -> tuple[str, str]:
    as_path = Path(name_or_path)
    if isinstance(name_or_path, Path) or as_path.suffix == ".toml" or len(as_path.parts) > 1:
        if not as_path.is_file():
            raise CaseFileError(
                f"protocol file {str(as_path)!r} does not exist; give a TOML file or one of: {', '.join(names())}"
            )
        return as_path.read_text(encoding="utf-8"), str(as_path)
    if name_or_path not in names():
        raise InputError(unknown_name("protocol", str(name_or_path), names()))
    return (_folder() / f"{name_or_path}.toml").read_text(encoding="utf-8"), f"{name_or_path}.toml"


def _protocol(table: dict[str, Any], where: str) -> Protocol:
    _check_keys(table, _TOP, _TOP_NEEDED, where)
    cited = _subtable(table, "sources", where)
    sources = {key: _source(value, f"{where} [sources.{key}]") for key, value in cited.items()}
    limits = tuple(_limits(t, sources, f"{where} [[cord_limits]]") for t in _tables(table, "cord_limits", where))
    chosen = _text(table, "default_cord_limits", where) if "default_cord_limits" in table else ""
    by_name = {c.name: c for c in limits}
    if bool(limits) != bool(chosen):
        raise CaseFileError(f"{where}: default_cord_limits and [[cord_limits]] belong together; one is missing")
    if chosen and chosen not in by_name:
        raise CaseFileError(f"{where}: {unknown_name('cord_limits', chosen, by_name)}")
    goals = tuple(_goal(t, sources, f"{where} goals") for t in _tables(table, "goals", where))
    return Protocol(
        name=_text(table, "name", where),
        description=_text(table, "description", where),
        technique=_choice(table, "technique", {t.value: t for t in Technique}, where),
        dose_levels=tuple(_level(t, f"{where} [[dose_levels]]") for t in _tables(table, "dose_levels", where)),
        goals=(by_name[chosen].goals if chosen else ()) + goals,
        cord_margin_mm=_number(table, "cord_margin_mm", where),
        ptv_margin_mm=_number(table, "ptv_margin_mm", where),
        coverage_percent=_number(table, "coverage_percent", where) if "coverage_percent" in table else 95.0,
        evaluation=_text(table, "evaluation", where) if "evaluation" in table else "",
        sources=tuple(sources.values()),
        cord_limits=limits,
        cord_limits_name=chosen,
    )


def _level(table: dict[str, Any], where: str) -> DoseLevel:
    _check_keys(table, _LEVEL, _LEVEL_NEEDED, where)
    fractions = table["fractions"]
    if not isinstance(fractions, int) or isinstance(fractions, bool):
        raise CaseFileError(f"{where}: fractions is {fractions!r}; it must be a whole number")
    default = table.get("default", False)
    if not isinstance(default, bool):
        raise CaseFileError(f"{where}: default is {default!r}; it must be true or false")
    note = _text(table, "note", where) if "note" in table else ""
    return DoseLevel(_number(table, "dose_gy", where), fractions, default, note)


def _limits(table: dict[str, Any], sources: dict[str, Source], where: str) -> CordLimits:
    _check_keys(table, _LIMITS, _LIMITS, where)
    goals = tuple(_goal(t, sources, f"{where} {table['name']}") for t in _tables(table, "goals", where))
    return CordLimits(name=_text(table, "name", where), description=_text(table, "description", where), goals=goals)


def _goal(table: dict[str, Any], sources: dict[str, Source], where: str) -> Goal:
    _check_keys(table, _GOAL, _GOAL_NEEDED, where)
    structure = _text(table, "structure", where)
    if canonical(structure) != structure:
        close = canonical(structure)
        hint = f"write its canonical key {close!r}" if close else "rtsim.protocol.nomenclature knows no such organ"
        raise CaseFileError(f"{where}: structure {structure!r}: {hint}")
    source = _text(table, "source", where)
    if source not in sources:
        raise CaseFileError(f"{where}: {unknown_name('source', source, sources)}; declare it as [sources.{source}]")
    return Goal(
        structure,
        _text(table, "metric", where),
        _choice(table, "sense", {s.value: s for s in Sense}, where),
        _number(table, "value", where),
        _text(table, "unit", where),
        _choice(table, "priority", {p.value: p for p in Priority}, where),
        sources[source],
        _text(table, "note", where) if "note" in table else "",
        _number(table, "dose_gy", where) if "dose_gy" in table else None,
    )


def _source(table: Any, where: str) -> Source:
    if not isinstance(table, dict):
        raise CaseFileError(f"{where} is {table!r}; it must be a table with citation and standing")
    _check_keys(table, _SOURCE, _SOURCE, where)
    return Source(citation=_text(table, "citation", where), standing=_choice(table, "standing", _STANDINGS, where))


def _check_keys(table: dict[str, Any], known: frozenset[str], needed: frozenset[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise CaseFileError(f"{where}: {unknown_name('key', key, known)}")
    missing = sorted(needed - table.keys())
    if missing:
        raise CaseFileError(f"{where}: missing key{'s' if len(missing) > 1 else ''} {', '.join(missing)}")


def _subtable(table: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = table[key]
    if not isinstance(value, dict):
        raise CaseFileError(f"{where}: {key} is {value!r}; it must be a table")
    return value


def _tables(table: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise CaseFileError(f"{where}: {key} must be a list of tables")
    return value


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table[key]
    if not isinstance(value, str):
        raise CaseFileError(f"{where}: {key} is {value!r}; it must be text in quotes")
    return value


def _number(table: dict[str, Any], key: str, where: str) -> float:
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CaseFileError(f"{where}: {key} is {value!r}; it must be a number")
    return float(value)


def _choice(table: dict[str, Any], key: str, known: dict[str, _T], where: str) -> _T:
    value = _text(table, key, where)
    if value not in known:
        raise CaseFileError(f"{where}: {unknown_name(key, value, known)}")
    return known[value]

"""The tumors that rtsim knows, read from ``data/histologies.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any, Final

from rtsim.biology.radiosensitivity import Histology, Kind, NomsClass, StatedClass
from rtsim.biology.schedule import Intent, Schedule
from rtsim.biology.tiers import Tier
from rtsim.errors import InputError, nearest
from rtsim.sources import Source, Standing

_STATED: Final = {
    "moderate": StatedClass.MODERATE,
    "resistant": StatedClass.RESISTANT,
    "particularly_resistant": StatedClass.PARTICULARLY_RESISTANT,
}
_USUAL_COMPARTMENT: Final = "extradural"


def histology(name: str) -> Histology:
    """Tumor by name ('renal', 'breast', ...), see `histology_names`, or by another name of it ('kidney', 'RCC').

    Raises:
        InputError: an unknown name, with the nearest one; a name that may mean two tumors, with both.
    """
    known, table = _histologies(), _table()
    key = _plain(name)
    if key in table["ambiguous"]:
        raise InputError(f"histology {name!r} may be {' or '.join(table['ambiguous'][key])}; say which")
    key = table["aliases"].get(key, key)
    if key not in known:
        raise InputError(_unknown(name, known, table["aliases"]))
    return known[key]


def histology_names() -> tuple[str, ...]:
    """Every tumor, from sensitive to resistant, benign last."""
    return tuple(_histologies())


def _plain(name: str) -> str:
    """'Renal-cell cancer' as 'renal_cell_cancer'."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _unknown(name: str, known: dict[str, Histology], aliases: dict[str, str]) -> str:
    """The message for an unknown name: the nearest among names, other names and titles, as the name to give."""
    called = {_plain(part): h.name for h in known.values() for part in (h.title, *h.title.split(","))}
    called |= aliases | {own: own for own in known}
    close = nearest(_plain(name), called)
    hint = ""
    if close is not None:
        also = "" if called[close] == close else f" ({close.replace('_', ' ')})"
        hint = f"did you mean {called[close]!r}{also}? "
    return f"unknown histology {name!r}; {hint}Known: {', '.join(sorted(known))}"


@cache
def _table() -> dict[str, Any]:
    text = (resources.files("rtsim.biology") / "data" / "histologies.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _histologies() -> dict[str, Histology]:
    table = _table()
    sources = {
        key: Source(citation=row["citation"], standing=Standing[row["standing"].upper()])
        for key, row in table["sources"].items()
    }
    return {name: _histology(name, row, table, sources) for name, row in table["histologies"].items()}


def _histology(name: str, row: dict[str, Any], table: dict[str, Any], sources: dict[str, Source]) -> Histology:
    value, low, high = row["alpha_beta"]
    schedules = [
        _schedule(key, intent, table, sources)
        for intent, wanted in ((Intent.PALLIATION, "palliation"), (Intent.CONTROL, "control"))
        for entry in row[wanted]
        for key in table["groups"].get(entry, (entry,))
    ]
    return Histology(
        name=name,
        title=row["title"],
        kind=Kind(row["kind"]),
        compartment=row.get("compartment", _USUAL_COMPARTMENT),
        noms_class=NomsClass(row["noms"]),
        stated_class=_STATED[row["stated"]] if "stated" in row else StatedClass.NOT_STATED,
        stated_label=row.get("stated_label", ""),
        tier=Tier(row["tier"]),
        alpha_beta_gy=value,
        alpha_beta_range_gy=(low, high),
        schedules=tuple(schedules),
        source=sources[row["noms_source"]],
        classed_by=table["sources"][row["noms_source"]]["short"],
        stated_source=sources["founding"],
        alpha_beta_source=sources[row["alpha_beta_source"]],
        note=row.get("note", ""),
    )


def _schedule(key: str, intent: Intent, table: dict[str, Any], sources: dict[str, Source]) -> Schedule:
    row = table["schedules"][key]
    return Schedule(
        dose_gy=row["dose_gy"],
        fractions=row["fractions"],
        technique=row["technique"],
        protocol=row["protocol"],
        intent=intent,
        source=sources[row["source"]],
        note=row["note"],
        note_source=sources[row["note_source"]] if "note_source" in row else None,
    )

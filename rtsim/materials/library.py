"""The library of named materials."""

from __future__ import annotations

from functools import cache

from rtsim.errors import InputError, unknown_name
from rtsim.materials.elements import SYMBOLS
from rtsim.materials.material import Material, parse_fractions
from rtsim.materials.tables import read_rows


def names() -> tuple[str, ...]:
    """Names of the materials in the library, in the order of its table."""
    return tuple(_library()[0])


def get(name: str) -> Material:
    """The material called ``name`` (any case; ``bone_cortical_icrp`` and the like are other names of the same)."""
    by_name, aliases = _library()
    key = name.casefold()
    key = aliases.get(key, key)
    if key not in by_name:
        raise InputError(unknown_name("material", name, by_name))
    return by_name[key]


@cache
def _library() -> tuple[dict[str, Material], dict[str, str]]:
    by_name: dict[str, Material] = {}
    aliases: dict[str, str] = {}
    for row in read_rows("materials.csv"):
        name = row["name"]
        fractions = {SYMBOLS[z]: fraction for z, fraction in parse_fractions(row["mass_fractions"])}
        excitation = float(row["mean_excitation_ev"]) if row["mean_excitation_ev"] else None
        by_name[name] = Material.from_mass_fractions(
            name,
            float(row["density_g_cm3"]),
            fractions,
            mean_excitation_ev=excitation,
            source=f"{row['standing']} {row['source']}",
        )
        aliases.update({alias.casefold(): name for alias in row["aliases"].split()})
    return by_name, aliases

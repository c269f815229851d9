"""How implants look: metal gray, carbon dark, cement green; and their material in the legend, in plain words."""

from __future__ import annotations

from typing import Any, Final

from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure

_WORDS: Final = {
    "ti6al4v": "titanium",
    "titanium": "titanium",
    "cfr_peek": "carbon-PEEK",
    "peek": "PEEK",
    "cement": "barium PMMA",
    "cement_30baso4": "barium PMMA",
    "cocrmo": "cobalt-chrome",
    "steel_316l": "steel",
    "tantalum": "tantalum",
}
_PLAIN: Final = (170, 178, 188)
_DARK_BELOW: Final = 110.0


def is_implant(structure: Structure) -> bool:
    """Whether it is drawn as one."""
    return structure.role is Role.IMPLANT


def implant_fill(structure: Structure) -> str:
    """Hex color of its surface, and of its inside in slices: the structure's own."""
    return _hex(structure.color or _PLAIN)


def implant_line(structure: Structure, *, on_dark: bool) -> str:
    """Hex color of its outline: its own, made lighter where it would sink into a dark picture."""
    color = structure.color or _PLAIN
    if on_dark and sum(color) / 3 < _DARK_BELOW:
        color = (150, 158, 170)
    return _hex(color)


def implant_surface(structure: Structure) -> dict[str, Any]:
    """How PyVista draws it: opaque, metal with a shine."""
    shine = 0.7 if sum(structure.color or _PLAIN) / 3 >= _DARK_BELOW else 0.25
    return {"color": implant_fill(structure), "opacity": 1.0, "specular": shine, "specular_power": 25.0, "ambient": 0.2}


def legend_name(phantom: Phantom, name: str) -> str:
    """``name``, and what it is made of when the phantom was told so: "screws, titanium"."""
    made_of = {o.structure: o.material.name for o in phantom.overrides if o.material is not None}
    if name not in made_of or name not in phantom.structures or not is_implant(phantom[name]):
        return name
    return f"{name}, {_WORDS.get(made_of[name], made_of[name])}"


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{c:02X}" for c in color)

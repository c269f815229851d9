"""Colors and isodose levels of all pictures: one palette, legible for color-blind readers.

Targets are white or red, the cord and what stands for it cyan, everything else muted (Okabe & Ito 2008). Dose runs
through the perceptually uniform map "plasma". Meaning is never carried by color alone: lines also differ in width and
dash, and carry labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.nomenclature import canonical
from rtsim.view.implants import implant_fill, implant_line, is_implant

DOSE_COLORMAP: Final = "plasma"
ISODOSE_PERCENT: Final = (20.0, 50.0, 70.0, 95.0, 100.0, 110.0, 125.0)
"""Isodoses shown by default, percent of the prescription."""

MUTED: Final = ("#E69F00", "#009E73", "#CC79A7", "#F0E442", "#999999", "#B2DF8A", "#C9A27A", "#B59BD3")
"""On the gray of a CT."""
MUTED_ON_WHITE: Final = ("#E69F00", "#009E73", "#CC79A7", "#6A51A3", "#777777", "#7A9A01", "#8C6D46", "#B8860B")
"""On white paper."""
_CORD: Final = {
    "spinal_cord": ("-", 2.4),
    "spinal_cord_prv": ("--", 1.5),
    "spinal_canal": (":", 1.3),
    "thecal_sac": ("-.", 1.2),
    "cauda_equina": ("-", 2.0),
}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a structure is drawn: color (hex), dash (matplotlib), width (points), whether it is emphasized, and the color
    (hex) of its inside, empty for none."""

    color: str
    dash: str = "-"
    width: float = 1.0
    is_key: bool = False
    fill: str = ""


def styles_for(structures: tuple[Structure, ...], *, on_dark: bool) -> dict[str, Style]:
    """Style of each structure by name; muted colors are dealt out in order.

    Args:
        on_dark: True for slices and 3-D (targets white or red on gray), False for plots on white.
    """
    out: dict[str, Style] = {}
    dealt = 0
    for s in structures:
        key = canonical(s.name) or s.name
        if key in _CORD:
            dash, width = _CORD[key]
            out[s.name] = Style(
                color="#00E5FF" if on_dark else "#0086B3", dash=dash, width=width, is_key=key == "spinal_cord"
            )
        elif s.role in (Role.PTV, Role.CTV, Role.GTV, Role.ITV):
            dash, width = {Role.PTV: ("-", 2.2), Role.CTV: ("--", 1.4)}.get(s.role, (":", 1.6))
            out[s.name] = Style(
                color="#FFFFFF" if on_dark else "#D62728", dash=dash, width=width, is_key=s.role is Role.PTV
            )
        elif is_implant(s):
            out[s.name] = Style(color=implant_line(s, on_dark=on_dark), width=1.2, fill=implant_fill(s))
        elif s.role is Role.EXTERNAL:
            out[s.name] = Style(color="#BDBDBD" if on_dark else "#777777", width=0.9)
        else:
            palette = MUTED if on_dark else MUTED_ON_WHITE
            dash = ("-", "--", "-.", ":")[dealt // len(palette) % 4]
            out[s.name] = Style(color=palette[dealt % len(palette)], dash=dash, width=1.1)
            dealt += 1
    return out


def default_isodoses_gy(prescription_gy: float, max_gy: float) -> tuple[float, ...]:
    """The default isodose levels that occur in a dose of that maximum."""
    return tuple(round(prescription_gy * p / 100.0, 3) for p in ISODOSE_PERCENT if prescription_gy * p / 100.0 < max_gy)


def with_target(phantom: Phantom, name: str | None) -> Phantom:
    """The phantom with the structure ``name`` in the role of the target that pictures are about; unchanged for None."""
    if name is None:
        return phantom
    others = [replace(s, role=Role.OAR) for s in phantom.structures.values() if s.role is Role.PTV and s.name != name]
    return phantom.with_structures(replace(phantom[name], role=Role.PTV), *others)


def find_target(structures: tuple[Structure, ...]) -> Structure | None:
    """The structure that pictures are about: the first PTV, else CTV, ITV, GTV."""
    for role in (Role.PTV, Role.CTV, Role.ITV, Role.GTV):
        for s in structures:
            if s.role is role:
                return s
    return None

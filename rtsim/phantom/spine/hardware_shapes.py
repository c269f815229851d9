"""Where implants lie: screws through the pedicles, rods along their heads, a cage for the body, cement within it.

Sizes and directions are those of a surgeon's habit, from memory [M]: screw diameter about 85 % of the pedicle's width
in steps of 0.5 mm, 4.5-7.5 mm (3.5 mm in the neck), lengths in steps of 5 mm up to 50 mm, the tip at four fifths of the
body's depth at most; convergence by level after Zindrick et al. 1987 (DOI 10.1097/00007632-198703000-00012), rounded;
rods of 5.5 mm (3.5 mm in the neck). A screw that is wider than its pedicle breaks out to the side ("in-out-in"), never
inwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.geometry.shapes import Axis, Capsule, Cylinder, Difference, Ellipsoid, Intersection, Shape, Union
from rtsim.phantom.spine.anatomy import Level
from rtsim.phantom.spine.hardware import Hardware
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.typing import FloatArray, Vector3

CANAL_GAP_MM: Final = 0.5
"""Bone that a screw leaves between itself and the canal. [A]"""
TIP_DEPTH: Final = 0.8
"""How far into the body the tip goes, of its depth. [M]"""
CAGE_WALL_MM: Final = 2.5
CAGE_OUTER: Final = 0.36
"""Outer radius of the cage over the depth of the endplate. [A]"""
_STEP_MM: Final = 0.25
# Angle between screw and sagittal plane [M]; in the neck as much as its canal lets pass.
_CONVERGENCE_DEG: Final = {
    "C": ((3, 7), (35.0, 30.0)),
    "T": ((1, 3, 6, 9, 12), (25.0, 18.0, 12.0, 8.0, 6.0)),
    "L": ((1, 3, 5), (9.0, 14.0, 25.0)),
    "S": ((1, 2), (25.0, 25.0)),
}
_LONGEST_MM: Final = {"C": 26.0, "T": 45.0, "L": 50.0, "S": 40.0}


@dataclass(frozen=True)
class Screw:
    """One pedicle screw, LPS mm.

    Attributes:
        level: name of the vertebra.
        diameter_mm, length_mm: of the shaft.
        entry_mm, tip_mm: where the shaft enters the bone, and its end in the body.
        head_mm: center of the head, where the rod lies.
        shape: shaft and head.
    """

    level: str
    diameter_mm: float
    length_mm: float
    entry_mm: Vector3
    tip_mm: Vector3
    head_mm: Vector3
    shape: Shape = field(repr=False)


@dataclass(frozen=True)
class ImplantShapes:
    """All implants of a case, in place (LPS mm).

    Attributes:
        screws: left and right of each level, head to foot.
        rods: left and right rod; empty with fewer than two levels of screws.
        cage, graft: the wall of the cage, and the bone graft inside.
        cement: in the target's body.
    """

    screws: tuple[Screw, ...] = ()
    rods: tuple[Shape, ...] = ()
    cage: Shape | None = None
    graft: Shape | None = None
    cement: Shape | None = None


def implant_shapes(hardware: Hardware, vertebrae: Sequence[Vertebra], target: str, seed: int = 1) -> ImplantShapes:
    """The implants that ``hardware`` asks for, in the vertebrae that the CT holds (head to foot).

    Raises:
        InputError: screws in a vertebra that the CT does not hold, in the one that a cage replaces, or rods so short
            of vertebrae that they end in mid-air.
    """
    by_name = {v.placement.level.name: v for v in vertebrae}
    missing = [n for n in hardware.screws if n not in by_name]
    if missing:
        raise InputError(
            f"screws are asked for at {', '.join(missing)}, but the CT holds {next(iter(by_name))} to "
            f"{list(by_name)[-1]}; raise half_length_mm or choose levels nearer to {target}"
        )
    if hardware.cage and target in hardware.screws:
        raise InputError(f"screws and a cage are both asked for at {target}; a cage replaces the body that they need")
    left, right = (tuple(screw(by_name[n], side) for n in hardware.screws) for side in (1.0, -1.0))
    rods: tuple[Shape, ...] = ()
    if len(hardware.screws) > 1:
        names = list(by_name)
        between = [by_name[n] for n in names[names.index(hardware.screws[0]) : names.index(hardware.screws[-1]) + 1]]
        rods = (_rod(left, between, 1.0), _rod(right, between, -1.0))
    cage = graft = None
    if hardware.cage:
        cage, graft = _cage(by_name[target])
    return ImplantShapes(
        screws=tuple(s for pair in zip(left, right, strict=True) for s in pair),
        rods=rods,
        cage=cage,
        graft=graft,
        cement=_cement(by_name[target], seed) if hardware.cement else None,
    )


def screw_diameter_mm(row: Level) -> float:
    """Diameter of the screw that fits the level's pedicle."""
    if row.region == "C":
        return 3.5
    return float(np.clip(math.floor(2.0 * 0.85 * row.pedicle_width_mm) / 2.0, 4.5, 7.5))


def rod_diameter_mm(row: Level) -> float:
    """Diameter of a rod that ends at this level."""
    return 3.5 if row.region == "C" else 5.5


def screw(vertebra: Vertebra, side: float) -> Screw:
    """The screw through the left (side +1) or right (-1) pedicle."""
    place, row = vertebra.placement, vertebra.placement.level
    diameter, angle = screw_diameter_mm(row), math.radians(_convergence_deg(row))
    u, w = _isthmus(vertebra, side, diameter / 2, angle)
    along = np.array((-side * math.sin(angle), -math.cos(angle), 0.0))
    middle = np.array((u, place.canal_v_mm, w))
    entry = middle - _reach(vertebra, middle, along) * along
    deepest = TIP_DEPTH * row.endplate_depth_mm - row.endplate_depth_mm / 2
    whole = (entry[1] + deepest) / math.cos(angle)
    step = 2.0 if row.region == "C" else 5.0
    length = float(min(math.floor(whole / step) * step, _LONGEST_MM[row.region]))
    tip, collar = entry + length * along, 0.62 * max(diameter, 4.5)
    top = entry - (1.0 + 2.1 * collar) * along
    points = [place.at(*(float(c) for c in p)) for p in (entry, tip, entry - 0.8 * collar * along, top)]
    start, end, low, high = points
    shaft = Capsule(start, end, diameter / 2, 0.42 * diameter)
    head = Capsule(low, high, 1.45 * collar, 1.45 * collar)
    seat = place.at(*(float(c) for c in entry - (1.0 + 1.5 * collar) * along))
    return Screw(row.name, diameter, length, start, end, seat, Union((shaft, head)))


def _convergence_deg(row: Level) -> float:
    number, angle = _CONVERGENCE_DEG[row.region]
    return float(np.interp(row.number, number, angle))


def _isthmus(vertebra: Vertebra, side: float, radius_mm: float, angle: float) -> tuple[float, float]:
    """(u, w) where the screw's axis passes the canal's middle: the middle of the pedicle, or as much further out as
    the canal asks for."""
    place, row = vertebra.placement, vertebra.placement.level
    pedicle = vertebra.pedicle_left if side > 0 else vertebra.pedicle_right
    u = row.canal_width_mm / 2 + row.pedicle_width_mm / 2
    heights = np.arange(-0.5 * row.height_mm, 0.75 * row.height_mm, 0.1)
    column = np.array([place.at(side * u, place.canal_v_mm, float(w)) for w in heights])
    w = float(heights[pedicle.contains(column)].mean())
    a, b = row.canal_width_mm / 2, row.canal_ap_mm / 2
    turn = np.linspace(0.0, 2.0 * np.pi, 721)
    rim_u = a * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / 2.2)
    rim_v = b * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / 2.2)
    # distance of the canal's rim from the axis through (u, canal's middle), which converges forward by ``angle``
    needed = float((rim_u * math.cos(angle) - rim_v * math.sin(angle)).max()) + radius_mm + CANAL_GAP_MM
    return side * max(u, needed / math.cos(angle)), w


def _reach(vertebra: Vertebra, middle: FloatArray, along: FloatArray) -> float:
    """How far behind ``middle`` the axis leaves the bone for good."""
    steps = np.arange(0.0, 45.0, _STEP_MM)
    points = np.array([vertebra.placement.at(*(float(c) for c in middle - s * along)) for s in steps])
    inside = np.flatnonzero(vertebra.whole.contains(points))
    return float(steps[inside[-1]]) if inside.size else 0.0


def _rod(screws: tuple[Screw, ...], between: Sequence[Vertebra], side: float) -> Shape:
    """A rod through the heads of the screws; over a level without screws it keeps behind the bone."""
    heads = {s.level: np.array(s.head_mm) for s in screws}
    at = np.array(list(heads.values()))[::-1]
    points: list[FloatArray] = []
    for v in between:
        name = v.placement.level.name
        if name in heads:
            points.append(heads[name])
            continue
        own = np.array(screw(v, side).head_mm)
        own[0] = np.interp(own[2], at[:, 2], at[:, 0])
        own[1] = max(own[1], float(np.interp(own[2], at[:, 2], at[:, 1])))
        points.append(own)
    ends = []
    for last, before in ((points[0], points[1]), (points[-1], points[-2])):
        ends.append(last + 8.0 * (last - before) / float(np.linalg.norm(last - before)))
    points = [ends[0], *points, ends[1]]
    radius = rod_diameter_mm(between[0].placement.level) / 2
    pieces = [Capsule(_point(a), _point(b), radius, radius) for a, b in pairwise(points)]
    return Union(tuple(pieces))


def _cage(vertebra: Vertebra) -> tuple[Shape, Shape]:
    """Wall and inside of a cage that reaches from endplate to endplate of the neighbors."""
    row, put = vertebra.placement.level, vertebra.placement.place
    radius, length = CAGE_OUTER * row.endplate_depth_mm, row.height_mm + 1.9 * row.disc_mm
    center = (0.0, -0.04 * row.endplate_depth_mm, 0.0)
    outer, inner = (Cylinder(center, r, length, Axis.Z) for r in (radius, radius - CAGE_WALL_MM))
    return put(Difference(outer, inner)), put(inner)


def _cement(vertebra: Vertebra, seed: int) -> Shape:
    """Two clouds of cement, from a cannula on each side, that meet in the front half of the body."""
    rng = np.random.default_rng(seed + 5000)
    row, put = vertebra.placement.level, vertebra.placement.place
    a, b, c = row.endplate_width_mm / 2, row.endplate_depth_mm / 2, row.height_mm / 2
    clouds: list[Shape] = []
    for side in (1.0, -1.0):
        jitter = rng.uniform(-0.06, 0.06, 3)
        center = ((0.36 * side + jitter[0]) * a, (-0.18 + jitter[1]) * b, float(jitter[2]) * c)
        clouds.append(Ellipsoid(center, (0.40 * a, 0.50 * b, float(rng.uniform(0.55, 0.72)) * c)))
    return Intersection((put(Union(tuple(clouds), 3.0)), vertebra.body.grown(-2.0)))


def _point(values: FloatArray) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])

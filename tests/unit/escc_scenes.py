"""Hand-made canals: elliptic sac and cord in a leaning canal, and a tumor that comes in from one side by grade."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from rtsim import materials
from rtsim.geometry.coverage import coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Difference, Ellipsoid, Intersection, Section, Shape, Sweep, Union
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure, Structures
from rtsim.typing import Vector3

CANAL, SAC, CORD = (11.5, 9.0), (9.0, 7.0), (5.0, 3.5)
"""Half widths (x, y) in mm: an adult's, with 2 mm of epidural space and 3.5 mm of CSF front and back."""
REACH = {"1a": 1.2, "1b": 3.7, "1c": 5.5, "2": 7.7, "3": 7.7}
"""How deep the tumor's tip lies below the wall of the canal, in front: the sac begins at 2 mm, the cord at 5.5 mm."""
FROM_THE_SIDE = {"1a": 1.5, "1b": 4.5, "1c": 6.5, "2": 8.7, "3": 8.7}
"""The same from the side, where the sac begins at 2.5 mm and the cord at 6.5 mm."""
LENGTH = 32.0
HALF_LENGTH = 6.0
"""Of the tumor along the canal."""


def tube(half: tuple[float, float], lean_deg: float, shift: tuple[float, float] = (0.0, 0.0)) -> Sweep:
    slope = math.tan(math.radians(lean_deg))
    ends = tuple(Section(z, (shift[0], shift[1] + slope * z), half) for z in (-LENGTH, LENGTH))
    return Sweep(ends, 2.0)


def tumor_of(grade: str, side: str, lean_deg: float) -> tuple[Shape, Shape | None]:
    """(bone, canal) parts; the canal part is an ellipsoid through the wall."""
    x, y = {"front": (0.0, -1.0), "back": (0.0, 1.0), "left": (1.0, 0.0), "right": (-1.0, 0.0)}[side]
    wall = abs(x) * CANAL[0] + abs(y) * CANAL[1]
    bone = Ellipsoid((x * (wall + 9.0), y * (wall + 9.0), 0.0), (8.9, 8.9, 9.0))
    if grade == "0":
        return bone, None
    depth = (FROM_THE_SIDE if y == 0.0 else REACH)[grade]
    inward, across = depth + 3.0, 7.0
    half = (inward, across) if y == 0.0 else (across, inward)
    middle = (x * (wall + 3.0), y * (wall + 3.0))
    return bone, leaning(middle, half, lean_deg)


def leaning(middle: tuple[float, float], half: tuple[float, float], lean_deg: float) -> Shape:
    """An ellipsoid that follows the canal: every slice is moved with it."""
    slope = math.tan(math.radians(lean_deg))
    sections = []
    for z in np.linspace(-HALF_LENGTH, HALF_LENGTH, 25):
        size = math.sqrt(max(1.0 - (float(z) / HALF_LENGTH) ** 2, 1e-4))
        at = (middle[0], middle[1] + slope * float(z))
        sections.append(Section(float(z), at, (half[0] * size, half[1] * size)))
    return Sweep(tuple(sections), 2.0)


def scene(
    grade: str,
    spacing_mm: Vector3,
    *,
    side: str = "front",
    lean_deg: float = 0.0,
    without: Collection[str] = (),
    level: str = "T8",
    offset_mm: float = 0.0,
) -> Phantom:
    """A canal with the tumor of a grade, as a clinic would draw it: sac and cord where the tumor leaves them."""
    grid = Grid.covering(
        (-26.0 + offset_mm, -30.0 + offset_mm, -LENGTH + 2.0 + offset_mm), (26.0, 30.0, LENGTH - 2.0), spacing_mm
    )
    bone, tip = tumor_of(grade, side, lean_deg)
    canal, sac, cord = (tube(half, lean_deg) for half in (CANAL, SAC, CORD))
    shapes: dict[str, Shape] = {"spinal_canal": canal, "thecal_sac": sac, "spinal_cord": cord}
    gross: Shape = Difference(bone, canal)
    if tip is not None:
        if grade == "3":
            inside: Shape = Difference(Intersection((canal, slab())), Difference(cord, tip))
        elif grade == "2":
            inside = Intersection((tip, canal.grown(0.6)))
        else:
            inside = Difference(Intersection((tip, canal.grown(0.6))), cord)
        gross = Union((gross, inside))
        shapes["thecal_sac"] = Difference(sac, inside)
        if grade in ("2", "3"):
            shapes["spinal_cord"] = Difference(cord, tip)
    shapes["GTV"] = gross
    shapes[f"vertebra_{level}"] = Ellipsoid((0.0, 0.0, 0.0), (24.0, 26.0, 11.0))
    roles = {"GTV": Role.GTV}
    drawn = tuple(
        Structure.from_coverage(name, roles.get(name, Role.OAR), grid, coverage(shape, grid, 3))
        for name, shape in shapes.items()
        if name not in without
    )
    return Phantom.from_density(
        np.ones(grid.shape), np.zeros(grid.shape, np.uint8), (materials.get("water"),), grid, Structures(drawn)
    )


def slab() -> Shape:
    """The slices of the tumor."""
    wide = (60.0, 60.0)
    return Sweep((Section(-HALF_LENGTH, (0.0, 0.0), wide), Section(HALF_LENGTH, (0.0, 0.0), wide)), 2.0)

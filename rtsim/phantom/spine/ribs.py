"""Ribs, sternum, shoulder blades, iliac wings: where they run, painted as a shell with marrow inside. [A]"""

from __future__ import annotations

import math

import numpy as np

from rtsim.geometry.shapes import Axis, Capsule, Ellipsoid, Section, Shape, Sweep
from rtsim.phantom.spine.canvas import Canvas
from rtsim.phantom.spine.trunk import Trunk, cavity_section
from rtsim.typing import Vector3

RIB_OUTSIDE_PLEURA_MM = 5.5
RIB_SEGMENTS = 20
_LAST_ANGLE_DEG = {11: 100.0, 12: 72.0}


def rib_path(trunk: Trunk, number: int, side: float) -> tuple[Vector3, ...]:
    """(x, y, z) along one rib, from its head beside the disc above T<number> to its front end; side +1 is left.

    The rib passes the tip of the transverse process, then follows the chest wall and sinks towards the front.
    """
    p = trunk.column[f"T{number}"]
    row = p.level
    head = p.at(side * (row.endplate_width_mm / 2 - 1.0), row.endplate_depth_mm / 2 - 3.0, row.height_mm / 2)
    neck = p.at(side * (row.canal_width_mm / 2 + 20.0), p.canal_v_mm + 7.0, row.height_mm / 2 - 4.0)
    wall = trunk.cavity(RIB_OUTSIDE_PLEURA_MM)
    table = np.array([(s.z_mm, *s.center_mm, *s.half_widths_mm) for s in wall.sections])
    last = math.radians(_LAST_ANGLE_DEG.get(number, 152.0))
    drop = float(np.interp(number, (1, 2, 4, 8, 12), (22.0, 42.0, 68.0, 92.0, 60.0)))
    points = [head, neck]
    power = 2.0 / wall.exponent
    for angle in np.linspace(math.radians(26.0), last, RIB_SEGMENTS):
        z = neck[2] - drop * float(angle / math.radians(152.0)) ** 1.15
        cy, a, b = (float(np.interp(z, table[:, 0], table[:, i])) for i in (2, 3, 4))
        s, c = math.sin(angle), math.cos(angle)
        points.append((side * a * abs(s) ** power, cy + b * math.copysign(abs(c) ** power, c), z))
    return tuple(points)


def _rib(path: tuple[Vector3, ...], shrink_mm: float) -> tuple[Shape, ...]:
    radii = np.interp(np.arange(len(path)), (0, 3, len(path) - 1), (4.4, 3.9, 4.2)) - shrink_mm
    return tuple(
        Capsule(a, b, float(ra), float(rb), 1.45)
        for a, b, ra, rb in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True)
    )


def paint_cage(canvas: Canvas, trunk: Trunk) -> None:
    """Paint twelve pairs of ribs (with costal cartilage in front), sternum, shoulder blades and iliac wings."""
    for number in range(1, 13):
        for side in (1.0, -1.0):
            path = rib_path(trunk, number, side)
            bone, marrow = _rib(path, 0.0), _rib(path, 1.8)
            first_cartilage = len(bone) - 4 if number <= 10 else len(bone)
            for i, segment in enumerate(bone):
                canvas.paint(segment, "rib_cortical" if i < first_cartilage else "cartilage")
            for segment in marrow[:first_cartilage]:
                canvas.paint(segment, "rib_marrow")
    sternum = _sternum(trunk, 0.0)
    canvas.paint(sternum, "rib_cortical")
    canvas.paint(_sternum(trunk, 1.5), "rib_marrow")
    for side in (1.0, -1.0):
        canvas.paint(_blade(trunk, side), "rib_cortical")
        canvas.paint(_wing(trunk, side, (66.0, 17.0, 54.0)), "muscle")
        canvas.paint(_wing(trunk, side, (64.0, 6.0, 56.0)), "rib_cortical")
        canvas.paint(_wing(trunk, side, (61.0, 4.0, 53.0)), "rib_marrow")


def _sternum(trunk: Trunk, shrink_mm: float) -> Shape:
    sections = []
    for p in trunk.column.rising():
        if p.level.region == "T" and 3 <= p.level.number <= 9:
            wall = cavity_section(p)
            width = float(np.interp(p.level.number, (3, 4, 9), (26.0, 19.0, 15.0)))
            front = wall.center_mm[1] - wall.half_widths_mm[1] - 7.0
            sections.append(Section(p.center_mm[2], (0.0, front), (width - shrink_mm, 5.5 - shrink_mm)))
    return Sweep(tuple(sections), 3.5)


def _blade(trunk: Trunk, side: float) -> Shape:
    p = trunk.column["T5"]
    blade = Ellipsoid((0.0, 0.0, 0.0), (42.0, 3.2, 62.0)).rotated(Axis.Z, -side * 26.0)
    return blade.moved((side * 96.0, p.canal_mm[1] + 23.0, p.center_mm[2] - 4.0))


def _wing(trunk: Trunk, side: float, radii_mm: Vector3) -> Shape:
    """An iliac wing: a plate from the sacroiliac joint forward and outward, its crest at L4/5."""
    p = trunk.column["S1"]
    plate = Ellipsoid((0.0, 0.0, 0.0), radii_mm).rotated(Axis.Z, -side * 41.0)
    return plate.moved((side * 86.0, p.canal_mm[1] - 20.0, p.center_mm[2] - 8.0))

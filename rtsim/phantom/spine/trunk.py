"""The trunk around the column: skin, fat, cavity, lungs. Its sizes follow the skin columns of the anatomy table;
wall thicknesses and where the organs lie in the cavity are modelling assumptions [A]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.geometry.shapes import Difference, Ellipsoid, HalfSpace, Intersection, Section, Shape, Sweep, Union
from rtsim.phantom.spine.column import Column, Placement

SKIN_MM = 2.0
FAT_MM = {"C": 5.0, "T": 11.0, "L": 16.0, "S": 20.0}
FRONT_WALL_MM = {"C": 0.0, "T": 30.0, "L": 28.0, "S": 28.0}
SIDE_WALL_MM = {"C": 0.0, "T": 34.0, "L": 34.0, "S": 50.0}
CAVITY_BEHIND_CANAL_MM = {"T": 16.0, "L": 4.0, "S": -8.0}


@dataclass(frozen=True)
class Trunk:
    """Outlines at every level of the column; each method gives a shape in LPS mm."""

    column: Column

    def skin(self, inset_mm: float = 0.0) -> Shape:
        """The outline of the body, or ``inset_mm`` inside it."""
        return Sweep(self._ends(tuple(skin_section(p, inset_mm) for p in self.column.rising())), 2.5)

    def lean(self) -> Shape:
        """Everything within the subcutaneous fat."""
        return Sweep(self._ends(tuple(skin_section(p, FAT_MM[p.level.region]) for p in self.column.rising())), 2.5)

    def cavity(self, outward_mm: float = 0.0) -> Sweep:
        """Inside of chest and belly wall, from the apex of the lungs at T1 down."""
        sections = [cavity_section(p, outward_mm) for p in self.column.rising() if p.level.region != "C"]
        top = self.column["T1"]
        apex = Section(top.center_mm[2] + 14.0, (0.0, top.center_mm[1] - 18.0), (26.0 + outward_mm, 16.0 + outward_mm))
        return Sweep(self._ends((*sections, apex), above=False), 2.3)

    def lungs(self) -> tuple[Shape, Shape]:
        """Left and right lung: the chest less mediastinum, spine with its muscles, and the diaphragm's domes."""
        floor = self.column.z_mm("T12", -self.column["T12"].level.height_mm / 2)
        chest = Intersection((self.cavity(), HalfSpace((0.0, 0.0, floor), (0.0, 0.0, -1.0))))
        inner = Difference(chest, Union((self.mediastinum(), self.beside_spine(), *self.domes()), 4.0))
        return (
            Intersection((inner, HalfSpace((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)))),
            Intersection((inner, HalfSpace((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)))),
        )

    def mediastinum(self) -> Shape:
        """Between the lungs: wide in front, narrow beside the column."""
        front: list[Section] = []
        back: list[Section] = []
        for p in self.column.rising():
            if p.level.region != "T":
                continue
            face = p.at(0.0, -p.level.endplate_depth_mm / 2, 0.0)
            breast = cavity_section(p).center_mm[1] - cavity_section(p).half_widths_mm[1]
            depth = max((face[1] - breast) / 2, 8.0)
            width = float(np.interp(p.level.number, (1, 3, 5, 8, 12), (30.0, 34.0, 30.0, 36.0, 40.0)))
            front.append(Section(p.center_mm[2], (4.0, face[1] - depth - 3.0), (width, depth + 3.0)))
            back.append(Section(p.center_mm[2], (3.0, face[1] - 8.0), (27.0, 20.0)))
        return Union((Sweep(self._ends(tuple(front)), 2.6), Sweep(self._ends(tuple(back)), 2.0)), 10.0)

    def beside_spine(self) -> Shape:
        """The column with its costovertebral joints and the muscles behind, which the pleura passes over."""
        body, muscles = [], []
        for p in self.column.rising():
            if p.level.region != "T":
                continue
            x, y, z = p.center_mm
            body.append(
                Section(z, (x, y + 2.0), (p.level.endplate_width_mm / 2 + 5.0, p.level.endplate_depth_mm / 2 + 4.0))
            )
            muscles.append(Section(z, (0.0, p.canal_mm[1] + 27.0), (44.0, 33.0)))
        return Union((Sweep(self._ends(tuple(body)), 2.2), Sweep(self._ends(tuple(muscles)), 2.6)), 6.0)

    def domes(self) -> tuple[Shape, Shape]:
        """Right and left dome of the diaphragm (their inside is belly); the right one higher."""
        t11 = self.column["T11"]
        y = cavity_section(t11).center_mm[1] - 6.0
        z = t11.center_mm[2]
        wide = cavity_section(t11).half_widths_mm[0]
        return (
            Ellipsoid((-0.50 * wide, y, z - 45.0), (0.56 * wide, 74.0, 78.0)),
            Ellipsoid((0.50 * wide, y, z - 52.0), (0.54 * wide, 72.0, 74.0)),
        )

    def belly(self) -> Shape:
        """The belly: the cavity below T12, and the domes."""
        top = self.column.z_mm("T12", -self.column["T12"].level.height_mm / 2)
        below = Intersection((self.cavity(), HalfSpace((0.0, 0.0, top), (0.0, 0.0, 1.0))))
        return Union((below, *(Intersection((d, self.cavity())) for d in self.domes())))

    def _ends(self, sections: tuple[Section, ...], *, above: bool = True) -> tuple[Section, ...]:
        """Sections carried on 150 mm below the lowest and above the highest, so that no field ends in mid-air."""
        low, high = sections[0], sections[-1]
        out = (Section(low.z_mm - 150.0, low.center_mm, low.half_widths_mm), *sections)
        return (*out, Section(high.z_mm + 150.0, high.center_mm, high.half_widths_mm)) if above else out


def skin_section(p: Placement, inset_mm: float = 0.0) -> Section:
    """The skin at one level, or ``inset_mm`` inside it."""
    row = p.level
    back = p.canal_mm[1] + row.skin_to_canal_mm
    return Section(
        p.center_mm[2],
        (0.0, back - row.skin_depth_mm / 2),
        (row.skin_width_mm / 2 - inset_mm, row.skin_depth_mm / 2 - inset_mm),
    )


def cavity_section(p: Placement, outward_mm: float = 0.0) -> Section:
    """The inside of the wall of chest or belly at one level, or ``outward_mm`` outside it."""
    row = p.level
    outline = skin_section(p)
    front = outline.center_mm[1] - outline.half_widths_mm[1] + FRONT_WALL_MM[row.region]
    back = p.canal_mm[1] + CAVITY_BEHIND_CANAL_MM[row.region]
    width = outline.half_widths_mm[0] - SIDE_WALL_MM[row.region]
    if row.region == "T":
        # the chest narrows towards its apex faster than the shoulders do
        width = min(width, float(np.interp(row.number, (1, 2, 3, 4, 5), (46.0, 76.0, 100.0, 118.0, 200.0))))
        front += float(np.interp(row.number, (1, 2, 3, 4), (22.0, 12.0, 4.0, 0.0)))
        back -= float(np.interp(row.number, (1, 2, 3, 4), (14.0, 8.0, 4.0, 0.0)))
    return Section(p.center_mm[2], (0.0, (front + back) / 2), (width + outward_mm, (back - front) / 2 + outward_mm))

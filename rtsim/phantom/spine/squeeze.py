"""How sac and cord give way to a tumor that fills the canal: squeezed into a refuge, displaced and flattened.

In every axial slice the refuge is an ellipse. At the worst level it is what the grade says is left: the flattened cord
alone (grade 3), or with some fluid beside it (grade 2). Above and below it opens until it holds the whole canal. The
sac is what lies in the refuge, the cord an ellipse in it, and tumor fills the canal around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rtsim.errors import InputError
from rtsim.geometry.shapes import Box, HalfSpace, Section, Shape, Sweep
from rtsim.phantom.spine.column import Placement
from rtsim.phantom.spine.spec import EpiduralGrade, LesionSite
from rtsim.typing import Vector3

FLATTENED = {
    # (along the push, across it): the cord loses 15 % of its section at grade 2 and 27 % at grade 3 [A]
    EpiduralGrade.ESCC_2: (0.68, 1.25),
    EpiduralGrade.ESCC_3: (0.60, 1.22),
}
FLUID_LEFT = 0.28
"""Grade 2: part of the squeezed sac that is fluid. [A]"""
FAR_GAP_MM = 0.5
"""Grade 2: half the fluid between the cord and the far side of the sac. [A]"""
LEAST_ACROSS = 0.9
"""A cord that is narrower than this across the push would not be flattened but eaten. [A]"""
STEP_MM = 1.0
_WIDE_MM = 300.0

Pair = tuple[float, float]


@dataclass(frozen=True)
class Ellipse:
    """Center relative to the sac's own, and half widths, in (x, y) mm."""

    center_mm: Pair
    half_mm: Pair


@dataclass(frozen=True)
class Squeeze:
    """A squeeze at one level.

    Attributes:
        placement: of the level.
        push: unit (x, y) from the tumor to the refuge; (0, 0) for a ring.
        worst, cord: refuge and cord at the worst level; ``cord`` None leaves it as it is.
        flat_mm, reach_mm: the worst slice goes on for +- flat_mm, and all is healthy again at +- reach_mm.
        rise_mm: the worst slice lies this far above the canal's center at mid-height.
    """

    placement: Placement
    push: Pair
    worst: Ellipse
    cord: Ellipse | None
    flat_mm: float
    reach_mm: float
    rise_mm: float = 0.0

    @property
    def z_mm(self) -> float:
        """LPS z of the middle of the squeeze."""
        return self.placement.canal_mm[2] + self.rise_mm

    @classmethod
    def of(cls, grade: EpiduralGrade, site: LesionSite, placement: Placement, sac_mm: Pair, cord_mm: Pair) -> Squeeze:
        """The squeeze of a grade from a site; ``sac_mm`` and ``cord_mm`` are half widths in (x, AP).

        Raises:
            InputError: the flattened cord does not fit into the sac.
        """
        # at least two thick CT slices show the worst
        flat = max(3.2, 0.22 * placement.posterior_height_mm)
        reach = flat + max(5.0, 0.30 * placement.posterior_height_mm)
        push = _push(site)
        if site is LesionSite.CIRCUMFERENTIAL:
            worst, cord = _ring(grade, sac_mm, cord_mm)
            if cord is not None:
                _check_fits(grade, placement, cord.half_mm[0], cord_mm[0], sac_mm[0])
            return cls(placement, push, worst, cord, flat, reach)
        axis = 0 if abs(push[0]) > abs(push[1]) else 1
        along, across = FLATTENED[grade]
        q_n, q_t = along * cord_mm[axis], min(across * cord_mm[1 - axis], 0.88 * sac_mm[1 - axis])
        _check_fits(grade, placement, q_t, cord_mm[1 - axis], sac_mm[1 - axis])
        r_n, r_t = q_n, q_t
        if grade is EpiduralGrade.ESCC_2:
            r_n = q_n + FAR_GAP_MM
            r_t = q_n * q_t / ((1.0 - FLUID_LEFT) * r_n)
        shift = _furthest(push, _pair(axis, r_n, r_t), sac_mm)
        back = shift - (r_n - q_n)
        worst = Ellipse((shift * push[0], shift * push[1]), _pair(axis, r_n, r_t))
        cord = Ellipse((back * push[0], back * push[1]), _pair(axis, q_n, q_t))
        return cls(placement, push, worst, cord, flat, reach)

    def weight(self, dz_mm: float) -> float:
        """1 at the worst level, 0 where all is healthy."""
        x = (abs(dz_mm) - self.flat_mm) / (self.reach_mm - self.flat_mm)
        return 0.5 + 0.5 * math.cos(math.pi * min(max(x, 0.0), 1.0))

    def refuge(self, sac: Sweep) -> Sweep:
        """What holds the sac: everything but at the lesion."""
        row, z0 = self.placement.level, self.z_mm
        # the open end holds the canal, whose corners are fuller than an ellipse's, and its wall
        ends = (1.08 * row.canal_width_mm / 2 + 2.0, 1.08 * row.canal_ap_mm / 2 + 3.0)
        sections = []
        for dz in _ticks(self.reach_mm):
            own, t = section_at(sac, z0 + dz), self.weight(dz)
            x, y = (c + t * w for c, w in zip(own.center_mm, self.worst.center_mm, strict=True))
            a, b = (t * w + (1.0 - t) * e for w, e in zip(self.worst.half_mm, ends, strict=True))
            sections.append(Section(z0 + dz, (x, y), (a, b)))
        for end, step in ((sections[0], -1.0), (sections[-1], 1.0)):
            for far in (2.0, 2000.0):
                z = end.z_mm + step * far
                sections.append(Section(z, end.center_mm, (_WIDE_MM, _WIDE_MM)))
        return Sweep(tuple(sorted(sections, key=lambda s: s.z_mm)))

    def pressed(self, cord: Sweep, sac: Sweep) -> Sweep:
        """The cord (or the roots) displaced and flattened."""
        if self.cord is None:
            return cord
        z0, low, high = self.z_mm, cord.sections[0].z_mm, cord.sections[-1].z_mm
        kept = [s for s in cord.sections if abs(s.z_mm - z0) > self.reach_mm]
        moved = []
        for dz in _ticks(self.reach_mm):
            if not low < z0 + dz < high:
                continue
            own, t = section_at(cord, z0 + dz), self.weight(dz)
            goal = np.array(section_at(sac, z0 + dz).center_mm) + self.cord.center_mm
            x, y = (float(c + t * (g - c)) for c, g in zip(own.center_mm, goal, strict=True))
            a, b = (o + t * (w - o) for o, w in zip(own.half_widths_mm, self.cord.half_mm, strict=True))
            moved.append(Section(z0 + dz, (x, y), (a, b)))
        return replace(cord, sections=tuple(sorted((*kept, *moved), key=lambda s: s.z_mm)))

    def reach(self) -> tuple[Shape, ...]:
        """Shapes that bound the tumor: its length, and, unless it is a ring, the side that it comes from."""
        p = self.placement
        x, y, z = *p.canal_mm[:2], self.z_mm
        slab = Box((x - 60.0, y - 60.0, z - self.reach_mm), (x + 60.0, y + 60.0, z + self.reach_mm))
        if self.push == (0.0, 0.0):
            return (slab,)
        # a little past the refuge's middle, so that its flanks are wrapped
        past = 0.35 * min(self.worst.half_mm)
        local: Vector3 = (
            self.worst.center_mm[0] + past * self.push[0],
            p.canal_v_mm + self.worst.center_mm[1] + past * self.push[1],
            0.0,
        )
        return slab, p.place(HalfSpace(local, (self.push[0], self.push[1], 0.0)))


def section_at(tube: Sweep, z_mm: float) -> Section:
    """The section of a tube at a height, as its signed distance has it."""
    table = np.array([(s.z_mm, *s.center_mm, *s.half_widths_mm) for s in tube.sections])
    x, y, a, b = (float(np.interp(z_mm, table[:, 0], table[:, i])) for i in range(1, 5))
    return Section(z_mm, (x, y), (a, b))


def _check_fits(grade: EpiduralGrade, placement: Placement, flattened: float, cord: float, sac: float) -> None:
    if flattened < LEAST_ACROSS * cord:
        raise InputError(
            f"epidural is {grade.value} at {placement.level.name}: a flattened cord keeps its width of "
            f"{2 * cord:.1f} mm at the least, and the thecal sac has {2 * sac:.1f} mm; use a lower grade or another "
            "site"
        )


def _push(site: LesionSite) -> Pair:
    if site is LesionSite.CIRCUMFERENTIAL:
        return 0.0, 0.0
    if site is LesionSite.POSTERIOR:
        return 0.0, -1.0
    if site in {LesionSite.PEDICLE_LEFT, LesionSite.PEDICLE_RIGHT}:
        return -site.side, 0.0
    lean = 0.45 * site.side
    return -lean, math.sqrt(1.0 - lean * lean)


def _pair(axis: int, along: float, across: float) -> Pair:
    return (along, across) if axis == 0 else (across, along)


def _ring(grade: EpiduralGrade, sac_mm: Pair, cord_mm: Pair) -> tuple[Ellipse, Ellipse | None]:
    """Refuge and cord of a ring of tumor, both in the middle of the canal."""
    (a, b), (sac_a, sac_b) = cord_mm, sac_mm
    match grade:
        case EpiduralGrade.ESCC_1A:
            return Ellipse((0.0, 0.0), sac_mm), None
        case EpiduralGrade.ESCC_1B:
            return Ellipse((0.0, 0.0), ((a + sac_a) / 2, (b + sac_b) / 2)), None
        case EpiduralGrade.ESCC_1C:
            return Ellipse((0.0, 0.0), (a + 0.6 * (sac_a - a), b)), None
        case EpiduralGrade.ESCC_2:
            cord = (min(1.15 * a, 0.7 * sac_a), 0.72 * b)
            return Ellipse((0.0, 0.0), (cord[0] / (1.0 - FLUID_LEFT), cord[1])), Ellipse((0.0, 0.0), cord)
        case _:
            cord = (min(1.12 * a, 0.8 * sac_a), 0.65 * b)
            return Ellipse((0.0, 0.0), cord), Ellipse((0.0, 0.0), cord)


def _furthest(push: Pair, half_mm: Pair, sac_mm: Pair) -> float:
    """How far the refuge can be pushed and still lie in the sac (half widths about 0)."""
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    x, y = half_mm[0] * np.cos(angle), half_mm[1] * np.sin(angle)

    def fits(shift: float) -> bool:
        u, v = (x + shift * push[0]) / sac_mm[0], (y + shift * push[1]) / sac_mm[1]
        return float((u * u + v * v).max()) <= 1.0

    low, high = 0.0, max(sac_mm)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _ticks(reach_mm: float) -> tuple[float, ...]:
    count = 2 * math.ceil(reach_mm / STEP_MM)
    return tuple(float(t) for t in np.linspace(-reach_mm, reach_mm, count + 1))

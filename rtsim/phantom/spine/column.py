"""The column: where each level stands, how it leans, and the canal that runs through it. LPS mm; the target body's
center is the origin, the column lies in the plane x = 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from rtsim.geometry.shapes import Axis, Section, Shape, Sweep
from rtsim.phantom.spine.anatomy import Level, levels
from rtsim.phantom.spine.collapse import Collapse
from rtsim.typing import Vector3

SAC_TO_CANAL_WIDTH = 0.82
"""Width of the thecal sac over that of the bony canal; the rest is epidural fat and veins. [A]"""

_BENT = (1.0, 0.66, 0.33)
"""Part of the lean towards a wedge that the first, second, third neighbor takes; further ones stand as before. [A]"""


@dataclass(frozen=True)
class Placement:
    """One level in space. Local axes: u left, v posterior, w superior, along the level's own lean.

    A level that has collapsed stands between its neighbors with what is left of its height: ``level.height_mm``.
    """

    level: Level
    center_mm: Vector3
    collapse: Collapse | None = None

    def at(self, u_mm: float, v_mm: float, w_mm: float) -> Vector3:
        """LPS point of a local point."""
        c, s = math.cos(math.radians(self.level.tilt_deg)), math.sin(math.radians(self.level.tilt_deg))
        x, y, z = self.center_mm
        return x + u_mm, y + c * v_mm + s * w_mm, z - s * v_mm + c * w_mm

    def place(self, shape: Shape) -> Shape:
        """A shape given in local axes, put in its place."""
        return shape.rotated(Axis.X, -self.level.tilt_deg).moved(self.center_mm)

    @property
    def canal_v_mm(self) -> float:
        """Local v of the canal's center: behind the body's posterior wall by half the canal."""
        return self.level.endplate_depth_mm / 2 + self.level.canal_ap_mm / 2

    @property
    def posterior_height_mm(self) -> float:
        """Height of the body's posterior wall, which pedicles and joints follow."""
        return self.level.height_mm if self.collapse is None else self.collapse.posterior_mm

    @property
    def canal_mm(self) -> Vector3:
        """LPS center of the canal at mid-height."""
        return self.at(0.0, self.canal_v_mm, 0.0)


@dataclass(frozen=True)
class Column:
    """All levels in place, from C2 (first) down to S2."""

    placements: tuple[Placement, ...]

    @classmethod
    def around(cls, target: str, collapse_percent: float = 0.0) -> Column:
        """Stack the levels, each on the disc of the one below, with the body of ``target`` at the origin.

        A body that has lost height lets its neighbors come nearer, and lean towards it where it is a wedge.
        """
        rows = levels()
        index = [row.name for row in rows].index(target)
        collapse = Collapse(rows[index], collapse_percent) if collapse_percent > 0 else None
        if collapse is not None:
            rows = _given_way(rows, index, collapse)
        centers: dict[int, Vector3] = {index: (0.0, 0.0, 0.0)}
        for i in range(index, len(rows) - 1):
            centers[i + 1] = _step(centers[i], rows[i], rows[i + 1], sign=-1.0)
        for i in range(index, 0, -1):
            centers[i - 1] = _step(centers[i], rows[i - 1], rows[i], sign=1.0)
        found = (Placement(row, centers[i], collapse if i == index else None) for i, row in enumerate(rows))
        return cls(tuple(found))

    def __getitem__(self, name: str) -> Placement:
        return next(p for p in self.placements if p.level.name == name)

    def z_mm(self, name: str, w_mm: float = 0.0) -> float:
        """Height z of the center of a level's body, or of a point w above it."""
        return self[name].at(0.0, 0.0, w_mm)[2]

    def rising(self) -> tuple[Placement, ...]:
        """The levels from S2 up to C2 (rising z)."""
        return tuple(reversed(self.placements))

    def canal(self) -> Sweep:
        """The bony canal."""
        return _tube(lambda v: (v.canal_width_mm / 2, v.canal_ap_mm / 2), self.placements, exponent=2.2)

    def sac(self) -> Sweep:
        """The thecal sac, at least 1 mm inside the canal."""
        return _tube(sac_half_widths_mm, self.placements)

    def cord(self) -> Sweep:
        """The cord, down to the conus at the L1/L2 disc, tapering over the last 20 mm."""
        with_cord = tuple(p for p in self.placements if p.level.cord_width_mm > 0)
        return _tube(lambda v: (v.cord_width_mm / 2, v.cord_ap_mm / 2), with_cord, conus=True)

    def cauda(self) -> Sweep:
        """The roots below the conus: the sac's inside, 1 mm within the dura."""
        below = tuple(p for p in self.placements if p.level.cord_width_mm == 0)
        top = self["L1"]
        bottom = top.level.height_mm / 2 + top.level.disc_mm / 2
        tube = _tube(lambda v: (sac_half_widths_mm(v)[0] - 1.0, sac_half_widths_mm(v)[1] - 1.0), (top, *below))
        sections = [s for s in tube.sections if s.z_mm <= top.at(0.0, top.canal_v_mm, -bottom)[2] + 0.01]
        return Sweep(tuple(sections), tube.exponent)


def sac_half_widths_mm(level: Level) -> tuple[float, float]:
    """Half widths (x, AP) of the thecal sac at a level."""
    ap = min(level.sac_ap_mm, level.canal_ap_mm - 2.0)
    return SAC_TO_CANAL_WIDTH * level.canal_width_mm / 2, ap / 2


def _given_way(rows: tuple[Level, ...], index: int, collapse: Collapse) -> tuple[Level, ...]:
    """The rows with the target's height as it is now, and its neighbors leaning towards it."""
    out = list(rows)
    out[index] = replace(rows[index], height_mm=collapse.standing_mm)
    for away, part in enumerate(_BENT, start=1):
        for i, sign in ((index - away, -1.0), (index + away, 1.0)):
            if 0 <= i < len(rows):
                out[i] = replace(rows[i], tilt_deg=rows[i].tilt_deg + sign * part * collapse.wedge_deg / 2)
    return tuple(out)


def _step(start: Vector3, upper: Level, lower: Level, *, sign: float) -> Vector3:
    y, z = start[1], start[2]
    for row, length in ((upper, (upper.height_mm + upper.disc_mm) / 2), (lower, (lower.height_mm + upper.disc_mm) / 2)):
        y += sign * length * math.sin(math.radians(row.tilt_deg))
        z += sign * length * math.cos(math.radians(row.tilt_deg))
    return 0.0, y, z


def _tube(
    half_widths: Callable[[Level], tuple[float, float]],
    placements: tuple[Placement, ...],
    *,
    exponent: float = 2.0,
    conus: bool = False,
) -> Sweep:
    found: list[Section] = []
    for i, p in enumerate(placements):
        a, b = half_widths(p.level)
        lean = math.cos(math.radians(p.level.tilt_deg))
        x, y, z = p.canal_mm
        found.append(Section(z, (x, y), (a, b / lean)))
        following = placements[i + 1] if i + 1 < len(placements) else None
        low = p.at(0.0, p.canal_v_mm, -(p.level.height_mm + p.level.disc_mm) / 2)
        if following is not None:
            a2, b2 = half_widths(following.level)
            found.append(Section(low[2], (low[0], low[1]), ((a + a2) / 2, (b + b2) / 2 / lean)))
        elif conus:
            found.append(Section(low[2] + 6.0, (low[0], low[1]), (0.55 * a, 0.55 * b)))
            found.append(Section(low[2], (low[0], low[1]), (0.8, 0.8)))
    if placements[0].level.name == "C2":
        # the canal goes on towards the skull, so that no field ends in mid-air
        first, z_top = found[0], placements[0].at(0.0, placements[0].canal_v_mm, 60.0)
        found.append(Section(z_top[2], (z_top[0], z_top[1]), first.half_widths_mm))
    return Sweep(tuple(sorted(found, key=lambda s: s.z_mm)), exponent)

"""One vertebra from its row of the table: body, pedicles, laminae with facets, transverse and spinous processes.

Shapes are in the level's local axes (u left, v posterior, w superior, origin at the body's center); ``Vertebra.of``
puts them in place. What the table does not give (laminae, facets, processes) is scaled from it, by region. [A]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rtsim.geometry.shapes import (
    Axis,
    Capsule,
    Difference,
    Ellipsoid,
    Extrusion,
    Section,
    Shape,
    Sweep,
    Union,
    superellipse_distance_mm,
)
from rtsim.phantom.spine.anatomy import Level
from rtsim.phantom.spine.collapse import Collapse
from rtsim.phantom.spine.column import Placement
from rtsim.typing import AnyFloatArray, FloatArray, Vector3


@dataclass(frozen=True)
class BodyShape(Shape):
    """A vertebral body: superelliptic endplates, a waist, a posterior wall flattened towards the canal. ``height_mm``
    is that before a collapse."""

    width_mm: float
    depth_mm: float
    height_mm: float
    waist: float = 0.10
    exponent: float = 2.35
    collapse: Collapse | None = None

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        p = np.asarray(points_mm)
        height: FloatArray | float = self.height_mm
        if self.collapse is not None:
            height = self.height_mm * (1.0 - self.collapse.lost(p[..., 0], p[..., 1]))
        relative = np.clip(np.abs(2.0 * p[..., 2] / height), 0.0, 1.0)
        scale = 1.0 - self.waist * (1.0 - relative * relative)
        half_depth = self.depth_mm / 2 * scale
        # the waist is in front and at the sides: the posterior wall stays against the canal
        v = p[..., 1] - (self.depth_mm / 2 - half_depth) * 0.7
        side = superellipse_distance_mm(p[..., 0], v, self.width_mm / 2 * scale, half_depth, self.exponent)
        end = np.abs(p[..., 2]) - height / 2
        return np.asarray(
            np.maximum(side, end + 0.6 * np.clip(1.0 + side / (0.35 * self.depth_mm), 0.0, 1.0) ** 2 - 0.3)
        )

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        half = (self.width_mm / 2, self.depth_mm / 2, self.height_mm / 2 + 0.4)
        return (-half[0], -half[1], -half[2]), half


@dataclass(frozen=True)
class Vertebra:
    """The parts of a vertebra, in place (LPS mm). They follow the sectors of the contouring consensus (Cox 2012)."""

    placement: Placement
    body: Shape
    pedicle_left: Shape
    pedicle_right: Shape
    transverse_left: Shape
    transverse_right: Shape
    lamina_left: Shape
    lamina_right: Shape
    spinous: Shape

    @classmethod
    def of(cls, placement: Placement) -> Vertebra:
        """Build the vertebra of a placed level."""
        row, v_c, put = placement.level, placement.canal_v_mm, placement.place
        canal = _canal_cut(row, v_c)
        body: Shape = BodyShape(row.endplate_width_mm, row.endplate_depth_mm, row.height_mm)
        if placement.collapse is not None:
            whole = placement.collapse.row.height_mm
            body = BodyShape(row.endplate_width_mm, row.endplate_depth_mm, whole, collapse=placement.collapse)
            row = replace(row, height_mm=placement.posterior_height_mm)

        def part(build: Callable[[Level, float, float], Shape], side: float) -> Shape:
            return put(Difference(build(row, v_c, side), canal))

        return cls(
            placement,
            body=put(Difference(body, canal)),
            spinous=put(_spinous(row, v_c)),
            pedicle_left=part(_pedicle, 1.0),
            pedicle_right=part(_pedicle, -1.0),
            transverse_left=part(_transverse, 1.0),
            transverse_right=part(_transverse, -1.0),
            lamina_left=part(_lamina, 1.0),
            lamina_right=part(_lamina, -1.0),
        )

    def posterior(self) -> tuple[Shape, ...]:
        """Everything but the body and the pedicles."""
        return self.transverse_left, self.transverse_right, self.lamina_left, self.lamina_right, self.spinous

    @cached_property
    def whole(self) -> Shape:
        """The whole vertebra."""
        return Union((self.body, self.pedicle_left, self.pedicle_right, *self.posterior()))

    def marrow(self) -> Shape:
        """What lies inside the cortical shell (0.9 mm at the body, 1.3 mm at the pedicles, 1.8 mm behind). [A]"""
        pedicles = tuple(p.grown(-1.3) for p in (self.pedicle_left, self.pedicle_right))
        return Union((self.body.grown(-0.9), *pedicles, *(p.grown(-1.8) for p in self.posterior())))


def _canal_cut(row: Level, v_c: float) -> Shape:
    half = (row.canal_width_mm / 2, row.canal_ap_mm / 2)
    reach = row.height_mm + 15.0
    return Sweep((Section(-reach, (0.0, v_c), half), Section(reach, (0.0, v_c), half)), 2.2)


def _pillar(row: Level) -> float:
    """Lateral place |u| of the articular pillar, where pedicle, lamina, facets and transverse process meet."""
    return row.canal_width_mm / 2 + max(0.55 * row.pedicle_width_mm, 3.5)


def _pedicle(row: Level, v_c: float, side: float) -> Shape:
    radius = row.pedicle_width_mm / 2
    height = {"C": 1.15, "T": 2.0, "L": 1.5, "S": 1.2}[row.region] * row.pedicle_width_mm
    height = float(np.clip(height, 6.5, 0.72 * row.height_mm))
    u = side * (row.canal_width_mm / 2 + radius)
    w = {"C": 0.05, "T": 0.22, "L": 0.18, "S": 0.1}[row.region] * row.height_mm
    inner = min(0.90 * abs(u), row.endplate_width_mm / 2 - 0.3 * row.pedicle_width_mm)
    start = (side * inner, row.endplate_depth_mm / 2 - (4.0 if row.region == "C" else 6.0), w)
    return Capsule(start, (u, v_c + 1.0, w), radius, radius, height / row.pedicle_width_mm)


def _transverse(row: Level, v_c: float, side: float) -> Shape:
    u0 = _pillar(row)
    if row.region == "C":
        return Capsule((side * u0, v_c - 5.0, 0.0), (side * (u0 + 11.0), v_c - 8.0, -2.0), 3.2, 2.8, 1.1)
    if row.region == "T":
        length = float(np.interp(row.number, (1, 6, 10, 12), (22.0, 19.0, 15.0, 7.0)))
        tip = (side * (u0 + length), v_c + 0.62 * length + 3.0, 3.5)
        return Union((Capsule((side * u0, v_c + 4.0, 1.0), tip, 4.2, 3.6, 1.25), Ellipsoid(tip, (4.6, 4.6, 5.6))), 2.0)
    if row.region == "L":
        tip = (side * float(np.interp(row.number, (1, 3, 5), (38.0, 47.0, 43.0))), v_c + 5.0, 3.0)
        return Capsule((side * u0, v_c + 2.0, 1.0), tip, 4.4 if row.number < 5 else 7.0, 2.8, 1.5)
    return Ellipsoid((side * 34.0, v_c - 14.0, -2.0), (26.0, 17.0, 17.0))  # the ala of the sacrum


def _lamina(row: Level, v_c: float, side: float) -> Shape:
    u0, half_ap = _pillar(row), row.canal_ap_mm / 2
    thick = {"C": 2.7, "T": 3.2, "L": 3.6, "S": 3.0}[row.region]
    tall = {"C": 1.8, "T": 2.3, "L": 2.0, "S": 2.2}[row.region]
    w = -0.12 * row.height_mm
    back = (side * 1.5, v_c + half_ap + thick + 0.5, w - 2.0)
    outer = (side * (u0 - 0.5), v_c + 0.35 * half_ap, w + 1.0)
    knee = (side * 0.62 * u0, v_c + 0.92 * half_ap + 0.4 * thick, w)
    plates = (Capsule(outer, knee, thick, thick, tall), Capsule(knee, back, thick, thick * 0.9, tall))
    reach = row.height_mm / 2 + (0.45 * row.disc_mm)
    facet = {"C": (4.6, 4.0), "T": (4.6, 3.2), "L": (6.2, 5.4), "S": (6.5, 5.0)}[row.region]
    upper = Ellipsoid((side * (u0 + 1.0), v_c + 0.45 * half_ap, 0.60 * reach), (facet[0], facet[1], 0.55 * reach))
    lower_u = u0 - (3.5 if row.region == "L" else 1.0)
    lower = Ellipsoid(
        (side * lower_u, v_c + 0.80 * half_ap + facet[1] * 0.7, -0.75 * reach), (facet[0], facet[1], 0.55 * reach)
    )
    return Union((*plates, upper, lower), 2.0)


def _spinous(row: Level, v_c: float) -> Shape:
    root, tip, h = v_c + row.canal_ap_mm / 2 + 2.0, v_c + row.tip_mm, row.height_mm
    if row.region == "L":
        outline = ((root, 3.0), (tip - 4.0, -1.0), (tip, -5.0), (tip - 1.0, -15.0), (tip - 8.0, -17.0), (root, -9.0))
        return Extrusion(outline, -1.4, 1.4, Axis.X, rounding_mm=2.0)
    steep = {"C": 0.25, "S": 0.2}.get(row.region)
    if steep is None:
        steep = float(np.interp(row.number, (1, 4, 6, 8, 10, 12), (0.35, 0.65, 0.95, 0.95, 0.55, 0.25)))
    drop = steep * (tip - root)
    height = {"C": 4.0, "T": 5.5, "S": 4.0}[row.region] + (2.5 if row.name in {"T11", "T12"} else 0.0)
    top = -0.05 * h
    thin = (
        (root - 2.0, top + 1.0),
        (tip, top - drop),
        (tip - 1.5, top - drop - height),
        (root - 2.0, top - 2.0 * height),
    )
    blade = Extrusion(thin, -1.0, 1.0, Axis.X, rounding_mm=1.8)
    knob = Ellipsoid((0.0, tip - 2.5, top - drop - height / 2), (4.2, 3.2, height / 2 + 2.2))
    return Union((blade, knob), 2.0)


def disc_between(upper: Placement, lower: Placement) -> Shape:
    """The disc below ``upper``, in place: it reaches 1.5 mm under the endplates, which are painted over it, and fills
    the hollow of an endplate that has sunk."""
    row = upper.level
    half_w = (row.endplate_width_mm + lower.level.endplate_width_mm) / 4
    half_d = (row.endplate_depth_mm + lower.level.endplate_depth_mm) / 4
    body: Shape = BodyShape(2 * half_w, 2 * half_d, row.disc_mm + 3.0, waist=-0.02)
    hollow = max((p.collapse.hollow_mm for p in (upper, lower) if p.collapse is not None), default=0.0)
    if hollow > 0:
        body = Union((body, BodyShape(1.6 * half_w, 1.6 * half_d, row.disc_mm + 3.0 + 2.0 * hollow, waist=-0.02)))
    canal = Sweep(
        tuple(
            Section(w, (0.0, upper.canal_v_mm), (row.canal_width_mm / 2, row.canal_ap_mm / 2 - 0.5))
            for w in (-60.0, 60.0)
        )
    )
    return upper.place(Difference(body, canal).moved((0.0, 0.0, -(row.height_mm + row.disc_mm) / 2)))

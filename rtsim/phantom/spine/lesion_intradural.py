"""Tumors within the dura: beside the cord (meningioma, schwannoma; a dumbbell through the foramen), or in the cord
(ependymoma, astrocytoma). Sizes are modelling assumptions [A]: a tumor beside the cord fills the side of the sac that
it lies on and pushes the cord to the other; one in the cord widens it until little fluid is left."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rtsim.geometry.shapes import Box, Capsule, Difference, Ellipsoid, Intersection, Section, Shape, Sweep, Union
from rtsim.phantom.spine.anatomy import Level
from rtsim.phantom.spine.column import Column, Placement, sac_half_widths_mm
from rtsim.phantom.spine.lesion_canal import CanalContents, cord_half_widths_mm
from rtsim.phantom.spine.spec import Compartment, LesionSite, SpineSpec
from rtsim.phantom.spine.squeeze import section_at

BESIDE_MM = 20.0
WITHIN_MM = 45.0
CTV_ALONG_CORD_MM = 10.0
"""CTV of a tumor in the cord: this much more cord at both ends (practice 10-15 mm). [A]"""
CTV_ALONG_SAC_MM = 5.0
"""CTV of a tumor beside the cord where the cord is not spared: the sac over its length and this much more. [A]"""


def tumor(spec: SpineSpec, placement: Placement, column: Column) -> CanalContents:
    """The tumor, and sac, cord and roots with it."""
    if spec.compartment is Compartment.INTRAMEDULLARY:
        return _within(spec, placement, column)
    return _beside(spec, placement, column)


def ctv(spec: SpineSpec, contents: CanalContents, column: Column, placement: Placement) -> Shape:
    """CTV = GTV beside the cord where the cord is spared; otherwise the sac (or the cord) along it too."""
    assert contents.tumor is not None
    if spec.spare_cord:
        return contents.tumor
    inside = spec.compartment is Compartment.INTRAMEDULLARY
    x, y, z = _center(spec, placement)
    half = _length(spec) / 2 + (CTV_ALONG_CORD_MM if inside else CTV_ALONG_SAC_MM)
    slab = Box((x - 60.0, y - 60.0, z - half), (x + 60.0, y + 60.0, z + half))
    return Union((Intersection((slab, contents.cord if inside else contents.sac)), contents.tumor))


def _length(spec: SpineSpec) -> float:
    usual = WITHIN_MM if spec.compartment is Compartment.INTRAMEDULLARY else BESIDE_MM
    return usual if spec.tumor_length_mm is None else spec.tumor_length_mm


def _center(spec: SpineSpec, placement: Placement) -> tuple[float, float, float]:
    """Mid-height of the body; a dumbbell at the height of the foramen below the pedicle."""
    return placement.at(0.0, placement.canal_v_mm, _foramen(placement.level) if spec.dumbbell else 0.0)


def _foramen(row: Level) -> float:
    return -(row.height_mm + row.disc_mm) / 2 + 3.0


@dataclass(frozen=True)
class _Bulge:
    """How the cord changes from slice to slice: a weight from 0 to 1 over +- reach about z0."""

    z0_mm: float
    reach_mm: float

    def weight(self, z_mm: float) -> float:
        x = min(abs(z_mm - self.z0_mm) / self.reach_mm, 1.0)
        return math.sqrt(1.0 - x * x) * (1.0 - x**6)


def _within(spec: SpineSpec, placement: Placement, column: Column) -> CanalContents:
    healthy = CanalContents.healthy(column)
    z0 = _center(spec, placement)[2]
    half = _length(spec) / 2
    bulge = _Bulge(z0, half + 4.0)
    sac, cord = column.sac(), column.cord()
    sections = []
    low, high = cord.sections[0].z_mm, cord.sections[-1].z_mm
    for z in _heights(cord, z0, bulge.reach_mm):
        own, around = section_at(cord, z), section_at(sac, z)
        t = bulge.weight(z)
        # at its widest the cord leaves 0.9 mm of fluid
        wide = tuple(
            o + t * max(0.0, min(1.45 * o, s - 0.9) - o)
            for o, s in zip(own.half_widths_mm, around.half_widths_mm, strict=True)
        )
        sections.append(Section(z, own.center_mm, (wide[0], wide[1])))
    widened = replace(cord, sections=tuple(sections))
    inner = []
    for s in sections:
        x = abs(s.z_mm - z0) / half
        if low < s.z_mm < high and x < 0.995:
            part = 0.72 * math.sqrt(1.0 - x**4)
            inner.append(Section(s.z_mm, s.center_mm, (part * s.half_widths_mm[0], part * s.half_widths_mm[1])))
    found = Sweep(tuple(inner))
    return CanalContents(found, healthy.sac, widened, healthy.cauda, carved=True)


def _heights(cord: Sweep, z0: float, reach: float) -> tuple[float, ...]:
    low, high = cord.sections[0].z_mm, cord.sections[-1].z_mm
    ticks = np.arange(z0 - reach, z0 + reach + 0.5, 1.0)
    own = {s.z_mm for s in cord.sections}
    return tuple(sorted(own | {float(z) for z in ticks if low < z < high}))


def _beside(spec: SpineSpec, placement: Placement, column: Column) -> CanalContents:
    row = placement.level
    x0, y0, z0 = _center(spec, placement)
    half = _length(spec) / 2
    push = _push(spec.site)
    axis = 0 if abs(push[0]) > abs(push[1]) else 1
    sac, cord = sac_half_widths_mm(row), cord_half_widths_mm(row)
    # the cord lies flattened against the far side of the sac; the tumor has the rest
    along, across = 0.72 * cord[axis], min(1.15 * cord[1 - axis], 0.8 * sac[1 - axis])
    shift = 0.93 * sac[axis] - along - 0.4
    near = -0.96 * sac[axis]
    far = shift - along - 0.3
    radius = (far - near) / 2
    middle = ((far + near) / 2 * push[0], (far + near) / 2 * push[1])
    side = min(0.72 * sac[1 - axis], 1.35 * radius)
    radii = (radius, side, half) if axis == 0 else (side, radius, half)
    lump = Ellipsoid((x0 + middle[0], y0 + middle[1], z0), radii)
    healthy = CanalContents.healthy(column)
    inside = Intersection((lump, column.sac().grown(-0.2)))
    moved: Sweep = column.cord()
    if row.cord_width_mm > 0:
        moved = _pushed(column.cord(), _Bulge(z0, half + 6.0), axis, push, (along, across), shift)
    parts = (inside, *(_through_foramen(spec.site.side, placement) if spec.dumbbell else ()))
    found = Difference(Union(parts, 2.0), moved.grown(0.1))
    return CanalContents(
        found, Difference(healthy.sac, found), moved, Difference(healthy.cauda, found.grown(0.2)), carved=True
    )


def _push(site: LesionSite) -> tuple[float, float]:
    """Unit (x, y) from the tumor to the cord."""
    if site.side:
        return -site.side, 0.0
    return (0.0, -1.0) if site is LesionSite.POSTERIOR else (0.0, 1.0)


def _pushed(
    cord: Sweep, bulge: _Bulge, axis: int, push: tuple[float, float], half_mm: tuple[float, float], shift_mm: float
) -> Sweep:
    """The cord moved by ``shift_mm`` along the push, and flattened to half widths (along, across) it."""
    goal = half_mm if axis == 0 else half_mm[::-1]
    sections = []
    for z in _heights(cord, bulge.z0_mm, bulge.reach_mm):
        own, t = section_at(cord, z), bulge.weight(z)
        x, y = (c + t * shift_mm * n for c, n in zip(own.center_mm, push, strict=True))
        a, b = (o + t * (g - o) for o, g in zip(own.half_widths_mm, goal, strict=True))
        sections.append(Section(z, (x, y), (a, b)))
    return replace(cord, sections=tuple(sections))


def _through_foramen(side: float, placement: Placement) -> tuple[Shape, ...]:
    """The waist of a dumbbell in the foramen and its outer half beside the column."""
    row, w = placement.level, _foramen(placement.level)
    edge = row.canal_width_mm / 2
    start = placement.at(side * 0.6 * edge, placement.canal_v_mm, w)
    end = placement.at(side * (edge + 13.0), placement.canal_v_mm - 3.0, w - 2.0)
    ball = placement.at(side * (edge + 15.0), placement.canal_v_mm - 4.0, w - 2.0)
    return Capsule(start, end, 3.6, 4.6), Ellipsoid(ball, (8.5, 8.0, 9.5))

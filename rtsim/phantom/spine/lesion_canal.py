"""The canal at the lesion: epidural tumor by grade, and the sac, cord and roots that give way to it.

Grades 1a .. 1c from one side: an ellipsoid on the wall, as deep as the grade says; nothing moves. Grades 2 and 3, and
1b and 1c of a ring: the sac is squeezed into a refuge (see ``rtsim.phantom.spine.squeeze``), and tumor fills the
canal around it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsim.errors import InputError
from rtsim.geometry.shapes import Difference, Ellipsoid, Intersection, Shape
from rtsim.phantom.spine.anatomy import Level
from rtsim.phantom.spine.column import Column, Placement, sac_half_widths_mm
from rtsim.phantom.spine.spec import EpiduralGrade, LesionSite, SpineSpec
from rtsim.phantom.spine.squeeze import Squeeze, section_at
from rtsim.typing import FloatArray

EPIDURAL_ONLY_GAP_MM = 0.3
"""What grade 1a leaves between tumor and thecal sac. [A]"""
OVER_THE_WALL_MM = 0.8
"""How far epidural tumor reaches into the wall of the canal, so that no fat shows between it and bone. [A]"""
ROOTS_GAP_MM = 1.2
"""Below the conus: what grade 1b leaves between tumor and the roots, which float away from it. [A]"""
LEAST_ROOM_MM = 0.5
"""Epidural tumor thinner than this is none, and a gap to the cord that is smaller cannot be drawn. [A]"""
CONUS_LEVEL = "L1"
ABOVE_CONUS = 0.2
"""At the level of the conus, tumor that touches the cord sits above the middle by this part of the height: below, the
cord tapers, and on thick slices there is none to be touched. [A]"""


@dataclass(frozen=True)
class CanalContents:
    """Shapes in LPS mm. ``tumor`` is the epidural part, None without one. ``carved``: sac and cauda leave the tumor
    out already; otherwise the tumor is to be taken from what is drawn of them."""

    tumor: Shape | None
    sac: Shape
    cord: Shape
    cauda: Shape
    carved: bool = False

    @classmethod
    def healthy(cls, column: Column) -> CanalContents:
        """Without a tumor."""
        return cls(None, column.sac(), column.cord(), column.cauda())

    @classmethod
    def of(cls, spec: SpineSpec, placement: Placement, column: Column) -> CanalContents:
        """With the epidural tumor of an extradural lesion.

        Raises:
            InputError: the canal has no room for that grade.
        """
        healthy = cls.healthy(column)
        if spec.epidural is EpiduralGrade.ESCC_0:
            return healthy
        _check_room(spec, placement.level)
        ring = spec.site is LesionSite.CIRCUMFERENTIAL
        if ring or spec.epidural in {EpiduralGrade.ESCC_2, EpiduralGrade.ESCC_3}:
            return _squeezed(spec, placement, column)
        tongue = placement.place(_tongue(spec, placement, column))
        # inside the canal only, and never into the cord
        inside = Intersection((tongue, column.canal().grown(OVER_THE_WALL_MM)))
        tumor = Difference(inside, healthy.cord)
        if spec.epidural is EpiduralGrade.ESCC_1A and not spec.site.in_body:
            # the sac bends between two levels, the tongue does not
            tumor = Difference(inside, healthy.sac.grown(EPIDURAL_ONLY_GAP_MM))
        cauda = healthy.cauda if placement.level.cord_width_mm > 0 else _floating(spec, healthy.cauda, tongue)
        return cls(tumor, healthy.sac, healthy.cord, cauda)


def cord_half_widths_mm(row: Level) -> tuple[float, float]:
    """Half widths (x, AP) of the cord at a level; below it, of the roots lying together: 0.45 of the sac each way,
    20 % of its area. [A]"""
    if row.cord_width_mm > 0:
        return row.cord_width_mm / 2, row.cord_ap_mm / 2
    sac_u, sac_v = sac_half_widths_mm(row)
    return 0.45 * sac_u, 0.45 * sac_v


def rise_mm(spec: SpineSpec, placement: Placement) -> float:
    """How far above mid-height the epidural tumor is deepest: at the conus only."""
    at_conus = placement.level.name == CONUS_LEVEL and spec.epidural is EpiduralGrade.ESCC_1C
    return ABOVE_CONUS * placement.posterior_height_mm if at_conus else 0.0


def _floating(spec: SpineSpec, cauda: Shape, tongue: Shape) -> Shape:
    return cauda if spec.epidural is EpiduralGrade.ESCC_1A else Difference(cauda, tongue.grown(ROOTS_GAP_MM))


def _check_room(spec: SpineSpec, row: Level) -> None:
    """A grade that the canal cannot hold: too little between bone and sac, or between sac and cord."""
    axis = 0 if spec.site in {LesionSite.PEDICLE_LEFT, LesionSite.PEDICLE_RIGHT} else 1
    canal = (row.canal_width_mm / 2, row.canal_ap_mm / 2)[axis]
    sac, cord = sac_half_widths_mm(row)[axis], cord_half_widths_mm(row)[axis]
    outside, inside = canal - sac - EPIDURAL_ONLY_GAP_MM, sac - cord
    if spec.epidural is EpiduralGrade.ESCC_1A and outside < LEAST_ROOM_MM:
        raise InputError(
            f"epidural is 1a at {row.name}, where only {canal - sac:.1f} mm lie between bone and thecal sac; grade 1a "
            f"needs {LEAST_ROOM_MM + EPIDURAL_ONLY_GAP_MM:g} mm: use 0 or 1b"
        )
    if spec.epidural is not EpiduralGrade.ESCC_1A and inside < 2.0 * LEAST_ROOM_MM:
        raise InputError(
            f"epidural is {spec.epidural.value} at {row.name}, where only {inside:.1f} mm lie between thecal sac and "
            f"cord; the grade cannot be told from its neighbors in less than {2.0 * LEAST_ROOM_MM:g} mm: use 0 or 1a"
        )


def _tongue(spec: SpineSpec, placement: Placement, column: Column) -> Shape:
    """The epidural tumor of grades 1a .. 1c: an ellipsoid on the wall, as deep as the grade says (local axes, at
    mid-height)."""
    row, v_c, rise = placement.level, placement.canal_v_mm, rise_mm(spec, placement)
    sac_u, sac_v = sac_half_widths_mm(row)
    cord_u, cord_v = cord_half_widths_mm(row)
    if rise > 0:
        cord_u, cord_v = section_at(column.cord(), placement.at(0.0, v_c, rise)[2]).half_widths_mm
    lateral = spec.site in {LesionSite.PEDICLE_LEFT, LesionSite.PEDICLE_RIGHT}
    if spec.epidural is EpiduralGrade.ESCC_1A:
        ring, gap = _ring(sac_u, sac_v, v_c), EPIDURAL_ONLY_GAP_MM
    elif spec.epidural is EpiduralGrade.ESCC_1B:
        ring, gap = _ring(cord_u, cord_v, v_c), 0.5 * (sac_u - cord_u if lateral else sac_v - cord_v)
    else:
        ring, gap = _ring(cord_u, cord_v, v_c), 0.0
    ring[:, 2] = rise

    def tongue(depth_mm: float) -> Ellipsoid:
        tall = (0.28 if rise > 0 else 0.42) * placement.posterior_height_mm
        if lateral:
            wall = spec.site.side * (row.canal_width_mm / 2 + 1.0)
            return Ellipsoid((wall, v_c, rise), (depth_mm, 0.36 * row.canal_ap_mm, tall))
        if spec.site is LesionSite.POSTERIOR:
            return Ellipsoid((0.0, v_c + row.canal_ap_mm / 2 + 1.0, rise), (0.36 * row.canal_width_mm, depth_mm, tall))
        u, wall = 0.22 * spec.site.side * row.canal_width_mm, row.endplate_depth_mm / 2 - 1.0
        return Ellipsoid((u, wall, rise), (0.36 * row.canal_width_mm, depth_mm, tall))

    low, high = 0.5, row.canal_width_mm if lateral else row.canal_ap_mm
    for _ in range(40):
        depth = (low + high) / 2
        low, high = (depth, high) if float(tongue(depth).distance_mm(ring).min()) > gap else (low, depth)
    return tongue(high)


def _ring(half_u: float, half_v: float, v_c: float) -> FloatArray:
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    return np.stack((half_u * np.cos(angle), v_c + half_v * np.sin(angle), np.zeros_like(angle)), axis=-1)


def _squeezed(spec: SpineSpec, placement: Placement, column: Column) -> CanalContents:
    row = placement.level
    squeeze = Squeeze.of(spec.epidural, spec.site, placement, sac_half_widths_mm(row), cord_half_widths_mm(row))
    squeeze = replace(squeeze, rise_mm=rise_mm(spec, placement))
    if spec.epidural is EpiduralGrade.ESCC_1A:
        healthy = CanalContents.healthy(column)
        wall = column.canal().grown(OVER_THE_WALL_MM)
        ring = Difference(Intersection((wall, *squeeze.reach())), healthy.sac.grown(EPIDURAL_ONLY_GAP_MM))
        return replace(healthy, tumor=ring, carved=True)
    refuge = squeeze.refuge(column.sac())
    sac = Intersection((column.sac(), refuge))
    has_cord = row.cord_width_mm > 0
    cord: Shape = column.cord()
    cauda: Shape = column.cauda()
    if has_cord:
        cord = Intersection((squeeze.pressed(column.cord(), column.sac()), sac))
        cauda = Intersection((cauda, sac))
    elif spec.epidural in {EpiduralGrade.ESCC_2, EpiduralGrade.ESCC_3}:
        cauda = Intersection((squeeze.pressed(column.cauda(), column.sac()), sac))
    else:
        cauda = Intersection((cauda, refuge.grown(-ROOTS_GAP_MM)))
    wall = column.canal().grown(OVER_THE_WALL_MM)
    tumor = Difference(Intersection((wall, *squeeze.reach())), refuge)
    return CanalContents(tumor, sac, cord, cauda, carved=True)

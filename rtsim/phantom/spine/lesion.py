"""The lesion: gross tumor in the body, its tongue into the canal by ESCC grade, and the clinical target around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtsim.errors import InputError
from rtsim.geometry.shapes import Box, Difference, Ellipsoid, Intersection, Shape, Union
from rtsim.phantom.spine.anatomy import Level
from rtsim.phantom.spine.column import Column, sac_half_widths_mm
from rtsim.phantom.spine.spec import Compartment, EpiduralGrade, LesionSite, SpineSpec
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.typing import FloatArray

EPIDURAL_ONLY_GAP_MM = 0.3
"""What grade 1a leaves between tumor and thecal sac. [A]"""


_LOBES = frozenset({LesionSite.WHOLE_BODY, LesionSite.BODY_LEFT, LesionSite.BODY_RIGHT})


@dataclass(frozen=True)
class Lesion:
    """Shapes in LPS mm. ``bone`` lies in the body, ``epidural`` in the canal (None for grade 0); GTV is both."""

    bone: Shape
    epidural: Shape | None
    ctv: Shape

    @cached_property
    def gtv(self) -> Shape:
        """Gross tumor volume: bone and epidural part."""
        return self.bone if self.epidural is None else Union((self.bone, self.epidural))

    @classmethod
    def of(cls, spec: SpineSpec, vertebra: Vertebra, column: Column) -> Lesion:
        """The lesion that ``spec`` asks for, in ``vertebra``.

        CTV (Cox 2012, DOI 10.1016/j.ijrobp.2012.03.009, quoted from memory): any part of the body -> the whole body;
        lateralized -> with the ipsilateral pedicle and transverse process; diffuse -> with both. Epidural tumor is
        part of the CTV; the CTV does not grow into the canal otherwise. Where the cord is not spared (conventional
        treatment) the CTV is the whole vertebra with its canal.
        """
        put = vertebra.placement.place
        if spec.compartment is not Compartment.EXTRADURAL or spec.site not in _LOBES:
            raise InputError(f"{spec.compartment.value} tumor of site {spec.site.value!r} is not drawn yet")
        bone = Intersection((put(_in_body(spec, vertebra.placement.level)), vertebra.body))
        tongue = _tongue(spec, vertebra.placement.level)
        epidural: Shape | None = None
        if tongue is not None:
            # inside the canal only, and never into the cord
            epidural = Difference(Intersection((put(tongue), column.canal().grown(0.8))), column.cord())
        if not spec.spare_cord:
            half = vertebra.placement.level.height_mm / 2
            slab = Box((-60.0, -80.0, -half), (60.0, 120.0, half))
            inside = Intersection((put(slab), column.canal()))
            whole: tuple[Shape, ...] = (vertebra.whole, inside, bone) + (() if epidural is None else (epidural,))
            return cls(bone, epidural, Union(whole))
        sides = {LesionSite.WHOLE_BODY: (1, -1), LesionSite.BODY_LEFT: (1,), LesionSite.BODY_RIGHT: (-1,)}[spec.site]
        parts: list[Shape] = [vertebra.body, bone]
        for side in sides:
            parts += (
                [vertebra.pedicle_left, vertebra.transverse_left]
                if side > 0
                else [vertebra.pedicle_right, vertebra.transverse_right]
            )
        if epidural is not None:
            parts.append(epidural)
        return cls(bone, epidural, Union(tuple(parts)))


def _in_body(spec: SpineSpec, row: Level) -> Shape:
    """Three to four lobes, placed by the seed, in local axes; the posterior one reaches the wall."""
    rng = np.random.default_rng(spec.seed + 1000)
    a, b, c = row.endplate_width_mm / 2, row.endplate_depth_mm / 2, row.height_mm / 2
    if spec.site is LesionSite.WHOLE_BODY:
        lobes = [((0.0, 0.15 * b, 0.0), (0.72 * a, 0.80 * b, 0.85 * c))]
        spots = [(-0.4, 0.5), (0.45, 0.35), (0.15, -0.45)]
    else:
        side = 1.0 if spec.site is LesionSite.BODY_LEFT else -1.0
        lobes = [((0.42 * side * a, 0.25 * b, 0.0), (0.55 * a, 0.70 * b, 0.80 * c))]
        spots = [(0.55 * side, 0.45), (0.15 * side, 0.5)]
    for u, v in spots:
        jitter = rng.uniform(-0.08, 0.08, 3)
        center = ((u + jitter[0]) * a, (v + jitter[1]) * b, jitter[2] * 3 * c)
        lobes.append((center, (0.42 * a, 0.45 * b, float(rng.uniform(0.5, 0.75)) * c)))
    return Union(tuple(Ellipsoid(center, radii) for center, radii in lobes), 3.0)


def _tongue(spec: SpineSpec, row: Level) -> Shape | None:
    """The epidural tumor: an ellipsoid on the posterior wall, as deep as the grade says (local axes, mid-height)."""
    if spec.epidural is EpiduralGrade.ESCC_0:
        return None
    v_c = row.endplate_depth_mm / 2 + row.canal_ap_mm / 2
    sac_u, sac_v = sac_half_widths_mm(row)
    cord_u, cord_v = row.cord_width_mm / 2, row.cord_ap_mm / 2
    if row.cord_width_mm == 0:
        cord_u, cord_v = 0.45 * sac_u, 0.45 * sac_v
    side = {LesionSite.WHOLE_BODY: 0.0, LesionSite.BODY_LEFT: 1.0, LesionSite.BODY_RIGHT: -1.0}[spec.site]
    u, half_u = 0.22 * side * row.canal_width_mm, 0.36 * row.canal_width_mm
    if spec.epidural is EpiduralGrade.ESCC_1A:
        ring, gap = _ring(sac_u, sac_v, v_c), EPIDURAL_ONLY_GAP_MM
    elif spec.epidural is EpiduralGrade.ESCC_1B:
        ring, gap = _ring(cord_u, cord_v, v_c), 0.5 * (sac_v - cord_v)
    else:
        ring, gap = _ring(cord_u, cord_v, v_c), 0.0
    wall = row.endplate_depth_mm / 2 - 1.0
    low, high = 0.5, row.canal_ap_mm
    for _ in range(40):
        depth = (low + high) / 2
        tongue = Ellipsoid((u, wall, 0.0), (half_u, depth, 0.42 * row.height_mm))
        low, high = (depth, high) if float(tongue.distance_mm(ring).min()) > gap else (low, depth)
    return Ellipsoid((u, wall, 0.0), (half_u, high, 0.42 * row.height_mm))


def _ring(half_u: float, half_v: float, v_c: float) -> FloatArray:
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    return np.stack((half_u * np.cos(angle), v_c + half_v * np.sin(angle), np.zeros_like(angle)), axis=-1)

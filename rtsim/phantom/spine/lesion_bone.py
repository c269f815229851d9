"""Gross tumor in bone: lobes in the body, a pedicle, the posterior elements, or all round the canal."""

from __future__ import annotations

import numpy as np

from rtsim.geometry.shapes import Difference, Ellipsoid, Intersection, Shape, Union
from rtsim.phantom.spine.anatomy import Level
from rtsim.phantom.spine.sectors import BodyExtent, Involvement, Part
from rtsim.phantom.spine.spec import LesionSite, SpineSpec
from rtsim.phantom.spine.vertebra import Vertebra

_BEHIND = frozenset({Part.LAMINA_LEFT, Part.LAMINA_RIGHT, Part.SPINOUS})
_RING = _BEHIND | {Part.PEDICLE_LEFT, Part.PEDICLE_RIGHT}
INVOLVED = {
    LesionSite.WHOLE_BODY: Involvement(BodyExtent.DIFFUSE),
    LesionSite.BODY_LEFT: Involvement(BodyExtent.LEFT),
    LesionSite.BODY_RIGHT: Involvement(BodyExtent.RIGHT),
    LesionSite.PEDICLE_LEFT: Involvement(parts=frozenset({Part.PEDICLE_LEFT})),
    LesionSite.PEDICLE_RIGHT: Involvement(parts=frozenset({Part.PEDICLE_RIGHT})),
    LesionSite.POSTERIOR: Involvement(parts=_BEHIND),
    LesionSite.CIRCUMFERENTIAL: Involvement(BodyExtent.DIFFUSE, _RING),
}
"""Where a lesion of each site is, as the consensus on the CTV asks."""


def bone_tumor(spec: SpineSpec, vertebra: Vertebra, canal: Shape) -> Shape:
    """Gross tumor in bone, in place; behind the body it stays out of the canal, whose tumor is drawn for itself."""
    front = Intersection((vertebra.placement.place(_in_body(spec, vertebra.placement.level)), vertebra.body))
    match spec.site:
        case LesionSite.PEDICLE_LEFT | LesionSite.PEDICLE_RIGHT:
            return Difference(_in_pedicle(spec.site.side, vertebra), canal)
        case LesionSite.POSTERIOR:
            return Difference(_behind(vertebra), canal)
        case LesionSite.CIRCUMFERENTIAL:
            sides = (_in_pedicle(side, vertebra, with_joints=True) for side in (1.0, -1.0))
            around = Union((*sides, _behind(vertebra)))
            return Union((front, Difference(around, canal)))
        case _:
            return front


def _in_body(spec: SpineSpec, row: Level) -> Shape:
    """Three to four lobes, placed by the seed, in local axes; the posterior one reaches the wall."""
    rng = np.random.default_rng(spec.seed + 1000)
    a, b, c = row.endplate_width_mm / 2, row.endplate_depth_mm / 2, row.height_mm / 2
    side = spec.site.side
    if side == 0.0:
        lobes = [((0.0, 0.15 * b, 0.0), (0.72 * a, 0.80 * b, 0.85 * c))]
        spots = [(-0.4, 0.5), (0.45, 0.35), (0.15, -0.45)]
    else:
        lobes = [((0.42 * side * a, 0.25 * b, 0.0), (0.55 * a, 0.70 * b, 0.80 * c))]
        spots = [(0.55 * side, 0.45), (0.15 * side, 0.5)]
    for u, v in spots:
        jitter = rng.uniform(-0.08, 0.08, 3)
        center = ((u + jitter[0]) * a, (v + jitter[1]) * b, jitter[2] * 3 * c)
        lobes.append((center, (0.42 * a, 0.45 * b, float(rng.uniform(0.5, 0.75)) * c)))
    return Union(tuple(Ellipsoid(center, radii) for center, radii in lobes), 3.0)


def _in_pedicle(side: float, vertebra: Vertebra, *, with_joints: bool = False) -> Shape:
    """The pedicle behind the body, and the joints behind it when asked for; side +1 is left."""
    p, left = vertebra.placement, side > 0
    row = p.level
    pedicle = vertebra.pedicle_left if left else vertebra.pedicle_right
    behind = vertebra.lamina_left if left else vertebra.lamina_right
    u = side * (row.canal_width_mm / 2 + row.pedicle_width_mm / 2)
    center = (u, p.canal_v_mm - 0.18 * row.canal_ap_mm, 0.12 * p.posterior_height_mm)
    radii = (0.9 * row.pedicle_width_mm + 3.0, 0.62 * row.canal_ap_mm, 0.46 * p.posterior_height_mm)
    bone: Shape = Union((pedicle.grown(0.6), behind), 1.5) if with_joints else pedicle
    bone = Difference(bone, vertebra.body.grown(0.2))
    return Intersection((p.place(Ellipsoid(center, radii)), bone))


def _behind(vertebra: Vertebra) -> Shape:
    """The laminae to the joints, and the root of the spinous process."""
    p = vertebra.placement
    row = p.level
    center = (0.0, p.canal_v_mm + row.canal_ap_mm / 2 + 5.0, -0.15 * p.posterior_height_mm)
    ball = Ellipsoid(center, (0.62 * row.canal_width_mm + 2.0, 11.0, 0.6 * p.posterior_height_mm))
    bone = Union((vertebra.lamina_left, vertebra.lamina_right, vertebra.spinous))
    return Intersection((p.place(ball), bone))

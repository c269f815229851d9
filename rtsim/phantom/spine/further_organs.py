"""Organs that protocols limit beyond the usual ones: larynx, bronchi, plexus, skin, chest wall, duodenum, hilum of the
kidneys, upper vena cava. Drawn on what is painted already; only the duodenum is painted too. Places and sizes are
modelling assumptions [A]; roots leave through their foramina."""

from __future__ import annotations

from itertools import pairwise

from rtsim.geometry.shapes import Capsule, Difference, HalfSpace, Intersection, Shape, Union
from rtsim.phantom.spine.column import Placement
from rtsim.phantom.spine.organs import Organ, abdominal_organs, along, main_bronchi, renal_sinuses, superior_cava
from rtsim.phantom.spine.trunk import Trunk
from rtsim.typing import Vector3

SKIN_RIND_MM = 3.0
CHEST_WALL_MM = 22.0
_ROOT_MM = 2.5


def further_organs(trunk: Trunk) -> tuple[Organ, ...]:
    """What SpineSpec.more_organs adds to the structures."""
    sinuses, bronchi = renal_sinuses(trunk), main_bronchi(trunk)
    return (
        Organ(larynx(trunk), "", "larynx", (240, 180, 120)),
        Organ(Union(tuple(bronchi)), "", "bronchi", (120, 200, 220)),
        Organ(superior_cava(trunk), "", "superior_vena_cava", (90, 110, 210)),
        Organ(brachial_plexus(trunk, 1.0), "", "brachial_plexus_left", (210, 210, 60)),
        Organ(brachial_plexus(trunk, -1.0), "", "brachial_plexus_right", (190, 190, 60)),
        Organ(sacral_plexus(trunk), "", "sacral_plexus", (200, 200, 80)),
        Organ(chest_wall(trunk), "", "chest_wall", (170, 140, 130)),
        Organ(duodenum(trunk), "bowel_wall", "duodenum", (210, 170, 60)),
        Organ(Union(tuple(sinuses)), "", "renal_hilum", (220, 160, 90)),
        Organ(Difference(trunk.skin(), trunk.skin(SKIN_RIND_MM)), "", "skin", (220, 190, 170)),
    )


def larynx(trunk: Trunk) -> Shape:
    """Around the airway from C4 to C6."""
    return along(
        trunk, ("C4", "C5", "C6"), (0.0, 0.0, 0.0), (20.0, 23.0, 26.0), ((17.0, 15.0), (19.0, 17.0), (17.0, 16.0))
    )


def brachial_plexus(trunk: Trunk, side: float) -> Shape:
    """Roots C5 to T1 from their foramina, joined above the first rib, on to the armpit; side +1 is left."""
    c7, t1 = trunk.column["C7"], trunk.column["T1"]
    joint = c7.at(side * 46.0, 4.0, -6.0)
    beyond = t1.at(side * 78.0, -8.0, -4.0)
    roots = [_foramen(trunk.column[n], side, above=True) for n in ("C5", "C6", "C7")]
    roots += [_foramen(trunk.column[n], side, above=False) for n in ("C7", "T1")]
    cords = (Capsule(joint, beyond, 4.5, 4.0),)
    return Union((*(Capsule(r, joint, _ROOT_MM, _ROOT_MM) for r in roots), *cords))


def sacral_plexus(trunk: Trunk) -> Shape:
    """Roots L4 to S2 of both sides, in front of the sacrum's wings to where the sciatic nerve begins."""
    parts: list[Shape] = []
    for side in (1.0, -1.0):
        brim = trunk.column["S1"].at(side * 32.0, -17.0, 10.0)  # L4 and L5 cross the wing here
        middle = trunk.column["S1"].at(side * 40.0, -18.0, -12.0)
        end = trunk.column["S2"].at(side * 50.0, -20.0, -14.0)
        parts += [Capsule(brim, middle, 3.0, 4.0), Capsule(middle, end, 4.0, 5.0)]
        for name, to in (("L4", brim), ("L5", brim), ("S1", middle), ("S2", middle)):
            parts.append(Capsule(_foramen(trunk.column[name], side, above=False), to, _ROOT_MM, _ROOT_MM))
    return Union(tuple(parts))


def chest_wall(trunk: Trunk) -> Shape:
    """A layer on the pleura that holds the ribs, without the column and the muscles behind it."""
    top, bottom = trunk.column["T1"].center_mm[2], trunk.column.z_mm("T12")
    layer = Difference(trunk.cavity(CHEST_WALL_MM), Union((trunk.cavity(), trunk.beside_spine())))
    return Intersection(
        (layer, HalfSpace((0.0, 0.0, bottom), (0.0, 0.0, -1.0)), HalfSpace((0.0, 0.0, top), (0.0, 0.0, 1.0)))
    )


def duodenum(trunk: Trunk) -> Shape:
    """Its C: down from L1 to L3 on the right, behind the liver's edge, across before cava and aorta, up to L2."""
    places = (("L1", -30.0, 46.0), ("L2", -40.0, 34.0), ("L3", -34.0, 36.0), ("L3", 12.0, 37.0), ("L2", 26.0, 40.0))
    points: list[Vector3] = []
    for name, x, before in places:
        p = trunk.column[name]
        points.append(p.at(x, -p.level.endplate_depth_mm / 2 - before, 0.0))
    whole = Union(tuple(Capsule(a, b, 11.5, 11.5) for a, b in pairwise(points)))
    liver = next(o.shape for o in abdominal_organs(trunk, 1) if o.structure == "liver")
    return Difference(whole, liver.grown(1.0))


def _foramen(p: Placement, side: float, *, above: bool) -> Vector3:
    """Where a root leaves the canal, at the height of the disc above or below the level."""
    row = p.level
    w = row.height_mm / 2 + 2.0 if above else -(row.height_mm + row.disc_mm) / 2 + 2.0
    return p.at(side * (row.canal_width_mm / 2 + 3.0), p.canal_v_mm - 2.0, w)

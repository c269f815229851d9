"""The clinical target of a vertebra by the consensus of Cox 2012: which parts of it follow from where gross tumor is.

involved = involvement(phantom["GTV"], vertebra)
target = union(vertebra, clinical_target(involved))

source: Cox et al. 2012, DOI 10.1016/j.ijrobp.2012.03.009, table of CTV by GTV, from memory; the rule that any overlap
of GTV and sector adds the sector, and the spinous process for a body with both pedicles: Brainlab's reading of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from rtsim.errors import GeometryError, InputError
from rtsim.geometry.coverage import coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Shape, Union
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray

LEAST_SHARE_CM3: Final = 0.02
"""Less of the GTV in a part than this is the coarseness of contours that touch. [A]"""
LATERALIZED: Final = 0.75
"""A body lesion with more than this part of it on one side is lateralized. [A]"""
DIFFUSE: Final = 0.25
"""A body lesion that is not lateralized and fills more than this part of the body is diffuse. [A]"""


class Part(Enum):
    """A part of a vertebra; LEFT is the patient's left."""

    BODY = "body"
    PEDICLE_LEFT = "pedicle_left"
    PEDICLE_RIGHT = "pedicle_right"
    TRANSVERSE_LEFT = "transverse_left"
    TRANSVERSE_RIGHT = "transverse_right"
    LAMINA_LEFT = "lamina_left"
    LAMINA_RIGHT = "lamina_right"
    SPINOUS = "spinous"


class Sector(Enum):
    """The six sectors of the consensus, counted round the canal from the body over the left."""

    BODY = 1
    PEDICLE_LEFT = 2
    POSTERIOR_LEFT = 3
    SPINOUS = 4
    POSTERIOR_RIGHT = 5
    PEDICLE_RIGHT = 6

    @property
    def parts(self) -> frozenset[Part]:
        """What belongs to it: 3 and 5 are transverse process and lamina."""
        return _SECTORS[self]


class BodyExtent(Enum):
    """How gross tumor lies in the body."""

    NONE = "none"
    PART = "part"
    LEFT = "left"
    RIGHT = "right"
    DIFFUSE = "diffuse"


class BothPedicles(Enum):
    """The spinous process, where body and both pedicles are involved: sources differ."""

    COX = "cox"
    WITH_SPINOUS = "with_spinous"


@dataclass(frozen=True)
class Involvement:
    """Where the gross tumor is: how it lies in the body, and which other parts it meets."""

    body: BodyExtent = BodyExtent.NONE
    parts: frozenset[Part] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if Part.BODY in self.parts:
            raise InputError("parts of an Involvement holds BODY; say by `body` how the tumor lies in the body")
        if self.body is BodyExtent.NONE and not self.parts:
            raise InputError("an Involvement without body and parts; the tumor must be somewhere")

    @property
    def sectors(self) -> tuple[Sector, ...]:
        """The sectors that it meets, in their order."""
        met = self.parts | ({Part.BODY} if self.body is not BodyExtent.NONE else set())
        return tuple(s for s in Sector if s.parts & met)


_SECTORS: Final = {
    Sector.BODY: frozenset({Part.BODY}),
    Sector.PEDICLE_LEFT: frozenset({Part.PEDICLE_LEFT}),
    Sector.POSTERIOR_LEFT: frozenset({Part.TRANSVERSE_LEFT, Part.LAMINA_LEFT}),
    Sector.SPINOUS: frozenset({Part.SPINOUS}),
    Sector.POSTERIOR_RIGHT: frozenset({Part.TRANSVERSE_RIGHT, Part.LAMINA_RIGHT}),
    Sector.PEDICLE_RIGHT: frozenset({Part.PEDICLE_RIGHT}),
}
_LEFT: Final = (Part.PEDICLE_LEFT, Part.TRANSVERSE_LEFT, Part.LAMINA_LEFT)
_RIGHT: Final = (Part.PEDICLE_RIGHT, Part.TRANSVERSE_RIGHT, Part.LAMINA_RIGHT)


def clinical_target(
    involved: Involvement, *, both_pedicles: BothPedicles = BothPedicles.COX, body_with_pedicle: bool = False
) -> frozenset[Part]:
    """The parts of the vertebra that are the CTV.

    Body: the whole body; lateralized: with pedicle and transverse process of that side; diffuse: of both sides. One
    pedicle: pedicle, transverse process and lamina of its side. A lamina (or transverse process): these, the pedicle of
    its side and the spinous process. The spinous process: it and both laminae. Several of them: all that each asks for.

    Args:
        both_pedicles: whether body with both pedicles asks for the spinous process too.
        body_with_pedicle: a pedicle alone asks for the body too (the consensus leaves it open).
    """
    out: set[Part] = set(involved.parts)
    if involved.body is not BodyExtent.NONE:
        out.add(Part.BODY)
    for extent, side in ((BodyExtent.LEFT, _LEFT), (BodyExtent.RIGHT, _RIGHT)):
        pedicle, transverse, lamina = side
        if involved.body in {extent, BodyExtent.DIFFUSE}:
            out |= {pedicle, transverse}
        if pedicle in involved.parts:
            out |= {pedicle, transverse, lamina}
            if body_with_pedicle:
                out.add(Part.BODY)
        if {transverse, lamina} & involved.parts:
            out |= {pedicle, transverse, lamina, Part.SPINOUS}
    if Part.SPINOUS in involved.parts:
        out |= {Part.SPINOUS, Part.LAMINA_LEFT, Part.LAMINA_RIGHT}
    all_in_front = involved.body is not BodyExtent.NONE and {_LEFT[0], _RIGHT[0]} <= involved.parts
    if all_in_front and both_pedicles is BothPedicles.WITH_SPINOUS:
        out.add(Part.SPINOUS)
    return frozenset(out)


def part_shape(vertebra: Vertebra, part: Part) -> Shape:
    """One part of a vertebra. A pedicle begins within the body."""
    shape = getattr(vertebra, part.value)
    assert isinstance(shape, Shape)
    return shape


def union(vertebra: Vertebra, parts: frozenset[Part]) -> Shape:
    """Several parts as one shape.

    Raises:
        InputError: no part.
    """
    if not parts:
        raise InputError("parts is empty; name at least one part of the vertebra")
    return Union(tuple(part_shape(vertebra, p) for p in Part if p in parts))


def involvement(gtv: Structure, vertebra: Vertebra) -> Involvement:
    """Which parts a drawn GTV meets: at least 0.02 cm3 of it. What parts share counts for the one nearer to the body.

    Raises:
        GeometryError: the GTV misses the vertebra.
    """
    grid = gtv.grid
    tumor = gtv.coverage.astype(np.float64)
    left_over = np.ones(grid.shape)
    share: dict[Part, float] = {}
    extent = BodyExtent.NONE
    for part in Part:
        own = np.minimum(coverage(part_shape(vertebra, part), grid), left_over)
        left_over -= own
        # what the two surely share: a voxel half of which is tumor and half of which is bone may hold both apart
        shared = np.maximum(tumor + own - 1.0, 0.0)
        share[part] = float(shared.sum()) * grid.voxel_volume_cm3
        if part is Part.BODY:
            extent = _extent(shared, grid, vertebra)
    parts = frozenset(p for p, cm3 in share.items() if cm3 >= LEAST_SHARE_CM3 and p is not Part.BODY)
    if extent is BodyExtent.NONE and not parts:
        raise GeometryError(
            f"structure {gtv.name!r} meets no part of vertebra {vertebra.placement.level.name} "
            f"({max(share.values()):.3f} cm3 at the most); give the vertebra that it lies in"
        )
    return Involvement(extent, parts)


def _extent(inside: FloatArray, grid: Grid, vertebra: Vertebra) -> BodyExtent:
    """How the tumor ``inside`` of the body lies in it."""
    total = float(inside.sum())
    if total * grid.voxel_volume_cm3 < LEAST_SHARE_CM3:
        return BodyExtent.NONE
    left = float(inside[:, :, grid.x_mm > vertebra.placement.center_mm[0]].sum()) / total
    if left > LATERALIZED:
        return BodyExtent.LEFT
    if left < 1.0 - LATERALIZED:
        return BodyExtent.RIGHT
    body = float(coverage(vertebra.body, Grid.covering(*vertebra.body.bounds_mm(), grid.spacing_mm)).sum())
    return BodyExtent.DIFFUSE if total > DIFFUSE * body else BodyExtent.PART

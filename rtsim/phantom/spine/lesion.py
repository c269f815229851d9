"""The lesion: gross tumor by compartment and site, what it does to the canal, and the clinical target around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rtsim.geometry.shapes import Box, Intersection, Shape, Union
from rtsim.phantom.spine import lesion_intradural as intradural
from rtsim.phantom.spine.column import Column
from rtsim.phantom.spine.lesion_bone import INVOLVED, bone_tumor
from rtsim.phantom.spine.lesion_canal import CanalContents
from rtsim.phantom.spine.sectors import clinical_target, union
from rtsim.phantom.spine.spec import Compartment, SpineSpec
from rtsim.phantom.spine.vertebra import Vertebra


@dataclass(frozen=True)
class Lesion:
    """Shapes in LPS mm: ``bone`` lies in the vertebra (None for an intradural tumor), ``contents`` in the canal."""

    bone: Shape | None
    contents: CanalContents
    ctv: Shape

    @property
    def epidural(self) -> Shape | None:
        """The tumor in the canal, if there is one."""
        return self.contents.tumor

    @cached_property
    def gtv(self) -> Shape:
        """Gross tumor volume: what is in bone and what is in the canal."""
        if self.bone is None:
            assert self.contents.tumor is not None
            return self.contents.tumor
        return self.bone if self.contents.tumor is None else Union((self.bone, self.contents.tumor))

    @classmethod
    def of(cls, spec: SpineSpec, vertebra: Vertebra, column: Column) -> Lesion:
        """The lesion that ``spec`` asks for, in ``vertebra``.

        CTV of an extradural lesion: the parts of the vertebra that the consensus of Cox 2012 adds to where it is
        (rtsim.phantom.spine.sectors), and the epidural tumor; the CTV does not grow into the canal otherwise. Where
        the cord is not spared (conventional treatment) the CTV is the whole vertebra with its canal. Within the dura:
        see rtsim.phantom.spine.lesion_intradural.
        """
        if spec.compartment is not Compartment.EXTRADURAL:
            found = intradural.tumor(spec, vertebra.placement, column)
            return cls(None, found, intradural.ctv(spec, found, column, vertebra.placement))
        contents = CanalContents.of(spec, vertebra.placement, column)
        bone = bone_tumor(spec, vertebra, column.canal())
        gross = (bone,) if contents.tumor is None else (bone, contents.tumor)
        if not spec.spare_cord:
            half = vertebra.placement.posterior_height_mm / 2
            slab = vertebra.placement.place(Box((-60.0, -80.0, -half), (60.0, 120.0, half)))
            return cls(bone, contents, Union((vertebra.whole, Intersection((slab, column.canal())), *gross)))
        return cls(bone, contents, Union((union(vertebra, clinical_target(INVOLVED[spec.site])), *gross)))

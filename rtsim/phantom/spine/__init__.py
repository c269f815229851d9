"""The spine generator: a SpineSpec in, a Phantom with a lesion, a cord and the organs around them out.

spec = SpineSpec(level="T8", lesion=LesionKind.LYTIC, epidural=EpiduralGrade.ESCC_1B)
phantom = spine(spec)
"""

from rtsim.phantom.spine.anatomy import LEVELS, Level, level, levels
from rtsim.phantom.spine.build import spine
from rtsim.phantom.spine.sectors import (
    BodyExtent,
    BothPedicles,
    Involvement,
    Part,
    Sector,
    clinical_target,
    involvement,
)
from rtsim.phantom.spine.spec import Compartment, EpiduralGrade, LesionKind, LesionSite, SpineSpec

__all__ = [
    "LEVELS",
    "BodyExtent",
    "BothPedicles",
    "Compartment",
    "EpiduralGrade",
    "Involvement",
    "LesionKind",
    "LesionSite",
    "Level",
    "Part",
    "Sector",
    "SpineSpec",
    "clinical_target",
    "involvement",
    "level",
    "levels",
    "spine",
]

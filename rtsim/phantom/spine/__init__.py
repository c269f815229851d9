"""The spine generator: a SpineSpec in, a Phantom with a lesion, a cord and the organs around them out.

spec = SpineSpec(level="T8", lesion=LesionKind.LYTIC, epidural=EpiduralGrade.ESCC_1B)
phantom = spine(spec)
"""

from rtsim.phantom.spine.anatomy import LEVELS, Level, level, levels
from rtsim.phantom.spine.build import spine
from rtsim.phantom.spine.spec import Compartment, EpiduralGrade, LesionKind, LesionSite, SpineSpec

__all__ = [
    "LEVELS",
    "Compartment",
    "EpiduralGrade",
    "LesionKind",
    "LesionSite",
    "Level",
    "SpineSpec",
    "level",
    "levels",
    "spine",
]

"""Hardware: the implants of a stabilized spine that a case asks for, and what they are made of.

Hardware(material=ImplantMaterial.CARBON_PEEK, screws=("T7", "T9"))  # two pairs of screws, two rods
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rtsim.errors import InputError, check_choice
from rtsim.phantom.spine.anatomy import LEVELS, level


class ImplantMaterial(Enum):
    """What screws, rods and cage are made of."""

    TITANIUM = "titanium"
    CARBON_PEEK = "carbon_peek"


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The implants of a case.

    Attributes:
        material: of screws, rods and cage: Ti-6Al-4V, or PEEK reinforced with carbon fibers.
        screws: levels with a pair of pedicle screws (C3 .. S1); where there are two or more, a rod on each side joins
            their heads, bridging the levels between.
        cage: a vertebral body replacement, a hollow cylinder of the same material from the vertebra above the target
            to the one below.
        cement: bone cement (PMMA with barium sulfate) in the target's body, as a vertebroplasty leaves it.
        artefact: the CT shows the streaks that the metal makes, and tissue takes the wrong density from them, as it
            does on a real CT that nobody corrected.
        artefact_overridden: the planner has drawn the streaks and given them the density of muscle; needs ``artefact``.
    """

    material: ImplantMaterial = ImplantMaterial.TITANIUM
    screws: tuple[str, ...] = ()
    cage: bool = False
    cement: bool = False
    artefact: bool = False
    artefact_overridden: bool = False

    def __post_init__(self) -> None:
        check_choice("material", self.material, ImplantMaterial)
        names = tuple(level(name).name for name in self.screws)
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(f"screws names {', '.join(twice)} twice; one pair of screws for each level")
        object.__setattr__(self, "screws", tuple(sorted(names, key=LEVELS.index)))
        if not (names or self.cage or self.cement):
            raise InputError("hardware without screws, cage or cement; give at least one of them, or no hardware")
        if self.cage and self.cement:
            raise InputError("cage and cement are both asked for; a cage replaces the body that cement would fill")
        if self.artefact_overridden and not self.artefact:
            raise InputError("artefact_overridden without artefact; there are no streaks to override")

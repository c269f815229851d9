"""The usual arrangements of fields, and how fields are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rtsim.errors import InputError
from rtsim.machine.model import Machine

STEEP_WEDGE_DEG = 30.0
"""Wedges below this do not make up for three fields that enter side by side through the back; they are not tried."""


class FieldArrangement(Enum):
    """The usual arrangements of the spine."""

    PA = "PA"
    AP_PA = "AP/PA"
    PA_AND_OBLIQUES = "PA and two posterior obliques"
    LATERALS = "two laterals"


@dataclass(frozen=True, kw_only=True)
class ConventionalSettings:
    """How fields are made.

    Attributes:
        margin_mm: from the target to the field edge (50 % isodose) in the isocenter plane.
        oblique_deg: gantries of the left oblique that are tried; the right one mirrors it.
        wedge_deg: wedges that are tried on the obliques: all at the first gantry, the best of them at the other ones.
            None = the physical wedges of the machine from 30 deg on.
        subfields: how many segments a field may have beside its open one (field-in-field); 0 = none. A machine without
            leaves has none.
    """

    margin_mm: float = 7.0
    oblique_deg: tuple[float, ...] = (120.0, 110.0)
    wedge_deg: tuple[float, ...] | None = None
    subfields: int = 3

    def __post_init__(self) -> None:
        if not self.margin_mm >= 0 or self.wedge_deg == () or not self.oblique_deg:
            raise InputError(
                f"margin_mm is {self.margin_mm}, wedge_deg {self.wedge_deg}, oblique_deg {self.oblique_deg}; margin_mm "
                "must be >= 0 mm, and at least one wedge and one gantry must be named"
            )
        if not 0 <= self.subfields <= 10 or self.subfields != int(self.subfields):
            raise InputError(f"subfields is {self.subfields}; a whole number 0 <= subfields <= 10 is allowed")

    def wedges_tried(self, machine: Machine) -> tuple[float, ...]:
        """Angles of the wedges that are tried on obliques."""
        if self.wedge_deg is not None:
            return self.wedge_deg
        steep = tuple(w.angle_deg for w in machine.wedges if w.physical and w.angle_deg >= STEEP_WEDGE_DEG)
        return steep or (STEEP_WEDGE_DEG,)  # a machine without one is refused where the fields are made

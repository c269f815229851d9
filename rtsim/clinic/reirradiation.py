"""Re-irradiation: what an earlier course has left of the spinal cord's tolerance."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from rtsim.dose.accumulate import NOT_SHIFTED, RigidShift
from rtsim.dose.result import Dose
from rtsim.errors import InputError

CORD_ALPHA_BETA_GY: Final = 2.0
_SCHEME: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:Gy)?\s*[/xX]\s*(\d+)\s*")


@dataclass(frozen=True, eq=False, kw_only=True)
class PreviousCourse:
    """An earlier course of radiotherapy to the same level: a scheme, or its dose voxel by voxel.

    Attributes:
        fractions: in how many equal fractions it was given.
        dose_gy: prescribed dose of a scheme, in Gy; None when ``dose`` is given.
        cord_percent: of a scheme: how much of ``dose_gy`` the cord got, all along the level, in percent.
        months_ago: from its end to today; None = not known.
        dose: the whole physical dose (an RTDOSE), Gy over all ``fractions``; None for a scheme.
        shift: how ``dose`` lies in the coordinates of today.
        name: where it comes from, for reports.
    """

    fractions: int
    dose_gy: float | None = None
    cord_percent: float = 100.0
    months_ago: float | None = None
    dose: Dose | None = None
    shift: RigidShift = NOT_SHIFTED
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.fractions, bool) or self.fractions != int(self.fractions) or self.fractions < 1:
            raise InputError(f"fractions of the previous course is {self.fractions!r}; a whole number >= 1 is needed")
        if (self.dose_gy is None) == (self.dose is None):
            raise InputError("a previous course is a scheme (dose_gy) or a dose (RTDOSE): give one of the two")
        if self.dose_gy is not None and not (math.isfinite(self.dose_gy) and self.dose_gy > 0.0):
            raise InputError(f"dose_gy of the previous course is {self.dose_gy}; it must be > 0 Gy")
        if not (math.isfinite(self.cord_percent) and 0.0 <= self.cord_percent <= 150.0):
            raise InputError(
                f"cord_percent of the previous course is {self.cord_percent}; 0 to 150 % of the prescribed dose"
            )
        if self.months_ago is not None and not (math.isfinite(self.months_ago) and self.months_ago >= 0.0):
            raise InputError(
                f"months_ago of the previous course is {self.months_ago}; it is the time from its end to today: "
                "a number >= 0, or nothing where it is not known"
            )

    @classmethod
    def scheme(cls, text: str, *, months_ago: float | None = None, cord_percent: float = 100.0) -> PreviousCourse:
        """From words such as '30/10' or '8x1': dose in Gy and number of fractions.

        Raises:
            InputError: other words.
        """
        dose_gy, fractions = scheme_of(text)
        return cls(fractions=fractions, dose_gy=dose_gy, months_ago=months_ago, cord_percent=cord_percent)


def scheme_of(text: str) -> tuple[float, int]:
    """(dose in Gy, fractions) of '30/10', '8x1', '37.5 Gy/15'.

    Raises:
        InputError: no scheme, or none that can have been given.
    """
    match = _SCHEME.fullmatch(text)
    if match is None or float(match[1]) <= 0.0 or int(match[2]) < 1:
        raise InputError(f"{text!r} is no scheme; write dose in Gy and number of fractions, e.g. 30/10, 20/5 or 8x1")
    return float(match[1]), int(match[2])

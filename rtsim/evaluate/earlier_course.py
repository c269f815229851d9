"""What this course and an earlier one do to the cord together, as data that reports and comparisons print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtsim.biology import SCHULTHEISS_CORD
from rtsim.biology.cord import risk_text
from rtsim.biology.isoeffect import isoeffective_dose_gy

CORD_ALPHA_BETA_GY: Final = 2.0
NO_RECOVERY: Final = "no recovery credited; the model was fitted to single courses"


@dataclass(frozen=True, kw_only=True)
class BothCourses:
    """Near-maximum EQD2 (D0.035cc, alpha/beta 2 Gy) of one structure, in Gy.

    Attributes:
        structure: as drawn.
        previous_eqd2_gy: of the earlier course.
        accumulated_eqd2_gy: of both, added voxel by voxel.
        is_lower_bound: the earlier dose does not reach all of the structure.
    """

    structure: str
    previous_eqd2_gy: float
    accumulated_eqd2_gy: float
    is_lower_bound: bool = False

    @property
    def risk_logistic(self) -> float:
        """Probability of myelopathy, 0..1, of the accumulated EQD2; for the cord."""
        if self.accumulated_eqd2_gy <= 0.0:
            return 0.0
        once = isoeffective_dose_gy(self.accumulated_eqd2_gy, 1, CORD_ALPHA_BETA_GY)
        return SCHULTHEISS_CORD.probability(once, 1, CORD_ALPHA_BETA_GY)

    @property
    def eqd2_text(self) -> str:
        """ "67.7 Gy", or ">= 67.7 Gy"."""
        return f"{self._least}{self.accumulated_eqd2_gy:.1f} Gy"

    @property
    def risk_text(self) -> str:
        """ "39 %", or ">= 39 %"."""
        found = risk_text(self.risk_logistic)
        return found if found.startswith("<") else f"{self._least}{found}"

    @property
    def _least(self) -> str:
        return ">= " if self.is_lower_bound else ""


@dataclass(frozen=True, kw_only=True)
class EarlierCourse:
    """An earlier course, and what it makes of this one.

    Attributes:
        previous: the earlier course in words.
        sums: of every structure in which both courses could be added.
        conditions: the conditions on a second course in a few words, e.g. "4 of 4 met", "NOT MET: 1 of 4".
        headline: the same in a sentence.
    """

    previous: str
    sums: tuple[BothCourses, ...]
    conditions: str
    headline: str

    def of(self, structure: str) -> BothCourses | None:
        """Both courses in a structure; None where they could not be added."""
        return next((s for s in self.sums if s.structure == structure), None)

    def risk_words(self, structure: str) -> str:
        """The risk of both courses with the dose that it belongs to."""
        both = self.of(structure)
        if both is None:
            return f"not known: both courses could not be added in {structure}"
        return (
            f"{both.risk_text} (logistic) of the accumulated EQD2 {both.eqd2_text}, "
            f"{both.previous_eqd2_gy:.1f} Gy of it from the earlier course ({self.previous}); {NO_RECOVERY}"
        )

    def record(self, structure: str) -> dict[str, object]:
        """Plain values of one structure, for archives."""
        both = self.of(structure)
        return {
            "previous": self.previous,
            "conditions": self.conditions,
            "previous_eqd2_gy": None if both is None else both.previous_eqd2_gy,
            "accumulated_eqd2_gy": None if both is None else both.accumulated_eqd2_gy,
            "is_lower_bound": None if both is None else both.is_lower_bound,
            "risk_logistic": None if both is None else both.risk_logistic,
        }

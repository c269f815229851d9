"""ESCC: the grades of epidural spinal cord compression (Bilsky 2010), and what a measurement of one says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering
from typing import Final

from rtsim.sources import Source, Standing

BILSKY: Final = Source(
    citation="ESCC: Bilsky et al. 2010, J Neurosurg Spine 13:324, DOI 10.3171/2010.3.SPINE09459 (wording as on "
    "thespinebook.com)",
    standing=Standing.LITERATURE,
)


@total_ordering
class EsccGrade(Enum):
    """Grade on the axial slice of worst compression; the values are those of the scale, and they are ordered."""

    ESCC_0 = "0"
    ESCC_1A = "1a"
    ESCC_1B = "1b"
    ESCC_1C = "1c"
    ESCC_2 = "2"
    ESCC_3 = "3"

    def __lt__(self, other: EsccGrade) -> bool:
        return _ORDER.index(self) < _ORDER.index(other)

    @property
    def is_high(self) -> bool:
        """Grades 2 and 3: the cord is compressed."""
        return self in (EsccGrade.ESCC_2, EsccGrade.ESCC_3)

    @property
    def title(self) -> str:
        """What the grade means."""
        return _TITLES[self]


_ORDER: Final = tuple(EsccGrade)
_TITLES: Final = {
    EsccGrade.ESCC_0: "bone only",
    EsccGrade.ESCC_1A: "epidural, thecal sac not deformed",
    EsccGrade.ESCC_1B: "thecal sac deformed, cord not touched",
    EsccGrade.ESCC_1C: "thecal sac deformed, cord touched but not compressed",
    EsccGrade.ESCC_2: "cord compressed, CSF still seen",
    EsccGrade.ESCC_3: "cord compressed, no CSF seen",
}


@dataclass(frozen=True, kw_only=True)
class EsccMeasurement:
    """A grade measured from drawn structures.

    Attributes:
        possible: every grade that the structures leave open, in order; one when all is drawn that is needed.
        z_mm: LPS z of the axial slice of worst compression; None when no tumor lies in the canal.
        tumor_in_canal_mm: how deep tumor reaches into the canal there.
        sac_dent_mm: how deep tumor reaches into the outline that the sac has beyond the tumor; None: not measured.
        cord_gap_mm: distance of tumor and cord (cauda equina below it); 0 when they touch; None: not measured.
        cord_dent_mm: how deep the cord is dented against its outline beyond the tumor; None: not measured.
        csf_fraction: area of the sac less cord (or roots) and tumor over the sac's area, on that slice.
        neural: the structure that stands for the cord: 'spinal_cord', 'cauda_equina', or '' when none is drawn there.
        reasons: sentences that lead from what was measured to the grade.
        missing: what would be needed, canonical names.
        inside_sac: share of the tumor's volume that lies inside of the sac's outline; near 1 for intradural tumors.
        given: True when the grade was told (MRI), not measured.
    """

    possible: tuple[EsccGrade, ...]
    z_mm: float | None = None
    tumor_in_canal_mm: float | None = None
    sac_dent_mm: float | None = None
    cord_gap_mm: float | None = None
    cord_dent_mm: float | None = None
    csf_fraction: float | None = None
    neural: str = ""
    reasons: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    inside_sac: float = 0.0
    given: bool = False
    source: Source = BILSKY

    @property
    def grade(self) -> EsccGrade | None:
        """The grade, or None when the structures leave more than one open."""
        return self.possible[0] if len(self.possible) == 1 else None

    @property
    def is_high(self) -> bool | None:
        """True for grades 2 and 3, False for 0 to 1c, None when both are open."""
        high = {grade.is_high for grade in self.possible}
        return high.pop() if len(high) == 1 else None

    def __str__(self) -> str:
        how = "given" if self.given else "measured"
        if self.grade is not None:
            title = self.grade.title
            if self.neural == "cauda_equina" and self.grade.is_high:
                title = title.replace("cord", "cauda equina")
            return f"ESCC {self.grade.value} ({how}): {title}"
        return f"ESCC {self.possible[0].value} to {self.possible[-1].value}: not to be measured closer"

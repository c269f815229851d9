"""Advice: a decision with everything that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from rtsim.biology import Histology
from rtsim.biology.schedule import Intent
from rtsim.clinic.advice_text import text_of
from rtsim.clinic.escc_grade import EsccMeasurement
from rtsim.clinic.findings import Findings
from rtsim.phantom.spine.spec import Compartment
from rtsim.protocol import Technique
from rtsim.sources import Source

if TYPE_CHECKING:
    from rtsim.clinic.sins_score import Sins

DISCLAIMER: Final = "It teaches; it does not treat."


class Decision(Enum):
    """Which treatment. The values are what a reader sees."""

    CONVENTIONAL = "conventional radiotherapy"
    STEREOTACTIC = "stereotactic radiotherapy"
    STABILIZE_THEN_CONVENTIONAL = "stabilize first, then conventional radiotherapy"
    STABILIZE_THEN_STEREOTACTIC = "stabilize first, then stereotactic radiotherapy"
    SEPARATION_THEN_STEREOTACTIC = "separation surgery first, then stereotactic radiotherapy"
    OUTSIDE_NOMS = "outside NOMS: by the accepted schedules of this tumor"
    NO_RADIOTHERAPY = "outside NOMS: no radiotherapy by default"
    UNDECIDED = "not to be decided from what is drawn and given"

    @property
    def technique(self) -> Technique | None:
        """How it is irradiated; None where the decision does not say."""
        return _TECHNIQUE.get(self)

    @property
    def surgery_first(self) -> bool:
        """Whether an operation comes before radiotherapy."""
        return self in (
            Decision.STABILIZE_THEN_CONVENTIONAL,
            Decision.STABILIZE_THEN_STEREOTACTIC,
            Decision.SEPARATION_THEN_STEREOTACTIC,
        )


_TECHNIQUE: Final = {
    Decision.CONVENTIONAL: Technique.CONVENTIONAL,
    Decision.STEREOTACTIC: Technique.STEREOTACTIC,
    Decision.STABILIZE_THEN_CONVENTIONAL: Technique.CONVENTIONAL,
    Decision.STABILIZE_THEN_STEREOTACTIC: Technique.STEREOTACTIC,
    Decision.SEPARATION_THEN_STEREOTACTIC: Technique.STEREOTACTIC,
}


class Scheme(Enum):
    """Whose classes of radiosensitivity decide."""

    NOMS = "noms"
    STATED = "stated"


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One sentence and where it comes from; ``letter`` is N, O, M or S where it answers that question of NOMS."""

    text: str
    source: Source
    letter: str = ""

    def __str__(self) -> str:
        return f"{self.text} [{self.source}]"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A schedule that goes with the decision; ``protocol`` is the name that `rtsim run --protocol` takes, or ''.

    ``note_source`` is that of the note, where it is not ``source``.
    """

    dose_gy: float
    fractions: int
    technique: Technique
    intent: Intent
    source: Source
    protocol: str = ""
    note: str = ""
    note_source: Source | None = None

    def __str__(self) -> str:
        return f"{self.dose_gy:g} Gy in {self.fractions}"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What NOMS answers for a patient, with every reason.

    Attributes:
        patient: name of the phantom.
        histology, scheme, findings: what was given.
        compartment: where the tumor lies about the dura, given or concluded.
        decision: which treatment.
        reasons: why, in order: neurologic, oncologic, mechanical, systemic.
        sins: the score, None where the tumor lies outside of bone or the level is not known.
        escc: the grade, None for intradural tumors.
        schedules: what is offered, the usual first.
        warnings: what must not be overlooked; emergencies first.
        assumed: what was not given, and what was taken instead.
    """

    patient: str
    histology: Histology
    scheme: Scheme
    findings: Findings
    compartment: Compartment
    decision: Decision
    reasons: tuple[Reason, ...]
    sins: Sins | None
    escc: EsccMeasurement | None
    schedules: tuple[Offer, ...]
    warnings: tuple[Reason, ...] = ()
    assumed: tuple[str, ...] = ()

    @property
    def disclaimer(self) -> str:
        """What this is not."""
        return DISCLAIMER

    def __str__(self) -> str:
        return text_of(self)

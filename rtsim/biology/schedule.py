"""Schedule: a dose level that is offered for a tumor, and what it is offered for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from rtsim.biology._checks import fraction_count, positive
from rtsim.biology.lq import eqd2_gy
from rtsim.sources import Source

TechniqueWord = Literal["conventional", "stereotactic"]
"""The values of ``rtsim.protocol.Technique``; biology stands beside protocol and does not import it."""


class Intent(Enum):
    """What a dose is given for."""

    CONTROL = "durable local control"
    PALLIATION = "relief of symptoms"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A total dose in equal fractions.

    Attributes:
        dose_gy: total, in Gy.
        protocol: name of the protocol of rtsim that has this dose level; empty when rtsim ships none.
        note_source: of the note, where that is not ``source``.
    """

    dose_gy: float
    fractions: int
    technique: TechniqueWord
    protocol: str
    intent: Intent
    source: Source
    note: str = ""
    note_source: Source | None = None

    def __post_init__(self) -> None:
        positive("dose_gy", self.dose_gy, "Gy")
        fraction_count(self.fractions)

    @property
    def label(self) -> str:
        """E.g. "24 Gy in 2"."""
        return f"{self.dose_gy:g} Gy in {self.fractions}"

    def eqd2_gy(self, alpha_beta_gy: float) -> float:
        """Dose in 2 Gy fractions with the same effect, in Gy."""
        return float(eqd2_gy(self.dose_gy, self.fractions, alpha_beta_gy))

    def __str__(self) -> str:
        return f"{self.label} ({self.technique}, {self.intent.value})"

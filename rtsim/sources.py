"""Where a number comes from, and how far it was checked: every clinical or biological number in rtsim carries this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    """How far a number was checked against its source; reports print the value as it stands here."""

    VERIFIED = "verified"
    LITERATURE = "literature, unverified here"
    ASSUMPTION = "assumption of rtsim"

    @property
    def label(self) -> str:
        """Text for reports."""
        return self.value


@dataclass(frozen=True, kw_only=True)
class Source:
    """A citation and the standing of the number that carries it."""

    citation: str
    standing: Standing

    def __str__(self) -> str:
        return f"{self.citation} [{self.standing.label}]"

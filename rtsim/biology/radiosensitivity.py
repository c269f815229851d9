"""Histology: what is known of one kind of tumor, in two schemes of radiosensitivity that disagree.

``noms_class`` (NOMS: which treatment) and ``stated_class`` (the text that rtsim was founded on: a ranking) are kept
side by side: kidney and thyroid are 'resistant' in NOMS and of 'moderate sensitivity' in the other, where melanoma and
colorectal cancer are 'particularly resistant'. ``tier`` (the model of control) is an assumption of rtsim that honors
both: kidney and thyroid are resistant, but less so than melanoma and colorectal cancer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, overload

from rtsim.biology._checks import alpha_beta
from rtsim.biology.schedule import Intent, Schedule
from rtsim.biology.tiers import TCP_BY_TIER, TcpParameters, Tier
from rtsim.errors import InputError, unknown_name
from rtsim.sources import Source

Scheme = Literal["noms", "stated"]


class NomsClass(Enum):
    """Response to conventional radiotherapy as NOMS sees it; BENIGN lies outside NOMS."""

    SENSITIVE = "sensitive"
    INTERMEDIATE = "intermediate"
    RESISTANT = "resistant"
    BENIGN = "benign"

    @property
    def responds_to_conventional(self) -> bool:
        """True when conventional doses control it: NOMS decides between two, and intermediate counts as sensitive."""
        return self in (NomsClass.SENSITIVE, NomsClass.INTERMEDIATE)


class StatedClass(Enum):
    """What the founding text says of it; most tumors it does not rank."""

    MODERATE = "moderately sensitive"
    RESISTANT = "resistant"
    PARTICULARLY_RESISTANT = "particularly resistant"
    NOT_STATED = "not stated"


class Kind(Enum):
    """Where a tumor comes from."""

    METASTASIS = "metastasis"
    HEMATOLOGIC = "hematologic"
    PRIMARY_MALIGNANT = "primary malignant"
    PRIMARY_CORD = "primary of the cord"
    PRIMARY_BENIGN = "primary benign"


@dataclass(frozen=True, kw_only=True)
class Histology:
    """One kind of tumor. ``alpha_beta_gy`` is the tissue's own; the TCP models use that of their fit.

    Attributes:
        compartment: where it usually lies: extradural, intradural_extramedullary, intramedullary.
        stated_label: words of the founding text on its treatment, empty where there are none.
        alpha_beta_range_gy: what the literature spans; both ends equal where there is one value only.
        schedules: dose levels that are offered; empty where radiotherapy has no place.
        source: of the NOMS class.
        classed_by: who classed it so, in a word or two: the AO Foundation, NOMS, rtsim.
    """

    name: str
    title: str
    kind: Kind
    compartment: str
    noms_class: NomsClass
    stated_class: StatedClass
    stated_label: str
    tier: Tier
    alpha_beta_gy: float
    alpha_beta_range_gy: tuple[float, float]
    schedules: tuple[Schedule, ...]
    source: Source
    stated_source: Source
    alpha_beta_source: Source
    classed_by: str = "NOMS"
    note: str = ""

    def __post_init__(self) -> None:
        alpha_beta(self.alpha_beta_gy)
        low, high = self.alpha_beta_range_gy
        if not 0.0 < low <= self.alpha_beta_gy <= high:
            raise InputError(
                f"histology {self.name!r}: alpha/beta {self.alpha_beta_gy:g} Gy lies outside its range "
                f"{low:g}-{high:g} Gy"
            )

    @overload
    def class_by(self, scheme: Literal["noms"]) -> NomsClass: ...
    @overload
    def class_by(self, scheme: Literal["stated"]) -> StatedClass: ...
    def class_by(self, scheme: Scheme) -> NomsClass | StatedClass:
        """Class in one of the two schemes.

        Raises:
            InputError: another scheme.
        """
        if scheme == "noms":
            return self.noms_class
        if scheme == "stated":
            return self.stated_class
        raise InputError(unknown_name("scheme of radiosensitivity", str(scheme), ("noms", "stated")))

    def source_by(self, scheme: Scheme) -> Source:
        """Where the class in this scheme comes from."""
        return self.source if self.class_by(scheme) is self.noms_class else self.stated_source

    @property
    def tcp(self) -> TcpParameters | None:
        """Tumor control models of the tier, or None for benign tumors."""
        return TCP_BY_TIER.get(self.tier)

    @property
    def is_benign(self) -> bool:
        """True for benign tumors, which have doses of their own and no model of control."""
        return self.noms_class is NomsClass.BENIGN

    def schedules_for(self, intent: Intent) -> tuple[Schedule, ...]:
        """The dose levels that are offered for this."""
        return tuple(s for s in self.schedules if s.intent is intent)

"""Plan: beams that a machine can deliver, what they are to achieve, and what is certified of them."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.beams.model import Beam
from rtsim.errors import InputError
from rtsim.protocol.model import Prescription


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """Whether a hard limit holds in the delivered dose.

    Attributes:
        structure, metric: what is limited, e.g. "spinal_cord_prv", "D0.035cc".
        limit_gy, reached_gy: wanted at most, and got, in the final forward dose.
        held: reached <= limit.
        statement: one sentence for the report; when coverage had to give way it says how much was possible.
    """

    structure: str
    metric: str
    limit_gy: float
    reached_gy: float
    held: bool
    statement: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A deliverable plan.

    Attributes:
        beams: with control points; monitor units are those of one fraction.
        prescription: target, dose and fractions.
        label: for reports and RTPLAN.
        certificates: one per hard limit.
        notes: what the planner decided on the way, in sentences, for the report.
    """

    beams: tuple[Beam, ...]
    prescription: Prescription
    label: str = "rtsim"
    certificates: tuple[Certificate, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [b.name for b in self.beams if not b.control_points]
        if missing or not self.beams:
            raise InputError(f"a plan needs beams with control points; without: {missing or 'no beams at all'}")

    @property
    def monitor_units(self) -> float:
        """Monitor units of one fraction."""
        return sum(b.monitor_units for b in self.beams)

"""Plan: beams that a machine can deliver, and what is certified of them; Planned: the plan with its dose."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.optimize.fluence import FluencePlan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """Whether a hard goal holds in the delivered dose, by the same DVH and rule as the grade.

    Attributes:
        structure, metric: what is limited, e.g. "spinal_cord_prv", "D0.035cc".
        limit_gy, reached_gy: wanted, and got, in the final forward dose; of a goal on a volume the dose that this
            volume gets; None for plan indices, whose numbers the statement gives.
        held: the goal is met.
        statement: one sentence for the report; it says how much coverage was reached when that is less than wanted.
    """

    structure: str
    metric: str
    limit_gy: float | None
    reached_gy: float | None
    held: bool
    statement: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A deliverable plan.

    Attributes:
        beams: with control points; monitor units are those of one fraction.
        prescription: target, dose and fractions.
        label: for reports and RTPLAN.
        certificates: one per hard goal that can be judged.
        not_checked: a sentence per hard goal that cannot be: its structure is not drawn, or off the dose grid.
        notes: what the planner decided on the way, in sentences, for the report.
    """

    beams: tuple[Beam, ...]
    prescription: Prescription
    label: str = "rtsim"
    certificates: tuple[Certificate, ...] = ()
    not_checked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = ", ".join(b.label for b in self.beams if not b.control_points)
        if missing or not self.beams:
            raise InputError(f"a plan needs beams with control points; without: {missing or 'no beams at all'}")

    @property
    def monitor_units(self) -> float:
        """Monitor units of one fraction."""
        return sum(b.monitor_units for b in self.beams)


@dataclass(frozen=True, eq=False, kw_only=True)
class Planned:
    """A plan with the dose that certifies it.

    Attributes:
        plan: deliverable, with certificates and notes.
        dose: the engine's forward dose of ``plan.beams``, all fractions.
        phantom: the phantom planned on, with the PRV when one was made.
        fluence: the optimized fluence it started from; None for forward-planned beams.
    """

    plan: Plan
    dose: Dose
    phantom: Phantom
    fluence: FluencePlan | None = None

"""What the pictures and the page of a comparison are made of: numbers, doses and phantoms of every plan."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.dose.result import Dose
from rtsim.evaluate.comparison import PatientComparison, SchemeResult
from rtsim.phantom.phantom import Phantom


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparedPlan:
    """One plan.

    Attributes:
        phantom: with the structures that it was planned on.
        notes: what the planner said.
        link: from the page to the plan's own report; empty when it was not kept.
    """

    result: SchemeResult
    dose: Dose
    phantom: Phantom
    notes: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparedPatient:
    """One patient: the numbers, and the plans in the same order."""

    comparison: PatientComparison
    plans: tuple[ComparedPlan, ...]

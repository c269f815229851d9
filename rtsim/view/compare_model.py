"""What the pictures and the page of a comparison are made of: numbers, doses and phantoms of every plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsim.beams.model import Beam
from rtsim.biology import Histology
from rtsim.dose.result import Dose
from rtsim.evaluate import GradeReport, delivery_summary, grade
from rtsim.evaluate.comparison import NotPlanned, PatientComparison, Scheme, SchemeResult
from rtsim.evaluate.comparison_measure import scheme_result
from rtsim.optimize.plan import Planned
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import Protocol


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparedPlan:
    """One plan.

    Attributes:
        phantom: with the structures that it was planned on.
        notes: what the planner said.
        link: from the page to the plan's own report; empty when it was not kept.
        beams: of one fraction; empty for a dose without a plan.
        twin_dose: of the beams of the patient that this one is compared with, in this patient.
    """

    result: SchemeResult
    dose: Dose
    phantom: Phantom
    notes: tuple[str, ...] = ()
    link: str = ""
    beams: tuple[Beam, ...] = ()
    twin_dose: Dose | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparedPatient:
    """One patient: the numbers, and the plans in the same order."""

    comparison: PatientComparison
    plans: tuple[ComparedPlan, ...]


def compared_plan(
    planned: Planned,
    protocol: Protocol,
    *,
    histology: Histology | None = None,
    report: GradeReport | None = None,
    link: str = "",
) -> ComparedPlan:
    """Measure a plan for a comparison.

    Args:
        protocol: that it was planned by.
        report: its grade; None grades it.

    Raises:
        InputError: the protocol does not hold the plan's dose.
    """
    rx, plan = planned.plan.prescription, planned.plan
    if report is None:
        report = grade(planned.dose, planned.phantom, rx, protocol, histology=histology, certificates=plan.certificates)
    scheme = Scheme(dose_gy=rx.dose_gy, fractions=rx.fractions, technique=protocol.technique, protocol=protocol.name)
    result = scheme_result(
        scheme, planned.dose, planned.phantom, report, histology=histology, delivery=delivery_summary(plan)
    )
    machines = ", ".join(dict.fromkeys(b.machine.name for b in plan.beams))
    return ComparedPlan(
        result=result,
        dose=planned.dose,
        phantom=planned.phantom,
        notes=(f"machine {machines}", *planned.phantom.notes, *plan.notes),
        link=link,
        beams=plan.beams,
    )


def compared_patient(
    name: str,
    plans: Sequence[ComparedPlan],
    *,
    histology: Histology | None = None,
    description: str = "",
    not_planned: Sequence[NotPlanned] = (),
) -> ComparedPatient:
    """Put the plans of one patient side by side.

    Raises:
        InputError: there is no plan.
    """
    comparison = PatientComparison(
        name=name,
        description=description,
        histology=histology,
        results=tuple(p.result for p in plans),
        not_planned=tuple(not_planned),
    )
    return ComparedPatient(comparison=comparison, plans=tuple(plans))

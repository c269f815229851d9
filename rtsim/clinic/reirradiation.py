"""Re-irradiation: what an earlier course has left of the spinal cord's tolerance, and a plan that keeps it.

    previous = PreviousCourse.scheme("30/10", months_ago=8)
    remaining_budget(previous.given_to(None).eqd2_gy, fractions=2, months_ago=8)   # 12.28 Gy
    protocol = with_remaining_budget(rt.load_protocol("spine_sbrt_2fx"), previous)
    planned = rt.optimize.plan_stereotactic(phantom, rx, protocol, machine)
    print(assess(planned.dose, planned.phantom, previous))

A road of five files: previous (what was given), cord_budget (conditions, numbers), budget_protocol (as a hard limit),
accumulated (what both add up to); rtsim.dose.accumulate adds doses voxel by voxel.
"""

from rtsim.clinic.accumulated import CourseSum, Reirradiation, assess
from rtsim.clinic.budget_protocol import BUDGET_LIMITS, PRV_LIMITS, previous_eqd2_gy, with_remaining_budget
from rtsim.clinic.cord_budget import (
    Budget,
    Condition,
    Rule,
    Verdict,
    budget_table,
    conditions,
    remaining_budget,
    rule_for,
)
from rtsim.clinic.previous import PreviousCourse, PreviousDose, scheme_of
from rtsim.dose.accumulate import NOT_SHIFTED, RigidShift

__all__ = [
    "BUDGET_LIMITS",
    "NOT_SHIFTED",
    "PRV_LIMITS",
    "Budget",
    "Condition",
    "CourseSum",
    "PreviousCourse",
    "PreviousDose",
    "Reirradiation",
    "RigidShift",
    "Rule",
    "Verdict",
    "assess",
    "budget_table",
    "conditions",
    "previous_eqd2_gy",
    "remaining_budget",
    "rule_for",
    "scheme_of",
    "with_remaining_budget",
]

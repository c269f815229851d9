"""What an earlier course leaves of the spinal cord's tolerance, as numbers: the conditions of HyTEC and their budget.

EQD2 here is with alpha/beta 2 Gy. Doses of two courses are added as if both maxima fell on the same point, as in the
series that the conditions come from (Sahgal et al. 2012, IJROBP 82:107). No recovery is credited: time is a condition,
it does not give back dose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from rtsim.biology import CORD_EQD2_GY, isoeffective_dose_gy
from rtsim.clinic.previous import CORD_ALPHA_BETA_GY
from rtsim.errors import InputError
from rtsim.protocol import Technique
from rtsim.sources import Source, Standing

CUMULATIVE_EQD2_GY: Final = 70.0
COURSE_EQD2_GY: Final = 25.0
MOST_SHARE: Final = 0.5
LEAST_MONTHS: Final = 5.0
NIEDER_EQD2_GY: Final = 67.75
"""135.5 Gy BED_2 of two conventional courses (Nieder et al. 2006): said where it is passed, not a limit."""
_NIEDER_MONTHS: Final = 6.0
NIEDER_COURSE_EQD2_GY: Final = 49.0
"""98 Gy BED_2, the most of one of two conventional courses (Nieder et al. 2006)."""
LEAST_PREVIOUS_EQD2_GY: Final = 20.0
"""EQD2_2 of 8 Gy in one fraction, the least of the usual courses. Below it the share of 0.5 would forbid what one
course alone may give; the series behind it had 30 to 50 Gy before."""

HYTEC_REIRRADIATION: Final = Source(
    citation="Sahgal et al. 2021, IJROBP 110:124 (HyTEC), re-irradiation by SBRT in 1-5 fractions: thecal sac "
    "EQD2_2 Dmax <= 70 Gy cumulative and <= 25 Gy of the SBRT, ratio <= 0.5, interval >= 5 months",
    standing=Standing.VERIFIED,
)
ONE_COURSE: Final = Source(
    citation="rtsim: both courses together held to what HyTEC allows one course (EQD2_2 44.6 Gy; Sahgal et al. 2021, "
    "IJROBP 110:124), nothing recovered in between",
    standing=Standing.ASSUMPTION,
)
CONVENTIONAL_AGAIN: Final = Source(
    citation="rtsim: a conventional second course is held to the cumulative EQD2_2 <= 70 Gy and the 5 months of HyTEC, "
    "which speaks of stereotactic ones, and to 98 Gy BED_2 (49 Gy EQD2_2) of Nieder et al. 2006, IJROBP 66:1446 (from "
    "memory): small risk up to 135.5 Gy BED_2 (67.8 Gy EQD2_2) in all when no course has more than 98 Gy BED_2 and at "
    "least 6 months lie between; the 67.8 Gy, the first course and the 6 months are said, not held",
    standing=Standing.ASSUMPTION,
)
CAUDA_AS_SAC: Final = Source(
    citation="rtsim: the cauda equina, which lies in the thecal sac, is held to the budget of the sac; no limit of its "
    "own for re-irradiation is known to us",
    standing=Standing.ASSUMPTION,
)


class Verdict(Enum):
    """What became of a condition."""

    MET = "met"
    NOT_MET = "NOT MET"
    NOT_KNOWN = "not known"
    NOT_ASKED = "not asked"


class Rule(Enum):
    """By what a second course is limited."""

    REIRRADIATION = "the conditions of HyTEC for re-irradiation"
    ONE_COURSE = "both courses together as one"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition on a second course: its value, what is allowed, the verdict and why."""

    name: str
    value: float | None
    limit: float
    sense: str
    unit: str
    verdict: Verdict
    reason: str
    source: Source

    @property
    def wanted(self) -> str:
        """E.g. "<= 70 Gy"."""
        return f"{self.sense} {self.limit:g} {self.unit}".rstrip()

    @property
    def got(self) -> str:
        """E.g. "62.1 Gy"; "-" where it is not known."""
        if self.value is None:
            return "-"
        digits = 2 if not self.unit else 1
        return f"{self.value:.{digits}f} {self.unit}".rstrip()

    def __str__(self) -> str:
        return f"{self.name} {self.got} ({self.wanted}): {self.verdict.value}"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What is left for a course of ``fractions``: as EQD2_2 and as dose in Gy, by which rule, and what binds it."""

    fractions: int
    eqd2_gy: float
    dose_gy: float
    previous_eqd2_gy: float
    rule: Rule
    binding: str
    source: Source

    def __str__(self) -> str:
        return f"{self.dose_gy:.2f} Gy in {self.fractions} (EQD2 {self.eqd2_gy:.1f} Gy; {self.binding})"


def conditions(
    previous_eqd2_gy: float,
    this_eqd2_gy: float,
    months_ago: float | None,
    *,
    technique: Technique = Technique.STEREOTACTIC,
    rule: Rule = Rule.REIRRADIATION,
    is_known: bool = True,
) -> tuple[Condition, ...]:
    """The four conditions of HyTEC on a second course, judged.

    Args:
        previous_eqd2_gy, this_eqd2_gy: near-maximum EQD2_2 of the thecal sac (or its surrogate) in each course.
        months_ago: None when the interval is not known.
        technique: of the second course. The limit on the course and its share were found for SBRT: of a conventional
            one the share is not asked, and the course is held to Nieder's 49 Gy.
        rule: by which the course was limited. Held as one course because hardly anything was given before, it is not
            asked for its share either.
        is_known: False where the earlier dose does not reach all of it, so that ``previous_eqd2_gy`` is a lower bound:
            what depends on it is then not known, or not met.
    """
    total = previous_eqd2_gy + this_eqd2_gy
    share = this_eqd2_gy / total if total > 0 else 0.0
    is_sbrt = technique is Technique.STEREOTACTIC
    source = HYTEC_REIRRADIATION if is_sbrt else CONVENTIONAL_AGAIN
    exempt = "" if is_sbrt else "found for stereotactic courses; this one is conventional"
    course = COURSE_EQD2_GY if is_sbrt else NIEDER_COURSE_EQD2_GY
    single = ""
    if rule is Rule.ONE_COURSE and (
        _hardly_any(previous_eqd2_gy) if months_ago is None else months_ago >= LEAST_MONTHS
    ):
        exempt = single = f"hardly any dose before: both courses together are held to the {CORD_EQD2_GY:g} Gy of one"
    added = f"{previous_eqd2_gy:.1f} + {this_eqd2_gy:.1f} Gy, as if both maxima fell on the same point"
    if not is_sbrt:
        added += _beyond_nieder(previous_eqd2_gy, total, months_ago)
    asked = (
        _at_most("cumulative EQD2", total, CUMULATIVE_EQD2_GY, "Gy", added, source),
        _at_most(
            "EQD2 of this course",
            this_eqd2_gy,
            course,
            "Gy",
            "" if is_sbrt else "98 Gy BED_2 of Nieder 2006",
            source,
            single,
        ),
        _at_most("share of this course", share, MOST_SHARE, "", "of the cumulative EQD2", source, exempt),
        _interval(months_ago, source),
    )
    return asked if is_known else (_of_a_part(asked[0]), asked[1], _of_a_part(asked[2]), asked[3])


def _beyond_nieder(previous: float, total: float, months_ago: float | None) -> str:
    """What of two conventional courses lies beyond those of Nieder 2006."""
    said = []
    if total > NIEDER_EQD2_GY:
        said.append(f"more than the {NIEDER_EQD2_GY:.1f} Gy of Nieder 2006")
    if previous > NIEDER_COURSE_EQD2_GY:
        said.append(f"the previous course had more than the {NIEDER_COURSE_EQD2_GY:g} Gy of one of Nieder 2006")
    if months_ago is not None and LEAST_MONTHS <= months_ago < _NIEDER_MONTHS:
        said.append(f"less than the {_NIEDER_MONTHS:g} months of Nieder 2006")
    return "".join(f"; {s}" for s in said)


def _of_a_part(condition: Condition) -> Condition:
    """A condition on a previous dose that is a lower bound: what is passed already is, nothing is met."""
    if condition.verdict is Verdict.NOT_ASKED:
        return condition
    is_passed = condition.name == "cumulative EQD2" and condition.verdict is Verdict.NOT_MET
    return replace(
        condition,
        value=condition.value if is_passed else None,
        verdict=Verdict.NOT_MET if is_passed else Verdict.NOT_KNOWN,
        reason="the previous dose ends within the structure: what it gave there is not known",
    )


def _hardly_any(previous_eqd2_gy: float) -> bool:
    """Less than the least usual course gave."""
    return previous_eqd2_gy < LEAST_PREVIOUS_EQD2_GY * (1.0 - 1e-9)


def _at_most(
    name: str, value: float, limit: float, unit: str, reason: str, source: Source, exempt: str = ""
) -> Condition:
    if exempt:
        verdict, reason = Verdict.NOT_ASKED, exempt
    else:
        verdict = Verdict.MET if value <= limit * (1.0 + 1e-9) else Verdict.NOT_MET
    return Condition(
        name=name, value=value, limit=limit, sense="<=", unit=unit, verdict=verdict, reason=reason, source=source
    )


def _interval(months_ago: float | None, source: Source) -> Condition:
    if months_ago is None:
        verdict, reason = Verdict.NOT_KNOWN, "when the previous course ended was not said: both are held as one"
    elif months_ago >= LEAST_MONTHS:
        verdict, reason = Verdict.MET, "a longer time does not give back dose: no recovery is credited"
    else:
        verdict, reason = Verdict.NOT_MET, "what is known of a second course was seen after 5 months and more"
    return Condition(
        name="interval",
        value=months_ago,
        limit=LEAST_MONTHS,
        sense=">=",
        unit="months",
        verdict=verdict,
        reason=reason,
        source=source,
    )


def rule_for(previous_eqd2_gy: float, months_ago: float | None, technique: Technique = Technique.STEREOTACTIC) -> Rule:
    """The rule that limits a second course: re-irradiation as a rule.

    Within 5 months, or when the interval is not known, and for SBRT after less than the least usual course (EQD2_2
    20 Gy), the conditions of HyTEC do not speak of the patient: both courses together are then held to what one may
    give.
    """
    if months_ago is None or months_ago < LEAST_MONTHS:
        return Rule.ONE_COURSE
    if technique is Technique.STEREOTACTIC and _hardly_any(previous_eqd2_gy):
        return Rule.ONE_COURSE
    return Rule.REIRRADIATION


def remaining_budget(
    previous_eqd2_gy: float,
    fractions: int,
    *,
    months_ago: float | None = None,
    technique: Technique = Technique.STEREOTACTIC,
    rule: Rule | None = None,
) -> Budget:
    """What is left for the cord in a course of ``fractions``.

    Re-irradiation: EQD2_2 = min(70 - previous, 25, previous), of a conventional course min(70 - previous, 49). As one
    course: 44.6 - previous, and for SBRT after a usual course no more than re-irradiation would allow later.
    The dose is D = n (sqrt(1 + 4 EQD2_2 / n) - 1), down to 0.01 Gy. A longer interval adds nothing.

    Args:
        previous_eqd2_gy: near-maximum EQD2_2 that the cord has had.
        months_ago: None = not known: the stricter rule, both as one course.
        rule: None = by :func:`rule_for`.

    Raises:
        InputError: nothing is left; numbers that cannot be.
    """
    if not (math.isfinite(previous_eqd2_gy) and previous_eqd2_gy >= 0.0):
        raise InputError(f"previous_eqd2_gy is {previous_eqd2_gy}; a finite EQD2 >= 0 Gy is needed")
    chosen = rule_for(previous_eqd2_gy, months_ago, technique) if rule is None else rule
    limits = _limits(previous_eqd2_gy, technique, chosen)
    left, binding = min(limits, key=lambda pair: pair[0])
    if left <= 0.0:
        raise InputError(_used_up(previous_eqd2_gy, months_ago, chosen))
    dose = isoeffective_dose_gy(left, fractions, CORD_ALPHA_BETA_GY)
    return Budget(
        fractions=int(fractions),
        eqd2_gy=left,
        dose_gy=math.floor(100.0 * dose + 1e-6) / 100.0,
        previous_eqd2_gy=previous_eqd2_gy,
        rule=chosen,
        binding=binding,
        source=ONE_COURSE
        if chosen is Rule.ONE_COURSE
        else HYTEC_REIRRADIATION
        if technique is Technique.STEREOTACTIC
        else CONVENTIONAL_AGAIN,
    )


def budget_table(
    previous_eqd2_gy: float,
    fractions: Sequence[int] = tuple(range(1, 31)),
    *,
    months_ago: float | None = None,
    technique: Technique = Technique.STEREOTACTIC,
    rule: Rule | None = None,
) -> tuple[Budget, ...]:
    """:func:`remaining_budget` for each number of fractions; 1 to 30 unless others are asked for."""
    return tuple(
        remaining_budget(previous_eqd2_gy, n, months_ago=months_ago, technique=technique, rule=rule) for n in fractions
    )


def _limits(previous: float, technique: Technique, rule: Rule) -> list[tuple[float, str]]:
    share = (previous * MOST_SHARE / (1.0 - MOST_SHARE), f"at most {100 * MOST_SHARE:g} % of the cumulative dose")
    is_sbrt = technique is Technique.STEREOTACTIC
    if rule is Rule.ONE_COURSE:
        one = (CORD_EQD2_GY - previous, f"both courses together <= {CORD_EQD2_GY:g} Gy, as one")
        return [one, share] if is_sbrt and not _hardly_any(previous) else [one]
    limits = [(CUMULATIVE_EQD2_GY - previous, f"cumulative <= {CUMULATIVE_EQD2_GY:g} Gy")]
    if not is_sbrt:
        return [*limits, (NIEDER_COURSE_EQD2_GY, f"this course <= {NIEDER_COURSE_EQD2_GY:g} Gy")]
    return [*limits, (COURSE_EQD2_GY, f"this course <= {COURSE_EQD2_GY:g} Gy"), share]


def _used_up(previous: float, months_ago: float | None, rule: Rule) -> str:
    if rule is Rule.ONE_COURSE:
        when = "when it ended is not known, give months_ago: " if months_ago is None else ""
        if months_ago is not None and months_ago < LEAST_MONTHS:
            when = f"only {months_ago:g} months ago, less than {LEAST_MONTHS:g}: "
        why = f"{when}both courses together are held to the {CORD_EQD2_GY:g} Gy of one course"
        limit = CORD_EQD2_GY
    else:
        why, limit = "the cumulative limit of HyTEC", CUMULATIVE_EQD2_GY
    later = max(CUMULATIVE_EQD2_GY - previous, 0.0)
    text = (
        f"the cord's budget is used up: the previous course gave it EQD2 {previous:.1f} Gy (alpha/beta 2 Gy) of "
        f"{limit:g} Gy ({why}); {max(limit - previous, 0.0):.1f} Gy are left"
    )
    if rule is Rule.ONE_COURSE and later > 0:
        return f"{text}. From {LEAST_MONTHS:g} months on the conditions of HyTEC would leave " + (
            f"{min(later, COURSE_EQD2_GY):.1f} Gy; wait, or choose another treatment"
        )
    return f"{text}. Time does not give it back: choose another treatment"

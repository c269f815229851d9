"""Is conventional radiotherapy enough? The verdict of a comparison, from its numbers.

The thresholds that turn numbers into words are assumptions of rtsim and are printed with them (``RULE``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.evaluate.comparison import PatientComparison, SchemeResult, best
from rtsim.protocol import Technique

ENOUGH: Final = 0.85
"""Modelled control from which a course counts as enough [A]."""
TOO_LITTLE: Final = 0.70
"""Modelled control below which it never does [A]."""
SMALL_GAIN: Final = 0.10
"""Control gained by radiosurgery that is not worth its price [A]."""
RULE: Final = (
    "Rule for the words above [assumption of rtsim]; plans that break a hard limit have no voice in it. Conventional "
    "is enough where its dose is one given for durable control of such a tumor, the plan gives it, and its modelled "
    f"control is at least {100 * ENOUGH:.0f} %, or at least {100 * TOO_LITTLE:.0f} % while radiosurgery adds less than "
    f"{100 * SMALL_GAIN:.0f} points. It is not enough where it controls less than {100 * TOO_LITTLE:.0f} % and "
    f"radiosurgery adds {100 * SMALL_GAIN:.0f} points or more. Neither controls the tumor well where both stay below "
    f"{100 * ENOUGH:.0f} % and radiosurgery adds less than {100 * SMALL_GAIN:.0f} points. All else is a choice."
)


class Verdict(Enum):
    """What the numbers say of conventional radiotherapy beside radiosurgery."""

    CONVENTIONAL_IS_ENOUGH = "conventional radiotherapy is enough"
    RADIOSURGERY = "conventional radiotherapy is not enough"
    NEITHER = "neither controls the tumor well"
    A_CHOICE = "it is a choice"
    NOT_HELD = "no plan of a technique holds its hard limits"
    UNKNOWN = "no verdict"


BY_RULE: Final = (Verdict.CONVENTIONAL_IS_ENOUGH, Verdict.RADIOSURGERY, Verdict.NEITHER, Verdict.A_CHOICE)
"""Verdicts that ``RULE`` speaks of."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """The best plans of both techniques that hold their limits, and their modelled control, 0..1."""

    usual: SchemeResult
    steep: SchemeResult
    low: float
    high: float

    @property
    def points(self) -> int:
        """Gained by radiosurgery, of the rounded percents that are printed."""
        return percent(self.high) - percent(self.low)

    @property
    def numbers(self) -> str:
        """ "30/10 controls 52 %, 24/2 77 %"."""
        return (
            f"{self.usual.scheme.label} controls {percent(self.low)} %, {self.steep.scheme.label} "
            f"{percent(self.high)} %"
        )

    @property
    def verdict(self) -> Verdict:
        """By ``RULE``."""
        gain = self.high - self.low
        is_safe = self.low >= ENOUGH or (
            self.low >= TOO_LITTLE and gain < SMALL_GAIN and self.usual.adequacy is not None
        )
        if is_safe and self.usual.is_called_enough:
            return Verdict.CONVENTIONAL_IS_ENOUGH
        if gain < SMALL_GAIN and max(self.low, self.high) < ENOUGH:
            return Verdict.NEITHER
        return Verdict.RADIOSURGERY if self.low < TOO_LITTLE and gain >= SMALL_GAIN else Verdict.A_CHOICE


def control_of(patient: PatientComparison) -> Control | None:
    """None without both techniques, without a plan of each that holds its limits, or without a model of control."""
    usual, steep = (best(patient.of(t)) for t in (Technique.CONVENTIONAL, Technique.STEREOTACTIC))
    if usual is None or steep is None:
        return None
    low, high = usual.tumor.tcp_log_logistic, steep.tumor.tcp_log_logistic
    return None if low is None or high is None else Control(usual=usual, steep=steep, low=low, high=high)


def not_held(patient: PatientComparison) -> tuple[Technique, ...]:
    """Techniques that were tried and of which no plan holds its hard limits."""
    failed = {n.scheme.technique for n in patient.not_planned if n.limits_fail}
    return tuple(
        t
        for t in (Technique.CONVENTIONAL, Technique.STEREOTACTIC)
        if best(patient.of(t)) is None and (patient.of(t) or t in failed)
    )


def verdict(patient: PatientComparison) -> Verdict:
    """By modelled control of the best plan of each technique that holds its limits."""
    if not_held(patient):
        return Verdict.NOT_HELD
    found = control_of(patient)
    return Verdict.UNKNOWN if found is None else found.verdict


def headline(patient: PatientComparison) -> str:
    """One line: the verdict with its numbers."""
    broken = not_held(patient)
    if broken:
        named = " and no ".join(t.value for t in broken)
        return f"No {named} plan holds its hard limits{_left(patient)}"
    c = control_of(patient)
    if c is None:
        one = best(patient.results)
        return "" if one is None else f"Most for the tumor: {one.scheme.label}, EQD2 {one.tumor.d95_eqd2_gy:.0f} Gy"
    match c.verdict:
        case Verdict.RADIOSURGERY if c.high < TOO_LITTLE:
            return f"Conventional radiotherapy is not enough, and radiosurgery is better, not good: {c.numbers}"
        case Verdict.RADIOSURGERY:
            return f"Conventional radiotherapy is not enough: {c.numbers}"
        case Verdict.CONVENTIONAL_IS_ENOUGH:
            return f"Conventional radiotherapy is enough: {c.numbers}"
        case Verdict.NEITHER:
            return f"Neither controls it well: {c.numbers}; radiosurgery {_adds(c)}"
        case _:
            return f"It is a choice: {c.numbers}; radiosurgery {_adds(c)}{but_called(c)}"


def worth(patient: PatientComparison) -> str:
    """What the doses are worth, in a sentence; empty where there is nothing to compare."""
    c = control_of(patient)
    if c is None or not_held(patient):
        return ""
    low, high = percent(c.low), percent(c.high)
    rises = f"modelled control rises from {low} % to {high} %"
    against = f"modelled control is {low} % against {high} %"
    match c.verdict:
        case Verdict.RADIOSURGERY:
            return f"With that {rises}: {_because(c)}."
        case Verdict.CONVENTIONAL_IS_ENOUGH if high > low:
            return (
                f"With that {rises}, {c.points} points: conventional radiotherapy is enough, and radiosurgery has "
                f"little left to gain.{_already(patient, c.usual)}"
            )
        case Verdict.CONVENTIONAL_IS_ENOUGH:
            return f"{_capital(against)}: conventional radiotherapy is enough.{_already(patient, c.usual)}"
        case Verdict.NEITHER:
            return f"{_capital(against)}: neither controls it well, and radiosurgery {_adds(c)}."
        case _:
            return (
                f"{_capital(against)}; radiosurgery {_adds(c)}{but_called(c)}: a choice between control and effort "
                "that the numbers alone do not make."
            )


def but_called(c: Control) -> str:
    """Why a course that controls much is not called enough; empty where control says so itself."""
    if c.low < ENOUGH or c.usual.is_called_enough:
        return ""
    if c.usual.is_underdosed or c.usual.adequacy is None:
        return f", and the tumor is underdosed in {c.usual.scheme.label}"
    return f", and {c.usual.scheme.label} is {c.usual.adequacy.verdict.value}"


def percent(value: float | None) -> int:
    """Of a probability, as printed."""
    return round(100.0 * (value or 0.0))


def _left(patient: PatientComparison) -> str:
    """What the plans that are left do."""
    one = best(patient.results)
    if one is None:
        return ""
    if one.tumor.tcp_log_logistic is None:
        return f"; {one.scheme.label} gives the tumor EQD2 {one.tumor.d95_eqd2_gy:.0f} Gy"
    return f"; {one.scheme.label} controls {percent(one.tumor.tcp_log_logistic)} %"


def _adds(c: Control) -> str:
    if c.points > 0:
        return f"adds {c.points} point{'s' if c.points > 1 else ''}"
    return "adds nothing" if c.points == 0 else f"cannot, it controls {-c.points} points less"


IN_FIELD_PERCENT: Final = 95.0
"""Of the prescription: the cord that gets this much lies in the field (ICRU 50) [A]."""
SAME_EQD2: Final = 0.05
"""Doses of the cord within this share of each other are called the same [A]."""


def _because(c: Control) -> str:
    """Why radiosurgery controls more, as the doses of the cord have it."""
    before, after = c.usual.cord, c.steep.cord
    if before is None or after is None:
        return "this tumor needs the dose that only radiosurgery gives"
    where = after.structure.replace("_", " ").lower()
    if after.eqd2_gy > before.eqd2_gy * (1.0 + SAME_EQD2):
        return (
            f"this tumor needs the dose that radiosurgery gives, and the {where} pays for it: EQD2 "
            f"{after.eqd2_gy:.0f} Gy instead of {before.eqd2_gy:.0f} Gy"
        )
    if before.percent_of_prescription >= IN_FIELD_PERCENT > after.percent_of_prescription:
        return (
            f"this tumor gets radiosurgery because a dose that the {where} can take when it lies in the field does not "
            "control it"
        )
    return f"this tumor needs the dose that radiosurgery gives, and the {where} gets no more EQD2 by it"


def _already(patient: PatientComparison, usual: SchemeResult) -> str:
    """The weakest conventional course that is enough, where it is not the strongest."""
    enough = [
        r
        for r in patient.of(Technique.CONVENTIONAL)
        if (r.tumor.tcp_log_logistic or 0.0) >= ENOUGH and r.is_called_enough and r.report.hard_limits_held
    ]
    least = min(enough, key=lambda r: r.tumor.d95_eqd2_gy, default=usual)
    if least is usual:
        return ""
    return f" {least.scheme.label} controls {percent(least.tumor.tcp_log_logistic)} % already."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

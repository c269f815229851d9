"""What a comparison teaches, computed from its numbers: is conventional enough, and what does the cord pay.

The thresholds that turn numbers into words are assumptions of rtsim and are printed with them (``RULE``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.biology import SCHULTHEISS_CORD, lkb
from rtsim.evaluate.comparison import CordPays, Difference, PatientComparison, SchemeResult, TumorGets, best
from rtsim.evaluate.report import risk_text
from rtsim.protocol import Technique

ENOUGH: Final = 0.85
"""Modelled control from which a course counts as enough [A]."""
TOO_LITTLE: Final = 0.70
"""Modelled control below which it does not, if radiosurgery gains something [A]."""
SMALL_GAIN: Final = 0.10
"""Control gained by radiosurgery that is not worth its price [A]."""
RULE: Final = (
    f"Rule for the words above [assumption of rtsim]: conventional is enough where its modelled control is at least "
    f"{100 * ENOUGH:.0f} % or radiosurgery adds less than {100 * SMALL_GAIN:.0f} points; it is not enough where it "
    f"controls less than {100 * TOO_LITTLE:.0f} % and radiosurgery adds more; between these it is a choice."
)
_SAME: Final = 0.05
"""Doses of the cord within this share of each other are called the same."""
_LEAST_CHANGE_GY: Final = 0.05
"""Smaller differences of dose are not told apart."""
_LOSS: Final = 0.03
"""Control lost to a tumor not evenly covered that is worth a sentence."""

_BESIDE: Final = 0.6
"""The cold part lies beside the cord when it is nearer by this share than the tumor as a whole."""


class Verdict(Enum):
    """What the numbers say of conventional radiotherapy beside radiosurgery."""

    CONVENTIONAL_IS_ENOUGH = "conventional radiotherapy is enough"
    RADIOSURGERY = "conventional radiotherapy is not enough"
    A_CHOICE = "it is a choice"
    UNKNOWN = "no verdict"


def verdict(patient: PatientComparison) -> Verdict:
    """By modelled control of the best plan of each technique; UNKNOWN without both, or without a model."""
    usual, steep = (best(patient.of(t)) for t in (Technique.CONVENTIONAL, Technique.STEREOTACTIC))
    low = None if usual is None else usual.tumor.tcp_log_logistic
    high = None if steep is None else steep.tumor.tcp_log_logistic
    if low is None or high is None:
        return Verdict.UNKNOWN
    if low >= ENOUGH or high - low < SMALL_GAIN:
        return Verdict.CONVENTIONAL_IS_ENOUGH
    return Verdict.RADIOSURGERY if low < TOO_LITTLE else Verdict.A_CHOICE


def headline(patient: PatientComparison) -> str:
    """One line: the verdict with its numbers."""
    usual, steep = (best(patient.of(t)) for t in (Technique.CONVENTIONAL, Technique.STEREOTACTIC))
    found = verdict(patient)
    if found is Verdict.UNKNOWN or usual is None or steep is None:
        one = best(patient.results)
        return "" if one is None else f"Most for the tumor: {one.scheme.label}, EQD2 {one.tumor.d95_eqd2_gy:.0f} Gy"
    low, high = _percent(usual.tumor.tcp_log_logistic), _percent(steep.tumor.tcp_log_logistic)
    numbers = f"{usual.scheme.label} controls {low} %, {steep.scheme.label} {high} %"
    match found:
        case Verdict.RADIOSURGERY:
            return f"Conventional radiotherapy is not enough: {numbers}"
        case Verdict.CONVENTIONAL_IS_ENOUGH:
            return f"Conventional radiotherapy is enough: {numbers}"
        case _:
            return f"Radiosurgery gains {high - low} points, not all there is to gain: {numbers}"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """What is said about what: "the tumor", "the cord", ..."""

    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.about}: {self.text}"


def lesson(patient: PatientComparison) -> str:
    """One plain paragraph: what the tumor gets, what that is worth, what the cord pays for it."""
    return " ".join(str(s) for s in sentences(patient))


def sentences(patient: PatientComparison) -> tuple[Sentence, ...]:
    """The paragraph of ``lesson``, part by part."""
    usual, steep = (best(patient.of(t)) for t in (Technique.CONVENTIONAL, Technique.STEREOTACTIC))
    parts = [
        ("The tumor", _tumor_sentence(patient)),
        ("What it gets", f"{_gets(patient, usual, steep)} {_worth(patient, usual, steep)}".strip()),
    ]
    if usual is not None and steep is not None and usual.cord is not None and steep.cord is not None:
        parts.append((f"What the {_words(steep.cord.structure)} pays", _pays(usual, steep, usual.cord, steep.cord)))
    parts.append(("What the tumor pays", "" if steep is None else _price(steep)))
    parts.append(("What the bone pays", "" if steep is None else _bone(steep, patient.of(Technique.STEREOTACTIC))))
    parts += [("NOT ALLOWED AS IT IS", text) for text in _not_held(patient.results)]
    parts += [(f"No plan for {n.scheme.label}", _first_sentence(n.reason)) for n in patient.not_planned]
    return tuple(Sentence(about=about, text=text) for about, text in parts if text)


def caveats(patient: PatientComparison) -> tuple[str, ...]:
    """What the reader must know of the models, each once."""
    found = []
    if patient.histology is not None and patient.histology.tcp is not None:
        model = patient.histology.tcp.log_logistic
        found.append(
            f"Tumor control: durable control in the field, not relief of pain. Models of the tier with their own "
            f"alpha/beta of {model.alpha_beta_gy:g} Gy; {model.caveat}. Values marked * lie outside the doses of the "
            f"fit. Standing: {model.source.standing.label}."
        )
    if any(r.cord is not None and r.cord.risk_logistic is not None for r in patient.results):
        upper = lkb("spinal_cord").caveat
        found.append(f"Risk of myelopathy: the logistic is the central estimate; {SCHULTHEISS_CORD.caveat}. {upper}.")
        found.append(
            "The models of myelopathy disagree at high dose per fraction; the limit of the protocol is what a plan is "
            "held to, not these numbers."
        )
        warnings = {r.scheme.label: r.report.cord.risks.warning for r in patient.results if r.report.cord is not None}
        found += [f"{label}: {warning}." for label, warning in warnings.items() if warning]
    fractures = [r.report.fracture for r in patient.results if r.report.fracture is not None]
    found += [f"Vertebral fracture: {fractures[0].caveat}."] if fractures else []
    return (*found, RULE) if verdict(patient) is not Verdict.UNKNOWN else tuple(found)


def difference_lesson(found: Sequence[Difference]) -> str:
    """What matter alone does, and what planning anew does beside it; empty where the same beams were not computed."""
    parts = []
    for d in found:
        cord, tumor = d.cord_same_beams_gy, d.gtv_d95_same_beams_gy
        if cord is None or tumor is None:
            continue
        text = f"{d.scheme.label}: the same beams change the cord by {_change(cord)} and D95% of the tumor by "
        text += _change(tumor)
        if d.cord_gy is not None:
            text += f"; planned anew, by {_change(d.cord_gy)} and {_change(d.gtv_d95_gy)}"
        parts.append(f"{text}.")
    return " ".join(parts)


def _change(value_gy: float) -> str:
    return f"{value_gy:+.2f} Gy" if abs(value_gy) >= _LEAST_CHANGE_GY else f"less than {_LEAST_CHANGE_GY:g} Gy"


def _tumor_sentence(patient: PatientComparison) -> str:
    h = patient.histology
    if h is None:
        return (
            f"The histology is not given: EQD2 of the tumor with alpha/beta {patient.alpha_beta_gy:g} Gy, no control."
        )
    return (
        f"{h.title}: alpha/beta {h.alpha_beta_gy:g} Gy, {h.noms_class.value} to conventional radiotherapy "
        f"({h.classed_by})."
    )


def _gets(patient: PatientComparison, usual: SchemeResult | None, steep: SchemeResult | None) -> str:
    if usual is None or steep is None:
        one = best(patient.results)
        return "" if one is None else f"The {one.tumor.structure} gets most from {one.scheme.label}: {_dose_of(one)}."
    ratio = steep.tumor.d95_eqd2_gy / usual.tumor.d95_eqd2_gy
    return (
        f"The strongest conventional course, {usual.scheme.label}, gives 95 % of the {usual.tumor.structure} "
        f"{_dose_of(usual)}; {steep.scheme.label} gives {_dose_of(steep)}, {ratio:.1f} times as much."
    )


def _dose_of(result: SchemeResult) -> str:
    t = result.tumor
    return f"{t.d95_gy:.1f} Gy (EQD2 {t.d95_eqd2_gy:.0f} Gy)"


def _worth(patient: PatientComparison, usual: SchemeResult | None, steep: SchemeResult | None) -> str:
    found = verdict(patient)
    if found is Verdict.UNKNOWN or usual is None or steep is None:
        return ""
    low, high = _percent(usual.tumor.tcp_log_logistic), _percent(steep.tumor.tcp_log_logistic)
    control = f"modelled control rises from {low} % to {high} %"
    match found:
        case Verdict.RADIOSURGERY:
            return (
                f"With that {control}: this tumor gets radiosurgery because a dose that the cord can take when it lies "
                "in the field does not control it."
            )
        case Verdict.CONVENTIONAL_IS_ENOUGH if high > low:
            return (
                f"With that {control}, {high - low} points: conventional radiotherapy is enough, and radiosurgery "
                f"has little left to gain.{_already(patient, usual)}"
            )
        case Verdict.CONVENTIONAL_IS_ENOUGH:
            return (
                f"Modelled control is {low} % against {high} %: conventional radiotherapy is enough."
                f"{_already(patient, usual)}"
            )
        case _:
            return (
                f"With that {control}, {high - low} points: a choice between control and effort that the numbers alone "
                "do not make."
            )


def _already(patient: PatientComparison, usual: SchemeResult) -> str:
    """The weakest conventional course that is enough, where it is not the strongest."""
    enough = [r for r in patient.of(Technique.CONVENTIONAL) if (r.tumor.tcp_log_logistic or 0.0) >= ENOUGH]
    least = min(enough, key=lambda r: r.tumor.d95_eqd2_gy, default=usual)
    if least is usual:
        return ""
    return f" {least.scheme.label} controls {_percent(least.tumor.tcp_log_logistic)} % already."


def _pays(usual: SchemeResult, steep: SchemeResult, before: CordPays, after: CordPays) -> str:
    change = after.eqd2_gy / before.eqd2_gy - 1.0
    more = "the same" if abs(change) < _SAME else f"{100 * abs(change):.0f} % {'more' if change > 0 else 'less'}"
    text = (
        f"in {usual.scheme.label} it lies in the field and gets "
        f"{before.percent_of_prescription:.0f} % of the prescribed dose, EQD2 {before.eqd2_gy:.0f} Gy"
        f"{_of_limit(before)}; in {steep.scheme.label} the dose falls to {after.percent_of_prescription:.0f} % before "
        f"it, EQD2 {after.eqd2_gy:.0f} Gy{_of_limit(after)}, {more}"
    )
    if before.risk_logistic is None or after.risk_logistic is None:
        return f"{text}."
    risks = f"{risk_text(before.risk_logistic)} against {risk_text(after.risk_logistic)}"
    return f"{text}; risk of myelopathy {risks} (logistic)."


def _of_limit(cord: CordPays) -> str:
    limit = cord.limit
    if limit is None:
        return ""
    return f" (margin {limit.margin_gy:.1f} Gy of {limit.limit_gy:g})"


def _price(result: SchemeResult) -> str:
    """What the limit of the cord costs the tumor."""
    t, target, rx = result.tumor, result.report.target, result.report.prescription
    said = []
    if t.tcp_prescribed is not None and t.tcp_log_logistic is not None:
        lost = t.tcp_prescribed - t.tcp_log_logistic
        if lost > _LOSS:
            said.append(
                f"{rx.dose_gy:g} Gy to every point would control {_percent(t.tcp_prescribed)} %: "
                f"{_percent(lost)} points are lost to its coldest parts (2 % get less than {t.d98_gy:.1f} Gy)"
                f"{_where(t)}"
            )
    if target.coverage_percent < rx.coverage_percent - 0.1:
        said.append(
            f"only {target.coverage_percent:.0f} % of the {target.name} get the prescribed dose, where "
            f"{rx.coverage_percent:g} % are wanted"
        )
    return f"{'; '.join(said)}." if said else ""


def _bone(steep: SchemeResult, others: Sequence[SchemeResult]) -> str:
    """Vertebral fractures: a share of a series, not a probability."""
    risk = steep.report.fracture
    if risk is None:
        return ""
    text = f"of the vertebrae that got {risk.band} (as {steep.scheme.label}) {risk.band_percent:.0f} % fractured"
    less = [r for r in others if r.report.fracture is not None and r.report.fracture.band_percent < risk.band_percent]
    if less and less[-1].report.fracture is not None:
        text += f", of those treated as {less[-1].scheme.label} {less[-1].report.fracture.band_percent:.0f} %"
    return f"{text} [{risk.band_source.standing.label}]."


def _where(tumor: TumorGets) -> str:
    if tumor.cold_mm is None or tumor.median_mm is None or tumor.cold_mm > _BESIDE * tumor.median_mm:
        return ""
    return (
        f", which lie beside the cord ({tumor.cold_mm:.0f} mm from it, the tumor as a whole {tumor.median_mm:.0f} mm)"
    )


def _not_held(results: Sequence[SchemeResult]) -> list[str]:
    broken = [r for r in results if not r.report.hard_limits_held]
    return [f"{r.scheme.label}. {r.report.headline}" for r in broken]


def _percent(value: float | None) -> int:
    return round(100.0 * (value or 0.0))


def _words(structure: str) -> str:
    return structure.replace("_", " ").lower()


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "."

"""What a comparison teaches, computed from its numbers: what the tumor gets, and what cord and bone pay.

The verdict on both techniques: :mod:`rtsim.evaluate.comparison_verdict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rtsim.biology import SCHULTHEISS_CORD, lkb
from rtsim.evaluate.comparison import CordPays, Difference, PatientComparison, SchemeResult, TumorGets, best
from rtsim.evaluate.comparison_verdict import BY_RULE, IN_FIELD_PERCENT, RULE, SAME_EQD2, percent, verdict, worth
from rtsim.evaluate.earlier_course import NO_RECOVERY
from rtsim.evaluate.report import risk_text
from rtsim.protocol import Technique

_LEAST_CHANGE_GY: Final = 0.05
"""Smaller differences of dose are not told apart."""
_LOSS: Final = 0.03
"""Control lost to a tumor not evenly covered that is worth a sentence."""

_BESIDE: Final = 0.6
"""The cold part lies beside the cord when it is nearer by this share than the tumor as a whole."""


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
        ("What it gets", f"{_gets(patient, usual, steep)} {worth(patient)}".strip()),
    ]
    if usual is not None and steep is not None and usual.cord is not None and steep.cord is not None:
        parts.append((f"What the {_words(steep.cord.structure)} pays", _pays(usual, steep, usual.cord, steep.cord)))
    parts.append(("What the tumor pays", "" if steep is None else _price(steep)))
    parts.append(("What the bone pays", "" if steep is None else _bone(steep, patient.of(Technique.STEREOTACTIC))))
    parts += [(f"After the earlier course, {r.scheme.label}", r.earlier.headline) for r in patient.results if r.earlier]
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
    return (*found, RULE) if verdict(patient) in BY_RULE else tuple(found)


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


def _pays(usual: SchemeResult, steep: SchemeResult, before: CordPays, after: CordPays) -> str:
    text = (
        f"in {usual.scheme.label} it {_share(before)}, EQD2 {before.eqd2_gy:.0f} Gy{_of_limit(before)}; in "
        f"{steep.scheme.label} {_share_after(before, after)}, EQD2 {after.eqd2_gy:.0f} Gy{_of_limit(after)}"
        f"{_more(before, after)}"
    )
    risks = before.risk_to_weigh, after.risk_to_weigh
    if risks[0] is None or risks[1] is None:
        return f"{text}."
    said = f"{risk_text(risks[0])} against {risk_text(risks[1])}"
    if before.both is None or after.both is None:
        return f"{text}; risk of myelopathy {said} (logistic)."
    return (
        f"{text}; with the earlier course EQD2 {before.both.eqd2_text} against {after.both.eqd2_text}, and for both "
        f"courses a risk of myelopathy of {said} (logistic; {NO_RECOVERY})."
    )


def _share(cord: CordPays) -> str:
    """Where it lies, by the share of the dose that it gets."""
    gets = f"gets {cord.percent_of_prescription:.0f} % of the prescribed dose"
    return f"lies in the field and {gets}" if cord.percent_of_prescription >= IN_FIELD_PERCENT else gets


def _share_after(before: CordPays, after: CordPays) -> str:
    """The dose falls off before the cord only where that gets less of it, and clearly less than all."""
    falls = after.percent_of_prescription < min(IN_FIELD_PERCENT, before.percent_of_prescription)
    if falls:
        return f"the dose falls to {after.percent_of_prescription:.0f} % before it"
    return f"it {_share(after)}"


def _more(before: CordPays, after: CordPays) -> str:
    if before.eqd2_gy <= 0.0:
        return ""
    change = after.eqd2_gy / before.eqd2_gy - 1.0
    if abs(change) < SAME_EQD2:
        return ", the same"
    return f", {100 * abs(change):.0f} % {'more' if change > 0 else 'less'}"


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
                f"{rx.dose_gy:g} Gy to every point would control {percent(t.tcp_prescribed)} %: "
                f"{percent(lost)} points are lost to its coldest parts (2 % get less than {t.d98_gy:.1f} Gy)"
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


def _words(structure: str) -> str:
    return structure.replace("_", " ").lower()


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "."

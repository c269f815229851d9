"""What a dose does to the tumor, to the cord and to the vertebra: as data and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtsim.biology import Adequacy, AdequacyVerdict, CordRisks, FractureRisk, Histology
from rtsim.biology.cord import risk_text
from rtsim.evaluate.earlier_course import EarlierCourse
from rtsim.protocol import Source
from rtsim.protocol.nomenclature import canonical

_GIVEN: Final = 0.95
"""Share of a dose at which it counts as given."""


@dataclass(frozen=True, kw_only=True)
class TumorEffect:
    """Isoeffective doses of the prescription and of D95% of ``structure``, and its control probability (0..1).

    Attributes:
        adequacy: whether the prescription is enough for this tumor.
        reached: the same of D95% of ``structure``, which is what the tumor gets; None where that is no dose.
    """

    histology: Histology
    structure: str
    prescription_bed_gy: float
    prescription_eqd2_gy: float
    d95_bed_gy: float
    d95_eqd2_gy: float
    tcp_log_logistic: float | None
    tcp_poisson: float | None
    adequacy: Adequacy
    reached: Adequacy | None

    @property
    def verdict_sentences(self) -> tuple[str, ...]:
        """Is the dose enough for the tumor; and does the tumor get it?"""
        out = [f"{_capital(str(self.adequacy))}."]
        got = self.reached
        if self.is_underdosed and got is None:
            out.append(f"TOO WEAK as planned: 5 % or more of {self.structure} get no dose.")
        elif self.is_underdosed and got is not None and got.least is not None:
            out.append(
                f"TOO WEAK as planned: D95% of {self.structure} is {got.dose_gy:.2f} Gy in {got.fractions} (EQD2 "
                f"{got.eqd2_gy:.1f} Gy), less than 95 % of {got.least_dose_gy:.2f} Gy, which has the effect of the "
                f"least dose for durable control ({got.least.label}, EQD2 {got.least_eqd2_gy:.1f} Gy)."
            )
        return (*out, *(f"{caution}." for caution in self.adequacy.cautions))

    @property
    def is_too_weak(self) -> bool:
        """True when more than palliation is meant, and the prescription or D95% is less than the tumor needs."""
        if self.adequacy.verdict in (AdequacyVerdict.TOO_WEAK, AdequacyVerdict.NO_ROLE):
            return True
        return self.is_underdosed

    @property
    def is_underdosed(self) -> bool:
        """True when the prescription is enough, and D95% is less than 95 % of the least dose.

        A dose counts as given where the target gets 95 % of it (ICRU 50/62).
        """
        if not self.adequacy.is_enough or self.adequacy.least_dose_gy is None:
            return False
        return self.reached is None or self.reached.dose_gy < _GIVEN * self.adequacy.least_dose_gy

    @property
    def headline(self) -> str:
        """One line for the head of a report; empty when the dose is enough or only meant to relieve."""
        if not self.is_too_weak:
            return ""
        judged, what = self.adequacy, "Prescription"
        if self.is_underdosed and self.reached is None:
            return f"TOO WEAK for {self.histology.title}: 5 % or more of {self.structure} get no dose."
        if self.is_underdosed and self.reached is not None:
            judged, what = self.reached, f"D95% of {self.structure}"
        if judged.least is None or judged.least_eqd2_gy is None:
            return f"NO PLACE FOR RADIOTHERAPY in {self.histology.title}."
        return (
            f"{what} TOO WEAK for {self.histology.title}: EQD2 {judged.eqd2_gy:.1f} Gy; at least "
            f"{judged.least_eqd2_gy:.1f} Gy ({judged.least.label}) is given for durable control."
        )

    @property
    def record(self) -> dict[str, object]:
        """Plain values for the result archive."""
        a = self.adequacy
        return {
            "histology": self.histology.name,
            "noms_class": self.histology.noms_class.value,
            "stated_class": self.histology.stated_class.value,
            "class_source": str(self.histology.source),
            "d95_eqd2_gy": self.d95_eqd2_gy,
            "tcp_log_logistic": self.tcp_log_logistic,
            "tcp_poisson": self.tcp_poisson,
            "is_too_weak": self.is_too_weak,
            "is_underdosed": self.is_underdosed,
            "adequacy": {
                "verdict": a.verdict.value,
                "reason": a.reason,
                "eqd2_gy": a.eqd2_gy,
                "alpha_beta_gy": a.alpha_beta_gy,
                "least": None if a.least is None else a.least.label,
                "least_eqd2_gy": a.least_eqd2_gy,
                "control_probability": a.control_probability,
                "control_source": None if a.control_source is None else str(a.control_source),
                "source": str(a.source),
                "cautions": list(a.cautions),
            },
            "reached": None if self.reached is None else self.reached.verdict.value,
        }

    @property
    def class_sentence(self) -> str:
        """The class in both schemes, with standings; the second only where the founding text names the tumor."""
        h = self.histology
        text = f"{h.title}: {h.noms_class.value} ({h.classed_by} [{h.source.standing.label}])"
        if h.stated_label:
            text += f", '{h.stated_label}' in the text that rtsim was founded on [{h.stated_source.standing.label}]"
        low, high = h.alpha_beta_range_gy
        span = f", {low:g}-{high:g} Gy in the literature" if high > low else ""
        return f"{text}; alpha/beta {h.alpha_beta_gy:g} Gy{span} [{h.alpha_beta_source.standing.label}]"

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of the class, of alpha/beta, of the least dose, of the model of control, each once."""
        h = self.histology
        stated = (h.stated_source,) if h.stated_label else ()
        control = () if self.adequacy.control_source is None else (self.adequacy.control_source,)
        return tuple(dict.fromkeys((h.source, *stated, h.alpha_beta_source, self.adequacy.source, *control)))


@dataclass(frozen=True, kw_only=True)
class CordEffect:
    """Near-maximum dose (D0.035cc) of the cord, its EQD2, and the probability of myelopathy (0..1) by two models.

    Attributes:
        ntcp_lkb: on the dose distribution in the cord.
        risks: what all models make of the near-maximum dose, with a warning where they disagree.
        earlier: an earlier course, and what both add up to; every other number here is of this course alone.
    """

    structure: str
    near_max_gy: float
    eqd2_gy: float
    bed_gy: float
    alpha_beta_gy: float
    ntcp_logistic: float
    ntcp_lkb: float
    logistic_source: Source
    lkb_source: Source
    risks: CordRisks
    earlier: EarlierCourse | None = None

    @property
    def risk_words(self) -> str:
        """Both risks of this course; LKB is known to overestimate, so that it bounds the other where it lies above."""
        bound = ", at most {} (LKB, upper estimate)" if self.ntcp_lkb >= self.ntcp_logistic else ", {} (LKB)"
        return f"{risk_text(self.ntcp_logistic)} (logistic){bound.format(risk_text(self.ntcp_lkb))}"

    @property
    def risk_rows(self) -> tuple[tuple[str, str], ...]:
        """What is at risk, and how much: after an earlier course that of both first, then this course alone."""
        if self.earlier is None:
            return (("risk of myelopathy", self.risk_words),)
        return (
            ("risk of myelopathy, both courses", self.earlier.risk_words(self.structure)),
            ("risk of myelopathy, this course alone", self.risk_words),
        )

    @property
    def stand_in(self) -> str:
        """A sentence where the structure is not the cord itself; empty where it is."""
        if canonical(self.structure) == "spinal_cord":
            return ""
        return f"No cord is drawn: {self.structure} stands for it, and the models are those of the cord"

    @property
    def record(self) -> dict[str, object]:
        """Plain values for the result archive."""
        return {
            "structure": self.structure,
            "near_max_gy": self.near_max_gy,
            "eqd2_gy": self.eqd2_gy,
            "ntcp_logistic": self.ntcp_logistic,
            "ntcp_lkb": self.ntcp_lkb,
            "hytec_limit_gy": self.risks.limit_gy,
            "models": [
                {"model": m.model, "probability": m.probability, "source": str(m.source), "caveat": m.caveat}
                for m in self.risks.models
            ],
            "warning": self.risks.warning,
            "earlier": None if self.earlier is None else self.earlier.record(self.structure),
        }


def tumor_lines(tumor: TumorEffect) -> list[str]:
    """For the terminal."""
    t = tumor
    lines = [
        t.class_sentence,
        f"Prescription BED {t.prescription_bed_gy:.1f}, EQD2 {t.prescription_eqd2_gy:.1f} Gy; {t.structure} D95% EQD2 "
        f"{t.d95_eqd2_gy:.1f} Gy (alpha/beta {t.histology.alpha_beta_gy:g} Gy)",
    ]
    if t.tcp_log_logistic is not None and t.tcp_poisson is not None and t.histology.tcp is not None:
        model = t.histology.tcp.log_logistic
        lines.append(
            f"TCP of the {t.structure} as delivered, voxel by voxel: {100 * t.tcp_log_logistic:.0f} % (log-logistic), "
            f"{100 * t.tcp_poisson:.0f} % (Poisson); "
            f"{model.source.standing.label}; {model.caveat}"
        )
    return [*lines, *t.verdict_sentences, f"Class: {t.histology.source}. Dose: {t.adequacy.source}."]


def cord_lines(cord: CordEffect) -> list[str]:
    """For the terminal."""
    c = cord
    risks = [f"{what} {risk}" for what, risk in c.risk_rows]
    lines = [
        f"{c.structure}: D0.035cc {c.near_max_gy:.2f} Gy = EQD2 {c.eqd2_gy:.1f} Gy (alpha/beta "
        f"{c.alpha_beta_gy:g} Gy); {risks[0]}",
        *(f"{risk[:1].upper()}{risk[1:]}." for risk in risks[1:]),
    ]
    return [*lines, *(f"{text}." for text in (c.stand_in, c.risks.warning) if text)]


def fracture_lines(risk: FractureRisk) -> list[str]:
    """For the terminal."""
    return [f"{sentence}." for sentence in risk.sentences]


def fracture_record(risk: FractureRisk) -> dict[str, object]:
    """Plain values for the result archive."""
    return {
        "band": risk.band,
        "band_percent": risk.band_percent,
        "band_source": str(risk.band_source),
        "factors": {f.name: f.hazard_ratio for f in risk.factors},
        "unknown": list(risk.unknown),
        "relative_hazard": risk.relative_hazard,
        "source": str(risk.source),
        "ptv_v15_cm3": risk.v15_cm3,
        "v15_percent": risk.v15_percent,
        "v15_source": str(risk.v15_source),
        "caveat": risk.caveat,
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

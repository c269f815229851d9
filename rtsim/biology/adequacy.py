"""Is a dose enough for this tumor? By the least dose that is given for durable control of its class."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.biology._checks import fraction_count, positive
from rtsim.biology.isoeffect import isoeffective_dose_gy
from rtsim.biology.lq import eqd2_gy
from rtsim.biology.radiosensitivity import Histology, NomsClass
from rtsim.biology.schedule import Intent, Schedule
from rtsim.sources import Source, Standing

PALLIATIVE_SINGLE_GY: Final = 10.0
"""A single fraction up to this dose is given for pain, whatever the tumor; assumption of rtsim (8 Gy is given)."""

FRACTURE_GY: Final = 20.0
"""Dose per fraction from which vertebral fractures are frequent."""

FRACTURE_SOURCE: Final = Source(
    citation="Sahgal et al. 2013, J Clin Oncol 31:3426: caution at 20 Gy or more per fraction (the greatest "
    "risk from 24 Gy)",
    standing=Standing.VERIFIED,
)
_MOST_STEREOTACTIC_FRACTIONS: Final = 5
_FITTED_EQD2_GY: Final = (50.0, 90.0)
"""Points of HyTEC, from 27 Gy in 3 to 24 Gy in 1, at alpha/beta 6 Gy."""


class AdequacyVerdict(Enum):
    """What a dose is good for."""

    ADEQUATE = "adequate"
    PALLIATIVE = "palliative by intent"
    TOO_WEAK = "TOO WEAK for its class"
    NO_ROLE = "no place for radiotherapy"


@dataclass(frozen=True, kw_only=True)
class Adequacy:
    """Whether a dose is enough for a tumor, and why.

    Attributes:
        reason: one or two sentences.
        dose_gy, fractions: what was judged.
        eqd2_gy: of it, at ``alpha_beta_gy``, that of the model of control (the tumor's own for benign ones).
        least: the least dose that is given for durable control; None where there is none.
        least_eqd2_gy: of it.
        control_probability: 0..1 at 2 years by the log-logistic model of the tier, None for benign tumors.
        control_source: of the model; its caveat is part of it in ``control_caveat``.
        source: of the least dose, or of the class where no dose is offered.
        cautions: what else the reader must know, each with its source.
    """

    verdict: AdequacyVerdict
    reason: str
    dose_gy: float
    fractions: int
    eqd2_gy: float
    alpha_beta_gy: float
    least: Schedule | None
    least_eqd2_gy: float | None
    control_probability: float | None
    control_source: Source | None
    control_caveat: str
    source: Source
    cautions: tuple[str, ...] = ()

    @property
    def is_enough(self) -> bool:
        """True for a dose that is given for durable control."""
        return self.verdict is AdequacyVerdict.ADEQUATE

    @property
    def least_dose_gy(self) -> float | None:
        """Total dose in as many fractions as were judged that has the effect of the least one, Gy."""
        if self.least_eqd2_gy is None:
            return None
        return isoeffective_dose_gy(self.least_eqd2_gy, self.fractions, self.alpha_beta_gy)

    def __str__(self) -> str:
        model = "" if self.control_source is None else f"; model: {self.control_source.standing.label}"
        return f"{self.verdict.value}: {self.reason} [least dose: {self.source.standing.label}{model}]"


def adequacy(histology: Histology, dose_gy: float, fractions: int) -> Adequacy:
    """Hold a total dose in Gy, in equal fractions, against the least dose that is given for control of the tumor.

    Doses are compared as EQD2 at the alpha/beta of the tier's model of control, because a tumor's own alpha/beta is far
    less certain than the pooled one. Benign tumors have no model: a few large fractions are held against their
    stereotactic doses, many small ones against their conventional doses. Too much is not judged here, but for the
    fractures that follow 20 Gy or more per fraction.

    Raises:
        InputError: a dose or a number of fractions that is not positive.
    """
    dose, n = positive("dose_gy", dose_gy, "Gy"), int(fraction_count(fractions))
    models = histology.tcp
    ratio = histology.alpha_beta_gy if models is None else models.log_logistic.alpha_beta_gy
    reached = float(eqd2_gy(dose, n, ratio))
    least = _least(histology, n, ratio)
    verdict = _verdict(histology, dose, n, reached, None if least is None else least.eqd2_gy(ratio))
    control = None if models is None else models.log_logistic.uniform(dose, n)
    return Adequacy(
        verdict=verdict,
        reason=_reason(histology, verdict, _said(dose, n), reached, ratio, least, control, _is_in_fit(dose, n)),
        dose_gy=dose,
        fractions=n,
        eqd2_gy=reached,
        alpha_beta_gy=ratio,
        least=least,
        least_eqd2_gy=None if least is None else least.eqd2_gy(ratio),
        control_probability=control,
        control_source=None if models is None else models.log_logistic.source,
        control_caveat="" if models is None else models.log_logistic.caveat,
        source=_source(histology, least),
        cautions=_cautions(dose / n),
    )


def _least(histology: Histology, fractions: int, ratio: float) -> Schedule | None:
    offered = histology.schedules_for(Intent.CONTROL)
    if histology.tcp is None:
        few = fractions <= _MOST_STEREOTACTIC_FRACTIONS
        alike = [s for s in offered if (s.fractions <= _MOST_STEREOTACTIC_FRACTIONS) is few]
        offered = tuple(alike) or offered
    return min(offered, key=lambda s: s.eqd2_gy(ratio), default=None)


def _verdict(
    histology: Histology, dose_gy: float, fractions: int, reached: float, least_eqd2: float | None
) -> AdequacyVerdict:
    if least_eqd2 is None:
        return AdequacyVerdict.NO_ROLE
    if reached >= least_eqd2 * (1.0 - 1e-9):
        return AdequacyVerdict.ADEQUATE
    if histology.is_benign:
        return AdequacyVerdict.TOO_WEAK
    if fractions == 1 and dose_gy <= PALLIATIVE_SINGLE_GY:
        return AdequacyVerdict.PALLIATIVE
    if histology.noms_class is NomsClass.RESISTANT:
        return AdequacyVerdict.TOO_WEAK
    palliative = histology.schedules_for(Intent.PALLIATION)
    is_offered = any(s.fractions == fractions and abs(s.dose_gy - dose_gy) < 0.05 for s in palliative)
    return AdequacyVerdict.PALLIATIVE if is_offered else AdequacyVerdict.TOO_WEAK


def _reason(
    histology: Histology,
    verdict: AdequacyVerdict,
    given: str,
    reached: float,
    ratio: float,
    least: Schedule | None,
    control: float | None,
    in_fit: bool,
) -> str:
    tumor = f"{histology.title} ({_class(histology)})"
    if least is None:
        return f"{tumor} is treated by {histology.stated_label}; no dose is accepted for it"
    whose = "" if ratio == histology.alpha_beta_gy else ", that of the model of control"
    effect = f"{given} is EQD2 {reached:.1f} Gy (alpha/beta {ratio:g} Gy{whose})"
    joined = {
        AdequacyVerdict.ADEQUATE: ", and ",
        AdequacyVerdict.PALLIATIVE: ": it relieves symptoms, but does not control the tumor for long; ",
    }.get(verdict, ", but ")
    against = f"the least that is given for durable control is {least.label} (EQD2 {least.eqd2_gy(ratio):.1f} Gy)"
    model = ""
    if control is not None:
        model = f". Control at 2 years by the model of its tier, if all of the tumor gets that: {100 * control:.0f} %"
        model += "" if in_fit else " (extrapolated)"
    return f"{tumor}: {effect}{joined}{against}{model}"


def _class(histology: Histology) -> str:
    return "benign" if histology.is_benign else f"NOMS: {histology.noms_class.value}"


def _source(histology: Histology, least: Schedule | None) -> Source:
    """The least dose is rtsim's choice among the doses that are given."""
    if least is None:
        return histology.source
    which = f"the least of the offered doses, {least.label}, from {least.source.citation}"
    return Source(citation=which, standing=Standing.ASSUMPTION)


def _said(dose_gy: float, fractions: int) -> str:
    return f"{dose_gy:.4g} Gy in {fractions}"


def _is_in_fit(dose_gy: float, fractions: int) -> bool:
    """Whether the models of control were fitted to doses like this one."""
    least, most = _FITTED_EQD2_GY
    return fractions <= _MOST_STEREOTACTIC_FRACTIONS and least <= eqd2_gy(dose_gy, fractions, 6.0) <= most


def _cautions(per_fraction_gy: float) -> tuple[str, ...]:
    if per_fraction_gy < FRACTURE_GY * (1.0 - 1e-9):
        return ()
    return (f"{per_fraction_gy:g} Gy per fraction: vertebral fractures are frequent. {FRACTURE_SOURCE}",)

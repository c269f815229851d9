"""Advise: measure what the structures show, take what is given, ask NOMS, and say why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rtsim.biology import Histology, NomsClass
from rtsim.biology import histology as histology_called
from rtsim.biology.radiosensitivity import Kind, StatedClass
from rtsim.biology.schedule import Intent
from rtsim.clinic import escc
from rtsim.clinic.advice import Advice, Decision, Reason, Scheme
from rtsim.clinic.escc_grade import EsccMeasurement
from rtsim.clinic.findings import Findings, Stability
from rtsim.clinic.noms_table import LAUFER, NomsAnswer, noms
from rtsim.clinic.offers import dose_warnings, offers
from rtsim.clinic.sins_score import Sins
from rtsim.clinic.sins_total import sins
from rtsim.clinic.warn import FOUNDING, RTSIM, assumed, warnings_of
from rtsim.errors import InputError, unknown_name
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine.spec import Compartment

SHORT_SURVIVAL_MONTHS: Final = 3.0
LATE_PARALYSIS_HOURS: Final = 24.0
_INTRADURAL: Final = (Compartment.INTRADURAL_EXTRAMEDULLARY, Compartment.INTRAMEDULLARY)
_PRIMARY: Final = (Kind.PRIMARY_MALIGNANT, Kind.PRIMARY_CORD, Kind.PRIMARY_BENIGN)


def advise(
    phantom: Phantom,
    histology: str | Histology,
    *,
    findings: Findings | None = None,
    scheme: Scheme | str = Scheme.NOMS,
    level: str | None = None,
    tumor: Sequence[str] = (),
) -> Advice:
    """Which treatment, for a patient as drawn and as described. It teaches; it does not treat.

    Args:
        histology: by name ('renal', see ``rtsim.biology.histology_names``) or itself.
        findings: what is known beside the images; what is not given is assumed, and the answer says so.
        scheme: whose classes of radiosensitivity decide: 'noms', or 'stated' (the founding text's; where that does
            not rank the tumor, NOMS does, and the answer says so).
        level: of the lesion ('T8'); None finds it.
        tumor: names of the structures that make up the tumor, where several GTVs are drawn.

    Raises:
        InputError: an unknown histology, scheme or level (each with the nearest), several GTVs and none named.
    """
    kind = histology_called(histology) if isinstance(histology, str) else histology
    said, by = findings or Findings(), _scheme(scheme)
    compartment = said.compartment or Compartment(kind.compartment)
    grade = _graded(phantom, said, compartment, tumor)
    score = _scored(phantom, said, compartment, level, tumor)
    if kind.kind in _PRIMARY or compartment in _INTRADURAL:
        decision, reasons = _outside(kind, compartment)
    else:
        assert grade is not None
        answer = _asked(kind, by, said, grade, score)
        decision, reasons = answer.decision, answer.reasons
    schedules = offers(kind, decision, said)
    return Advice(
        patient=phantom.name,
        histology=kind,
        scheme=by,
        findings=said,
        compartment=compartment,
        decision=decision,
        reasons=reasons,
        sins=score,
        escc=grade,
        schedules=schedules,
        warnings=(
            *warnings_of(kind, by, said, compartment, decision, grade, score),
            *dose_warnings(kind, by, decision, schedules),
        ),
        assumed=assumed(said, score, compartment),
    )


def _scheme(scheme: Scheme | str) -> Scheme:
    if isinstance(scheme, Scheme):
        return scheme
    known = {s.value: s for s in Scheme}
    if scheme not in known:
        raise InputError(unknown_name("scheme of radiosensitivity", str(scheme), known))
    return known[scheme]


def _graded(phantom: Phantom, said: Findings, compartment: Compartment, tumor: Sequence[str]) -> EsccMeasurement | None:
    """The grade that is given, else the measured one; None for tumors within the dura."""
    if compartment in _INTRADURAL:
        return None
    if said.escc is not None:
        return EsccMeasurement(possible=(said.escc,), given=True, reasons=("given, as read from MRI",))
    return escc.measure(phantom, tumor=tumor)


def _scored(
    phantom: Phantom, said: Findings, compartment: Compartment, level: str | None, tumor: Sequence[str]
) -> Sins | None:
    """SINS; None for tumors within the dura, which leave bone alone, and where no level is to be found."""
    if compartment in _INTRADURAL:
        return None
    try:
        return sins(phantom, said, level=level, tumor=tumor)
    except InputError:
        if level is not None or tumor:
            raise
        return None


def _outside(kind: Histology, compartment: Compartment) -> tuple[Decision, tuple[Reason, ...]]:
    why = (
        f"{kind.title} ({kind.kind.value})" if kind.kind in _PRIMARY else f"{compartment.value.replace('_', ' ')} tumor"
    )
    reasons = [Reason(text=f"{why}: NOMS is made for metastases of the bony spine, and does not answer", source=LAUFER)]
    if kind.stated_label:
        reasons.append(Reason(text=f"treatment as the founding text has it: {kind.stated_label}", source=FOUNDING))
    if kind.note:
        usual = kind.schedules_for(Intent.CONTROL)
        reasons.append(Reason(text=kind.note, source=usual[0].source if usual else RTSIM))
    return (Decision.OUTSIDE_NOMS if kind.schedules else Decision.NO_RADIOTHERAPY), tuple(reasons)


def _asked(kind: Histology, by: Scheme, said: Findings, grade: EsccMeasurement, score: Sins | None) -> NomsAnswer:
    """NOMS by its four letters, each with its reason."""
    is_sensitive, oncologic = is_sensitive_by(kind, by, said)
    unstable, mechanical = _stability(said, score)
    fit, systemic = _fitness(said)
    answer = noms(high_grade=grade.is_high, sensitive=is_sensitive, unstable=unstable, fit_for_surgery=fit)
    neurologic = Reason(letter="N", text=str(grade), source=grade.source)
    return NomsAnswer(decision=answer.decision, reasons=(neurologic, *oncologic, mechanical, systemic, *answer.reasons))


def is_sensitive_by(kind: Histology, by: Scheme, said: Findings) -> tuple[bool, tuple[Reason, ...]]:
    """Whether conventional doses are held to control the tumor, in one scheme, and why.

    What grew again where it was irradiated counts as resistant, whatever its class.
    """
    is_sensitive, reason = _class_by(kind, by)
    if not said.previous_radiotherapy:
        return is_sensitive, (reason,)
    return False, (reason, _GREW_AGAIN)


_GREW_AGAIN: Final = Reason(
    letter="O",
    text="irradiated before: a tumor that grew again after radiotherapy counts as resistant to conventional doses, "
    "whatever its class",
    source=LAUFER,
)


def _class_by(kind: Histology, by: Scheme) -> tuple[bool, Reason]:
    stated = kind.stated_class
    if by is Scheme.STATED and stated is not StatedClass.NOT_STATED:
        text = f"{kind.title}: {stated.value} (founding text)"
        reason = Reason(letter="O", text=text, source=kind.stated_source)
        return stated is StatedClass.MODERATE, reason
    text = f"{kind.title}: {kind.noms_class.value} ({kind.classed_by})"
    if by is Scheme.STATED:
        text += "; the founding text does not rank it"
    if kind.noms_class is NomsClass.INTERMEDIATE:
        text += "; the table knows two classes, and intermediate counts as sensitive"
    return kind.noms_class.responds_to_conventional, Reason(letter="O", text=text, source=kind.source)


def _stability(said: Findings, score: Sins | None) -> tuple[bool, Reason]:
    if said.stability is not None:
        text = f"{said.stability.value}, as judged by a surgeon"
        return said.stability is Stability.UNSTABLE, Reason(letter="M", text=text, source=LAUFER)
    if score is None:
        text = "the level is not known, so SINS is not scored; stable is assumed"
        return False, Reason(letter="M", text=text, source=RTSIM)
    text = str(score)
    if score.stability is Stability.POTENTIALLY_UNSTABLE:
        text += "; the table has stable and unstable only: until a surgeon says otherwise, stable"
    return score.stability is Stability.UNSTABLE, Reason(letter="M", text=text, source=score.source)


def _fitness(said: Findings) -> tuple[bool, Reason]:
    if said.fit_for_surgery is not None:
        return said.fit_for_surgery, Reason(
            letter="S", text=f"{'fit' if said.fit_for_surgery else 'not fit'} for surgery, as given", source=LAUFER
        )
    if said.survival_months is not None and said.survival_months < SHORT_SURVIVAL_MONTHS:
        text = f"expected survival {said.survival_months:g} months: surgery makes no sense below a few months"
        return False, Reason(letter="S", text=text, source=FOUNDING)
    if said.paralysis_hours is not None and said.paralysis_hours > LATE_PARALYSIS_HOURS:
        text = f"paralysis for {said.paralysis_hours:g} hours: after a day, surgery is not the rule any more"
        return False, Reason(letter="S", text=text, source=FOUNDING)
    return True, Reason(letter="S", text="fit for surgery is assumed, as it was not given", source=RTSIM)

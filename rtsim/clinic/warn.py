"""What must not be overlooked beside the decision, and what was assumed for it."""

from __future__ import annotations

from typing import Final

from rtsim.biology import Histology
from rtsim.biology.radiosensitivity import StatedClass
from rtsim.clinic.advice import Decision, Reason, Scheme
from rtsim.clinic.cord_budget import HYTEC_REIRRADIATION
from rtsim.clinic.escc_grade import EsccMeasurement
from rtsim.clinic.findings import Findings, Pain, Stability
from rtsim.clinic.sins_score import FISHER, POINTS, SURGEON_FROM, Sins, stability_of
from rtsim.clinic.sins_total import ELSEWHERE
from rtsim.phantom.spine.spec import Compartment
from rtsim.sources import Source, Standing

FOUNDING: Final = Source(citation="the text that rtsim was founded on", standing=Standing.VERIFIED)
RTSIM: Final = Source(citation="rtsim", standing=Standing.ASSUMPTION)
_PATCHELL: Final = Source(
    citation="Patchell et al. 2005, Lancet 366:643: surgery within 24 hours, survival of at least 3 months expected",
    standing=Standing.LITERATURE,
)
_MYELOGRAM: Final = Source(
    citation="practice: cord on MRI or myelogram fused with the planning CT", standing=Standing.LITERATURE
)
_LATE_HOURS: Final = 24.0


def warnings_of(
    kind: Histology,
    by: Scheme,
    said: Findings,
    compartment: Compartment,
    decision: Decision,
    grade: EsccMeasurement | None,
    score: Sins | None,
) -> tuple[Reason, ...]:
    """Emergencies first, then the spine, then where sources or drawings leave doubt."""
    out = [*_emergency(said, grade, compartment), *_spine(said, score)]
    other = _other_scheme(kind, by)
    if other is not None and decision not in (Decision.OUTSIDE_NOMS, Decision.NO_RADIOTHERAPY):
        out.append(other)
    if grade is not None and grade.inside_sac > 0.6:
        text = (
            f"{100 * grade.inside_sac:.0f} % of the tumor lies in the thecal sac: it looks intradural, where neither "
            "ESCC nor NOMS answers; say so with compartment"
        )
        out.append(Reason(text=text, source=RTSIM))
    if score is not None and ELSEWHERE in score.parts[0].reason:
        out.append(Reason(text=score.parts[0].reason, source=RTSIM))
    if grade is not None and grade.missing:
        text = f"the grade of compression stays open; missing: {', '.join(grade.missing)}"
        out.append(Reason(text=text, source=_MYELOGRAM))
    if said.previous_radiotherapy:
        text = "irradiated before: the cord has spent a part of its tolerance (rtsim run --previous gives the rest)"
        out.append(Reason(text=text, source=HYTEC_REIRRADIATION))
    if compartment is not Compartment.EXTRADURAL and kind.kind.value == "metastasis":
        out.append(Reason(text="a metastasis within the dura is rare: is the compartment right?", source=RTSIM))
    return tuple(out)


def _emergency(said: Findings, grade: EsccMeasurement | None, compartment: Compartment) -> list[Reason]:
    is_high = grade is not None and grade.is_high is not False
    if said.paralysis_hours is not None and said.paralysis_hours > 0.0:
        late = said.paralysis_hours > _LATE_HOURS
        text = f"EMERGENCY: paralysis for {said.paralysis_hours:g} hours; " + (
            "after a day it seldom comes back, which bears on the choice of surgery or radiotherapy"
            if late
            else "hours count: decompression or radiotherapy today"
        )
        return [Reason(text=text, source=FOUNDING), _DEXAMETHASONE]
    if said.myelopathy and compartment is not Compartment.EXTRADURAL:
        # the trials of cord compression were made for metastases outside the dura
        text = "signs from the cord by a tumor within the dura: ask a neurosurgeon first; new weakness is an EMERGENCY"
        return [Reason(text=text, source=RTSIM), _DEXAMETHASONE]
    if said.myelopathy:
        text = "EMERGENCY: signs of compression of the cord: hours count"
        if grade is not None and grade.is_high is False:
            text += "; the drawn structures show no high-grade compression, so look for another cause or level"
        return [Reason(text=text, source=_PATCHELL), _DEXAMETHASONE]
    if is_high and said.myelopathy is None:
        text = "high-grade compression: any deficit makes it an emergency; whether there is one was not given"
        if grade is not None and grade.is_high is None:
            text = "high-grade compression is not excluded: " + text.split(": ", 1)[1]
        return [Reason(text=text, source=FOUNDING)]
    return []


_DEXAMETHASONE: Final = Reason(text="dexamethasone is given; its dose is not settled", source=FOUNDING)


def _spine(said: Findings, score: Sins | None) -> list[Reason]:
    if score is None or said.stability is not None:
        return []
    out = []
    if score.total >= SURGEON_FROM:
        text = f"SINS {score.total}: ask a spine surgeon (from {SURGEON_FROM} on)"
        out.append(Reason(text=text, source=FISHER))
    if said.pain is None:
        with_pain = score.total + POINTS[Pain.MECHANICAL]
        if stability_of(with_pain) is not stability_of(score.total):
            verdict = stability_of(with_pain)
            text = f"pain was not given: if it is mechanical, SINS is {with_pain}, {verdict.value}"
            if verdict is Stability.UNSTABLE:
                text += ", and stabilization comes first"
            out.append(Reason(text=text, source=FISHER))
    return out


def _other_scheme(kind: Histology, by: Scheme) -> Reason | None:
    """The schemes of radiosensitivity disagree on this tumor."""
    if kind.stated_class is StatedClass.NOT_STATED:
        return None
    is_moderate = kind.stated_class is StatedClass.MODERATE
    if is_moderate == kind.noms_class.responds_to_conventional:
        return None
    used, other = (kind.noms_class.value, kind.stated_class.value)
    if by is Scheme.STATED:
        used, other = other, used
    name = "the founding text" if by is Scheme.NOMS else f"NOMS (by {kind.classed_by})"
    text = f"sources differ on {kind.title.lower()}: {used} here, {other} in {name}"
    return Reason(text=text, source=kind.stated_source if by is Scheme.NOMS else kind.source)


def assumed(said: Findings, score: Sins | None, compartment: Compartment) -> tuple[str, ...]:
    """What was not given, and what was taken instead."""
    out = [f"{part.name}: {part.value.value} ({part.reason})" for part in score.assumed] if score is not None else []
    if said.fit_for_surgery is None:
        out.append("fit for surgery: yes, unless survival or paralysis say otherwise")
    if said.survival_months is None:
        out.append("survival: long enough for what is decided")
    if said.myelopathy is None and said.paralysis_hours is None:
        out.append("signs of cord compression: none")
    if said.previous_radiotherapy is None:
        out.append("radiotherapy of this level before: none")
    if said.compartment is None:
        out.append(f"compartment: {compartment.value.replace('_', ' ')}, as is usual for this tumor")
    return tuple(out)

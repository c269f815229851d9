"""The schedules that go with a decision: those of the histology, by the technique that was decided on."""

from __future__ import annotations

from typing import Final

from rtsim.biology import Histology
from rtsim.biology.adequacy import FRACTURE_GY, FRACTURE_SOURCE
from rtsim.biology.schedule import Intent, Schedule
from rtsim.clinic.advice import Decision, Offer, Reason, Scheme
from rtsim.clinic.findings import Findings
from rtsim.protocol import Technique
from rtsim.sources import Source, Standing

_SHORT_MONTHS: Final = 6.0
"""Expected survival below which the shortest courses come first; assumption of rtsim."""


def offers(kind: Histology, decision: Decision, said: Findings) -> tuple[Offer, ...]:
    """Doses for control before those for relief of symptoms; the other way round, shortest first, for a short life."""
    technique = decision.technique
    if decision in (Decision.NO_RADIOTHERAPY,):
        return ()
    found = [s for s in kind.schedules if technique is None or s.technique == technique.value]
    if technique is Technique.STEREOTACTIC:
        found = [s for s in found if s.intent is Intent.CONTROL]
    is_short = said.survival_months is not None and said.survival_months < _SHORT_MONTHS
    if is_short:
        found.sort(key=lambda s: (s.intent is not Intent.PALLIATION, s.fractions))
    else:
        found.sort(key=lambda s: s.intent is not Intent.CONTROL)
    return tuple(_offer(s) for s in found)


def dose_warnings(kind: Histology, by: Scheme, decision: Decision, schedules: tuple[Offer, ...]) -> tuple[Reason, ...]:
    """That no dose of the decided technique is known to control the tumor, and where bone breaks."""
    out = []
    technique = decision.technique
    if technique is not None and not any(o.intent is Intent.CONTROL for o in schedules):
        name = kind.title.lower()
        text = f"rtsim knows no {technique.value} dose that is given for durable control of {name}"
        text += "; those offered relieve symptoms" if schedules else ", and offers none"
        if by is Scheme.STATED and technique is Technique.CONVENTIONAL:
            text += " (it counts as sensitive in this scheme only)"
        out.append(Reason(text=text, source=_KNOWN))
    large = [str(o) for o in schedules if o.dose_gy / o.fractions >= FRACTURE_GY]
    if large:
        text = f"vertebral fractures are frequent from {FRACTURE_GY:g} Gy per fraction on ({', '.join(large)})"
        out.append(Reason(text=text, source=FRACTURE_SOURCE))
    return tuple(out)


_KNOWN: Final = Source(citation="the schedules of rtsim's table of tumors", standing=Standing.ASSUMPTION)


def _offer(s: Schedule) -> Offer:
    return Offer(
        dose_gy=s.dose_gy,
        fractions=s.fractions,
        technique=Technique(s.technique),
        intent=s.intent,
        source=s.source,
        protocol=s.protocol,
        note=s.note,
        note_source=s.note_source,
    )

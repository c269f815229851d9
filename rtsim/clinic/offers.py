"""The schedules that go with a decision: those of the histology, by the technique that was decided on."""

from __future__ import annotations

from typing import Final

from rtsim.biology import Histology
from rtsim.biology.schedule import Intent, Schedule
from rtsim.clinic.advice import Decision, Offer
from rtsim.clinic.findings import Findings
from rtsim.protocol import Technique

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


def _offer(s: Schedule) -> Offer:
    return Offer(
        dose_gy=s.dose_gy,
        fractions=s.fractions,
        technique=Technique(s.technique),
        intent=s.intent,
        source=s.source,
        protocol=s.protocol,
        note=s.note,
    )

"""An advice in words: the decision first, then what it rests on, then what a reader must know beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rtsim.biology.schedule import Intent
from rtsim.sources import Source

if TYPE_CHECKING:
    from rtsim.clinic.advice import Advice, Offer

_WIDTH: Final = 110
LETTERS: Final = {"N": "neurologic", "O": "oncologic", "M": "mechanical", "S": "systemic"}


class Citations:
    """Numbers sources in the order in which they are first cited."""

    def __init__(self) -> None:
        self._numbers: dict[Source, int] = {}

    def mark(self, source: Source) -> str:
        """'[3]'."""
        return f"[{self._numbers.setdefault(source, len(self._numbers) + 1)}]"

    def lines(self) -> list[str]:
        """'[3] citation [standing]' of everything cited so far."""
        return [f"[{n}] {source}" for source, n in self._numbers.items()]


def text_of(advice: Advice) -> str:
    """The whole page, wrapped."""
    cite = Citations()
    out = [headline(advice), *(_wrapped(line, "  ") for line in summary(advice)), ""]
    out += _part("WARNINGS", [f"{w.text} {cite.mark(w.source)}" for w in advice.warnings])
    out += _part("why", why(advice, cite))
    if advice.escc is not None:
        out += _part(str(advice.escc), advice.escc.reasons)
    if advice.sins is not None:
        parts = [f"{p.name} {p.points}, {p.value.value}; {p.how.value}: {p.reason}" for p in advice.sins.parts]
        out += _part(str(advice.sins), parts)
    out += _part("schedules offered", [offer_text(o, cite) for o in advice.schedules])
    out += _part("assumed, as it was not given", advice.assumed)
    out += _part("sources", cite.lines())
    return "\n".join([*out, advice.disclaimer])


def headline(advice: Advice) -> str:
    """The decision, for whom."""
    return f"{advice.decision.value.upper()}  ({advice.patient}: {advice.histology.title})"


def summary(advice: Advice) -> list[str]:
    """One line each: grade, score, doses by what they are for."""
    out = [str(one) for one in (advice.escc, advice.sins) if one is not None]
    return out + doses_by_intent(advice.schedules)


def why(advice: Advice, cite: Citations) -> list[str]:
    """The reasons, those that answer a question of NOMS by its letter."""
    return [
        (f"{r.letter} ({LETTERS[r.letter]}): " if r.letter else "") + f"{r.text} {cite.mark(r.source)}"
        for r in advice.reasons
    ]


def doses_by_intent(schedules: Iterable[Offer]) -> list[str]:
    """A line of doses for each intent that any is given for: 'for durable local control: 24 Gy in 1'."""
    given = tuple(schedules)
    of = {intent: [o for o in given if o.intent is intent] for intent in Intent}
    return [f"for {intent.value}: {doses_text(offers)}" for intent, offers in of.items() if offers]


def doses_text(schedules: Iterable[Offer]) -> str:
    """'16, 18, 20, 24 Gy x 1; 24, 28 Gy in 2'."""
    ordered = sorted({(o.fractions, o.dose_gy) for o in schedules})
    groups = []
    for fractions, found in groupby(ordered, key=lambda pair: pair[0]):
        groups.append(f"{', '.join(f'{dose:g}' for _, dose in found)} Gy in {fractions}")
    return "; ".join(groups)


def offer_text(offer: Offer, cite: Citations) -> str:
    """One schedule with technique, protocol, note and source."""
    protocol = f"--protocol {offer.protocol} --dose {offer.dose_gy:g}" if offer.protocol else "no protocol in rtsim"
    dose = f"{offer} {cite.mark(offer.source)}"
    note = f"; {note_text(offer, cite)}" if offer.note else ""
    return f"{dose}, {offer.technique.value}, for {offer.intent.value}: {protocol}{note}"


def note_text(offer: Offer, cite: Citations) -> str:
    """The note of a schedule, with its source where that is another than the schedule's."""
    return offer.note if offer.note_source is None else f"{offer.note} {cite.mark(offer.note_source)}"


def _part(title: str, lines: Iterable[str]) -> list[str]:
    wrapped = [_wrapped(line, "  - ") for line in lines]
    return [_wrapped(title, ""), *wrapped, ""] if wrapped else []


def _wrapped(line: str, start: str) -> str:
    rest = max(len(start), 4) * " "
    return textwrap.fill(line, _WIDTH, initial_indent=start, subsequent_indent=rest, break_on_hyphens=False)

"""An advice in words: the decision first, then what it rests on, then what a reader must know beside it."""

from __future__ import annotations

import textwrap
from typing import Final

from rtsim.clinic.advice import Advice, Offer, Reason

_WIDTH: Final = 110


def text_of(advice: Advice) -> str:
    """The whole page, wrapped."""
    out = [headline(advice), *(f"  {line}" for line in summary(advice)), ""]
    out += _part("WARNING", [str(w.text) for w in advice.warnings])
    out += _part("why", [_said(r) for r in advice.reasons])
    if advice.escc is not None:
        out += _part(f"{advice.escc}", list(advice.escc.reasons))
    if advice.sins is not None:
        out += _part(
            f"{advice.sins}",
            [f"{p.name} {p.points}: {p.value.value}; {p.how.value}: {p.reason}" for p in advice.sins.parts],
        )
    out += _part("schedules offered", [offer_text(o) for o in advice.schedules])
    out += _part("assumed, as it was not given", list(advice.assumed))
    return "\n".join([*out, advice.disclaimer])


def headline(advice: Advice) -> str:
    """The decision, for whom."""
    return f"{advice.decision.value.upper()}  ({advice.patient}, {advice.histology.title.lower()})"


def summary(advice: Advice) -> list[str]:
    """One line each: grade, score, first dose."""
    out = []
    if advice.escc is not None:
        out.append(str(advice.escc))
    if advice.sins is not None:
        out.append(str(advice.sins))
    if advice.schedules:
        out.append("doses: " + ", ".join(str(o) for o in advice.schedules[:4]))
    return out


def offer_text(offer: Offer) -> str:
    """One schedule with technique, protocol, note and source."""
    protocol = f"--protocol {offer.protocol}" if offer.protocol else "no protocol in rtsim"
    note = f"; {offer.note}" if offer.note else ""
    return (
        f"{offer}, {offer.technique.value}, for {offer.intent.value}: {protocol}{note} [{offer.source.standing.label}]"
    )


def _said(reason: Reason) -> str:
    return f"{reason.text} [{reason.source.standing.label}: {reason.source.citation}]"


def _part(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    wrapped = [
        textwrap.fill(line, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
        for line in lines
    ]
    return [title, *wrapped, ""]

"""NOMS: from neurologic, oncologic, mechanical and systemic findings to a treatment (Laufer 2013, table).

| epidural compression | tumor     | spine    | surgery | decision                                   |
|----------------------|-----------|----------|---------|--------------------------------------------|
| low (0-1c)           | sensitive | stable   | any     | conventional                               |
| low                  | sensitive | unstable | any     | stabilize, then conventional               |
| low                  | resistant | stable   | any     | stereotactic                               |
| low                  | resistant | unstable | any     | stabilize, then stereotactic               |
| high (2, 3)          | sensitive | stable   | any     | conventional                               |
| high                 | sensitive | unstable | any     | stabilize, then conventional               |
| high                 | resistant | any      | fit     | separation surgery, then stereotactic      |
| high                 | resistant | stable   | not fit | conventional                               |
| high                 | resistant | unstable | not fit | stabilize (augmentation), then conventional|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtsim.clinic.advice import Decision, Reason
from rtsim.sources import Source, Standing

LAUFER: Final = Source(
    citation="NOMS: Laufer et al. 2013, Oncologist 18:744, table (quoted from memory)", standing=Standing.LITERATURE
)
SHORTHAND: Final = Source(
    citation="thespinebook.com, NOMS: 'grade 2-3: decompress before radiotherapy'", standing=Standing.VERIFIED
)


@dataclass(frozen=True, kw_only=True)
class NomsAnswer:
    """The decision of the table, and the row that it comes from, in words."""

    decision: Decision
    reasons: tuple[Reason, ...]


def noms(
    *, high_grade: bool | None, sensitive: bool, unstable: bool = False, fit_for_surgery: bool = True
) -> NomsAnswer:
    """The row of the table.

    Args:
        high_grade: ESCC 2 or 3; None when it is not known. The answer is then that of both, where they agree.
        sensitive: conventional doses control the tumor; what grew again after radiotherapy counts as resistant.
        unstable: the spine is unstable (SINS 13 to 18, or a surgeon says so).
        fit_for_surgery: an operation is possible and makes sense.
    """
    if high_grade is None:
        low, high = (
            noms(high_grade=h, sensitive=sensitive, unstable=unstable, fit_for_surgery=fit_for_surgery)
            for h in (False, True)
        )
        if low.decision is high.decision:
            return NomsAnswer(decision=low.decision, reasons=(_SAME, *low.reasons[1:], *high.reasons[2:]))
        text = f"low grade: {low.decision.value}; high grade: {high.decision.value}"
        return NomsAnswer(
            decision=Decision.UNDECIDED,
            reasons=(Reason(text=f"the grade of compression decides, and it is open: {text}", source=LAUFER),),
        )
    grade = Reason(
        text="high-grade compression (ESCC 2 or 3)" if high_grade else "no high-grade compression (ESCC 0 to 1c)",
        source=LAUFER,
    )
    if sensitive:
        return NomsAnswer(decision=_by(unstable, Decision.CONVENTIONAL), reasons=(grade, *_sensitive(high_grade)))
    if not high_grade:
        return NomsAnswer(decision=_by(unstable, Decision.STEREOTACTIC), reasons=(grade, _RESISTANT))
    if fit_for_surgery:
        return NomsAnswer(decision=Decision.SEPARATION_THEN_STEREOTACTIC, reasons=(grade, _SEPARATION))
    return NomsAnswer(decision=_by(unstable, Decision.CONVENTIONAL), reasons=(grade, _NOT_FIT))


def _by(unstable: bool, radiotherapy: Decision) -> Decision:
    if not unstable:
        return radiotherapy
    return {
        Decision.CONVENTIONAL: Decision.STABILIZE_THEN_CONVENTIONAL,
        Decision.STEREOTACTIC: Decision.STABILIZE_THEN_STEREOTACTIC,
    }[radiotherapy]


def _sensitive(high_grade: bool) -> tuple[Reason, ...]:
    return (_SENSITIVE, _CONFLICT) if high_grade else (_SENSITIVE,)


_SAME: Final = Reason(text="the grade of compression is open, but does not change the answer", source=LAUFER)
_SENSITIVE: Final = Reason(
    text="conventional radiotherapy controls a sensitive tumor, whatever the grade of compression", source=LAUFER
)
_RESISTANT: Final = Reason(
    text="conventional doses do not control a resistant tumor for long; without high-grade compression there is room "
    "to give it a stereotactic dose and hold the cord's limit",
    source=LAUFER,
)
_SEPARATION: Final = Reason(
    text="a resistant tumor that compresses the cord leaves no room between tumor and cord: separation surgery "
    "decompresses and stabilizes, and makes the room for a stereotactic dose",
    source=LAUFER,
)
_NOT_FIT: Final = Reason(
    text="not fit for surgery: conventional radiotherapy, although the tumor is resistant (a stereotactic dose would "
    "leave the tumor at the cord without it)",
    source=LAUFER,
)
_CONFLICT: Final = Reason(
    text="sources differ: a shorthand of NOMS decompresses every grade 2 or 3 before radiotherapy and leaves out the "
    "histology; the table gives conventional radiotherapy to sensitive tumors, and rtsim follows the table",
    source=SHORTHAND,
)

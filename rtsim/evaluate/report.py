"""GradeReport: what grading found, as data and as a text table."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rtsim.biology import FractureRisk
from rtsim.biology.cord import risk_text as risk_text
from rtsim.evaluate.effects import CordEffect, TumorEffect, cord_lines, fracture_lines, tumor_lines
from rtsim.evaluate.hot_spot import HotSpot
from rtsim.evaluate.indices import Falloff
from rtsim.optimize.plan import Certificate
from rtsim.protocol import Goal, Prescription, Priority, Source, Standing
from rtsim.protocol.nomenclature import canonical

_WIDTH: Final = 110
_NAMED: Final = 4
"""Missed goals that the head names."""
_LETTER: Final = {Standing.VERIFIED: "V", Standing.LITERATURE: "L", Standing.ASSUMPTION: "A"}


class Status(Enum):
    """What became of a goal."""

    MET = "met"
    MISSED = "NOT MET"
    ABSENT = "structure absent"
    AS_CORD = "drawn as cord"
    OUTSIDE = "outside dose grid"
    TOO_SMALL = "organ too small"


@dataclass(frozen=True, kw_only=True)
class GoalRow:
    """One goal, measured.

    Attributes:
        found_as: name of the structure in the phantom, None when it is absent.
        value: in the unit of the goal, None when it could not be measured.
        note: what the reader must know of the value (truncated structure, ...).
    """

    goal: Goal
    status: Status
    found_as: str | None = None
    value: float | None = None
    note: str = ""

    @property
    def is_violation(self) -> bool:
        """True for a hard limit that is not met."""
        return self.goal.priority is Priority.HARD and self.status is Status.MISSED

    @property
    def wanted(self) -> str:
        """E.g. "<= 17 Gy"."""
        return f"{self.goal.sense.value} {self.goal.value:g} {self.goal.unit}".rstrip()

    @property
    def got(self) -> str:
        """E.g. "15.32 Gy", "-" when it could not be measured."""
        return "-" if self.value is None else f"{self.value:.2f} {self.goal.unit}".rstrip()

    @property
    def is_judged(self) -> bool:
        """True when the goal is met or missed, False when it could not be judged."""
        return self.status in (Status.MET, Status.MISSED)

    @property
    def is_listed_apart(self) -> bool:
        """True for a goal, not a hard limit, on a structure that nobody drew: tables name these in one line."""
        return self.status is Status.ABSENT and self.goal.priority is not Priority.HARD

    @property
    def verdict(self) -> str:
        """Status for tables; a violated hard limit is unmistakable."""
        return "HARD LIMIT VIOLATED" if self.is_violation else self.status.value + ("*" if self.note else "")


@dataclass(frozen=True, kw_only=True)
class TargetSummary:
    """DVH values of the prescribed target (ICRU 83, ICRU 91); doses in Gy, volumes in cm3."""

    name: str
    volume_cm3: float
    coverage_percent: float
    d98_gy: float
    d95_gy: float
    d50_gy: float
    d2_gy: float
    mean_gy: float
    min_gy: float
    max_gy: float
    near_max_35mm3_gy: float
    outside_cm3: float


@dataclass(frozen=True, kw_only=True)
class PlanIndices:
    """Plan indices of rtsim.evaluate.indices; ``falloff`` is None without a cord or where the target touches it."""

    conformity_paddick: float
    conformity_rtog: float
    homogeneity_icru83: float
    homogeneity_rtog: float
    gradient_index: float
    r50: float
    prescription_isodose_cm3: float
    falloff: Falloff | None


@dataclass(frozen=True, kw_only=True)
class GradeReport:
    """A graded dose. ``str(report)`` is a text table.

    Attributes:
        protocol: its name, empty when goals were given one by one.
        engine, grid: of the dose that was graded.
        fracture: what bears on a fracture of the vertebra; of stereotactic plans in up to 5 fractions.
        unlimited: a sentence for each structure that is named like a cord and has no hard limit.
        information: sentences on what nothing limits and a reader asks for.
    """

    phantom: str
    prescription: Prescription
    protocol: str
    engine: str
    grid: str
    rows: tuple[GoalRow, ...]
    target: TargetSummary
    indices: PlanIndices
    hot_spot: HotSpot
    tumor: TumorEffect | None
    cord: CordEffect | None
    fracture: FractureRisk | None = None
    certificates: tuple[Certificate, ...] = ()
    unlimited: tuple[str, ...] = ()
    information: tuple[str, ...] = ()

    @property
    def violations(self) -> tuple[GoalRow, ...]:
        """Hard limits that the dose breaks."""
        return tuple(r for r in self.rows if r.is_violation)

    @property
    def hard_limits_held(self) -> bool:
        """True when no measured hard limit is broken and every certificate holds."""
        return not self.violations and all(c.held for c in self.certificates)

    @property
    def unmeasured_hard_limits(self) -> tuple[GoalRow, ...]:
        """Hard limits that nobody could check: their structure is absent or outside the dose grid."""
        hard = (r for r in self.rows if r.goal.priority is Priority.HARD and r.status is not Status.AS_CORD)
        return tuple(r for r in hard if r.value is None)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Sources of the goals, each once, in order; tables number them from 1."""
        return tuple(dict.fromkeys(r.goal.source for r in self.rows))

    @property
    def shown_rows(self) -> tuple[GoalRow, ...]:
        """The rows that tables show."""
        return tuple(r for r in self.rows if not r.is_listed_apart)

    @property
    def absent_structures(self) -> tuple[str, ...]:
        """Structures that goals speak of and nobody drew, each once."""
        return tuple(dict.fromkeys(r.goal.structure for r in self.rows if r.is_listed_apart))

    @property
    def headline(self) -> str:
        """One sentence: are the hard limits held?"""
        broken = [f"{r.found_as} {r.goal.parsed.name} is {r.got}, limit {r.wanted}" for r in self.violations]
        broken += [c.statement for c in self.certificates if not c.held]
        if broken:
            return "HARD LIMIT VIOLATED: " + "; ".join(broken)
        measured = [r for r in self.rows if r.goal.priority is Priority.HARD and r.value is not None]
        open_limits = [r.goal.structure for r in self.unmeasured_hard_limits]
        names = ", ".join(f"{r.found_as} {r.goal.parsed.name} {r.got} ({r.wanted})" for r in measured)
        text = f"Hard limits held: {names}." if measured else "No hard limit was measured."
        if open_limits:
            text += f" NOT CHECKED (structure absent or outside the grid): {', '.join(dict.fromkeys(open_limits))}."
        return text

    @property
    def position_headlines(self) -> tuple[str, ...]:
        """One line for each limit promised in every position of the patient: in how many it is held, and the worst."""
        return tuple(c.headline for c in self.certificates if c.positions is not None and c.positions.promised)

    @property
    def goals_sentence(self) -> str:
        """How many goals are met and which are not; those that are only reported apart."""
        goals, reported = (
            [r for r in self.rows if r.goal.priority is p and r.is_judged] for p in (Priority.GOAL, Priority.REPORT)
        )
        text = f"{sum(r.status is Status.MET for r in goals)} of {len(goals)} judged goals met"
        missed = [r for r in goals if r.status is Status.MISSED]
        if missed:
            named = ", ".join(f"{r.found_as} {r.goal.parsed.name} {r.got} ({r.wanted})" for r in missed[:_NAMED])
            more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
            text += f"; NOT MET: {named}{more}"
        if reported:
            met = sum(r.status is Status.MET for r in reported)
            text += f". Of {len(reported)} numbers that are only reported, {met} lie in their bands"
        return f"{text}."

    @property
    def margin_sentences(self) -> tuple[str, ...]:
        """Of limits on a PRV what displaced positions mean: the PRV is itself the margin for them."""
        out = []
        for c in self.certificates:
            p = c.positions
            if canonical(c.structure) != "spinal_cord_prv" or p is None or p.promised or p.held == p.count:
                continue
            text = (
                f"{c.structure} (the limit): {'met' if c.held else 'NOT met'} as planned, not in "
                f"{p.count - p.held} of {p.count} positions, because the PRV is itself the margin for these"
            )
            cord = next((d for d in self.certificates if canonical(d.structure) == "spinal_cord" and d.positions), None)
            if cord is not None and cord.positions is not None:
                text += f"; the cord inside it is held in {cord.positions.held} of {cord.positions.count}"
            out.append(f"{text}.")
        return tuple(out)

    def __str__(self) -> str:
        parts = [self._head(), self._table(), self._target_lines(), self._biology_lines(), self._footnotes()]
        return "\n\n".join(p for p in parts if p)

    def _head(self) -> str:
        mark = "=" if self.hard_limits_held else "!"
        lines = [
            mark * _WIDTH,
            *textwrap.wrap(self.headline, _WIDTH),
            *(line for text in (*self.position_headlines, *self.unlimited) for line in textwrap.wrap(text, _WIDTH)),
            *textwrap.wrap(self.goals_sentence, _WIDTH),
            *([] if self.tumor is None else textwrap.wrap(self.tumor.headline, _WIDTH)),
            mark * _WIDTH,
            f"{self.phantom}: {self.prescription}" + (f", protocol {self.protocol}" if self.protocol else ""),
            f"dose: {self.engine or 'engine not named'} on {self.grid}",
        ]
        said = (*(c.statement for c in self.certificates), *self.margin_sentences, *self.information)
        return "\n".join(lines + [line for text in said for line in textwrap.wrap(text, _WIDTH)])

    def _table(self) -> str:
        numbers = {source: i + 1 for i, source in enumerate(self.sources)}
        head = ("", "structure", "metric", "wanted", "got", "priority", "source")
        body = [
            (
                r.verdict,
                r.goal.structure if r.found_as in (None, r.goal.structure) else f"{r.goal.structure} ({r.found_as})",
                r.goal.parsed.name,
                r.wanted,
                r.got,
                r.goal.priority.value,
                f"[{numbers[r.goal.source]}] {_LETTER[r.goal.source.standing]}",
            )
            for r in self.shown_rows
        ]
        widths = [max(len(row[c]) for row in [head, *body]) for c in range(len(head))]
        right = {3, 4}
        lines = [
            "  ".join(
                t.rjust(w) if c in right else t.ljust(w) for c, (t, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in [head, *body]
        ]
        lines.insert(1, "-" * len(lines[0]))
        lines += [line for note in self.notes for line in textwrap.wrap(f"* {note}", _WIDTH, subsequent_indent="  ")]
        if self.absent_structures:
            text = f"Not drawn, so not judged: {', '.join(self.absent_structures)}."
            lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
        return "\n".join(line.rstrip() for line in lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know of the shown rows, each note once with all it is about."""
        about: dict[str, list[str]] = {}
        for r in self.shown_rows:
            if r.note:
                about.setdefault(r.note, []).append(f"{r.found_as or r.goal.structure} {r.goal.parsed.name}")
        return tuple(f"{', '.join(names)}: {note}" for note, names in about.items())

    def _target_lines(self) -> str:
        t, i = self.target, self.indices
        lines = [
            f"{t.name}: {t.volume_cm3:.2f} cm3, {t.coverage_percent:.1f} % gets the prescription; D98% {t.d98_gy:.2f}, "
            f"D95% {t.d95_gy:.2f}, D50% {t.d50_gy:.2f}, D2% {t.d2_gy:.2f}, mean {t.mean_gy:.2f}, max {t.max_gy:.2f} Gy",
            f"conformity Paddick {i.conformity_paddick:.3f}, RTOG {i.conformity_rtog:.2f}; homogeneity ICRU 83 "
            f"{i.homogeneity_icru83:.3f}, RTOG {i.homogeneity_rtog:.2f}; gradient index {i.gradient_index:.2f}, "
            f"R50 {i.r50:.2f}",
            str(self.hot_spot),
            *textwrap.wrap(self.hot_spot.apart, _WIDTH, subsequent_indent="  "),
        ]
        if i.falloff is not None:
            f = i.falloff
            lines.append(
                f"falloff from target to cord: {f.mean_percent_per_mm:.1f} %/mm over {f.distance_mm:.1f} mm, "
                f"steepest {f.steepest_percent_per_mm:.1f} %/mm"
            )
        return "\n".join(lines)

    def _biology_lines(self) -> str:
        lines = [
            *([] if self.tumor is None else tumor_lines(self.tumor)),
            *([] if self.cord is None else cord_lines(self.cord)),
            *([] if self.fracture is None else fracture_lines(self.fracture)),
        ]
        return "\n".join(line for text in lines for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  "))

    def _footnotes(self) -> str:
        lines = []
        for number, source in enumerate(self.sources, start=1):
            lines += textwrap.wrap(f"[{number}] {source}", _WIDTH, subsequent_indent="    ")
        if lines:
            lines.append("V verified; L literature, unverified here; A assumption of rtsim.")
        return "\n".join([*lines, "A simulation for teaching and research; not a medical device."])

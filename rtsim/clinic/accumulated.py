"""What two courses add up to in the spinal cord: voxel by voxel where the earlier dose is known, and as HyTEC adds."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Final

from rtsim.biology import eqd2_gy
from rtsim.clinic.budget_protocol import CAUDA, drawn_of
from rtsim.clinic.cord_budget import (
    Budget,
    Condition,
    Rule,
    Verdict,
    budget_table,
    conditions,
    remaining_budget,
    rule_for,
)
from rtsim.clinic.previous import CORD_ALPHA_BETA_GY, NEAR_MAXIMUM_CM3, PreviousCourse
from rtsim.dose.accumulate import Course, accumulate
from rtsim.dose.dvh import DVH, dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol import Technique
from rtsim.sources import Source, Standing

NO_RECOVERY: Final = "No recovery is credited: time does not give back dose."
TITLES: Final = {
    "spinal_cord": "spinal cord",
    "spinal_cord_prv": "PRV of the cord",
    "spinal_canal": "spinal canal",
    "thecal_sac": "thecal sac",
    CAUDA: "cauda equina",
}
_JUDGED: Final = ("thecal_sac", "spinal_cord_prv", "spinal_cord", "spinal_canal", CAUDA)
"""What the conditions are judged in: the first that is drawn. HyTEC speaks of the thecal sac; the PRV stands for it."""
_CUTS: Final = 4
"""Voxels of the dose grid are cut in so many along each axis where two courses are added, down to _FINEST_MM."""
_FINEST_MM: Final = 0.5
_WIDTH: Final = 110
_LETTER: Final = {Standing.VERIFIED: "V", Standing.LITERATURE: "L", Standing.ASSUMPTION: "A"}


@dataclass(frozen=True, kw_only=True)
class CourseSum:
    """Near-maxima (D0.035cc) of one structure in Gy; EQD2 with alpha/beta 2 Gy.

    Attributes:
        key, name: canonical key, and as it is drawn.
        previous_gy, this_gy: physical dose of each course.
        previous_eqd2_gy, this_eqd2_gy: the same as EQD2.
        accumulated_eqd2_gy: D0.035cc of the EQD2 of both courses added voxel by voxel.
        unreached_cm3: what the earlier dose grid does not reach; with any, previous and accumulated are lower bounds.
        is_known: False where the earlier dose ends there in more than low dose.
    """

    key: str
    name: str
    previous_gy: float
    this_gy: float
    previous_eqd2_gy: float
    this_eqd2_gy: float
    accumulated_eqd2_gy: float
    unreached_cm3: float = 0.0
    is_known: bool = True

    @property
    def added_eqd2_gy(self) -> float:
        """Both near-maxima added, as if they fell on the same point."""
        return self.previous_eqd2_gy + self.this_eqd2_gy


@dataclass(frozen=True, kw_only=True)
class Reirradiation:
    """A second course judged: ``str()`` is text for the terminal.

    Attributes:
        previous: the earlier course, in words.
        rows: cord, PRV, sac, canal and cauda, as drawn.
        judged: the row that the conditions are judged in.
        conditions: the four of HyTEC, of this plan.
        rule: what limits the second course.
        budget: what was left for this number of fractions; None when nothing was, or the previous dose is not known.
        table: what was left for 1 to 30 fractions.
        notes: what the reader must know.
    """

    previous: str
    rows: tuple[CourseSum, ...]
    judged: CourseSum
    conditions: tuple[Condition, ...]
    rule: Rule
    budget: Budget | None
    table: tuple[Budget, ...]
    notes: tuple[str, ...]

    @property
    def is_held(self) -> bool | None:
        """True when the budget is held, or all conditions are met; None when a condition is not known, and no other
        one is broken with the budget (``unknown`` says which)."""
        within = self.budget is not None and self.judged.this_eqd2_gy <= self.budget.eqd2_gy * (1.0 + 1e-9)
        if self.unmet and not within:
            return False
        return None if self.unknown else True

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """Conditions that are not met."""
        return tuple(c for c in self.conditions if c.verdict is Verdict.NOT_MET)

    @property
    def unknown(self) -> tuple[Condition, ...]:
        """Conditions that could not be judged."""
        return tuple(c for c in self.conditions if c.verdict is Verdict.NOT_KNOWN)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of conditions and budget, each once."""
        given = [c.source for c in self.conditions] + ([] if self.budget is None else [self.budget.source])
        return tuple(dict.fromkeys(given))

    @property
    def headline(self) -> str:
        """One sentence: are the conditions met?"""
        r = self.judged
        text = (
            f"{r.name} EQD2 {r.previous_eqd2_gy:.1f} Gy before and {r.this_eqd2_gy:.1f} Gy now, "
            f"{r.accumulated_eqd2_gy:.1f} Gy accumulated voxel by voxel"
        )
        asked = [c for c in self.conditions if c.verdict is not Verdict.NOT_ASKED]
        if self.unmet:
            named = "; ".join(f"{c.name} {c.got}, wanted {c.wanted}" for c in self.unmet)
            text = f"RE-IRRADIATION, NOT all conditions of HyTEC are met ({named}): {text}"
            if self.rule is Rule.ONE_COURSE and self.is_held:
                text += ". Both courses together stay within what one may give"
        elif self.unknown:
            named = ", ".join(c.name for c in self.unknown)
            text = f"Re-irradiation, {len(asked) - len(self.unknown)} conditions met, NOT KNOWN: {named}: {text}"
        else:
            text = f"Re-irradiation, {len(asked)} of {len(asked)} conditions met: {text}"
        return f"{text}."

    def __str__(self) -> str:
        lines = [self.headline, f"previous course: {self.previous}"]
        lines += [
            f"{r.name}: D0.035cc before {r.previous_gy:.2f} Gy (EQD2 {r.previous_eqd2_gy:.1f}), now {r.this_gy:.2f} Gy "
            f"(EQD2 {r.this_eqd2_gy:.1f}), accumulated EQD2 {r.accumulated_eqd2_gy:.1f} Gy"
            for r in self.rows
        ]
        lines += [
            f"{c} [{_LETTER[c.source.standing]}]" + (f": {c.reason}" if c.reason else "") for c in self.conditions
        ]
        if self.budget is not None:
            lines.append(f"budget of {self.judged.name}: {self.budget}, by {self.budget.rule.value}")
        shown = [b for b in self.table if b.fractions in (1, 2, 3, 4, 5, 8, 10, 15, 20, 30)]
        if shown:
            lines.append(
                "left for 1 to 30 fractions, Gy: " + ", ".join(f"{b.dose_gy:.1f}/{b.fractions}" for b in shown)
            )
        lines += self.notes
        lines += [f"source: {s}" for s in self.sources]
        return "\n".join(line for text in lines for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  "))


def assess(
    dose: Dose,
    phantom: Phantom,
    previous: PreviousCourse,
    *,
    technique: Technique = Technique.STEREOTACTIC,
    rule: Rule | None = None,
    judged_in: str | None = None,
) -> Reirradiation:
    """Judge the delivered ``dose`` (total over all fractions) of a second course.

    Args:
        technique: of the second course.
        rule: None = by :func:`rtsim.clinic.cord_budget.rule_for`.
        judged_in: canonical key of the structure that the conditions are judged in; None = the thecal sac where it is
            drawn, else the cord's PRV, else the cord.

    Raises:
        InputError: nothing of the cord is drawn.
        GeometryError: a dose reaches none of it.
    """
    drawn = drawn_of(phantom)
    rows = tuple(row for key, structure in drawn.items() if (row := _row(key, structure, dose, previous)) is not None)
    order = _JUDGED if judged_in is None else (judged_in, *_JUDGED)
    judged = next((r for key in order for r in rows if r.key == key), None)
    if judged is None:
        raise InputError(
            "no spinal cord, canal, thecal sac or cauda equina is drawn on the dose grid: the courses cannot be added "
            "there"
        )
    chosen = rule or rule_for(judged.previous_eqd2_gy, previous.months_ago, technique)
    ago = previous.months_ago
    try:
        if not judged.is_known:
            raise InputError(f"what {judged.name} got before is not known")
        budget = remaining_budget(
            judged.previous_eqd2_gy, dose.fractions, months_ago=ago, technique=technique, rule=chosen
        )
        table = budget_table(judged.previous_eqd2_gy, months_ago=ago, technique=technique, rule=chosen)
    except InputError:
        budget, table = None, ()
    return Reirradiation(
        previous=str(previous),
        rows=rows,
        judged=judged,
        conditions=conditions(
            judged.previous_eqd2_gy,
            judged.this_eqd2_gy,
            previous.months_ago,
            technique=technique,
            rule=chosen,
            is_known=judged.is_known,
        ),
        rule=chosen,
        budget=budget,
        table=table,
        notes=(*_beyond(drawn, rows), *_notes(previous, judged, rows, chosen, budget)),
    )


def _row(key: str, structure: Structure, dose: Dose, previous: PreviousCourse) -> CourseSum | None:
    """None where a dose does not reach the structure at all."""
    try:
        now = dvh(dose, structure)
        before = previous.given_to(structure)
        total = None if previous.dose is None else _added(dose, previous, structure)
    except GeometryError:
        return None
    volume = min(NEAR_MAXIMUM_CM3, now.volume_cm3)
    this_gy = now.dose_gy_at(volume)
    this_eqd2 = float(eqd2_gy(this_gy, dose.fractions, CORD_ALPHA_BETA_GY))
    return CourseSum(
        key=key,
        name=structure.name,
        previous_gy=before.near_max_gy,
        this_gy=this_gy,
        previous_eqd2_gy=before.eqd2_gy,
        this_eqd2_gy=this_eqd2,
        accumulated_eqd2_gy=before.eqd2_gy + this_eqd2 if total is None else total.dose_gy_at(volume),
        unreached_cm3=before.unreached_cm3,
        is_known=before.is_known,
    )


def _added(dose: Dose, previous: PreviousCourse, structure: Structure) -> DVH:
    """The DVH of both courses' EQD2, added on a grid round the structure that is finer than that of the dose.

    EQD2 rises faster than the dose: interpolated between the voxels of a coarse grid it would come out too high where
    the dose is steep (by 0.8 Gy in a thecal sac on 4 mm). On the fine grid both doses are interpolated, and EQD2 is
    taken after that.
    """
    assert previous.dose is not None
    grid = _finer(dose.grid, structure.grid)
    before = Course(dose=previous.dose, shift=previous.shift, name=previous.name or "the previous course")
    total = accumulate((before, Course(dose=dose, name="this course")), grid, CORD_ALPHA_BETA_GY)
    return dvh(total.as_dose, structure)


def _finer(coarse: Grid, box: Grid) -> Grid:
    """A grid over ``box`` that has the voxel centers of ``coarse`` among its own, so that no peak is cut off."""
    cuts = [max(1, min(_CUTS, math.floor(s / _FINEST_MM))) for s in coarse.spacing_mm]
    spacing = [s / n for s, n in zip(coarse.spacing_mm, cuts, strict=True)]
    first = [
        math.floor((low - at) / step) for low, at, step in zip(box.lower_mm, coarse.origin_mm, spacing, strict=True)
    ]
    last = [math.ceil((up - at) / step) for up, at, step in zip(box.upper_mm, coarse.origin_mm, spacing, strict=True)]
    x, y, z = (at + n * step for at, n, step in zip(coarse.origin_mm, first, spacing, strict=True))
    nx, ny, nz = (b - a + 1 for a, b in zip(first, last, strict=True))
    return Grid((nz, ny, nx), (spacing[0], spacing[1], spacing[2]), (x, y, z))


def _beyond(drawn: dict[str, Structure], rows: tuple[CourseSum, ...]) -> tuple[str, ...]:
    """What is drawn and in no row."""
    return tuple(
        f"{s.name} lies wholly beyond the grid of one of the doses: the courses are not added there."
        for key, s in drawn.items()
        if not any(r.key == key for r in rows)
    )


def _notes(
    previous: PreviousCourse, judged: CourseSum, rows: tuple[CourseSum, ...], rule: Rule, budget: Budget | None
) -> tuple[str, ...]:
    stands = "" if judged.key == "thecal_sac" else f"; HyTEC speaks of the thecal sac, for which {judged.name} stands"
    out = [f"EQD2 with alpha/beta 2 Gy. The conditions are judged in {judged.name}{stands}."]
    sac = next((r for r in rows if r.key == "thecal_sac"), None)
    if sac is not None and sac is not judged:
        out.append(
            f"{sac.name} is drawn and was not held: EQD2 {sac.this_eqd2_gy:.1f} Gy now, {sac.added_eqd2_gy:.1f} Gy "
            "with both maxima added."
        )
    if previous.is_scheme:
        out.append(
            "The previous course is known as a scheme: it is taken to have given the cord the same dose all along; "
            "voxel by voxel and maximum to maximum are then the same."
        )
    out += [
        f"{r.unreached_cm3:.2f} cm3 of {r.name} lie beyond the grid of the previous dose: what it got there is not "
        "known, and its sums are lower bounds."
        for r in rows
        if r.unreached_cm3 > 0.0
    ]
    if rule is Rule.ONE_COURSE:
        out.append(
            "The conditions of HyTEC do not speak of this patient (an interval that is too short or not known, or "
            "hardly any previous dose): both courses together are held to the EQD2 44.6 Gy of one course, an "
            "assumption of rtsim."
        )
    if budget is None:
        out.append(
            "Nothing was left of the cord's budget."
            if judged.is_known
            else f"The budget is not known: the previous dose ends within {judged.name}. Export it on a grid that "
            "covers that, or give the scheme."
        )
    out += [NO_RECOVERY, "Earlier dose to other organs is not counted in their limits."]
    return (*out, *previous.notes)

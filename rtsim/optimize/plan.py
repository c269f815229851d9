"""Plan: beams that a machine can deliver, and what is certified of them; Planned: the plan with its dose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.optimize.fluence import FluencePlan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription
from rtsim.protocol.nomenclature import canonical

_HEADLINES = 3
"""So many certificates are shown of a plan that is printed, broken ones first; all of them in ``certificates``."""


@dataclass(frozen=True, kw_only=True)
class PositionsHeld:
    """What a limit gets in the positions in which the patient may lie.

    Attributes:
        scenarios: which positions, in words.
        promised: the limit is to hold in all of them; else they are only reported.
        count, held: how many positions (the planned one among them), and in how many the limit holds.
        worst, worst_gy: the position with the highest dose, and that dose.
        recomputed: positions that the engine computed; the others were read in the displaced dose cloud.
        margin_percent: added to those others: the most that the computed ones showed to be missing in the cloud; a
            fixed one where none was computed.
        sizes: of the displacements, for the headline: "one displacement at a time: 1 mm or 1 deg".
        remarks: sentences on positions beyond those counted, and on why the limit is held in them.
    """

    scenarios: str
    promised: bool
    count: int
    held: int
    worst: str
    worst_gy: float
    recomputed: tuple[str, ...]
    margin_percent: float
    sizes: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For the statement of a certificate."""
        state = f"{'held' if self.promised else 'met'} in {self.held} of {self.count} positions of the patient"
        others = self.count - 1 - len(self.recomputed)
        cloud = f"{others} read in the displaced dose cloud" + (
            f", {self.margin_percent:.2g} % added" if self.margin_percent > 0 else ""
        )
        how = [f"{len(self.recomputed)} computed by the engine ({'; '.join(self.recomputed)})"] * bool(self.recomputed)
        how += [cloud] * (others > 0)
        text = (
            f" {state[0].upper()}{state[1:]} ({self.scenarios}); worst {self.worst_gy:.2f} Gy ({self.worst}); "
            f"{', '.join(('1 as planned', *how))}."
        )
        if self.promised and others > 0 and not self.recomputed:
            text += " NOT CONFIRMED BY THE ENGINE: it computed none of the displaced positions."
        return " ".join((text, *self.remarks))


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """Whether a hard goal holds in the delivered dose, by the same DVH and rule as the grade.

    Attributes:
        structure, metric: what is limited, e.g. "spinal_cord_prv", "D0.035cc".
        limit_gy, reached_gy: wanted, and got as planned, in the final forward dose; of a goal on a volume the dose that
            this volume gets; None for plan indices, whose numbers the statement gives.
        held: the goal is met, in every position where that is promised.
        statement: a few sentences for the report; they say how much coverage was reached when that is less than wanted.
        engine, grid: of the dose that it was read in.
        positions: of the patient, beside the planned one; None when none were asked for or none matter to this goal.
        needed_gy: the limit at which this very plan would cover as wanted, with more monitor units; None when it covers
            so or this limit is not what stands in the way. Another plan may need less: :mod:`rtsim.optimize.tradeoff`.
    """

    structure: str
    metric: str
    limit_gy: float | None
    reached_gy: float | None
    held: bool
    statement: str
    engine: str = ""
    grid: str = ""
    positions: PositionsHeld | None = None
    needed_gy: float | None = None

    @property
    def headline(self) -> str:
        """One line: "Cord limit HELD in 13 of 13 positions (one displacement at a time: 1 mm or 1 deg; worst 15.92 of
        17 Gy D0.035cc, 1 mm anterior)".
        """
        what = "Cord" if canonical(self.structure) == "spinal_cord" else self.structure
        held = "HELD" if self.held else "NOT HELD"
        if self.limit_gy is None or self.reached_gy is None:
            return f"{what} {self.metric} limit {held}"
        p = self.positions
        if p is not None and p.promised:
            worst = f"worst {p.worst_gy:.2f} of {self.limit_gy:g} Gy {self.metric}, {p.worst}"
            return (
                f"{what} limit {held} in {p.held} of {p.count} positions ({'; '.join(filter(None, (p.sizes, worst)))})"
            )
        beside = f"; {p.worst_gy:.2f} Gy when {p.worst}" if p is not None else ""
        return f"{what} limit {held} as planned ({self.reached_gy:.2f} of {self.limit_gy:g} Gy {self.metric}{beside})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A deliverable plan.

    Attributes:
        beams: with control points; monitor units are those of one fraction.
        prescription: target, dose and fractions.
        label: for reports and RTPLAN.
        certificates: one per hard goal that can be judged.
        not_checked: a sentence per hard goal that cannot be: its structure is not drawn, or off the dose grid.
        notes: what the planner decided on the way, in sentences, for the report.
    """

    beams: tuple[Beam, ...]
    prescription: Prescription
    label: str = "rtsim"
    certificates: tuple[Certificate, ...] = ()
    not_checked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = ", ".join(b.label for b in self.beams if not b.control_points)
        if missing or not self.beams:
            raise InputError(f"a plan needs beams with control points; without: {missing or 'no beams at all'}")

    @property
    def monitor_units(self) -> float:
        """Monitor units of one fraction."""
        return sum(b.monitor_units for b in self.beams)

    def __str__(self) -> str:
        """Prescription, beams, certificates, and how much there is to read in the notes."""
        limits = [c.headline for c in sorted(self.certificates, key=lambda c: c.held)]
        more = f"; and {len(limits) - _HEADLINES} more" if len(limits) > _HEADLINES else ""
        lines = [
            f"{self.label}: {self.prescription}",
            f"{self._technique} on {', '.join(dict.fromkeys(b.machine.name for b in self.beams))}",
            ("; ".join(limits[:_HEADLINES]) or "no hard limit was judged") + more,
        ]
        lines += [f"NOT JUDGED: {len(self.not_checked)} hard limits (not_checked)"] * bool(self.not_checked)
        return "\n".join([*lines, f"{len(self.notes)} notes (notes)"])

    def __repr__(self) -> str:
        return f"Plan({self.label!r}, {self._technique}, {len(self.certificates)} certificates)"

    @property
    def _technique(self) -> str:
        arcs = sum(b.is_arc for b in self.beams)
        count = len(self.beams)
        kind = "arc" if arcs == count else "beam"
        points = sum(len(b.control_points) for b in self.beams)
        return (
            f"{count} {kind}{'s' * (count != 1)} with {points} control points, {self.monitor_units:.0f} MU a fraction"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Planned:
    """A plan with the dose that certifies it.

    Attributes:
        plan: deliverable, with certificates and notes.
        dose: the engine's forward dose of ``plan.beams``, all fractions.
        phantom: the phantom planned on, with the PRV when one was made.
        fluence: the optimized fluence it started from; None for forward-planned beams.
        levels_gy: for each hard limit of ``fluence.planning`` the level of its constraint at which, as far as the
            forward doses taught, the delivered dose meets the limit (in every position where that is promised).
    """

    plan: Plan
    dose: Dose
    phantom: Phantom
    fluence: FluencePlan | None = None
    levels_gy: tuple[float, ...] = ()

    def __str__(self) -> str:
        """The plan, and what its target gets."""
        return f"{self.plan}\n{self._coverage}"

    def __repr__(self) -> str:
        return f"Planned({self.plan!r}, {self.dose!r})"

    @property
    def _coverage(self) -> str:
        rx = self.plan.prescription
        target = self.phantom.structures.get(rx.target)
        if target is None:
            return f"{rx.target} is not drawn; {self.dose!r}"
        found = dvh(self.dose, target)
        covered = np.floor(10.0 * found.volume_percent_at(rx.dose_gy * (1.0 - 1e-6)) + 1e-9) / 10.0
        return (
            f"{rx.target}: {covered:g} % get {rx.dose_gy:g} Gy ({rx.coverage_percent:g} % wanted), D95% "
            f"{found.dose_gy_at_percent(95.0):.2f} Gy, maximum in the body {self.dose.max_gy:.2f} Gy"
        )

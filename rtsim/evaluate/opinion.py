"""SecondOpinion: what checking a plan by a second dose found, as data and as a text table."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import Final

from scipy.special import ndtr, stdtrit

from rtsim.evaluate.gamma import GammaResult
from rtsim.evaluate.report import GradeReport
from rtsim.protocol import Goal, Metric, Sense

RESOLVED_SIGMAS: Final = 2.0
"""A limit counts as held or broken when it lies this many standard deviations away, where these are known well: wrong
in 1 of 44 cases where the dose lies on the limit itself (normal distribution, one side)."""
_LEAST_NOISE_SHARE: Final = 0.1
"""Less noise than this share of what there is takes more than 100 times the histories."""
_WIDTH: Final = 110


def sigmas_needed(runs: int) -> float:
    """Estimated standard deviations that are wrong as rarely as ``RESOLVED_SIGMAS`` known ones.

    Student's t for ``runs`` - 1 degrees of freedom, because the noise of a mean over a volume is known from the spread
    of the runs alone: 2.43 for 8 runs. That of a single voxel is known better, from all batches; for it this is more
    than needed. ``RESOLVED_SIGMAS`` without runs.
    """
    return float(-stdtrit(runs - 1, ndtr(-RESOLVED_SIGMAS))) if runs > 1 else RESOLVED_SIGMAS


class Verdict(Enum):
    """What the check says of a hard limit; in the order of severity."""

    HELD = "held"
    UNRESOLVED = "not resolved within the noise"
    BROKEN = "BROKEN"


def signed(value: float, digits: int) -> str:
    """A difference for a table: "+0.10", "-0.03", and "0.00" for what rounds to nothing."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0.0:.{digits}f}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric in both doses.

    Attributes:
        structure: its name in the phantom.
        metric: with the unit of all the values.
        planned: in the planned dose.
        measured: in the check as it stands, noise and all.
        noise_bias: how much higher than without noise the check reads on average, estimated.
        uncertainty: one standard deviation of ``checked``, that of ``noise_bias`` and ``common`` included.
        common: the part of it that more histories do not reduce: what all voxels have in common.
    """

    structure: str
    metric: Metric
    planned: float
    measured: float
    noise_bias: float = 0.0
    uncertainty: float = 0.0
    common: float = 0.0

    @property
    def name(self) -> str:
        """E.g. "spinal_cord D0.035cc"."""
        return f"{self.structure} {self.metric.name}"

    @property
    def checked(self) -> float:
        """The value of the check without the average effect of its noise."""
        return self.measured - self.noise_bias

    @property
    def difference(self) -> float:
        """Check minus plan, in the unit of the metric."""
        return self.checked - self.planned

    @property
    def difference_percent(self) -> float | None:
        """Check minus plan in percent of the plan; None where the unit is percent, or the plan has 0."""
        return None if self.metric.unit.value == "%" or self.planned == 0 else 100.0 * self.difference / self.planned

    @property
    def text(self) -> str:
        """The value of the check with its standard deviation, e.g. "12.71 +- 0.06 Gy"."""
        return f"{self.checked:.2f} +- {self.uncertainty:.2f} {self.metric.unit.value}".rstrip()


@dataclass(frozen=True, kw_only=True)
class CheckedLimit:
    """A hard limit in both doses.

    Attributes:
        runs: independent runs that the noise is known from; 0: another way.
    """

    goal: Goal
    comparison: Comparison
    runs: int = 0

    @property
    def sigmas_inside(self) -> float:
        """Distance of the check from the limit, on its good side, in standard deviations; +-inf without noise."""
        room = self.goal.value - self.comparison.checked
        room = room if self.goal.sense is Sense.AT_MOST else -room
        if self.comparison.uncertainty > 0:
            return room / self.comparison.uncertainty
        return math.inf if self.goal.met_by(self.comparison.checked) else -math.inf

    @property
    def verdict(self) -> Verdict:
        """Held or broken by at least ``sigmas_needed`` standard deviations, else not resolved."""
        if self.sigmas_inside >= self.sigmas_needed:
            return Verdict.HELD
        return Verdict.BROKEN if self.sigmas_inside <= -self.sigmas_needed else Verdict.UNRESOLVED

    @property
    def sigmas_needed(self) -> float:
        """Standard deviations that make a verdict."""
        return sigmas_needed(self.runs)

    @property
    def noise_share(self) -> float:
        """How large a share of its noise would decide a limit that is not resolved; 0: none would.

        The noise, and ``common`` in quadrature, may be as large as the distance from the limit over ``sigmas_needed``.
        """
        c = self.comparison
        allowed = self.sigmas_inside * c.uncertainty / self.sigmas_needed
        return math.sqrt(max(allowed**2 - c.common**2, 0.0) / (c.uncertainty**2 - c.common**2))

    @property
    def statement(self) -> str:
        """One sentence."""
        c, g = self.comparison, self.goal
        limit = f"{g.sense.value} {g.value:g} {g.unit}".rstrip()
        return f"{c.name} is {c.text} in the check ({c.planned:.2f} planned), limit {limit}: {self.verdict.value}."


@dataclass(frozen=True, eq=False, kw_only=True)
class CheckedGamma:
    """Gamma of the voxels of the check against the planned dose.

    Attributes:
        result: with the noise of the check, which lowers it.
        noise_alone_percent: pass rate of the planned dose itself with noise of the same size laid upon it: what a check
            that agrees perfectly would reach; None without noise.
    """

    result: GammaResult
    noise_alone_percent: float | None

    def __str__(self) -> str:
        alone = self.noise_alone_percent
        return str(self.result) + ("" if alone is None else f" (noise alone: {alone:.2f} %)")


@dataclass(frozen=True, eq=False, kw_only=True)
class SecondOpinion:
    """A plan checked by a second dose. ``str(opinion)`` is a text table.

    Attributes:
        planned_engine, check_engine: what computed the doses.
        uncertainty_percent: mean standard deviation of the check above half its maximum; None: it states none.
        rows: target, cord and cord PRV, and whatever a hard limit is about.
        limits: the hard limits.
        not_checked: hard limits that cannot be judged, each with the reason.
        gammas: of ``GAMMA_CRITERIA``, global to the prescription, inside the patient.
        grade: of the check, all goals, noise and all.
        changed: goals, not hard limits, with another verdict than in the plan, in sentences.
        notes: what the reader must know.
        positions: of the patient that the certificates of the plan speak of; the check is about the planned one.
    """

    planned_engine: str
    check_engine: str
    uncertainty_percent: float | None
    rows: tuple[Comparison, ...]
    limits: tuple[CheckedLimit, ...]
    not_checked: tuple[str, ...]
    gammas: tuple[CheckedGamma, ...]
    grade: GradeReport
    changed: tuple[str, ...]
    notes: tuple[str, ...]
    positions: int = 1

    @property
    def where(self) -> str:
        """For a verdict that stands beside certificates of several positions of the patient."""
        if self.positions <= 1:
            return ""
        return f", in the planned position (it does not judge the other {self.positions - 1} of the certificate)"

    @property
    def verdict(self) -> Verdict | None:
        """The worst of the limits; None when there is no limit to judge."""
        order = list(Verdict)
        return max((limit.verdict for limit in self.limits), key=order.index, default=None)

    @property
    def headline(self) -> str:
        """Do the hard limits hold in the check too?"""
        start = {
            None: "No hard limit could be judged in the check.",
            Verdict.HELD: f"The hard limits hold in the check too{self.where}.",
            Verdict.UNRESOLVED: f"NOT RESOLVED: the noise of the check hides whether the hard limits hold{self.where}.",
            Verdict.BROKEN: f"A HARD LIMIT IS BROKEN in the check{self.where}.",
        }[self.verdict]
        return " ".join([start, *(limit.statement for limit in self.limits), *self._advice(), *self.not_checked])

    def _advice(self) -> list[str]:
        shares = [limit.noise_share for limit in self.limits if limit.verdict is Verdict.UNRESOLVED]
        if not shares or self.uncertainty_percent is None:
            return []
        wanted = self.uncertainty_percent * min(shares)
        if min(shares) < _LEAST_NOISE_SHARE:
            return ["The check lies on the limit itself: no affordable number of histories decides."]
        return [f"An uncertainty of about {wanted:.2g} % instead of {self.uncertainty_percent:.2g} % would decide."]

    @property
    def noise_text(self) -> str:
        """How large the noise of the check is."""
        if self.uncertainty_percent is None:
            return "no statistical uncertainty stated"
        return f"mean uncertainty {self.uncertainty_percent:.2g} % (one standard deviation) above half the maximum"

    def __str__(self) -> str:
        mark = "=" if self.verdict is Verdict.HELD else "!"
        head = f"SECOND OPINION by {self.check_engine} ({self.noise_text}) on a plan by {self.planned_engine}"
        lines = [mark * _WIDTH, *textwrap.wrap(head, _WIDTH), *textwrap.wrap(self.headline, _WIDTH), mark * _WIDTH]
        lines += ["", self._table(), "", *map(str, self.gammas)]
        for text in (*self.changed, *(f"note: {note}" for note in self.notes)):
            lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def _table(self) -> str:
        head = ("structure", "metric", "plan", "check", "+- 1 sigma", "difference", "of plan", "noise, taken off")
        rows = [
            (
                row.structure,
                str(row.metric),
                f"{row.planned:.2f}",
                f"{row.checked:.2f}",
                f"{row.uncertainty:.2f}",
                f"{signed(row.difference, 2)} {row.metric.unit.value}".rstrip(),
                "" if row.difference_percent is None else f"{signed(row.difference_percent, 1)} %",
                signed(row.noise_bias, 2),
            )
            for row in self.rows
        ]
        wide = [max(len(line[n]) for line in (head, *rows)) for n in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.ljust(w) if n < 2 else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, wide, strict=True))
            ).rstrip()
            for line in (head, *rows)
        )

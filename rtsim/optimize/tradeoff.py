"""What a cord limit costs: the limit against coverage and D95 of the target, by optimizing the fluence again.

The matrix stays, so that a point of the curve takes about a second. All limits on the cord and what stands for it are
multiplied by one factor; whatever holds a lower limit holds a higher one too, so that the best found so far stays good:
the curve never falls.

What leaves, leakage and displaced positions cost does not show in a fluence. A planner that computed what is delivered
knows the levels at which the limits hold there, and the fluence is held at these. What is missing still a plan tells
that its limit kept from the wanted coverage: the limit at which the fluence covers as little lies ``delivery_gy``
lower, and the curve is read that much further up. The shift is added, as leakage does not fall with the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtsim.dose.dvh import dvh
from rtsim.errors import InputError
from rtsim.optimize.fluence import FLUENCE_SOLVER, FluencePlan
from rtsim.optimize.plan import Planned
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.optimize.tradeoff_reading import Learned, OwnDose, certified_gy
from rtsim.optimize.tradeoff_series import Reading, Series, coverage_percent
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray, Progress

TRADEOFF_SOLVER = replace(FLUENCE_SOLVER, max_iterations=60)
"""A point starts from its neighbor, and its monitor units are scaled to its limit in the end."""

SLACK_PERCENT = 0.1
"""So much less than the wanted coverage still counts as it, as in a plan."""


@dataclass(frozen=True, kw_only=True)
class DeliveredPoint:
    """The plan on the picture: its coverage in percent, D95 and reached dose, and the limit that it was made for.

    ``reached_gy`` is the worst of all positions of the patient in which the limit is promised.
    """

    limit_gy: float
    reached_gy: float
    coverage_percent: float
    d95_gy: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Tradeoff:
    """Cord limit against the target's dose.

    Attributes:
        structure, metric: what is limited, e.g. "spinal_cord", "D0.035cc".
        limit_gy: the limit that was asked for.
        prescription: target, dose, and the coverage wanted.
        limits_gy: (n,) increasing.
        coverage_percent, d95_gy: (n,) never falling: the best found of an optimized fluence under each limit, scaled to
            the limit or to the wanted coverage, whichever is lower.
        reached_gy: (n,) of ``metric`` in the fluence optimized for each limit.
        delivered: the plan itself; None for a fluence.
        delivery_gy: how much higher a limit must be than for a fluence to cover as much in a delivered plan; 0 where
            that is not known: without a plan, or when its limit did not keep it from the wanted coverage.
        delivery_d95_gy: the same for D95.
        scaled_with: the other limits that were multiplied by the same factor.
    """

    structure: str
    metric: str
    limit_gy: float
    prescription: Prescription
    limits_gy: FloatArray
    coverage_percent: FloatArray
    d95_gy: FloatArray
    reached_gy: FloatArray
    delivered: DeliveredPoint | None = None
    delivery_gy: float = 0.0
    delivery_d95_gy: float = 0.0
    scaled_with: tuple[str, ...] = ()

    def __repr__(self) -> str:
        low, high = float(self.limits_gy[0]), float(self.limits_gy[-1])
        return f"Tradeoff({self.structure} {self.metric}, {self.limits_gy.size} limits from {low:.3g} to {high:.3g} Gy)"

    def __str__(self) -> str:
        return self.statement

    @property
    def wanted_percent(self) -> float:
        """The coverage that is wanted."""
        return self.prescription.coverage_percent

    @property
    def needed_gy(self) -> float | None:
        """The limit that the wanted coverage would need; None when no limit looked at is high enough.

        Never above the limit asked for where that gives the wanted coverage: the plan is the proof.
        """
        found = self.limit_for(self.wanted_percent - SLACK_PERCENT)
        if not self.is_reached:
            return found
        return self.limit_gy if found is None else min(found, self.limit_gy)

    @property
    def is_reached(self) -> bool:
        """The wanted coverage is reached at the limit asked for: in the plan, or without one in the fluence."""
        return self._coverage_here() >= self.wanted_percent - SLACK_PERCENT

    def limit_for(self, coverage_percent: float) -> float | None:
        """The lowest limit in Gy that leaves this coverage, straight between the points; what delivery costs is in it.

        The lowest limit looked at when that already leaves more; None when none does.
        """
        found = _first_at(self.limits_gy, self.coverage_percent, coverage_percent)
        return None if found is None else max(found + self.delivery_gy, 0.0)

    def coverage_at(self, limit_gy: float) -> float:
        """Coverage in percent at a limit, straight between the points, level beyond them."""
        return float(np.interp(limit_gy - self.delivery_gy, self.limits_gy, self.coverage_percent))

    def d95_at(self, limit_gy: float) -> float:
        """D95 of the target in Gy at a limit, in the same way."""
        return float(np.interp(limit_gy - self.delivery_d95_gy, self.limits_gy, self.d95_gy))

    @property
    def statement(self) -> str:
        """What it says, in one sentence."""
        target, dose = self.prescription.target, f"{self.prescription.dose_gy:g} Gy"
        what = f"{self.structure} {self.metric}"
        here, wanted, needed = f"{floored(self._coverage_here()):g} %", f"{self.wanted_percent:g} %", self.needed_gy
        leaves = f"the limit of {self.limit_gy:g} Gy leaves {here}"
        if self.is_reached:
            lowest = (
                "" if needed is None or needed >= self.limit_gy else f"; optimized fluence does from {needed:.1f} Gy"
            )
            return (
                f"The limit of {self.limit_gy:g} Gy on {what} leaves {here} of {target} with {dose}, as wanted{lowest}."
            )
        if needed is None:
            highest = float(self.limits_gy[-1]) + self.delivery_gy
            return f"No limit up to {highest:.1f} Gy on {what} gives {wanted} of {target} its {dose}; {leaves}."
        anew = (
            f"{wanted} of {target} with {dose} would need a limit of {needed:.1f} Gy on {what}, optimized anew for it"
        )
        return f"{anew}; {leaves}."

    def _coverage_here(self) -> float:
        return self.coverage_at(self.limit_gy) if self.delivered is None else self.delivered.coverage_percent


def floored(percent: float) -> float:
    """Percent with one decimal, never more than there is: 89.96 % is not 90 %."""
    return float(np.floor(10.0 * percent + 1e-9)) / 10.0


def _first_at(x: FloatArray, rising: FloatArray, level: float) -> float | None:
    """The first x at which a curve that never falls reaches ``level``; None when it does not."""
    reached = np.flatnonzero(rising >= level - 1e-9)
    if not reached.size:
        return None
    k = int(reached[0])
    if k == 0 or rising[k] == rising[k - 1]:
        return float(x[k])
    return float(x[k - 1] + (x[k] - x[k - 1]) * (level - rising[k - 1]) / (rising[k] - rising[k - 1]))


def tradeoff(
    plan: Planned | FluencePlan,
    phantom: Phantom | None = None,
    *,
    structure: str | None = None,
    limits_gy: Sequence[float] | None = None,
    solver: AugmentedLagrangian | None = None,
    progress: Progress | None = None,
) -> Tradeoff:
    """Optimize the fluence again for a series of limits.

    Args:
        plan: a stereotactic plan, or an optimized fluence.
        phantom: of a ``FluencePlan``; a ``Planned`` has its own.
        structure: whose hard limits are moved; default: the cord and what stands for it, else the one closest to its
            limit. The limit that is closest to being reached gives the axis.
        limits_gy: of that limit; default: below the protocol's and above it as far as coverage changes.
        solver: of one point.
        progress: ``StopOptimization`` raised from it ends the series; the points until then are given.

    Raises:
        InputError: a plan without an optimized fluence, no hard limit to move, or limits that are not positive.
        InfeasiblePlanError: no fluence gives the target any dose.
    """
    fluence, given = (plan.fluence, plan.phantom) if isinstance(plan, Planned) else (plan, phantom)
    if fluence is None:
        raise InputError(
            "the plan has no optimized fluence (a forward-planned one), so that no limit can be moved; "
            "tradeoff takes what plan_stereotactic or rtsim.optimize.fluence returned"
        )
    if given is None:
        raise InputError("a FluencePlan does not hold its structures; give the phantom too: tradeoff(fluence, phantom)")
    limits = _checked(limits_gy)
    series = Series(
        fluence,
        given.structures[fluence.prescription.target],
        reading=_reading(plan, fluence),
        structure=structure,
        solver=solver or TRADEOFF_SOLVER,
        progress=progress,
    )
    delivered = _delivered(plan, series) if isinstance(plan, Planned) else None
    wanted = fluence.prescription.coverage_percent
    if limits is None:
        series.around(wanted if delivered is None else min(delivered.coverage_percent, wanted))
    else:
        series.through(limits)
    return _curve(series, delivered)


def _checked(limits_gy: Sequence[float] | None) -> tuple[float, ...] | None:
    if limits_gy is None:
        return None
    limits = tuple(sorted({float(v) for v in limits_gy}))
    if not limits or not (np.isfinite(limits).all() and limits[0] > 0):
        raise InputError(f"limits_gy is {list(limits_gy)}; one or more doses > 0 Gy are needed")
    return limits


def _reading(plan: Planned | FluencePlan, fluence: FluencePlan) -> Reading:
    if isinstance(plan, Planned) and len(plan.levels_gy) == len(fluence.planning.wishes.limits):
        return Learned.of_planned(plan, fluence)
    return OwnDose.of_fluence(fluence)


def _delivered(plan: Planned, series: Series) -> DeliveredPoint:
    histogram = dvh(plan.dose, series.target)
    return DeliveredPoint(
        limit_gy=series.limit.limit_gy,
        reached_gy=certified_gy(plan, series.limits)[series.ruling],
        coverage_percent=coverage_percent(histogram, series.prescription),
        d95_gy=histogram.dose_gy_at_percent(95.0),
    )


def _curve(series: Series, delivered: DeliveredPoint | None) -> Tradeoff:
    points = sorted(series.points, key=lambda p: p.limit_gy)
    limits_gy = np.array([p.limit_gy for p in points])
    coverage = np.maximum.accumulate([p.coverage_percent for p in points])
    d95_gy = np.maximum.accumulate([p.d95_gy for p in points])
    cost = d95_cost = 0.0
    if delivered is not None and delivered.coverage_percent < series.prescription.coverage_percent - SLACK_PERCENT:
        cost = _shift_gy(limits_gy, coverage, delivered.limit_gy, delivered.coverage_percent)
        d95_cost = _shift_gy(limits_gy, d95_gy, delivered.limit_gy, delivered.d95_gy)
    return Tradeoff(
        structure=series.limit.structure.name,
        metric=series.limit.goal.parsed.name,
        limit_gy=series.limit.limit_gy,
        prescription=series.prescription,
        limits_gy=limits_gy,
        coverage_percent=coverage,
        d95_gy=d95_gy,
        reached_gy=np.array([p.reached_gy for p in points]),
        delivered=delivered,
        delivery_gy=cost,
        delivery_d95_gy=d95_cost,
        scaled_with=tuple(series.limits[k].describe() for k in series.moved if k != series.ruling),
    )


def _shift_gy(limits_gy: FloatArray, rising: FloatArray, limit_gy: float, level: float) -> float:
    """How far to the right a curve must move to go through (limit_gy, level); 0 where it never gets there."""
    at = _first_at(limits_gy, rising, level)
    return 0.0 if at is None else limit_gy - at

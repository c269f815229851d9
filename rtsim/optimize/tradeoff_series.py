"""The points of a trade-off: the fluence optimized again under one limit after the other, each from its neighbor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from rtsim.dose.dvh import DVH, dvh
from rtsim.errors import InputError
from rtsim.optimize.delivered import COVERAGE_SPARE, SAFETY
from rtsim.optimize.fluence import FluencePlan, Planning, optimize_fluence
from rtsim.optimize.goals import DoseVolumeLimit
from rtsim.optimize.solver import AugmentedLagrangian, StopOptimization
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Prescription
from rtsim.protocol.nomenclature import canonical
from rtsim.typing import FloatArray, Progress

CORD = ("spinal_cord", "spinal_cord_prv", "spinal_canal", "thecal_sac", "cauda_equina")
"""The cord and what stands for it, by their canonical names."""

_DOWN = (0.85, 0.7, 0.55, 0.42, 0.32, 0.25)
_UP = (1.15, 1.3, 1.5, 1.75, 2.0, 2.5)
"""Limits relative to the one asked for; each series ends where nothing is left to learn."""

_TRIES = 3
"""Optimizations of one point at most: where coverage lacks, the target's objective aims higher."""

_LEAST_STEP = 1.02
"""By which the aim rises at least: few iterations do not tell a per mille apart."""

_FREE = 1.05
"""A fluence that keeps this far from every limit, and covers as wanted, is the best under any higher limit too."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Point:
    """What the fluence optimized for one limit gives, scaled to the limit or to the wanted coverage."""

    limit_gy: float
    coverage_percent: float
    d95_gy: float
    reached_gy: float
    weights: FloatArray
    is_free: bool


class Reading(Protocol):
    """How near a fluence is to each hard limit.

    Attributes:
        levels_gy: of the constraints at which the limits hold.
        of_plan: the dose in Gy that the plan gives each limit.
    """

    @property
    def levels_gy(self) -> tuple[float, ...]:
        """By position of the limit."""
        ...

    @property
    def of_plan(self) -> tuple[float, ...]:
        """By position of the limit."""
        ...

    def of(self, fluence: FluencePlan) -> tuple[float, ...]:
        """The dose in Gy that counts against each limit; 0 where its structure lies off the dose grid."""
        ...

    def given_back(self, levels: dict[int, float], aims: Sequence[float], fluence: FluencePlan) -> dict[int, float]:
        """Levels for another try, without what a constraint took too much."""
        ...


class Series:
    """One fluence under several limits; ``points`` in the order in which they were found."""

    def __init__(
        self,
        fluence: FluencePlan,
        target: Structure,
        *,
        reading: Reading,
        structure: str | None,
        solver: AugmentedLagrangian,
        progress: Progress | None,
    ) -> None:
        self.fluence, self.prescription, self.target = fluence, fluence.prescription, target
        self.limits, self.reading = fluence.planning.wishes.limits, reading
        self.solver, self.progress, self.stopped = solver, progress, False
        shares = [r / limit.limit_gy for r, limit in zip(reading.of_plan, self.limits, strict=True)]
        self.moved = moved_limits(self.limits, shares, target.name, structure)
        self.ruling = max(self.moved, key=lambda k: shares[k])
        self.points: list[Point] = []

    @property
    def limit(self) -> DoseVolumeLimit:
        """The moved limit that is closest to being reached."""
        return self.limits[self.ruling]

    def through(self, limits_gy: tuple[float, ...]) -> None:
        """Points at these limits, from the highest down."""
        start = self.fluence.solution.weights
        for n, limit_gy in enumerate(reversed(limits_gy)):
            start = self._add(limit_gy / self.limit.limit_gy, start, n / len(limits_gy)).weights
            if self.stopped:
                return

    def around(self, least_percent: float) -> None:
        """Points at the limit asked for, above it until the wanted coverage is reached, and below it.

        Args:
            least_percent: below, until no more than this is covered.
        """
        middle = self._add(1.0, self.fluence.solution.weights, 0.0)
        self._up(middle)
        self._down(middle, least_percent)

    def _up(self, middle: Point) -> None:
        point = middle
        for n, factor in enumerate(_UP):
            if self.stopped or (n > 0 and point.coverage_percent >= self.prescription.coverage_percent):
                return
            if point.is_free:
                point = replace(point, limit_gy=factor * self.limit.limit_gy)
                self.points.append(point)
            else:
                point = self._add(factor, point.weights, 0.15 + 0.35 * n / len(_UP))

    def _down(self, middle: Point, least_percent: float) -> None:
        """Until no more than ``least_percent`` is covered, and clearly less of the target's dose is left."""
        point = middle
        for n, factor in enumerate(_DOWN):
            has_fallen = point.coverage_percent < middle.coverage_percent - 5.0 or point.d95_gy < 0.8 * middle.d95_gy
            if self.stopped or (has_fallen and point.coverage_percent <= least_percent):
                return
            point = self._add(factor, point.weights, 0.5 + 0.5 * n / len(_DOWN))

    def _add(self, factor: float, start: FloatArray, done: float) -> Point:
        point = self._optimized(factor, start, done)
        self.points.append(point)
        return point

    def _optimized(self, factor: float, start: FloatArray, done: float) -> Point:
        factors = [factor if k in self.moved else 1.0 for k in range(len(self.limits))]
        aims = [f * limit.limit_gy * (1.0 - SAFETY) for f, limit in zip(factors, self.limits, strict=True)]
        levels = {k: f * self.reading.levels_gy[k] for k, f in enumerate(factors)}
        planning, best = self.fluence.planning, None
        for _ in range(_TRIES):
            progress = self._progress(factor * self.limit.limit_gy, done)
            fluence = optimize_fluence(planning, solver=self.solver, levels_gy=levels, start=start, progress=progress)
            reached = self.reading.of(fluence)
            allowed = min((aim / r for aim, r in zip(aims, reached, strict=True) if r > 0), default=np.inf)
            allowed = min(allowed, planning.wishes.own_scale(fluence.solution.dose_gy))
            point = self._read(fluence, factor * self.limit.limit_gy, reached, allowed)
            if best is None or point.coverage_percent > best.coverage_percent:
                best = point
            if self.stopped or point.coverage_percent >= self.prescription.coverage_percent:
                break
            start = fluence.solution.weights
            planning = _aiming_higher(planning, dvh(fluence.dose, self.target), allowed)
            levels = self.reading.given_back(levels, aims, fluence)
        assert best is not None
        return best

    def _read(self, fluence: FluencePlan, limit_gy: float, reached: tuple[float, ...], allowed: float) -> Point:
        histogram = dvh(fluence.dose, self.target)
        wanted = max(1.0, self.prescription.dose_gy / max(_coverage_dose(histogram, self.prescription), 1e-9))
        scale = min(allowed, wanted)
        return Point(
            limit_gy=limit_gy,
            coverage_percent=coverage_percent(histogram, self.prescription, scale),
            d95_gy=scale * histogram.dose_gy_at_percent(95.0),
            reached_gy=scale * reached[self.ruling],
            weights=fluence.solution.weights,
            is_free=wanted == 1.0 and allowed > _FREE,
        )

    def _progress(self, limit_gy: float, done: float) -> Progress | None:
        outer = self.progress
        if outer is None:
            return None

        def update(_: float, text: str) -> None:
            try:
                outer(done, f"limit {limit_gy:.1f} Gy: {text}")
            except StopOptimization:
                self.stopped = True
                raise

        return update


def moved_limits(
    limits: tuple[DoseVolumeLimit, ...], shares: Sequence[float], target: str, structure: str | None
) -> tuple[int, ...]:
    """Positions of the limits to move: of ``structure``; else of the cord; else of the organ closest to its limit.

    Raises:
        InputError: there is none.
    """
    organs = [k for k, limit in enumerate(limits) if limit.structure.name != target]
    if structure is not None:
        found = tuple(k for k in organs if structure in (limits[k].structure.name, limits[k].goal.structure))
    else:
        found = tuple(k for k in organs if canonical(limits[k].structure.name) in CORD)
        if not found and organs:
            name = limits[max(organs, key=lambda k: shares[k])].structure.name
            found = tuple(k for k in organs if limits[k].structure.name == name)
    if not found:
        names = ", ".join(dict.fromkeys(limits[k].structure.name for k in organs)) or "none"
        what = "on an organ" if structure is None else f"on {structure!r}"
        raise InputError(f"there is no hard limit {what} that could be moved. Structures with hard limits: {names}")
    return found


def coverage_percent(histogram: DVH, prescription: Prescription, scale: float = 1.0) -> float:
    """Percent of the target that gets the prescription when the dose is scaled."""
    return histogram.volume_percent_at(prescription.dose_gy / max(scale, 1e-9) * (1.0 - 1e-6))


def _coverage_dose(histogram: DVH, prescription: Prescription) -> float:
    return histogram.dose_gy_at_percent(min(100.0, prescription.coverage_percent + COVERAGE_SPARE))


def _aiming_higher(planning: Planning, histogram: DVH, allowed: float) -> Planning:
    """The target's objective aims higher by what coverage lacks when all is scaled to the limits."""
    prescription, weights = planning.prescription, planning.weights
    got = min(allowed, 1.1) * _coverage_dose(histogram, prescription) / prescription.dose_gy
    aim = min(weights.aim * min(max(1.0 / max(got, 1e-9), _LEAST_STEP), 1.06), weights.ceiling - 0.05)
    weights = replace(weights, aim=max(aim, weights.aim))
    return planning.with_weights(weights)

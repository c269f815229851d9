"""Direct aperture optimization: all leaf ends and monitor units together, for the objectives and hard limits of a plan.

The dose is A f, with the fluence f of :mod:`rtsim.optimize.apertures.openings`, so that one evaluation costs one
product with the influence matrix and one with its adjoint, as that of a fluence does. Hard limits are held by an
augmented Lagrangian over L-BFGS-B. Left and right end of a pair are bounded by a line between them, so that they never
come closer than the machine allows; the line moves with the pair after each inner minimization.

Source: Shepard et al., Med Phys 29 (2002) 1007, DOI 10.1118/1.1477415 (direct aperture optimization); Cassioli &
Unkelbach, Phys Med Biol 58 (2013) 301, DOI 10.1088/0031-9155/58/2/301 (by gradients of the leaf ends); the augmented
Lagrangian is that of :mod:`rtsim.optimize.multipliers`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.optimize.apertures.model import ApertureDose, Point
from rtsim.optimize.apertures.motion import Motion
from rtsim.optimize.apertures.settings import DirectAperture
from rtsim.optimize.fluence import Planning
from rtsim.optimize.multipliers import Multipliers
from rtsim.optimize.segment_weights import Correction, Segment
from rtsim.optimize.solver import Solution, StopOptimization
from rtsim.typing import FloatArray, Progress

logger = logging.getLogger(__name__)

LEAF_SCALE_MM = 5.0
"""A leaf end's way of this length counts as much as the mean monitor units of a segment: scale of the variables."""


def optimize_apertures(
    planning: Planning,
    segments: tuple[Segment, ...],
    machine: Machine,
    *,
    correction: Correction | None = None,
    levels_gy: dict[int, float] | None = None,
    motion: Motion | None = None,
    settings: DirectAperture | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[Segment, ...], Solution]:
    """Leaf ends and monitor units of all segments, optimized together; as many segments, in the same order.

    Jaws stay. Leaves stay where the influence matrix knows their dose: between the outermost beamlets of their row and
    between the jaws. Pairs that stand behind a jaw stay there. What comes back is the best point that holds every
    limit to the tolerance, or else the least violating one, with ``weights`` its monitor units; never worse than the
    segments given, in the same model.

    Args:
        correction: what an earlier forward dose showed to be missing from the matrix.
        levels_gy: replaces hard limits by position.
        motion: adds a penalty on the way of leaves between segments.
        progress: gets the objective and the worst constraint; raise ``StopOptimization`` from it to take the best so
            far.

    Raises:
        InputError: no segments, or some without leaf pairs.
        MachineLimitError: the machine has no multileaf collimator, or another one.
    """
    if not segments:
        raise InputError("there are no segments whose apertures could be optimized; sequence a fluence first")
    chosen = settings or DirectAperture()
    dose = ApertureDose.of(planning, segments, machine, correction, levels_gy or {}, motion, chosen)
    return _Descent(dose, chosen, progress).run()


class _Descent:
    """One run: multipliers, penalty, lines between leaf ends, the best point so far."""

    def __init__(self, dose: ApertureDose, settings: DirectAperture, progress: Progress | None) -> None:
        self.model, self.settings, self.progress = dose, settings, progress
        self.point = dose.start()
        self.unit = max(float(self.point.monitor_units.mean()), 1e-9)
        self.evaluations = self.iterations = 0
        self.history: list[tuple[float, float]] = []
        self.best: tuple[tuple[float, float], Point] | None = None
        gy = self.model.dose(self.point)
        value = self.model.objective(self.point, gy)[0]
        self.rho = settings.penalty * max(abs(value), 1e-12)
        self.multipliers = Multipliers(self.model.constraints, gy)
        self._keep(self.point, gy, value)

    def _keep(self, point: Point, gy: FloatArray, value: float) -> float:
        """Remember the point when it is the best feasible so far; return its violation."""
        violation = self.multipliers.worst(gy)
        rank = (0.0, value) if violation <= self.settings.tolerance else (violation, value)
        if self.best is None or rank < self.best[0]:
            self.best = (rank, point)
        return violation

    def _point(self, y: FloatArray) -> Point:
        m = self.model.openings.count
        return Point(ends_mm=y[: 2 * m].reshape(m, 2) * LEAF_SCALE_MM, monitor_units=y[2 * m :] * self.unit)

    def _vector(self, point: Point) -> FloatArray:
        return np.concatenate((point.ends_mm.ravel() / LEAF_SCALE_MM, point.monitor_units / self.unit))

    def _lagrangian(self, y: FloatArray) -> tuple[float, FloatArray]:
        self.evaluations += 1
        point = self._point(y)
        gy = self.model.dose(point)
        value, slope, direct = self.model.objective(point, gy)
        value += self.multipliers.add_terms(gy, self.rho, slope)
        of_ends, of_units = self.model.pullback(point, slope)
        of_ends, of_units = of_ends + direct[0], of_units + direct[1]
        return value, np.concatenate((of_ends.ravel() * LEAF_SCALE_MM, of_units * self.unit))

    def _bounds(self) -> list[tuple[float, float | None]]:
        lower, upper = self.model.bounds(self.point)
        ends = zip(lower.ravel() / LEAF_SCALE_MM, upper.ravel() / LEAF_SCALE_MM, strict=True)
        least = self.settings.min_monitor_units / self.unit
        return [*((float(a), float(b)) for a, b in ends), *([(least, None)] * self.point.monitor_units.size)]

    def _inner(self, iterations: int) -> None:
        result = minimize(  # type: ignore[call-overload]  # the stubs want 1-D arrays typed as such
            self._lagrangian,
            self._vector(self.point),
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds(),
            callback=self._callback(),
            options={
                "maxiter": iterations,
                "maxcor": self.settings.memory,
                "maxfun": 3 * iterations,
                "ftol": min(1e-9, 1e-3 * self.settings.tolerance**2),
                "gtol": 1e-12,
            },
        )
        self.point = self.model.within(self._point(result.x))
        self.iterations += max(1, int(result.nit))

    def _callback(self) -> Callable[[FloatArray], None]:
        count = 0

        def step(y: FloatArray) -> None:
            nonlocal count
            count += 1
            if self.progress is not None and count % 5 == 0:
                self.progress(min(1.0, (self.iterations + count) / self.settings.max_iterations), self._status())

        return step

    def _status(self) -> str:
        if not self.history:
            return "optimizing apertures"
        value, violation = self.history[-1]
        return f"optimizing apertures: objective {value:.4g}, worst constraint {100 * violation:+.2f} %"

    def run(self) -> tuple[tuple[Segment, ...], Solution]:
        """Minimize and move the multipliers in turn; the best segments that hold every limit."""
        settings, converged, stopped = self.settings, False, False
        previous, previous_violation = math.inf, math.inf
        try:
            while self.iterations < settings.max_iterations and not converged:
                self._inner(min(settings.inner_iterations, settings.max_iterations - self.iterations))
                gy = self.model.dose(self.point)
                value = self.model.objective(self.point, gy)[0]
                violation = self._keep(self.point, gy, value)
                self._keep_scaled_down(gy)
                self.history.append((value, violation))
                self._update(gy, violation, previous_violation)
                settled = abs(previous - value) <= settings.tolerance * max(abs(value), 1e-12)
                converged = settled and violation <= settings.tolerance
                previous, previous_violation = value, violation
                if self.progress is not None:
                    self.progress(min(1.0, self.iterations / settings.max_iterations), self._status())
        except StopOptimization:
            stopped = True
        return self._result(converged, stopped)

    def _update(self, gy: FloatArray, violation: float, previous: float) -> None:
        self.multipliers.move(gy, self.rho)
        if violation > max(0.3 * previous, self.settings.tolerance):
            self.rho *= self.settings.penalty_growth

    def _keep_scaled_down(self, gy: FloatArray) -> None:
        """A point that violates upper limits a little holds them when all monitor units shrink: keep that one too."""
        violation = self.multipliers.worst(gy)
        units = self.point.monitor_units / (1.0 + violation * 1.001)
        if self.settings.tolerance < violation < 0.2 and units.min() >= self.settings.min_monitor_units:
            smaller = replace(self.point, monitor_units=units)
            less = self.model.dose(smaller)
            self._keep(smaller, less, self.model.objective(smaller, less)[0])

    def _result(self, converged: bool, stopped: bool) -> tuple[tuple[Segment, ...], Solution]:
        assert self.best is not None
        point = self.best[1]
        gy = self.model.dose(point)
        value, slope, _ = self.model.objective(point, gy)
        self.multipliers.add_prices(gy, slope)
        logger.info("apertures: %d evaluations, objective %.5g, converged %s", self.evaluations, value, converged)
        return self.model.segments_at(point), Solution(
            weights=point.monitor_units,
            dose_gy=gy,
            objective=value,
            violation=self.multipliers.worst(gy),
            history=tuple(self.history),
            slope_gy=slope,
            evaluations=self.evaluations,
            converged=converged,
            stopped=stopped,
        )

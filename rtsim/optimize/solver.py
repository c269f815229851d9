"""The solver: objectives under hard constraints and weights >= 0, by an augmented Lagrangian over projected L-BFGS.

minimize   sum_s w_s f_s(A x + o) + smoothing |G x|^2   subject to   g_c(A x + o) <= 0,  h_l(x) <= 0,  x >= 0

L(x, m) = f(x) + sum_i (max(0, m_i + r g_i)^2 - m_i^2) / (2 r);  m <- max(0, m + r g)  after each inner minimization.

Source: Nocedal & Wright, Numerical Optimization (2006), section 17.4; the inner minimization: ``quasi_newton.py``.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from rtsim.errors import InputError
from rtsim.optimize.beam_on_time import WeightLimit
from rtsim.optimize.constraints import Constraint, MaximumDose
from rtsim.optimize.multipliers import Multipliers
from rtsim.optimize.objectives import Objective, OneSided, Region
from rtsim.optimize.products import Matrix, Products, Waking, quiet_levels
from rtsim.optimize.quasi_newton import Descent, Point
from rtsim.typing import AnyFloatArray, FloatArray, IntArray, Progress

logger = logging.getLogger(__name__)


INNER = 0.03
"""An inner minimization ends when five iterations gain less than this share of the tolerance."""


WARM_UP = 10
"""Iterations before the penalty is set by the objective."""

LEAST = 1e-9
"""The penalty falls with the objective no further than to this share of its first value."""


class StopOptimization(Exception):  # noqa: N818 - a signal, as KeyboardInterrupt is
    """Raise it from ``progress`` to stop: the solver then returns the best weights it has so far."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """What is solved.

    Attributes:
        matrix: (rows, n) Gy per unit weight; sparse CSR or dense, float32 or float64. Products add up in float64.
        offset_gy: (rows,) dose that does not depend on the weights.
        objectives, constraints: each with its region (rows of the matrix).
        limits: on the weights themselves, e.g. on the monitor units that they will need.
        smoothing: (m, n) differences between neighboring weights, or None; ``smoothing_weight`` times their squared
            sum.
    """

    matrix: Matrix
    offset_gy: FloatArray
    objectives: tuple[tuple[Objective, Region], ...]
    constraints: tuple[tuple[Constraint, Region], ...] = ()
    limits: tuple[WeightLimit, ...] = ()
    smoothing: sparse.csr_array | None = None
    smoothing_weight: float = 0.0
    products: Products = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        if self.offset_gy.shape != (rows,):
            raise InputError(f"offset_gy has shape {self.offset_gy.shape}; the matrix has {rows} rows")
        if columns == 0:
            raise InputError(
                "the matrix has no columns: there is nothing to optimize; give the beams beamlets or segments"
            )
        if not any(o.weight > 0 for o, _ in self.objectives):
            raise InputError("the weights of all objectives are zero; give at least one a weight > 0")
        object.__setattr__(self, "offset_gy", np.asarray(self.offset_gy, dtype=np.float64))
        object.__setattr__(self, "products", Products(self.matrix))

    def dose(self, weights: FloatArray) -> FloatArray:
        """(rows,) Gy."""
        out = np.empty(self.offset_gy.shape)
        self.products.times(np.asarray(weights, dtype=np.float64), out)
        return out + self.offset_gy

    def pullback(self, slope: FloatArray) -> FloatArray:
        """(n,) gradient with respect to the weights of a gradient (rows,) with respect to dose."""
        return self.products.transposed_times(np.asarray(slope, dtype=np.float64))

    def objective(self, weights: FloatArray, dose: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient (rows,) with respect to dose, and gradient (n,) of the smoothing in the weights."""
        value, slope = 0.0, np.zeros(dose.shape)
        for objective, region in self.objectives:
            if objective.weight > 0:
                own, gradient = objective.evaluate(dose[region.rows], region)
                value += objective.weight * own
                slope[region.rows] += objective.weight * gradient
        direct = np.zeros(weights.shape)
        if self.smoothing is not None and self.smoothing_weight > 0:
            steps = self.smoothing @ weights
            value += self.smoothing_weight * float(steps @ steps)
            direct = 2.0 * self.smoothing_weight * (self.smoothing.T @ steps)
        return value, slope, direct

    def worst(self, weights: FloatArray, dose: FloatArray) -> tuple[float, str]:
        """The worst constraint or limit: how far above it, relative to it, 0 when all hold; and its name.

        The name is empty where there are none.
        """
        found = [(float(c.residual(dose[r.rows], r).max()), c.describe()) for c, r in self.constraints]
        found += [(float(limit.residual(weights).max()), limit.describe()) for limit in self.limits]
        worst, name = max(found, default=(0.0, ""))
        return max(0.0, worst), name


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """What came out.

    Attributes:
        weights: (n,) >= 0.
        dose_gy: (rows,).
        objective: value at ``weights``.
        violation: worst constraint relative to its limit.
        history: (objective, violation) after each outer step.
        slope_gy: (rows,) gradient of objectives and held constraints with respect to dose: the price of dose in each
            row.
        evaluations: of function and gradient.
        converged: False when the budget ran out or the run was stopped.
    """

    weights: FloatArray
    dose_gy: FloatArray
    objective: float
    violation: float
    history: tuple[tuple[float, float], ...]
    slope_gy: FloatArray
    evaluations: int
    converged: bool
    stopped: bool = False

    def __repr__(self) -> str:
        state = "stopped" if self.stopped else "converged" if self.converged else "NOT converged"
        return (
            f"Solution({self.weights.size} weights, {state} after {self.evaluations} evaluations, objective "
            f"{self.objective:.4g}, violation {self.violation:.2g})"
        )


@dataclass(frozen=True, kw_only=True)
class AugmentedLagrangian:
    """Settings of the solver.

    Attributes:
        max_iterations: quasi-Newton iterations, all outer steps together.
        tolerance: relative change of the objective, and relative violation, at which it stops.
        inner_iterations: at most these many between two updates of the multipliers.
        penalty: of a violation by the limit itself, squared, relative to the objective; ``penalty_growth`` when the
            violation does not fall. A stiff penalty makes the descent creep along the limits: the multipliers, not
            the penalty, are to hold them.
        memory: correction pairs of the quasi-Newton method.
        enough: ends at the first point that holds the constraints with an objective no higher than this, as when an
            older plan is to be equalled; default: goes on to the optimum.
    """

    max_iterations: int = 400
    tolerance: float = 1e-4
    inner_iterations: int = 40
    penalty: float = 5.0
    penalty_growth: float = 4.0
    memory: int = 150
    enough: float = -math.inf

    def __post_init__(self) -> None:
        if self.max_iterations < 1 or self.inner_iterations < 1 or self.memory < 1:
            raise InputError("max_iterations, inner_iterations and memory of the solver must be >= 1")
        if not (0.0 < self.tolerance < 1.0 and self.penalty > 0.0 and self.penalty_growth > 1.0):
            raise InputError("the solver needs 0 < tolerance < 1, penalty > 0 and penalty_growth > 1")

    def solve(self, problem: Problem, start: AnyFloatArray, *, progress: Progress | None = None) -> Solution:
        """Minimize from ``start`` (n,) >= 0.

        Returns the best point that holds every constraint to the tolerance; when none was met, the least violating one
        (``violation`` says so). ``progress`` gets the objective and the worst constraint from the first iteration on;
        ``StopOptimization`` raised by it ends the run early, with the best point so far.
        """
        return _Run(self, problem, start, progress).solve()


class _Enough(Exception):  # noqa: N818 - a signal
    """The objective is as low as was asked for."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the last evaluation found beside the Lagrangian: the objective, the worst constraint and its name."""

    objective: float
    violation: float
    name: str


class _Run:
    """One run: multipliers, penalty, the best point so far. Weights are scaled by their mean at the start."""

    def __init__(
        self, settings: AugmentedLagrangian, problem: Problem, start: AnyFloatArray, progress: Progress | None
    ) -> None:
        self.settings, self.problem, self.progress = settings, problem, progress
        x = np.maximum(np.asarray(start, dtype=np.float64), 0.0)
        if x.shape != (problem.matrix.shape[1],) or not np.isfinite(x).all():
            raise InputError(f"start has shape {x.shape}; {problem.matrix.shape[1]} finite weights are needed")
        self.scale = float(x.mean()) or 1.0
        self.y = x / self.scale
        dose = problem.dose(x)
        value = problem.objective(x, dose)[0]
        self.scale_of_value = self.highest = max(abs(value), 1e-12)
        self.rho, self.growth = settings.penalty * self.scale_of_value, 1.0
        self.multipliers = Multipliers(problem.constraints, dose)
        self.limit_multipliers = [np.zeros(limit.residual(x).shape) for limit in problem.limits]
        self.evaluations = self.iterations = 0
        self.history: list[tuple[float, float]] = []
        self.best: tuple[tuple[float, float], FloatArray] | None = None
        self.seen = _Seen(value, *problem.worst(x, dose))
        self._keep(x, value, self.seen.violation)
        self.descent = Descent(x.size, settings.memory)
        self.waking = Waking(problem.products, problem.offset_gy, self._quiet())

    def _quiet(self) -> FloatArray:
        """(rows,) dose below which a row adds nothing to the Lagrangian that depends on it."""
        parts: list[tuple[IntArray, AnyFloatArray | float]] = []
        for objective, region in self.problem.objectives:
            if objective.weight > 0:
                level = objective.quiet_below_gy(region) if isinstance(objective, OneSided) else -np.inf
                parts.append((region.rows, level))
        for (constraint, region), m in zip(self.problem.constraints, self.multipliers.values, strict=True):
            # of a maximum, max(0, m + rho g)^2 is 0 below; the others look at all their rows together
            own = isinstance(constraint, MaximumDose)
            parts.append((region.rows, constraint.dose_gy * (1.0 - m / self.rho) if own else -np.inf))
        return quiet_levels(self.problem.offset_gy.size, parts)

    def _keep(self, x: FloatArray, value: float, violation: float) -> None:
        """Remember the point when it is the best feasible so far."""
        rank = (0.0, value) if violation <= self.settings.tolerance else (violation, value)
        if self.best is None or rank < self.best[0]:
            self.best = (rank, x.copy())

    def _lagrangian(self, y: FloatArray) -> tuple[float, FloatArray]:
        self.evaluations += 1
        p, x = self.problem, y * self.scale
        dose = self.waking.dose(x)
        value, slope, direct = p.objective(x, dose)
        objective, worst, name = value, 0.0, ""
        for (constraint, region), m in zip(p.constraints, self.multipliers.values, strict=True):
            own = dose[region.rows]
            residual = constraint.residual(own, region)
            if not name or float(residual.max()) > worst:
                worst, name = max(worst, float(residual.max())), constraint.describe()
            active = np.maximum(m + self.rho * residual, 0.0)
            if active.any() or m.any():
                value += float(np.einsum("i,i->", active, active) - np.einsum("i,i->", m, m)) / (2.0 * self.rho)
                slope[region.rows] += constraint.pullback(own, region, active)
        for limit, m in zip(p.limits, self.limit_multipliers, strict=True):
            residual = limit.residual(x)
            if not name or float(residual.max()) > worst:
                worst, name = max(worst, float(residual.max())), limit.describe()
            active = np.maximum(m + self.rho * residual, 0.0)
            value += float(np.einsum("i,i->", active, active) - np.einsum("i,i->", m, m)) / (2.0 * self.rho)
            direct += limit.pullback(x, active)
        self.seen = _Seen(objective, worst, name)
        return value, (p.pullback(slope) + direct) * self.scale

    def _accepted(self, point: Point) -> None:
        """The point that was evaluated last is where the descent is now."""
        self.iterations += 1
        self.y = point.x
        self._keep(point.x * self.scale, self.seen.objective, self.seen.violation)
        if self.seen.violation <= self.settings.tolerance and self.seen.objective <= self.settings.enough:
            raise _Enough
        if self.iterations <= 5 or self.iterations % 5 == 0:
            self._report()

    def _report(self) -> None:
        if self.progress is not None:
            worst = (
                f", worst constraint {100 * self.seen.violation:+.2f} % ({self.seen.name})" if self.seen.name else ""
            )
            done = min(1.0, self.iterations / self.settings.max_iterations)
            self.progress(done, f"optimizing: objective {self.seen.objective:.4g}{worst}")

    def solve(self) -> Solution:
        """Minimize and move the multipliers in turn, until neither objective nor limits change."""
        settings, converged, stopped = self.settings, False, False
        previous, previous_violation = math.inf, math.inf
        try:
            while self.iterations < settings.max_iterations and not converged:
                before = self.iterations
                point, _ = self.descent.run(
                    self._lagrangian,
                    self.y,
                    iterations=min(self._inner_iterations(), settings.max_iterations - self.iterations),
                    tolerance=INNER * settings.tolerance,
                    accepted=self._accepted,
                )
                self.y = point.x
                x = self.y * self.scale
                dose = self.problem.dose(x)
                value = self.problem.objective(x, dose)[0]
                self.seen = _Seen(value, *self.problem.worst(x, dose))
                violation = self.seen.violation
                self._keep(x, value, violation)
                self._keep_scaled_down(x, dose)
                self.history.append((value, violation))
                self._update(x, dose, value, violation, previous_violation)
                settled = abs(previous - value) <= settings.tolerance * max(abs(value), 1e-12)
                converged = settled and violation <= settings.tolerance
                self.iterations = max(self.iterations, before + 1)
                previous, previous_violation = value, violation
                self._report()
        except _Enough:
            converged = True
        except StopOptimization:
            stopped = True
            x = self.y * self.scale
            self._keep_scaled_down(x, self.problem.dose(x))
        return self._solution(converged, stopped)

    def _inner_iterations(self) -> int:
        """A few at first, until the scale of the objective is known."""
        first = (self.problem.constraints or self.problem.limits) and not self.history
        return min(WARM_UP, self.settings.inner_iterations) if first else self.settings.inner_iterations

    def _update(self, x: FloatArray, dose: FloatArray, value: float, violation: float, previous: float) -> None:
        if abs(value) < 0.5 * self.scale_of_value and self.scale_of_value > LEAST * self.highest:
            # still on the way down: the penalty was too stiff, and multipliers by it would be as far off
            self.scale_of_value = max(abs(value), LEAST * self.highest)
        else:
            self._multiply(x, dose)
            if violation > max(0.3 * previous, self.settings.tolerance):
                self.growth *= self.settings.penalty_growth
        before, self.rho = self.rho, self.settings.penalty * self.growth * self.scale_of_value
        if abs(self.rho - before) > 0.5 * before:
            self.descent.forget()
        if self.problem.constraints:
            self.waking.quiet_below(self._quiet())

    def _multiply(self, x: FloatArray, dose: FloatArray) -> None:
        self.multipliers.move(dose, self.rho)
        for k, limit in enumerate(self.problem.limits):
            self.limit_multipliers[k] = np.maximum(self.limit_multipliers[k] + self.rho * limit.residual(x), 0.0)

    def _keep_scaled_down(self, x: FloatArray, dose: FloatArray) -> None:
        """A point that violates upper limits a little holds them when all weights shrink: keep that one too."""
        violation = self.problem.worst(x, dose)[0]
        if self.settings.tolerance < violation < 0.2:
            smaller = x / (1.0 + violation * 1.001)
            less = self.problem.dose(smaller)
            self._keep(smaller, self.problem.objective(smaller, less)[0], self.problem.worst(smaller, less)[0])

    def _solution(self, converged: bool, stopped: bool) -> Solution:
        assert self.best is not None
        x = self.best[1]
        dose = self.problem.dose(x)
        value, slope, _ = self.problem.objective(x, dose)
        self.multipliers.add_prices(dose, slope)
        logger.info("%d evaluations, objective %.5g, converged %s", self.evaluations, value, converged)
        return Solution(
            weights=x,
            dose_gy=dose,
            objective=value,
            violation=self.problem.worst(x, dose)[0],
            history=tuple(self.history),
            slope_gy=slope,
            evaluations=self.evaluations,
            converged=converged,
            stopped=stopped,
        )

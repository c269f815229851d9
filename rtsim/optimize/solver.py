"""The solver: convex objectives under hard constraints and weights >= 0, by an augmented Lagrangian over L-BFGS-B.

minimize   sum_s w_s f_s(A x + o) + smoothing |G x|^2   subject to   g_c(A x + o) <= 0,  x >= 0

L(x, m) = f(x) + sum_i (max(0, m_i + r g_i)^2 - m_i^2) / (2 r);  m <- max(0, m + r g)  after each inner minimization.

Source: Nocedal & Wright, Numerical Optimization (2006), section 17.4; Byrd et al., SIAM J Sci Comput 16 (1995) 1190,
DOI 10.1137/0916069 (L-BFGS-B).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from rtsim.errors import InputError
from rtsim.optimize.constraints import Constraint
from rtsim.optimize.objectives import Objective, Region
from rtsim.typing import AnyFloatArray, FloatArray, Progress

logger = logging.getLogger(__name__)

Matrix = sparse.csr_array | np.ndarray


class StopOptimization(Exception):  # noqa: N818 - a signal, as KeyboardInterrupt is
    """Raise it from ``progress`` to stop: the solver then returns the best weights it has so far."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """What is solved.

    Attributes:
        matrix: (rows, n) Gy per unit weight; sparse CSR or dense. Products run in its own precision.
        offset_gy: (rows,) dose that does not depend on the weights.
        objectives, constraints: each with its region (rows of the matrix).
        smoothing: (m, n) differences between neighboring weights, or None; ``smoothing_weight`` times their squared
            sum.
    """

    matrix: Matrix
    offset_gy: FloatArray
    objectives: tuple[tuple[Objective, Region], ...]
    constraints: tuple[tuple[Constraint, Region], ...] = ()
    smoothing: sparse.csr_array | None = None
    smoothing_weight: float = 0.0
    _adjoint: Matrix = field(init=False, repr=False)

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
        # The adjoint is kept as rows of the transpose: a CSR product gathers, the transpose of a CSR would scatter.
        dense = isinstance(self.matrix, np.ndarray)
        adjoint = np.ascontiguousarray(self.matrix.T) if dense else sparse.csr_array(self.matrix.T)
        object.__setattr__(self, "_adjoint", adjoint)

    def dose(self, weights: FloatArray) -> FloatArray:
        """(rows,) Gy."""
        return _product(self.matrix, weights) + self.offset_gy

    def pullback(self, slope: FloatArray) -> FloatArray:
        """(n,) gradient with respect to the weights of a gradient (rows,) with respect to dose."""
        return _product(self._adjoint, slope)

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

    def violation(self, dose: FloatArray) -> float:
        """The worst constraint: how far above its limit, relative to it; 0 when all hold."""
        worst = [float(c.residual(dose[r.rows], r).max()) for c, r in self.constraints]
        return max(0.0, *worst) if worst else 0.0


def _product(matrix: Matrix, vector: FloatArray) -> FloatArray:
    """Matrix times vector in the precision of the matrix, in one thread: the same result on any number of cores."""
    own = vector.astype(matrix.dtype)
    if isinstance(matrix, np.ndarray):
        return np.asarray(np.einsum("ij,j->i", matrix, own), dtype=np.float64)
    return np.asarray(matrix @ own, dtype=np.float64)


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


@dataclass(frozen=True, kw_only=True)
class AugmentedLagrangian:
    """Settings of the solver.

    Attributes:
        max_iterations: L-BFGS-B iterations, all outer steps together.
        tolerance: relative change of the objective, and relative violation, at which it stops.
        inner_iterations: at most these many between two updates of the multipliers.
        penalty: first penalty relative to the objective at the start; ``penalty_growth`` when the violation does not
            fall.
        memory: correction pairs of L-BFGS-B.
    """

    max_iterations: int = 400
    tolerance: float = 1e-4
    inner_iterations: int = 40
    penalty: float = 30.0
    penalty_growth: float = 4.0
    memory: int = 12

    def __post_init__(self) -> None:
        if self.max_iterations < 1 or self.inner_iterations < 1 or self.memory < 1:
            raise InputError("max_iterations, inner_iterations and memory of the solver must be >= 1")
        if not (0.0 < self.tolerance < 1.0 and self.penalty > 0.0 and self.penalty_growth > 1.0):
            raise InputError("the solver needs 0 < tolerance < 1, penalty > 0 and penalty_growth > 1")

    def solve(self, problem: Problem, start: AnyFloatArray, *, progress: Progress | None = None) -> Solution:
        """Minimize from ``start`` (n,) >= 0.

        Returns the best point that holds every constraint to the tolerance; when none was met, the least violating one
        (``violation`` says so). ``StopOptimization`` raised by ``progress`` ends the run early.
        """
        return _Run(self, problem, start, progress).solve()


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
        self.x = x / self.scale
        dose = problem.dose(x)
        value = problem.objective(x, dose)[0]
        self.rho = settings.penalty * max(abs(value), 1e-12)
        self.multipliers = [np.zeros(c.residual(dose[r.rows], r).shape) for c, r in problem.constraints]
        self.evaluations = self.iterations = 0
        self.history: list[tuple[float, float]] = []
        self.best: tuple[tuple[float, float], FloatArray] | None = None
        self._keep(x, dose, value)

    def _keep(self, x: FloatArray, dose: FloatArray, value: float) -> float:
        """Remember the point when it is the best feasible so far; return its violation."""
        violation = self.problem.violation(dose)
        rank = (0.0, value) if violation <= self.settings.tolerance else (violation, value)
        if self.best is None or rank < self.best[0]:
            self.best = (rank, x.copy())
        return violation

    def _lagrangian(self, y: FloatArray) -> tuple[float, FloatArray]:
        self.evaluations += 1
        p, x = self.problem, y * self.scale
        dose = p.dose(x)
        value, slope, direct = p.objective(x, dose)
        for (constraint, region), m in zip(p.constraints, self.multipliers, strict=True):
            own = dose[region.rows]
            active = np.maximum(m + self.rho * constraint.residual(own, region), 0.0)
            if active.any() or m.any():
                value += float(active @ active - m @ m) / (2.0 * self.rho)
                slope[region.rows] += constraint.pullback(own, region, active)
        return value, (p.pullback(slope) + direct) * self.scale

    def _inner(self, iterations: int) -> None:
        bounds = [(0.0, None)] * self.x.size
        result = minimize(  # type: ignore[call-overload]  # the stubs want 1-D arrays typed as such
            self._lagrangian,
            self.x,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=self._callback(),
            options={
                "maxiter": iterations,
                "maxcor": self.settings.memory,
                "maxfun": 3 * iterations,
                "ftol": min(1e-9, 1e-3 * self.settings.tolerance**2),
                "gtol": 1e-12,
            },
        )
        self.x = np.maximum(result.x, 0.0)
        self.iterations += max(1, int(result.nit))

    def _callback(self) -> Callable[[FloatArray], None]:
        count = 0

        def step(y: FloatArray) -> None:
            nonlocal count
            count += 1
            if self.progress is not None and count % 5 == 0:
                done = min(1.0, (self.iterations + count) / self.settings.max_iterations)
                self.progress(done, self._status())

        return step

    def _status(self) -> str:
        if not self.history:
            return "optimizing"
        return f"optimizing: objective {self.history[-1][0]:.4g}, worst constraint {100 * self.history[-1][1]:+.2f} %"

    def solve(self) -> Solution:
        settings, converged, stopped = self.settings, False, False
        previous, previous_violation = math.inf, math.inf
        try:
            while self.iterations < settings.max_iterations and not converged:
                self._inner(min(settings.inner_iterations, settings.max_iterations - self.iterations))
                x = self.x * self.scale
                dose = self.problem.dose(x)
                value = self.problem.objective(x, dose)[0]
                violation = self._keep(x, dose, value)
                self._keep_scaled_down(x, dose)
                self.history.append((value, violation))
                self._update(dose, violation, previous_violation)
                settled = abs(previous - value) <= settings.tolerance * max(abs(value), 1e-12)
                converged = settled and violation <= settings.tolerance
                previous, previous_violation = value, violation
                if self.progress is not None:
                    self.progress(min(1.0, self.iterations / settings.max_iterations), self._status())
        except StopOptimization:
            stopped = True
        return self._solution(converged, stopped)

    def _update(self, dose: FloatArray, violation: float, previous: float) -> None:
        for k, (constraint, region) in enumerate(self.problem.constraints):
            residual = constraint.residual(dose[region.rows], region)
            self.multipliers[k] = np.maximum(self.multipliers[k] + self.rho * residual, 0.0)
        if violation > max(0.3 * previous, self.settings.tolerance):
            self.rho *= self.settings.penalty_growth

    def _keep_scaled_down(self, x: FloatArray, dose: FloatArray) -> None:
        """A point that violates upper limits a little holds them when all weights shrink: keep that one too."""
        violation = self.problem.violation(dose)
        if self.settings.tolerance < violation < 0.2:
            smaller = x / (1.0 + violation * 1.001)
            less = self.problem.dose(smaller)
            self._keep(smaller, less, self.problem.objective(smaller, less)[0])

    def _solution(self, converged: bool, stopped: bool) -> Solution:
        assert self.best is not None
        x = self.best[1]
        dose = self.problem.dose(x)
        value, slope, _ = self.problem.objective(x, dose)
        for (constraint, region), m in zip(self.problem.constraints, self.multipliers, strict=True):
            slope[region.rows] += constraint.pullback(dose[region.rows], region, m)
        logger.info("%d evaluations, objective %.5g, converged %s", self.evaluations, value, converged)
        return Solution(
            weights=x,
            dose_gy=dose,
            objective=value,
            violation=self.problem.violation(dose),
            history=tuple(self.history),
            slope_gy=slope,
            evaluations=self.evaluations,
            converged=converged,
            stopped=stopped,
        )

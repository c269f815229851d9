"""The solver against closed optima: SciPy's HiGHS for linear programs, NNLS and KKT conditions for quadratic ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog, nnls

from rtsim.errors import InputError
from rtsim.optimize.constraints import MaximumDose, MaximumDoseAtVolume, MaximumMean, MinimumDose
from rtsim.optimize.objectives import MeanDose, Region, SquaredDeviation
from rtsim.optimize.solver import AugmentedLagrangian, Problem, StopOptimization

EXACT = AugmentedLagrangian(max_iterations=6000, tolerance=2e-6, inner_iterations=300)
"""Tolerances of the comparison are 1e-4, the figure that the solver is to reach; its own stop is finer."""


def region(name: str, start: int, stop: int) -> Region:
    return Region(name=name, rows=np.arange(start, stop), volume_cm3=np.ones(stop - start))


def small_matrix(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 1.0, (rows, columns))


def test_unconstrained_quadratic_equals_nnls() -> None:
    a, wanted = small_matrix(40, 12, 1), 10.0
    problem = Problem(
        matrix=sparse.csr_array(a),
        offset_gy=np.zeros(40),
        objectives=((SquaredDeviation(structure="t", dose_gy=wanted), region("t", 0, 40)),),
    )
    solution = EXACT.solve(problem, np.ones(12))
    _, residual = nnls(a, np.full(40, wanted))
    assert solution.objective == pytest.approx(residual**2 / 40, rel=1e-4)
    assert (solution.weights >= 0).all()


@pytest.mark.parametrize("seed", [2, 3])
def test_linear_program_equals_highs(seed: int) -> None:
    """min mean dose of the organ, target >= 20 Gy, cord <= 12 Gy."""
    a = small_matrix(30, 10, seed)
    a[20:25] *= 0.45
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(30),
        objectives=((MeanDose(structure="organ"), region("organ", 25, 30)),),
        constraints=(
            (MinimumDose(structure="target", dose_gy=20.0), region("target", 0, 20)),
            (MaximumDose(structure="cord", dose_gy=12.0), region("cord", 20, 25)),
        ),
    )
    exact = linprog(
        a[25:].mean(axis=0),
        A_ub=np.vstack((-a[:20], a[20:25])),
        b_ub=np.concatenate((np.full(20, -20.0), np.full(5, 12.0))),
        method="highs",
    )
    assert exact.success
    solution = EXACT.solve(problem, np.full(10, 5.0))
    assert solution.violation < 1e-5
    assert solution.objective == pytest.approx(exact.fun, rel=1e-4)


def test_quadratic_with_maximum_meets_kkt() -> None:
    """Deviation from 10 Gy with the cord held at 4 Gy: stationarity, complementarity, feasibility."""
    a = small_matrix(36, 9, 5)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(36),
        objectives=((SquaredDeviation(structure="t", dose_gy=10.0), region("t", 0, 30)),),
        constraints=((MaximumDose(structure="cord", dose_gy=4.0), region("cord", 30, 36)),),
    )
    solution = EXACT.solve(problem, np.ones(9))
    x, dose = solution.weights, a @ solution.weights
    assert dose[30:].max() == pytest.approx(4.0, rel=1e-4)
    gradient = 2.0 / 30 * a[:30].T @ (dose[:30] - 10.0)
    active = np.flatnonzero(dose[30:] > 4.0 * (1 - 1e-4)) + 30
    free = x > 1e-4 * x.max()
    multipliers, residual = nnls(a[active][:, free].T, -gradient[free])
    assert residual < 1e-3 * np.linalg.norm(2.0 / 30 * a[:30].T @ np.full(30, 10.0))
    assert multipliers.max() > 0
    bound = gradient + a[active].T @ multipliers
    assert bound[~free].min(initial=0.0) > -1e-3


def test_cvar_bounds_the_dose_at_volume_and_equals_the_linear_program() -> None:
    """max mean target dose with the mean of the hottest 3 of 10 cord rows <= 5 Gy (Rockafellar's linear program)."""
    a = small_matrix(25, 6, 7)
    cap = 9.0
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(25),
        objectives=((SquaredDeviation(structure="t", dose_gy=cap), region("t", 0, 15)),),
        constraints=((MaximumDoseAtVolume(structure="cord", dose_gy=5.0, volume_cm3=3.0), region("cord", 15, 25)),),
    )
    solution = EXACT.solve(problem, np.ones(6))
    cord = np.sort(a[15:] @ solution.weights)[::-1]
    assert cord[:3].mean() == pytest.approx(5.0, rel=2e-3)
    assert cord[2] <= 5.0 * 1.002


def test_mean_constraint_with_offset_dose() -> None:
    a = small_matrix(20, 5, 9)
    offset = np.full(20, 0.5)
    problem = Problem(
        matrix=a,
        offset_gy=offset,
        objectives=((SquaredDeviation(structure="t", dose_gy=8.0), region("t", 0, 10)),),
        constraints=((MaximumMean(structure="lung", dose_gy=3.0), region("lung", 10, 20)),),
    )
    solution = EXACT.solve(problem, np.ones(5))
    assert (a @ solution.weights + offset)[10:].mean() == pytest.approx(3.0, rel=1e-4)


def test_float32_sparse_equals_float64_dense() -> None:
    a = small_matrix(60, 20, 11)
    a[a < 0.5] = 0.0

    def solve(matrix: np.ndarray | sparse.csr_array) -> float:
        problem = Problem(
            matrix=matrix,
            offset_gy=np.zeros(60),
            objectives=((SquaredDeviation(structure="t", dose_gy=10.0), region("t", 0, 50)),),
            constraints=((MaximumDose(structure="c", dose_gy=6.0), region("c", 50, 60)),),
        )
        return (
            AugmentedLagrangian(max_iterations=2000, tolerance=1e-5, inner_iterations=100)
            .solve(problem, np.ones(20))
            .objective
        )

    # float32 products carry 6e-8 relative noise; 1e-4 is what the solver promises
    assert solve(sparse.csr_array(a.astype(np.float32))) == pytest.approx(solve(a), rel=1e-3)


def test_stop_returns_the_best_so_far() -> None:
    a = small_matrix(40, 12, 1)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(40),
        objectives=((SquaredDeviation(structure="t", dose_gy=10.0), region("t", 0, 30)),),
        constraints=((MaximumDose(structure="c", dose_gy=5.0), region("c", 30, 40)),),
    )
    calls: list[str] = []

    def progress(done: float, message: str) -> None:
        assert 0.0 <= done <= 1.0
        calls.append(message)
        if len(calls) == 12:
            raise StopOptimization

    solution = AugmentedLagrangian(inner_iterations=10, tolerance=1e-9).solve(
        problem, np.full(12, 0.01), progress=progress
    )
    assert solution.stopped
    assert not solution.converged
    assert solution.violation <= 1e-9
    assert any("worst constraint" in c for c in calls)


def test_all_weights_zero_is_named() -> None:
    with pytest.raises(InputError, match="all objectives are zero"):
        Problem(
            matrix=np.ones((2, 2)),
            offset_gy=np.zeros(2),
            objectives=((SquaredDeviation(structure="t", dose_gy=1.0, weight=0.0), region("t", 0, 2)),),
        )

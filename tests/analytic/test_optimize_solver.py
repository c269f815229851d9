"""The solver against closed optima: SciPy's HiGHS for linear programs, NNLS and KKT conditions for quadratic ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog, nnls

from rtsim.errors import InputError
from rtsim.optimize.constraints import MaximumDose, MaximumDoseAtVolume, MaximumMean, MinimumDose, MinimumMean
from rtsim.optimize.constraints_volume import DoseOutsideVolume, MinimumDoseAtVolume
from rtsim.optimize.objectives import MeanDose, Region, SquaredDeviation, SquaredOverdose
from rtsim.optimize.solver import AugmentedLagrangian, Problem, Solution, StopOptimization

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


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_linear_program_with_hottest_and_coldest_volumes_equals_highs(seed: int) -> None:
    """min mean of the organ; mean of the coldest 4 of 20 target rows >= 20 Gy, of the hottest 3 of 8 cord rows <= 13.

    As linear programs (Rockafellar & Uryasev): e + sum u / k <= limit, u >= d - e, u >= 0.
    """
    a = small_matrix(34, 10, seed)
    a[20:28] *= 0.5
    target, cord, organ = a[:20], a[20:28], a[28:]
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(34),
        objectives=((MeanDose(structure="organ"), region("organ", 28, 34)),),
        constraints=(
            (MinimumDoseAtVolume(structure="target", dose_gy=20.0, volume_percent=80.0), region("target", 0, 20)),
            (MaximumDoseAtVolume(structure="cord", dose_gy=13.0, volume_cm3=3.0), region("cord", 20, 28)),
        ),
    )
    n, of_target, of_cord = 10, np.eye(20), np.eye(8)
    none = np.zeros
    # variables: x, e of the target, its u (20), e of the cord, its u (8)
    rows = np.vstack(
        (
            np.hstack((none((1, n)), [[-1.0]], np.full((1, 20), 0.25), none((1, 9)))),
            np.hstack((-target, np.full((20, 1), 1.0), -of_target, none((20, 9)))),
            np.hstack((none((1, n + 21)), [[1.0]], np.full((1, 8), 1.0 / 3.0))),
            np.hstack((cord, none((8, 21)), np.full((8, 1), -1.0), -of_cord)),
        )
    )
    limits = np.concatenate(([-20.0], none(20), [13.0], none(8)))
    bounds = [(0, None)] * n + [(None, None)] + [(0, None)] * 20 + [(None, None)] + [(0, None)] * 8
    cost = np.concatenate((organ.mean(axis=0), none(30)))
    exact = linprog(cost, A_ub=rows, b_ub=limits, bounds=bounds, method="highs")
    assert exact.success
    solution = EXACT.solve(problem, np.full(n, 5.0))
    assert solution.violation < 1e-5
    assert solution.objective == pytest.approx(exact.fun, rel=1e-4)


def test_linear_program_of_means_equals_highs() -> None:
    a = small_matrix(30, 10, 6)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(30),
        objectives=((MeanDose(structure="organ"), region("organ", 20, 30)),),
        constraints=(
            (MinimumMean(structure="target", dose_gy=20.0), region("target", 0, 10)),
            (MaximumMean(structure="lung", dose_gy=18.0), region("lung", 10, 20)),
        ),
    )
    exact = linprog(
        a[20:].mean(axis=0),
        A_ub=np.vstack((-a[:10].mean(axis=0), a[10:20].mean(axis=0))),
        b_ub=[-20.0, 18.0],
        method="highs",
    )
    assert exact.success
    solution = EXACT.solve(problem, np.full(10, 5.0))
    assert solution.violation < 1e-5
    assert solution.objective == pytest.approx(exact.fun, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_optimum_does_not_depend_on_the_start(scale: float) -> None:
    """A limit that binds, from far below and far above: the penalty must not freeze the descent at the limit."""
    a = small_matrix(60, 15, 8)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(60),
        objectives=((SquaredDeviation(structure="t", dose_gy=20.0), region("t", 0, 45)),),
        constraints=((MaximumDose(structure="cord", dose_gy=15.0), region("cord", 45, 60)),),
    )
    wanted = EXACT.solve(problem, np.ones(15)).objective
    found = AugmentedLagrangian(max_iterations=2000, tolerance=1e-5).solve(problem, np.full(15, scale))
    assert found.violation <= 1e-5
    assert found.objective == pytest.approx(wanted, rel=1e-3)


def test_dose_at_volume_itself_is_held_and_no_worse_than_its_convex_bound() -> None:
    a = small_matrix(50, 12, 12)

    def solve(constraint: MaximumDoseAtVolume | DoseOutsideVolume, start: np.ndarray) -> Solution:
        problem = Problem(
            matrix=a,
            offset_gy=np.zeros(50),
            objectives=((SquaredDeviation(structure="t", dose_gy=20.0), region("t", 0, 30)),),
            constraints=((constraint, region("cord", 30, 50)),),
        )
        return AugmentedLagrangian(max_iterations=3000, tolerance=1e-5).solve(problem, start)

    bound = solve(MaximumDoseAtVolume(structure="cord", dose_gy=16.0, volume_cm3=5.0), np.ones(12))
    itself = solve(DoseOutsideVolume(structure="cord", dose_gy=16.0, volume_cm3=5.0), bound.weights)
    assert np.sort(a[30:] @ itself.weights)[::-1][5] <= 16.0 * (1.0 + 1e-5)
    assert itself.objective <= bound.objective * (1.0 + 1e-5)


def test_progress_names_the_worst_constraint_from_the_first_iteration_on() -> None:
    a = small_matrix(40, 12, 1)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(40),
        objectives=((SquaredDeviation(structure="t", dose_gy=10.0), region("t", 0, 30)),),
        constraints=(
            (MaximumDose(structure="cord", dose_gy=5.0), region("cord", 30, 35)),
            (MaximumDose(structure="skin", dose_gy=500.0), region("skin", 35, 40)),
        ),
    )
    lines: list[str] = []
    AugmentedLagrangian().solve(problem, np.full(12, 5.0), progress=lambda done, text: lines.append(text))
    assert "objective" in lines[0]
    assert "worst constraint" in lines[0]
    assert all("maximum of cord <= 5 Gy" in line for line in lines)


def test_a_stop_within_the_first_minimization_returns_the_best_feasible_point() -> None:
    """From a start that holds the limit the descent goes on through points that do not: none of these comes back."""
    a = small_matrix(40, 12, 1)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(40),
        objectives=((SquaredDeviation(structure="t", dose_gy=10.0), region("t", 0, 30)),),
        constraints=((MaximumDose(structure="c", dose_gy=5.0), region("c", 30, 40)),),
    )
    start = np.full(12, 0.01)
    begin = problem.objective(start, problem.dose(start))[0]

    def stop(done: float, text: str) -> None:
        raise StopOptimization

    solver = AugmentedLagrangian(tolerance=1e-6)
    first = solver.solve(problem, start, progress=stop)
    assert first.stopped
    assert not first.history
    assert first.violation <= 1e-6
    assert first.objective < begin
    assert first.objective >= solver.solve(problem, start).objective


def test_enough_is_enough() -> None:
    a = small_matrix(40, 12, 1)
    problem = Problem(
        matrix=a,
        offset_gy=np.zeros(40),
        objectives=((SquaredDeviation(structure="t", dose_gy=10.0), region("t", 0, 40)),),
    )
    best = EXACT.solve(problem, np.ones(12))
    found = AugmentedLagrangian(tolerance=1e-6, enough=1.5 * best.objective).solve(problem, np.ones(12))
    assert found.converged
    assert best.objective < found.objective <= 1.5 * best.objective
    assert found.evaluations < best.evaluations


def test_rows_that_sleep_do_not_change_the_solution() -> None:
    """Half of the rows count above a dose only; an objective that says nothing about that has all rows computed."""
    a = small_matrix(200, 15, 13)
    a[100:] *= np.linspace(0.1, 1.0, 100)[:, None]

    class Plain:
        structure, weight, dose_gy = "o", 2.0, 8.0

        def evaluate(self, dose_gy: np.ndarray, region: Region) -> tuple[float, np.ndarray]:
            return SquaredOverdose(structure="o", dose_gy=8.0).evaluate(dose_gy, region)

        def describe(self) -> str:
            return "o"

    def solve(objective: Plain | SquaredOverdose) -> Solution:
        problem = Problem(
            matrix=a,
            offset_gy=np.zeros(200),
            objectives=(
                (SquaredDeviation(structure="t", dose_gy=12.0), region("t", 0, 100)),
                (objective, region("o", 100, 200)),
            ),
        )
        return AugmentedLagrangian(max_iterations=300, tolerance=1e-6).solve(problem, np.ones(15))

    sleeping, awake = solve(SquaredOverdose(structure="o", dose_gy=8.0, weight=2.0)), solve(Plain())
    assert np.array_equal(sleeping.weights, awake.weights)
    assert sleeping.objective == awake.objective

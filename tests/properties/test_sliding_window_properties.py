"""Sweeps over any map: the least beam-on time, the wanted fluence, the limits of the leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from rtsim.errors import InputError
from rtsim.optimize.sliding_window_leaves import least_sweep_units, open_units_of, slowed, sweep

WIDTH, PACE = 5.0, 0.4
maps = st.tuples(st.integers(1, 5), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0.0, 100.0, width=32))
)


def edges_of(open_units: np.ndarray) -> np.ndarray:
    return -20.0 + WIDTH * np.arange(open_units.shape[1] + 1)


def least_by_linear_program(row: np.ndarray) -> float:
    """The shortest time in which two ends cross a row at a speed of at most 1/pace and open each column for ``row``.

    Unknowns: when the leading and the trailing end arrive at and leave each edge. Each column is crossed at one speed
    by both ends, so that it is open for one time all over.
    """
    n = row.size
    # variables: lead_leave[0..n-1], lead_arrive[1..n], trail_leave[0..n-1], trail_arrive[1..n]
    lead_leave, lead_arrive, trail_leave, trail_arrive = (np.arange(k * n, (k + 1) * n) for k in range(4))
    upper, bound, equal, value = [], [], [], []

    def less(later: int, earlier: int, by: float) -> None:  # later - earlier >= by
        line = np.zeros(4 * n)
        line[later], line[earlier] = -1.0, 1.0
        upper.append(line)
        bound.append(-by)

    for j in range(n):
        for leave, arrive in ((lead_leave, lead_arrive), (trail_leave, trail_arrive)):
            less(arrive[j], leave[j], PACE * WIDTH)
            if j:
                less(leave[j], arrive[j - 1], 0.0)
        for a, b in ((trail_leave[j], lead_leave[j]), (trail_arrive[j], lead_arrive[j])):
            line = np.zeros(4 * n)
            line[a], line[b] = 1.0, -1.0
            equal.append(line)
            value.append(row[j])
    cost = np.zeros(4 * n)
    cost[trail_arrive[-1]] = 1.0
    return float(linprog(cost, A_ub=np.array(upper), b_ub=bound, A_eq=np.array(equal), b_eq=value).fun)


@given(open_units=maps)
@settings(max_examples=30, deadline=None)
def test_no_sweep_is_shorter(open_units: np.ndarray) -> None:
    # source: the linear program of all sweeps, solved by HiGHS
    longest = max(least_by_linear_program(row) for row in open_units)
    assert least_sweep_units(open_units, edges_of(open_units), PACE) == pytest.approx(longest, rel=1e-7, abs=1e-6)


@given(open_units=maps, gap=st.floats(0.0, 3.0), control_points=st.integers(2, 400), lingers=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_sweep_keeps_speed_gap_and_order(
    open_units: np.ndarray, gap: float, control_points: int, lingers: bool
) -> None:
    edges = edges_of(open_units)
    units = np.linspace(0.0, least_sweep_units(open_units, edges, PACE), control_points)
    ends = sweep(open_units, edges, units, pace_mu_mm=PACE, least_gap_mm=gap, park_mm=edges[-1] + 8.0, lingers=lingers)
    assert (np.diff(ends, axis=1) >= -1e-9).all()
    assert (np.diff(ends, axis=1) <= np.diff(units)[:, None] / PACE * (1.0 + 1e-9) + 1e-9).all()
    assert (ends[..., 1] - ends[..., 0] >= gap - 1e-9).all()
    assert ends[..., 0].min() >= edges[0] - 1e-9
    assert ends[..., 0].max() <= edges[-1] + 8.0 + 1e-9
    np.testing.assert_allclose(slowed(ends[..., 0], units, PACE), ends[..., 0], atol=1e-9)


@given(open_units=maps)
@settings(max_examples=40, deadline=None)
def test_every_column_is_open_as_long_as_wanted(open_units: np.ndarray) -> None:
    """With the corners of the exact sweep as control points, integrated by counting times at many places."""
    edges = edges_of(open_units)
    total = least_sweep_units(open_units, edges, PACE)
    units = np.linspace(0.0, total, 6001)
    ends = sweep(open_units, edges, units, pace_mu_mm=PACE, least_gap_mm=0.0, park_mm=edges[-1] + 8.0)
    np.testing.assert_allclose(open_units_of(ends, units, edges), open_units, atol=2.0 * total / 6000 + 1e-9)
    middle = 0.5 * (edges[1:] + edges[:-1])
    is_open = (ends[:, :, :1] < middle) & (ends[:, :, 1:] > middle)
    counted = is_open.sum(axis=1) * total / 6000
    # source: each of the two passages of a place is counted to one step
    np.testing.assert_allclose(counted, open_units, atol=3.0 * total / 6000)


@given(open_units=maps, control_points=st.integers(2, 60))
@settings(max_examples=40, deadline=None)
def test_the_integral_is_that_of_fine_steps(open_units: np.ndarray, control_points: int) -> None:
    edges = edges_of(open_units)
    units = np.linspace(0.0, least_sweep_units(open_units, edges, PACE), control_points)
    ends = sweep(open_units, edges, units, pace_mu_mm=PACE, least_gap_mm=0.5, park_mm=edges[-1] + 8.0)
    steps = 200
    t = (np.arange(steps) + 0.5) / steps
    expected = np.zeros(open_units.shape)
    for k, own in enumerate(np.diff(units)):
        left = ends[:, k, 0, None] * (1 - t) + ends[:, k + 1, 0, None] * t
        right = ends[:, k, 1, None] * (1 - t) + ends[:, k + 1, 1, None] * t
        overlap = np.minimum(right[..., None], edges[1:]) - np.maximum(left[..., None], edges[:-1])
        expected += own * np.clip(overlap, 0.0, None).mean(axis=1) / WIDTH
    # source: the midpoint rule is off by less than half a step at each of the few corners of an interval
    worst = float(np.diff(units).max()) * control_points / steps
    np.testing.assert_allclose(open_units_of(ends, units, edges), expected, atol=worst + 1e-9)


def test_dark_places_get_what_a_closed_pair_leaves() -> None:
    open_units = np.array([[50.0, 0.0, 0.0, 50.0]])
    edges = edges_of(open_units)
    units = np.linspace(0.0, least_sweep_units(open_units, edges, PACE), 4001)
    ends = sweep(open_units, edges, units, pace_mu_mm=PACE, least_gap_mm=2.0, park_mm=60.0)
    # pace x gap, on average over each dark column
    np.testing.assert_allclose(open_units_of(ends, units, edges)[0, 1:3], PACE * 2.0, atol=0.05)


def test_maps_that_mean_nothing_are_refused() -> None:
    edges = np.arange(4.0)
    for wrong in (-np.ones((1, 3)), np.full((1, 3), np.nan), np.ones((1, 2)), np.ones(3)):
        with pytest.raises(InputError, match="open_units"):
            least_sweep_units(wrong, edges, PACE)
    with pytest.raises(InputError, match="x_edges_mm"):
        least_sweep_units(np.ones((1, 3)), edges[::-1], PACE)

"""Beam-on time of a fluence while it is optimized: against the least time of its levels, and its gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.errors import InputError
from rtsim.optimize.beam_on_time import LeafRows, MaximumMonitorUnits
from rtsim.optimize.constraints import MinimumDose
from rtsim.optimize.decomposition import least_beam_on_time
from rtsim.optimize.leaves import BeamletMap
from rtsim.optimize.objectives import MeanDose, Region
from rtsim.optimize.solver import AugmentedLagrangian, Problem
from tests.unit import optimize_toy as toy

BEAMS = toy.beams((100, 180))
ROWS = LeafRows.of(BEAMS)
COUNT = sum(b.beamlets.count for b in BEAMS if b.beamlets is not None)


def test_equals_the_least_time_of_whole_levels() -> None:
    levels = np.random.default_rng(1).integers(0, 9, COUNT)
    first, total = 0, 0
    for beam in BEAMS:
        assert beam.beamlets is not None
        edges = BeamletMap.of(beam.beamlets)
        table = np.zeros(edges.shape, dtype=np.int64)
        table[edges.row, edges.column] = levels[first : first + beam.beamlets.count]
        total += least_beam_on_time(table)
        first += beam.beamlets.count
    assert ROWS.beam_on_time(levels.astype(float)) == total


def test_a_beam_whose_beamlets_leave_gaps_counts_them_as_closed() -> None:
    beamlets = BEAMS[0].beamlets
    assert beamlets is not None
    kept = beamlets.center_x_mm != 2.5
    fields = ("center_x_mm", "center_y_mm", "width_x_mm", "width_y_mm")
    gap = replace(BEAMS[0], beamlets=replace(beamlets, **{f: getattr(beamlets, f)[kept] for f in fields}))
    assert LeafRows.of((gap,)).beam_on_time(np.ones(int(kept.sum()))) == 2.0


def test_the_rounded_time_is_safe_and_close() -> None:
    rng = np.random.default_rng(2)
    for fluence in (np.ones(COUNT), rng.uniform(0.0, 2.0, COUNT)):
        limit = MaximumMonitorUnits(rows=ROWS, monitor_units=10.0, uniform=1.0)
        time = 10.0 * (1.0 + limit.residual(fluence)[0])
        exact = ROWS.beam_on_time(fluence)
        # 10 equal rows: 10^(1/40) = 1.06; 13 steps of no height each: 13 * 0.005 / 4 of the uniform fluence
        assert exact <= time <= 1.06 * (exact + 2 * 13 * 0.005 / 4)


def test_gradient_equals_central_differences() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0.0, 2.0, COUNT)
    limit = MaximumMonitorUnits(rows=ROWS, monitor_units=10.0, uniform=1.0)
    gradient = limit.pullback(x, np.array([1.7]))
    for i in rng.choice(COUNT, 20, replace=False):
        up, down = x.copy(), x.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        slope = 1.7 * (limit.residual(up)[0] - limit.residual(down)[0]) / 2e-6
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_the_limit_is_held_and_costs_what_it_must() -> None:
    """Every other beamlet of a row would do with the least mean; a limit on the time makes neighbors open as well."""
    rng = np.random.default_rng(4)
    a = rng.uniform(0.0, 1.0, (60, COUNT)) * (rng.random((60, COUNT)) < 0.3)
    regions = [Region(name=n, rows=np.arange(i, i + 30), volume_cm3=np.ones(30)) for n, i in (("t", 0), ("o", 30))]
    objectives = ((MeanDose(structure="o"), regions[1]),)
    constraints = ((MinimumDose(structure="t", dose_gy=20.0), regions[0]),)
    solver = AugmentedLagrangian(max_iterations=2000, tolerance=1e-4)
    free = Problem(matrix=a, offset_gy=np.zeros(60), objectives=objectives, constraints=constraints)
    start = np.full(COUNT, 20.0 / a[:30].sum(axis=1).mean())
    without = solver.solve(free, start)
    most = 0.5 * ROWS.beam_on_time(without.weights)
    limit = MaximumMonitorUnits(rows=ROWS, monitor_units=most, uniform=float(start[0]))
    held = solver.solve(replace(free, limits=(limit,)), start)
    assert held.violation <= 1e-4
    assert ROWS.beam_on_time(held.weights) <= most * (1.0 + 1e-4)
    assert held.objective > without.objective


def test_a_limit_of_nothing_is_named() -> None:
    with pytest.raises(InputError, match="limit on monitor units is 0"):
        MaximumMonitorUnits(rows=ROWS, monitor_units=0.0, uniform=1.0)

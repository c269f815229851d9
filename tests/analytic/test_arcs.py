"""Arcs: what a moving leaf opens, its gradients, the steps that a machine allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.optimize.arcs.dose import ArcDose
from rtsim.optimize.arcs.layout import Layouts
from rtsim.optimize.arcs.opening import mean_cover
from rtsim.optimize.arcs.paths import ArcPath
from rtsim.optimize.arcs.shapes import ArcShapes, within_reach
from rtsim.optimize.arcs.start import first_shapes
from rtsim.optimize.fluence import Planning, prepare
from tests.unit import optimize_toy as toy

EDGES = np.arange(-15.0, 16.0, 5.0)


def test_the_mean_cover_of_a_moving_end_is_that_of_many_still_ones() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-20.0, 20.0, (2, 200))
    b[:20] = a[:20]  # still
    t = (np.arange(4000) + 0.5) / 4000
    at = a[:, None] + (b - a)[:, None] * t
    cover = np.clip((at[..., None] - EDGES[:-1]) / 5.0, 0.0, 1.0).mean(axis=1)
    np.testing.assert_allclose(mean_cover(a, b, EDGES)[0], cover, atol=1e-6)


def test_slopes_of_the_mean_cover_are_its_differences() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-20.0, 20.0, (2, 300))
    _, by_a, by_b = mean_cover(a, b, EDGES)
    h = 1e-4
    np.testing.assert_allclose(
        by_a, (mean_cover(a + h, b, EDGES)[0] - mean_cover(a - h, b, EDGES)[0]) / (2 * h), atol=1e-6
    )
    np.testing.assert_allclose(
        by_b, (mean_cover(a, b + h, EDGES)[0] - mean_cover(a, b - h, EDGES)[0]) / (2 * h), atol=1e-6
    )


def test_a_way_of_the_gantry_avoids_180_and_has_equal_intervals() -> None:
    forth = ArcPath.between(181.0, 179.0, 10.0, 4.0, 2)
    assert (forth.turn_deg, forth.intervals) == (358.0, 90)
    back = ArcPath.between(179.0, 181.0, 10.0, 4.0, 2)
    assert back.turn_deg == -358.0
    np.testing.assert_allclose(forth.gantry_deg, back.gantry_deg[::-1], atol=1e-5)
    partial = ArcPath.between(300.0, 181.0, 10.0, 4.0, 2)
    assert partial.turn_deg == -119.0
    assert ArcPath.between(60.0, 179.0, 0.0, 4.0, 2).turn_deg == 119.0
    assert ArcPath.between(300.0, 60.0, 0.0, 4.0, 2).turn_deg == 120.0
    middles = (forth.gantry_deg[:-1:2] + 2 * forth.step_deg / 2) % 360.0
    np.testing.assert_allclose((forth.planning_deg - middles + 180.0) % 360.0, 180.0, atol=1e-4)


def test_steps_within_reach_keep_the_distance_of_opposing_leaves() -> None:
    rng = np.random.default_rng(3)
    left = rng.uniform(-40.0, 40.0, (60, 5))
    right = left + rng.uniform(0.5, 30.0, left.shape)
    near_left, near_right = within_reach(left, 6.0), within_reach(right, 6.0)
    assert np.abs(np.diff(near_left, axis=0)).max() <= 6.0 + 1e-9
    assert np.abs(np.diff(near_right, axis=0)).max() <= 6.0 + 1e-9
    assert (near_right - near_left).min() >= 0.5 - 1e-9
    np.testing.assert_array_equal(within_reach(near_left, 6.0), near_left)
    np.testing.assert_allclose(within_reach(left[::-1], 6.0), near_left[::-1])


@pytest.fixture(scope="module")
def planned() -> tuple[Planning, Layouts]:
    path = ArcPath(start_deg=100.0, turn_deg=60.0, collimator_deg=0.0, intervals=12, group=2)
    phantom, beams = toy.phantom(8.0), toy.beams(tuple(path.planning_deg))
    influence = toy.PencilEngine().influence(phantom, beams)
    planning = prepare(influence, phantom, toy.prescription(), toy.protocol())
    return planning, Layouts.of((path,), planning.influence.beams, toy.machine())


def _shapes(layouts: Layouts) -> tuple[ArcShapes, ...]:
    rng = np.random.default_rng(4)
    (layout,) = layouts.arcs
    left = rng.uniform(-25.0, 5.0, layout.low_mm.shape)
    right = left + rng.uniform(1.0, 20.0, left.shape)
    return (ArcShapes(left_mm=left, right_mm=right, monitor_units=rng.uniform(5.0, 50.0, layout.path.intervals)),)


def test_the_dose_of_an_arc_is_that_of_its_beamlets_at_many_still_positions(
    planned: tuple[Planning, Layouts],
) -> None:
    planning, layouts = planned
    shapes = _shapes(layouts)
    (layout,), (own,) = layouts.arcs, shapes
    fluence = np.zeros(layouts.columns)
    steps = 200
    for n in range(layout.path.intervals):
        for t in (np.arange(steps) + 0.5) / steps:
            ends = [(1 - t) * e[n] + t * e[n + 1] for e in (own.left_mm, own.right_mm)]
            for p, r in enumerate(layout.row):
                lower, upper = layout.x_edges_mm[:-1], layout.x_edges_mm[1:]
                left, right = ends[0][p] - layout.leaf_gap_mm / 2, ends[1][p] + layout.leaf_gap_mm / 2
                opened = np.clip(np.minimum(right, upper) - np.maximum(left, lower), 0.0, None) / 5.0
                opened = layout.transmission * layout.share[p] + (1 - layout.transmission) * layout.share[p] * opened
                there = layout.index[n, r] >= 0
                np.add.at(fluence, layout.index[n, r][there], own.monitor_units[n] / steps * opened[there])
    expected = planning.matrix @ fluence.astype(np.float32)
    model = ArcDose(layouts=layouts, matrix=planning.matrix, adjoint=planning.adjoint)
    np.testing.assert_allclose(model.of(shapes), expected, rtol=2e-4, atol=1e-4 * float(expected.max()))


def test_the_gradient_of_an_arcs_dose_is_its_difference(planned: tuple[Planning, Layouts]) -> None:
    planning, layouts = planned
    rng = np.random.default_rng(5)
    missing = 1e-6 * rng.uniform(size=(planning.rows.count, 1))
    model = ArcDose(
        layouts=layouts,
        matrix=planning.matrix.astype(np.float64),
        adjoint=planning.adjoint.astype(np.float64),
        missing=missing,
    )
    (own,) = _shapes(layouts)
    weights = rng.normal(size=planning.rows.count).astype(np.float32).astype(np.float64)
    (gradient,) = model.evaluate((own,)).pullback(weights)
    for name in ("left_mm", "right_mm", "monitor_units"):
        values = getattr(own, name)
        for at in [tuple(rng.integers(0, s) for s in values.shape) for _ in range(12)]:
            moved = []
            for h in (-0.02, 0.02):
                changed = values.copy()
                changed[at] += h
                moved.append(float(weights @ model.of((replace(own, **{name: changed}),))))
            scale = float(np.abs(getattr(gradient, name)).max())
            assert getattr(gradient, name)[at] == pytest.approx((moved[1] - moved[0]) / 0.04, abs=2e-3 * scale)


def test_first_shapes_give_the_fluence_of_their_sectors(planned: tuple[Planning, Layouts]) -> None:
    """An even fluence: every interval is open, and all together give its monitor units at the axis."""
    _, layouts = planned
    (layout,) = layouts.arcs
    found = first_shapes(layout, np.full(layouts.columns, 10.0))
    # six planning beams of 10 MU; the rounded profile may differ from the fluence by half a level
    assert found.monitor_units.sum() == pytest.approx(60.0, rel=0.1)
    np.testing.assert_array_equal(found.left_mm, -30.0)
    np.testing.assert_array_equal(found.right_mm, 30.0)


def test_first_shapes_sweep_a_split_fluence(planned: tuple[Planning, Layouts]) -> None:
    """Two humps of one and two beams' worth: each sector opens them one after the other, forth and back in turns."""
    _, layouts = planned
    (layout,) = layouts.arcs
    beam = np.zeros((layout.row_count, layout.x_edges_mm.size - 1))
    beam[:, 1:4], beam[:, 8:11] = 10.0, 20.0
    units = np.zeros(layouts.columns)
    for n in range(layout.path.intervals):
        units[layout.index[n]] = beam
    found = first_shapes(layout, units)
    left = found.left_mm[:, 0]
    assert (np.diff(left[:4]) >= 0.0).all()
    assert (np.diff(left[5:8]) <= 0.0).all()
    opened = found.monitor_units @ (found.right_mm - found.left_mm)[1:, 0]
    assert opened == pytest.approx(6.0 * (10.0 * 15.0 + 20.0 * 15.0), rel=0.35)

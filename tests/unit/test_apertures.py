"""Direct aperture optimization on the toy: gradients, bounds of the machine, limits held, and what it gains."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from rtsim.errors import InputError
from rtsim.machine.model import Machine
from rtsim.optimize.apertures import DirectAperture, Motion, optimize_apertures
from rtsim.optimize.apertures.frames import is_open
from rtsim.optimize.apertures.model import ApertureDose, Point
from rtsim.optimize.apertures.openings import openings, rounded_ramp, rounded_step
from rtsim.optimize.fluence import FluencePlan, Planning, optimize_fluence, prepare
from rtsim.optimize.rows import Sampling
from rtsim.optimize.segment_weights import (
    Correction,
    Segment,
    columns_of,
    openings_of,
    optimize_weights,
    without_small,
)
from rtsim.optimize.sequencing import StepAndShoot, segments_of
from rtsim.optimize.solver import AugmentedLagrangian, StopOptimization
from tests.unit import optimize_toy as toy

QUICK = DirectAperture(max_iterations=40)


@pytest.fixture(scope="module")
def fluence() -> FluencePlan:
    phantom, protocol = toy.phantom(), toy.protocol(cord_gy=8.0)
    influence = toy.PencilEngine().influence(phantom, toy.beams((120, 180, 240)))
    planning = prepare(influence, phantom, protocol.prescription("PTV"), protocol, sampling=Sampling(seed=3))
    return optimize_fluence(planning, solver=AugmentedLagrangian(max_iterations=80, tolerance=1e-3))


@pytest.fixture(scope="module")
def machine() -> Machine:
    return toy.machine()


@pytest.fixture(scope="module")
def weighted(fluence: FluencePlan, machine: Machine) -> tuple[Segment, ...]:
    segments = segments_of(fluence, machine, StepAndShoot(levels=4))
    return without_small(fluence.planning, optimize_weights(fluence.planning, segments, machine)[0], machine)


@dataclass(frozen=True)
class Travel:
    """Squared travel of each leaf between neighboring segments, and squared steps of their monitor units."""

    weight: float
    units_weight: float = 0.0
    pairs: np.ndarray | None = None

    def penalty(
        self, leaf_pairs_mm: np.ndarray, monitor_units: np.ndarray
    ) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
        step, rise = np.diff(leaf_pairs_mm, axis=0), np.diff(monitor_units)
        if self.pairs is not None:
            step = step * self.pairs[..., None]
        of_leaves, of_units = np.zeros_like(leaf_pairs_mm), np.zeros_like(monitor_units)
        of_leaves[1:] += 2 * step
        of_leaves[:-1] -= 2 * step
        of_units[1:] += 2 * rise
        of_units[:-1] -= 2 * rise
        value = self.weight * float((step**2).sum()) + self.units_weight * float((rise**2).sum())
        return value, (self.weight * of_leaves, self.units_weight * of_units)


def ends_of(segments: tuple[Segment, ...]) -> np.ndarray:
    return np.stack([np.asarray(s.aperture.leaf_pairs_mm) for s in segments])


def correction(planning: Planning) -> Correction:
    rng = np.random.default_rng(11)
    return Correction(gy_per_mm2_mu=rng.uniform(0.0, 2e-7, (planning.rows.count, len(planning.influence.beams))))


def test_a_rounded_ramp_is_the_ramp_beyond_its_edge_and_its_step_the_derivative() -> None:
    t = np.linspace(-4.0, 4.0, 801)
    ramp = rounded_ramp(t, 1.5)
    assert ramp[np.abs(t) >= 1.5] == pytest.approx(np.maximum(t, 0.0)[np.abs(t) >= 1.5], abs=1e-12)
    # convolution of the ramp with a box of 3 mm: t^2/2 over the box, at 0 equal to 1.5 / 4
    assert rounded_ramp(np.array([0.0]), 1.5)[0] == pytest.approx(1.5 / 4)
    assert rounded_step(t, 1.5) == pytest.approx(np.gradient(ramp, t), abs=5e-3)


def test_openings_without_rounding_equal_the_columns_of_the_segments(
    fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]
) -> None:
    """Two ways to the same fluence: summed overlaps of whole apertures, and widths of columns to the left of an end."""
    planning = fluence.planning
    # leaf ends between the edges of columns, as after an optimization
    rng = np.random.default_rng(4)
    moved = tuple(
        replace(s, aperture=replace(s.aperture, leaf_pairs_mm=s.aperture.leaf_pairs_mm + rng.uniform(-0.2, 0.2)))
        for s in weighted
    )
    model = ApertureDose.of(planning, moved, machine, None, {}, None, DirectAperture(edge_mm=0.0))
    start = replace(model.start(), ends_mm=ends_of(moved)[model.openings.segment, model.openings.pair])
    units = np.array([s.monitor_units for s in moved])
    expected = columns_of(planning, moved, machine).astype(np.float64) @ units
    assert model.dose(start) == pytest.approx(expected, rel=2e-5, abs=1e-5)
    area = openings_of(planning, moved, machine) @ units
    given = model.openings.fluence(start.ends_mm, units) @ model.area_mm2
    assert given == pytest.approx(area)


@pytest.mark.parametrize("edge_mm", [0.0, 1.0, 2.5])
def test_gradient_equals_finite_differences(
    fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...], edge_mm: float
) -> None:
    """Of a smooth function of the fluence, of leaf ends that lie on no kink: central differences, 1e-6 relative."""
    influence = fluence.planning.influence
    o = openings(influence, [(s.beam, s.aperture) for s in weighted], machine, edge_mm)
    rng = np.random.default_rng(8)
    middle = 0.5 * (o.lower_mm + o.upper_mm)
    ends = np.stack((rng.uniform(o.lower_mm, middle - 0.5), rng.uniform(middle + 0.5, o.upper_mm)), axis=1)
    units = rng.uniform(1.0, 5.0, len(weighted))
    target = rng.uniform(0.0, 40.0, influence.beamlet_count)

    def value(e: np.ndarray, u: np.ndarray) -> float:
        return float(((o.fluence(e, u) - target) ** 2).sum())

    of_ends, of_units = o.pullback(ends, units, 2.0 * (o.fluence(ends, units) - target))
    step = 1e-4
    for k in range(6):
        direction = rng.normal(size=ends.shape), rng.normal(size=units.shape)
        more = value(ends + step * direction[0], units + step * direction[1])
        less = value(ends - step * direction[0], units - step * direction[1])
        slope = float((of_ends * direction[0]).sum() + (of_units * direction[1]).sum())
        assert slope == pytest.approx((more - less) / (2 * step), rel=2e-5), k


def test_gradient_of_the_whole_objective_equals_finite_differences(
    fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]
) -> None:
    """Through matrix, correction, monitor units and motion; products in float32 leave 1e-3 of a difference."""
    planning = fluence.planning
    settings = DirectAperture(edge_mm=2.0, monitor_units=3.0)
    model = ApertureDose.of(planning, weighted, machine, correction(planning), {}, Travel(1e-3, 1e-4), settings)
    start = model.start()
    rng = np.random.default_rng(2)
    start = model.within(replace(start, ends_mm=start.ends_mm + rng.uniform(-1.0, 1.0, start.ends_mm.shape)))

    def value(point: Point) -> float:
        return model.objective(point, model.dose(point))[0]

    _, slope, direct = model.objective(start, model.dose(start))
    of_ends, of_units = model.pullback(start, slope)
    gradient = of_ends + direct[0], of_units + direct[1]
    step = 0.05
    size = step * gradient[0] / np.abs(gradient[0]).max(), step * gradient[1] / np.abs(gradient[1]).max()
    more = value(Point(ends_mm=start.ends_mm + size[0], monitor_units=start.monitor_units + size[1]))
    less = value(Point(ends_mm=start.ends_mm - size[0], monitor_units=start.monitor_units - size[1]))
    expected = 2.0 * float((gradient[0] * size[0]).sum() + (gradient[1] * size[1]).sum())
    assert more - less == pytest.approx(expected, rel=1e-2)


def test_it_gains_what_weights_alone_cannot_and_holds_the_limit(
    fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]
) -> None:
    planning = fluence.planning
    again, before = optimize_weights(planning, weighted, machine)
    segments, after = optimize_apertures(planning, again, machine, settings=QUICK)
    assert after.objective < 0.95 * before.objective
    assert after.violation <= 1e-3
    assert [s.beam for s in segments] == [s.beam for s in weighted]
    mlc = machine.mlc
    assert mlc is not None
    leaves = ends_of(segments)
    assert (leaves[..., 1] - leaves[..., 0] >= mlc.min_gap_mm - 1e-9).all()
    assert min(s.monitor_units for s in segments) >= 0.0
    # the dose that it tells is that of the segments that it gives, but for the rounding of leaf edges
    units = np.array([s.monitor_units for s in segments])
    told = columns_of(planning, segments, machine).astype(np.float64) @ units
    assert np.abs(told - after.dose_gy).max() < 0.05 * after.dose_gy.max()


def test_leaves_stay_between_the_beamlets_of_their_row_and_parked_pairs_where_they_are(
    fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]
) -> None:
    mlc = machine.mlc
    assert mlc is not None
    model = ApertureDose.of(fluence.planning, weighted, machine, None, {}, None, DirectAperture())
    segments, _ = optimize_apertures(fluence.planning, weighted, machine, settings=QUICK)
    o, before, after = model.openings, ends_of(weighted), ends_of(segments)
    moved = after[o.segment, o.pair]
    inset = mlc.dosimetric_leaf_gap_mm / 2
    # the toy's beamlets reach from -30 to 30 mm in all rows
    assert moved[:, 0].min() >= -30.0 + inset - 1e-9
    assert moved[:, 1].max() <= 30.0 - inset + 1e-9
    rest = np.ones(before.shape[:2], dtype=bool)
    rest[o.segment, o.pair] = False
    assert np.array_equal(after[rest], before[rest])
    assert rest.sum() > 0


def test_motion_shortens_the_ways(fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]) -> None:
    assert isinstance(Travel(1.0), Motion)

    opened = np.stack([is_open(s.aperture, machine) for s in weighted])
    travel = Travel(20.0, pairs=opened[1:] & opened[:-1])

    def way(segments: tuple[Segment, ...]) -> float:
        return travel.penalty(ends_of(segments), np.zeros(len(segments)))[0]

    free, _ = optimize_apertures(fluence.planning, weighted, machine, settings=QUICK)
    bound, _ = optimize_apertures(fluence.planning, weighted, machine, settings=QUICK, motion=travel)
    assert way(bound) < 0.7 * way(free)


def test_a_stop_gives_the_best_so_far(fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]) -> None:
    def stop(done: float, text: str) -> None:
        raise StopOptimization

    segments, solution = optimize_apertures(fluence.planning, weighted, machine, progress=stop)
    assert solution.stopped
    assert not solution.converged
    assert len(segments) == len(weighted)


def test_what_cannot_be_optimized_is_refused(
    fluence: FluencePlan, machine: Machine, weighted: tuple[Segment, ...]
) -> None:
    with pytest.raises(InputError, match="there are no segments"):
        optimize_apertures(fluence.planning, (), machine)
    bare = replace(weighted[0], aperture=replace(weighted[0].aperture, leaf_pairs_mm=None))
    with pytest.raises(InputError, match="leaf pairs"):
        optimize_apertures(fluence.planning, (bare,), machine)
    with pytest.raises(InputError, match="edge_mm"):
        DirectAperture(edge_mm=-1.0)

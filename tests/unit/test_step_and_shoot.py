"""Step and shoot as a delivery: drafts, mergers of segments, jaws; on the toy and on shapes made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams.model import Aperture
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.apertures import DirectAperture, Improvement, SegmentsDraft
from rtsim.optimize.apertures.frames import fitted, framed, is_open, with_jaws
from rtsim.optimize.apertures.merge import merged
from rtsim.optimize.delivery import Delivery, Draft
from rtsim.optimize.fluence import FluencePlan, Planning, optimize_fluence, prepare
from rtsim.optimize.leaves import JAW_MARGIN_MM
from rtsim.optimize.rows import Sampling
from rtsim.optimize.segment_weights import Segment, columns_of, opening_of
from rtsim.optimize.sequencing import StepAndShoot
from rtsim.optimize.solver import AugmentedLagrangian
from tests.unit import optimize_toy as toy

QUICK = StepAndShoot(
    levels=4,
    improvement=Improvement(
        direct=DirectAperture(max_iterations=30), searches=1, searches_later=0, search_iterations=10
    ),
)


@pytest.fixture(scope="module")
def fluence() -> FluencePlan:
    phantom, protocol = toy.phantom(), toy.protocol(cord_gy=8.0)
    influence = toy.PencilEngine().influence(phantom, toy.beams((140, 220)))
    planning = prepare(influence, phantom, protocol.prescription("PTV"), protocol, sampling=Sampling(seed=3))
    return optimize_fluence(planning, solver=AugmentedLagrangian(max_iterations=40, tolerance=1e-3))


@pytest.fixture(scope="module")
def machine() -> Machine:
    return toy.machine()


@pytest.fixture(scope="module")
def draft(fluence: FluencePlan, machine: Machine) -> SegmentsDraft:
    return QUICK.draft(fluence, machine)


@pytest.fixture(scope="module")
def improved(draft: SegmentsDraft, fluence: FluencePlan) -> SegmentsDraft:
    return draft.improved(fluence.planning, {}, first=True)


def shape(left_mm: float, right_mm: float, rows: slice = slice(26, 34)) -> Aperture:
    """Central leaf pairs (5 mm each) open from left to right, between jaws of +-32 x +-25 mm."""
    leaves = np.tile([42.0, 42.5], (60, 1))
    leaves[rows] = left_mm, right_mm
    return Aperture(jaws_x_mm=(-32.0, 32.0), jaws_y_mm=(-25.0, 25.0), leaf_pairs_mm=leaves)


def segment(left_mm: float, right_mm: float, units: float, beam: int = 0, rows: slice = slice(26, 34)) -> Segment:
    return Segment(beam=beam, aperture=shape(left_mm, right_mm, rows), monitor_units=units)


def dose_of(planning: Planning, segments: tuple[Segment, ...], machine: Machine) -> np.ndarray:
    units = np.array([s.monitor_units for s in segments])
    return np.asarray(columns_of(planning, segments, machine).astype(np.float64) @ units)


def wanted(planning: Planning, gy: np.ndarray) -> float:
    return sum(o.weight * o.evaluate(gy[r.rows], r)[0] for o, r in planning.wishes.objectives)


def test_it_speaks_the_words_of_a_delivery(draft: SegmentsDraft, machine: Machine) -> None:
    assert isinstance(QUICK, Delivery)
    assert isinstance(draft, Draft)
    target = toy.phantom().structures["PTV"]
    beams = QUICK.planning_beams(machine, target)
    assert [b.gantry_deg for b in beams] == [90.0 + 15.0 * n for n in range(13)]  # from the back, every 15 degrees
    named = QUICK.planning_beams(machine, target, (0.0, 90.0))
    assert [b.gantry_deg for b in named] == [0.0, 90.0]
    assert all(b.beamlets is not None for b in named)
    with pytest.raises(MachineLimitError, match="no multileaf collimator"):
        QUICK.planning_beams(replace(machine, mlc=None), target)


def test_improved_holds_the_limit_that_the_sequenced_fluence_breaks_and_is_deliverable(
    draft: SegmentsDraft, improved: SegmentsDraft, fluence: FluencePlan, machine: Machine
) -> None:
    planning, limits = fluence.planning, machine.limits
    worst = []
    for parts in (draft.parts, improved.parts):
        gy = dose_of(planning, parts, machine)
        worst.append(max(float(c.residual(gy[r.rows], r).max()) for c, r in planning.wishes.constraints({})))
    assert worst[0] > 0.01
    # the solver's tolerance of a limit is 0.2 %
    assert worst[1] <= 2e-3
    assert improved.segments == len(improved.parts) == sum(len(b.segments()) for b in improved.beams)
    assert min(s.monitor_units for s in improved.parts) >= limits.min_monitor_units_per_segment
    assert [s.beam for s in improved.parts] == sorted(s.beam for s in improved.parts)


def test_leaf_ends_gain_over_monitor_units_alone(
    draft: SegmentsDraft, improved: SegmentsDraft, fluence: FluencePlan, machine: Machine
) -> None:
    own = replace(QUICK.improvement, direct=None)
    alone = replace(draft, improvement=own).improved(fluence.planning, {}, first=True)
    values = [wanted(fluence.planning, dose_of(fluence.planning, d.parts, machine)) for d in (improved, alone)]
    assert values[0] < values[1]


def test_a_price_saves_monitor_units(draft: SegmentsDraft, improved: SegmentsDraft, fluence: FluencePlan) -> None:
    dear = replace(draft, improvement=replace(QUICK.improvement, monitor_unit_price=2.0))
    units = [sum(s.monitor_units for s in d.parts) for d in (improved, dear.improved(fluence.planning, {}, first=True))]
    assert units[1] < 0.9 * units[0]


def test_corrected_gives_the_delivered_dose_at_the_same_monitor_units(
    improved: SegmentsDraft, fluence: FluencePlan, machine: Machine
) -> None:
    planning = fluence.planning
    by_beam = np.stack(
        [1.07 * dose_of(planning, tuple(s for s in improved.parts if s.beam == k), machine) + 0.1 for k in (0, 1)],
        axis=1,
    )
    correction = improved.corrected(by_beam).correction
    assert correction is not None
    columns = correction.added_to(columns_of(planning, improved.parts, machine), planning, improved.parts, machine)
    units = np.array([s.monitor_units for s in improved.parts])
    assert columns.astype(np.float64) @ units == pytest.approx(by_beam.sum(axis=1), rel=1e-4)
    with pytest.raises(InputError, match="rows_gy has shape"):
        improved.corrected(by_beam[:, :1])


def test_kept_leaves_out_what_the_machine_cannot_give(improved: SegmentsDraft) -> None:
    assert improved.kept(1.0) is improved
    least = sorted(s.monitor_units for s in improved.parts)
    kept = improved.kept(0.99 / least[0])
    assert kept.segments < improved.segments
    assert min(s.monitor_units for s in kept.parts) > least[0]
    with pytest.raises(MachineLimitError, match="no segment keeps"):
        improved.kept(1e-6)


def test_a_fluence_of_nothing_is_refused(fluence: FluencePlan, machine: Machine) -> None:
    with pytest.raises(InfeasiblePlanError, match="found nothing to deliver"):
        StepAndShoot(min_open_mm2=1e6).draft(fluence, machine)
    with pytest.raises(InputError, match="search_iterations"):
        Improvement(search_iterations=0)
    with pytest.raises(InputError, match="monitor_unit_price"):
        Improvement(monitor_unit_price=-1.0)


def test_segments_side_by_side_become_their_hull_and_alike_ones_their_mean(
    fluence: FluencePlan, machine: Machine
) -> None:
    """By hand: [-20, 0] and [0, 20] of 50 MU each are [-20, 20] of 50 MU; [-20, 0] and [-20, 1] their weighted mean."""
    planning = fluence.planning
    gap = 1.5  # the machine's dosimetric leaf gap: neighbors overlap by it unless they stand in by it
    beside = (segment(-20.0, -gap / 2, 50.0), segment(gap / 2, 20.0, 50.0))
    out = merged(planning, beside, machine, 0.05)
    assert len(out) == 1
    assert np.asarray(out[0].aperture.leaf_pairs_mm)[30].tolist() == [-20.0, 20.0]
    assert out[0].monitor_units == pytest.approx(50.0, rel=0.02)
    alike = (segment(-20.0, 0.0, 30.0), segment(-20.0, 1.0, 10.0))
    out = merged(planning, alike, machine, 0.05)
    assert np.asarray(out[0].aperture.leaf_pairs_mm)[30] == pytest.approx([-20.0, 0.25])
    assert out[0].monitor_units == pytest.approx(40.0, rel=0.02)


def test_mergers_change_the_fluence_by_no_more_than_allowed_and_never_between_beams(
    draft: SegmentsDraft, fluence: FluencePlan, machine: Machine
) -> None:
    planning = fluence.planning

    def maps(segments: tuple[Segment, ...], k: int) -> np.ndarray:
        beamlets = planning.influence.beams[k].beamlets
        assert beamlets is not None
        return sum(
            (s.monitor_units * opening_of(s.aperture, beamlets, machine) for s in segments if s.beam == k),
            np.zeros(beamlets.count),
        )

    assert merged(planning, draft.parts, machine, 0.0) is draft.parts
    less = [merged(planning, draft.parts, machine, tolerance) for tolerance in (0.1, 0.4)]
    assert len(less[1]) < len(less[0]) <= draft.segments
    for k in (0, 1):
        before = maps(draft.parts, k)
        # each merger is counted by itself, and their changes may add up: at most as many times the root of their number
        change = np.linalg.norm(maps(less[1], k) - before) / np.linalg.norm(before)
        assert change < 0.4 * np.sqrt(draft.segments)
    apart = (segment(-20.0, 0.0, 50.0), segment(-20.0, 0.0, 50.0, beam=1))
    assert len(merged(planning, apart, machine, 0.5)) == 2


def test_jaws_hold_all_open_pairs_of_a_beam_and_hide_the_closed(fluence: FluencePlan, machine: Machine) -> None:
    parts = (segment(-20.0, 0.0, 5.0, rows=slice(28, 30)), segment(5.0, 12.0, 5.0, rows=slice(29, 33)))
    wide = framed(fluence.planning, parts, machine)
    # the toy's beamlets fill +-30 x +-25 mm
    assert wide[0].aperture.jaws_x_mm == (-30.0 - JAW_MARGIN_MM, 30.0 + JAW_MARGIN_MM)
    assert wide[0].aperture.jaws_y_mm == (-25.0, 25.0)
    tight = fitted(fluence.planning, wide, machine)
    for s, given in zip(tight, parts, strict=True):
        assert s.aperture.jaws_x_mm == (-20.0 - JAW_MARGIN_MM, 12.0 + JAW_MARGIN_MM)
        # pairs 28 to 32 of 5 mm: from -10 to 15 mm
        assert s.aperture.jaws_y_mm == (-10.0, 15.0)
        leaves, before = np.asarray(s.aperture.leaf_pairs_mm), np.asarray(given.aperture.leaf_pairs_mm)
        opened = is_open(s.aperture, machine)
        assert np.array_equal(opened, is_open(given.aperture, machine))
        assert np.array_equal(leaves[opened], before[opened])
        assert (leaves[~opened, 0] > s.aperture.jaws_x_mm[1]).all()


def test_a_closed_pair_in_the_field_is_parked(machine: Machine) -> None:
    inside = shape(-20.0, 0.0)
    leaves = np.array(inside.leaf_pairs_mm)
    leaves[30] = 3.0, 3.5
    closed = with_jaws(replace(inside, leaf_pairs_mm=leaves), ((-22.0, 2.0), (-20.0, 20.0)), machine)
    assert np.asarray(closed.leaf_pairs_mm)[30, 0] > 2.0

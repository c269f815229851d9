"""Sliding window: what a beam of moving leaves gives its beamlets, its limits, and what a draft learns of a dose."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rtsim.beams import beamlet_opening, check_delivery
from rtsim.beams.model import Aperture, Beam
from rtsim.dose import PencilBeam, fluence_maps
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.machine import Machine, load_machine
from rtsim.optimize.delivery import Delivery, Draft
from rtsim.optimize.fluence import optimize_fluence, prepare
from rtsim.optimize.leaves import BeamletMap, dosimetric
from rtsim.optimize.sliding_window import SlidingWindow
from rtsim.optimize.sliding_window_beam import SweepSettings, swept_beam
from rtsim.optimize.sliding_window_rises import Rises
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.phantom.phantom import Phantom
from tests.unit import optimize_toy as toy

BEAM = toy.beams((180,))[0]
MACHINES = ("generic_6x", "generic_6fff", "generic_6x_agility")


def smooth(beam: Beam = BEAM) -> np.ndarray:
    assert beam.beamlets is not None
    return 60.0 + 40.0 * np.sin(beam.beamlets.center_x_mm / 8.0) * np.cos(beam.beamlets.center_y_mm / 15.0)


def between(a: Aperture, b: Aperture, t: float) -> Aperture:
    assert a.leaf_pairs_mm is not None
    assert b.leaf_pairs_mm is not None
    return replace(a, leaf_pairs_mm=(1.0 - t) * a.leaf_pairs_mm + t * b.leaf_pairs_mm)


def stepped(beam: Beam, steps: int = 8) -> list[tuple[Aperture, float]]:
    """(aperture, monitor units): the moving beam as many static ones, independently of how it was made."""
    out = []
    for p, q in pairwise(beam.control_points):
        units = (q.cumulative_monitor_units - p.cumulative_monitor_units) / steps
        out += [(between(p.aperture, q.aperture, (n + 0.5) / steps), units) for n in range(steps)]
    return out


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("kind", ["smooth", "random"])
def test_a_swept_beam_gives_the_wanted_units_leakage_and_gap_included(name: str, kind: str) -> None:
    machine = load_machine(name)
    assert BEAM.beamlets is not None
    assert machine.mlc is not None
    wanted = smooth() if kind == "smooth" else 100.0 * np.random.default_rng(3).random(BEAM.beamlets.count)
    swept = swept_beam(replace(BEAM, machine=machine), wanted, machine, SweepSettings())
    assert swept is not None
    leak = machine.mlc.transmission
    given = sum(
        units * (leak + (1.0 - leak) * beamlet_opening(dosimetric(a, machine.mlc), BEAM.beamlets, machine))
        for a, units in stepped(swept.beam)
    )
    # steps of half a millimeter of leaf travel, each exact to second order; and the growth of a tip off the axis
    np.testing.assert_allclose(swept.given_units, given, atol=2e-3 * wanted.max())
    reachable = wanted > 1.5 * swept.least_units
    np.testing.assert_allclose(swept.given_units[reachable], wanted[reachable], atol=2e-3 * wanted.max())
    assert (swept.given_units >= swept.least_units - 2e-3 * wanted.max()).all()
    dark = swept.given_units[~reachable] - wanted[~reachable]
    assert (dark < 1.6 * swept.least_units.max()).all()


@pytest.mark.parametrize("name", MACHINES)
def test_its_monitor_units_are_those_of_the_formula(name: str) -> None:
    """M = (1 - T) s X + the largest sum of rising steps, where every wanted fluence exceeds T M.

    source: Spirou and Chui 1994 (s X + rising steps of the open time a), with a = (F - T M) / (1 - T) put in.
    """
    machine = load_machine(name)
    assert BEAM.beamlets is not None
    assert machine.mlc is not None
    swept = swept_beam(replace(BEAM, machine=machine), smooth(), machine, SweepSettings())
    assert swept is not None
    pace = machine.limits.max_dose_rate_mu_min / 60.0 / machine.mlc.max_speed_mm_s
    rising = np.maximum(np.diff(BeamletMap.of(BEAM.beamlets).fluence(smooth()), axis=1, prepend=0.0), 0.0)
    formula = (1.0 - machine.mlc.transmission) * pace * 60.0 + rising.sum(axis=1).max()
    # the corners that control points cut are asked for on top: to the tolerance of a beamlet, a rise each
    assert swept.beam.monitor_units == pytest.approx(formula, abs=0.002 * smooth().max() * 12)


@pytest.mark.parametrize("name", MACHINES)
def test_leaves_keep_speed_gap_and_range(name: str) -> None:
    machine = load_machine(name)
    assert BEAM.beamlets is not None
    assert machine.mlc is not None
    wanted = 30.0 * np.random.default_rng(5).random(BEAM.beamlets.count)
    beam = swept_beam(replace(BEAM, machine=machine), wanted, machine, SweepSettings()).beam  # type: ignore[union-attr]
    leaves = np.array([p.aperture.leaf_pairs_mm for p in beam.control_points])
    seconds = np.diff([p.cumulative_monitor_units for p in beam.control_points]) / (
        machine.limits.max_dose_rate_mu_min / 60.0
    )
    speed = np.abs(np.diff(leaves, axis=0)).max(axis=(1, 2)) / seconds
    assert speed.max() <= machine.mlc.max_speed_mm_s * (1.0 + 1e-9)
    assert speed.max() == pytest.approx(machine.mlc.max_speed_mm_s)  # some leaf runs as fast as it can
    assert (leaves[..., 1] - leaves[..., 0]).min() >= machine.mlc.min_gap_mm - 1e-9
    assert (np.diff(leaves, axis=0) >= -1e-9).all()
    assert np.abs(leaves).max() <= machine.mlc.max_position_mm


@pytest.mark.parametrize("name", MACHINES)
def test_the_check_of_deliveries_finds_its_time_and_its_limits(name: str) -> None:
    """The check shares nothing with the sequencer: leaves at full speed all the time, at the full dose rate."""
    machine = load_machine(name)
    assert machine.mlc is not None
    swept = swept_beam(replace(BEAM, machine=machine), smooth(), machine, SweepSettings())
    assert swept is not None
    found = check_delivery(swept.beam)
    rate = machine.limits.max_dose_rate_mu_min
    assert found.dose_rate_mu_min == pytest.approx((rate, rate))
    assert found.leaf_speed_mm_s == pytest.approx(machine.mlc.max_speed_mm_s)
    assert found.time.beam_on_seconds == pytest.approx(60.0 * swept.beam.monitor_units / rate)
    # fewer monitor units for the same sweep: the machine lowers its dose rate, where leaves run as fast as they can
    scaled = check_delivery(swept.beam.scaled(0.8))
    assert scaled.leaf_speed_mm_s == pytest.approx(machine.mlc.max_speed_mm_s)
    assert scaled.dose_rate_mu_min[0] == pytest.approx(0.8 * rate)


@pytest.mark.parametrize(("position", "radius", "gap"), [("light_field", 0.0, 2.0), ("tip", 80.0, 0.0)])
def test_the_engine_sees_the_wanted_fluence(position: str, radius: float, gap: float) -> None:
    """Means over beamlets of the dose engines' own fluence map: flat ends with a gap, and round ones set by the apex.

    Round ends with a gap blur the map over some millimeters; that is left to the correction by the forward dose.
    """
    bare = load_machine("generic_6x")
    assert bare.mlc is not None
    assert bare.jaws is not None
    machine = replace(
        bare,
        mlc=replace(
            bare.mlc,
            leaf_position=position,
            leaf_end_radius_mm=radius,
            dosimetric_leaf_gap_mm=gap,
            tongue_groove_mm=0.0,
        ),
        jaws=replace(bare.jaws, transmission=0.0, monitor_backscatter=0.0),
        extra_focal=replace(bare.extra_focal, fraction=0.0),
        focal_spot=replace(bare.focal_spot, fwhm_x_mm=0.0, fwhm_y_mm=0.0),
        off_axis=type(bare.off_axis)(),
    )
    # off the axis, where the shadow of a tip leaves its apex: 0.8 mm at 90 mm
    assert BEAM.beamlets is not None
    beamlets = replace(BEAM.beamlets, center_x_mm=BEAM.beamlets.center_x_mm + 70.0)
    beam = replace(BEAM, machine=machine, beamlets=beamlets)
    swept = swept_beam(beam, smooth(), machine, SweepSettings())
    assert swept is not None
    (fluence,) = fluence_maps(swept.beam)
    x, y = fluence.raster.x_mm, fluence.raster.y_mm
    for n in range(0, beamlets.count, 7):
        inside = np.ix_(
            np.abs(y - beamlets.center_y_mm[n]) < beamlets.width_y_mm[n] / 2,
            np.abs(x - beamlets.center_x_mm[n]) < beamlets.width_x_mm[n] / 2,
        )
        # source of the tolerance: swept_beam fits to 0.2 % of the maximum; the engine steps leaves by 1 mm
        assert fluence.values[inside].mean() == pytest.approx(swept.given_units[n], abs=0.01 * smooth().max())


def water() -> Phantom:
    return Phantom.from_arrays(np.zeros((24, 40, 40)), (5.0, 5.0, 5.0), (-97.5, -97.5, -57.5))


def test_forward_dose_of_a_sweep_is_that_of_its_beamlets() -> None:
    machine = load_machine("generic_6x")
    engine = PencilBeam(spacing_mm=5.0)
    beam = replace(BEAM, machine=machine)
    swept = swept_beam(beam, smooth(), machine, SweepSettings())
    assert swept is not None
    moving = engine.forward(water(), (swept.beam,)).values_gy
    beamlets = engine.forward(water(), (replace(beam, beamlet_monitor_units=swept.given_units),)).values_gy
    inside = beamlets > 0.5 * beamlets.max()
    # beamlets know neither tongue and groove (darker by 1 to 3 %) nor the extra-focal source of the real aperture
    ratio = moving[inside] / beamlets[inside]
    assert ratio.mean() == pytest.approx(1.0, abs=0.04)
    assert ratio.std() < 0.03


def test_what_cannot_be_swept_is_refused() -> None:
    machine = toy.machine()
    assert machine.mlc is not None
    assert swept_beam(BEAM, np.zeros(BEAM.beamlets.count), machine, SweepSettings()) is None  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no beamlets"):
        swept_beam(replace(BEAM, beamlets=None), smooth(), machine, SweepSettings())
    with pytest.raises(InputError, match="one a beamlet"):
        swept_beam(BEAM, smooth()[:-1], machine, SweepSettings())
    with pytest.raises(MachineLimitError, match="no multileaf collimator"):
        swept_beam(BEAM, smooth(), replace(machine, mlc=None), SweepSettings())
    with pytest.raises(MachineLimitError, match="MU"):
        swept_beam(BEAM, 1e4 * smooth(), machine, SweepSettings())
    with pytest.raises(InputError, match="at most 600 MU/min"):
        swept_beam(BEAM, smooth(), machine, SweepSettings(dose_rate_mu_min=601.0))
    for wrong in ({"leaf_step_mm": 0.0}, {"most_control_points": 2}, {"tolerance": 0.0}, {"dose_rate_mu_min": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SweepSettings(**wrong)  # type: ignore[arg-type]
    for wrong in ({"smoothing": -1.0}, {"smoothings": 0}, {"beams": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SlidingWindow(**wrong)  # type: ignore[arg-type]


def test_a_lower_dose_rate_makes_dark_places_darker_and_the_beam_shorter_in_units() -> None:
    fast = swept_beam(BEAM, smooth(), toy.machine(), SweepSettings())
    slow = swept_beam(BEAM, smooth(), toy.machine(), SweepSettings(dose_rate_mu_min=200.0))
    assert fast is not None
    assert slow is not None
    assert slow.least_units.max() < fast.least_units.max()
    assert slow.beam.monitor_units < fast.beam.monitor_units


class Toy:
    """A ring round a cord, and a machine whose closed leaves let 3 % more through than its file says."""

    def __init__(self) -> None:
        self.phantom = toy.phantom(5.0)
        influence = toy.PencilEngine().influence(self.phantom, toy.beams())
        self.planning = prepare(influence, self.phantom, toy.prescription(), toy.protocol())
        solver = AugmentedLagrangian(max_iterations=60, tolerance=1e-3, inner_iterations=30)
        self.plan = optimize_fluence(self.planning, solver=solver)
        self.delivery = SlidingWindow(solver=solver)
        self.draft = self.delivery.draft(self.plan, toy.machine())

    def rows_gy(self, draft: Draft) -> np.ndarray:
        """(rows, beams) a forward dose: apertures step by step, their leakage and 3 % of the open jaws."""
        influence, rows = self.planning.influence, []
        for beam in draft.beams:
            k = [b.name for b in influence.beams].index(beam.name)
            beamlets, mlc = influence.beams[k].beamlets, beam.machine.mlc
            assert beamlets is not None
            assert mlc is not None
            given = np.zeros(beamlets.count)
            for aperture, units in stepped(beam, 2):
                jaws = beamlet_opening(replace(aperture, leaf_pairs_mm=None), beamlets, beam.machine)
                opening = beamlet_opening(dosimetric(aperture, mlc), beamlets, beam.machine)
                given += units * ((mlc.transmission + 0.03) * jaws + (1.0 - mlc.transmission) * opening)
            rows.append(self.planning.matrix[:, influence.columns_of(k)] @ given)
        return np.array(rows).T


@pytest.fixture(scope="module")
def case() -> Toy:
    return Toy()


def test_it_keeps_the_contract_of_deliveries(case: Toy) -> None:
    assert isinstance(case.delivery, Delivery)
    assert isinstance(case.draft, Draft)
    assert len(case.draft.beams) == 5
    assert case.draft.segments == sum(len(b.control_points) for b in case.draft.beams)
    target = case.phantom.structures["PTV"]
    beams = case.delivery.planning_beams(toy.machine(), target)
    assert [b.gantry_deg for b in beams] == [90.0 + 15.0 * n for n in range(13)]  # from the back, every 15 degrees
    assert all(b.beamlets is not None for b in beams)
    assert [b.gantry_deg for b in case.delivery.planning_beams(toy.machine(), target, (10.0, 200.0))] == [10.0, 200.0]
    with pytest.raises(MachineLimitError, match="no multileaf"):
        case.delivery.planning_beams(replace(toy.machine(), mlc=None), target)


def test_a_draft_learns_what_the_matrix_misses(case: Toy) -> None:
    rows = case.rows_gy(case.draft)
    taught = case.draft.corrected(rows)
    matrix = case.planning.matrix @ taught.given_units.astype(np.float32)
    # by construction: matrix and what it misses are the forward dose of what was given
    np.testing.assert_allclose(matrix + taught._missing_of(taught.given_units), rows.sum(axis=1), atol=1e-4)


def test_what_the_matrix_has_too_much_is_a_factor_and_no_negative_dose(case: Toy) -> None:
    """A matrix 30 % too high, then the same for a fluence that is swept the other way round."""
    given = case.draft.given_units
    influence = case.planning.influence
    predicted = np.stack(
        [case.planning.matrix[:, c] @ given[c] for c in (influence.columns_of(k) for k in range(5))], axis=1
    )
    taught = case.draft.corrected(0.7 * predicted)
    assert taught.correction is not None
    known = taught.correction.applied_to(case.planning)
    dose = known.matrix @ given.astype(np.float32) + taught._missing_of(given)
    np.testing.assert_allclose(dose, 0.7 * predicted.sum(axis=1), rtol=1e-4, atol=1e-4)
    other = given[::-1]
    assert (known.matrix @ other.astype(np.float32) + taught._missing_of(other) >= 0.0).all()
    # and it is what an improvement works with: the target needs more monitor units
    more = taught.improved(case.planning, {0: 30.0}, first=False)
    plain = case.draft.improved(case.planning, {0: 30.0}, first=False)
    assert sum(b.monitor_units for b in more.beams) > 1.2 * sum(b.monitor_units for b in plain.beams)


def test_an_improved_draft_holds_the_limit_in_its_forward_dose(case: Toy) -> None:
    (limit,) = case.planning.wishes.limits
    region = case.planning.rows.regions["spinal_cord (limit)"].rows
    level = 0.99 * limit.limit_gy
    draft = case.draft.corrected(case.rows_gy(case.draft)).improved(case.planning, {0: level}, first=False)
    dose = case.rows_gy(draft).sum(axis=1)
    # 3 % of all monitor units reach the cord unknown to the planning: what was learned of them holds it to 1 %
    assert dose[region].max() <= 1.01 * level
    target = case.planning.rows.regions["PTV"]
    assert target.share[dose[target.rows] >= 18.0].sum() > 0.6


def test_smoothing_takes_from_the_rows_that_the_monitor_units_depend_on(case: Toy) -> None:
    rises = Rises.of(case.planning.influence.beams)
    given = case.draft.given_units
    sums = rises.sums(given)
    maps = [BeamletMap.of(b.beamlets) for b in case.planning.influence.beams]  # type: ignore[arg-type]
    expected = [
        np.maximum(np.diff(m.fluence(given[case.planning.influence.columns_of(k)]), prepend=0.0), 0.0).sum(axis=1)
        for k, m in enumerate(maps)
    ]
    np.testing.assert_allclose(sums, np.concatenate(expected))
    levels = {0: 0.99 * case.planning.wishes.limits[0].limit_gy}
    rough, smoother = (
        replace(case.draft, settings=replace(case.delivery, smoothing=s)).improved(case.planning, levels, first=True)
        for s in (0.1, 400.0)
    )
    units = [sum(b.monitor_units for b in d.beams) for d in (rough, smoother)]
    assert units[1] < 0.95 * units[0]


def test_beams_that_scaling_leaves_too_little_are_left_out(case: Toy) -> None:
    units = sorted(b.monitor_units for b in case.draft.beams)
    assert case.draft.kept(1.0) is case.draft
    fewer = case.draft.kept(0.5 * (1.0 / units[0] + 1.0 / units[1]))
    assert len(fewer.beams) == 4
    weak = fewer.corrected(case.rows_gy(fewer))  # a beam that is off takes the mean of the others
    assert weak.correction is not None
    assert np.isfinite(weak.correction.gy_per_mm2_mu).all()
    with pytest.raises(MachineLimitError, match="no beam keeps the 1 MU"):
        case.draft.kept(1e-6)


def test_nothing_to_deliver_is_said(case: Toy) -> None:
    solution = replace(case.plan.solution, weights=np.zeros_like(case.plan.solution.weights))
    with pytest.raises(InfeasiblePlanError, match="nothing to deliver"):
        case.delivery.draft(replace(case.plan, solution=solution), toy.machine())


def test_parts_that_want_nothing_stay_behind_jaws_and_leaves() -> None:
    machine: Machine = toy.machine()
    assert BEAM.beamlets is not None
    x, y = BEAM.beamlets.center_x_mm, BEAM.beamlets.center_y_mm
    wanted = np.where((np.abs(x) < 20.0) & (y > -15.0) & ((y < -5.0) | (y > 5.0)), smooth(), 0.0)
    swept = swept_beam(BEAM, wanted, machine, SweepSettings())
    assert swept is not None
    first = swept.beam.control_points[0].aperture
    assert first.jaws_x_mm == pytest.approx((-22.0, 22.0))
    assert first.jaws_y_mm == pytest.approx((-15.0, 25.0))
    assert (swept.given_units[np.abs(x) > 20.0] == 0.0).all()
    assert machine.mlc is not None
    leak = machine.mlc.transmission * swept.beam.monitor_units
    np.testing.assert_allclose(swept.given_units[(np.abs(y) < 5.0) & (np.abs(x) < 20.0)], leak)

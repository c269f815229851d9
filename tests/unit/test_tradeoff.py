"""Trade-off: cord limit against coverage. Known curves of one beamlet, and curves that never fall on the toy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from rtsim.beams.model import Beamlets
from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InputError
from rtsim.optimize import (
    AugmentedLagrangian,
    Certificate,
    FluencePlan,
    Plan,
    Planned,
    StopOptimization,
    Tradeoff,
    fluence,
    tradeoff,
)
from rtsim.optimize.delivered import COVERAGE_SPARE, SAFETY
from rtsim.optimize.tradeoff import DeliveredPoint
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription, Priority
from rtsim.view import tradeoff_figure, tradeoff_picture
from tests.unit import optimize_toy as toy

QUICK = AugmentedLagrangian(max_iterations=30, tolerance=1e-3)
FEW = AugmentedLagrangian(max_iterations=10, tolerance=1e-3)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom(spacing_mm=5.0)


@pytest.fixture(scope="module")
def one_beamlet(phantom: Phantom) -> Influence:
    """All there is to choose is how long one beamlet is open: its dose falls from front to back through the target."""
    y = np.broadcast_to(phantom.grid.y_mm[None, :, None], phantom.grid.shape)
    per_unit = np.where(phantom.external_mask(), 0.01 * (1.0 - y / 100.0), 0.0)
    one = np.ones(1)
    beamlets = Beamlets(center_x_mm=0 * one, center_y_mm=0 * one, width_x_mm=60 * one, width_y_mm=60 * one)
    beam = replace(toy.beams((180,))[0], beamlets=beamlets)
    matrix = sparse.csr_array(per_unit.reshape(-1, 1).astype(np.float32))
    return Influence(matrix=matrix, grid=phantom.grid, beams=(beam,), engine="one beamlet")


@pytest.fixture(scope="module")
def toy_fluence(phantom: Phantom) -> FluencePlan:
    influence = toy.PencilEngine().influence(phantom, toy.beams((140, 220)))
    return fluence(influence, phantom, toy.prescription(), toy.protocol(), solver=QUICK)


def test_the_curve_of_one_beamlet_is_known(phantom: Phantom, one_beamlet: Influence) -> None:
    """Open as long as the limit allows, or the wanted coverage asks: coverage, D95 and the limit needed follow."""
    plan = fluence(one_beamlet, phantom, toy.prescription(), toy.protocol(cord_gy=18.0))
    unit = one_beamlet.dose(np.ones(1))
    cord_gy, target = dvh(unit, phantom["spinal_cord"]).dose_gy_at(0.035), dvh(unit, phantom["PTV"])
    limits = np.array([16.0, 18.0, 20.0])
    found = tradeoff(plan, phantom, limits_gy=tuple(limits))
    units = limits * (1.0 - SAFETY) / cord_gy
    needed = 18.0 / target.dose_gy_at_percent(90.0 + COVERAGE_SPARE)
    assert (units < needed).all(), "the limits of this test rule"
    expected = [target.volume_percent_at(18.0 / u * (1 - 1e-6)) for u in units]
    np.testing.assert_allclose(found.limits_gy, limits)
    np.testing.assert_allclose(found.coverage_percent, expected, atol=0.02)
    np.testing.assert_allclose(found.d95_gy, units * target.dose_gy_at_percent(95.0), rtol=1e-5)
    np.testing.assert_allclose(found.reached_gy, limits * (1.0 - SAFETY), rtol=1e-5)
    assert found.needed_gy is None
    assert "No limit up to 20.0 Gy on spinal_cord D0.035cc gives 90 % of PTV its 18 Gy" in found.statement


def test_the_series_goes_up_to_the_limit_that_is_needed(phantom: Phantom, one_beamlet: Influence) -> None:
    plan = fluence(one_beamlet, phantom, toy.prescription(), toy.protocol(cord_gy=18.0))
    unit = one_beamlet.dose(np.ones(1))
    cord_gy, target = dvh(unit, phantom["spinal_cord"]).dose_gy_at(0.035), dvh(unit, phantom["PTV"])
    needed = 18.0 / target.dose_gy_at_percent(90.0 + COVERAGE_SPARE) * cord_gy / (1.0 - SAFETY)
    found = tradeoff(plan, phantom)
    assert found.needed_gy is not None
    k = int(np.searchsorted(found.limits_gy, needed))
    assert found.limits_gy[k - 1] < found.needed_gy <= found.limits_gy[k]
    assert not found.is_reached
    assert found.statement.startswith(f"90 % of PTV with 18 Gy would need a limit of {found.needed_gy:.1f} Gy")
    assert "the limit of 18 Gy leaves" in found.statement


def test_a_higher_limit_never_covers_less(phantom: Phantom, toy_fluence: FluencePlan) -> None:
    found = tradeoff(toy_fluence, phantom, limits_gy=(0.6, 1.0, 2.0), solver=FEW)
    assert (np.diff(found.coverage_percent) >= 0).all()
    assert (np.diff(found.d95_gy) >= 0).all()
    assert (found.reached_gy <= found.limits_gy * (1.0 - SAFETY) * (1 + 1e-6)).all()
    assert found.coverage_percent[0] < found.coverage_percent[-1] - 10.0, "the limits of this test rule"


def test_all_limits_of_the_cord_move_together_and_others_stay(phantom: Phantom, toy_fluence: FluencePlan) -> None:
    extra = (
        toy.goal("spinal_cord", "D0.35cc", 8.0, "Gy", Priority.HARD),
        toy.goal("esophagus", "D0.035cc", 16.0, "Gy", Priority.HARD),
    )
    influence = toy_fluence.planning.influence
    plan = fluence(influence, phantom, toy.prescription(), toy.protocol(10.0, 18.0, 90.0, *extra), solver=FEW)
    found = tradeoff(plan, phantom, limits_gy=(5.0,), solver=FEW)
    assert len(found.scaled_with) == 1
    assert "spinal_cord" in found.scaled_with[0]
    assert tradeoff(plan, phantom, structure="esophagus", limits_gy=(8.0,), solver=FEW).structure == "esophagus"


def curve(delivered: DeliveredPoint | None = None, delivery_gy: float = 0.0) -> Tradeoff:
    return Tradeoff(
        structure="spinal_cord",
        metric="D0.035cc",
        limit_gy=10.0,
        prescription=Prescription("PTV", 18.0, 1, 90.0),
        limits_gy=np.array([6.0, 8.0, 10.0, 12.0, 14.0]),
        coverage_percent=np.array([60.0, 80.0, 86.0, 92.0, 92.0]),
        d95_gy=np.array([12.0, 15.0, 16.5, 17.5, 17.5]),
        reached_gy=np.array([6.0, 8.0, 10.0, 11.9, 11.9]),
        delivered=delivered,
        delivery_gy=delivery_gy,
    )


@pytest.mark.parametrize(
    ("coverage", "limit"), [(86.0, 10.0), (89.0, 11.0), (92.0, 12.0), (70.0, 7.0), (50.0, 6.0), (92.1, None)]
)
def test_the_limit_for_a_coverage_lies_straight_between_points(coverage: float, limit: float | None) -> None:
    assert curve().limit_for(coverage) == (None if limit is None else pytest.approx(limit))


def test_a_delivered_plan_shifts_the_curve_onto_itself() -> None:
    point = DeliveredPoint(limit_gy=10.0, reached_gy=9.9, coverage_percent=83.0, d95_gy=15.6)
    shifted = curve(point, delivery_gy=1.0)
    assert shifted.coverage_at(10.0) == pytest.approx(83.0)
    assert shifted.needed_gy == pytest.approx(10.0 + 2.0 * 3.9 / 6.0 + 1.0)
    assert shifted.statement == (
        "90 % of PTV with 18 Gy would need a limit of 12.3 Gy on spinal_cord D0.035cc, optimized anew for it; "
        "the limit of 10 Gy leaves 83 %."
    )


def with_dose(plan: FluencePlan, phantom: Phantom, dose: Dose) -> Planned:
    beam = toy.beams((180,))[0]
    open_field = beam.open_field(beam.machine, (60.0, 60.0), monitor_units=1.0)
    certificate = Certificate(
        structure="spinal_cord", metric="D0.035cc", limit_gy=10.0, reached_gy=9.9, held=True, statement=""
    )
    made = Plan(beams=(open_field,), prescription=plan.prescription, certificates=(certificate,))
    return Planned(plan=made, dose=dose, phantom=phantom, fluence=plan)


def test_what_delivery_costs_is_read_from_the_plan(phantom: Phantom, one_beamlet: Influence) -> None:
    """A delivered dose 5 % below the fluence at its limit covers what the fluence covers at a 5 % lower limit."""
    plan = fluence(one_beamlet, phantom, toy.prescription(), toy.protocol(cord_gy=18.0))
    unit = one_beamlet.dose(np.ones(1))
    cord_gy = dvh(unit, phantom["spinal_cord"]).dose_gy_at(0.035)
    delivered = unit.scaled(0.95 * 18.0 * (1.0 - SAFETY) / cord_gy)
    limits = (16.0, 17.1, 18.0, 20.0, 22.0)
    found = tradeoff(with_dose(plan, phantom, delivered), limits_gy=limits)
    assert found.delivery_gy == pytest.approx(0.05 * 18.0, abs=0.02)
    assert found.delivered is not None
    assert found.coverage_at(18.0) == pytest.approx(found.delivered.coverage_percent, abs=0.02)
    ideal = tradeoff(plan, phantom, limits_gy=tuple(limits))
    assert ideal.needed_gy is not None
    assert found.needed_gy == pytest.approx(ideal.needed_gy + found.delivery_gy)


def test_a_stop_leaves_the_points_until_then(phantom: Phantom, toy_fluence: FluencePlan) -> None:
    said: list[str] = []

    def stop(_: float, text: str) -> None:
        said.append(text)
        if text.startswith("limit 2.0 Gy"):
            raise StopOptimization

    found = tradeoff(toy_fluence, phantom, limits_gy=(1.0, 2.0, 4.0), solver=FEW, progress=stop)
    assert list(found.limits_gy) == [2.0, 4.0]
    assert said[0].startswith("limit 4.0 Gy")


def test_what_cannot_be_traded_is_refused(phantom: Phantom, toy_fluence: FluencePlan) -> None:
    with pytest.raises(InputError, match="give the phantom too"):
        tradeoff(toy_fluence)
    with pytest.raises(InputError, match="doses > 0 Gy"):
        tradeoff(toy_fluence, phantom, limits_gy=(0.0, 5.0))
    with pytest.raises(InputError, match=r"no hard limit on 'esophagus'.*spinal_cord"):
        tradeoff(toy_fluence, phantom, structure="esophagus")
    forward = replace(with_dose(toy_fluence, phantom, toy_fluence.dose), fluence=None)
    with pytest.raises(InputError, match="no optimized fluence"):
        tradeoff(forward)


@pytest.mark.parametrize("is_reached", [True, False])
def test_the_picture_shows_limit_plan_and_what_is_needed(is_reached: bool) -> None:
    covered = 91.0 if is_reached else 83.0
    point = DeliveredPoint(limit_gy=10.0, reached_gy=9.9, coverage_percent=covered, d95_gy=15.6)
    figure = tradeoff_figure(curve(point, 0.0 if is_reached else 1.0))
    words = " ".join(t.get_text() for t in figure.axes[0].texts)
    assert f"this plan: {covered:g} %" in words
    assert "limit 10 Gy" in words
    assert "wanted 90 %" in words
    assert ("needed 12.3 Gy" in words) is not is_reached
    assert tradeoff_picture(curve()).png.startswith(b"\x89PNG")


def test_a_limit_that_gives_the_wanted_coverage_is_the_most_that_is_needed() -> None:
    """The fluence stays a little below the plan at the plan's limit: the plan counts."""
    point = DeliveredPoint(limit_gy=10.0, reached_gy=9.9, coverage_percent=90.0, d95_gy=17.0)
    found = curve(point)
    needed_by_fluence = found.limit_for(89.9)
    assert needed_by_fluence is not None
    assert needed_by_fluence > 11.0
    assert found.is_reached
    assert found.needed_gy == 10.0

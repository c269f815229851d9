"""What an earlier course leaves: conditions and budgets by hand, a protocol that holds them, a plan that keeps them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.biology import eqd2_gy, remaining_dose_gy
from rtsim.clinic.reirradiation import (
    PreviousCourse,
    RigidShift,
    Rule,
    Verdict,
    assess,
    budget_table,
    conditions,
    remaining_budget,
    scheme_of,
    with_remaining_budget,
)
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.optimize import Planned, StepAndShoot, StereotacticSettings, plan_stereotactic
from rtsim.optimize.apertures.improvement import Improvement
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol import Priority, Protocol, Technique, for_fractions, load_protocol, names
from tests.unit import optimize_toy as toy

CONVENTIONAL = Technique.CONVENTIONAL


@pytest.mark.parametrize(
    ("text", "gy", "fractions", "eqd2"),
    [
        ("30/10", 30.0, 10, 37.5),
        ("20/5", 20.0, 5, 30.0),
        ("8x1", 8.0, 1, 20.0),
        ("3x10", 30.0, 10, 37.5),
        ("40 Gy/20", 40.0, 20, 40.0),
        ("45/25", 45.0, 25, 42.75),
        ("37.5/15", 37.5, 15, 42.1875),
    ],
)
def test_schemes_and_their_eqd2(text: str, gy: float, fractions: int, eqd2: float) -> None:
    """D (d + 2) / 4, by hand."""
    assert scheme_of(text) == (gy, fractions)
    assert PreviousCourse.scheme(text).given_to(None).eqd2_gy == pytest.approx(eqd2)


def test_a_part_of_a_scheme() -> None:
    """Half of 30/10: 15 Gy in 10, 15 (1.5 + 2) / 4 = 13.125."""
    assert PreviousCourse.scheme("30/10", cord_percent=50.0).given_to(None).eqd2_gy == pytest.approx(13.125)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30x10", "300 Gy in 10 fractions, 30 Gy each.*did you mean 30/10"),
        ("20X6", "did you mean 20/6"),
        ("300/10", "at most 10 Gy each: did you mean 30x10"),
    ],
)
def test_a_slip_is_no_scheme(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        scheme_of(text)


def test_few_large_fractions_are_a_scheme() -> None:
    assert scheme_of("24x1") == (24.0, 1)
    assert scheme_of("12x5") == (60.0, 5)
    assert scheme_of("10x6") == (60.0, 6)


@pytest.mark.parametrize("text", ["30", "30/0", "thirty/10", "0/10", "30/-1", "30/10/2", "30/99"])
def test_no_scheme(text: str) -> None:
    with pytest.raises(InputError, match="is no scheme"):
        scheme_of(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"months_ago": -1.0}, "a number >= 0"),
        ({"months_ago": float("nan")}, "a number >= 0"),
        ({"fractions": 0}, "a whole number >= 1"),
        ({"dose_gy": -3.0}, "must be > 0 Gy"),
        ({"dose_gy": None}, "give one of the two"),
        ({"cord_percent": 0.0}, "0 to 150 %"),
    ],
)
def test_a_previous_course_that_cannot_be(changes: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PreviousCourse(**({"dose_gy": 30.0, "fractions": 10} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("fractions", "gy"), [(1, 9.05), (2, 12.28), (3, 14.58), (4, 16.40), (5, 17.91)])
def test_after_30_in_10_the_course_is_held_to_25(fractions: int, gy: float) -> None:
    """70 - 37.5 = 32.5, half of the sum 37.5, but at most 25 Gy: D = n (sqrt(1 + 100 / n) - 1), by hand.

    Down to 0.01 Gy, so that the EQD2 is never above 25.
    """
    budget = remaining_budget(37.5, fractions, months_ago=8.0)
    assert budget.eqd2_gy == 25.0
    assert gy - 0.0151 < budget.dose_gy <= gy
    assert 24.95 < float(eqd2_gy(budget.dose_gy, fractions, 2.0)) <= 25.0
    assert budget.rule is Rule.REIRRADIATION


@pytest.mark.parametrize(
    ("previous", "months", "technique", "eqd2", "binding"),
    [
        (30.0, 8.0, Technique.STEREOTACTIC, 25.0, "this course"),
        (50.0, 8.0, Technique.STEREOTACTIC, 20.0, "cumulative"),
        (20.0, 8.0, Technique.STEREOTACTIC, 20.0, "at most 50 %"),
        (37.5, None, Technique.STEREOTACTIC, 7.1, "as one"),
        (37.5, None, CONVENTIONAL, 7.1, "as one"),
        (20.0, 3.0, Technique.STEREOTACTIC, 20.0, "at most 50 %"),
        (5.0, 8.0, CONVENTIONAL, 49.0, "this course <= 49 Gy"),
        (37.5, 3.0, Technique.STEREOTACTIC, 7.1, "as one"),
        (5.0, 8.0, Technique.STEREOTACTIC, 39.6, "as one"),
        (37.5, 8.0, CONVENTIONAL, 32.5, "cumulative"),
        (37.5, 3.0, CONVENTIONAL, 7.1, "as one"),
    ],
)
def test_what_binds(previous: float, months: float | None, technique: Technique, eqd2: float, binding: str) -> None:
    """By hand: 70 - p, 25, p (SBRT); 70 - p, 49 (conventional); 44.6 - p within 5 months, at a time that is not known,
    or after hardly any dose, and no more than p after a usual course."""
    budget = remaining_budget(previous, 2, months_ago=months, technique=technique)
    assert budget.eqd2_gy == pytest.approx(eqd2)
    assert binding in budget.binding


@pytest.mark.parametrize("technique", list(Technique))
def test_what_is_not_known_never_leaves_more(technique: Technique) -> None:
    """Not known is as soon, and soon leaves at most what later does."""
    for previous in (2.0, 10.0, 20.0, 21.0, 22.3, 25.0, 30.0, 37.5, 44.0):
        left = [remaining_budget(previous, 3, months_ago=m, technique=technique).eqd2_gy for m in (None, 3.0, 8.0)]
        assert left[0] == left[1] <= left[2]
    with pytest.raises(InputError, match=r"used up.*is not known, give months_ago"):
        remaining_budget(50.0, 3, technique=technique)


def test_time_does_not_heal_the_budget() -> None:
    assert len({remaining_budget(37.5, 3, months_ago=m).dose_gy for m in (5.0, 8.0, 24.0, 120.0)}) == 1


def test_the_cumulative_part_agrees_with_biology() -> None:
    """After 50/25 the cumulative limit binds: the same number as rtsim.biology.remaining_dose_gy."""
    for n in (1, 2, 3, 5):
        assert remaining_budget(50.0, n, months_ago=8.0).dose_gy == pytest.approx(
            remaining_dose_gy(70.0, 50.0, 25, n), abs=0.01
        )


def test_the_table_rises_with_the_number_of_fractions() -> None:
    table = budget_table(37.5, months_ago=8.0)
    assert [b.fractions for b in table] == list(range(1, 31))
    doses = np.array([b.dose_gy for b in table])
    assert (np.diff(doses) > 0).all()
    assert doses[-1] == pytest.approx(30.0 * (np.sqrt(1.0 + 100.0 / 30.0) - 1.0), abs=0.01)


@pytest.mark.parametrize(
    ("previous", "months", "words"),
    [
        (72.0, 9.0, "EQD2 72.0 Gy .* of 70 Gy .* 0.0 Gy are left"),
        (45.0, 3.0, "only 3 months ago.*From 5 months on the conditions of HyTEC would leave 25.0 Gy"),
    ],
)
def test_a_budget_that_is_used_up_says_what_is_left(previous: float, months: float, words: str) -> None:
    with pytest.raises(InputError, match=f"budget is used up.*{words}"):
        remaining_budget(previous, 2, months_ago=months)


def test_the_four_conditions_by_hand() -> None:
    """37.5 and 24: 61.5 <= 70, 24 <= 25, 24 / 61.5 = 0.39 <= 0.5, 8 >= 5 months."""
    total, course, share, interval = conditions(37.5, 24.0, 8.0)
    assert [c.verdict for c in (total, course, share, interval)] == [Verdict.MET] * 4
    assert (total.value, course.value, interval.value) == (61.5, 24.0, 8.0)
    assert share.value == pytest.approx(24.0 / 61.5)
    assert all("HyTEC" in c.source.citation for c in (total, course, share, interval))
    assert "no recovery" in interval.reason


@pytest.mark.parametrize(
    ("previous", "now", "months", "verdicts"),
    [
        (50.0, 24.0, 8.0, "NOT MET, met, met, met"),
        (37.5, 26.0, 8.0, "met, NOT MET, met, met"),
        (20.0, 24.0, 8.0, "met, met, NOT MET, met"),
        (37.5, 24.0, 4.9, "met, met, met, NOT MET"),
        (37.5, 24.0, None, "met, met, met, not known"),
        (35.0, 35.0, 5.0, "met, NOT MET, met, met"),
    ],
)
def test_each_condition_fails_by_itself(previous: float, now: float, months: float | None, verdicts: str) -> None:
    assert ", ".join(c.verdict.value for c in conditions(previous, now, months)) == verdicts


def test_a_conventional_course_is_not_asked_what_was_found_for_sbrt() -> None:
    got = conditions(37.5, 30.0, 8.0, technique=CONVENTIONAL)
    assert [c.verdict for c in got] == [Verdict.MET, Verdict.MET, Verdict.NOT_ASKED, Verdict.MET]
    assert "Nieder" not in got[0].reason  # 67.5 Gy; 135.5 Gy BED_2 are 67.75
    assert "Nieder 2006" in conditions(37.5, 30.5, 8.0, technique=CONVENTIONAL)[0].reason


def test_a_conventional_course_is_held_to_98_gy_of_bed() -> None:
    """98 Gy BED_2 = 2 x 49 Gy EQD2_2 of one course; 50/25 before had 100 Gy, and 5 months are less than Nieder's 6."""
    assert conditions(10.0, 49.1, 8.0, technique=CONVENTIONAL)[1].verdict is Verdict.NOT_MET
    assert conditions(10.0, 49.0, 8.0, technique=CONVENTIONAL)[1].verdict is Verdict.MET
    total = conditions(50.0, 10.0, 5.5, technique=CONVENTIONAL)[0]
    assert total.verdict is Verdict.MET
    assert "more than the 49 Gy of one of Nieder 2006" in total.reason
    assert "less than the 6 months of Nieder 2006" in total.reason
    assert conditions(49.0, 10.0, 6.0, technique=CONVENTIONAL)[0].reason.count("Nieder") == 0


@pytest.mark.parametrize("name", names())
def test_every_protocol_can_hold_a_budget(name: str) -> None:
    base = load_protocol(name)
    previous = PreviousCourse.scheme("30/10", months_ago=8.0)
    limited = with_remaining_budget(base, previous)
    n = base.default_level.fractions
    budget = remaining_budget(37.5, n, months_ago=8.0, technique=base.technique)
    hard = [g for g in limited.goals if (g.priority, g.metric, g.unit) == (Priority.HARD, "D0.035cc", "Gy")]
    held = {g.structure: g.value for g in hard}
    for structure in ("spinal_cord", "spinal_cord_prv", "thecal_sac", "cauda_equina"):
        gy = [
            g.value
            for g in base.goals
            if (g.structure, g.metric, g.priority, g.unit) == (structure, "D0.035cc", Priority.HARD, "Gy")
        ]
        assert held[structure] == min([budget.dose_gy, *gy])
    others = [g for g in base.goals if g.structure not in (*held, "spinal_canal")]
    assert [g for g in limited.goals if g in others] == others
    assert all(limited.with_cord_limits(c.name).cord_limit for c in limited.cord_limits)


def test_stricter_limits_of_the_protocol_stay() -> None:
    previous = PreviousCourse.scheme("30/10", months_ago=8.0)
    limits = with_remaining_budget(load_protocol("spine_sbrt_3fx", cord_limits="tg101"), previous).cord_limit
    assert {str(g) for g in limits} >= {"spinal_cord D1.2cc <= 12.3 Gy", "spinal_cord D0.035cc <= 14.57 Gy"}
    assert "spinal_cord D0.035cc <= 21.9 Gy" not in {str(g) for g in limits}


def test_the_sac_may_be_sought_only() -> None:
    limited = with_remaining_budget(load_protocol("spine_sbrt_2fx"), PreviousCourse.scheme("30/10", months_ago=8.0))
    (sac,) = [g for g in limited.with_cord_limits("remaining_budget_prv").goals if g.structure == "thecal_sac"]
    assert (sac.priority, sac.value) == (Priority.GOAL, 12.28)


def test_another_number_of_fractions_needs_its_protocol() -> None:
    previous = PreviousCourse.scheme("30/10", months_ago=8.0)
    with pytest.raises(InputError, match="for_fractions"):
        with_remaining_budget(load_protocol("spine_sbrt_2fx"), previous, 6)
    made = with_remaining_budget(for_fractions(30.0, 6), previous, 6)
    assert [g.value for g in made.cord_limit] == [remaining_budget(37.5, 6, months_ago=8.0).dose_gy] * 3


def _uniform(phantom: Phantom, gy: float, fractions: int, grid: Grid | None = None) -> Dose:
    chosen = grid or phantom.grid
    return Dose(values_gy=np.full(chosen.shape, gy, np.float32), grid=chosen, fractions=fractions)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom()


def test_a_dose_says_what_a_scheme_says(phantom: Phantom) -> None:
    given = PreviousCourse(fractions=10, dose=_uniform(phantom, 30.0, 10), months_ago=8.0).given_to(
        phantom["spinal_cord"]
    )
    assert given.eqd2_gy == pytest.approx(37.5, rel=1e-5)
    assert given.unreached_cm3 == 0.0
    with pytest.raises(InputError, match="give the phantom"):
        with_remaining_budget(toy.protocol(), PreviousCourse(fractions=10, dose=_uniform(phantom, 30.0, 10)))


def test_the_number_of_fractions_is_that_of_the_course(phantom: Phantom) -> None:
    """Read from a file that says 1: the user's 10 counts."""
    course = PreviousCourse(fractions=10, dose=_uniform(phantom, 30.0, 1))
    assert course.given_to(phantom["spinal_cord"]).eqd2_gy == pytest.approx(37.5, rel=1e-5)


def test_a_dose_that_ends_within_the_cord_is_said(phantom: Phantom) -> None:
    half = Grid((9, *phantom.grid.shape[1:]), phantom.grid.spacing_mm, phantom.grid.origin_mm)
    previous = PreviousCourse(fractions=10, dose=_uniform(phantom, 30.0, 10, half), months_ago=8.0)
    cord = phantom["spinal_cord"]
    assert previous.given_to(cord).unreached_cm3 == pytest.approx(0.5 * cord.volume_cm3, rel=0.01)
    found = assess(_uniform(phantom, 8.0, 1), phantom, previous)
    assert any("beyond the grid of the previous dose" in n for n in found.notes)


@pytest.mark.parametrize("angle", [0.0, 1e-3])
@pytest.mark.parametrize(("rim_gy", "is_known"), [(20.0, False), (0.6, False), (0.4, True)])
def test_an_old_dose_that_ends_within_the_cord_leaves_no_budget(
    phantom: Phantom, rim_gy: float, is_known: bool, angle: float
) -> None:
    """20 Gy in 5 in the lower half of the cord, and ``rim_gy`` in the last two planes of its grid: the cord may have
    got anything above, unless the field had ended before. Turned hardly at all it is read another way, and is the
    same."""
    values = np.full((9, *phantom.grid.shape[1:]), 20.0, np.float32)
    values[-2:] = rim_gy
    half = Grid(values.shape, phantom.grid.spacing_mm, phantom.grid.origin_mm)
    dose = Dose(values_gy=values, grid=half, fractions=5)
    previous = PreviousCourse(fractions=5, dose=dose, months_ago=8.0, shift=RigidShift(rotation_deg=(0.0, 0.0, angle)))
    given = previous.given_to(phantom["spinal_cord"])
    assert given.unreached_cm3 > 0.0
    assert given.rim_gy == pytest.approx(rim_gy)
    found = assess(_uniform(phantom, 8.0, 1), phantom, previous)
    if is_known:
        limits = with_remaining_budget(toy.protocol(cord_gy=14.0), previous, phantom=phantom).cord_limit
        assert min(g.value for g in limits if g.unit == "Gy") <= 9.05
        assert found.is_held
        return
    with pytest.raises(GeometryError, match=r"Allowed at that rim.*Export the dose.*--previous 30/10"):
        with_remaining_budget(toy.protocol(cord_gy=14.0), previous, phantom=phantom)
    assert [c.verdict.value for c in found.conditions] == ["not known", "met", "not known", "met"]
    assert (found.is_held, found.budget, found.table) == (None, None, ())
    assert "NOT KNOWN: cumulative EQD2, share of this course" in found.headline
    much = assess(_uniform(phantom, 20.0, 1), phantom, previous)
    assert [c.verdict.value for c in much.conditions] == ["NOT MET", "NOT MET", "not known", "met"]
    assert much.is_held is False


def test_what_is_cut_off_never_leaves_more_than_the_whole(phantom: Phantom) -> None:
    """30 Gy in 10 in the upper half of the cord only: with the whole dose 12.28 Gy in 2 are left; cut off below it,
    the rest had 0 Gy, and counted as that both courses together would leave 16.9 Gy."""
    values = np.zeros(phantom.grid.shape, np.float32)
    values[9:] = 30.0
    whole = PreviousCourse(fractions=10, dose=Dose(values_gy=values, grid=phantom.grid, fractions=10), months_ago=8.0)
    limits = with_remaining_budget(load_protocol("spine_sbrt_2fx"), whole, phantom=phantom).cord_limit
    assert {g.value for g in limits} == {12.28}
    lower = Grid((10, *phantom.grid.shape[1:]), phantom.grid.spacing_mm, phantom.grid.origin_mm)
    cut = replace(whole, dose=Dose(values_gy=values[:10], grid=lower, fractions=10))
    with pytest.raises(GeometryError, match=r"is 30\.0 Gy where its grid ends"):
        with_remaining_budget(load_protocol("spine_sbrt_2fx"), cut, phantom=phantom)


@pytest.mark.parametrize("rotation", [(0.0, 0.0, 0.0), (0.0, 0.0, 10.0)])
def test_a_dose_of_another_place_is_refused(phantom: Phantom, rotation: tuple[float, float, float]) -> None:
    away = RigidShift(shift_mm=(0.0, 0.0, 900.0), rotation_deg=rotation)
    previous = PreviousCourse(fractions=10, dose=_uniform(phantom, 30.0, 10), shift=away)
    with pytest.raises(GeometryError, match="does not reach"):
        previous.given_to(phantom["spinal_cord"])


def test_maxima_apart_add_less_voxel_by_voxel(phantom: Phantom) -> None:
    """The old dose fell on the left half of the cord, the new one on the right: the sums by hand.

    Left 30/10 (37.5) and nothing now; right nothing and 8 Gy (20): accumulated about 37.5, maxima added 57.5.
    """
    old, new = np.zeros(phantom.grid.shape, np.float32), np.zeros(phantom.grid.shape, np.float32)
    old[..., phantom.grid.x_mm < -1e-6], new[..., phantom.grid.x_mm > 1e-6] = 30.0, 8.0
    previous = PreviousCourse(fractions=10, dose=Dose(values_gy=old, grid=phantom.grid, fractions=10), months_ago=8.0)
    found = assess(Dose(values_gy=new, grid=phantom.grid), phantom, previous)
    row = found.judged
    assert (row.previous_eqd2_gy, row.this_eqd2_gy) == pytest.approx((37.5, 20.0), rel=1e-3)
    assert row.added_eqd2_gy == pytest.approx(57.5, rel=1e-3)
    assert row.accumulated_eqd2_gy == pytest.approx(37.5, rel=1e-3)


@pytest.mark.parametrize(("rim_gy", "is_known"), [(0.3, True), (30.0, False)])
def test_what_lies_beyond_the_old_dose_is_said_and_counted_with_the_most(rim_gy: float, is_known: bool) -> None:
    """A cauda of 60 mm below the cord, and an old dose that ends between them: low at its rim, or not."""
    grid = Grid((30, 8, 8), (4.0, 4.0, 4.0), (-14.0, -14.0, -58.0))
    z = np.broadcast_to(grid.z_mm[:, None, None], grid.shape)
    masks = {"spinal_cord": z > 0.0, "cauda_equina": z < -20.0, "PTV": z > 40.0}
    roles = {"spinal_cord": Role.OAR, "cauda_equina": Role.OAR, "PTV": Role.PTV}
    made = Phantom.from_arrays(np.zeros(grid.shape), (4.0,) * 3, grid.origin_mm, masks, roles=roles)
    upper = Grid((15, 8, 8), (4.0, 4.0, 4.0), (-14.0, -14.0, 2.0))
    values = np.full(upper.shape, 30.0, np.float32)
    values[:2] = rim_gy
    dose = Dose(values_gy=values, grid=upper, fractions=10)
    previous = PreviousCourse(fractions=10, dose=dose, months_ago=8.0)
    if not is_known:
        with pytest.raises(GeometryError, match=r"of cauda_equina, and is 30\.0 Gy where its grid ends"):
            with_remaining_budget(load_protocol("spine_sbrt_2fx"), previous, phantom=made)
        return
    limited = with_remaining_budget(load_protocol("spine_sbrt_2fx"), previous, phantom=made)
    held = {g.structure: g.value for g in limited.goals if g.priority is Priority.HARD}
    assert held["spinal_cord"] == held["cauda_equina"] == 12.28
    found = assess(_uniform(made, 12.0, 2), made, previous)
    assert [r.key for r in found.rows] == ["spinal_cord"]
    assert any("cauda_equina lies wholly beyond" in n for n in found.notes)


def test_after_hardly_any_dose_the_share_is_not_asked(phantom: Phantom) -> None:
    """2 Gy in 1 is EQD2 2 Gy: as one course 42.6 Gy are left, 16.5 Gy in 2, and the interval is met."""
    found = assess(_uniform(phantom, 16.0, 2), phantom, PreviousCourse.scheme("2/1", months_ago=8.0))
    assert [c.verdict.value for c in found.conditions] == ["met", "not asked", "not asked", "met"]
    assert found.is_held
    assert found.rule is Rule.ONE_COURSE
    soon = assess(_uniform(phantom, 5.0, 2), phantom, PreviousCourse.scheme("30/10", months_ago=3.0))
    assert [c.name for c in soon.unmet] == ["interval"]
    assert soon.is_held
    assert "Both courses together stay within what one may give" in soon.headline


def test_a_steep_dose_on_a_coarse_grid_adds_up_to_its_own_effect(phantom: Phantom) -> None:
    """Nothing but 0.1 Gy in 10 before (EQD2 0.05 Gy), and a tent of 1.5 Gy/mm on voxels of 4 mm: the sum is the new
    course. Interpolated as EQD2 it would be higher by up to h^2/8 * (1.5 Gy/mm)^2 / 2 = 2.3 Gy for h = 4 mm, and still
    is by 0.14 Gy for the 1 mm that are used; a histogram bin of 8 mGy is 0.05 Gy of EQD2 here."""
    x = np.abs(phantom.grid.x_mm - 1.0)
    steep = np.broadcast_to(np.maximum(12.0 - 1.5 * x, 0.0), phantom.grid.shape)
    previous = PreviousCourse(fractions=10, dose=_uniform(phantom, 0.1, 10), months_ago=8.0)
    row = assess(Dose(values_gy=steep.astype(np.float32), grid=phantom.grid), phantom, previous).judged
    assert -0.05 < row.accumulated_eqd2_gy - row.added_eqd2_gy < 0.2


def test_a_turned_dose_is_read_where_it_came_to(phantom: Phantom) -> None:
    """A uniform dose is the same however it is turned."""
    turned = RigidShift(rotation_deg=(0.0, 0.0, 30.0), shift_mm=(1.0, 2.0, 3.0))
    previous = PreviousCourse(fractions=10, dose=_uniform(phantom, 30.0, 10), shift=turned)
    given = previous.given_to(phantom["esophagus"])
    assert given.near_max_gy == pytest.approx(30.0, rel=1e-5)


QUICK = StereotacticSettings(fluence_solver=AugmentedLagrangian(max_iterations=100, tolerance=1e-3), rounds=1)
FEW = StepAndShoot(
    improvement=Improvement(
        weight_solver=AugmentedLagrangian(max_iterations=80, tolerance=1e-3), searches=1, searches_later=0, direct=None
    )
)
PREVIOUS = PreviousCourse.scheme("20/5", months_ago=12.0)


def _plan(phantom: Phantom, protocol: Protocol) -> Planned:
    return plan_stereotactic(
        phantom,
        protocol.prescription("PTV"),
        protocol,
        toy.machine(),
        engine=toy.PencilEngine(),
        beams=toy.beams((120, 180, 240)),
        settings=QUICK,
        delivery=FEW,
        seed=3,
    )


def test_the_delivered_plan_keeps_the_budget(phantom: Phantom) -> None:
    """20/5 left EQD2 25 Gy = 9.04 Gy in 1, and the protocol would allow 14 Gy. The same plan with 10 % more dose
    breaks it: the limit binds."""
    limited = with_remaining_budget(toy.protocol(cord_gy=14.0), PREVIOUS, phantom=phantom)
    planned = _plan(phantom, limited)
    cord = next(c for c in planned.plan.certificates if c.structure == "spinal_cord")
    assert cord.held
    assert cord.limit_gy == 9.04
    found = assess(planned.dose, planned.phantom, PREVIOUS)
    assert found.judged.this_gy <= 9.04
    assert found.is_held
    assert not found.unmet
    assert "4 of 4 conditions met" in found.headline
    more = assess(planned.dose.scaled(1.1), planned.phantom, PREVIOUS)
    assert [c.name for c in more.unmet] == ["EQD2 of this course"]
    assert not more.is_held
    assert "NOT all conditions" in more.headline


def test_a_report_says_what_it_stands_on(phantom: Phantom) -> None:
    found = assess(_uniform(phantom, 8.0, 1), phantom, replace(PREVIOUS, months_ago=None))
    text = str(found)
    assert "NOT KNOWN: interval" in text
    assert found.is_held is None
    assert found.rule is Rule.ONE_COURSE
    assert "held as one" in text
    assert "No recovery is credited" in text
    assert "[verified]" in text
    assert "spinal_cord: D0.035cc before 20.00 Gy (EQD2 30.0), now 8.00 Gy (EQD2 20.0), accumulated EQD2 50.0" in (
        " ".join(text.split())
    )


def test_the_sac_comes_before_the_prv_and_the_cord() -> None:
    grid = Grid((6, 12, 12), (4.0, 4.0, 4.0), (-22.0, -22.0, -10.0))
    y, x = np.meshgrid(grid.y_mm, grid.x_mm, indexing="ij")
    r = np.broadcast_to(np.hypot(x, y), grid.shape)
    masks = {"spinal_cord": r < 6.0, "thecal_sac": r < 10.0, "PTV": r > 14.0}
    roles = {"spinal_cord": Role.OAR, "thecal_sac": Role.OAR, "PTV": Role.PTV}
    made = Phantom.from_arrays(np.zeros(grid.shape), (4.0,) * 3, grid.origin_mm, masks, roles=roles)
    dose = Dose(values_gy=(2.0 + 0.5 * r).astype(np.float32), grid=grid)
    assert assess(dose, made, PREVIOUS).judged.key == "thecal_sac"
    found = assess(dose, made, PREVIOUS, judged_in="spinal_cord")
    assert found.judged.key == "spinal_cord"
    assert any("thecal_sac is drawn and was not held" in n for n in found.notes)

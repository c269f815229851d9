"""Goals that exclude each other, and doses that no fluence of the machine gives: named before anything is optimized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.dose.result import Influence
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.optimize import SquaredOverdose, SquaredUnderdose, StopOptimization, Weights
from rtsim.optimize.beam_on_time import LeafRows
from rtsim.optimize.contradictions import check_goals
from rtsim.optimize.fluence import Planning, optimize_fluence, prepare
from rtsim.optimize.goals import sort_goals
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import Goal, Prescription, Priority, Sense
from tests.unit import optimize_toy as toy

HARD = Priority.HARD
LEAST = Sense.AT_LEAST


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom(spacing_mm=5.0)


@pytest.fixture(scope="module")
def influence(phantom: Phantom) -> Influence:
    return toy.PencilEngine().influence(phantom, toy.beams((140, 180, 220)))


def planning(influence: Influence, phantom: Phantom, *goals: Goal, wanted: Prescription | None = None) -> Planning:
    return prepare(influence, phantom, wanted or toy.prescription(), goals or toy.protocol().goals)


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        (
            # the whole target lies in the body, and nothing of it could be covered
            (toy.goal("body", "Dmax", 15.0, "Gy", HARD),),
            "body contains the whole target PTV.*body Dmax",
        ),
        (
            (toy.goal("body", "D1cc", 20.0, "Gy", HARD), toy.goal("PTV", "D95%", 21.0, "Gy", HARD, LEAST)),
            "two hard goals contradict.*PTV shares .* cm3 with body.*PTV D95%.*body D1cc",
        ),
        (
            (toy.goal("PTV", "Dmean", 19.0, "Gy", HARD), toy.goal("PTV", "D98%", 20.0, "Gy", HARD, LEAST)),
            "mean of 19.6 Gy.*allows 19 Gy",
        ),
        (
            (toy.goal("PTV", "Dmean", 12.0, "Gy", HARD),),
            "contradicts the prescription.*mean of 16.2 Gy",
        ),
        (
            (toy.goal("PTV", "Dmax", 19.0, "Gy", HARD), toy.goal("PTV", "D95%", 20.0, "Gy", Priority.GOAL, LEAST)),
            "two goals contradict each other",
        ),
        (
            (toy.goal("PTV", "Dmax", 19.0, "Gy", HARD), toy.goal("PTV", "Dmean", 20.0, "Gy", HARD, LEAST)),
            "two (hard )?goals contradict each other",
        ),
    ],
)
def test_goals_that_exclude_each_other_are_named(
    influence: Influence, phantom: Phantom, goals: tuple[Goal, ...], message: str
) -> None:
    with pytest.raises(InfeasiblePlanError, match=message):
        planning(influence, phantom, *goals)


@pytest.mark.parametrize(
    "goals",
    [
        # a limit on a small part of the body, or above the prescription, leaves room
        (toy.goal("body", "Dmax", 25.0, "Gy", HARD), toy.goal("PTV", "D95%", 18.0, "Gy", HARD, LEAST)),
        # the cord lies beside the target: what its limit costs is coverage, and is certified
        (toy.goal("spinal_cord", "D0.035cc", 4.0, "Gy", HARD), toy.goal("PTV", "D90%", 18.0, "Gy", HARD, LEAST)),
        (toy.goal("PTV", "Dmean", 20.0, "Gy", HARD), toy.goal("PTV", "D95%", 19.0, "Gy", HARD, LEAST)),
        # a mean of the target leaves the part of it that a margin of the cord shares, or a tenth of its own, colder
        (toy.goal("cold", "D0.035cc", 12.0, "Gy", HARD), toy.goal("PTV", "Dmean", 20.0, "Gy", HARD, LEAST)),
        (toy.goal("PTV", "D10%", 19.0, "Gy", HARD), toy.goal("PTV", "Dmean", 20.0, "Gy", Priority.GOAL, LEAST)),
    ],
)
def test_goals_that_leave_room_pass(influence: Influence, phantom: Phantom, goals: tuple[Goal, ...]) -> None:
    part = phantom["PTV"].coverage_on(phantom.grid).copy()
    part[:, :, phantom.grid.shape[2] // 2 + 2 :] = 0.0
    drawn = phantom.with_structures(Structure.from_coverage("cold", Role.OAR, phantom.grid, part))
    prescription = toy.prescription()
    check_goals(sort_goals(goals, prescription, drawn), prescription, drawn, influence.grid)


def test_a_target_that_beamlets_miss_in_part_is_named(phantom: Phantom) -> None:
    beams = []
    for beam in toy.beams((140, 180, 220)):
        assert beam.beamlets is not None
        low = beam.beamlets.center_y_mm < -5.0
        fields = ("center_x_mm", "center_y_mm", "width_x_mm", "width_y_mm")
        beams.append(
            replace(beam, beamlets=replace(beam.beamlets, **{f: getattr(beam.beamlets, f)[low] for f in fields}))
        )
    with pytest.raises(InfeasiblePlanError, match=r"no beamlet reaches .* % of the target 'PTV'.*margin"):
        planning(toy.PencilEngine().influence(phantom, beams), phantom)


def test_a_machine_that_cannot_reach_the_prescription_is_named(influence: Influence, phantom: Phantom) -> None:
    few = tuple(
        replace(b, machine=replace(b.machine, limits=replace(b.machine.limits, max_monitor_units_per_beam=300.0)))
        for b in influence.beams
    )
    with pytest.raises(MachineLimitError, match=r"cannot reach 18 Gy.*300 MU.*more beams or more fractions"):
        planning(replace(influence, beams=few), phantom)


def test_weights_of_zero_are_named() -> None:
    with pytest.raises(InputError, match="nothing would ask for dose"):
        Weights(target_under=0.0, coverage=0.0)


def test_a_limit_on_monitor_units_is_held_by_the_fluence(influence: Influence, phantom: Phantom) -> None:
    free = planning(influence, phantom)
    rows = LeafRows.of(influence.beams)
    without = rows.beam_on_time(optimize_fluence(free).solution.weights)
    per_gy = 0.7 * without / 18.0
    plan = optimize_fluence(replace(free, weights=replace(free.weights, monitor_units_per_gy=per_gy)))
    assert rows.beam_on_time(plan.solution.weights) <= 0.7 * without * 1.001
    assert plan.solution.violation <= 1e-3
    with pytest.raises(InputError, match="monitor_units_per_gy is -1"):
        Weights(monitor_units_per_gy=-1.0)


def test_a_stop_in_the_first_stage_returns_its_best_point(influence: Influence, phantom: Phantom) -> None:
    calls: list[str] = []

    def stop(done: float, text: str) -> None:
        calls.append(text)
        if len(calls) == 3:
            raise StopOptimization

    plan = optimize_fluence(planning(influence, phantom), progress=stop)
    assert plan.solution.stopped
    assert len(calls) == 3
    assert plan.solution.violation <= 1e-3
    assert plan.solution.weights.any()


def test_the_first_stage_finds_the_better_share_to_let_go(influence: Influence, phantom: Phantom) -> None:
    """From a uniform fluence the coverage gives up the edge of the target, not the part beside the cord."""
    made = planning(influence, phantom)
    selections = [
        o
        for o, _ in made.wishes.objectives
        if (isinstance(o, SquaredUnderdose) and o.volume_percent < 100.0)
        or (isinstance(o, SquaredOverdose) and o.allowed_percent > 0.0)
    ]
    assert selections
    found = optimize_fluence(made).solution
    uniform = np.full(influence.beamlet_count, float(found.weights.mean()))
    direct = optimize_fluence(made, start=uniform).solution
    assert found.objective <= direct.objective * 1.02

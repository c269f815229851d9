"""From goals to objectives with weights: conformity and gradient of the tissue, factors on single goals."""

from __future__ import annotations

from dataclasses import replace

import optimize_toy as toy
import pytest

from rtsim.errors import InputError
from rtsim.optimize import GoalWeight, SquaredOverdose, Weights
from rtsim.optimize.fluence import Planning, optimize_fluence, prepare
from rtsim.optimize.rows import NORMAL_TISSUE
from rtsim.optimize.wishes import HALF, UNIFORM_WEIGHTS
from rtsim.phantom.phantom import Phantom


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom()


@pytest.fixture(scope="module")
def planning(phantom: Phantom) -> Planning:
    influence = toy.PencilEngine().influence(phantom, toy.beams())
    return prepare(influence, phantom, toy.prescription(), toy.protocol(), weights=Weights())


def again(planning: Planning, phantom: Phantom, weights: Weights) -> Planning:
    return prepare(planning.influence, phantom, planning.prescription, toy.protocol(), weights=weights)


def half_volume_cm3(planning: Planning) -> float:
    """Tissue above half the prescription at the fluence that the planning asks for."""
    dose = optimize_fluence(planning).solution.dose_gy
    tissue = planning.rows.regions[NORMAL_TISSUE]
    return float(tissue.volume_cm3[dose[tissue.rows] > 0.5 * planning.prescription.dose_gy].sum())


def test_the_half_isodose_may_be_as_large_as_the_gradient_index_says(planning: Planning) -> None:
    tissue, target = (planning.rows.regions[n].volume_cm3.sum() for n in (NORMAL_TISSUE, "PTV"))
    half = [o for o, _ in planning.wishes.objectives if isinstance(o, SquaredOverdose) and o.allowed_percent > 0]
    assert [(o.structure, o.weight) for o in half] == [(NORMAL_TISSUE, planning.weights.gradient)]
    covered = planning.prescription.coverage_percent / 100.0
    outside = (planning.weights.gradient_index * covered - 1.0) * target
    assert half[0].allowed_percent == pytest.approx(100.0 * outside / tissue)
    assert half[0].dose_gy == pytest.approx(HALF * planning.prescription.dose_gy)


def test_a_gradient_that_counts_makes_the_half_isodose_smaller(planning: Planning, phantom: Phantom) -> None:
    counts = again(planning, phantom, replace(planning.weights, gradient_index=1.2))
    off = again(planning, phantom, replace(planning.weights, gradient=0.0, conformity=0.0, falloff=0.0))
    assert half_volume_cm3(counts) < 0.95 * half_volume_cm3(off)


def test_weights_of_zero_leave_objectives_out(planning: Planning, phantom: Phantom) -> None:
    off = again(planning, phantom, replace(planning.weights, gradient=0.0, conformity=0.0, falloff=0.0))
    assert all(o.structure != NORMAL_TISSUE for o, _ in off.wishes.objectives)
    assert sum(o.structure == NORMAL_TISSUE for o, _ in planning.wishes.objectives) == 3
    assert UNIFORM_WEIGHTS.gradient == UNIFORM_WEIGHTS.conformity == 0.0


def test_a_factor_is_that_of_its_goal_alone(planning: Planning, phantom: Phantom) -> None:
    goal = next(limit.goal for limit in planning.goals.sought if limit.structure.name == "esophagus")
    changed = replace(planning.weights, goals=(GoalWeight(structure=goal.structure, metric=goal.metric, factor=7.0),))
    more = again(planning, phantom, changed)
    pairs = [
        (a.weight, b.weight) for (a, _), (b, _) in zip(planning.wishes.objectives, more.wishes.objectives, strict=True)
    ]
    assert sorted(b / a for a, b in pairs) == pytest.approx([1.0] * (len(pairs) - 1) + [7.0])


def test_a_factor_on_a_goal_that_is_not_there_is_named(planning: Planning, phantom: Phantom) -> None:
    for structure, metric in (("elbow", "D5cc"), ("PTV", "D0.035cc")):
        wrong = replace(planning.weights, goals=(GoalWeight(structure=structure, metric=metric, factor=2.0),))
        with pytest.raises(InputError, match=f"{structure} {metric}.*those are: esophagus D5cc"):
            again(planning, phantom, wrong)


@pytest.mark.parametrize(
    ("field", "value"), [("conformity", -1.0), ("gradient", -1.0), ("gradient_index", 1.0), ("organ_aim", 0.0)]
)
def test_weights_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError):
        replace(Weights(), **{field: value})  # type: ignore[arg-type]


def test_a_factor_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="factor of the goal cord Dmax"):
        GoalWeight(structure="cord", metric="Dmax", factor=-0.1)

"""From goals to objectives with weights: conformity and gradient of the tissue, factors on single goals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optimize_toy as toy
import pytest

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.optimize import GoalWeight, MaximumDose, MaximumMean, SquaredOverdose, SquaredUnderdose, Weights
from rtsim.optimize.delivered import certify
from rtsim.optimize.fluence import Planning, optimize_fluence, prepare
from rtsim.optimize.rows import NORMAL_TISSUE
from rtsim.optimize.wishes import HALF, NEAR_MAXIMUM_CM3, TUMOR_AIM, UNIFORM_WEIGHTS
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.model import Goal, Priority, Sense


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


def with_tumor(phantom: Phantom) -> Phantom:
    """The target itself drawn as GTV and as CTV, too."""
    target = phantom["PTV"]
    return phantom.with_structures(
        replace(target, name="GTV", role=Role.GTV), replace(target, name="CTV", role=Role.CTV)
    )


def tumor_objectives(phantom: Phantom, weights: Weights, *goals: Goal) -> list[tuple[str, float, float, float]]:
    protocol = replace(toy.protocol(), goals=(*toy.protocol().goals, *goals))
    influence = toy.PencilEngine().influence(phantom, toy.beams())
    wishes = prepare(influence, phantom, toy.prescription(), protocol, weights=weights).wishes
    return [
        (o.structure, o.dose_gy, o.weight, o.volume_percent)
        for o, _ in wishes.objectives
        if isinstance(o, SquaredUnderdose) and o.structure != "PTV"
    ]


def wanted(structure: str, metric: str, value: float, unit: str) -> Goal:
    return toy.goal(structure, metric, value, unit, Priority.GOAL, Sense.AT_LEAST)


def test_the_tumor_is_asked_for_in_all_of_it_by_the_higher_of_two_goals(phantom: Phantom) -> None:
    goals = (wanted("GTV", "D95%", 100.0, "%"), wanted("GTV", "D98%", 14.0, "Gy"), wanted("CTV", "D50%", 20.0, "Gy"))
    found = tumor_objectives(with_tumor(phantom), Weights(tumor=7.0), *goals)
    assert found == [
        ("GTV", pytest.approx(TUMOR_AIM * 18.0), 7.0, 100.0),
        ("CTV", pytest.approx(TUMOR_AIM * 20.0), 7.0, 50.0),
    ]


def test_a_tumor_without_weight_or_goal_or_that_is_the_target_is_not_asked_for_apart(phantom: Phantom) -> None:
    goal = wanted("GTV", "D95%", 100.0, "%")
    assert tumor_objectives(with_tumor(phantom), Weights(tumor=0.0), goal) == []
    assert tumor_objectives(with_tumor(phantom), Weights()) == []
    assert tumor_objectives(phantom, Weights(), wanted("PTV", "D95%", 100.0, "%")) == []


def spared(planning: Planning, name: str = "spinal_cord") -> list[tuple[float, float]]:
    """Dose and weight of the objectives on an organ."""
    found = [o for o, _ in planning.wishes.objectives if o.structure == name]
    return [(o.dose_gy, o.weight) for o in found if isinstance(o, SquaredOverdose)]


def highest_of_cord_gy(planning: Planning) -> float:
    """In the fluence that the planning asks for."""
    return float(optimize_fluence(planning).solution.dose_gy[planning.rows.regions["spinal_cord"].rows].max())


def test_the_cord_is_spared_below_its_hard_limit(planning: Planning, phantom: Phantom) -> None:
    limit_gy, weights = 10.0, planning.weights
    concentrated = min(100.0, phantom["spinal_cord"].volume_cm3 / NEAR_MAXIMUM_CM3)
    assert spared(planning) == [(weights.spare_aim * limit_gy, pytest.approx(weights.spare * concentrated))]
    off, strict = (again(planning, phantom, replace(weights, spare=spare)) for spare in (0.0, 10.0 * weights.spare))
    assert spared(off) == []
    assert highest_of_cord_gy(strict) < highest_of_cord_gy(planning) < highest_of_cord_gy(off) < limit_gy


def test_a_prv_is_spared_only_near_its_limit(phantom: Phantom) -> None:
    prv = replace(phantom["spinal_cord"], name="spinal_cord_prv", role=Role.PRV)
    limit = toy.goal("spinal_cord_prv", "D0.035cc", 10.0, "Gy", Priority.HARD)
    drawn = phantom.with_structures(prv)
    influence = toy.PencilEngine().influence(drawn, toy.beams())
    planning = prepare(influence, drawn, toy.prescription(), toy.protocol(10.0, 18.0, 90.0, limit))
    assert [limit.structure.name for limit in planning.wishes.limits] == ["spinal_cord", "spinal_cord_prv"]
    weights = planning.weights
    assert [dose_gy for dose_gy, _ in spared(planning)] == [weights.spare_aim * 10.0]
    assert [dose_gy for dose_gy, _ in spared(planning, "spinal_cord_prv")] == [weights.organ_aim * 10.0]
    assert weights.organ_aim > weights.spare_aim


@pytest.mark.parametrize(
    ("organ", "name", "role", "limited"),
    [
        ("spinal_cord", "Cord+2mm", Role.OAR, "spinal_cord_prv"),  # by its name
        ("esophagus", "esophagus_prv", Role.PRV, "esophagus_prv"),  # by its role
    ],
)
def test_a_margin_is_one_by_its_name_as_by_its_role(
    phantom: Phantom, organ: str, name: str, role: Role, limited: str
) -> None:
    drawn = phantom.with_structures(replace(phantom[organ], name=name, role=role))
    limit = toy.goal(limited, "D0.035cc", 10.0, "Gy", Priority.HARD)
    influence = toy.PencilEngine().influence(drawn, toy.beams())
    planning = prepare(influence, drawn, toy.prescription(), toy.protocol(10.0, 18.0, 90.0, limit))
    assert [dose_gy for dose_gy, _ in spared(planning, name)] == [planning.weights.organ_aim * 10.0]


def test_a_limit_on_more_than_is_drawn_holds_its_least_dose_not_its_maximum(
    planning: Planning, phantom: Phantom
) -> None:
    """D(v) of a structure of less than v is its minimum, which the mean is never below."""
    whole = math.ceil(phantom["spinal_cord"].volume_cm3)
    limit = toy.goal("spinal_cord", f"D{whole}cc", 6.0, "Gy", Priority.HARD)
    found = prepare(planning.influence, phantom, toy.prescription(), toy.protocol(10.0, 18.0, 90.0, limit))
    kinds = [type(c) for c, _ in found.wishes.numbered_constraints({}).values()]
    assert kinds == [MaximumDose, MaximumMean]
    uniform = Dose(values_gy=np.full(phantom.grid.shape, 5.0, dtype=np.float32), grid=phantom.grid)
    certificates, _ = certify((limit,), phantom, toy.prescription(), uniform)
    assert f"NOTE: the structure has only {phantom['spinal_cord'].volume_cm3:.3g} cm3" in certificates[0].statement


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tumor", -1.0),
        ("spare", -1.0),
        ("spare_aim", 1.1),
        ("conformity", -1.0),
        ("gradient", -1.0),
        ("gradient_index", 1.0),
        ("organ_aim", 0.0),
        ("smoothness", math.nan),
    ],
)
def test_weights_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{field} is {value}"):
        replace(Weights(), **{field: value})


def test_a_factor_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="factor of the goal cord Dmax"):
        GoalWeight(structure="cord", metric="Dmax", factor=-0.1)

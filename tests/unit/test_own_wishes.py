"""Objectives and hard limits of a planner's own, beside those of the protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.optimize import (
    AugmentedLagrangian,
    Constraint,
    FluencePlan,
    GEud,
    Improvement,
    MaximumDose,
    MaximumGEud,
    MinimumMean,
    Objective,
    Scenarios,
    SquaredOverdose,
    StepAndShoot,
    StereotacticSettings,
    Uniformity,
    fluence,
    plan_stereotactic,
)
from rtsim.phantom.phantom import Phantom
from tests.unit import optimize_toy as toy

SOLVER = AugmentedLagrangian(max_iterations=120, tolerance=1e-3)
BEAMS = (120.0, 180.0, 240.0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom(5.0)


def optimized(
    phantom: Phantom, objectives: tuple[Objective, ...] = (), constraints: tuple[Constraint, ...] = ()
) -> FluencePlan:
    influence = toy.PencilEngine().influence(phantom, toy.beams(BEAMS))
    return fluence(
        influence,
        phantom,
        toy.prescription(),
        toy.protocol(),
        solver=SOLVER,
        objectives=objectives,
        constraints=constraints,
    )


def geud_gy(plan: FluencePlan, phantom: Phantom, a: float) -> float:
    """By its definition, in the voxels of the dose itself, which are those of the structure here."""
    return float(np.mean(in_esophagus(plan.dose, phantom) ** a) ** (1.0 / a))


def in_esophagus(dose: Dose, phantom: Phantom) -> np.ndarray:
    return dose.values_gy[phantom["esophagus"].coverage_on(dose.grid) > 0.5].astype(np.float64)


@pytest.fixture(scope="module")
def usual_gy(phantom: Phantom) -> float:
    return geud_gy(optimized(phantom), phantom, 8.0)


def test_an_objective_spares_and_stands_in_the_notes(phantom: Phantom, usual_gy: float) -> None:
    own = GEud(structure="esophagus", a=8.0, dose_gy=0.3 * usual_gy, weight=500.0)
    plan = optimized(phantom, (own, Uniformity(structure="PTV", weight=0.5)))
    assert geud_gy(plan, phantom, 8.0) < 0.8 * usual_gy
    assert f"{own.describe()} (weight 500)" in plan.notes[0]
    assert "PTV uniform (weight 0.5)" in plan.notes[0]
    higher = plan.planning.with_weights(replace(plan.planning.weights, aim=1.1))
    assert own in [o for o, _ in higher.wishes.objectives]


def test_a_limit_is_held(phantom: Phantom, usual_gy: float) -> None:
    own = MaximumGEud(structure="Oesophagus", dose_gy=0.5 * usual_gy, a=8.0)
    plan = optimized(phantom, constraints=(own,))
    # source: the tolerance of the solver, 1e-3, and the row sums of the dose in float32
    assert geud_gy(plan, phantom, 8.0) <= 0.5 * usual_gy * 1.003
    assert f"Own hard limits: {own.describe()}." in plan.notes
    wishes = plan.planning.with_weights(plan.planning.weights).wishes
    assert [c for c, _ in wishes.constraints({})][-1] is own
    rows = 3.0 * plan.solution.dose_gy
    assert wishes.own_scale(rows) == pytest.approx(own.dose_gy / (3.0 * geud_gy(plan, phantom, 8.0)), rel=1e-4)
    assert "NOT HELD as planned (+19" in wishes.own_states(rows)[0]


def test_a_least_dose_can_be_asked_for(phantom: Phantom) -> None:
    own = MinimumMean(structure="esophagus", dose_gy=1.3 * in_esophagus(optimized(phantom).dose, phantom).mean())
    plan = optimized(phantom, constraints=(own,))
    # source: the tolerance of the solver, 1e-3
    assert in_esophagus(plan.dose, phantom).mean() >= own.dose_gy * 0.998
    assert plan.planning.wishes.own_scale(plan.solution.dose_gy) == np.inf


def test_an_own_limit_is_read_at_every_point_of_its_structure(phantom: Phantom) -> None:
    """The optimizer has 2500 points of the body; between them it is hotter."""
    own = MaximumDose(structure="body", dose_gy=25.0)
    plan = optimized(phantom, constraints=(own,))
    wishes, rows_gy = plan.planning.wishes, plan.solution.dose_gy
    in_all = own.dose_gy / dvh(plan.dose, phantom["body"]).max_gy
    # source: the histogram bins doses; float32
    assert wishes.own_scale(rows_gy, plan.dose) == pytest.approx(in_all, rel=1e-3)
    assert wishes.own_scale(rows_gy) >= wishes.own_scale(rows_gy, plan.dose)
    hidden = plan.dose.values_gy.copy()
    body = phantom["body"].coverage_on(plan.dose.grid) > 0.99
    k, j, i = np.argwhere(body)[0]
    hidden[k, j, i] = 40.0
    spot = replace(plan.dose, values_gy=hidden)
    assert "NOT HELD as planned (+60.0 %)" in wishes.own_states(rows_gy, spot)[0]


def test_structures_that_are_not_drawn_are_named(phantom: Phantom) -> None:
    with pytest.raises(InputError, match=r"objective 'gEUD\(a=8\) of liver <= 3 Gy' is about 'liver'.*esophagus"):
        optimized(phantom, (GEud(structure="liver", a=8.0, dose_gy=3.0),))
    with pytest.raises(InputError, match=r"limit 'gEUD\(a=8\) of liver <= 3 Gy' is about 'liver'"):
        optimized(phantom, constraints=(MaximumGEud(structure="liver", a=8.0, dose_gy=3.0),))


def test_normal_tissue_takes_objectives(phantom: Phantom) -> None:
    own = SquaredOverdose(structure="normal tissue", dose_gy=10.0, weight=3.0)
    assert "normal tissue <= 10 Gy (weight 3)" in optimized(phantom, (own,)).notes[0]


def test_an_own_limit_holds_in_the_delivered_dose(phantom: Phantom, usual_gy: float) -> None:
    own = MaximumGEud(structure="esophagus", dose_gy=0.4 * usual_gy, a=8.0)
    wanted = GEud(structure="esophagus", a=2.0, dose_gy=0.0, weight=5.0)
    protocol = toy.protocol(cord_gy=10.0)
    planned = plan_stereotactic(
        phantom,
        protocol.prescription("PTV"),
        protocol,
        toy.machine(),
        engine=toy.PencilEngine(),
        beams=toy.beams(BEAMS),
        scenarios=Scenarios.nominal_only(),
        settings=StereotacticSettings(
            fluence_solver=AugmentedLagrangian(max_iterations=80, tolerance=1e-3),
            rounds=1,
            objectives=(wanted,),
            constraints=(own,),
        ),
        delivery=StepAndShoot(
            improvement=Improvement(
                weight_solver=AugmentedLagrangian(max_iterations=80, tolerance=1e-3),
                searches=1,
                searches_later=0,
                direct=None,
            )
        ),
        seed=3,
    )
    dose = in_esophagus(toy.PencilEngine().forward(phantom, planned.plan.beams), phantom)
    assert np.mean(dose**8) ** (1 / 8) <= own.dose_gy * (1 + 1e-4)  # source: float32 sums in another order
    notes = " ".join(planned.plan.notes)
    assert f"Own limit {own.describe()}: held as planned" in notes
    assert wanted.describe() in notes
    assert planned.plan.certificates[0].held

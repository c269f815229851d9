"""What users print says in a few lines what it is, and no array."""

from __future__ import annotations

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose
from rtsim.machine import load_machine
from rtsim.optimize import Planned
from rtsim.optimize.plan import Certificate, Plan
from rtsim.optimize.solver import Solution
from rtsim.optimize.tradeoff import Tradeoff
from tests.unit import optimize_toy as toy

LONGEST = 240


def is_short(text: str, lines: int) -> bool:
    found = text.splitlines()
    return len(found) <= lines and max(map(len, found)) <= LONGEST and "array(" not in text


def planned(level_gy: float = 18.1) -> Planned:
    """The whole phantom at one dose."""
    phantom = toy.phantom()
    beam = Beam.open_field(load_machine("generic_6x"), (80.0, 80.0), monitor_units=123.0, name="PA", gantry_deg=180.0)
    certificates = tuple(
        Certificate(structure=f"organ_{n}", metric="D0.035cc", limit_gy=10.0, reached_gy=9.0, held=n != 4, statement="")
        for n in range(5)
    )
    plan = Plan(beams=(beam,), prescription=toy.prescription(), certificates=certificates, not_checked=("one",))
    dose = Dose(values_gy=np.full(phantom.grid.shape, level_gy, dtype=np.float32), grid=phantom.grid)
    return Planned(plan=plan, dose=dose, phantom=phantom)


def test_a_plan_says_what_it_is() -> None:
    found = planned()
    text = str(found)
    assert is_short(text, 6)
    assert "18 Gy" in text
    assert "1 beam with 2 control points, 123 MU a fraction on generic_6x" in text
    assert "organ_4 limit NOT HELD" in text, "broken limits go first"
    assert "and 2 more" in text
    assert "NOT JUDGED: 1 hard limits" in text
    assert "100 % get 18 Gy (90 % wanted), D95% 18.10 Gy" in text
    assert str(found.plan) in text


def test_coverage_is_not_rounded_up() -> None:
    assert ": 0 % get 18 Gy" in str(planned(17.99))


def test_nothing_prints_its_arrays() -> None:
    found = planned()
    for thing in (found, found.plan, found.phantom, found.plan.beams[0], found.phantom[toy.prescription().target]):
        assert is_short(repr(thing), 1), type(thing)
    x = np.arange(2000.0)
    solution = Solution(
        weights=x,
        dose_gy=x,
        objective=1.0,
        violation=0.0,
        history=((1.0, 0.0),) * 500,
        slope_gy=x,
        evaluations=7,
        converged=True,
    )
    assert is_short(repr(solution), 1)
    curve = Tradeoff(
        structure="spinal_cord",
        metric="D0.035cc",
        limit_gy=17.0,
        prescription=toy.prescription(),
        limits_gy=x + 1.0,
        coverage_percent=np.clip(x, 0.0, 100.0),
        d95_gy=x,
        reached_gy=x,
    )
    assert is_short(repr(curve), 1)
    assert str(curve) == curve.statement

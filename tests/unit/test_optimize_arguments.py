"""What is of another kind than a planner needs is refused at once, and in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rtsim as rt
from rtsim.beams.delivery_time import delivery_time
from rtsim.errors import InputError, check_choice
from rtsim.optimize import Arcs, PrescribedTo, Scenarios, StepAndShoot
from rtsim.optimize.arguments import check_stereotactic

CC = rt.CollapsedCone()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((CC, None, "arc", None), r"delivery is 'arc'; .*Arcs\(\), SlidingWindow\(\) or StepAndShoot\(\)"),
        ((CC, None, Arcs, None), r"delivery is Arcs; .*Arcs\(\)"),
        (
            (CC, None, None, "1mm"),
            r"scenarios is '1mm'; a Scenarios is needed, e\.g\. rt\.optimize\.Scenarios\(shift_mm",
        ),
        (("pencil", None, None, None), "^engine is 'pencil'; a dose engine is needed"),
        ((CC, rt.CollapsedCone, None, None), "^planning_engine is CollapsedCone; a dose engine is needed"),
    ],
)
def test_of_another_kind(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_stereotactic(*given)


def test_what_is_needed_passes() -> None:
    check_stereotactic(CC, None, StepAndShoot(), Scenarios())
    check_choice("at", PrescribedTo.CORD, PrescribedTo)


def test_the_planner_looks_before_it_works() -> None:
    nothing: Any = None
    with pytest.raises(InputError, match="delivery is 'arc'"):
        rt.optimize.plan_stereotactic(nothing, nothing, nothing, nothing, engine=CC, delivery="arc")  # type: ignore[arg-type]


def test_recompute_looks_before_it_reads(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="engine is 'pencil'"):
        rt.dose.recompute(tmp_path, engine="pencil")


def test_time_is_of_a_beam() -> None:
    with pytest.raises(InputError, match=r"tuple is given; a Beam is needed: one of plan\.beams"):
        delivery_time(())  # type: ignore[arg-type]


def test_arcs_name_the_count_that_was_not_given() -> None:
    with pytest.raises(InputError, match=r"start_deg has 1 angle, and count is 2: .*Arcs\(count=1, \.\.\.\)"):
        Arcs(start_deg=(179.0,), stop_deg=(179.0,))

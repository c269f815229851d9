"""What planners are given: refused at once, in words, where it is of another kind than is needed."""

from __future__ import annotations

from rtsim.dose.engine import check_engine
from rtsim.errors import InputError, shown
from rtsim.optimize.delivery import Delivery
from rtsim.optimize.robust.scenarios import Scenarios


def check_stereotactic(engine: object, planning_engine: object, delivery: object, scenarios: object) -> None:
    """The arguments of ``plan_stereotactic`` that are objects of rtsim; None leaves them to the planner.

    Raises:
        InputError: a name, or a class without its parentheses.
    """
    check_engine("engine", engine)
    check_engine("planning_engine", planning_engine)
    if delivery is not None and (isinstance(delivery, type) or not isinstance(delivery, Delivery)):
        raise InputError(
            f"delivery is {shown(delivery)}; a technique of delivery is needed: Arcs(), SlidingWindow() or "
            "StepAndShoot()"
        )
    if scenarios is not None and not isinstance(scenarios, Scenarios):
        raise InputError(
            f"scenarios is {shown(scenarios)}; a Scenarios is needed, e.g. rt.optimize.Scenarios(shift_mm=1.0)"
        )

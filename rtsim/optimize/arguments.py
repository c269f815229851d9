"""What planners are given: refused at once, in words, where it is of another kind than is needed."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from rtsim.dose.engine import check_engine
from rtsim.errors import InputError
from rtsim.optimize.delivery import Delivery
from rtsim.optimize.robust.scenarios import Scenarios

Choice = TypeVar("Choice", bound=Enum)


def check_stereotactic(engine: object, planning_engine: object, delivery: object, scenarios: object) -> None:
    """The arguments of ``plan_stereotactic`` that are objects of rtsim; None leaves them to the planner.

    Raises:
        InputError: a name, or a class without its parentheses.
    """
    check_engine("engine", engine)
    check_engine("planning_engine", planning_engine)
    if delivery is not None and (isinstance(delivery, type) or not isinstance(delivery, Delivery)):
        raise InputError(
            f"delivery is {_shown(delivery)}; a technique of delivery is needed: Arcs(), SlidingWindow() or "
            "StepAndShoot()"
        )
    if scenarios is not None and not isinstance(scenarios, Scenarios):
        raise InputError(
            f"scenarios is {_shown(scenarios)}; a Scenarios is needed, e.g. rt.optimize.Scenarios(shift_mm=1.0)"
        )


def check_choice(name: str, given: object, kind: type[Choice], allowed: tuple[Choice, ...] | None = None) -> None:
    """One of an enumeration is given, not its name, and one that can be meant here.

    Args:
        allowed: default all of ``kind``.

    Raises:
        InputError: with the choices.
    """
    choices = tuple(kind) if allowed is None else allowed
    if not isinstance(given, kind) or given not in choices:
        *first, last = (f"{kind.__name__}.{c.name}" for c in choices)
        raise InputError(f"{name} is {_shown(given)}; choose {', '.join(first)} or {last}")


def _shown(given: object) -> str:
    if isinstance(given, Enum):
        return f"{type(given).__name__}.{given.name}"
    return given.__name__ if isinstance(given, type) else repr(given)

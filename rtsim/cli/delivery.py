"""How ``rtsim run`` is told to deliver a stereotactic plan, and where its limits hold: words of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rtsim.cli.choices import DELIVERIES
from rtsim.errors import InputError, unknown_name
from rtsim.optimize import Scenarios, StepAndShoot
from rtsim.optimize.delivery import Delivery
from rtsim.optimize.sliding_window import SlidingWindow
from rtsim.protocol import Technique

_MADE_BY: Final[dict[str, Callable[[], Delivery]]] = dict(zip(DELIVERIES, (StepAndShoot, SlidingWindow), strict=True))

_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(mm|deg)")


def delivery_of(name: str | None, technique: Technique) -> Delivery | None:
    """The technique of delivery of that name; None leaves it to the planner.

    Raises:
        InputError: a name that is not known, or any for a conventional plan.
    """
    if name is None:
        return None
    if technique is Technique.CONVENTIONAL:
        raise InputError(
            f"--delivery {name} is about a stereotactic plan; a conventional one is delivered as open, wedged fields "
            "(--fields)"
        )
    if name not in _MADE_BY:
        raise InputError(unknown_name("delivery", name, DELIVERIES))
    return _MADE_BY[name]()


def scenarios_of(text: str | None, technique: Technique) -> Scenarios | None:
    """Positions of the patient from "1mm,1deg", "2mm" or "none"; None leaves them to the planner.

    Raises:
        InputError: the text says nothing of the kind, or the plan is a conventional one.
    """
    if text is None:
        return None
    if technique is Technique.CONVENTIONAL:
        raise InputError(
            "--scenarios is about a stereotactic plan; the margins of a conventional one stand for set-up errors"
        )
    if text.strip().lower() == "none":
        return Scenarios.nominal_only()
    found: dict[str, float] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or match[2] in found:
            raise InputError(
                f"--scenarios {text!r} is not understood; write a shift, a rotation or both, e.g. 1mm,1deg or 2mm; "
                "or none: the limits then hold as planned only"
            )
        found[match[2]] = float(match[1])
    return Scenarios(shift_mm=found.get("mm", 0.0), rotation_deg=found.get("deg", 0.0))

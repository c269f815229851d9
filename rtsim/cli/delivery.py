"""How ``rtsim run`` is told to deliver a stereotactic plan, and where its limits hold: words of the command line."""

from __future__ import annotations

import re
from typing import Final

from rtsim.cli.choices import DEFAULT_ARCS, DELIVERIES, MOST_ARCS
from rtsim.errors import InputError, unknown_name
from rtsim.optimize import Arcs, Scenarios, StepAndShoot
from rtsim.optimize.delivery import Delivery
from rtsim.optimize.sliding_window import SlidingWindow
from rtsim.protocol import Technique

_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(mm|deg)")


def delivery_of(name: str | None, technique: Technique, arcs: int | None = None) -> Delivery | None:
    """The technique of delivery of that name; None leaves it to the planner.

    Args:
        arcs: how many, where they were counted.

    Raises:
        InputError: a name that is not known, any for a conventional plan, arcs of what is not delivered in arcs.
    """
    if technique is Technique.CONVENTIONAL and (name is not None or arcs is not None):
        given = "--arcs" if name is None else f"--delivery {name}"
        raise InputError(
            f"{given} is about a stereotactic plan; a conventional one is delivered in fields with wedges and segments "
            "(--fields, --subfields)"
        )
    if name is not None and name not in DELIVERIES:
        raise InputError(unknown_name("delivery", name, DELIVERIES))
    if arcs is not None and name != "arc":
        raise InputError(f"--arcs counts the arcs of --delivery arc; the delivery here is {name or DELIVERIES[0]}")
    if arcs is not None and not 1 <= arcs <= MOST_ARCS:
        raise InputError(f"--arcs is {arcs}; 1 to {MOST_ARCS} arcs can be planned")
    if name is None:
        return None
    if name == "arc":
        return Arcs(count=DEFAULT_ARCS if arcs is None else arcs)
    return SlidingWindow() if name == "sliding_window" else StepAndShoot()


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

"""All displacements at once: what the corners get, told beside a promise that leaves them out."""

from __future__ import annotations

from dataclasses import replace

from rtsim.dose.result import Dose
from rtsim.optimize.robust.positions import PositionsReader
from rtsim.optimize.robust.scenarios import Scenarios


def at_once(reader: PositionsReader, dose: Dose, scenarios: Scenarios) -> dict[int, str]:
    """By ``id`` of each promise for all positions a sentence on the worst corner, read in the dose cloud.

    Empty where the corners are positions of the promise, and where there is nothing to combine. They get the margins of
    the other positions that the engine did not compute.

    Args:
        dose: as delivered, after scaling.
    """
    center_mm = reader.displacements[0].center_mm
    corners = scenarios.corners(center_mm)
    promises = tuple(p for p in reader.promises if p.everywhere)
    if scenarios.combined or not corners or not promises:
        return {}
    margins = tuple(m for m, p in zip(reader.margins, reader.promises, strict=False) if p.everywhere)
    beside = replace(reader, promises=promises, displacements=(reader.displacements[0], *corners), margins=margins)
    found = {}
    for own in beside.positions(dose).positions:
        most, limit_gy = max(own.reached_gy[1:]), own.promise.limit.limit_gy
        state = "within" if most <= limit_gy else "ABOVE"
        found[id(own.promise)] = (
            f"All at once, {scenarios.together} ({len(corners)} corners, read in the dose cloud): up to {most:.2f} Gy, "
            f"{state} the limit of {limit_gy:g} Gy; not promised."
        )
    return found

"""A beam as plain data, for result.json and recomputed.json."""

from __future__ import annotations

from typing import Any

from rtsim.beams.model import Beam
from rtsim.evaluate import beam_summary


def record_of_beam(beam: Beam) -> dict[str, Any]:
    """The numbers of the report's table; ``gantry_deg`` is where the beam starts."""
    found = beam_summary(beam)
    return {
        "name": found.name,
        "kind": found.kind,
        "gantry_deg": found.gantry_start_deg,
        "gantry_stop_deg": found.gantry_stop_deg,
        "direction": found.direction or None,
        "couch_deg": found.couch_deg,
        "collimator_deg": found.collimator_deg,
        "wedge": found.wedge,
        "segments": found.segments,
        "control_points": found.control_points,
        "monitor_units": round(found.monitor_units, 3),
        "seconds": None if found.seconds is None else round(found.seconds, 1),
    }

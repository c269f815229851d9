"""Speed: the start, the engine, influence matrices, the final doses of plans on a real CT, and the Monte Carlo
engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.row import ROOT, Row
from benchmarks.speed_engine import open_beam_rows, transport_rows
from benchmarks.speed_gamma import gamma_rows
from benchmarks.speed_influence import influence_rows
from benchmarks.speed_monte_carlo import beam_rows, efficiency_rows, gain_rows, rate_rows
from benchmarks.speed_plans import arc_rows, imrt_rows
from benchmarks.speed_start import demo_rows, first_call_rows, import_rows

SHARED = Path(os.environ.get("RTSIM_SHARED", ROOT.parent / "shared"))


def rows(only: str | None) -> Iterator[Row]:
    """The cases whose name holds ``only``."""
    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "import": import_rows,
        "first_call": first_call_rows,
        "transport": transport_rows,
        "open_beam": open_beam_rows,
        "influence": influence_rows,
        "imrt_nine_fields": lambda: imrt_rows(SHARED),
        "arc": lambda: arc_rows(SHARED),
        "gamma": gamma_rows,
        "monte_carlo_rate": rate_rows,
        "monte_carlo_efficiency": lambda: efficiency_rows(SHARED),
        "monte_carlo_splitting": lambda: gain_rows(SHARED),
        "monte_carlo_beam": beam_rows,
        "demo": demo_rows,
    }
    for name, measure in cases.items():
        if only is None or only in name:
            yield from measure()

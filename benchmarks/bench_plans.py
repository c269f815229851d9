"""Plans: solver, sequencing, published cases, every bundled case, time, and a second engine; short work first."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import (
    plans_cases,
    plans_certified,
    plans_sequencing,
    plans_solver,
    plans_spine_18x1,
    plans_tg119,
    plans_time,
)
from benchmarks.row import Row

PARTS = (
    plans_solver,
    plans_sequencing,
    plans_time,
    plans_tg119,
    plans_spine_18x1,
    plans_cases,
    plans_certified,
)


def rows(only: str | None) -> Iterator[Row]:
    """The rows of all parts whose case holds ``only``."""
    for part in PARTS:
        yield from part.rows(only)

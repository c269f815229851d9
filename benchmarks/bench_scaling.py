"""Scaling: the same open beam on one and on two threads, taken in turn."""

from __future__ import annotations

from collections.abc import Iterator

import rtsim as rt
from benchmarks.row import Row
from benchmarks.speed_engine import SHAPE, TWO_THREADS_GOAL, by_threads, water
from rtsim.beams.model import Beam


def rows(only: str | None) -> Iterator[Row]:
    """Warm seconds by threads; the gate is the ratio of the quickest calls, measured in one run."""
    if only is not None and only not in "open_beam":
        return
    phantom = water(SHAPE, 2.5)
    beam = Beam.open_field(rt.machine.point_source(), (100.0, 100.0))
    engine = rt.CollapsedCone()
    seconds = by_threads(lambda: rt.dose.forward(phantom, beam, engine=engine))
    for threads, timing in seconds.items():
        ratio = seconds[1].least_s / timing.least_s
        yield Row(
            case="open_beam",
            engine=engine.describe(),
            spacing_mm=2.5,
            threads=threads,
            warm_median_s=timing.warm_median_s,
            cpu_s=timing.cpu_s,
            value=ratio,
            unit="x one thread",
            goal=f"two threads >= {TWO_THREADS_GOAL:g} x one" if threads == 2 else "",
            met=ratio >= TWO_THREADS_GOAL if threads == 2 else None,
            note=f"{timing.least_cpu_s / timing.least_s:.2f} cores were had",
        )

"""Scaling: the same open beam on one and on two threads."""

from __future__ import annotations

from collections.abc import Iterator

import numba

import rtsim as rt
from benchmarks.bench_speed import water
from benchmarks.measure import time_call
from benchmarks.row import Row
from rtsim.beams.model import Beam


def rows(only: str | None) -> Iterator[Row]:
    """Warm seconds by threads; the gate is the ratio, measured in one run."""
    if only is not None and only not in "open_beam":
        return
    phantom = water((150, 256, 256), 2.5)
    beam = Beam.open_field(rt.machine.point_source(), (100.0, 100.0))
    engine = rt.CollapsedCone()
    available = numba.get_num_threads()
    seconds: dict[int, float] = {}
    try:
        for threads in (1, 2):
            if threads > available:
                break
            numba.set_num_threads(threads)
            seconds[threads] = time_call(lambda: rt.dose.forward(phantom, beam, engine=engine)).warm_median_s
    finally:
        numba.set_num_threads(available)
    for threads, warm in seconds.items():
        ratio = seconds[1] / warm
        yield Row(
            case="open_beam",
            engine=engine.describe(),
            spacing_mm=2.5,
            threads=threads,
            warm_median_s=warm,
            value=ratio,
            unit="x one thread",
            goal="two threads >= 1.7 x one" if threads == 2 else "",
            met=ratio >= 1.7 if threads == 2 else None,
        )

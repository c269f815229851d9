"""Speed, memory and truncation of the dose-influence matrix by collapsed cone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numba
import numpy as np

import rtsim as rt
from benchmarks.measure import time_call
from benchmarks.row import Row, peak_rss_mb
from benchmarks.speed_engine import water
from rtsim.beams.model import Beam
from rtsim.dose import Influence, InfluenceSettings
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom
from rtsim.units import BYTES_PER_GB

WHOLE_MM: Final = 100.0
ABOVE: Final = 0.1
"""Truncation is judged where the dose is above this share of its maximum."""


def influence_rows() -> Iterator[Row]:
    """Milliseconds a beamlet, memory predicted beside memory used, and what truncation changes in a plan's dose."""
    phantom = water((100, 100, 100), 3.0)
    beams = ball_beams(phantom, 37.0)
    count = sum(b.beamlets.count for b in beams if b.beamlets is not None)
    engine = rt.CollapsedCone()
    made: list[Influence] = []
    timing = time_call(lambda: made.append(rt.dose.influence(phantom, beams, engine=engine)), repeats=2)
    each = 1000.0 * timing.warm_median_s / count
    matrix = made[-1]
    del made[:-1]
    yield Row(
        case="influence",
        table="influence",
        engine=engine.describe(),
        spacing_mm=3.0,
        threads=numba.get_num_threads(),
        first_call_s=timing.first_s,
        warm_median_s=timing.warm_median_s,
        cpu_s=timing.cpu_s,
        peak_rss_mb=peak_rss_mb(),
        value=each,
        unit="ms/beamlet",
        goal="<= 3 ms a beamlet",
        met=each <= 3.0,
        note=f"{count} beamlets of 5 mm, water 100^3",
    )
    yield _memory_row(phantom, beams, engine, matrix)
    yield _truncation_row()


def ball_beams(phantom: Phantom, radius_mm: float) -> tuple[Beam, ...]:
    """Beamlets of 5 mm over a ball at the isocenter, from two sides."""
    machine = rt.machine.point_source()
    target = rt.Structure.from_coverage("PTV", rt.Role.PTV, phantom.grid, _ball(phantom.grid, radius_mm))
    return rt.beams.with_beamlets(
        rt.beams.coplanar(machine, gantry_deg=(0.0, 40.0), target=target), target, margin_mm=5.0
    )


def _ball(grid: Grid, radius_mm: float) -> np.ndarray:
    x, y, z = np.meshgrid(grid.x_mm, grid.y_mm, grid.z_mm, indexing="ij")
    return np.ascontiguousarray((x**2 + y**2 + z**2 < radius_mm**2).transpose(2, 1, 0)).astype(np.float32)


def _memory_row(phantom: Phantom, beams: Sequence[Beam], engine: rt.CollapsedCone, matrix: Influence) -> Row:
    """What is predicted before anything is allocated, beside the bytes of the matrix."""
    held = sum(part.nbytes for part in (matrix.matrix.data, matrix.matrix.indices, matrix.matrix.indptr)) / BYTES_PER_GB
    predict: Callable[..., float] | None = getattr(rt.dose, "predicted_influence_gb", None)
    row = Row(case="influence memory", table="influence", unit="of the bytes", goal="within 10 %")
    if predict is None:
        return replace(row, goal="", note=f"nothing predicts it; the matrix has {held:.3f} GB")
    told = predict(phantom, beams, engine=engine)
    return replace(
        row,
        value=told / held,
        met=abs(told / held - 1.0) <= 0.1,
        note=f"predicted {told:.3f} GB, the matrix has {held:.3f} GB, {matrix.matrix.nnz / 1e6:.1f} M entries",
    )


def _truncation_row() -> Row:
    """The dose of a plan from the matrix as it is stored, from one that drops nothing, and by ``forward``."""
    phantom = water((60, 60, 60), 4.0)
    beams = ball_beams(phantom, 15.0)
    engine = rt.CollapsedCone()
    whole = replace(engine, beamlets=InfluenceSettings(cones=engine.beamlets.cones, cutoff=0.0, margin_mm=WHOLE_MM))
    stored, full = (rt.dose.influence(phantom, beams, engine=e) for e in (engine, whole))
    rng = np.random.default_rng(2)
    weights = rng.uniform(0.2, 1.0, stored.beamlet_count)
    split = [replace(b, beamlet_monitor_units=weights[stored.columns_of(n)]) for n, b in enumerate(beams)]
    reference = full.dose(weights).values_gy
    forward = rt.dose.forward(phantom, split, engine=engine).values_gy
    top = float(reference.max())
    inside = reference > ABOVE * top
    cut = 100.0 * (stored.dose(weights).values_gy - reference)[inside] / top
    beside = 100.0 * (reference - forward)[inside] / top
    return Row(
        case="influence truncation",
        table="influence",
        engine=engine.describe(),
        spacing_mm=4.0,
        max_error_percent=float(np.abs(cut).max()),
        mean_error_percent=float(cut.mean()),
        value=100.0 * stored.dropped_fraction,
        unit="% dropped (stored in it)",
        note=f"margin {engine.beamlets.margin_mm:g} mm, cut-off {engine.beamlets.cutoff:g} against {WHOLE_MM:g} mm and "
        f"none, in % of the maximum above {100 * ABOVE:g} %; {stored.matrix.nnz / 1e6:.1f} of "
        f"{full.matrix.nnz / 1e6:.1f} M entries; the whole matrix beside forward: {np.abs(beside).max():.1f} % "
        f"at most, {beside.mean():+.2f} % on average",
    )

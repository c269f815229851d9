"""Speed of the engine: transport alone on one and two threads, and one open beam with everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numba
import numpy as np

import rtsim as rt
from benchmarks.measure import Timing, dose_row, time_call, time_warm
from benchmarks.row import Row, peak_rss_mb
from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.kernel import collapse
from rtsim.dose.collapsed_cone.transport import energy_to_dose_per_electron
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.phantom.phantom import Phantom

SHAPE: Final = (150, 256, 256)
RATE_GOAL: Final = 4e8
TWO_THREADS_GOAL: Final = 1.7


def water(shape: tuple[int, int, int], spacing_mm: float) -> Phantom:
    """A block of water whose surface for gantry 0 is at y = -half its height."""
    half = [-spacing_mm * n / 2 for n in shape[::-1]]
    grid = Grid.covering((half[0], half[1], half[2]), (-half[0], -half[1], -half[2]), (spacing_mm,) * 3)
    return Phantom.from_density(
        np.ones(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8), (rt.materials.get("water"),), grid
    )


def transport_rows() -> Iterator[Row]:
    """Fast and slow cones of the kernel through a volume in which every voxel releases energy, so that nothing can be
    skipped; a voxel x cone is one voxel passed by one direction of one part."""
    grid = Grid(SHAPE, (2.5, 2.5, 2.5), (-320.0, -320.0, -186.0))
    rng = np.random.default_rng(5)
    density, soft, hard = (rng.uniform(0.5, 1.5, SHAPE).astype(np.float32) for _ in range(3))
    kernel = collapse(materials.spectrum("mohan6"), 64)
    rotation = bld_to_lps(25.0, 10.0, 5.0)
    source = 1000.0 * rotation[:, 2]
    for part, cones in (("fast", kernel.fast), ("slow", kernel.slow)):
        seconds = by_threads(
            lambda c=cones: energy_to_dose_per_electron(density, soft, hard, grid, c, rotation, source)  # type: ignore[misc]
        )
        work = grid.size * cones.count
        one = seconds[1]
        yield Row(
            case=f"transport {part}",
            table="engine",
            threads=1,
            first_call_s=one.first_s,
            warm_median_s=one.warm_median_s,
            cpu_s=one.cpu_s,
            peak_rss_mb=peak_rss_mb(),
            value=work / one.least_s / 1e8,
            unit="1e8 voxel x cone/s",
            goal=f">= {RATE_GOAL / 1e8:g}e8 per core",
            met=work / one.least_s >= RATE_GOAL,
            note=f"{cones.count} cones x {grid.size / 1e6:.2f} M voxels, all full: none skipped; oblique; with "
            f"transposing, sharpening and summing; quickest of {one.count}; by CPU time "
            f"{work / one.least_cpu_s / 1e8:.2f}e8",
        )
        if 2 in seconds:
            yield _two_threads(f"transport {part}", seconds)


def by_threads(call: Callable[[], object], repeats: int = 2) -> dict[int, Timing]:
    """Times of a call on one and on two threads, taken in turn so that other work on the machine meets both alike."""
    available = numba.get_num_threads()
    threads = [n for n in (1, 2) if n <= available]
    wall: dict[int, list[float]] = {n: [] for n in threads}
    cpu: dict[int, list[float]] = {n: [] for n in threads}
    try:
        cold = time_call(call, repeats=0)
        for _ in range(repeats):
            for n in threads:
                numba.set_num_threads(n)
                once = time_warm(call)
                wall[n].append(once.least_s)
                cpu[n].append(once.least_cpu_s)
    finally:
        numba.set_num_threads(available)
    return {n: Timing(cold.first_s, tuple(wall[n]), tuple(cpu[n])) for n in threads}


def _two_threads(case: str, seconds: dict[int, Timing]) -> Row:
    one, two = seconds[1], seconds[2]
    ratio = one.least_s / two.least_s
    return Row(
        case=case,
        table="engine",
        threads=2,
        warm_median_s=two.warm_median_s,
        cpu_s=two.cpu_s,
        value=ratio,
        unit="x one thread",
        goal=f"two threads >= {TWO_THREADS_GOAL:g} x one",
        met=ratio >= TWO_THREADS_GOAL,
        note=f"quickest of {two.count}; {two.least_cpu_s / two.least_s:.2f} cores were had: less than 2 where the "
        "machine is shared",
    )


def open_beam_rows() -> Iterator[Row]:
    """One 10 x 10 cm2 field in water, warm, with all threads."""
    phantom = water(SHAPE, 2.5)
    beam = Beam.open_field(rt.machine.point_source(), (100.0, 100.0))
    engine = rt.CollapsedCone(spacing_mm=2.5)
    timing = time_call(lambda: rt.dose.forward(phantom, beam, engine=engine))
    nominal = phantom.grid.size * engine.cones / timing.warm_median_s
    note = (
        f"10x10, 256x256x150 voxels, TERMA included; as if all voxels and {engine.cones} cones were passed: "
        f"{nominal / 1e8:.1f}e8 voxel x cone/s (boxes about the beam and coarser grids make up the difference)"
    )
    yield dose_row("open_beam", "engine", engine, timing, limit_s=1.5, note=note)

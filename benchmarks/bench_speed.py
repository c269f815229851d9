"""Speed: import, engine, influence, and the demo from an empty kernel cache and again."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np

import rtsim as rt
from benchmarks.measure import CommandRun, run_command, time_call
from benchmarks.row import Row, peak_rss_mb
from rtsim.beams.model import Beam
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom


def rows(only: str | None) -> Iterator[Row]:
    """The cases whose name holds ``only``."""
    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "import": _import,
        "open_beam": _open_beam,
        "influence": _influence,
        "demo": _demo,
    }
    for name, measure in cases.items():
        if only is None or only in name:
            yield from measure()


def _import() -> Iterator[Row]:
    run_command([sys.executable, "-c", "import rtsim"])
    seconds = min(run_command([sys.executable, "-c", "import rtsim"]).seconds for _ in range(3))
    bare = min(run_command([sys.executable, "-c", "pass"]).seconds for _ in range(3))
    yield Row(
        case="import",
        value=seconds - bare,
        unit="s",
        goal="< 1 s",
        met=seconds - bare < 1.0,
        note="import rtsim, less the start of Python",
    )


def water(shape: tuple[int, int, int], spacing_mm: float) -> Phantom:
    """A block of water whose surface for gantry 0 is at y = -half its height."""
    half = [-spacing_mm * n / 2 for n in shape[::-1]]
    grid = Grid.covering((half[0], half[1], half[2]), (-half[0], -half[1], -half[2]), (spacing_mm,) * 3)
    return Phantom.from_density(
        np.ones(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8), (rt.materials.get("water"),), grid
    )


def _open_beam() -> Iterator[Row]:
    phantom = water((150, 256, 256), 2.5)
    beam = Beam.open_field(rt.machine.point_source(), (100.0, 100.0))
    engine = rt.CollapsedCone()
    timing = time_call(lambda: rt.dose.forward(phantom, beam, engine=engine))
    yield Row(
        case="open_beam",
        engine=engine.describe(),
        spacing_mm=2.5,
        threads=numba.get_num_threads(),
        first_call_s=timing.first_s,
        warm_median_s=timing.warm_median_s,
        peak_rss_mb=peak_rss_mb(),
        goal="warm <= 1.5 s",
        met=timing.warm_median_s <= 1.5,
        note="10x10, 256x256x150 voxels, TERMA included",
    )


def _influence() -> Iterator[Row]:
    phantom = water((100, 100, 100), 3.0)
    machine = rt.machine.point_source()
    target = rt.Structure.from_coverage("PTV", rt.Role.PTV, phantom.grid, _ball(phantom.grid, 37.0))
    beams = rt.beams.with_beamlets(
        rt.beams.coplanar(machine, gantry_deg=(0.0, 40.0), target=target), target, margin_mm=5.0
    )
    count = sum(b.beamlets.count for b in beams if b.beamlets is not None)
    engine = rt.CollapsedCone()
    timing = time_call(lambda: rt.dose.influence(phantom, beams, engine=engine), repeats=2)
    each = 1000.0 * timing.warm_median_s / count
    yield Row(
        case="influence",
        engine=engine.describe(),
        spacing_mm=3.0,
        threads=numba.get_num_threads(),
        first_call_s=timing.first_s,
        warm_median_s=timing.warm_median_s,
        peak_rss_mb=peak_rss_mb(),
        value=each,
        unit="ms/beamlet",
        goal="<= 3 ms a beamlet",
        met=each <= 3.0,
        note=f"{count} beamlets of 5 mm, water 100^3",
    )


def _ball(grid: Grid, radius_mm: float) -> np.ndarray:
    x, y, z = np.meshgrid(grid.x_mm, grid.y_mm, grid.z_mm, indexing="ij")
    return np.ascontiguousarray((x**2 + y**2 + z**2 < radius_mm**2).transpose(2, 1, 0)).astype(np.float32)


def _demo() -> Iterator[Row]:
    command = [sys.executable, "-m", "rtsim", "run", "spine_t8_epidural", "--overwrite", "--quiet", "-o"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        first = run_command([*command, str(Path(folder) / "out")], environment)
        second = run_command([*command, str(Path(folder) / "out")], environment)
    row = Row(case="demo", threads=numba.get_num_threads(), note="rtsim run spine_t8_epidural, whole process")
    yield replace(
        row,
        case="demo_empty_cache",
        first_call_s=first.seconds,
        peak_rss_mb=first.peak_rss_mb,
        goal="<= 180 s, <= 4 GB",
        met=_held(first, 180.0),
    )
    yield replace(
        row,
        case="demo_second_time",
        warm_median_s=second.seconds,
        peak_rss_mb=second.peak_rss_mb,
        goal="<= 60 s, <= 4 GB",
        met=_held(second, 60.0),
    )


def _held(done: CommandRun, seconds: float) -> bool:
    return done.exit_code == 0 and done.seconds <= seconds and done.peak_rss_mb <= 4000.0

"""Speed of the Monte Carlo engine: histories a second, efficiency beside DOSXYZnrc, gain of splitting, time to 2 %."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numba
import numpy as np

from benchmarks.monte_carlo_physics import layered, point_beam, scene_of
from benchmarks.reference_cases import load_case
from benchmarks.row import Row, peak_rss_mb
from rtsim.dose import MonteCarlo
from rtsim.dose.monte_carlo.batches import Deposit, deposit
from rtsim.dose.monte_carlo.goal import Goal
from rtsim.dose.monte_carlo.media import Voxels, voxels_of
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.dose.monte_carlo.settings import Physics
from rtsim.dose.monte_carlo.source import source_of
from rtsim.geometry.grid import Grid
from rtsim.materials import get, spectrum
from rtsim.typing import AnyFloatArray, BoolArray

SPLIT: Final = MonteCarlo().split
RATE_GOAL: Final = 4e5
RATE_PHOTONS: Final = {1: 1_000_000, SPLIT: 100_000}
CASE: Final = "ct_lumbar_L3_PA_6x6"
DOSXYZNRC_CPU_S: Final = 882.0
DOSXYZNRC_PERCENT: Final = 0.82
"""source: README of the case: median 1 sigma above half the maximum, density > 0.6; photon splitting 48."""
RATIO_GOAL: Final = 10.0
RATIO_AIM: Final = 20.0
EFFICIENCY_PHOTONS: Final = {1: 3_000_000, SPLIT: 600_000}
BEAM_PERCENT: Final = 2.0
BEAM_GOAL_S: Final = 60.0
TABLE: Final = "Monte Carlo"


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """What some photons of the source were worth: CPU seconds and the median 1 sigma of the voxels that count."""

    photons: int
    cpu_s: float
    median_percent: float
    voxels: int

    def cpu_to(self, percent: float) -> float:
        """CPU seconds to a median 1 sigma: sigma^2 T is constant."""
        return self.cpu_s * (self.median_percent / percent) ** 2


def rate_rows() -> Iterator[Row]:
    """Photons of the source per second of one core in water, bone, lung and water, 2.5 mm voxels.

    A history is one photon of the source with all that follows from it. With split = 1 it interacts, or not, as in
    nature; else it is laid along its ray to as many sites of interaction, whose electrons are transported together.
    """
    for split, photons in RATE_PHOTONS.items():
        scene = scene_of(layered(), point_beam(spectrum("mohan6"), 100.0), split)
        scene.batches(1, 0, 1, 10)
        begun, started = time.process_time(), time.perf_counter()
        scene.batches(1, 0, 4, photons // 4)
        cpu, wall = time.process_time() - begun, time.perf_counter() - started
        rate = photons / cpu
        counted = "photons of the source, each with all its secondaries"
        yield Row(
            case=f"monte_carlo rate split {split}",
            table=TABLE,
            engine=_named(split),
            spacing_mm=2.5,
            threads=numba.get_num_threads(),
            warm_median_s=wall,
            cpu_s=cpu,
            value=rate / 1e5,
            unit="1e5 histories/s per core",
            goal=f">= {RATE_GOAL / 1e5:g}e5 per core" if split == 1 else "",
            met=rate >= RATE_GOAL if split == 1 else None,
            note=f"{photons:,} {counted}; by CPU time; water, bone, lung; 10 x 10 cm, 6 MV"
            + ("" if split == 1 else f"; {rate * split / 1e5:.1f}e5 sites of interaction/s"),
        )


def efficiency_rows(shared: Path) -> Iterator[Row]:
    """CPU seconds to the median uncertainty of DOSXYZnrc on a real CT."""
    folder = shared / "reference" / "egsnrc"
    if not (folder / f"{CASE}.npz").is_file():
        yield Row(case="monte_carlo efficiency", table=TABLE, note=f"skipped: no {CASE} at {folder}; set RTSIM_SHARED")
        return
    found = ct_efficiency(folder, SPLIT)
    seconds = found.cpu_to(DOSXYZNRC_PERCENT)
    ratio = DOSXYZNRC_CPU_S / seconds
    yield Row(
        case="monte_carlo efficiency",
        table=TABLE,
        engine=_named(SPLIT),
        spacing_mm=3.0,
        threads=numba.get_num_threads(),
        cpu_s=seconds,
        peak_rss_mb=peak_rss_mb(),
        value=ratio,
        unit="x DOSXYZnrc, 1/(sigma^2 T) per core",
        goal=f">= {RATIO_GOAL:g} (aim {RATIO_AIM:g})",
        met=ratio >= RATIO_GOAL,
        note=f"{CASE}: median 1 sigma {DOSXYZNRC_PERCENT:g} % of {found.voxels} voxels above half the maximum, density "
        f"> 0.6, in {seconds:.0f} CPU s (DOSXYZnrc {DOSXYZNRC_CPU_S:g}); measured {found.median_percent:.2f} % after "
        f"{found.cpu_s:.1f} CPU s",
    )


def gain_rows(shared: Path) -> Iterator[Row]:
    """What splitting gains: 1/(sigma^2 T) with all sites over that with 1, same case and voxels."""
    folder = shared / "reference" / "egsnrc"
    if not (folder / f"{CASE}.npz").is_file():
        yield Row(case="monte_carlo splitting", table=TABLE, note=f"skipped: no {CASE} at {folder}; set RTSIM_SHARED")
        return
    split, analog = ct_efficiency(folder, SPLIT), ct_efficiency(folder, 1)
    gain = analog.cpu_to(1.0) / split.cpu_to(1.0)
    yield Row(
        case="monte_carlo splitting",
        table=TABLE,
        spacing_mm=3.0,
        threads=numba.get_num_threads(),
        value=gain,
        unit=f"x, 1/(sigma^2 T) of split {SPLIT} over split 1",
        note=f"{CASE}: CPU s to 1 %: {split.cpu_to(1.0):.0f} and {analog.cpu_to(1.0):.0f}; measured "
        f"{split.median_percent:.2f} and {analog.median_percent:.2f} %",
    )


def beam_rows() -> Iterator[Row]:
    """Wall seconds to a mean uncertainty of 2 % above half the maximum: 10 x 10 cm, 6 MV, 30 cm of water, 2.5 mm."""
    grid = Grid.covering((-150.0, 0.0, -150.0), (150.0, 300.0, 150.0), (2.5, 2.5, 2.5))
    water = Voxels(grid, np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.uint8), (get("water"),))
    scene = scene_of(water, point_beam(spectrum("mohan6"), 100.0), SPLIT)
    scene.batches(1, 0, 1, 10)
    begun, started = time.process_time(), time.perf_counter()
    found = deposit(scene, Goal(uncertainty_percent=BEAM_PERCENT), seed=1, weight=np.ones(grid.shape))
    cpu, wall = time.process_time() - begun, time.perf_counter() - started
    threads = numba.get_num_threads()
    yield Row(
        case="monte_carlo 10 x 10 beam to 2 %",
        table=TABLE,
        engine=_named(SPLIT),
        spacing_mm=2.5,
        threads=threads,
        warm_median_s=wall,
        cpu_s=cpu,
        peak_rss_mb=peak_rss_mb(),
        goal=f"warm <= {BEAM_GOAL_S:g} s on two cores",
        met=wall <= BEAM_GOAL_S,
        note=f"{grid.size / 1e6:.1f} M voxels; {found.statistics.describe()}; by CPU time {cpu / 2:.0f} s on two cores",
    )


@lru_cache(maxsize=4)
def ct_efficiency(folder: Path, split: int) -> Efficiency:
    """CPU seconds and the median 1 sigma of voxels of density > 0.6 above half the maximum of the CT case."""
    case = load_case(folder, CASE)
    voxels = voxels_of(case.phantom, None)
    source = source_of([case.beam], photons_per_unit=[1.0], grid=voxels.grid)
    scene = Scene(voxels=voxels, source=source, physics=Physics(split=split))
    scene.batches(1, 0, 1, 10)
    density = voxels.density_g_cm3.astype(np.float64)
    weight = np.where(density > 0.6, 1.0 / density, 0.0)
    begun = time.process_time()
    found = deposit(scene, Goal(histories=EFFICIENCY_PHOTONS[split]), seed=1, weight=weight)
    cpu = time.process_time() - begun
    # which voxels: by the reference, so that noise does not choose them
    high = _high_voxels(case.dose, case.phantom.density_g_cm3)
    offset = voxels.grid.offset_in(case.phantom.grid)
    inside = tuple(slice(o, o + n) for o, n in zip(offset, voxels.grid.shape, strict=True))
    chosen = high[inside]
    return Efficiency(
        photons=found.statistics.histories,
        cpu_s=cpu,
        median_percent=_median_percent(found, chosen),
        voxels=int(chosen.sum()),
    )


def _high_voxels(dose: AnyFloatArray, density_g_cm3: AnyFloatArray) -> BoolArray:
    matter = density_g_cm3 > 0.6
    top = float(np.sort(dose[matter])[-100:].mean())
    return np.asarray(matter & (dose > 0.5 * top))


def _median_percent(found: Deposit, chosen: BoolArray) -> float:
    energy = found.energy_mev[chosen]
    return 100.0 * float(np.median(found.sigma_mev[chosen][energy > 0.0] / energy[energy > 0.0]))


def _named(split: int) -> str:
    return f"Monte Carlo, {split} site{'s' if split > 1 else ''}"

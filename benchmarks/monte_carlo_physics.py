"""What the Monte Carlo engine must hold without another code: Fano's theorem, energy, cobalt-60, seeds and statistics.

``python -m benchmarks.monte_carlo_physics`` prints a checksum of one dose on 1, 2 and 4 threads.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

import numba
import numpy as np

from benchmarks.measure import run_command
from benchmarks.monte_carlo_runs import sigma_of_mean
from benchmarks.row import Row
from rtsim.beams import Beam
from rtsim.dose import MonteCarlo
from rtsim.dose.monte_carlo.media import Voxels
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.dose.monte_carlo.settings import Physics
from rtsim.dose.monte_carlo.source import source_of
from rtsim.dose.monte_carlo.tally import Tally
from rtsim.geometry.grid import Grid
from rtsim.machine import Machine, load_machine
from rtsim.machine.model import OffAxisProfile
from rtsim.materials import Spectrum, electron_stopping, get, spectrum
from rtsim.typing import BoolArray, FloatArray

FANO_PERCENT: Final = 0.3
FANO_ELECTRONS: Final = 2**16
FANO_COPIES: Final = 32
FANO_RUNS: Final = 24
BALANCE: Final = 1e-4
COBALT_PERCENT: Final = 1.0
COBALT_PDD: Final = {50.0: 78.8, 100.0: 56.4, 200.0: 27.3}
"""source: BJR Supplement 25, 10 x 10 cm, SSD 80 cm [M]. A Monte Carlo run with the spectrum of Rogers et al. 1988 gave
78.8, 56.4 to 56.6, 27.5 (PHYSICS 1.3)."""
COBALT_PHOTONS: Final = 2_000_000
_BATCHES: Final = 20
TABLE: Final = "physics"


def physics_rows(only: str | None) -> Iterator[Row]:
    """One row a property."""
    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "fano": fano_rows,
        "energy_balance": balance_rows,
        "cobalt60": cobalt_rows,
        "threads": thread_rows,
        "repeated_runs": repeated_rows,
    }
    for name, measure in cases.items():
        if only is None or only in name:
            yield from measure()


def layered(shape: tuple[int, int, int] = (60, 80, 60), spacing_mm: float = 2.5) -> Voxels:
    """Water, bone, lung and water again along the beam (gantry 0): 40, 30, 60 mm, and the rest."""
    half = [spacing_mm * n / 2 for n in shape]
    grid = Grid.covering((-half[2], 0.0, -half[0]), (half[2], 2 * half[1], half[0]), (spacing_mm,) * 3)
    layer = np.searchsorted([40.0, 70.0, 130.0], grid.y_mm)
    index, density = np.array([0, 1, 2, 0], dtype=np.uint8)[layer], np.array([1.0, 1.85, 0.26, 1.0])[layer]
    across = np.ones((shape[0], 1, shape[2]))
    return Voxels(
        grid,
        (density[None, :, None] * across).astype(np.float32),
        (index[None, :, None] * across).astype(np.uint8),
        (get("water"), get("bone_cortical"), get("lung")),
    )


def point_beam(photons: Spectrum, field_mm: float) -> Beam:
    """A square field of a bare point source, 1 m from the surface y = 0."""
    machine = Machine(
        name="point source",
        description="",
        spectrum=photons,
        off_axis=OffAxisProfile(radius_mm=(0.0, 300.0), relative=(1.0, 1.0)),
    )
    return Beam.open_field(machine, (field_mm, field_mm), monitor_units=1.0)


def scene_of(voxels: Voxels, beam: Beam, split: int) -> Scene:
    """A beam of one photon/cm2 per monitor unit in some voxels."""
    source = source_of([beam], photons_per_unit=[1.0], grid=voxels.grid)
    return Scene(voxels=voxels, source=source, physics=Physics(split=split))


def fano_rows() -> Iterator[Row]:
    """Electrons born everywhere in proportion to mass, isotropic: the dose is the same at every density.

    Layers of 0.3, 1 and 1.85 g/cm3 of nearly equal mass, each a third of the range, four times over, with more than a
    range of water before and behind.
    """
    from tests.reference.electron_source import transported, uniform_start
    from tests.reference.monte_carlo_scenes import layered as layers
    from tests.reference.monte_carlo_scenes import scene_of as water_scene

    rows = [(6, "water", 0.3), (2, "water", 1.0), (1, "water", 1.85)]
    layer = np.repeat(np.arange(12), [6, 2, 1] * 4) % 3
    for kinetic in (1.0, 3.0):
        spacing = 0.5 * kinetic
        margin = [(1, "water", 10.1 * float(electron_stopping("water").csda_range_at(kinetic)) / spacing)]
        voxels = layers([*margin, *rows, *rows, *rows, *rows, *margin], spacing_mm=(1e8, spacing, 1e8))
        scene, mass = water_scene(voxels, split=1), voxels.density_g_cm3.astype(np.float64)
        inner, found = mass[0, 1:-1, 0], []
        for run in range(FANO_RUNS):
            start = uniform_start(mass, FANO_ELECTRONS // FANO_COPIES, FANO_COPIES, seed=run)
            energy = transported(scene, start, kinetic_mev=kinetic, seed=run).energy_mev[0, 1:-1, 0]
            dose = np.bincount(layer, energy) / np.bincount(layer, inner)
            found.append(dose / (energy.sum() / inner.sum()) - 1.0)
        percent, sigma = 100.0 * np.mean(found, axis=0), 100.0 * sigma_of_mean(np.array(found))
        worst = float(np.abs(percent).max())
        densities = zip(rows, percent, sigma, strict=True)
        yield Row(
            case=f"fano {kinetic:g} MeV",
            table=TABLE,
            max_error_percent=worst,
            goal=f"uniform within {FANO_PERCENT:g} %",
            met=worst <= FANO_PERCENT,
            note=", ".join(f"{row[2]:g} g/cm3 {_pm(mean, s)} %" for row, mean, s in densities)
            + f"; {FANO_RUNS * FANO_ELECTRONS:,} electrons",
        )


def balance_rows() -> Iterator[Row]:
    """Deposited + escaped = incident: exactly with split = 1, on the average with more sites."""
    voxels, beam = layered(), point_beam(spectrum("mohan6"), 60.0)
    for split, photons in ((1, 20_000), (MonteCarlo().split, 4_000)):
        found = scene_of(voxels, beam, split).batches(1, 0, _BATCHES, photons)
        deposited = found.energy_mev.sum(axis=(1, 2, 3))
        relative = (deposited + found.tallies[:, 1]) / found.tallies[:, 0] - 1.0
        value, sigma = float(relative.mean()), float(sigma_of_mean(relative))
        analog = split == 1
        yield Row(
            case=f"energy_balance split {split}",
            table=TABLE,
            value=value,
            unit="of the incident energy",
            goal=f"deposited + escaped = incident within {BALANCE:g}" + ("" if analog else ", or 3 sigma"),
            met=abs(value) <= (BALANCE if analog else max(BALANCE, 3.0 * sigma)),
            note=f"water, bone, lung, water; {_BATCHES * photons:,} photons, deposited "
            f"{100.0 * deposited.sum() / found.tallies[:, 0].sum():.1f} %; "
            + (f"batches differ by {np.ptp(relative):.1g}" if analog else f"1 sigma {sigma:.1g}: sites share one ray"),
        )


def cobalt_rows() -> Iterator[Row]:
    """Depth doses of cobalt-60, 10 x 10 cm at 80 cm: the machine with its focal spot, electrons of the air left out."""
    machine = load_machine("cobalt60")
    grid = Grid.covering((-110.0, 0.0, -110.0), (110.0, 300.0, 110.0), (10.0, 1.0, 10.0))
    water = Voxels(grid, np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.uint8), (get("water"),))
    inner, outer = source_of(
        [Beam.open_field(machine, (100.0, 100.0), monitor_units=1.0)], photons_per_unit=[1.0], grid=grid
    ).parted(15.0)
    middle = slice(grid.shape[0] // 2 - 1, grid.shape[0] // 2 + 1)
    axis = np.zeros((_BATCHES, grid.shape[1]))
    for source, share in ((inner, 0.3), (outer, 0.7)):
        scene = Scene(voxels=water, source=source, physics=MonteCarlo().physics)
        photons = round(COBALT_PHOTONS * share / _BATCHES)
        for batch in range(_BATCHES):
            energy = scene.batches(60, batch, 1, photons).energy_mev[0]
            axis[batch] += energy[middle, :, middle].mean(axis=(0, 2)) * (source.photons / photons)
    curves = np.array([_depth_doses(grid.y_mm, batch) for batch in _left_out(axis)])
    value = _depth_doses(grid.y_mm, axis.mean(axis=0))
    # jackknife: the percentages are ratios
    sigma = np.sqrt((_BATCHES - 1) / _BATCHES * ((curves - curves.mean(axis=0)) ** 2).sum(axis=0))
    for number, (depth, published) in enumerate(COBALT_PDD.items()):
        deviation = float(100.0 * (value[number] / published - 1.0))
        yield Row(
            case=f"cobalt60 depth dose at {depth:g} mm",
            table=TABLE,
            max_error_percent=abs(deviation),
            value=float(value[number]),
            unit="%",
            goal=f"{published:g} within {COBALT_PERCENT:g} %",
            met=bool(abs(deviation) <= COBALT_PERCENT),
            note=f"{deviation:+.2f} +- {100.0 * sigma[number] / published:.2f} %; 10 x 10 cm, SSD 80 cm; "
            "BJR Supplement 25 [M]",
        )


def _depth_doses(depth_mm: FloatArray, dose: FloatArray) -> FloatArray:
    """Percent of the maximum at the depths of the table: a cubic about the maximum, logarithms over 2 cm elsewhere."""
    near: BoolArray = (depth_mm > 2.0) & (depth_mm < 14.0)
    top = float(np.polynomial.Polynomial.fit(depth_mm[near], dose[near], 3)(np.linspace(2.5, 13.5, 1101)).max())
    out = []
    for depth in COBALT_PDD:
        about = np.abs(depth_mm - depth) <= 10.0
        out.append(np.exp(np.polynomial.Polynomial.fit(depth_mm[about], np.log(dose[about]), 2)(depth)) / top)
    return 100.0 * np.array(out)


def _left_out(batches: FloatArray) -> FloatArray:
    """Means of all batches but one."""
    return np.asarray((batches.sum(axis=0) - batches) / (len(batches) - 1))


def thread_rows() -> Iterator[Row]:
    """The same seed on 1, 2 and 4 threads, in a process that may have four."""
    run = run_command([sys.executable, "-m", "benchmarks.monte_carlo_physics"], {"NUMBA_NUM_THREADS": "4"})
    sums = [line.split() for line in run.output.splitlines() if line.startswith("threads ")]
    same = run.exit_code == 0 and len(sums) == 3 and len({s[2] for s in sums}) == 1
    yield Row(
        case="threads",
        table=TABLE,
        goal="bitwise the same dose on 1, 2, 4 threads",
        met=same,
        note=", ".join(f"{s[1]}: {s[2][:12]}" for s in sums) or f"failed: {run.output.strip()[-300:]}",
    )


def print_checksums() -> None:
    """A dose in a layered phantom, in 8 batches, on 1, 2 and 4 threads."""
    scene = scene_of(layered(), point_beam(spectrum("mohan6"), 60.0), MonteCarlo().split)
    for threads in (1, 2, 4):
        numba.set_num_threads(threads)
        found = scene.batches(7, 0, 8, 500)
        digest = hashlib.sha256(found.energy_mev.tobytes() + found.tallies.tobytes()).hexdigest()
        print(f"threads {threads} {digest}")


def repeated_rows() -> Iterator[Row]:
    """Runs of other seeds differ by as much as each of them says: chi-square over voxels above half the maximum."""
    runs, batches, photons = 12, 16, 400
    scene = scene_of(layered((30, 40, 30), 5.0), point_beam(spectrum("mohan6"), 60.0), MonteCarlo().split)
    means, variances = [], []
    for run in range(runs):
        tally = Tally(scene.voxels.grid.shape)
        found = scene.batches(100 + run, 0, batches, photons)
        tally.add(found.energy_mev, found.tallies)
        mean, sigma = tally.mean_and_sigma(photons)
        means.append(mean)
        variances.append(sigma**2)
    spread, claimed = np.var(means, axis=0, ddof=1), np.mean(variances, axis=0)
    mean = np.mean(means, axis=0) / scene.voxels.density_g_cm3
    high = mean > 0.5 * np.sort(mean.ravel())[-100:].mean()
    ratio = spread[high] / claimed[high]
    # every ray crosses a column of voxels: as many independent values as the beam is voxels wide
    columns = int(high.any(axis=1).sum())
    sigma_ratio = float(np.sqrt(2.0 / ((runs - 1) * columns)))
    yield Row(
        case="repeated_runs",
        table=TABLE,
        value=float(ratio.mean()),
        unit="variance of runs over that claimed (chi-square per degree of freedom)",
        goal="1 within 4 sigma (false alarm 6e-5)",
        met=abs(float(ratio.mean()) - 1.0) <= 4.0 * sigma_ratio,
        note=f"{runs} runs of {batches} batches, {int(high.sum())} voxels in {columns} columns taken as independent: "
        f"1 sigma {sigma_ratio:.3f}",
    )


def _pm(value: float, sigma: float) -> str:
    return f"{value:+.2f} +- {sigma:.2f}"


if __name__ == "__main__":
    print_checksums()

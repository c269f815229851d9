"""Electrons in voxels: Fano's theorem, ranges, steps, and starts on the borders of voxels.

Statistical tests have fixed seeds; their limits are given in standard deviations with the chance of a false alarm.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsim.dose.monte_carlo.media import Voxels
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.materials import electron_stopping, get
from rtsim.typing import FloatArray
from tests.reference.electron_source import (
    Transported,
    beam_start,
    slowing_down_only,
    transported,
    uniform_start,
    without_hard_events,
)
from tests.reference.monte_carlo_scenes import layered, same_means, scene_of

FOUR_SIGMA = 4.0
"""Chance of a false alarm 6e-5 for one comparison of normal numbers."""

WIDE = 1.0e8
"""mm: 100 km; nothing leaves sideways."""

MC2 = 0.51099895


def fano_voxels(kinetic_mev: float) -> Voxels:
    """Layers of 0.3, 1 and 1.85 g/cm3 and nearly equal mass, each about a third of the range, four times over.

    Before and after them stands more than a range: what starts beyond the grid is not missed.
    """
    spacing = 0.5 * kinetic_mev
    rows = [(6, "water", 0.3), (2, "water", 1.0), (1, "water", 1.85)]
    range_mm = 10.0 * float(electron_stopping("water").csda_range_at(kinetic_mev))
    margin = [(1, "water", 1.01 * range_mm / spacing)]
    return layered([*margin, *rows, *rows, *rows, *rows, *margin], spacing_mm=(WIDE, spacing, WIDE))


def fano_departures(kinetic_mev: float, *, copies: int, largest_loss: float, electrons: int, runs: int) -> FloatArray:
    """(runs, 3 + 12): dose of all layers of each density, and of each layer, over the mean of all, less 1."""
    voxels = fano_voxels(kinetic_mev)
    scene = scene_of(voxels, split=1, largest_loss=largest_loss)
    mass = voxels.density_g_cm3.astype(np.float64)
    layer = np.repeat(np.arange(12), [6, 2, 1] * 4)
    out = np.empty((runs, 15))
    for run in range(runs):
        start = uniform_start(mass, electrons // copies, copies, seed=run)
        energy = transported(scene, start, kinetic_mev=kinetic_mev, seed=run).energy_mev[0, 1:-1, 0]
        inner = mass[0, 1:-1, 0]
        each = np.bincount(layer, energy) / np.bincount(layer, inner)
        by_density = np.bincount(layer % 3, energy) / np.bincount(layer % 3, inner)
        out[run] = np.concatenate([by_density, each]) / (energy.sum() / inner.sum()) - 1.0
    return out


def check_fano(departures: FloatArray, *, sigma: float) -> None:
    """Each mean departure is 0 within 4 of its standard deviations, which are at most ``sigma`` for a density."""
    error = departures.std(axis=0, ddof=1) / math.sqrt(departures.shape[0])
    print("Fano, %: ", np.round(100 * departures.mean(axis=0)[:3], 3), "+-", np.round(100 * error[:3], 3))
    assert error[:3].max() < sigma
    # Student's t of 15 runs or more at 5: false alarm 2e-4 for one, 3e-3 for the 15 of a test, with fixed seeds
    assert np.abs(departures.mean(axis=0) / error).max() < 5.0


@pytest.mark.parametrize("kinetic_mev", [1.0, 3.0])
def test_fano(kinetic_mev: float) -> None:
    """Electrons that start evenly per mass, in all directions, give a dose that does not see density (Fano 1954)."""
    check_fano(fano_departures(kinetic_mev, copies=32, largest_loss=0.2, electrons=2**14, runs=16), sigma=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("largest_loss", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("kinetic_mev", [1.0, 3.0])
def test_fano_within_three_permille(kinetic_mev: float, largest_loss: float) -> None:
    """Uniform within 0.3 % at steps of any length; sigma at most 0.07 %, so that 0.3 % is more than 4 sigma."""
    departures = fano_departures(kinetic_mev, copies=32, largest_loss=largest_loss, electrons=2**16, runs=48)
    check_fano(departures, sigma=0.0007)
    assert np.abs(departures[:, :3].mean(axis=0)).max() < 0.003


@pytest.mark.slow
@pytest.mark.parametrize("kinetic_mev", [1.0, 3.0])
def test_fano_one_electron_at_a_time(kinetic_mev: float) -> None:
    check_fano(fano_departures(kinetic_mev, copies=1, largest_loss=0.2, electrons=2**15, runs=16), sigma=0.003)


def straight_range_g_cm2(kinetic_mev: float, rows: list[tuple[int, str, float]], spacing_mm: float) -> float:
    """Where an electron ends that only slows down, at 0.2 MeV, along y; to half a voxel.

    Stopping powers of the library; unrestricted, as nothing is knocked on.
    """
    voxels = layered(rows, spacing_mm=(WIDE, spacing_mm, WIDE))
    scene = scene_of(voxels, split=1)
    energies = EnergyGrid.standard().energies_mev
    tables = [electron_stopping(m.name) for m in voxels.materials]
    stopping = np.stack([t.collision_at(energies) + t.radiative_at(energies) for t in tables], axis=1)
    start = beam_start(1, 1, (0.5, 0.0, 0.5), np.array([0.0, 1.0, 0.0]))
    found = transported(scene, start, kinetic_mev=kinetic_mev, arrays=slowing_down_only(scene, stopping))
    energy = found.energy_mev[0, :, 0]
    assert energy.sum() == pytest.approx(kinetic_mev, rel=1e-12)
    last = int(np.flatnonzero(energy)[-1])
    crossed = voxels.density_g_cm3[0, :, 0].astype(np.float64)
    return 0.1 * spacing_mm * float(crossed[:last].sum() + 0.5 * crossed[last])


@pytest.mark.parametrize(
    ("material", "rows"),
    [
        ("water", [(6000, "water", 1.0)]),
        ("bone_cortical", [(6000, "bone_cortical", 1.85)]),
        ("water", [(1500, "water", 0.3), (1000, "water", 1.85), (9000, "water", 0.3)]),
    ],
)
def test_csda_range(material: str, rows: list[tuple[int, str, float]]) -> None:
    """10 MeV electrons slow down to 0.2 MeV over the difference of their CSDA ranges, whatever the density.

    0.2 %: the ranges of the table have five digits and are integrated between its knots otherwise than here.
    """
    table = electron_stopping(material)
    expected = float(table.csda_range_at(10.0) - table.csda_range_at(0.2))
    assert straight_range_g_cm2(10.0, rows, 0.01) == pytest.approx(expected, rel=0.002)


def test_range_through_a_border_of_materials() -> None:
    """Behind 1 g/cm2 of bone an electron goes as far in water as one with the energy that is left after the bone."""
    bone, water = electron_stopping("bone_cortical"), electron_stopping("water")
    energies = np.linspace(0.2, 10.0, 20001)
    left = float(np.interp(bone.csda_range_at(10.0) - 1.0, bone.csda_range_at(energies), energies))
    expected = 1.0 + float(water.csda_range_at(left) - water.csda_range_at(0.2))
    rows = [(1000, "bone_cortical", 1.0), (6000, "water", 1.0)]
    # a step holds one energy in the middle for both sides of a border: 0.2 % of a step of 20 %
    assert straight_range_g_cm2(10.0, rows, 0.01) == pytest.approx(expected, rel=0.002)


def mean_depth_after_lewis_mm(voxels: Voxels, kinetic_mev: float, physics_table: FloatArray) -> float:
    """Mean depth of the energy of electrons that lose it continuously: Lewis 1950 (Phys Rev 78:526).

    The mean cosine after a path is exp(-integral of the first moment per path), whatever the angles' distribution;
    the mean depth is its integral over the path. First moment of a screened Rutherford collision:
    2 eta [(1 + eta) ln(1 + 1/eta) - 1].
    """
    energies, cut = EnergyGrid.standard().energies_mev, 0.2
    stopping, collisions, eta = physics_table
    first = collisions * 2.0 * eta * ((1.0 + eta) * np.log1p(1.0 / eta) - 1.0)
    fine = np.linspace(kinetic_mev, cut, 20001)
    middle, step = 0.5 * (fine[1:] + fine[:-1]), fine[0] - fine[1]
    turned = np.cumsum(np.interp(middle, energies, first)) * step
    cosine = np.exp(-turned + 0.5 * np.interp(middle, energies, first) * step)
    depth = np.cumsum(cosine * step / (np.interp(middle, energies, stopping) * float(voxels.density_g_cm3.flat[0])))
    return float((depth.sum() * step + cut * depth[-1]) / kinetic_mev)


@pytest.mark.parametrize("kinetic_mev", [1.0, 6.0])
@pytest.mark.parametrize(("material", "density"), [("water", 1.0), ("bone_cortical", 1.85), ("titanium", 4.54)])
def test_mean_depth_after_lewis(material: str, density: float, kinetic_mev: float) -> None:
    """Scattering and slowing down without hard events: mean depth of the energy within 0.4 % and 4 sigma (6e-5).

    0.2 % is the first moment of the table of angles. A random hinge goes s (1 + exp(-G))/2 forward in a step of path s
    and first moment G, exact is s (1 - exp(-G))/G: G^2/12 too far, 0.2 % at the mean G of 0.16 in steps of 5 % in
    titanium.
    """
    range_mm = 10.0 * float(electron_stopping(material).csda_range_at(kinetic_mev)) / density
    voxels = layered([(300, material, density)], spacing_mm=(WIDE, range_mm / 100.0, WIDE))
    scene = scene_of(voxels, split=1, largest_loss=0.05)
    table = scene.arrays[4]
    expected = mean_depth_after_lewis_mm(voxels, kinetic_mev, np.stack([table[2][:, 0], *table[4][:, 0].T]))
    at = 150 * range_mm / 100.0
    depth = []
    for run in range(16):
        seed = 16 * round(100 * kinetic_mev * density) + run
        start = beam_start(1000, 1, (0.5, 150.0, 0.5), np.array([0.0, 1.0, 0.0]))
        found = transported(scene, start, kinetic_mev=kinetic_mev, seed=seed, arrays=without_hard_events(scene))
        assert found.photons.size == 0
        assert found.energy_mev.sum() == pytest.approx(1000 * kinetic_mev, rel=1e-12)
        depth.append(float(found.energy_mev.sum(axis=(0, 2)) @ voxels.grid.y_mm) / (1000 * kinetic_mev) - at)
    sigma = np.std(depth, ddof=1) / 4.0
    print(material, kinetic_mev, f"{100 * (np.mean(depth) / expected - 1):+.2f} % ({100 * sigma / expected:.2f})")
    assert sigma < 0.01 * expected
    assert abs(np.mean(depth) - expected) < 0.004 * expected + FOUR_SIGMA * sigma


def moments(material: str, kinetic_mev: float, largest_loss: float, *, electrons: int, seed: int) -> FloatArray:
    """Mean depth, spread along and spread across of the energy of a beam that starts inside, in CSDA ranges."""
    density, per_range, n = get(material).density_g_cm3, 30, 70
    range_mm = 10.0 * float(electron_stopping(material).csda_range_at(kinetic_mev)) / density
    voxels = layered([(n, material, density)], across=n, spacing_mm=(range_mm / per_range,) * 3)
    scene = scene_of(voxels, split=1, largest_loss=largest_loss)
    start = beam_start(electrons, 1, (n / 2, n / 2, n / 2), np.array([0.0, 1.0, 0.0]))
    energy = transported(scene, start, kinetic_mev=kinetic_mev, seed=seed).energy_mev
    at = (np.arange(n) + 0.5 - n / 2) / per_range
    along, across = energy.sum(axis=(0, 2)) / energy.sum(), energy.sum(axis=(0, 1)) + energy.sum(axis=(1, 2))
    depth = float(along @ at)
    spread = math.sqrt(float(across @ at**2) / energy.sum())
    return np.array([depth, math.sqrt(float(along @ (at - depth) ** 2)), spread])


@pytest.mark.slow
@pytest.mark.parametrize("kinetic_mev", [2.0, 6.0])
@pytest.mark.parametrize(
    ("material", "largest_loss", "limits"),
    [
        ("water", 0.1, (0.003, 0.004, 0.003)),
        ("water", 0.25, (0.005, 0.02, 0.015)),
        ("titanium", 0.25, (0.01, 0.02, 0.015)),
    ],
)
def test_length_of_steps(
    material: str, kinetic_mev: float, largest_loss: float, limits: tuple[float, float, float]
) -> None:
    """Moments of the dose of a beam of electrons, against steps of 2 %: within the limits and 4 sigma (6e-5).

    What a long step costs shows most in titanium, where electrons turn more on the way; what photons set in motion in
    all directions sees less of it. Limits are what was measured, rounded up.
    """
    found = np.array([moments(material, kinetic_mev, largest_loss, electrons=5000, seed=s) for s in range(10)])
    direct = np.array([moments(material, kinetic_mev, 0.02, electrons=5000, seed=100 + s) for s in range(10)])
    ratio = found.mean(axis=0) / direct.mean(axis=0) - 1.0
    sigma = np.hypot(found.std(axis=0, ddof=1), direct.std(axis=0, ddof=1)) / math.sqrt(10) / direct.mean(axis=0)
    print(material, kinetic_mev, largest_loss, np.round(100 * ratio, 2), "+-", np.round(100 * sigma, 2))
    assert (np.abs(ratio) < np.array(limits) + FOUR_SIGMA * sigma).all()


def check_energy(found: Transported, *, rest_mev: float = 0.0) -> None:
    """What started is deposited, escaped or radiated, to the rounding of sums of thousands of terms."""
    assert np.isfinite(found.energy_mev).all()
    assert (found.energy_mev >= 0.0).all()
    kept = float(found.energy_mev.sum()) + found.escaped_mev + found.radiated_mev
    assert kept == pytest.approx(found.started_mev + rest_mev, rel=1e-11)


DIRECTIONS = [
    np.array([x, y, z], dtype=np.float64) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z
]
CORNERS = [(x, y, z) for x in (0.0, 2.0, 4.0) for y in (0.0, 2.0, 4.0) for z in (0.0, 2.0, 4.0)]


def checkered() -> Voxels:
    """4 x 4 x 4 voxels of 5 mm, water, bone and lung in turn: every face is a border."""
    voxels = layered([(2, "water", 1.0), (1, "bone_cortical", 1.85), (1, "lung", 0.26)], across=4)
    material = (np.indices((4, 4, 4)).sum(axis=0) % 3).astype(np.uint8)
    density = np.array([1.0, 1.85, 0.26], dtype=np.float32)[material]
    return Voxels(voxels.grid, density, material, voxels.materials)


@pytest.mark.parametrize("at", [*CORNERS, (2.0, 2.5, 2.5), (1.5, 3.0, 3.0), (4.0, 0.5, 2.0)])
def test_start_on_a_border_of_voxels(at: tuple[float, float, float]) -> None:
    """From corners, edges and faces, along axes and diagonals: nothing is lost, whether electrons turn or not."""
    scene = scene_of(checkered(), split=1)
    straight = slowing_down_only(scene, 10.0 * scene.arrays[4][2])
    for direction in DIRECTIONS:
        check_energy(transported(scene, beam_start(20, 1, at, direction), kinetic_mev=4.0))
        check_energy(transported(scene, beam_start(1, 1, at, direction), kinetic_mev=4.0, arrays=straight))


def test_path_along_edges_and_diagonals() -> None:
    """Without scattering the energy lost from plane to plane is that along an axis, times sqrt 2 or 3 on a diagonal.

    On a plane between voxels, and along it, either voxel may have the energy: it is summed over the planes across.
    """
    scene = scene_of(layered([(40, "water", 1.0)], across=40, spacing_mm=(0.5, 0.5, 0.5)), split=1)
    straight = slowing_down_only(scene, np.full((EnergyGrid.standard().count, 1), 2.0))
    for direction in DIRECTIONS:
        found = transported(scene, beam_start(1, 1, (20.0,) * 3, direction), kinetic_mev=1.0, arrays=straight)
        along = 2 - int(np.flatnonzero(direction)[0])  # x is the last axis of the array
        planes = found.energy_mev.sum(axis=tuple(axis for axis in range(3) if axis != along))
        loss = np.sort(planes[planes > 1e-12])[::-1]
        length = float(np.linalg.norm(direction))
        # 2 MeV/cm: 0.1 MeV a side of a voxel; what is left at the cut is in the last voxel, or just behind it
        assert loss[1:-1] == pytest.approx(np.full(loss.size - 2, 0.1 * length), rel=1e-9)
        assert loss.size - math.ceil(0.8 / (0.1 * length) - 1e-9) in (0, 1)
        assert loss.sum() == pytest.approx(1.0, rel=1e-12)


def annihilation(found: Transported) -> FloatArray:
    """The first photon of each annihilation; its twin is checked to fly in the opposite direction."""
    photons = found.photons[np.abs(found.photons[:, 0] - MC2) < 1e-12]
    assert (photons[::2, 4:7] == -photons[1::2, 4:7]).all()
    assert (photons[::2, [1, 2, 3, 7]] == photons[1::2, [1, 2, 3, 7]]).all()
    assert np.linalg.norm(photons[:, 4:7], axis=1) == pytest.approx(np.ones(photons.shape[0]), abs=1e-12)
    return np.asarray(photons[::2])


def test_positrons_annihilate_into_two_photons() -> None:
    """Every positron that stops sends two photons of 511 keV in opposite, isotropic directions from where it stopped.

    Mean cosines 0, mean squares 1/3 (variances 1/3 and 4/45): 4 sigma, false alarm 6e-5 each.
    """
    scene = scene_of(layered([(20, "water", 1.0)], across=20), split=1)
    number = 3000
    start = beam_start(number, 1, (10.0, 5.0, 10.0), np.array([0.0, 1.0, 0.0]))
    found = transported(scene, start, kinetic_mev=2.0, positron=True)
    check_energy(found, rest_mev=2.0 * MC2 * number)
    one = annihilation(found)
    assert found.escaped_mev == 0.0
    assert one.shape[0] == number
    range_mm = 10.0 * float(electron_stopping("water").csda_range_at(2.0))
    assert 5.0 * np.linalg.norm(one[:, 1:4] - (10.0, 5.0, 10.0), axis=1).max() < range_mm
    assert np.abs(one[:, 4:7].mean(axis=0)).max() < FOUR_SIGMA * math.sqrt(1.0 / 3.0 / number)
    assert np.abs((one[:, 4:7] ** 2).mean(axis=0) - 1.0 / 3.0).max() < FOUR_SIGMA * math.sqrt(4.0 / 45.0 / number)


def test_one_copy_of_a_positron_stands_for_all() -> None:
    """Bundles whose copies part at borders are drawn for apart: none, one or more of them, in the mean one.

    The variance of that number is below 1 for each bundle; 4 sigma, false alarm below 6e-5.
    """
    rows = [(4, "water", 1.0), (2, "titanium", 4.54), (6, "lung", 0.26), (2, "bone_cortical", 1.85), (30, "water", 1.0)]
    scene = scene_of(layered(rows, spacing_mm=(WIDE, 5.0, WIDE)), split=1)
    where = np.zeros(scene.voxels.grid.shape)
    where[:, 3:15] = 1.0
    number = 2048
    found = transported(scene, uniform_start(where, number, 8, seed=1), kinetic_mev=2.0, positron=True)
    assert found.escaped_mev == 0.0
    weights = annihilation(found)[:, 7]
    assert (weights == 1.0).all()
    assert weights.sum() == pytest.approx(number, abs=FOUR_SIGMA * math.sqrt(number))


def test_bundles_are_fair_electrons() -> None:
    """Dose of bundles of 16 copies against electrons one by one, through borders of materials; Hotelling's T2.

    12 layers of voxels of 20 batches each; false alarm 1e-4.
    """
    rows = [(4, "water", 1.0), (2, "titanium", 4.54), (6, "lung", 0.26), (2, "bone_cortical", 1.85), (6, "water", 1.0)]
    scene = scene_of(layered(rows, spacing_mm=(WIDE, 1.0, WIDE)), split=1)
    where = np.zeros(scene.voxels.grid.shape)
    where[:, 2:18] = 1.0
    batches = []
    for copies, number in ((1, 2048), (16, 256)):
        doses = []
        for seed in range(24):
            start = uniform_start(where, number, copies, seed=1000 * copies + seed)
            energy = transported(scene, start, kinetic_mev=3.0, seed=seed + 100 * copies).energy_mev[0, :, 0]
            doses.append(energy.reshape(10, 2).sum(axis=1) / (3.0 * number))
        batches.append(np.array(doses))
    assert same_means(batches[0], batches[1]) > 1e-4

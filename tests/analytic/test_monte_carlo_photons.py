"""Photons in voxels: attenuation, energy balance, and that splitting, roulette and even starts do not bias the dose.

Statistical tests have fixed seeds; their limits are given in standard deviations with the chance of a false alarm.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from rtsim.dose.monte_carlo.media import Voxels
from rtsim.dose.monte_carlo.scene import Batches, Scene
from rtsim.dose.monte_carlo.source import Source
from rtsim.materials import get, spectrum
from rtsim.typing import FloatArray
from tests.reference.monte_carlo_scenes import layered, photon_source, same_means, scene_of, simulated, spine

FOUR_SIGMA = 4.0
"""Chance of a false alarm 6e-5 for one comparison of normal numbers."""

SPLITS = [1, 40]
DIRECTIONS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z]


def lost(batches: Batches) -> FloatArray:
    """(batches,) energy deposited and escaped less that which came in, over that which came in."""
    incident, escaped = batches.tallies[:, 0], batches.tallies[:, 1]
    return np.asarray((batches.energy_mev.sum(axis=(1, 2, 3)) + escaped) / incident - 1.0)


def spine_scene(name: str = "mohan6", **physics: float) -> Scene:
    return scene_of(spine(), photon_source(spectrum(name), side_mm=60.0, through_mm=(0.0, 60.0, 0.0)), **physics)


# -- energy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mohan6", "mohan15"])
def test_energy_balance_of_the_plain_simulation(name: str) -> None:
    """Deposited + escaped = incident to rounding (wanted: 1e-4), through water, bone, lung and titanium; with pairs,
    annihilation and bremsstrahlung."""
    batches = spine_scene(name, split=1).batches(1, 0, 2, 5000)
    assert np.abs(lost(batches)).max() < 1e-11
    assert (batches.energy_mev >= 0.0).all()
    assert np.isfinite(batches.energy_mev).all()


@pytest.mark.parametrize("name", ["mohan6", "mohan15"])
@pytest.mark.parametrize("split", [8, 40])
def test_energy_balance_with_splitting(name: str, split: int) -> None:
    """One scattered photon for all sites, and roulette, keep energy in the mean: 0 within 4 sigma of 40 batches.

    Student's t of 39: false alarm 3e-4. The sigma itself is asserted: a loss of 1.4 % would be found.
    """
    found = lost(spine_scene(name, split=split).batches(2, 0, 40, 400))
    sigma = found.std(ddof=1) / math.sqrt(found.size)
    print(name, split, f"{100 * found.mean():+.4f} % ({100 * sigma:.4f})")
    assert sigma < 0.0035
    assert abs(found.mean()) < FOUR_SIGMA * sigma


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mohan6", "mohan15"])
def test_energy_balance_with_splitting_within_a_permille(name: str) -> None:
    """The same with a sigma of 0.04 %: 4 sigma, false alarm 2e-4 (Student's t of 59)."""
    found = lost(spine_scene(name, split=8).batches(2, 0, 60, 10_000))
    sigma = found.std(ddof=1) / math.sqrt(found.size)
    print(name, f"{100 * found.mean():+.4f} % ({100 * sigma:.4f})")
    assert sigma < 0.0006
    assert abs(found.mean()) < FOUR_SIGMA * sigma


@pytest.mark.parametrize("energy_mev", [0.02, 0.3, 1.0215, 1.023, 3.0, 24.0])
@pytest.mark.parametrize("material", ["water", "lead"])
def test_energy_balance_at_every_energy(material: str, energy_mev: float) -> None:
    """From 20 keV, around the threshold of pairs (a pair below it would make energy), and up to the tables' end."""
    density = get(material).density_g_cm3
    scene = scene_of(layered([(10, material, density)], across=10), photon_source(energy_mev), split=1)
    assert np.abs(lost(scene.batches(3, 0, 1, 2000))).max() < 1e-11


@pytest.mark.parametrize("cut", [0.01, 0.7])
def test_energy_balance_at_other_cuts(cut: float) -> None:
    """At the lowest cuts an electron knocks on and radiates a hundred times, and the stacks must hold that."""
    scene = scene_of(
        spine(), photon_source(spectrum("mohan24"), side_mm=60.0), split=1, electron_cut_mev=cut, photon_cut_mev=cut
    )
    assert np.abs(lost(scene.batches(4, 0, 1, 1000))).max() < 1e-11


def test_stacks_hold_bundles_at_the_lowest_cuts() -> None:
    """Bundles that part at borders and at hard events need most places; an overflow would raise."""
    scene = scene_of(
        spine(),
        photon_source(spectrum("mohan24"), side_mm=60.0),
        split=40,
        electron_cut_mev=0.01,
        photon_cut_mev=0.01,
    )
    assert np.isfinite(scene.batches(4, 0, 1, 300).energy_mev).all()


@pytest.mark.parametrize("through", [(0.0, 10.0, 0.0), (2.5, 12.5, 2.5), (-10.0, 0.0, 10.0), (10.0, 20.0, 5.0)])
@pytest.mark.parametrize("distance_mm", [500.0, 1000.0 / 3.0])
def test_photons_along_faces_edges_and_diagonals(through: tuple[float, float, float], distance_mm: float) -> None:
    """Lines exactly on planes, edges and corners of 4 x 4 x 4 voxels, also on the rim of the grid: nothing is lost.

    A hundred photons along each axis and diagonal; the second distance puts rounding into the way.
    """
    voxels = layered([(2, "water", 1.0), (1, "bone_cortical", 1.85), (1, "lung", 0.26)], across=4)
    source = photon_source(2.0, through_mm=through, directions=DIRECTIONS, distance_mm=distance_mm)
    batches = scene_of(voxels, source, split=1).batches(5, 0, 1, 100 * len(DIRECTIONS))
    assert abs(lost(batches)[0]) < 1e-12
    split = scene_of(voxels, source, split=40).batches(5, 0, 1, 10 * len(DIRECTIONS))
    assert np.isfinite(split.energy_mev).all()
    assert (split.energy_mev >= 0.0).all()
    assert split.tallies[0, 0] == pytest.approx(20.0 * len(DIRECTIONS), rel=1e-12)


# -- attenuation ---------------------------------------------------------------------------------------------------


def absorbing(voxels: Voxels, source: Source, split: int) -> Scene:
    """Cuts above 1 MeV: whatever a photon of 1 MeV sets free stays at the place of the interaction."""
    return scene_of(voxels, source, split=split, electron_cut_mev=2.0, photon_cut_mev=2.0)


def optical_depths(voxels: Voxels, energy_mev: float) -> FloatArray:
    """(ny + 1,) optical depth at the planes of voxels along y."""
    per_mm = [0.1 * float(m.mass_attenuation_cm2_g(energy_mev, coherent=False)) for m in voxels.materials]
    column = np.array(per_mm)[voxels.material[0, :, 0]] * voxels.density_g_cm3[0, :, 0].astype(np.float64)
    return np.concatenate([[0.0], np.cumsum(column * voxels.grid.spacing_mm[1])])


ROWS = [(6, "water", 1.0), (3, "bone_cortical", 1.85), (8, "lung", 0.26), (2, "titanium", 4.54), (5, "water", 0.9)]


def test_attenuation_of_single_photons() -> None:
    """Interactions in the layers of four materials, and photons that pass, are multinomial after the optical depth.

    Chi-square of 25 counts, 1e5 photons; false alarm 1e-4.
    """
    voxels = layered(ROWS)
    batches = absorbing(voxels, photon_source(1.0), 1).batches(6, 0, 1, 100_000)
    counts = np.append(batches.energy_mev[0, 0, :, 0], batches.tallies[0, 1])
    expected = 1e5 * -np.diff(np.exp(-np.append(optical_depths(voxels, 1.0), np.inf)))
    assert counts == pytest.approx(np.rint(counts), abs=1e-6)
    assert chi2.sf(float(((counts - expected) ** 2 / expected).sum()), counts.size - 1) > 1e-4


@pytest.mark.parametrize("direction", [(0.0, 1.0, 0.0), (0.3, 1.0, -0.2)])
def test_attenuation_with_sites_laid_evenly(direction: tuple[float, float, float]) -> None:
    """With 1000 sites a ray the depth distribution is exact but for one site a border and ray, evenly distributed.

    In each layer n sites are floor or ceil of 1000 P: variance at most 1/4 a ray; 4 sigma, 25 values (1.5e-3).
    """
    wide = layered(ROWS, spacing_mm=(1e4, 5.0, 1e4))
    source = photon_source(1.0, directions=[direction], distance_mm=50.0)
    batches = absorbing(wide, source, 1000).batches(7, 0, 1, 2000)
    slant = float(np.linalg.norm(direction)) / direction[1]
    passing = np.exp(-slant * np.append(optical_depths(wide, 1.0), np.inf))
    found = np.append(batches.energy_mev[0, 0, :, 0], batches.tallies[0, 1]) / 2000
    # 2e-6: linear interpolation of the attenuation between energies 0.8 % apart, second order
    assert np.abs(found + np.diff(passing)).max() < FOUR_SIGMA * 0.5e-3 / math.sqrt(2000) + 2e-6


# -- no bias -------------------------------------------------------------------------------------------------------


def region_doses(batches: Batches) -> FloatArray:
    """(batches, 10) share of the incident energy in five zones of depth, in and beside the beam."""
    energy = batches.energy_mev
    middle = energy.shape[1] // 2
    inside = energy[:, middle - 6 : middle + 6, :, middle - 6 : middle + 6]
    depths = np.split(np.arange(energy.shape[2]), [4, 8, 12, 18])
    both = []
    for rows in depths:
        own = inside[:, :, rows].sum(axis=(1, 2, 3))
        both += [own, energy[:, :, rows].sum(axis=(1, 2, 3)) - own]
    return np.stack(both, axis=1) / batches.tallies[:, :1]


def compare(first: Batches, second: Batches, *, wanted_sigma: float) -> None:
    """The doses of ten regions are the same: Hotelling's T2, false alarm 1e-4."""
    a, b = region_doses(first), region_doses(second)
    sigma = np.hypot(a.std(axis=0) / math.sqrt(len(a)), b.std(axis=0) / math.sqrt(len(b))) / a.mean(axis=0)
    p = same_means(a, b)
    print(f"p {p:.4f}", np.round(100 * (b.mean(axis=0) / a.mean(axis=0) - 1), 2), "+-", np.round(100 * sigma, 2))
    assert np.median(sigma) < wanted_sigma
    assert p > 1e-4


@pytest.mark.parametrize("split", [8, 40])
def test_splitting_does_not_bias(split: int) -> None:
    plain = spine_scene(split=1).batches(8, 0, 40, 1500)
    compare(plain, spine_scene(split=split).batches(9, 0, 40, 300), wanted_sigma=0.04)


@pytest.fixture(scope="module", params=["mohan6", "mohan15"])
def plain(request: pytest.FixtureRequest) -> tuple[str, Batches]:
    return request.param, spine_scene(request.param, split=1).batches(10, 0, 60, 25_000)


@pytest.mark.slow
@pytest.mark.parametrize("split", [8, 40])
def test_splitting_does_not_bias_by_a_percent(plain: tuple[str, Batches], split: int) -> None:
    """Ten regions together: in the beam sigma is 0.4 %, beside it 1 %."""
    name, one_by_one = plain
    compare(one_by_one, spine_scene(name, split=split).batches(11, 0, 60, 3000), wanted_sigma=0.009)


@pytest.mark.parametrize("below_mev", [0.5, 3.0])
def test_roulette_does_not_bias(below_mev: float) -> None:
    """Photons below 0.5 MeV, or below 3 MeV and so nearly all, go on with a chance of E over that."""
    scene = spine_scene(split=1)
    settings = scene.arrays[0].copy()
    assert settings[3] == 0.0
    settings[3] = below_mev
    played = simulated(scene, settings, seed=12, count=40, histories=2000)
    compare(scene.batches(13, 0, 40, 1500), played, wanted_sigma=0.045)


def test_fewer_sites_at_low_energy_do_not_bias() -> None:
    scene = spine_scene(split=40)
    settings = scene.arrays[0].copy()
    settings[3:] = 0.0, 1e-6
    whole = simulated(scene, settings, seed=14, count=40, histories=200)
    compare(whole, scene.batches(15, 0, 40, 300), wanted_sigma=0.03)


@pytest.mark.parametrize("histories", [1, 7, 1000])
def test_even_starts_do_not_bias(histories: int) -> None:
    """Of two pixels with three and seven tenths of the photons each has its share, however few start together."""
    voxels = layered([(4, "water", 1.0)], across=20)
    one = photon_source(1.0)
    source = Source(
        rotation=one.rotation,
        source_mm=one.source_mm,
        sad_mm=one.sad_mm,
        raster=np.array([[-20.0, -10.0, 20.0, 2.0, 1.0]]),
        start=np.array([0, 2]),
        cumulative=np.array([0.3, 1.0]),
        map_spectrum=one.map_spectrum,
        energy_edges=one.energy_edges,
        energy_cumulative=one.energy_cumulative,
    )
    count = 14_000 // histories
    scene = absorbing(voxels, source, 1000)
    energy = np.zeros(voxels.grid.shape)
    for first in range(0, count, 500):
        energy += scene.batches(16, first, min(500, count - first), histories).energy_mev.sum(axis=0)
    left, right = energy[:, :, :10].sum(), energy[:, :, 10:].sum()
    # binomial at most; 4 sigma, 6e-5; beside the central axis both paths through the water are equally long
    share = max(left, right) / (left + right)
    assert share == pytest.approx(0.7, abs=FOUR_SIGMA * math.sqrt(0.21 / (count * histories)))

"""TERMA and fluence against closed forms: slab exponential, inverse square, paths along a ray, covered area."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.beam_dose import water_medium
from rtsim.dose.collapsed_cone.kernel import collapse
from rtsim.dose.fluence.model import fluence_maps
from rtsim.dose.fluence.raster import Raster, covered
from rtsim.dose.medium import Medium
from rtsim.dose.terma.fan import FanPaths, Pose, energy_groups
from rtsim.geometry.grid import Grid
from rtsim.machine import point_source

SPECTRUM = materials.spectrum("mohan6")
MACHINE = point_source(SPECTRUM)


def beam(gantry_deg: float = 0.0, size_mm: tuple[float, float] = (60.0, 60.0), isocenter_mm=(0.0, 0.0, 0.0)) -> Beam:
    return Beam.open_field(MACHINE, size_mm, gantry_deg=gantry_deg, isocenter_mm=isocenter_mm, monitor_units=1.0)


def terma(medium: Medium, b: Beam) -> np.ndarray:
    fluence = fluence_maps(b)[0]
    hardness = collapse(SPECTRUM, 32).hardness(energy_groups(SPECTRUM).energy_mev)
    released = FanPaths.trace(medium, fluence, Pose.of(b, b.gantry_deg)).released_energy(SPECTRUM, hardness)
    return (released.soft + released.hard).astype(np.float64) / medium.density_g_cm3


def test_slab_exponential_and_inverse_square_on_the_axis() -> None:
    grid = Grid((9, 80, 9), (3.0, 2.5, 3.0), (-12.0, 1.25, -12.0))
    got = terma(water_medium(grid), beam())[4, :, 4]
    groups = SPECTRUM.bin_groups()
    mass = materials.get("water").mass_attenuation_cm2_g(groups.energy_mev)
    depth = grid.y_mm / 10.0
    released = (groups.photons * groups.energy_mev * mass) @ np.exp(-np.outer(mass, depth))
    expected = released * (100.0 / (100.0 + depth)) ** 2
    # 12 groups instead of 24 bins: 0.1 %
    np.testing.assert_allclose(got, expected, rtol=1.5e-3)


def test_groups_alone_are_exact_against_their_own_sum() -> None:
    grid = Grid((9, 60, 9), (3.0, 3.0, 3.0), (-12.0, 1.5, -12.0))
    got = terma(water_medium(grid), beam())[4, :, 4]
    groups = energy_groups(SPECTRUM)
    mass = materials.get("water").mass_attenuation_cm2_g(groups.energy_mev)
    depth = grid.y_mm / 10.0
    expected = (
        (groups.photons * groups.energy_mev * mass) @ np.exp(-np.outer(mass, depth)) * (100.0 / (100.0 + depth)) ** 2
    )
    # float32 paths
    np.testing.assert_allclose(got, expected, rtol=2e-5)


@pytest.mark.parametrize("gantry_deg", [0.0, 25.0, 90.0])
def test_fan_paths_equal_exact_paths_through_a_layered_box(gantry_deg: float) -> None:
    """Density linear in y: trilinear sampling is then exact, so is the midpoint sum up to the cut at the faces."""
    grid = Grid((40, 40, 40), (3.0, 3.0, 3.0), (-58.5, -58.5, -58.5))
    density = np.broadcast_to((1.0 + 0.005 * grid.y_mm)[None, :, None], grid.shape).astype(np.float32)
    medium = Medium(grid, density, density, density[None].copy(), (0,))
    b = beam(gantry_deg)
    fan = FanPaths.trace(medium, fluence_maps(b)[0], Pose.of(b, gantry_deg))
    nv, nu, nodes, _ = fan.paths.shape
    pose = Pose.of(b, gantry_deg)
    u, v = fan.fan[0] + fan.fan[1] * (nu // 3), fan.fan[2] + fan.fan[3] * (nv // 4)
    ray = pose.rotation @ np.array([u / 1000.0, v / 1000.0, -1.0])
    t = np.linspace(fan.fan[4], fan.fan[4] + fan.fan[5] * (nodes - 1), 400001)
    points = pose.source_mm + t[:, None] * ray
    inside = grid.contains(points)
    y = np.clip(points[:, 1], grid.y_mm[0], grid.y_mm[-1])
    exact = float((inside * (1.0 + 0.005 * y)).sum()) * (t[1] - t[0]) * np.linalg.norm(ray) / 10.0
    # goal 0.1 %
    assert fan.paths[nv // 4, nu // 3, -1, 0] == pytest.approx(exact, rel=1e-3)


def test_energy_fluence_is_conserved_by_the_voxel_average() -> None:
    """In thin matter TERMA x area / fluence^-1 is the same in every plane, wherever the field edge cuts the voxels."""
    grid = Grid((40, 3, 40), (2.7, 5.0, 2.7), (-52.65, -5.0, -52.65))
    thin = np.full(grid.shape, 1e-4, dtype=np.float32)
    medium = Medium(grid, thin, thin, thin[None].copy(), (0,))
    got = terma(medium, beam(size_mm=(41.3, 33.7)))
    sums = got.sum(axis=(0, 2)) * 0.27**2
    mass = materials.get("water").mass_attenuation_cm2_g(energy_groups(SPECTRUM).energy_mev)
    per_fluence = float((energy_groups(SPECTRUM).photons * energy_groups(SPECTRUM).energy_mev) @ mass)
    np.testing.assert_allclose(sums, 4.13 * 3.37 * per_fluence, rtol=2e-3)


def test_covered_area_is_exact_and_blur_keeps_it() -> None:
    raster = Raster.covering((-20.0, 20.0), (-20.0, 20.0), 0.5)
    for sigma in (0.0, 1.3):
        coverage = covered(raster.x_edges_mm, np.array(-7.13), np.array(5.41), sigma)
        assert float(coverage.sum() * 0.5) == pytest.approx(12.54, abs=1e-9)
    sharp = covered(raster.x_edges_mm, np.array(-7.13), np.array(5.41), 0.0)
    assert sharp.max() == pytest.approx(1.0)
    blurred = covered(raster.x_edges_mm, np.array(-7.13), np.array(5.41), 1.3)
    assert float(np.interp(5.41, raster.x_mm, blurred)) == pytest.approx(0.5, abs=2e-3)

"""Collapsed cone transport: against the plain NumPy recursion, and what must hold exactly."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from rtsim import materials
from rtsim.dose.collapsed_cone.kernel import ConeKernel, collapse, mono_kernels
from rtsim.dose.collapsed_cone.transport import energy_to_dose_per_electron
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.typing import Float32Array, FloatArray
from tests.reference import collapsed_cone as oracle

FAR = np.array([0.0, -1.0e6, 0.0])
SPECTRUM = materials.spectrum("mohan6")


def _both_parts(
    density: Float32Array,
    soft: Float32Array,
    hard: Float32Array,
    grid: Grid,
    kernel: ConeKernel,
    rotation: FloatArray,
    source_mm: FloatArray,
    *,
    tilt: bool = True,
    sharpen: bool = True,
) -> Float32Array:
    """Energy per electron density of the whole kernel, both parts on one grid."""
    fast, slow = (
        energy_to_dose_per_electron(density, soft, hard, grid, part, rotation, source_mm, tilt=tilt, sharpen=sharpen)
        for part in (kernel.fast, kernel.slow)
    )
    return fast + slow


@pytest.mark.parametrize("gantry_deg", [0.0, 37.0])
def test_transport_equals_the_recursion_of_ahnesjo(gantry_deg: float) -> None:
    cones = collapse(SPECTRUM, 12).fast
    grid = Grid((6, 7, 5), (3.0, 2.0, 4.0), (0.0, 0.0, 0.0))
    rng = np.random.default_rng(1)
    density = rng.uniform(0.05, 2.0, grid.shape).astype(np.float32)
    soft, hard = (rng.uniform(0.0, 1.0, grid.shape).astype(np.float32) for _ in range(2))
    rotation = bld_to_lps(gantry_deg, 20.0)
    got = density * energy_to_dose_per_electron(
        density, soft, hard, grid, cones, rotation, FAR, tilt=False, sharpen=False
    )
    forward = np.stack([rotation[:, 0], rotation[:, 1], -rotation[:, 2]], axis=1)
    expected = oracle.transport(
        density.astype(np.float64),
        [soft.astype(np.float64), hard.astype(np.float64)],
        (0.3, 0.2, 0.4),
        cones.directions @ forward.T,
        cones.exponents_per_cm,
        [cones.soft, cones.hard],
    )
    # float32 transport: rounding of some hundred additions
    np.testing.assert_allclose(got, expected, rtol=3e-5, atol=1e-5 * expected.max())


def test_all_energy_is_absorbed_in_an_infinite_medium() -> None:
    kernel = collapse(SPECTRUM, 64)
    assert kernel.fast.soft.sum() + kernel.slow.soft.sum() == pytest.approx(1.0, abs=1e-12)
    assert kernel.fast.hard.sum() + kernel.slow.hard.sum() == pytest.approx(1.0, abs=1e-12)
    grid = Grid((41, 41, 41), (10.0, 10.0, 10.0), (-200.0, -200.0, -200.0))
    density = np.full(grid.shape, 15.0, dtype=np.float32)  # 300 g/cm2 to each side
    soft, hard = np.zeros(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.float32)
    soft[19:22, 19:22, 19:22], hard[19:22, 19:22, 19:22] = 0.3, 0.7
    rotation = bld_to_lps(30.0)
    source = 1000.0 * rotation[:, 2] + 150.0 * rotation[:, 0]
    out = _both_parts(density, soft, hard, grid, kernel, rotation, source)
    absorbed = float((out.astype(np.float64) * density).sum())
    # goal: 1.000 +- 0.002 in an infinite medium, local rays tilted by 9 degrees included
    assert absorbed / float((soft + hard).sum(dtype=np.float64)) == pytest.approx(1.0, abs=2e-3)


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    kernel = collapse(SPECTRUM, 32)
    grid = Grid((12, 14, 16), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
    rng = np.random.default_rng(2)
    density, soft, hard = (rng.uniform(0.1, 1.0, grid.shape).astype(np.float32) for _ in range(3))
    before = numba.get_num_threads()
    results = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            results.append(_both_parts(density, soft, hard, grid, kernel, bld_to_lps(70.0), FAR))
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(results[0], r) for r in results)


def test_a_dense_neighbor_does_not_pour_energy_into_air() -> None:
    """Dose (not energy) is continuous across an interface: air beside water gets a dose of the water's order."""
    kernel = collapse(SPECTRUM, 64)
    grid = Grid((20, 40, 20), (2.5, 2.5, 2.5), (0.0, 0.0, 0.0))
    density = np.ones(grid.shape, dtype=np.float32)
    density[:, 20:, :] = 0.0012
    soft, hard = (density * share for share in (np.float32(0.3), np.float32(0.7)))
    out = _both_parts(density, soft, hard, grid, kernel, bld_to_lps(0.0), FAR, tilt=False)
    assert np.isfinite(out).all()
    assert out[10, 20:, 10].max() <= 1.02 * out[10, :20, 10].max()


def test_kernel_conserves_the_monte_carlo_energy_and_its_primary_share() -> None:
    kernel = collapse(SPECTRUM, 64)
    mono = mono_kernels()
    groups = SPECTRUM.bin_groups()
    attenuation = materials.get("water").mass_attenuation_cm2_g(groups.energy_mev)
    terma = groups.energy_fluence * attenuation
    terma = terma / terma.sum()
    f = float(terma @ kernel.hardness(np.clip(groups.energy_mev, 0.2, 15.0)))
    primary = float(((1 - f) * kernel.fast.soft + f * kernel.fast.hard).sum())
    # source: EDKnrc, polyenergetic 6 MV kernel (reference README): primary 0.5177
    assert primary == pytest.approx(0.5177, abs=0.003)
    assert mono.fraction.sum(axis=(1, 2, 3)).max() < 1.0


def test_sharpening_keeps_energy_leaves_uniform_terma_alone_and_narrows_the_penumbra() -> None:
    kernel = collapse(SPECTRUM, 64)
    grid = Grid((40, 24, 40), (2.5, 2.5, 2.5), (-48.75, 0.0, -48.75))
    density = np.ones(grid.shape, dtype=np.float32)
    rotation = bld_to_lps(0.0)

    def dose(released: np.ndarray, sharpen: bool) -> np.ndarray:
        soft = (density * released).astype(np.float32)
        out = _both_parts(density, soft, soft, grid, kernel, rotation, FAR, tilt=False, sharpen=sharpen)
        return out.astype(np.float64)

    density[10:20] = 0.25
    uniform = np.ones(grid.shape)
    # lines start elsewhere between the voxels, which matters at the interface of the two densities
    inner = (slice(13, 17), slice(8, 16), slice(15, 25))
    np.testing.assert_allclose(dose(uniform, True)[inner], dose(uniform, False)[inner], rtol=5e-3)
    density[:] = 1.0
    field = np.zeros(grid.shape)
    field[:, :, 10:30] = 1.0
    bare, sharp = (dose(field, s)[20, 12] for s in (False, True))
    assert sharp.sum() == pytest.approx(bare.sum(), rel=2e-3)
    # what falls between the last voxel inside and the first outside the edge
    assert sharp[10] - sharp[9] > 1.1 * (bare[10] - bare[9])

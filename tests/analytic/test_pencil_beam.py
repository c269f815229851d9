"""The pencil beam against its own definition: kernel, influence, truncation, memory, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim import materials
from rtsim.beams.model import Beam, Beamlets
from rtsim.dose import PencilBeam
from rtsim.dose.pencil_beam.kernel import pencil_kernel
from rtsim.errors import GeometryError, InputError, ResourceError
from rtsim.geometry.grid import Grid
from rtsim.machine import load_machine, point_source
from rtsim.phantom.phantom import Phantom
from rtsim.typing import FloatArray
from tests.reference.pencil_beam import beamlet_in_water, depth_dose_of_round_field

SOURCE = point_source(materials.spectrum("mohan6"))
WATER = (materials.get("water"),)
WHOLE = PencilBeam(lateral_cutoff_mm=300.0, cutoff=0.0)


def water(shape: tuple[int, int, int] = (24, 30, 24), spacing: float = 5.0, density: float = 1.0) -> Phantom:
    half = [spacing * n / 2 for n in shape]
    grid = Grid.covering((-half[2], 0.0, -half[0]), (half[2], spacing * shape[1], half[0]), (spacing,) * 3)
    return Phantom.from_density(np.full(shape, density, np.float32), np.zeros(shape, np.uint8), WATER, grid)


def raster(pitch: float = 5.0, count: int = 4) -> Beamlets:
    x, y = np.meshgrid(*[(np.arange(count) - (count - 1) / 2) * pitch] * 2)
    width = np.full(x.size, pitch)
    return Beamlets(center_x_mm=x.ravel(), center_y_mm=y.ravel(), width_x_mm=width, width_y_mm=width)


def beam(beamlets: Beamlets | None = None, **changes: object) -> Beam:
    plain = Beam(machine=SOURCE, isocenter_mm=(0.0, 60.0, 0.0), gantry_deg=0.0, beamlets=beamlets or raster())
    return replace(plain, **changes)  # type: ignore[arg-type]


def dense(engine: PencilBeam, phantom: Phantom, b: Beam) -> FloatArray:
    return engine.influence(phantom, [b]).matrix.toarray().astype(np.float64)


@pytest.mark.parametrize("name", ["mohan6", "co60", "mohan15"])
def test_kernel_is_the_sum_over_the_monte_carlo_kernels(name: str) -> None:
    spectrum = materials.spectrum(name)
    kernel = pencil_kernel(spectrum)
    for depth_cm, radius_cm in (
        (1.5, 0.5),
        (5.0, 0.5),
        (5.0, 2.0),
        (10.0, 1.0),
        (10.0, 6.0),
        (25.0, 3.0),
        (25.0, 12.0),
    ):
        expected = depth_dose_of_round_field(spectrum, depth_cm, radius_cm)
        got = float(kernel.inside_radius(10.0 * depth_cm, 10.0 * radius_cm))
        # nine Gaussians for C(r, z): 1 %, of 15 MV up to 1.3 %; kernel bins cut in 24 or in 64 parts: 0.5 %
        assert got == pytest.approx(expected, rel=0.02), (depth_cm, radius_cm)


def test_no_more_energy_comes_out_than_went_in() -> None:
    kernel = pencil_kernel(SOURCE.spectrum)
    brought = float(SOURCE.spectrum.probabilities @ SOURCE.spectrum.bin_energy_mev)
    absorbed = 0.1 * float(kernel.amplitudes.sum(axis=1).sum())  # 1 mm of water is 0.1 g/cm2
    assert 0.85 * brought < absorbed < brought


@pytest.mark.parametrize(("spacing", "pitch"), [(5.0, 5.0), (2.5, 5.0), (2.5, 2.5)])
def test_influence_is_the_product_of_error_functions(spacing: float, pitch: float) -> None:
    shape = round(100 / spacing), round(120 / spacing), round(100 / spacing)
    phantom, b = water(shape, spacing), beam(raster(pitch))
    got = WHOLE.influence(phantom, [b])
    rng = np.random.default_rng(1)
    rows = rng.choice(phantom.grid.size, 200, replace=False)
    points = phantom.grid.point_at(np.stack(np.unravel_index(rows, phantom.grid.shape), axis=-1))
    peak = float(got.matrix[:, [5]].max())
    for index in (0, 5, 11):
        expected = beamlet_in_water(pencil_kernel(SOURCE.spectrum), b, index, points, 0.0, spacing)
        own = got.matrix[:, [index]].toarray().ravel()[rows]
        # near terms merged, wide ones as means of their interval: each below 0.2 % of the peak; fan of rays 0.2 %
        np.testing.assert_allclose(own, expected, rtol=0.01, atol=0.003 * peak)


def test_any_layout_of_beamlets_gives_each_its_own_column() -> None:
    rng = np.random.default_rng(7)
    n = 12
    scattered = Beamlets(
        center_x_mm=rng.uniform(-30, 30, n),
        center_y_mm=rng.choice([-10.0, 0.0, 5.0], n),
        width_x_mm=rng.choice([4.0, 10.0], n),
        width_y_mm=rng.choice([5.0, 10.0], n),
    )
    phantom, engine = water((16, 16, 16)), PencilBeam(lateral_cutoff_mm=40.0, cutoff=0.0)
    together = dense(engine, phantom, beam(scattered))
    for index in range(n):
        own = Beamlets(**{f: getattr(scattered, f)[[index]] for f in scattered.__dataclass_fields__})
        alone = dense(engine, phantom, beam(own))[:, 0]
        # the same entries; a narrower beamlet beside a wide one is computed by another formula: 0.2 % of the peak
        assert np.array_equal(alone > 0, together[:, index] > 0)
        np.testing.assert_allclose(together[:, index], alone, rtol=2e-3, atol=3e-3 * alone.max())


def test_beams_keep_their_columns_and_sum_to_their_own_matrices() -> None:
    phantom, a = water(), beam()
    b = beam(raster(10.0, 2), gantry_deg=70.0, collimator_deg=20.0)
    both = WHOLE.influence(phantom, [a, b])
    np.testing.assert_array_equal(both.matrix[:, both.columns_of(1)].toarray(), dense(WHOLE, phantom, b))
    assert both.matrix.has_sorted_indices


def test_thin_matter_stretches_the_dose_as_scaling_says() -> None:
    # O'Connor: at a quarter of the density all lengths are four times as long, doses per photon/cm2 the same
    far = replace(SOURCE, sad_mm=100_000.0)
    thick = dense(WHOLE, water((20, 30, 20), 2.5), beam(raster(5.0, 1), machine=far, isocenter_mm=(0.0, 30.0, 0.0)))
    thin = dense(
        PencilBeam(lateral_cutoff_mm=500.0, cutoff=0.0),
        water((20, 30, 20), 10.0, 0.25),
        beam(raster(20.0, 1), machine=far, isocenter_mm=(0.0, 120.0, 0.0)),
    )
    beyond = np.zeros((20, 30, 20), dtype=bool)
    beyond[:, 3:] = True  # what lies before the body counts as water in the windows upstream: 7.5 mm of water
    # divergence over 30 cm instead of 7.5: below 1 % of the maximum
    np.testing.assert_allclose(thin[beyond.ravel()], thick[beyond.ravel()], atol=0.01 * thick.max())


def test_lateral_cutoff_is_a_distance_and_the_threshold_a_dose() -> None:
    phantom, b = water(), beam()
    full = WHOLE.influence(phantom, [b])
    near = PencilBeam(lateral_cutoff_mm=20.0, cutoff=0.0).influence(phantom, [b])
    z, y, x = np.meshgrid(phantom.grid.z_mm, phantom.grid.y_mm, phantom.grid.x_mm, indexing="ij")
    scale = 1000.0 / (1000.0 + y - 60.0)
    assert b.beamlets is not None
    for index in (0, 9):
        distance = np.hypot(x * scale - b.beamlets.center_x_mm[index], z * scale - b.beamlets.center_y_mm[index])
        kept = near.matrix[:, [index]].toarray().ravel() > 0
        np.testing.assert_array_equal(kept, distance.ravel() <= 20.0)
    high = PencilBeam(lateral_cutoff_mm=300.0, cutoff=0.05).influence(phantom, [b])
    values, kept = full.matrix.toarray(), high.matrix.toarray()
    np.testing.assert_array_equal(kept[kept > 0], values[kept > 0])
    assert kept[kept > 0].min() >= values[kept == 0].max()
    assert high.cutoff == 0.05


@pytest.mark.parametrize("engine", [PencilBeam(), PencilBeam(lateral_cutoff_mm=25.0, cutoff=0.01)])
def test_dropped_fraction_is_full_against_truncated_dose_of_the_same_plan(engine: PencilBeam) -> None:
    units = np.linspace(0.0, 2.0, 16)
    phantom, b = water((30, 36, 30), 4.0), beam(beamlet_monitor_units=units)
    full, cut = WHOLE.influence(phantom, [b]), engine.influence(phantom, [b])
    expected = 1.0 - float(cut.dose(units).values_gy.sum() / full.dose(units).values_gy.sum())
    assert expected > 0.02
    # a sample of 1000 voxels of a smooth dose; voxels off the traced rays take the depth of the nearest ray
    assert cut.dropped_fraction == pytest.approx(expected, abs=0.02)
    assert full.dropped_fraction == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("engine", [PencilBeam(), PencilBeam(cutoff=0.0, lateral_cutoff_mm=30.0)])
def test_memory_is_known_before_it_is_allocated(engine: PencilBeam) -> None:
    phantom, b = water(), beam()
    predicted = engine.influence_bytes(phantom, [b])
    matrix = engine.influence(phantom, [b]).matrix
    allocated = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    assert predicted == pytest.approx(allocated, rel=0.1)
    tight = replace(engine, memory_limit_gb=0.9e-9 * allocated)
    with pytest.raises(ResourceError, match="GB"):
        tight.influence(phantom, [b])
    replace(engine, memory_limit_gb=1.1e-9 * allocated).influence(phantom, [b])


def test_voxels_restrict_rows_and_air_around_the_body_holds_none() -> None:
    phantom = water()
    density = phantom.density_g_cm3.copy()
    density[:, :, :8] = 0.0012  # beside the body
    density[10:14, 10:14, 12:16] = 0.0012  # a cavity in it
    holed = Phantom.from_density(density, phantom.material_index, WATER, phantom.grid)
    engine = PencilBeam(lateral_cutoff_mm=100.0, cutoff=0.0)
    influence = engine.influence(holed, [beam()])
    counts = np.zeros(phantom.grid.shape, dtype=np.int64)
    k, j, i = influence.grid.offset_in(phantom.grid)
    cut = np.s_[k : k + influence.grid.shape[0], j : j + influence.grid.shape[1], i : i + influence.grid.shape[2]]
    counts[cut] = np.diff(influence.matrix.indptr).reshape(influence.grid.shape)
    assert not counts[:, :, :8].any()
    assert (counts[10:14, 10:14, 12:16] == 16).all()
    wanted = np.zeros(influence.grid.shape, dtype=bool)
    wanted[5:9, 5:9, 5:9] = True
    some = engine.influence(holed, [beam()], voxels=wanted)
    assert some.matrix.nnz > 0
    assert not np.diff(some.matrix.indptr)[~wanted.ravel()].any()


def test_a_machine_softens_blurs_and_weighs_its_beamlets() -> None:
    machine = load_machine("generic_6x")
    phantom = water((24, 30, 60), 5.0)
    b = Beamlets(
        center_x_mm=np.array([0.0, 100.0]),
        center_y_mm=np.zeros(2),
        width_x_mm=np.full(2, 10.0),
        width_y_mm=np.full(2, 10.0),
    )
    both = WHOLE.influence(phantom, [beam(b, machine=machine)]).matrix.sum(axis=0)
    profile = np.interp(100.0, machine.off_axis.radius_mm, machine.off_axis.relative)
    # a softer beam releases more of its energy in 15 cm; a slanted ray is longer by 0.5 %, the phantom ends beside it
    assert float(both[1] / both[0]) == pytest.approx(profile, rel=0.06)


def test_bad_input_is_refused_with_its_value() -> None:
    phantom = water()
    with pytest.raises(InputError, match="no beams"):
        WHOLE.influence(phantom, [])
    with pytest.raises(InputError, match="no beamlets"):
        WHOLE.influence(phantom, [replace(beam(), beamlets=None)])
    with pytest.raises(GeometryError, match="isocenter_mm"):
        WHOLE.influence(phantom, [beam(isocenter_mm=(0.0, 900.0, 0.0))])
    with pytest.raises(GeometryError, match="source"):
        WHOLE.influence(phantom, [beam(machine=replace(SOURCE, sad_mm=30.0))])
    aside = Beamlets(
        center_x_mm=np.array([150.0]),
        center_y_mm=np.array([0.0]),
        width_x_mm=np.array([5.0]),
        width_y_mm=np.array([5.0]),
    )
    with pytest.raises(GeometryError, match="misses the phantom"):
        WHOLE.influence(phantom, [beam(aside)])
    with pytest.raises(InputError, match="voxels has shape"):
        WHOLE.influence(phantom, [beam()], voxels=np.ones((2, 2, 2), dtype=bool))
    with pytest.raises(InputError, match="nor beamlets"):
        WHOLE.forward(phantom, [beam()])
    for settings in (
        {"lateral_cutoff_mm": 1.0},
        {"cutoff": 0.7},
        {"spacing_mm": 0.0},
        {"memory_limit_gb": -1.0},
        {"lateral_cutoff_mm": float("nan")},
    ):
        with pytest.raises(InputError, match=next(iter(settings))):
            PencilBeam(**settings)

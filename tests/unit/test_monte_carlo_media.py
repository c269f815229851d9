"""Voxels and source of the Monte Carlo engine: layout of the arrays, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams.model import Aperture, Beam
from rtsim.dose import CollapsedCone
from rtsim.dose.fluence import fluence_maps
from rtsim.dose.monte_carlo.contamination import electron_dose_gy
from rtsim.dose.monte_carlo.media import MOST_MATERIALS, voxels_of
from rtsim.dose.monte_carlo.source import source_of
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.machine import load_machine, point_source
from rtsim.machine.model import OffAxisProfile
from rtsim.materials import Material, Spectrum, get
from rtsim.phantom.phantom import Phantom

WATER, BONE, LUNG, AIR = get("water"), get("bone_cortical"), get("lung"), get("air")
"""In the order of the phantoms here."""


def phantom(density: np.ndarray, index: np.ndarray, spacing_mm: float = 5.0) -> Phantom:
    nz, ny, nx = density.shape
    grid = Grid.covering((0.0,) * 3, (nx * spacing_mm, ny * spacing_mm, nz * spacing_mm), (spacing_mm,) * 3)
    return Phantom.from_density(
        density.astype(np.float32), index.astype(np.uint8), (WATER, BONE, LUNG, AIR), grid, name="test"
    )


def block(shape: tuple[int, int, int] = (20, 20, 20)) -> Phantom:
    return phantom(np.ones(shape), np.zeros(shape))


def beam(**given: object) -> Beam:
    settings: dict[str, object] = {"isocenter_mm": (50.0, 50.0, 50.0), "monitor_units": 1.0, "name": "test", **given}
    machine = settings.pop("machine", point_source())
    return Beam.open_field(machine, (40.0, 40.0), **settings)  # type: ignore[arg-type]


def test_voxels_of_the_phantom_are_those_of_the_collapsed_cone() -> None:
    density, index = np.full((16, 12, 14), 0.0012), np.full((16, 12, 14), 3)
    density[4:12, 3:9, 5:11], index[4:12, 3:9, 5:11] = 1.0, 0
    density[6:8, 4:6, 6:8], index[6:8, 4:6, 6:8] = 1.85, 1
    given = phantom(density, index)
    for spacing in (None, 3.0, 7.5):
        voxels = voxels_of(given, spacing)
        assert voxels.grid == CollapsedCone(spacing_mm=spacing).dose_grid(given)
        assert voxels.density_g_cm3.dtype == np.float32
        assert voxels.material.dtype == np.uint8
        assert voxels.density_g_cm3.shape == voxels.material.shape == voxels.grid.shape
        assert voxels.density_g_cm3.flags.c_contiguous
        assert voxels.material.flags.c_contiguous
        assert {m.name for m in voxels.materials} == {WATER.name, BONE.name, AIR.name}
        assert int(voxels.material.max()) == len(voxels.materials) - 1
    assert [m.name for m in voxels_of(given, None).materials] == [WATER.name, BONE.name, AIR.name]


def test_larger_voxels_keep_the_mass_and_take_the_material_with_most_of_it() -> None:
    density, index = np.ones((4, 4, 4)), np.zeros((4, 4, 4))
    density[:2, :2, 0], index[:2, :2, 0] = 1.85, 1  # half of the first 10 mm voxel: 1.85 against 1 by mass
    density[2:, 2:, 2:], index[2:, 2:, 2:] = 0.26, 2
    density[2, 2, 2], index[2, 2, 2] = 2.0, 1  # an eighth of the last by volume, more than half of it by mass
    voxels = voxels_of(phantom(density, index), 10.0)
    assert voxels.density_g_cm3.sum() * 8 == pytest.approx(density.sum(), rel=1e-6)
    name = [[[voxels.materials[m].name for m in row] for row in plane] for plane in voxels.material]
    assert name[0][0][0] == BONE.name
    assert name[1][1][1] == BONE.name
    assert name[0][1][1] == WATER.name
    assert [m.name for m in voxels.materials] == [WATER.name, BONE.name]
    assert voxels.density_g_cm3[1, 1, 1] == pytest.approx((2.0 + 7 * 0.26) / 8, rel=1e-6)


def test_more_materials_than_the_engine_holds() -> None:
    count = MOST_MATERIALS + 1
    materials = tuple(replace(WATER, name=f"water {n}") for n in range(count))
    index = np.arange(5 * 5 * 5).reshape(5, 5, 5) % count
    grid = Grid.covering((0.0,) * 3, (25.0,) * 3, (5.0,) * 3)
    given = Phantom.from_density(np.ones((5, 5, 5), np.float32), index.astype(np.uint8), materials, grid, name="odd")
    with pytest.raises(InputError, match=r"'odd' holds 65 materials; .* up to 64"):
        voxels_of(given, None)


def test_nothing_but_air() -> None:
    with pytest.raises(GeometryError, match="nothing but air"):
        voxels_of(phantom(np.full((4, 4, 4), 0.0012), np.full((4, 4, 4), 3)), None)


def test_an_unknown_material_is_told_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="water"):
        get("watr")
    with pytest.raises(InputError, match="no cross sections for Z = 118"):
        Material("odd", 1.0, ((118, 1.0),), 75.0)


def test_a_spectrum_above_the_tables() -> None:
    with pytest.raises(InputError, match="25 MeV"):
        Spectrum("hot", np.array([1.0, 30.0]), np.array([1.0]))


def test_arrays_are_as_the_kernel_reads_them() -> None:
    source = source_of([beam(), beam(gantry_deg=90.0)], photons_per_unit=[1.0, 1.0])
    for name in ("rotation", "source_mm", "sad_mm", "raster", "cumulative", "energy_edges", "energy_cumulative"):
        array = getattr(source, name)
        assert array.dtype == np.float64, name
        assert array.flags.c_contiguous, name
        assert array.flags.writeable, name
    for name in ("start", "map_spectrum"):
        assert getattr(source, name).dtype == np.int64
    assert source.start.tolist() == [0, 6400, 12800]
    assert (np.diff(source.cumulative) >= 0.0).all()
    assert (source.energy_cumulative[:, :, -1] == 1.0).all()
    assert source.photons == source.cumulative[-1]


def test_nothing_delivered() -> None:
    with pytest.raises(InputError, match="nothing is delivered by 'none', 'neither'"):
        source_of(
            [beam(name="none", monitor_units=0.0), beam(name="neither", monitor_units=0.0)], photons_per_unit=[1.0, 1.0]
        )


def test_a_beam_of_no_monitor_units_beside_one_with_some() -> None:
    one = source_of([beam()], photons_per_unit=[1.0])
    two = source_of([beam(name="none", monitor_units=0.0), beam()], photons_per_unit=[1.0, 1.0])
    assert two.photons == one.photons


def test_a_source_inside_the_phantom() -> None:
    grid = voxels_of(phantom(np.ones((10, 250, 10)), np.zeros((10, 250, 10))), None).grid
    with pytest.raises(GeometryError, match=r"'deep'.* inside the phantom"):
        source_of([beam(name="deep", isocenter_mm=(25.0, 1200.0, 25.0))], photons_per_unit=[1.0], grid=grid)


def test_a_phantom_behind_the_source() -> None:
    grid = voxels_of(phantom(np.ones((10, 10, 10)), np.zeros((10, 10, 10))), None).grid
    with pytest.raises(GeometryError, match=r"behind the source plane"):
        source_of([beam(isocenter_mm=(200.0, 1020.0, 25.0))], photons_per_unit=[1.0], grid=grid)


def test_a_field_that_misses_the_phantom() -> None:
    grid = voxels_of(block(), None).grid
    side = Aperture(jaws_x_mm=(120.0, 140.0), jaws_y_mm=(-10.0, 10.0))
    given = beam(name="beside", gantry_deg=0.0)
    points = tuple(replace(c, aperture=side) for c in given.control_points)
    with pytest.raises(GeometryError, match=r"'beside' at gantry 0 degrees misses the phantom"):
        source_of([replace(given, control_points=points)], photons_per_unit=[1.0], grid=grid)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_photons_per_unit_must_be_a_number(value: float) -> None:
    with pytest.raises(InputError, match=r"photons_per_unit of beam 'test' is"):
        source_of([beam()], photons_per_unit=[value])


def test_photons_per_unit_of_every_beam() -> None:
    with pytest.raises(InputError, match="1 values for 2 beams"):
        source_of([beam(), beam()], photons_per_unit=[1.0])


def test_a_softening_that_one_energy_cannot_take() -> None:
    machine = replace(
        point_source(),
        spectrum=Spectrum("line", np.array([1.24, 1.26]), np.array([1.0])),
        off_axis=OffAxisProfile(softening=(0.0, 0.002, 0.0)),
    )
    with pytest.raises(InputError, match=r"spectrum 'line' can be filtered to 1\.000 \.\. 1\.000"):
        source_of([beam(machine=machine)], photons_per_unit=[1.0])


def test_contaminating_electrons_are_those_of_the_collapsed_cone() -> None:
    """The dose of the two engines differs by photons alone: with and without electrons, per photon/cm2."""
    given = block((12, 12, 12))
    with_electrons = replace(load_machine("generic_6x"), calibration=None)
    without = replace(with_electrons, electrons=replace(with_electrons.electrons, fraction=0.0))
    engine = CollapsedCone(cones=12)
    at = (30.0, 30.0, 30.0)
    one, other = beam(machine=with_electrons, isocenter_mm=at), beam(machine=without, isocenter_mm=at)
    expected = engine.forward(given, [one]).values_gy - engine.forward(given, [other]).values_gy
    dose = electron_dose_gy(voxels_of(given, None), [one], photons_per_unit=[1.0])
    assert dose.dtype == np.float32
    assert dose.max() > 0.0
    # differences of float32 doses some ten times larger
    assert dose == pytest.approx(expected, abs=3e-6 * float(engine.forward(given, [one]).values_gy.max()))
    twice = electron_dose_gy(voxels_of(given, None), [one, other], photons_per_unit=[2.0, 1.0])
    assert twice == pytest.approx(2.0 * dose, rel=1e-6)


def test_parts_of_a_source_are_all_of_it() -> None:
    given = beam(machine=load_machine("generic_6fff"))
    whole = source_of([given], photons_per_unit=[1.0])
    inner, outer = whole.parted(10.0)
    assert inner.photons + outer.photons == pytest.approx(whole.photons, rel=1e-12)
    assert inner.cumulative + outer.cumulative == pytest.approx(whole.cumulative, rel=1e-12)
    fluence = fluence_maps(given)[0]
    x, y = fluence.raster.x_mm, fluence.raster.y_mm
    middle = fluence.values[np.ix_(np.abs(y) < 10.0, np.abs(x) < 10.0)]
    # 1/cos(theta) is 1 within 1e-4 there
    assert inner.photons == pytest.approx(0.0025 * float(middle.sum()), rel=1e-4)

"""Two grids and moving windows: nothing is lost on the way between them."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim import materials
from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.dose.collapsed_cone.beam_dose import beam_dose
from rtsim.dose.collapsed_cone.kernel import collapse
from rtsim.dose.collapsed_cone.transport import energy_to_dose_per_electron
from rtsim.dose.fluence import each_fluence_map
from rtsim.dose.fluence.raster import FluenceMap, Raster
from rtsim.dose.fluence.sectors import sectors
from rtsim.dose.medium import medium_of
from rtsim.dose.orientation.windows import Windows
from rtsim.dose.resolution.media import TwoMedia
from rtsim.dose.resolution.model import TwoGrids, emitting_box, part_of
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.machine import load_machine
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Float32Array


def _oblique(grid: Grid, half_mm: float) -> Float32Array:
    """A pencil of released energy at 40 degrees in the plane z, about the middle of the grid."""
    x, y, z = np.meshgrid(grid.x_mm, grid.y_mm, grid.z_mm, indexing="ij")
    angle = np.radians(40.0)
    across = x * np.cos(angle) + y * np.sin(angle)
    inside = (np.abs(across) < half_mm) & (np.abs(z) < half_mm)
    return np.ascontiguousarray(inside.transpose(2, 1, 0)).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 11)])
def test_restriction_keeps_the_energy_and_prolongation_a_linear_field(shape: tuple[int, int, int]) -> None:
    grids = TwoGrids.of(Grid(shape, (2.5, 2.5, 2.5), (0.0, 0.0, 0.0)))
    assert grids.factors == (2, 2, 2)
    volume = np.random.default_rng(3).uniform(size=shape).astype(np.float32)
    coarse = grids.restrict(volume)
    assert coarse.sum(dtype=np.float64) * 8 == pytest.approx(volume.sum(dtype=np.float64), rel=1e-6)
    z, y, x = np.meshgrid(grids.coarse.z_mm, grids.coarse.y_mm, grids.coarse.x_mm, indexing="ij")
    fine = grids.prolong((x + 2 * y - z).astype(np.float32))
    z, y, x = np.meshgrid(grids.fine.z_mm, grids.fine.y_mm, grids.fine.x_mm, indexing="ij")
    inner = (slice(1, 6), slice(1, 8), slice(1, 10))
    np.testing.assert_allclose(fine[inner], (x + 2 * y - z)[inner], atol=1e-4)


def test_voxels_that_would_become_too_large_stay() -> None:
    assert TwoGrids.of(Grid((4, 4, 4), (2.5, 2.5, 4.0), (0.0, 0.0, 0.0))).factors == (1, 2, 2)
    assert not TwoGrids.of(Grid((4, 4, 4), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))).differ


def test_moving_windows_give_the_dose_of_the_whole_planes() -> None:
    grid = Grid((32, 60, 60), (2.5, 2.5, 2.5), (-73.75, -73.75, -38.75))
    released = _oblique(grid, 10.0)
    density = np.ones(grid.shape, dtype=np.float32)
    cones = collapse(materials.spectrum("mohan6"), 24).fast
    rotation = bld_to_lps(320.0)
    source = 1000.0 * rotation[:, 2]
    box, windows = emitting_box(released, released, density, grid)
    # an oblique beam: no window is as large as its box
    assert (windows.shapes[:2, 1:].prod(axis=1) < 0.8 * Windows.whole((32, 60, 60)).shapes[:2, 1:].prod(axis=1)).all()
    cut = density[box], released[box], released[box], part_of(grid, box)
    whole = energy_to_dose_per_electron(*cut, cones, rotation, source)
    part = energy_to_dose_per_electron(*cut, cones, rotation, source, windows=windows)
    # what leaves the room of 2 g/cm2 to each side is lost
    np.testing.assert_allclose(part, whole, atol=2e-3 * float(whole.max()))


def test_a_split_fluence_adds_up_and_the_rest_has_no_sharp_edge() -> None:
    x = (np.arange(120) - 59.5) * 1.0
    values = np.where(np.abs(x) < 20.0, 1.0, 0.02 * np.exp(-(np.abs(x) - 20.0) / 20.0))
    fluence = FluenceMap(Raster(-60.0, -60.0, 1.0, 120, 120), np.outer(values, values), 0.0)
    field, rest = fluence.split(0.03, 10.0)
    first = round(field.raster.left_mm + 60.0)
    total = rest.values.copy()
    total[first : first + field.raster.rows, first : first + field.raster.columns] += field.values
    np.testing.assert_allclose(total, fluence.values, atol=1e-15)
    assert field.raster.columns < 62
    assert np.abs(np.diff(rest.values[60])).max() < 0.0025


def test_an_arc_whose_slow_part_is_shared_gives_the_dose_of_its_maps_one_by_one() -> None:
    grid = Grid.covering((-75.0,) * 3, (75.0,) * 3, (3.0,) * 3)
    one, zero = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.uint8)
    phantom = Phantom.from_density(one, zero, (materials.get("water"),), grid)
    opening = Aperture(jaws_x_mm=(-15.0, 15.0), jaws_y_mm=(-15.0, 15.0))
    points = [
        ControlPoint(cumulative_monitor_units=10.0 * n, aperture=opening, gantry_deg=(352.0 + 4.0 * n) % 360.0)
        for n in range(7)
    ]
    machine = load_machine("generic_6x")
    arc = Beam(machine=machine, isocenter_mm=(0.0,) * 3, gantry_deg=352.0, control_points=tuple(points), name="arc")
    maps = list(each_fluence_map(arc))
    assert max(map(len, sectors(maps))) == 3
    media = TwoMedia.of(medium_of(phantom, None))
    shared = np.sum([beam_dose(media, arc, part, 32) for part in sectors(maps)], axis=0)
    alone = np.sum([beam_dose(media, arc, (single,), 32) for single in maps], axis=0)
    # docs/theory.md, section 5: 0.2 % of the maximum in an arc of 48 degrees; contaminating electrons at the skin more
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(shared[inner], alone[inner], atol=3e-3 * float(alone.max()))
    assert shared.sum() == pytest.approx(alone.sum(), rel=2e-3)

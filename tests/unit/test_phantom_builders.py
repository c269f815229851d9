"""Phantoms from shapes: dimensions, densities, surfaces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtsim import materials
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Box, Sphere
from rtsim.phantom.builders import Layer, Slab, painted, slabs, tg119_c_shape, water_box
from rtsim.phantom.structure import Role


def test_water_box_is_a_cube_of_water_in_air() -> None:
    phantom = water_box(side_mm=60.0, spacing_mm=3.0)
    assert phantom["BODY"].volume_cm3 == pytest.approx(216.0)
    assert phantom["BODY"].role is Role.EXTERNAL
    inside = phantom["BODY"].mask_on(phantom.grid)
    assert np.allclose(phantom.density_g_cm3[inside], 1.0)
    assert np.all(phantom.density_g_cm3[~inside] < 0.0013)
    assert {phantom.materials[i].name for i in np.unique(phantom.material_index[inside])} == {"water"}
    assert abs(float(phantom.ct.hu[inside].mean())) < 20.0
    assert phantom.grid.center_mm() == pytest.approx((0.0, 0.0, 0.0))


def test_slabs_lie_one_behind_the_other() -> None:
    bone, water = materials.get("icrp_cortical_bone"), materials.get("water")
    phantom = slabs([Slab(10.0, water), Slab(6.0, bone), Slab(24.0, water, 1.1)], side_mm=20.0)
    depth = phantom.grid.y_mm + 20.0
    column = phantom.density_g_cm3[phantom.grid.shape[0] // 2, :, phantom.grid.shape[2] // 2]
    assert np.allclose(column[(depth > 0) & (depth < 10)], 1.0)
    assert np.allclose(column[(depth > 10) & (depth < 16)], 1.85)  # source: ICRP cortical bone, nominal density
    assert np.allclose(column[(depth > 16) & (depth < 40)], 1.1)
    assert phantom["slab_2"].centroid_mm[1] == pytest.approx(-20.0 + 13.0)


def test_a_voxel_half_bone_half_water_has_the_mean_density() -> None:
    grid = Grid.covering((-4.0,) * 3, (4.0,) * 3, (2.0,) * 3)
    phantom = painted(
        grid,
        [Layer(shape=Box((-9.0, -9.0, -9.0), (1.0, 9.0, 9.0)), material=materials.get("titanium"))],
        background=materials.get("water"),
    )
    titanium = materials.get("titanium").density_g_cm3
    assert phantom.density_g_cm3[2, 2, 2] == pytest.approx(0.5 * (1.0 + titanium), rel=1e-3)


def test_tg119_dimensions() -> None:
    phantom = tg119_c_shape(2.0)
    # source: AAPM TG-119 dimensions (from memory); opening of 120 degrees assumed
    assert phantom["PTV"].volume_cm3 == pytest.approx(math.pi * (3.7**2 - 1.5**2) * 8.0 * 240.0 / 360.0, rel=0.005)
    assert phantom["Core"].volume_cm3 == pytest.approx(math.pi * 10.0, rel=0.005)
    overlap = phantom["PTV"].coverage_on(phantom.grid) * phantom["Core"].coverage_on(phantom.grid)
    assert not overlap.any()
    assert phantom["PTV"].centroid_mm[1] < -5.0  # the opening is posterior
    points, core = phantom["PTV"].points_mm(), 10.0
    assert np.hypot(points[:, 0], points[:, 1]).min() - core > 5.0 - 2.0


def test_layers_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="neither a material nor a structure"):
        Layer(shape=Sphere((0.0, 0.0, 0.0), 1.0))
    with pytest.raises(InputError, match="without a material"):
        Layer(shape=Sphere((0.0, 0.0, 0.0), 1.0), structure="a", density_g_cm3=1.0)
    with pytest.raises(InputError, match="slabs is empty"):
        slabs([])
    with pytest.raises(InputError, match="side_mm is -1"):
        water_box(side_mm=-1.0)


def test_a_phantom_can_be_asked_for_its_structures_as_a_mapping() -> None:
    phantom = tg119_c_shape()
    assert "PTV" in phantom
    assert "spinal_cord_prv" not in phantom
    assert list(phantom) == list(phantom.structures)

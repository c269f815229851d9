"""The medium of a phantom is computed once for many doses, and never taken for another grid or another phantom."""

from dataclasses import replace

import numpy as np

import rtsim as rt
from rtsim.dose.medium import medium_of


def test_a_medium_is_kept_for_the_same_grid_only() -> None:
    phantom = rt.phantoms.water_box(side_mm=40.0, spacing_mm=4.0)
    medium = medium_of(phantom, 5.0)
    assert medium_of(phantom, 5.0) is medium
    other = medium_of(phantom, 8.0)
    assert other.grid.spacing_mm == (8.0, 8.0, 8.0)
    again = medium_of(phantom, 5.0)
    assert again is not other
    assert np.array_equal(again.density_g_cm3, medium.density_g_cm3)


def test_a_changed_phantom_has_a_medium_of_its_own() -> None:
    phantom = rt.phantoms.water_box(side_mm=40.0, spacing_mm=4.0)
    medium = medium_of(phantom, None)
    denser = replace(phantom, density_g_cm3=2.0 * phantom.density_g_cm3)
    assert np.allclose(medium_of(denser, None).density_g_cm3, 2.0 * medium.density_g_cm3)

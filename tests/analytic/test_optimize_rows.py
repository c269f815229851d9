"""Rows of the optimizer: they read a dose as the evaluation does, and their matrix agrees with the dose it makes."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.dose.statistics import dose_at_hottest, structure_points, volume_receiving
from rtsim.errors import InputError
from rtsim.evaluate import dvh
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import sample_linear
from rtsim.optimize.rows import NORMAL_TISSUE, Sampling, build_rows, interpolation, limit_name
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from tests.unit import optimize_toy as toy


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return toy.phantom()


def test_interpolation_matrix_equals_trilinear_samples() -> None:
    grid = Grid((5, 6, 7), (2.0, 3.0, 1.5), (-4.0, 2.0, 1.0))
    rng = np.random.default_rng(1)
    volume = rng.uniform(0, 10, grid.shape)
    points = rng.uniform(np.array(grid.lower_mm), np.array(grid.upper_mm), (200, 3))
    # float32 weights: 1e-6 relative
    assert interpolation(grid, points) @ volume.ravel() == pytest.approx(sample_linear(volume, grid, points), rel=1e-5)


def test_points_conserve_volume_and_read_as_the_histogram_does(phantom: Phantom) -> None:
    grid = phantom.grid
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    dose = Dose(values_gy=(20.0 + 0.2 * x + 0.1 * y + 0.05 * z).astype(np.float32), grid=grid)
    for name in ("spinal_cord", "PTV"):
        structure = phantom[name]
        points, volume = structure_points(structure)
        histogram = dvh(dose, structure)
        assert volume.sum() == pytest.approx(structure.volume_cm3, rel=1e-6)
        values = dose.at(points)
        for cm3 in (0.035, 1.0, 0.5 * structure.volume_cm3):
            # the histogram interpolates between points; the doses of neighboring points differ by 0.05 Gy/mm x 4/3 mm
            assert dose_at_hottest(values, volume, cm3) == pytest.approx(histogram.dose_gy_at(cm3), abs=0.067)
        assert volume_receiving(values, volume, 20.0) == pytest.approx(histogram.volume_cm3_at(20.0), rel=0.03)


def test_dose_at_hottest_by_hand() -> None:
    dose, volume = np.array([1.0, 5.0, 3.0]), np.array([1.0, 0.5, 0.5])
    assert dose_at_hottest(dose, volume, 0.0) == 5.0
    assert dose_at_hottest(dose, volume, 0.5) == 5.0
    assert dose_at_hottest(dose, volume, 0.6) == 3.0
    assert dose_at_hottest(dose, volume, 9.0) == 1.0
    with pytest.raises(InputError, match=r"D\(cc\) needs points"):
        dose_at_hottest(dose, volume, -1.0)


def test_rows_of_a_matrix_equal_rows_of_its_dose(phantom: Phantom) -> None:
    influence = toy.PencilEngine().influence(phantom, toy.beams((100, 180)))
    organs, limited = (phantom["esophagus"],), (phantom["spinal_cord"],)
    rows = build_rows(phantom, influence.grid, phantom["PTV"], organs, limited, Sampling())
    weights = np.random.default_rng(3).uniform(0, 5, influence.beamlet_count)
    dose = influence.dose(weights, fractions=3)
    assert rows.matrix_of(influence, 3) @ weights == pytest.approx(rows.dose_of(dose), rel=1e-4, abs=1e-4)


def test_regions_stand_for_the_whole_volume(phantom: Phantom) -> None:
    few = Sampling(organ_voxels=50, limit_points=300, normal_fraction=0.5, shell_fraction=0.5)
    rows = build_rows(phantom, phantom.grid, phantom["PTV"], (phantom["esophagus"],), (phantom["spinal_cord"],), few)
    regions = rows.regions
    assert regions["esophagus"].rows.size == 50
    assert regions["esophagus"].volume_cm3.sum() == pytest.approx(phantom["esophagus"].volume_cm3, rel=1e-5)
    cord = regions[limit_name("spinal_cord")]
    assert cord.rows.size <= 300
    assert cord.volume_cm3.sum() == pytest.approx(phantom["spinal_cord"].volume_cm3, rel=1e-5)
    assert regions["PTV"].volume_cm3.sum() == pytest.approx(phantom["PTV"].volume_cm3, rel=1e-5)
    tissue = regions[NORMAL_TISSUE]
    body = phantom.external_mask() & (rows.distance_mm > 0) & (rows.distance_mm < few.reach_mm)
    # a sample of half the voxels: three standard deviations of a binomial
    n = int(body.sum())
    assert tissue.rows.size == pytest.approx(0.5 * n, abs=3 * np.sqrt(0.25 * n))
    assert tissue.distance_mm is not None
    assert tissue.distance_mm.min() > 0


def test_of_a_wide_structure_the_points_next_to_the_target_are_kept(phantom: Phantom) -> None:
    """A limit on both lungs: seen from their common axis the outermost points are the coldest ones."""
    x, y = np.meshgrid(phantom.grid.x_mm, phantom.grid.y_mm)
    r = np.broadcast_to(np.hypot(x, y), phantom.grid.shape)
    shell = Structure.from_coverage("shell", Role.OAR, phantom.grid, ((r > 40.0) & (r < 85.0)).astype(np.float32))
    few = Sampling(limit_points=300)
    rows = build_rows(phantom, phantom.grid, phantom["PTV"], (), (shell,), few)
    points, volume = structure_points(shell)
    at = rows.regions[limit_name("shell")].rows - rows.voxels.size
    kept = np.hypot(*rows.points_mm[at][:, :2].T)
    assert len(kept) <= 300
    # the nearest points of the shell lie on the side where the target is, 16 mm and more away
    nearest = np.hypot(*points[:, :2].T).min()
    assert kept.min() == pytest.approx(nearest, abs=phantom.grid.spacing_mm[0])
    assert np.median(kept) < np.median(np.hypot(*points[:, :2].T))
    assert rows.regions[limit_name("shell")].volume_cm3.sum() == pytest.approx(volume.sum(), rel=1e-5)

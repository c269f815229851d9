"""Gamma beside that of pymedphys on a small random case."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from rtsim.dose.result import Dose
from rtsim.evaluate import gamma
from rtsim.geometry.grid import Grid


def random_doses() -> tuple[Dose, Dose]:
    rng = np.random.default_rng(11)
    grid = Grid((14, 16, 18), (2.0, 2.0, 2.5), (-17.0, -15.0, 4.0))
    base = gaussian_filter(rng.uniform(0.0, 100.0, grid.shape), 2.0)
    base = 20.0 * (base - base.min()) / np.ptp(base)
    other = base * 1.02 + gaussian_filter(rng.normal(0.0, 2.0, grid.shape), 1.0)
    return Dose(values_gy=base, grid=grid), Dose(values_gy=np.clip(other, 0, None), grid=grid)


@pytest.mark.parametrize("is_local", [False, True])
def test_beside_pymedphys(is_local: bool) -> None:
    """source: pymedphys.gamma, same criteria, interpolation fraction 10, capped at 2.

    Both search in steps of a tenth of the distance criterion, but on different points (a cube here, shells there).
    Either may miss the nearest point by sqrt(3)/2 of a step, which costs 0.087 times the steepness of the dose in
    criteria: above 1 for local criteria in this ragged case. The differences have no sign on average, and the same
        voxels pass.
    """
    pymedphys = pytest.importorskip("pymedphys", reason="pymedphys (extra 'test') is not installed")
    reference, evaluated = random_doses()
    axes = (reference.grid.z_mm, reference.grid.y_mm, reference.grid.x_mm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pymedphys.gamma(
            axes,
            reference.values_gy,
            axes,
            evaluated.values_gy,
            3.0,
            3.0,
            max_gamma=2.0,
            lower_percent_dose_cutoff=10.0,
            interp_fraction=10,
            local_gamma=is_local,
            quiet=True,
        )
    ours = gamma(reference, evaluated, dose_percent=3.0, distance_mm=3.0, threshold_percent=10.0, is_local=is_local)
    both = np.isfinite(theirs) & np.isfinite(ours.values)
    assert both.sum() == np.isfinite(ours.values).sum() == np.isfinite(theirs).sum()
    difference = np.abs(theirs - ours.values)[both]
    assert np.median(difference) < 0.02
    assert np.percentile(difference, 99) < 2 * 0.087
    assert (theirs - ours.values)[both].mean() == pytest.approx(0.0, abs=0.005)
    assert ours.pass_percent == pytest.approx(100.0 * np.mean(theirs[both] <= 1.0), abs=0.1)

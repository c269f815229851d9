"""What the mean uncertainty is a mean of."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.monte_carlo.tally import Tally


def test_one_electron_in_a_voxel_of_air_does_not_hide_the_beam() -> None:
    """Twenty batches of a beam with 10 % of noise each; in one of them an electron stops in a voxel without mass.

    Without the fluke it says 2.2 %: 64 voxels, so that the mean is known to 2 % of itself; 20 % is more than chance.
    """
    random = np.random.default_rng(1)
    energy = np.zeros((20, 6, 6, 6))
    energy[:, 1:5, 1:5, 1:5] = 1.0 + 0.1 * random.standard_normal((20, 4, 4, 4))
    weight = np.ones((6, 6, 6))
    energy[7, 0, 0, 0], weight[0, 0, 0] = 1.0, 500.0
    tally = Tally((6, 6, 6))
    tally.add(energy, np.zeros((20, 4)))
    percent, voxels = tally.mean_uncertainty_percent(weight)
    assert voxels == 64
    assert percent == pytest.approx(10.0 / np.sqrt(20), rel=0.2)


def test_flukes_alone_count_for_what_they_are() -> None:
    energy = np.zeros((5, 2, 2, 2))
    energy[3, 0, 0, 0] = 1.0
    tally = Tally((2, 2, 2))
    tally.add(energy, np.zeros((5, 4)))
    assert tally.mean_uncertainty_percent(np.ones((2, 2, 2))) == (pytest.approx(100.0), 1)

"""Dose without a reference: an infinite medium absorbs all energy, and turning beam and matter changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy_invariance import ENERGY_WITHIN, TURNED_WITHIN_PERCENT, Turn, energy_balance, turned, turns


@pytest.mark.parametrize("layered", [False, True], ids=["water", "bone_lung_titanium"])
def test_all_energy_of_a_beam_is_absorbed_in_an_infinite_medium(layered: bool) -> None:
    # goal: 1.000 +- 0.002, from photons in air to absorbed dose x mass; steps of 2.5 g/cm2 lose 0.1 %
    assert energy_balance(layered=layered) == pytest.approx(1.0, abs=ENERGY_WITHIN)


def test_any_gantry_couch_and_collimator_give_the_same_dose() -> None:
    found = turned(turns(count=5, seed=11))
    # goal: 0.5 % at each point of a level dose; 0.25 % is reached
    assert np.abs(found.deviation_percent).max() <= TURNED_WITHIN_PERCENT
    # no reason to be on one side
    assert abs(found.deviation_percent.mean()) < 0.1
    # 1/5 of a voxel of 2.5 mm: the lattice cuts the penumbra elsewhere
    assert np.abs(found.edge_shift_mm).max() < 0.5


@pytest.mark.parametrize("pose", [Turn(90.0, 0.0, 0.0), Turn(180.0, 0.0, 90.0), Turn(270.0, 90.0, 45.0)], ids=str)
def test_cardinal_poses_give_the_same_dose(pose: Turn) -> None:
    found = turned([pose])
    assert np.abs(found.deviation_percent).max() <= TURNED_WITHIN_PERCENT
    assert np.abs(found.edge_shift_mm).max() < 0.5


def test_a_wrongly_turned_insert_would_be_seen() -> None:
    """The check itself: matter that stays while the collimator turns gives another dose."""
    found = turned([Turn(0.0, 0.0, 180.0)], carried=False)
    assert np.abs(found.deviation_percent).max() > 4.0 * TURNED_WITHIN_PERCENT

"""Where the dose is highest, and what gets half of the prescription apart from the target."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.evaluate.hot_spot import HotSpot, hot_spot
from rtsim.geometry.grid import Grid
from rtsim.phantom.structure import Role, Structure

GRID = Grid((20, 20, 40), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def box(name: str, role: Role, x: slice) -> Structure:
    """Voxels 8 to 11 along z and y; ``x`` along x."""
    drawn = np.zeros(GRID.shape, dtype=np.float32)
    drawn[8:12, 8:12, x] = 1.0
    return Structure.from_coverage(name, role, GRID, drawn)


def found(*boxes: tuple[slice, slice, float]) -> HotSpot:
    """24 Gy in a target at x index 4 to 7; (z, x) boxes of other doses."""
    values = np.ones(GRID.shape, dtype=np.float32)
    values[8:12, 8:12, 4:8] = 24.0
    for z, x, gy in boxes:
        values[z, 8:12, x] = gy
    body = Structure.from_coverage("external", Role.EXTERNAL, GRID, np.ones(GRID.shape, dtype=np.float32))
    dose = Dose(values_gy=values, grid=GRID, fractions=1, engine="toy")
    return hot_spot(dose, box("PTV", Role.PTV, slice(4, 8)), body, 24.0)


def test_half_of_the_dose_apart_from_the_target_is_told_with_its_place() -> None:
    spot = found((slice(8, 12), slice(30, 34), 14.0))
    (island,) = spot.islands
    assert island.volume_cm3 == pytest.approx(4 * 4 * 4 * 0.008)
    assert island.max_gy == pytest.approx(14.0)
    assert island.point_mm[0] == pytest.approx(60.0)
    assert island.from_target_mm == pytest.approx(60.0 - 14.0)  # its nearest corner, from the target's last voxel
    assert "apart from the target, more than 50 %: 0.5 cm3, up to 14.0 Gy at (60, 16, 16) mm, 46 mm" in spot.apart


def test_what_hangs_together_with_the_target_or_is_a_voxel_or_two_is_no_island() -> None:
    assert found((slice(8, 12), slice(8, 20), 14.0)).islands == ()  # touches the target
    assert found((slice(12, 14), slice(8, 12), 14.0)).islands == ()  # by an edge
    assert found((slice(8, 9), slice(30, 32), 14.0)).islands == ()  # 0.064 cm3
    assert found((slice(8, 12), slice(30, 34), 11.9)).islands == ()  # below half
    assert found().apart == ""


def test_the_largest_islands_come_first_and_few_are_told() -> None:
    places = [(slice(0, 3), slice(20, 22 + n), 13.0 + n) for n in range(1, 4)]
    spread = [(slice(z, z + 3), x, gy) for z, (_, x, gy) in zip((0, 5, 16), places, strict=True)]
    spot = found(*spread, (slice(8, 12), slice(34, 37), 20.0), (slice(0, 3), slice(30, 32), 13.0))
    volumes = [i.volume_cm3 for i in spot.islands]
    assert len(volumes) == 5
    assert volumes == sorted(volumes, reverse=True)
    assert spot.apart.endswith("; and 2 more")


def test_a_target_smaller_than_a_voxel_is_in_its_own_region() -> None:
    drawn = np.zeros(GRID.shape, dtype=np.float32)
    drawn[9, 9, 5] = 0.2
    values = np.ones(GRID.shape, dtype=np.float32)
    values[8:12, 8:12, 4:8] = 24.0
    body = Structure.from_coverage("external", Role.EXTERNAL, GRID, np.ones(GRID.shape, dtype=np.float32))
    dose = Dose(values_gy=values, grid=GRID, fractions=1, engine="toy")
    assert hot_spot(dose, Structure.from_coverage("PTV", Role.PTV, GRID, drawn), body, 24.0).islands == ()

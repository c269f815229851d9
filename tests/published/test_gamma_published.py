"""Gamma of a published case with known values.

source: the regression set of pymedphys (its tests/gamma/test_gamma_shell.py): a box of 1.015 within a box of 1, on
voxels of 0.1 mm, 3 %/0.3 mm, no threshold; expected values as published there, to one decimal: 0.5 where both are
dosed (1.5 % of 3 %), and 0.4, 0.7, 1.0 at one, two and three voxels from the edge (shells of 0.03 mm, of which those
at 0.12, 0.21 and 0.30 mm are the first beyond the edge).
"""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.evaluate import gamma
from rtsim.geometry.grid import Grid

SHAPE = (10, 12, 14)


def boxes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reference, evaluated, expected = (np.zeros(SHAPE) for _ in range(3))
    reference[3:-2, 4:-2, 5:-2] = 1.015
    evaluated[2:-2, 2:-2, 2:-2] = 1.0
    for depth, value in ((2, 0.4), (3, 0.7), (4, 1.0)):
        inside = slice(depth, -depth)
        expected[inside, inside, inside] = value
    expected[3:-2, 4:-2, 5:-2] = 0.5
    return reference, evaluated, expected


@pytest.mark.parametrize(
    "part",
    [np.s_[:, :, :], np.s_[5:6, :, :], np.s_[5:6, 5:6, :], np.s_[:, 5:6, 5:6]],
    ids=["volume", "plane", "line along x", "line along z"],
)
def test_boxes_of_pymedphys(part: tuple[slice, ...]) -> None:
    reference, evaluated, expected = (volume[part] for volume in boxes())
    grid = Grid(reference.shape, (0.1, 0.1, 0.1), (0.0, 0.0, 0.0))
    result = gamma(
        Dose(values_gy=reference, grid=grid),
        Dose(values_gy=evaluated, grid=grid),
        dose_percent=3.0,
        distance_mm=0.3,
        threshold_percent=0.0,
    )
    assert result.evaluated_voxels == grid.size
    np.testing.assert_array_equal(np.round(result.values, 1), np.float32(expected))


def test_planes_of_pymedphys() -> None:
    """The volume slice by slice has the published plane in its sixth slice."""
    reference, evaluated, expected = boxes()
    grid = Grid(SHAPE, (0.1, 0.1, 0.1), (0.0, 0.0, 0.0))
    doses = [Dose(values_gy=v, grid=grid) for v in (reference, evaluated)]
    result = gamma(*doses, dose_percent=3.0, distance_mm=0.3, threshold_percent=0.0, is_planar=True)
    np.testing.assert_array_equal(np.round(result.values[5], 1), np.float32(expected[5]))

"""A dose grid on which a limit cannot be judged is told in the certificate."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.dose.result import Dose
from rtsim.optimize.delivered import certify
from rtsim.protocol import Priority, Sense
from tests.unit import optimize_toy as toy


@pytest.mark.parametrize(
    ("spacing_mm", "given_gy", "warns"),
    [
        (2.0, 9.95, False),  # fine enough at any dose
        (2.5, 9.6, False),  # 9.6 and 3 % hold 10
        (2.5, 9.8, True),
        (3.0, 9.6, False),  # 4 %
        (3.0, 9.7, True),
        (4.0, 9.55, True),  # 5 %
        (4.0, 10.5, True),  # broken anyway, and by more on a finer grid
    ],
)
def test_a_coarse_dose_grid_is_said_where_it_decides(spacing_mm: float, given_gy: float, warns: bool) -> None:
    phantom = toy.phantom(spacing_mm)
    limit = toy.goal("spinal_cord", "D0.035cc", 10.0, "Gy", Priority.HARD)
    dose = Dose(values_gy=np.full(phantom.grid.shape, given_gy, dtype=np.float32), grid=phantom.grid)
    (certificate,), _ = certify((limit,), phantom, toy.prescription(), dose)
    assert ("COARSE DOSE GRID" in certificate.statement) is warns


def test_a_goal_from_below_is_not_about_the_near_maximum_of_a_cord() -> None:
    phantom = toy.phantom(3.0)
    wanted = toy.goal("PTV", "D95%", 10.0, "Gy", Priority.HARD, Sense.AT_LEAST)
    dose = Dose(values_gy=np.full(phantom.grid.shape, 10.1, dtype=np.float32), grid=phantom.grid)
    (certificate,), _ = certify((wanted,), phantom, toy.prescription(), dose)
    assert "COARSE" not in certificate.statement

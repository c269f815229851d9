"""Dose on refined grids: the order with which it converges, and what is left on the usual 2.5 mm."""

from __future__ import annotations

import pytest

from benchmarks.accuracy_invariance import LEAST_ORDER, refined


@pytest.mark.parametrize("gantry_deg", [0.0, 30.0])
@pytest.mark.parametrize("field_mm", [40.0, 37.0])  # edges on voxel faces, and between them
def test_dose_converges_with_the_second_order_of_linear_interpolation(field_mm: float, gantry_deg: float) -> None:
    found = refined(field_mm, gantry_deg)
    assert found.order >= LEAST_ORDER
    # what Richardson leaves at 2.5 mm: the goal of a refined grid is 0.5 % of the dose
    assert max(map(abs, found.axis_percent)) <= 0.5
    # no goal is named for the penumbra: 0.5 % is reached, where the dose falls by 10 % a millimeter
    assert found.penumbra_percent <= 2.0

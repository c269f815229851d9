"""Positions, monitor units and angles that no machine can set: each its own error with field, value and unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams import Aperture, Beam, ControlPoint, static_control_points
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine import Machine, load_machine

MACHINE = load_machine("generic_6x")
OPEN = np.tile([-10.0, 10.0], (60, 1))


def beam(machine: Machine, aperture: Aperture) -> Beam:
    points = static_control_points(((aperture, 10.0),), 0.0)
    return Beam(machine=machine, isocenter_mm=(0, 0, 0), gantry_deg=0.0, name="B", control_points=points)


def shape(leaves: np.ndarray | None = OPEN, x: tuple[float, float] = (-20.0, 20.0)) -> Aperture:
    return Aperture(jaws_x_mm=x, jaws_y_mm=(-20.0, 20.0), leaf_pairs_mm=leaves)


def changed(row: int, left: float, right: float) -> np.ndarray:
    leaves = OPEN.copy()
    leaves[row] = left, right
    return leaves


def test_positions_that_are_not_numbers() -> None:
    with pytest.raises(InputError, match=r"leaf_pairs_mm of leaf pair 7 is \[nan, 10.0\]; finite positions in mm"):
        shape(changed(7, float("nan"), 10.0))
    with pytest.raises(InputError, match=r"jaws_x_mm is \(-inf, 20.0\); two finite positions"):
        shape(x=(float("-inf"), 20.0))
    with pytest.raises(InputError, match=r"shape \(60, 3\); \(n leaf pairs, 2\)"):
        shape(np.zeros((60, 3)))


def test_leaves_that_cross() -> None:
    with pytest.raises(InputError, match=r"leaf pair 7 crosses: left 5 mm > right -5 mm.*left <= right"):
        shape(changed(7, 5.0, -5.0))


def test_a_field_beyond_the_jaws() -> None:
    with pytest.raises(MachineLimitError, match=r"jaws_x_mm \(-230.0, 20.0\) mm reach beyond the 400 mm field of .*6x"):
        beam(MACHINE, shape(x=(-230.0, 20.0)))
    cobalt = load_machine("cobalt60")
    with pytest.raises(
        MachineLimitError, match=r"beyond the 350 mm field of cobalt60; its jaws go from -175 to 175 mm"
    ):
        Beam.open_field(cobalt, (360.0, 100.0))
    short = replace(MACHINE, jaws=replace(MACHINE.jaws, limit_mm=100.0))  # type: ignore[type-var]
    with pytest.raises(MachineLimitError, match="its jaws go from -100 to 100 mm"):
        Beam.open_field(short, (220.0, 100.0))
    with pytest.raises(InputError, match="two widths > 0"):
        Beam.open_field(MACHINE, (float("nan"), 100.0))


def test_leaves_beyond_their_reach_or_of_another_machine() -> None:
    beam(MACHINE, shape(changed(3, -201.0, 201.0)))  # parked: allowed
    with pytest.raises(MachineLimitError, match=r"leaf pair 3 stands at -205 and 10 mm; .* from -201 to 201 mm"):
        beam(MACHINE, shape(changed(3, -205.0, 10.0)))
    with pytest.raises(MachineLimitError, match="60 leaf pairs given; generic_6x_agility has 80"):
        beam(load_machine("generic_6x_agility"), shape())
    with pytest.raises(MachineLimitError, match="no jaws along BLD x; give the positions of its leaves"):
        beam(load_machine("generic_6x_agility"), shape(None))


def test_monitor_units_and_angles_of_control_points() -> None:
    def arc(units: float, gantry: float) -> Beam:
        points = (
            ControlPoint(cumulative_monitor_units=0.0, aperture=shape(), gantry_deg=0.0),
            ControlPoint(cumulative_monitor_units=units, aperture=shape(), gantry_deg=gantry),
        )
        return Beam(machine=MACHINE, isocenter_mm=(0, 0, 0), gantry_deg=0.0, name="B", control_points=points)

    assert arc(10.0, 5.0).is_arc
    with pytest.raises(InputError, match=r"cumulative_monitor_units of beam 'B', control point 1, is nan; .* MU"):
        arc(float("nan"), 5.0)
    with pytest.raises(InputError, match="gantry_deg of control point 1 is nan"):
        arc(10.0, float("nan"))
    with pytest.raises(InputError, match="never fall"):
        arc(-10.0, 5.0)


def test_an_open_field_of_a_head_without_x_jaws_is_shaped_by_its_leaves() -> None:
    field = Beam.open_field(load_machine("generic_6x_agility"), (60.0, 80.0))
    ((aperture, _),) = field.segments()
    assert aperture.leaf_pairs_mm is not None
    np.testing.assert_array_equal(aperture.leaf_pairs_mm, np.tile([-30.0, 30.0], (80, 1)))
    assert aperture.jaws_y_mm == (-40.0, 40.0)

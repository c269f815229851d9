"""Wedges: the isodose at 100 mm depth is tilted by the wedge's angle (ICRU 24), physical and virtual alike."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rtsim.beams import Beam
from rtsim.dose import CollapsedCone, Dose
from rtsim.geometry.grid import Grid
from rtsim.machine import Wedge, load_machine
from rtsim.materials import get
from rtsim.phantom.phantom import Phantom

MACHINE = load_machine("generic_6x")
GRID = Grid.covering((-160.0, -100.0, -160.0), (160.0, 80.0, 160.0), (5.0, 4.0, 5.0))
WATER = Phantom.from_density(
    np.ones(GRID.shape, dtype=np.float32), np.zeros(GRID.shape, dtype=np.uint8), (get("water"),), GRID
)


@cache
def dose(name: str, orientation_deg: float = 0.0) -> Dose:
    """100 mm field, isocenter at 100 mm depth, through the wedge of that name ("" for none)."""
    wedge: Wedge | None = MACHINE.wedge(name, orientation_deg=orientation_deg) if name else None
    beam = Beam.open_field(MACHINE, (100.0, 100.0), wedge=wedge)
    return CollapsedCone(cones=32).forward(WATER, [beam])


def at(found: Dose, *point_mm: float) -> float:
    return float(found.at(np.array(point_mm)))


@pytest.mark.parametrize("angle", [15.0, 30.0, 45.0, 60.0])
@pytest.mark.parametrize("kind", ["physical", "virtual"])
def test_the_isodose_is_tilted_by_the_angle_of_the_wedge(kind: str, angle: float) -> None:
    wedged = dose(f"{kind}_{angle:g}")
    # the isodose through (0, 100 mm deep), followed across the middle half of the field: where is the same dose?
    level = at(wedged, 0.0, 0.0, 0.0)
    depth = np.arange(-70.0, 71.0, 0.5)
    sides = []
    for x in (-12.5, 12.5):
        line = wedged.at(np.stack([np.full_like(depth, x), depth, np.zeros_like(depth)], axis=1))
        sides.append(float(np.interp(-level, -line, depth)))
    tilt = np.degrees(np.arctan2(sides[1] - sides[0], 25.0))
    # 2 degrees: what IEC 60731 class limits and physics checks of wedges allow [M]; the toe (+x) is the hot side
    assert tilt == pytest.approx(angle, abs=2.0)


def test_a_wedge_takes_its_factor_and_a_virtual_one_none() -> None:
    for name in ("physical_15", "physical_60", "virtual_60"):
        ratio = at(dose(name), 0.0, 0.0, 0.0) / at(dose(""), 0.0, 0.0, 0.0)
        # the convex fluence of a steep wedge scatters a little more to the axis than a level one
        assert ratio == pytest.approx(MACHINE.wedge(name).factor, rel=0.015)


def test_a_turned_wedge_is_the_same_wedge_turned() -> None:
    along_y, along_x = dose("physical_30", 90.0), dose("physical_30")
    for a, b in ((30.0, 10.0), (-20.0, 5.0)):  # BLD +y is +z here
        assert at(along_y, b, 0.0, a) == pytest.approx(at(along_x, a, 0.0, b), rel=0.005)

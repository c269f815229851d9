"""A monitor unit is what the machine file says it is."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim import phantoms
from rtsim.beams.model import Beam
from rtsim.dose import CollapsedCone, forward
from rtsim.machine import load_machine


@pytest.mark.parametrize("name", ["generic_6x", "generic_10fff", "cobalt60"])
def test_the_calibration_field_gives_the_calibration_dose_in_a_tank(name: str) -> None:
    machine = load_machine(name)
    setup = machine.calibration
    assert setup is not None
    tank = phantoms.water_box(300.0, spacing_mm=5.0)
    surface = -150.0
    beam = Beam.open_field(
        machine,
        setup.field_mm,
        isocenter_mm=(0.0, surface + machine.sad_mm - setup.ssd_mm, 0.0),
        monitor_units=100.0,
    )
    dose = forward(tank, beam, engine=CollapsedCone())
    at_depth = float(dose.at(np.array([0.0, surface + setup.depth_mm, 0.0])))
    # the tank of the calibration is as wide, and ends 16 cm behind the point: 0.1 % of scatter from behind
    assert at_depth / 100.0 == pytest.approx(setup.dose_gy_per_mu, rel=3e-3)

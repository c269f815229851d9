"""Key numbers that must not change unawares, and that they do not depend on the number of threads."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest

import rtsim as rt
from rtsim.beams.apertures import parked_leaves
from rtsim.beams.model import Aperture, Beam, static_control_points
from rtsim.dose import Dose
from rtsim.geometry.coverage import coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Sphere
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import names
from tests.golden.stored import Golden, change

SURFACE_MM = -150.0


@cache
def water() -> Phantom:
    return rt.phantoms.water_box(side_mm=300.0, spacing_mm=5.0)


def axis_gy(dose: Dose, depth_mm: float) -> float:
    return float(dose.at(np.array([0.0, SURFACE_MM + depth_mm, 0.0])))


def open_beam() -> Beam:
    return Beam.open_field(
        rt.load_machine("generic_6x"), (100.0, 100.0), isocenter_mm=(0.0, SURFACE_MM, 0.0), monitor_units=1.0
    )


def l_shaped_beam() -> Beam:
    """Millennium 120: 60 x 20 mm below, 20 x 40 mm above it on the side of -x; the rest closed and parked."""
    machine = rt.load_machine("generic_6x")
    edges = machine.leaf_edges_mm
    leaves = parked_leaves(machine, (-30.0, 30.0))
    leaves[(edges[:-1] >= -20.0) & (edges[1:] <= 0.0)] = (-30.0, 30.0)
    leaves[(edges[:-1] >= 0.0) & (edges[1:] <= 40.0)] = (-30.0, -10.0)
    aperture = Aperture(jaws_x_mm=(-32.0, 32.0), jaws_y_mm=(-20.0, 40.0), leaf_pairs_mm=leaves)
    return Beam(
        machine=machine,
        isocenter_mm=(0.0, SURFACE_MM + 50.0, 0.0),
        gantry_deg=0.0,
        control_points=static_control_points(((aperture, 1.0),), 0.0),
    )


def test_water_10x10_6x(golden: Golden) -> None:
    dose = rt.dose.forward(water(), open_beam())
    got = {f"gy_per_mu_{depth:g}mm": axis_gy(dose, depth) for depth in (5.0, 15.0, 50.0, 100.0, 200.0)}
    got |= {f"pdd_percent_{depth:g}mm": 100.0 * axis_gy(dose, depth) / dose.max_gy for depth in (50.0, 100.0, 200.0)}
    got["mean_gy_per_mu"] = float(dose.values_gy.mean(dtype=np.float64))
    golden.check(got)


def test_l_shaped_mlc_6x(golden: Golden) -> None:
    dose = rt.dose.forward(water(), l_shaped_beam())
    places = {
        "foot_left": (20.0, -10.0),
        "corner": (-20.0, -10.0),
        "upright": (-20.0, 20.0),
        "under_leaves": (20.0, 25.0),
        "beyond": (0.0, 80.0),
    }
    got = {}
    for name, (x, z) in places.items():
        for depth in (15.0, 100.0):
            got[f"gy_per_mu_{name}_{depth:g}mm"] = float(dose.at(np.array([x, SURFACE_MM + depth, z])))
    golden.check(got)


def test_spine_t8_epidural(golden: Golden) -> None:
    phantom = rt.load_phantom("spine_t8_epidural")
    got = {f"{name}_cm3": phantom.structures[name].volume_cm3 for name in phantom.structures}
    got["mean_density_g_cm3"] = float(phantom.density_g_cm3.mean(dtype=np.float64))
    golden.check(got)


def analytic_dose() -> tuple[Dose, Structure]:
    """A Gaussian hill of 20 Gy, sigma 12, 15, 18 mm along x, y, z, on 2 mm; a ball of 10 mm off its center."""
    grid = Grid((41, 41, 41), (2.0, 2.0, 2.0), (-40.0, -40.0, -40.0))
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    hill = 20.0 * np.exp(-0.5 * ((x / 12.0) ** 2 + (y / 15.0) ** 2 + (z / 18.0) ** 2))
    ball = coverage(Sphere((1.3, -0.7, 2.1), 10.0), grid)
    return Dose(values_gy=hill.astype(np.float32), grid=grid), Structure.from_coverage("ball", Role.PTV, grid, ball)


def test_metrics_of_an_analytic_dose(golden: Golden) -> None:
    dose, ball = analytic_dose()
    asked = ("D98%", "D95%", "D50%", "D2%", "D0.035cc", "D1cc", "V15Gy", "V100%", "Dmean", "Dmax")
    indices = ("conformity_paddick", "gradient_index", "homogeneity_icru83")
    got = {name: rt.evaluate.metric(dose, ball, name, prescription_gy=14.0).value for name in asked + indices}
    got["volume_cm3"] = ball.volume_cm3
    golden.check(got)


def test_protocol_goals(golden: Golden) -> None:
    got: dict[str, float] = {}
    for name in names():
        protocol = rt.load_protocol(name)
        others = {c.name: c.goals for c in protocol.cord_limits if c.name != protocol.cord_limits_name}
        for limits, goals in {protocol.cord_limits_name: protocol.goals, **others}.items():
            for goal in goals:
                level = "" if goal.dose_gy is None else f" at {goal.dose_gy:g} Gy"
                key = (
                    f"{name} {limits}: {goal.structure} {goal.metric} {goal.sense.value} {goal.unit}{level}, "
                    f"{goal.priority.value}, {goal.source.standing.value}"
                )
                assert key not in got
                got[key] = goal.value
        got[f"{name}: cord_margin_mm"] = protocol.cord_margin_mm
        got[f"{name}: default dose_gy"] = protocol.default_level.dose_gy
    golden.check(got)


def test_the_dose_does_not_depend_on_the_number_of_threads() -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here; NUMBA_NUM_THREADS must be 2 or more to compare")
    before = numba.get_num_threads()
    doses = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            doses.append(rt.dose.forward(water(), l_shaped_beam()).values_gy)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(doses[0], doses[1])


def test_a_table_notices_what_moved_and_what_is_gone(tmp_path: Path) -> None:
    log: list[str] = []
    path = tmp_path / "table.json"
    Golden(path, update=True, log=log).check({"a": 1.0, "b": 0.0})
    table = Golden(path, update=False, log=log)
    table.check({"a": 1.0 + 5e-7, "b": 0.0})
    with pytest.raises(AssertionError, match=r"largest change 2\.00e-06 in a"):
        table.check({"a": 1.0 + 2e-6, "b": 0.0})
    with pytest.raises(AssertionError, match="0 new, 1 gone"):
        table.check({"a": 1.0})
    Golden(path, update=True, log=log).check({"a": 1.5, "b": 0.0})
    assert log[1].startswith("table.json: 0 new, 0 gone, largest change 5.00e-01 in a (1.0 -> 1.5)")
    assert change(0.0, 1e-12) == float("inf")

"""Calibration of the Monte Carlo engine: the dose at a point from voxels around it, and the machine's own Gy per MU."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from rtsim.beams.model import Beam
from rtsim.dose import CollapsedCone
from rtsim.dose.collapsed_cone.beam_dose import photons_per_unit as by_collapsed_cone
from rtsim.dose.fluence import FluenceMap, Raster, fluence_maps
from rtsim.dose.monte_carlo import calibration
from rtsim.dose.monte_carlo.calibration import (
    SEED,
    SIGMA,
    FieldPart,
    PointDose,
    photon_reference,
    photons_per_unit,
    point_dose,
)
from rtsim.dose.monte_carlo.point import PointReader
from rtsim.dose.monte_carlo.settings import Physics
from rtsim.errors import ConvergenceError
from rtsim.geometry.grid import Grid
from rtsim.machine import load_machine, point_source
from rtsim.materials import get
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Float32Array, FloatArray

TANK = Grid.covering((-60.0, 0.0, -60.0), (60.0, 260.0, 60.0), (5.0, 5.0, 5.0))
FLAT = FluenceMap(Raster(-60.0, -60.0, 1.0, 120, 120), np.ones((120, 120)), 0.0)


def reader(fluence: FluenceMap = FLAT, depth_mm: float = 100.0) -> PointReader:
    return PointReader.of(TANK, fluence, 1000.0, depth_y_mm=depth_mm, half_mm=(25.0, 50.0))


@pytest.mark.parametrize("depth", [100.0, 97.5, 103.3])
def test_the_dose_at_a_point_between_voxels(depth: float) -> None:
    """Inverse square, attenuation and a profile that falls by 3 % over 50 mm; the point need not be a center.

    What is left: products of squares, 2 x (0.03/4) (0.25^2/2)/9 = 5e-5, and the quartic term of exp, 1e-5.
    """
    z, y, x = np.meshgrid(TANK.z_mm, TANK.y_mm, TANK.x_mm, indexing="ij")
    squares = x**2 + z**2 + 2.0 * 25.0 / 12.0  # means over voxels
    dose = (1000.0 / (1000.0 + y)) ** 2 * np.exp(-0.005 * y) * (1.0 - 0.03 * squares / 2500.0)
    wanted = (1000.0 / (1000.0 + depth)) ** 2 * math.exp(-0.005 * depth)
    assert reader(depth_mm=depth).read(dose) == pytest.approx(wanted, rel=2e-4)


def test_a_peaked_fluence_does_not_fool_it() -> None:
    """Without flattening filter the fluence is a cone about the axis; 0.83 of the dose follow it, as is assumed."""
    x = FLAT.raster.x_mm
    cone = FLAT.with_values(1.0 - 0.0018 * np.hypot(x[None, :], x[:, None]))
    z, y, x = np.meshgrid(TANK.z_mm, TANK.y_mm, TANK.x_mm, indexing="ij")
    scale = 1000.0 / (1000.0 + y)
    dose = scale**2 * (0.17 + 0.83 * (1.0 - 0.0018 * scale * np.hypot(x, z)))
    # the mean over the 10 mm that a chamber covers: the mean distance from the middle of a square is 0.3826 of its side
    there = 1000.0 / 1100.0
    wanted = there**2 * (0.17 + 0.83 * (1.0 - 0.0018 * there * 3.826))
    assert reader(cone).read(dose) == pytest.approx(wanted, rel=1e-3)


def test_reading_is_linear_and_takes_batches_at_once() -> None:
    rng = np.random.default_rng(1)
    doses = rng.random((3, *TANK.shape))
    at = reader()
    one_by_one = [float(at.read(d)) for d in doses]
    assert at.read(doses) == pytest.approx(one_by_one)
    assert at.read(doses.sum(axis=0)) == pytest.approx(sum(one_by_one))


@pytest.mark.parametrize("name", ["generic_6x", "generic_10fff"])
def test_the_reference_of_a_dose_without_noise(name: str) -> None:
    """The collapsed cone's dose of the calibration field: 10 mm across at 100 mm depth, as it is, within 0.1 %."""
    machine = load_machine(name)
    machine = replace(machine, calibration=None, electrons=replace(machine.electrons, fraction=0.0))
    beam = Beam.open_field(machine, (100.0, 100.0), isocenter_mm=(0.0, 0.0, 0.0), monitor_units=1.0)
    water = Phantom.from_density(
        np.ones(TANK.shape, np.float32), np.zeros(TANK.shape, np.uint8), (get("water"),), TANK, name="tank"
    )
    dose = CollapsedCone(cones=24).forward(water, [beam]).values_gy
    axis = dose[11:13, :, 11:13].mean(axis=(0, 2))
    wanted = math.exp(np.interp(100.0, TANK.y_mm, np.log(axis)))
    assert reader(fluence_maps(beam)[0]).read(dose) == pytest.approx(wanted, rel=1e-3)


@dataclass
class Noise:
    """A simulation whose batches hold a known dose with a known spread."""

    mean: float
    sigma: float
    calls: int = 0

    def batches(self, seed: int, first_batch: int, count: int, histories: int) -> tuple[Float32Array, FloatArray]:
        self.calls += 1
        rng = np.random.default_rng([seed, first_batch])
        scale = 1.0 + self.sigma * rng.standard_normal(count)
        energy = np.broadcast_to(scale[:, None, None, None], (count, *TANK.shape)) * self.mean * histories
        return energy.astype(np.float32), np.zeros((count, 4))


def parts(*noises: Noise) -> list[FieldPart]:
    return [FieldPart(simulation=n, seed=SEED + k, histories=10, gy_per_mev=2.0) for k, n in enumerate(noises)]


def test_parts_are_simulated_until_their_sum_is_known() -> None:
    """3 % a batch of 3/4 of the dose and 1 % of the rest: 130 batches for 0.2 %; the dose within 4 sigma (6e-5)."""
    first, second = Noise(3.0, 0.03), Noise(1.0, 0.01)
    one = float(reader().read(np.ones(TANK.shape)))
    found = point_dose(parts(first, second), reader())
    assert found.sigma_gy <= SIGMA * found.dose_gy
    assert abs(found.dose_gy / (one * 8.0) - 1.0) < 4.0 * SIGMA
    assert first.calls == second.calls
    # the standard deviation of n batches is known to 1/sqrt(2 n), 6 %: rounds of 16 on either side
    assert 5 <= first.calls <= 12


def test_a_point_without_dose_is_an_error() -> None:
    with pytest.raises(ConvergenceError, match="Is the point in the calibration field"):
        point_dose(parts(Noise(0.0, 0.0)), reader())


def test_a_machine_without_calibration_has_photons_for_units() -> None:
    assert photons_per_unit(point_source(), Physics()) == 1.0


def test_a_machine_that_is_read_twice_is_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count(parts: list[FieldPart], reader: PointReader) -> PointDose:
        calls.append(len(parts))
        return PointDose(dose_gy=1.0, sigma_gy=0.0)

    monkeypatch.setattr(calibration, "point_dose", count)
    physics = Physics(electron_cut_mev=0.201)  # of no other test: what is counted here must not stay for them
    first, again = load_machine("generic_6fff"), load_machine("generic_6fff")
    for machine in (first, again):
        photon_reference(machine, physics)
    assert calls == [2]
    photon_reference(replace(first, sad_mm=1001.0), physics)
    assert calls == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generic_6x", "generic_6fff", "cobalt60"])
def test_calibration_is_that_of_the_collapsed_cone_within_its_accuracy(name: str) -> None:
    """The collapsed cone is held to 1 % of EGSnrc in water; 4 sigma of the Monte Carlo beside it."""
    machine = load_machine(name)
    ratio = photons_per_unit(machine, Physics()) / by_collapsed_cone(machine)
    assert abs(ratio - 1.0) < 0.01 + 4.0 * SIGMA


@pytest.mark.slow
def test_another_split_finds_the_same_reference() -> None:
    """What is expected does not depend on the sites per photon; 4 sigma of the difference (6e-5)."""
    machine = load_machine("generic_6x")
    one, other = (photon_reference(machine, Physics(split=split)) for split in (12, 4))
    assert abs(one.dose_gy - other.dose_gy) < 4.0 * math.hypot(one.sigma_gy, other.sigma_gy)

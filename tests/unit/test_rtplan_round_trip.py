"""RTPLAN out and in again: the same control points and the same dose, for every technique of delivery.

Decimal strings hold 16 characters: of a position below 1000 mm at least 11 decimals, of a meterset weight 14. So the
control points that come back are the same to 1e-11 mm and 1e-11 MU, and their dose to the rounding of float32.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from rtsim.beams import rectangular_aperture
from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.dose import PencilBeam
from rtsim.io import read_plan, write_dicom
from rtsim.machine import Machine, load_machine
from rtsim.optimize.plan import Plan
from rtsim.optimize.sliding_window_beam import SweepSettings, swept_beam
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription
from tests.unit import optimize_toy as toy

DS_MM = 1e-11
ISOCENTER = (1.2345678901234567, -10.0 / 3.0, 7.0)


def water() -> Phantom:
    hu = np.full((16, 24, 24), -1000.0)
    hu[1:-1, 2:-2, 2:-2] = 0.0
    target = np.zeros(hu.shape)
    target[5:11, 9:15, 9:15] = 1.0
    return Phantom.from_arrays(hu, (8.0, 8.0, 8.0), (-92.0, -92.0, -60.0), {"PTV": target})


def step_and_shoot(machine: Machine) -> Beam:
    """Segments of odd monitor units; the outer pairs closed, the y jaws closed over some of the leaves."""
    segments = []
    for n in range(4):
        aperture = rectangular_aperture(machine, x_mm=(-20.0 / 3.0 - 5.0 * n, 31.0 / 7.0), y_mm=(-25.0, 10.0 * n + 5.0))
        segments.append((replace(aperture, jaws_x_mm=(-33.3, 33.3), jaws_y_mm=(-25.0, 35.0)), 11.1 / (n + 1)))
    start = Beam(machine=machine, isocenter_mm=ISOCENTER, gantry_deg=40.1, collimator_deg=12.3, couch_deg=350.0)
    return replace(start, name="steps").with_segments(tuple(segments))


def sliding_window(machine: Machine) -> Beam:
    start = replace(toy.beams((200,))[0], machine=machine, isocenter_mm=ISOCENTER, collimator_deg=90.0)
    assert start.beamlets is not None
    wanted = 40.0 + 30.0 * np.sin(start.beamlets.center_x_mm / 7.0)
    swept = swept_beam(start, wanted, machine, SweepSettings(leaf_step_mm=12.0))
    assert swept is not None
    return replace(swept.beam, name="window")


def arc(machine: Machine) -> Beam:
    """Through 0 degrees, counterclockwise, leaves, jaws and dose rate on the move."""
    points = []
    for n in range(5):
        leaves = np.array(
            rectangular_aperture(machine, x_mm=(-30.0 + n / 3.0, 20.0 + n), y_mm=(-20.0, 20.0)).leaf_pairs_mm
        )
        aperture = Aperture(jaws_x_mm=(-35.0 - n / 7.0, 40.0), jaws_y_mm=(-20.0, 20.0), leaf_pairs_mm=leaves)
        gantry = (20.0 - 40.0 * n / 4.0 * 1.01) % 360.0
        points.append(
            ControlPoint(cumulative_monitor_units=100.0 * (n / 4.0) ** 1.5, aperture=aperture, gantry_deg=gantry)
        )
    return Beam(
        machine=machine,
        isocenter_mm=ISOCENTER,
        gantry_deg=20.0,
        couch_deg=15.0,
        name="arc",
        control_points=tuple(points),
    )


def wedged(machine: Machine, orientation_deg: float) -> Beam:
    wedge = machine.wedge("physical_30" if machine.jaws and machine.jaws.along == "xy" else "motorized_60")
    return Beam.open_field(
        machine,
        (60.0, 80.0),
        gantry_deg=90.0,
        collimator_deg=270.0,
        isocenter_mm=ISOCENTER,
        wedge=replace(wedge, orientation_deg=orientation_deg),
        name=f"wedge {orientation_deg:g}",
    )


def field_in_field(machine: Machine) -> Beam:
    """A segment of the jaws alone, then one of the leaves, where the machine has both."""
    large = Beam.open_field(machine, (80.0, 80.0)).control_points[0].aperture
    small = rectangular_aperture(machine, x_mm=(-20.0, 40.0), y_mm=(-30.0, 30.0))
    start = Beam(machine=machine, isocenter_mm=ISOCENTER, gantry_deg=180.0, name="field in field")
    return start.with_segments(((large, 70.0), (small, 30.0 / 7.0)))


CASES = {
    "steps": ("generic_6fff", step_and_shoot),
    "steps without x jaws": ("generic_6x_agility", step_and_shoot),
    "window": ("generic_6x", sliding_window),
    "window without x jaws": ("generic_6x_agility", sliding_window),
    "arc": ("generic_10fff", arc),
    "wedge 0": ("generic_6x", lambda m: wedged(m, 0.0)),
    "wedge 90": ("generic_6x", lambda m: wedged(m, 90.0)),
    "wedge 270": ("generic_6x_agility", lambda m: wedged(m, 270.0)),
    "field in field": ("generic_6x", field_in_field),
}


def planned(case: str) -> Plan:
    name, make = CASES[case]
    return Plan(beams=(make(load_machine(name)),), prescription=Prescription("PTV", 30.0, 7), label=case)


def assert_same(back: Beam, beam: Beam, tolerance: float) -> None:
    np.testing.assert_allclose(back.isocenter_mm, beam.isocenter_mm, rtol=0, atol=tolerance)
    for name in ("gantry_deg", "couch_deg", "collimator_deg"):
        assert getattr(back, name) == pytest.approx(getattr(beam, name), abs=tolerance, rel=0)
    assert (back.name, back.wedge, len(back.control_points)) == (beam.name, beam.wedge, len(beam.control_points))
    for a, b in zip(back.control_points, beam.control_points, strict=True):
        assert a.cumulative_monitor_units == pytest.approx(b.cumulative_monitor_units, abs=tolerance, rel=0)
        assert a.gantry_deg == pytest.approx(b.gantry_deg, abs=tolerance, rel=0)
        np.testing.assert_allclose(a.aperture.jaws_y_mm, b.aperture.jaws_y_mm, rtol=0, atol=tolerance)
        if not beam.machine.leaves_bound_x:
            np.testing.assert_allclose(a.aperture.jaws_x_mm, b.aperture.jaws_x_mm, rtol=0, atol=tolerance)
        if b.aperture.leaf_pairs_mm is not None and a.aperture.leaf_pairs_mm is not None:
            np.testing.assert_allclose(a.aperture.leaf_pairs_mm, b.aperture.leaf_pairs_mm, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", list(CASES))
def test_the_same_control_points_and_the_same_dose_come_back(case: str, tmp_path: Path) -> None:
    plan, phantom = planned(case), water()
    files = write_dicom(tmp_path / "one", phantom, plan, ct=False)
    back = read_plan(files.folder)
    assert back.notes == ()
    assert (back.label, back.prescription) == (plan.label, plan.prescription)
    assert_same(back.beams[0], plan.beams[0], DS_MM)
    engine = PencilBeam(spacing_mm=8.0)
    doses = [engine.forward(phantom, p.beams, fractions=7).values_gy for p in (plan, back)]
    np.testing.assert_allclose(doses[1], doses[0], rtol=2e-6, atol=1e-7 * doses[0].max())


@pytest.mark.parametrize("case", ["steps", "window", "arc"])
def test_what_was_read_is_written_again_bit_by_bit(case: str, tmp_path: Path) -> None:
    """Positions and angles are those of the file from the first time on; monitor units to the digits of a weight."""
    once = read_plan(write_dicom(tmp_path / "one", water(), planned(case), ct=False).folder)
    twice = read_plan(write_dicom(tmp_path / "two", water(), once, ct=False).folder)
    for a, b in zip(once.beams[0].control_points, twice.beams[0].control_points, strict=True):
        assert (a.aperture.jaws_x_mm, a.aperture.jaws_y_mm, a.gantry_deg) == (
            b.aperture.jaws_x_mm,
            b.aperture.jaws_y_mm,
            b.gantry_deg,
        )
        np.testing.assert_array_equal(a.aperture.leaf_pairs_mm, b.aperture.leaf_pairs_mm)
        assert a.cumulative_monitor_units == pytest.approx(b.cumulative_monitor_units, rel=1e-13)


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("steps", "STATIC"),
        ("field in field", "STATIC"),
        ("window", "DYNAMIC"),
        ("arc", "DYNAMIC"),
        ("wedge 0", "STATIC"),
    ],
)
def test_a_beam_is_dynamic_when_something_moves_while_it_is_on(case: str, kind: str, tmp_path: Path) -> None:
    # source: DICOM PS3.3 C.8.8.14 (Beam Type): STATIC leaves all attributes unchanged between pairs of control points
    # with changing meterset weight; a step-and-shoot beam is STATIC
    tags = pydicom.dcmread(write_dicom(tmp_path / "out", water(), planned(case), ct=False).plan)
    assert tags.BeamSequence[0].BeamType == kind
    assert tags.BeamSequence[0].TreatmentDeliveryType == "TREATMENT"
    assert float(tags.BeamSequence[0].ControlPointSequence[-1].CumulativeMetersetWeight) == 1.0


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("case", ["steps", "window", "arc", "wedge 270", "field in field"])
def test_the_validator_finds_no_error(case: str, tmp_path: Path) -> None:
    files = write_dicom(tmp_path / "out", water(), planned(case), ct=False)
    run = subprocess.run(["dciodvfy", str(files.plan)], capture_output=True, text=True, check=False)
    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []

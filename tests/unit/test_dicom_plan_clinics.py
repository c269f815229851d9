"""RTPLAN of other planning systems: what they leave out, repeat or count otherwise; and what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from rtsim.beams import rectangular_aperture
from rtsim.beams.model import Beam, ControlPoint
from rtsim.errors import DicomError
from rtsim.io import read_plan, scan_dicom, write_dicom
from rtsim.io.dicom_plan import read_plan_file
from rtsim.machine import load_machine
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription

Change = Callable[[Dataset], None]


def phantom() -> Phantom:
    hu = np.zeros((6, 8, 8))
    return Phantom.from_arrays(hu, (10.0,) * 3, (-35.0, -35.0, -25.0), {"PTV": np.ones_like(hu)})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arc of 10 degrees, a wedged field, two segments."""
    machine = load_machine("generic_6x")
    aperture = rectangular_aperture(machine, x_mm=(-20.0, 30.0), y_mm=(-25.0, 25.0))
    points = tuple(
        ControlPoint(cumulative_monitor_units=u, aperture=aperture, gantry_deg=g) for u, g in ((0.0, 0.0), (80.0, 10.0))
    )
    arc = Beam(machine=machine, isocenter_mm=(1.0, 2.0, 3.0), gantry_deg=0.0, name="arc", control_points=points)
    wedge = replace(machine.wedge("physical_60"), orientation_deg=90.0)
    wedged = Beam.open_field(machine, (50.0, 60.0), wedge=wedge, name="wedged")
    small = rectangular_aperture(machine, x_mm=(-5.0, 5.0), y_mm=(-25.0, 25.0))
    steps = replace(arc, name="steps", control_points=()).with_segments(((aperture, 40.0), (small, 20.0)))
    plan = Plan(beams=(arc, wedged, steps), prescription=Prescription("PTV", 20.0, 5))
    path = write_dicom(tmp_path_factory.mktemp("clinic") / "set", phantom(), plan, ct=False).plan
    assert path is not None
    return path


@pytest.fixture
def spoiled(stored: Path, tmp_path: Path) -> Callable[[Change], Path]:
    def spoil(change: Change) -> Path:
        tags = pydicom.dcmread(stored)
        change(tags)
        tags.save_as(tmp_path / "plan.dcm", enforce_file_format=True)
        return tmp_path / "plan.dcm"

    return spoil


def positions(kind: str, *values: float) -> Dataset:
    item = Dataset()
    item.RTBeamLimitingDeviceType, item.LeafJawPositions = kind, [str(v) for v in values]
    return item


def without(sequence: list[Dataset], *kinds: str) -> list[Dataset]:
    return [item for item in sequence if item.RTBeamLimitingDeviceType not in kinds]


@pytest.mark.parametrize(
    ("direction", "stop", "turned"),
    [("CW", 200.0, 200.0), ("CC", 200.0, -160.0), ("CW", 359.0, 359.0), ("CC", 1.0, -359.0), ("NONE", 100.0, 100.0)],
)
def test_an_arc_of_two_control_points_goes_the_way_it_is_said_to(
    spoiled: Callable[[Change], Path], direction: str, stop: float, turned: float
) -> None:
    def change(tags: Dataset) -> None:
        first, last = tags.BeamSequence[0].ControlPointSequence
        first.GantryRotationDirection, last.GantryAngle = direction, str(stop)

    beam = read_plan(spoiled(change)).beams[0]
    angles = np.array([p.gantry_deg for p in beam.control_points])
    steps = (np.diff(angles) + 180.0) % 360.0 - 180.0
    assert steps.sum() == pytest.approx(turned)
    assert np.abs(steps).max() <= 5.0
    units = np.diff([p.cumulative_monitor_units for p in beam.control_points])
    np.testing.assert_allclose(units, 80.0 / units.size)


def test_a_gantry_that_jitters_against_its_direction_turns_back_not_round(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        beam = tags.BeamSequence[2]
        for point, angle in zip(beam.ControlPointSequence, ("0", "0.1", "0.05", "0.2"), strict=True):
            point.GantryAngle, point.GantryRotationDirection = angle, "CW"

    beam = read_plan(spoiled(change)).beams[2]
    assert [p.gantry_deg for p in beam.control_points] == [0.0, 0.1, 0.05, 0.2]


def test_a_full_turn_or_none_is_not_guessed(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        first, last = tags.BeamSequence[0].ControlPointSequence
        first.GantryRotationDirection, last.GantryAngle = "CW", "0"

    with pytest.raises(DicomError, match="a full turn or none"):
        read_plan(spoiled(change))


def test_a_wedge_that_is_in_for_a_part_makes_two_beams(spoiled: Callable[[Change], Path]) -> None:
    """A motorized wedge: 70 % of the monitor units with it, the rest without."""

    def change(tags: Dataset) -> None:
        beam = tags.BeamSequence[1]
        template = beam.ControlPointSequence
        extra = []
        for weight, state in (("0.7", "IN"), ("0.7", "OUT"), ("1", "OUT")):
            point = Dataset()
            point.CumulativeMetersetWeight = weight
            position = Dataset()
            position.ReferencedWedgeNumber, position.WedgePosition = "1", state
            point.WedgePositionSequence = [position]
            extra.append(point)
        beam.ControlPointSequence = [template[0], *extra]

    plan = read_plan(spoiled(change))
    assert [b.name for b in plan.beams] == ["arc", "wedged (physical_60)", "wedged (open)", "steps"]
    with_it, open_part = plan.beams[1], plan.beams[2]
    assert with_it.wedge is not None
    assert open_part.wedge is None
    assert (with_it.monitor_units, open_part.monitor_units) == pytest.approx((70.0, 30.0))
    assert any("read as 2 beams" in n for n in plan.notes)
    (stated,) = [s for s in read_plan_file(scan_dicom(spoiled(lambda t: (change(t), state_dose(t))[0]))).stated]
    assert [b.name for b in stated.beams] == ["wedged (physical_60)", "wedged (open)"]


def state_dose(tags: Dataset) -> None:
    item = tags.FractionGroupSequence[0].ReferencedBeamSequence[1]
    item.BeamDose, item.BeamDoseSpecificationPoint = "1.25", ["1", "2", "3"]


def test_repeated_control_points_and_other_scales_of_meterset_are_the_same_beam(
    stored: Path, spoiled: Callable[[Change], Path]
) -> None:
    def change(tags: Dataset) -> None:
        beam = tags.BeamSequence[2]
        again = Dataset()
        again.CumulativeMetersetWeight = beam.ControlPointSequence[1].CumulativeMetersetWeight
        beam.ControlPointSequence.insert(2, again)
        beam.FinalCumulativeMetersetWeight = "60"
        for point in beam.ControlPointSequence:
            point.CumulativeMetersetWeight = str(60.0 * float(point.CumulativeMetersetWeight))

    beam, plain = read_plan(spoiled(change)).beams[2], read_plan(stored).beams[2]
    assert len(beam.control_points) == len(plain.control_points) + 1
    for (a, u), (b, v) in zip(beam.segments(), plain.segments(), strict=True):
        assert u == pytest.approx(v)
        np.testing.assert_array_equal(a.leaf_pairs_mm, b.leaf_pairs_mm)


def test_jaws_that_a_file_does_not_have_are_open_and_that_is_said(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        for beam in tags.BeamSequence:
            beam.BeamLimitingDeviceSequence = without(beam.BeamLimitingDeviceSequence, "ASYMX")
            for point in beam.ControlPointSequence:
                if "BeamLimitingDevicePositionSequence" in point:
                    held = without(point.BeamLimitingDevicePositionSequence, "ASYMX")
                    point.BeamLimitingDevicePositionSequence = held

    plan = read_plan(spoiled(change))
    assert plan.beams[2].control_points[0].aperture.jaws_x_mm == (-200.0, 200.0)
    assert any("no x jaws in the plan" in n for n in plan.notes)
    agility = read_plan(spoiled(lambda tags: (change(tags), tags.BeamSequence.__delitem__(1))[0]), machine=AGILITY)
    assert not any("no x jaws" in n for n in agility.notes)


AGILITY = load_machine("generic_6x_agility")


def test_symmetric_jaws_and_leaves_far_out_are_read(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        beam = tags.BeamSequence[2]
        for sequence in (
            beam.BeamLimitingDeviceSequence,
            beam.ControlPointSequence[0].BeamLimitingDevicePositionSequence,
        ):
            for item in sequence:
                kind = item.RTBeamLimitingDeviceType
                item.RTBeamLimitingDeviceType = kind.replace("ASYM", "")
                if kind == "MLCX" and "LeafJawPositions" in item:
                    item.LeafJawPositions = ["-212.5", *list(item.LeafJawPositions)[1:]]

    plan = read_plan(spoiled(change))
    assert plan.beams[2].control_points[0].aperture.jaws_x_mm == pytest.approx((-20.0, 30.0))
    assert plan.beams[2].machine.mlc is not None
    assert plan.beams[2].machine.mlc.max_position_mm == 212.5
    assert plan.beams[0].machine is plan.beams[2].machine  # calibrated once
    assert any("up to 212.5 mm" in n for n in plan.notes)


def test_each_beam_takes_the_machine_of_its_energy_and_filter(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        tags.BeamSequence[0].ControlPointSequence[0].NominalBeamEnergy = "10"
        mode = Dataset()
        mode.FluenceMode, mode.FluenceModeID = "NON_STANDARD", "FFF"
        tags.BeamSequence[2].PrimaryFluenceModeSequence = [mode]

    machines = tuple(load_machine(n) for n in ("generic_6x", "generic_6fff", "generic_10x"))
    path = spoiled(change)
    plan = read_plan(path, machine=machines)
    assert [b.machine.name for b in plan.beams] == ["generic_10x", "generic_6x", "generic_6fff"]
    assert not any("it is read for" in n for n in plan.notes)
    one = read_plan(path, machine=machines[0])
    assert [n for n in one.notes if "it is read for generic_6x of 6 MV" in n] != []
    with pytest.raises(
        DicomError, match=r"'arc' is of 10 MV, the machines given are generic_6x .*bundled: generic_10x"
    ):
        read_plan(path, machine=machines[:1])
    for beam in (tags := pydicom.dcmread(path)).BeamSequence:
        beam.TreatmentMachineName, beam.ManufacturerModelName = "LA4", "Versa"
    tags.save_as(path, enforce_file_format=True)
    with pytest.raises(DicomError, match=r"10 MV, is for the machine 'LA4'.*Of this energy: generic_10x"):
        read_plan(path)


def test_only_the_setup_of_treating_beams_counts(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        setup = Dataset()
        setup.PatientSetupNumber, setup.PatientPosition = "2", "FFS"
        tags.PatientSetupSequence.append(setup)

    assert read_plan(spoiled(change)).beams[0].couch_deg == 0.0

    def all_of_it(tags: Dataset) -> None:
        change(tags)
        tags.BeamSequence[1].ReferencedPatientSetupNumber = "2"

    with pytest.raises(DicomError, match="patient position FFS, HFS"):
        read_plan(spoiled(all_of_it))


def beam_of(tags: Dataset) -> Dataset:
    return tags.BeamSequence[2]


def first_of(tags: Dataset) -> Dataset:
    return tags.BeamSequence[2].ControlPointSequence[0]


def short(tags: Dataset) -> None:
    beam_of(tags).ControlPointSequence[-1].CumulativeMetersetWeight = "0.9"


def falls(tags: Dataset) -> None:
    beam_of(tags).ControlPointSequence[2].CumulativeMetersetWeight = "0.1"


def starts_late(tags: Dataset) -> None:
    first_of(tags).CumulativeMetersetWeight = "0.2"


def minutes(tags: Dataset) -> None:
    beam_of(tags).PrimaryDosimeterUnit = "MINUTE"


def cobalt(tags: Dataset) -> None:
    beam_of(tags).SourceAxisDistance = "800"


def two_layers(tags: Dataset) -> None:
    beam_of(tags).BeamLimitingDeviceSequence[2].RTBeamLimitingDeviceType = "MLCX1"


def strange_device(tags: Dataset) -> None:
    first_of(tags).BeamLimitingDevicePositionSequence[2].RTBeamLimitingDeviceType = "MLCX2"


def no_leaves(tags: Dataset) -> None:
    for point in beam_of(tags).ControlPointSequence:
        if "BeamLimitingDevicePositionSequence" in point:
            point.BeamLimitingDevicePositionSequence = without(point.BeamLimitingDevicePositionSequence, "MLCX")


def no_jaws(tags: Dataset) -> None:
    first_of(tags).BeamLimitingDevicePositionSequence = without(
        first_of(tags).BeamLimitingDevicePositionSequence, "ASYMY"
    )


def empty_positions(tags: Dataset) -> None:
    first_of(tags).BeamLimitingDevicePositionSequence[0].LeafJawPositions = None


def odd_positions(tags: Dataset) -> None:
    first_of(tags).BeamLimitingDevicePositionSequence[0].LeafJawPositions = ["1", "2", "3"]


def crossed_jaws(tags: Dataset) -> None:
    first_of(tags).BeamLimitingDevicePositionSequence[0].LeafJawPositions = ["20", "-20"]


def few_leaves(tags: Dataset) -> None:
    first_of(tags).BeamLimitingDevicePositionSequence[2].LeafJawPositions = ["-5"] * 40 + ["5"] * 40


def moving_isocenter(tags: Dataset) -> None:
    beam_of(tags).ControlPointSequence[2].IsocenterPosition = ["1", "2", "4"]


def no_gantry(tags: Dataset) -> None:
    del first_of(tags).GantryAngle


def falling_boundaries(tags: Dataset) -> None:
    item = beam_of(tags).BeamLimitingDeviceSequence[2]
    item.LeafPositionBoundaries = list(item.LeafPositionBoundaries)[::-1]


def turning_collimator(tags: Dataset) -> None:
    beam_of(tags).ControlPointSequence[2].BeamLimitingDeviceAngle = "3"


def cone(tags: Dataset) -> None:
    found = Dataset()
    found.ApplicatorID, found.ApplicatorType = "CONE15", "STEREOTACTIC"
    beam_of(tags).ApplicatorSequence = [found]


def named_of_another_energy(tags: Dataset) -> None:
    first_of(tags).NominalBeamEnergy = "18"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cone, r"shaped by an applicator or cone \(CONE15\)"),
        (named_of_another_energy, r"is of 18 MV, the machine it names is generic_6x \(6 MV\)"),
        (short, r"end at a meterset weight of 0\.9, its Final Cumulative Meterset Weight is 1"),
        (falls, "must start at 0 and never fall"),
        (starts_late, "must start at 0 and never fall"),
        (minutes, "counts its dose in MINUTE"),
        (cobalt, "Source-Axis Distance of 800 mm"),
        (two_layers, "shaped by MLCX1"),
        (strange_device, "shaped by 'MLCX2'"),
        (no_leaves, "has leaves, but its first control point gives them no position"),
        (no_jaws, "has y jaws, but its first control point gives them no position"),
        (empty_positions, "positions of ASYMX cannot be read"),
        (odd_positions, "ASYMX has 3 positions"),
        (crossed_jaws, "jaws ASYMX cross"),
        (few_leaves, "40 leaf pairs given; generic_6x has 60"),
        (moving_isocenter, "isocenter moves by 1 mm"),
        (no_gantry, "no Gantry Angle"),
        (falling_boundaries, "do not rise"),
        (turning_collimator, "collimator from 0 to 3 degrees"),
    ],
)
def test_what_would_give_a_wrong_dose_is_refused_by_name(
    spoiled: Callable[[Change], Path], change: Change, message: str
) -> None:
    with pytest.raises(DicomError, match=message) as found:
        read_plan(spoiled(change))
    assert "beam 'steps'" in str(found.value)


def test_leaves_behind_x_jaws_need_a_machine_with_x_jaws(spoiled: Callable[[Change], Path]) -> None:
    def change(tags: Dataset) -> None:
        del tags.BeamSequence[1]
        item = tags.BeamSequence[1].ControlPointSequence[0].BeamLimitingDevicePositionSequence[0]
        item.LeafJawPositions = ["-5", "5"]

    path = spoiled(change)
    assert read_plan(path).beams[1].control_points[0].aperture.jaws_x_mm == (-5.0, 5.0)
    with pytest.raises(DicomError, match="cover leaves that are open; generic_6x_agility has no x jaws"):
        read_plan(path, machine=AGILITY)

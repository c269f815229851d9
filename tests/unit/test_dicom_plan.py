"""RTPLAN and RTDOSE as other systems write them."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.dose.result import Dose
from rtsim.errors import DicomError
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.io import read_dose, read_plan, write_dicom
from rtsim.machine import Wedge, load_machine
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription

# LPS of a point given in the IEC 61217 fixed system, by patient position.
# source: DICOM PS3.3 C.7.3.1.1.2 (patient position) with IEC 61217 X to the right of who faces the gantry, Y towards
# the gantry, Z up: e.g. feet-first supine has the patient's right at +X and the feet at +Y.
IEC_TO_LPS = {
    "HFS": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "HFP": [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
    "FFS": [[-1, 0, 0], [0, 0, -1], [0, -1, 0]],
    "FFP": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A plan of one jaw-shaped wedged beam and one shaped beam, and a dose, in files to be spoiled."""
    hu = np.full((8, 20, 22), 0.0)
    phantom = Phantom.from_arrays(hu, (3.0, 3.0, 3.0), (-31.5, -28.5, -10.5), {"BODY": np.ones_like(hu)})
    wedge = Wedge(name="W15", angle_deg=15.0, physical=True, factor=0.775)
    machine = load_machine("generic_6x").with_wedge(wedge)
    beam = Beam.open_field(
        machine,
        (50.0, 60.0),
        gantry_deg=50.0,
        couch_deg=20.0,
        collimator_deg=30.0,
        name="one",
        wedge=replace(wedge, orientation_deg=90.0),
    )
    leaves = np.tile([-10.0, 12.0], (machine.mlc.leaf_count, 1))
    aperture = Aperture(jaws_x_mm=(-20.0, 20.0), jaws_y_mm=(-20.0, 20.0), leaf_pairs_mm=leaves)
    points = tuple(ControlPoint(cumulative_monitor_units=u, aperture=aperture, gantry_deg=10.0) for u in (0.0, 60.0))
    shaped = Beam(machine=machine, isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=10.0, name="two", control_points=points)
    plan = Plan(beams=(beam, shaped), prescription=Prescription("BODY", 20.0, 5))
    values = np.random.default_rng(1).random((4, 5, 6))
    dose = Dose(values_gy=values, grid=Grid((4, 5, 6), (3.0, 4.0, 5.0), (-9.0, -8.0, 1.0)))
    return write_dicom(tmp_path_factory.mktemp("plan") / "set", phantom, plan, dose, ct=False), plan, dose


def spoiled(original, tmp_path, change, kind="plan"):
    tags = pydicom.dcmread(getattr(original[0], kind))
    change(tags)
    tags.save_as(tmp_path / f"{kind}.dcm", enforce_file_format=True)
    return tmp_path / f"{kind}.dcm"


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
def test_a_beam_points_the_same_way_in_every_patient_position(original, tmp_path, position):
    def change(tags):
        tags.PatientSetupSequence[0].PatientPosition = position

    back = read_plan(spoiled(original, tmp_path, change))
    # the rotation of the head in the fixed system is that of HFS with its LPS matrix taken off again
    fixed = np.array(IEC_TO_LPS["HFS"], dtype=float).T @ bld_to_lps(50.0, 20.0, 30.0)
    np.testing.assert_allclose(back.beams[0].rotation, np.array(IEC_TO_LPS[position]) @ fixed, atol=1e-9)
    assert back.beams[0].control_points[0].gantry_deg == back.beams[0].gantry_deg
    assert any("patient position" in n for n in back.notes) == (position != "HFS")


def test_toe_of_a_wedge_and_its_kind_come_back(original):
    back = read_plan(original[0].plan)
    assert back.beams[0].wedge == original[1].beams[0].wedge
    assert back.beams[0].machine.wedge("W15").factor == 0.775  # generic_6x got the wedge of the plan
    tags = pydicom.dcmread(original[0].plan)
    # IEC 61217 3.6: at wedge orientation 0 the thin end points to BLD +y
    item = tags.BeamSequence[0].WedgeSequence[0]
    assert float(item.WedgeOrientation) == 0.0
    assert (item.WedgeType, float(item.WedgeFactor)) == ("STANDARD", 0.775)


def test_a_wedge_without_factor_takes_that_of_the_machine_and_says_so(original, tmp_path):
    def change(tags):
        tags.BeamSequence[0].WedgeSequence[0].WedgeFactor = ""

    back = read_plan(spoiled(original, tmp_path, change))
    assert back.beams[0].wedge.factor == load_machine(back.beams[0].machine.name).wedge("physical_15").factor
    assert any("'W15' has no factor" in n for n in back.notes)


def test_sparse_control_points_final_weight_and_setup_beams(original, tmp_path):
    def change(tags):
        beam = tags.BeamSequence[0]
        beam.FinalCumulativeMetersetWeight = "250"
        beam.ControlPointSequence[1].CumulativeMetersetWeight = "250"
        setup = Dataset()
        setup.BeamNumber, setup.BeamName, setup.TreatmentDeliveryType = "9", "CBCT", "SETUP"
        tags.BeamSequence.append(setup)
        tags.BeamSequence[0].ControlPointSequence[0].GantryAngle = "359.9999999999"

    back = read_plan(spoiled(original, tmp_path, change))
    assert [b.name for b in back.beams] == ["one", "two"]
    assert back.beams[0].monitor_units == 100.0
    assert back.beams[0].gantry_deg == 0.0
    assert any("CBCT" in n and "setup beam" in n for n in back.notes)


def test_leaf_boundaries_of_the_file_hold_and_are_said(original, tmp_path):
    def change(tags):
        for item in tags.BeamSequence[1].BeamLimitingDeviceSequence:
            if item.RTBeamLimitingDeviceType == "MLCX":
                item.NumberOfLeafJawPairs = "40"
                item.LeafPositionBoundaries = [str(v) for v in range(-200, 201, 10)]
        for item in tags.BeamSequence[1].ControlPointSequence[0].BeamLimitingDevicePositionSequence:
            if item.RTBeamLimitingDeviceType == "MLCX":
                item.LeafJawPositions = ["-10"] * 40 + ["10"] * 40

    back = read_plan(spoiled(original, tmp_path, change))
    assert back.beams[1].machine.mlc.leaf_count == 40
    assert any("40 pairs, -200 .. 200 mm" in n for n in back.notes)
    assert back.beams[0].machine.mlc.leaf_count == load_machine("generic_6x").mlc.leaf_count


def test_unknown_machine_asks_for_one(original, tmp_path):
    def change(tags):
        for beam in tags.BeamSequence:
            beam.TreatmentMachineName, beam.ManufacturerModelName = "TB3", "TrueBeam"

    path = spoiled(original, tmp_path, change)
    with pytest.raises(DicomError, match=r"'TB3'.*give machine=.*generic_6x"):
        read_plan(path)
    assert read_plan(path, machine=load_machine("generic_6x")).monitor_units == pytest.approx(160.0)


def electrons(tags):
    tags.BeamSequence[0].RadiationType = "ELECTRON"


def no_groups(tags):
    del tags.FractionGroupSequence


def turning_couch(tags):
    tags.BeamSequence[1].ControlPointSequence[1].PatientSupportAngle = "5"


def leaves_along_y(tags):
    for item in tags.BeamSequence[1].ControlPointSequence[0].BeamLimitingDevicePositionSequence:
        if item.RTBeamLimitingDeviceType == "MLCX":
            item.RTBeamLimitingDeviceType = "MLCY"


def pitched(tags):
    tags.BeamSequence[0].ControlPointSequence[0].TableTopPitchAngle = 2.0


def wedge_out(tags):
    position = Dataset()
    position.ReferencedWedgeNumber, position.WedgePosition = "1", "OUT"
    tags.BeamSequence[0].ControlPointSequence[1].WedgePositionSequence = [position]


def no_units(tags):
    for item in tags.FractionGroupSequence[0].ReferencedBeamSequence:
        item.BeamMeterset = None


def decubitus(tags):
    tags.PatientSetupSequence[0].PatientPosition = "HFDR"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (electrons, "only photon beams"),
        (no_groups, "no Fraction Group"),
        (turning_couch, "turn while the beam is on"),
        (leaves_along_y, "MLCY"),
        (pitched, "TableTopPitchAngle"),
        (wedge_out, "wedges move"),
        (no_units, "no treatment beam with monitor units"),
        (decubitus, "patient position HFDR"),
    ],
)
def test_what_would_give_a_wrong_dose_is_refused(original, tmp_path, change, message):
    with pytest.raises(DicomError, match=message):
        read_plan(spoiled(original, tmp_path, change))


def test_no_plan_and_several_plans(original, tmp_path):
    with pytest.raises(DicomError, match="holds 0 RTPLAN"):
        read_plan(original[0].structures)
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(original[0].plan.read_bytes())
    with pytest.raises(DicomError, match=r"holds 2 RTPLAN .*a\.dcm.*b\.dcm"):
        read_plan(tmp_path)


def test_dose_with_planes_downwards_and_absolute_offsets(original, tmp_path):
    dose = original[2]

    def down(tags):
        flipped = tags.pixel_array[::-1]
        tags.PixelData = np.ascontiguousarray(flipped).tobytes()
        tags.ImagePositionPatient = [*tags.ImagePositionPatient[:2], "16"]
        tags.GridFrameOffsetVector = ["0", "-5", "-10", "-15"]

    def absolute(tags):
        tags.GridFrameOffsetVector = ["1", "6", "11", "16"]

    for change in (down, absolute):
        back = read_dose(spoiled(original, tmp_path, change, "dose"))
        assert back.grid == dose.grid
        np.testing.assert_allclose(back.values_gy, dose.values_gy, atol=2e-5)


def test_dose_that_means_nothing_is_refused(original, tmp_path):
    def relative(tags):
        tags.DoseUnits = "RELATIVE"

    def unscaled(tags):
        del tags.DoseGridScaling

    def uneven(tags):
        tags.GridFrameOffsetVector = ["0", "5", "10", "25"]

    for change, message in ((relative, "RELATIVE units"), (unscaled, "Dose Grid Scaling"), (uneven, "equal steps")):
        with pytest.raises(DicomError, match=message):
            read_dose(spoiled(original, tmp_path, change, "dose"))
    with pytest.raises(DicomError, match="holds 0 RTDOSE"):
        read_dose(original[0].plan)

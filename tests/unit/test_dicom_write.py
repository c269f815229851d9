"""What is written comes back, twice the same, and the DICOM validator finds no error in it."""

import math
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.dose.result import Dose
from rtsim.errors import InputError, OutputExistsError
from rtsim.geometry.grid import Grid
from rtsim.io import read_dicom, read_dose, read_plan, write_dicom
from rtsim.machine import Wedge, load_machine, point_source
from rtsim.materials import spectrum
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.model import Prescription

SHAPE, SPACING, ORIGIN = (16, 30, 34), (2.0, 2.0, 2.5), (-33.0, -29.7, -20.0)


def make_phantom(noise=0.0):
    grid = Grid(SHAPE, SPACING, ORIGIN)
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")

    def tube(radius, cx, cy):
        return np.clip(0.5 + (radius - np.hypot(x - cx, y - cy)) / 2.0, 0.0, 1.0)

    body, cord = tube(26.0, 0.0, 0.0), tube(5.0, 0.6, 12.3)
    target = np.maximum(tube(11.0, 0.0, 3.0) - tube(5.0, 0.0, 3.0), 0.0) * (np.abs(z) < 11)
    hu = np.where(body > 0.5, 30.0, -1000.0) + np.random.default_rng(2).normal(0, 20, SHAPE) * noise
    roles = {"BODY": Role.EXTERNAL, "cord": Role.OAR, "ring_target": Role.ITV, "cord_prv": Role.PRV}
    masks = {"BODY": body, "cord": cord, "ring_target": target, "cord_prv": tube(7.0, 0.6, 12.3)}
    return Phantom.from_arrays(hu if noise else np.round(hu), SPACING, ORIGIN, masks, roles=roles, name="tube")


def make_plan(phantom):
    wedge = Wedge(name="W30", angle_deg=30.0)
    machine = load_machine("generic_6fff").with_wedge(wedge)
    count = machine.mlc.leaf_count

    def aperture(k):
        leaves = np.stack([-15 - np.arange(count) / 7, 15 + k + np.arange(count) / 7], axis=1)
        return Aperture(jaws_x_mm=(-20.0, 20.0), jaws_y_mm=(-30.0, 31.25), leaf_pairs_mm=leaves)

    iso = (0.0, 1 / 3, 2.0)
    shot = Beam(machine=machine, isocenter_mm=iso, gantry_deg=180.0, name="PA")
    shot = shot.with_segments(((aperture(0), 50.1), (aperture(3), 100 / 3)))
    wedged = Beam.open_field(
        machine,
        (50.0, 60.0),
        gantry_deg=120.0,
        couch_deg=10.0,
        collimator_deg=90.0,
        isocenter_mm=iso,
        monitor_units=77.0,
        name="wedged",
        wedge=replace(wedge, orientation_deg=180.0),
    )
    points = tuple(
        ControlPoint(cumulative_monitor_units=10.0 * i, aperture=aperture(i), gantry_deg=(351 + 5.0 * i) % 360)
        for i in range(5)
    )
    arc = Beam(machine=machine, isocenter_mm=iso, gantry_deg=351.0, name="arc", control_points=points)
    rx = Prescription("ring_target", 24.0, 2, 90.0)
    return Plan(beams=(shot, wedged, arc), prescription=rx, label="a plan with a long name")


def make_dose():
    values = np.random.default_rng(5).random((8, 12, 14)) * 30
    grid = Grid((8, 12, 14), (4.0, 4.5, 5.0), (-26.0, -25.0, -18.0))
    return Dose(values_gy=values, grid=grid, fractions=2, engine="test")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    phantom = make_phantom()
    plan, dose = make_plan(phantom), make_dose()
    files = write_dicom(tmp_path_factory.mktemp("set") / "out", phantom, plan, dose)
    return phantom, plan, dose, files


def dice(a, b):
    return 2.0 * float(np.minimum(a, b).sum()) / float(a.sum() + b.sum())


def test_ct_and_structures_come_back(written):
    phantom, _, _, files = written
    back = read_dicom(files.folder)
    assert back.grid == phantom.grid
    np.testing.assert_array_equal(back.ct.hu, phantom.ct.hu)
    assert back.ct.notes == ()
    assert back.ct.patient_name == "rtsim^tube"
    assert list(back.structures) == list(phantom.structures)
    for name, own in phantom.structures.items():
        a, b = own.coverage_on(phantom.grid), back[name].coverage_on(phantom.grid)
        assert back[name].role is own.role
        assert dice(a, b) >= 0.99, name
        assert dice((a >= 0.5).astype(float), (b >= 0.5).astype(float)) >= 0.99, name


def test_structures_read_from_dicom_are_written_unchanged(written, tmp_path):
    first = read_dicom(written[3].folder)
    write_dicom(tmp_path / "again", first)
    second = read_dicom(tmp_path / "again")
    assert second.ct.frame_of_reference_uid == first.ct.frame_of_reference_uid
    for name in first.structures:
        np.testing.assert_allclose(second[name].coverage, first[name].coverage, atol=1e-4)


def test_plan_comes_back_to_the_digits_of_a_decimal_string(written):
    _, plan, _, files = written
    back = read_plan(files.folder)
    assert back.label == plan.label
    assert back.prescription == plan.prescription
    assert back.notes == ()
    assert [b.name for b in back.beams] == ["PA", "wedged", "arc"]
    for own, other in zip(plan.beams, back.beams, strict=True):
        assert other.machine.name == own.machine.name
        assert other.isocenter_mm == pytest.approx(own.isocenter_mm, abs=1e-12)
        assert (other.gantry_deg, other.couch_deg, other.collimator_deg) == (
            own.gantry_deg,
            own.couch_deg,
            own.collimator_deg,
        )
        assert other.wedge == own.wedge
        if own.wedge is not None:  # virtual: its monitor units are those of the open axis
            assert (own.wedge.physical, own.wedge.factor) == (False, 1.0)
        for a, b in zip(own.control_points, other.control_points, strict=True):
            assert b.cumulative_monitor_units == pytest.approx(a.cumulative_monitor_units, abs=1e-10)
            assert b.gantry_deg == a.gantry_deg
            assert b.aperture.jaws_x_mm == a.aperture.jaws_x_mm
            assert b.aperture.jaws_y_mm == a.aperture.jaws_y_mm
            if a.aperture.leaf_pairs_mm is None:
                assert b.aperture.leaf_pairs_mm is None
            else:
                np.testing.assert_allclose(b.aperture.leaf_pairs_mm, a.aperture.leaf_pairs_mm, atol=1e-12)


@pytest.mark.parametrize("bits", [16, 32])
def test_dose_comes_back_within_half_a_step(written, tmp_path, bits):
    phantom, plan, dose, _ = written
    write_dicom(tmp_path / "d", phantom, plan, dose, ct=False, dose_bits=bits)
    back = read_dose(tmp_path / "d")
    assert back.grid == dose.grid
    assert back.fractions == 2
    step = dose.max_gy / (2**bits - 1)
    np.testing.assert_allclose(back.values_gy, dose.values_gy, atol=0.5001 * step + 1e-6 * dose.max_gy)


def test_noise_is_kept_to_a_tenth_hounsfield(tmp_path):
    phantom = make_phantom(noise=1.0)
    write_dicom(tmp_path / "n", phantom)
    assert np.abs(read_dicom(tmp_path / "n").ct.hu - phantom.ct.hu).max() <= 0.0501


def test_writing_twice_gives_the_same_files(written, tmp_path):
    phantom, plan, dose, files = written
    again = write_dicom(tmp_path / "twice", phantom, plan, dose)
    for a, b in zip(
        (*files.ct, files.structures, files.plan, files.dose),
        (*again.ct, again.structures, again.plan, again.dose),
        strict=True,
    ):
        assert a.read_bytes() == b.read_bytes()
    other = write_dicom(tmp_path / "other", phantom, plan, dose.scaled(1.01))
    uids = [pydicom.dcmread(p).SOPInstanceUID for p in (files.dose, other.dose)]
    assert uids[0] != uids[1]
    assert all(u.startswith("2.25.") and len(u) <= 64 for u in uids)


def test_every_object_says_that_it_is_not_clinical(written):
    files = written[3]
    for path in (files.ct[0], files.structures, files.plan, files.dose):
        assert "not for clinical use" in pydicom.dcmread(path).StudyDescription
    assert pydicom.dcmread(files.plan).ApprovalStatus == "UNAPPROVED"
    assert "not for clinical use" in pydicom.dcmread(files.plan).RTPlanDescription


def test_a_plan_that_its_machine_cannot_deliver_says_so_in_the_file(written, tmp_path):
    phantom, plan, dose, files = written
    assert "NOT DELIVERABLE" not in pydicom.dcmread(files.plan).RTPlanDescription
    least = plan.beams[0].machine.limits.min_monitor_units_per_segment
    too_little = replace(plan, beams=(plan.beams[0].scaled(0.1 * least / 50.1), *plan.beams[1:]))
    other = write_dicom(tmp_path / "o", phantom, too_little, dose)
    assert "NOT DELIVERABLE" in pydicom.dcmread(other.plan).RTPlanDescription


def test_references_inside_the_set_hold(written):
    files = written[3]
    ct, rs, rp, rd = (pydicom.dcmread(p) for p in (files.ct[3], files.structures, files.plan, files.dose))
    assert rp.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == rs.SOPInstanceUID
    assert rd.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == rp.SOPInstanceUID
    images = rs.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert ct.SOPInstanceUID in [i.ReferencedSOPInstanceUID for i in images.ContourImageSequence]
    assert len({d.FrameOfReferenceUID for d in (ct, rs, rp, rd)}) == 1
    assert len({d.StudyInstanceUID for d in (ct, rs, rp, rd)}) == 1


def test_source_to_surface_distance_is_that_of_the_cylinder(written):
    _, plan, _, files = written
    tags = pydicom.dcmread(files.plan)
    iso = np.array(plan.beams[0].isocenter_mm)
    # from posterior the axis x = 0 meets the cylinder of 26 mm at y = 26; steps of 0.5 mm, voxels of 2 mm
    expected = 1000.0 - (math.sqrt(26.0**2) - iso[1])
    first = tags.BeamSequence[0].ControlPointSequence[0]
    assert float(first.SourceToSurfaceDistance) == pytest.approx(expected, abs=1.5)


def test_an_existing_folder_is_not_overwritten_unasked(written, tmp_path):
    phantom = written[0]
    write_dicom(tmp_path / "x", phantom)
    before = sorted(p.name for p in (tmp_path / "x").iterdir())
    with pytest.raises(OutputExistsError, match="holds a result already"):
        write_dicom(tmp_path / "x", phantom)
    write_dicom(tmp_path / "x", phantom, ct=False, overwrite=True)
    assert before != ["RTSTRUCT.dcm"]
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["RTSTRUCT.dcm"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_what_dicom_cannot_hold_is_refused(written, tmp_path):
    phantom, plan, dose, _ = written
    with pytest.raises(InputError, match="without its plan"):
        write_dicom(tmp_path / "a", phantom, None, dose)
    bare = Beam.open_field(point_source(spectrum("mohan6")), (50.0, 50.0))
    with pytest.raises(InputError, match="without calibration"):
        write_dicom(tmp_path / "a", phantom, Plan(beams=(bare,), prescription=plan.prescription))
    with pytest.raises(InputError, match="16 or 32"):
        write_dicom(tmp_path / "a", phantom, plan, dose, dose_bits=8)
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_the_dicom_validator_finds_no_error(written):
    files = written[3]
    for path in (files.ct[0], files.structures, files.plan, files.dose):
        run = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], path.name
        assert run.returncode == 0, path.name

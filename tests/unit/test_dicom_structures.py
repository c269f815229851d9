"""RTSTRUCT as clinics write them: what can be used is used, what cannot is listed with its reason."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from rtsim.cli.main import parser
from rtsim.cli.request_phantom import phantom_of
from rtsim.errors import DicomError
from rtsim.io import read_dicom, read_structures, scan_dicom
from rtsim.phantom.structure import Role
from tests.unit.dicom_builder import CT_IMAGE, contour, square, write_series, write_structures

PLANES = [20.0 + 3.0 * k for k in range(12)]


def drawn(planes=PLANES[2:9], **kw):
    return [contour(square(z, **kw)) for z in planes]


def make(tmp_path, regions, **kw):
    write_series(tmp_path)
    write_structures(tmp_path / "rs.dcm", regions, **kw)
    return tmp_path


def test_structures_lie_where_they_were_drawn(tmp_path):
    phantom = read_dicom(make(tmp_path, {"PTV_1": drawn(), "SpinalCord": drawn(half=1.0)}))
    ptv = phantom["PTV_1"]
    assert ptv.role is Role.PTV
    assert ptv.color == (255, 0, 10)
    assert phantom["SpinalCord"].role is Role.OAR
    # 7 planes of 3 mm, 6 x 6 mm
    assert ptv.volume_cm3 == pytest.approx(7 * 3.0 * 36.0 * 1e-3, rel=1e-6)
    assert ptv.centroid_mm == pytest.approx((0.0, 10.0, 35.0), abs=1e-6)
    assert len(phantom.case_sha256) == 64
    assert read_dicom(tmp_path).case_sha256 == phantom.case_sha256


def test_every_unusable_contour_is_listed_with_its_reason(tmp_path):
    tilted = square(26.0)
    tilted[0] = (*tilted[0][:2], 29.0)
    empty = contour(square(26.0))
    empty.ContourData = ""
    odd = contour(square(26.0))
    odd.ContourData = ["1", "2", "3", "4"]
    good = drawn()
    bad = [
        contour([(0, 10, 29)], "POINT"),
        contour(square(29.0), "OPEN_PLANAR"),
        contour([(0, 9, 29), (1, 9, 29)]),
        contour(tilted),
        contour([(0, 9, 29), (1, 9, 29), (2, 9, 29)]),
        empty,
        odd,
        contour(square(PLANES[2])),
    ]
    make(tmp_path, {"target": good + bad, "nothing": None, "marker": [contour([(0, 10, 29)], "POINT")]})
    lines = "\n".join(scan_dicom(tmp_path).describe())
    for reason in (
        "its type is POINT",
        "its type is OPEN_PLANAR",
        "2 distinct points",
        "axial plane (z spans 3.00 mm",
        "encloses no area",
        "no points that can be read",
        "not a multiple of three",
        "drawn twice at z = 26 mm",
        "nothing: no contours are drawn",
        "marker: contour 1 of 1",
    ):
        assert reason in lines, reason
    phantom = read_dicom(tmp_path)
    assert list(phantom.structures) == ["target"]
    assert phantom["target"].volume_cm3 == pytest.approx(0.756, rel=1e-6)
    assert "10 contours or structures skipped; rtsim info lists each with its reason" in phantom.ct.notes
    assert "structure 'marker' left out: no usable contour" in phantom.ct.notes


def test_holes_by_inner_contour_and_by_keyhole_give_the_same_ring(tmp_path):
    rings, keyholes = [], []
    for z in PLANES[3:8]:
        outer, inner = square(z, half=5.0), square(z, half=2.0)
        rings += [contour(outer), contour(inner[::-1])]
        keyholes.append(contour([*outer, outer[0], inner[0], *inner[::-1]]))
    structures = read_structures(make(tmp_path, {"xor": rings, "keyhole": keyholes}))
    assert structures["xor"].volume_cm3 == pytest.approx(5 * 3.0 * 84.0 * 1e-3, rel=1e-6)
    np.testing.assert_allclose(structures["xor"].coverage, structures["keyhole"].coverage, atol=1e-6)


def test_skipped_slices_and_planes_between_the_slices_are_interpolated(tmp_path):
    every_second = drawn(PLANES[2:9:2])
    between = drawn([z + 1.5 for z in PLANES[2:8]])
    phantom = read_dicom(make(tmp_path, {"second": every_second, "between": between}))
    assert phantom["second"].volume_cm3 == pytest.approx(4 * 6.0 * 36.0 * 1e-3, rel=0.02)
    assert phantom["between"].volume_cm3 == pytest.approx(6 * 3.0 * 36.0 * 1e-3, rel=0.02)
    assert any("'between': 6 of 6 contours lie on no CT slice" in n for n in phantom.ct.notes)


def test_structure_set_of_another_frame_of_reference_names_both(tmp_path):
    make(tmp_path, {"PTV": drawn()}, frame="9.9.9")
    with pytest.raises(DicomError, match=r"frame of reference 9\.9\.9; the CT has 1\.2\.3\.4"):
        read_dicom(tmp_path)


def test_a_second_structure_set_has_to_be_chosen(tmp_path):
    make(tmp_path, {"PTV": drawn()})
    write_structures(tmp_path / "rs2.dcm", {"GTV": drawn()})
    with pytest.raises(DicomError, match=r"2 structure sets.*structure_set=.*rs\.dcm.*rs2\.dcm"):
        read_dicom(tmp_path)
    assert list(read_dicom(tmp_path, structure_set="rs2.dcm").structures) == ["GTV"]
    write_structures(tmp_path / "rs2.dcm", {"GTV": drawn()}, frame="9.9.9")
    assert list(read_dicom(tmp_path).structures) == ["PTV"]


def test_structures_outside_the_ct_and_equal_names(tmp_path):
    far = [contour(square(z, x=900.0)) for z in PLANES[2:5]]
    phantom = read_dicom(make(tmp_path, {"a": drawn(), "far": far}))
    assert list(phantom.structures) == ["a"]
    assert "structure 'far' left out: it lies outside the CT" in phantom.ct.notes


def test_contours_that_refer_to_other_images_are_placed_by_coordinates_and_said(tmp_path):
    contours = drawn()
    for k, item in enumerate(contours):
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT_IMAGE, f"7.7.{k}"
        item.ContourImageSequence = [image]
    phantom = read_dicom(make(tmp_path, {"PTV": contours}))
    assert phantom["PTV"].volume_cm3 == pytest.approx(0.756, rel=1e-6)
    assert any("7 CT images that the structure set refers to are not in the series" in n for n in phantom.ct.notes)


def test_ct_alone_is_a_phantom_without_structures(tmp_path):
    write_series(tmp_path)
    phantom = read_dicom(tmp_path, name="mine")
    assert phantom.name == "mine"
    assert len(phantom.structures) == 0
    assert "no structure set in the folder" in phantom.ct.notes
    with pytest.raises(DicomError, match="no RTSTRUCT"):
        read_structures(tmp_path)


def test_the_command_line_chooses_a_structure_set(tmp_path):
    make(tmp_path, {"PTV": drawn()})
    write_structures(tmp_path / "rs2.dcm", {"GTV": drawn()})
    wanted = ["run", "--dicom", str(tmp_path), "--target", "GTV", "--protocol", "spine_sbrt_1fx", "-o", "unused"]
    with pytest.raises(DicomError, match=r"2 structure sets.*--structure-set"):
        phantom_of(parser().parse_args(wanted), None, None)
    chosen = phantom_of(parser().parse_args([*wanted, "--structure-set", "rs2.dcm"]), None, None)
    assert list(chosen.structures) == ["GTV"]

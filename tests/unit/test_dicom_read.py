"""CT series as they come: any order, orientation, gap and defect. HU are linear in position, so placement is exact."""

import math

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from rtsim.errors import DicomError
from rtsim.io import read_ct, scan_dicom
from tests.unit.dicom_builder import hu_at, write_series


def expected(ct):
    z, y, x = np.meshgrid(ct.grid.z_mm, ct.grid.y_mm, ct.grid.x_mm, indexing="ij")
    return hu_at(np.stack([x, y, z], axis=-1))


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((1, 0, 0), (0, 1, 0)),  # head-first supine
        ((-1, 0, 0), (0, -1, 0)),  # prone
        ((-1, 0, 0), (0, 1, 0)),  # feet first: slices run downwards
        ((1, 0, 0), (0, -1, 0)),
        ((0, 1, 0), (0, 0, -1)),  # sagittal
        ((1, 0, 0), (0, 0, -1)),  # coronal
    ],
)
def test_every_orientation_along_the_axes_is_placed_exactly(tmp_path, row, column):
    write_series(tmp_path, row=row, column=column)
    ct = read_ct(tmp_path)
    np.testing.assert_allclose(ct.hu, expected(ct), atol=1e-3)
    assert ct.hu.size == 12 * 10 * 8
    assert bool(ct.notes) == ((row, column) != ((1, 0, 0), (0, 1, 0)))


def test_oblique_and_tilted_series_are_resampled_and_say_so(tmp_path):
    c, s = math.cos(math.radians(8.0)), math.sin(math.radians(8.0))
    write_series(tmp_path / "oblique", row=(c, s, 0), column=(-s, c, 0))
    write_series(tmp_path / "tilt", row=(1, 0, 0), column=(0, c, s), step=(0.0, 0.0, 3.0))
    for kind in ("oblique", "tilt"):
        ct = read_ct(tmp_path / kind)
        inside = ct.hu != -1000.0
        inner = np.zeros_like(inside)
        inner[1:-1, 1:-1, 1:-1] = (
            np.all([np.roll(inside, sh, ax)[1:-1, 1:-1, 1:-1] for sh in (1, -1) for ax in (0, 1, 2)], axis=0)
            & inside[1:-1, 1:-1, 1:-1]
        )
        assert inner.sum() > 150
        np.testing.assert_allclose(ct.hu[inner], expected(ct)[inner], atol=8.0)  # half a voxel of edge value at the rim
        assert np.median(np.abs(ct.hu - expected(ct))[inner]) < 0.3
        assert any("8.00 degrees" in n and "resampled" in n for n in ct.notes)


def test_unsorted_nested_files_without_suffix_among_other_files(tmp_path):
    order = np.random.default_rng(3).permutation(12)
    names = iter(order)
    write_series(tmp_path / "a" / "b", change=lambda k, tags: None, name="tmp{k}")
    for path, new in zip(sorted((tmp_path / "a" / "b").iterdir()), names, strict=True):
        path.rename(tmp_path / "a" / f"IM{new}")
    (tmp_path / "readme.txt").write_text("not dicom")
    (tmp_path / "note").write_text("nor this")
    ct = read_ct(tmp_path)
    np.testing.assert_allclose(ct.hu, expected(ct), atol=1e-3)
    assert scan_dicom(tmp_path).not_dicom == 2


def test_slope_and_intercept_are_those_of_each_slice(tmp_path):
    def change(k, tags):
        stored = np.frombuffer(tags.PixelData, dtype=np.int16) * 0.5 - 100.0
        tags.RescaleSlope, tags.RescaleIntercept = str(0.5 + 0.5 * (k % 2)), str(-100 * k)
        tags.PixelData = np.round((stored + 100 * k) / (0.5 + 0.5 * (k % 2))).astype(np.int16).tobytes()

    write_series(tmp_path, change=change)
    ct = read_ct(tmp_path)
    np.testing.assert_allclose(ct.hu, expected(ct), atol=0.51)


def test_empty_and_missing_type_2_tags_do_not_matter(tmp_path):
    def change(k, tags):
        tags.PatientID = tags.PatientName = tags.SeriesDescription = tags.InstanceNumber = ""
        del tags.PatientPosition, tags.SliceThickness, tags.FrameOfReferenceUID, tags.ImageType

    write_series(tmp_path, change=change)
    ct = read_ct(tmp_path)
    assert ct.frame_of_reference_uid is None
    np.testing.assert_allclose(ct.hu, expected(ct), atol=1e-3)


def test_one_missing_slice_is_interpolated_and_named_two_are_refused(tmp_path):
    write_series(tmp_path / "one", change=lambda k, t: k != 5)
    ct = read_ct(tmp_path / "one")
    np.testing.assert_allclose(ct.hu, expected(ct), atol=1e-3)
    assert ct.grid.shape[0] == 12
    assert ct.notes == ("a slice is missing between z = 32 and 38 mm; interpolated",)
    write_series(tmp_path / "two", change=lambda k, t: k not in (5, 6))
    with pytest.raises(DicomError, match=r"between z = 32 and 41 mm more than one is missing"):
        read_ct(tmp_path / "two")


def test_irregular_spacing_is_interpolated_and_said(tmp_path):
    def change(k, tags):
        z = 20.0 + 3.0 * k + (0.6 if k % 3 == 1 else 0.0)
        tags.ImagePositionPatient = ["-7", "5", f"{z}"]
        shift = (z - 20.0 - 3.0 * k) * 8.0
        stored = np.frombuffer(tags.PixelData, dtype=np.int16) + shift / 0.5
        tags.PixelData = np.round(stored).astype(np.int16).tobytes()

    write_series(tmp_path, change=change)
    ct = read_ct(tmp_path)
    np.testing.assert_allclose(ct.hu, expected(ct), atol=0.6)
    assert any("apart; interpolated" in n for n in ct.notes)


def test_copies_are_left_out_and_two_images_at_one_place_refused(tmp_path):
    first = write_series(tmp_path)[0]
    (tmp_path / "copy.dcm").write_bytes(first.read_bytes())
    assert read_ct(tmp_path).notes == ("1 copies of slices left out",)

    def change(k, tags):
        tags.PixelData = bytes(len(tags.PixelData))
        return k == 0

    write_series(tmp_path, change=change, name="other{k}.dcm")
    with pytest.raises(DicomError, match=r"different images at the same place \(z = 20 mm\)"):
        read_ct(tmp_path)


def test_mixed_series_are_listed_and_one_can_be_chosen(tmp_path):
    write_series(tmp_path / "a", series="1.2.11")
    write_series(tmp_path / "b", series="1.2.22", shape=(5, 10, 8))
    with pytest.raises(DicomError, match=r"(?s)2 CT series; choose one .*1\.2\.11.*12 slices.*1\.2\.22.*5 sl"):
        read_ct(tmp_path)
    assert read_ct(tmp_path, series="1.2.22").grid.shape[0] == 5
    with pytest.raises(DicomError, match=r"1\.2\.33 is not in"):
        read_ct(tmp_path, series="1.2.33")


def test_localizers_are_left_out(tmp_path):
    def change(k, tags):
        if k == 0:
            tags.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            tags.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]

    write_series(tmp_path, change=change)
    ct = read_ct(tmp_path)
    assert ct.grid.shape[0] == 11
    assert ct.notes == ("1 localizer images left out",)
    assert "1 localizers left out" in "\n".join(scan_dicom(tmp_path).describe())


def test_padding_outside_the_scan_becomes_air(tmp_path):
    def change(k, tags):
        tags.PixelPaddingValue = -4000
        stored = np.frombuffer(tags.PixelData, dtype=np.int16).copy()
        stored[:3] = -4000
        tags.PixelData = stored.tobytes()

    write_series(tmp_path, change=change)
    ct = read_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu[:, 0, :3], -1000.0)
    assert "36 padding voxels set to -1000 HU" in ct.notes


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_missing_geometry_names_file_and_element(tmp_path, keyword):
    def change(k, tags):
        if k == 4:
            setattr(tags, keyword, None)

    write_series(tmp_path, change=change)
    with pytest.raises(DicomError, match=rf"004\.dcm has no usable {keyword}"):
        read_ct(tmp_path)


def test_slices_of_other_size_or_direction_are_refused(tmp_path):
    write_series(tmp_path / "a", change=lambda k, t: setattr(t, "PixelSpacing", ["2", "2"]) if k == 3 else None)
    with pytest.raises(DicomError, match="must match"):
        read_ct(tmp_path / "a")

    def turn(k, tags):
        if k == 3:
            tags.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]

    write_series(tmp_path / "b", change=turn)
    with pytest.raises(DicomError, match="must be parallel"):
        read_ct(tmp_path / "b")


def test_single_slice_needs_its_thickness(tmp_path):
    write_series(tmp_path / "a", shape=(1, 10, 8))
    assert read_ct(tmp_path / "a").grid.spacing_mm[2] == 3.0
    write_series(tmp_path / "b", shape=(1, 10, 8), change=lambda k, t: setattr(t, "SliceThickness", None))
    with pytest.raises(DicomError, match="Slice Thickness"):
        read_ct(tmp_path / "b")


def test_multi_frame_ct_says_what_to_export(tmp_path):
    write_series(tmp_path, change=lambda k, t: setattr(t, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1"))
    with pytest.raises(DicomError, match="Enhanced"):
        read_ct(tmp_path)


def test_no_ct_or_no_folder(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(DicomError, match=r"no CT series .*1 files that are not DICOM"):
        read_ct(tmp_path)
    with pytest.raises(DicomError, match="does not exist"):
        read_ct(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0.5, 0.97, 0.05])
def test_cut_off_file_is_named(tmp_path, keep):
    path = write_series(tmp_path)[7]
    data = path.read_bytes()
    path.write_bytes(data[: max(140, int(len(data) * keep))])
    with pytest.raises(DicomError, match=r"007\.dcm"):
        read_ct(tmp_path)


def test_garbage_that_claims_to_be_dicom_is_named_and_listed(tmp_path):
    write_series(tmp_path)
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + bytes(range(256)))
    with pytest.raises(DicomError, match=r"bad\.dcm"):
        read_ct(tmp_path)
    assert any("bad.dcm" in line and "damaged" in line for line in scan_dicom(tmp_path).describe())


def test_compressed_pixels_that_cannot_be_unpacked_say_what_to_do(tmp_path):
    from pydicom.encaps import encapsulate

    def change(k, tags):
        tags.PixelData = encapsulate([b"\xff\x4f\xff\x51 no image"])
        tags["PixelData"].is_undefined_length = True
        tags.file_meta.TransferSyntaxUID = JPEG2000Lossless

    write_series(tmp_path, change=change)
    with pytest.raises(DicomError, match=r"compressed \(JPEG 2000.*(?s:.*)export it uncompressed"):
        read_ct(tmp_path)

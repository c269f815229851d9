"""Small DICOM series built by hand, so that each defect of a real one can be made on purpose."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
FRAME = "1.2.3.4"


def hu_at(points):
    """HU linear in the position, so that any flip, exchange or shift shows, and trilinear interpolation is exact."""
    return 6.0 * points[..., 0] - 4.0 * points[..., 1] + 8.0 * points[..., 2]


def dataset(sop_class, instance, modality, series="1.2.3.5"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    out.SOPClassUID, out.SOPInstanceUID, out.Modality = sop_class, instance, modality
    out.SeriesInstanceUID, out.StudyInstanceUID, out.FrameOfReferenceUID = series, "1.2.3.6", FRAME
    out.PatientID, out.PatientName = "1", "A^B"
    return out


def write_series(
    folder,
    *,
    shape=(12, 10, 8),
    spacing=(2.0, 1.5, 3.0),
    row=(1.0, 0.0, 0.0),
    column=(0.0, 1.0, 0.0),
    step=None,
    origin=(-7.0, 5.0, 20.0),
    series="1.2.3.5",
    change=None,
    name="{k:03d}.dcm",
):
    """Write shape = (slices, rows, columns); spacing along (row, column, slice). ``change(k, tags)`` may spoil a slice;
    when it returns False the slice is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.array(row, dtype=float), np.array(column, dtype=float)
    step = np.cross(row, column) * spacing[2] if step is None else np.array(step)
    paths = []
    for k in range(shape[0]):
        corner = np.array(origin) + k * step
        j, i = np.mgrid[: shape[1], : shape[2]]
        points = corner + i[..., None] * row * spacing[0] + j[..., None] * column * spacing[1]
        tags = dataset(CT_IMAGE, f"{series}.{k + 1}", "CT", series)
        tags.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        tags.PatientPosition, tags.SeriesDescription = "HFS", "made"
        tags.InstanceNumber = str(k + 1)
        tags.ImagePositionPatient = [f"{v:.10g}" for v in corner]
        tags.ImageOrientationPatient = [f"{v:.10g}" for v in (*row, *column)]
        tags.PixelSpacing, tags.SliceThickness = [str(spacing[1]), str(spacing[0])], str(spacing[2])
        tags.Rows, tags.Columns = shape[1], shape[2]
        tags.SamplesPerPixel, tags.PhotometricInterpretation = 1, "MONOCHROME2"
        tags.BitsAllocated, tags.BitsStored, tags.HighBit, tags.PixelRepresentation = 16, 16, 15, 1
        tags.RescaleSlope, tags.RescaleIntercept = "0.5", "-100"
        tags.PixelData = np.round((hu_at(points) + 100.0) / 0.5).astype(np.int16).tobytes()
        if change is not None and change(k, tags) is False:
            continue
        path = folder / name.format(k=k)
        tags.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def contour(points, kind="CLOSED_PLANAR"):
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = kind, str(len(points))
    item.ContourData = [f"{v:.6g}" for v in np.asarray(points, dtype=float).ravel()]
    return item


def write_structures(path, regions, *, frame=FRAME):
    """``regions``: name -> list of contour items, or None for a region without contours."""
    tags = dataset(RT_STRUCT, "1.2.3.9", "RTSTRUCT", "1.2.3.8")
    tags.StructureSetLabel = "made"
    del tags.FrameOfReferenceUID
    reference = Dataset()
    reference.FrameOfReferenceUID = frame
    tags.ReferencedFrameOfReferenceSequence = [reference]
    tags.StructureSetROISequence, tags.ROIContourSequence, tags.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = str(number), name, frame
        tags.StructureSetROISequence.append(roi)
        if contours is not None:
            drawn = Dataset()
            drawn.ReferencedROINumber, drawn.ROIDisplayColor = str(number), ["255", "0", "10"]
            drawn.ContourSequence = contours
            tags.ROIContourSequence.append(drawn)
        observed = Dataset()
        observed.ObservationNumber = observed.ReferencedROINumber = str(number)
        observed.RTROIInterpretedType = ""
        tags.RTROIObservationsSequence.append(observed)
    path.parent.mkdir(parents=True, exist_ok=True)
    tags.save_as(path, enforce_file_format=True)
    return path


def square(z, half=3.0, x=0.0, y=10.0):
    return [(x - half, y - half, z), (x + half, y - half, z), (x + half, y + half, z), (x - half, y + half, z)]

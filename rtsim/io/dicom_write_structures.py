"""Structures to an RTSTRUCT: closed planar contours on the CT planes; a hole is an inner contour (even-odd, XOR)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from rtsim.geometry.contours import PlanarContours, contours_from_coverage
from rtsim.geometry.grid import Grid
from rtsim.io.dicom_common import NOT_CLINICAL, StudyIds, new_object, reference, save
from rtsim.io.dicom_contours import ROLE_NOTE, off_plane
from rtsim.io.dicom_matter import write_matter
from rtsim.io.dicom_write_ct import CT_IMAGE, slice_uid
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import FloatArray

RT_STRUCTURE_SET: Final = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_COMPONENT: Final = "1.2.840.10008.3.1.2.3.1"
_TYPES: Final = {
    Role.GTV: "GTV",
    Role.CTV: "CTV",
    Role.ITV: "CTV",
    Role.PTV: "PTV",
    Role.OAR: "ORGAN",
    Role.PRV: "AVOIDANCE",
    Role.EXTERNAL: "EXTERNAL",
    Role.SUPPORT: "SUPPORT",
    Role.CONTROL: "CONTROL",
    Role.IMPLANT: "",  # DICOM has no term for implants; SUPPORT and FIXATION lie outside of the patient
}
_COLORS: Final = {
    Role.GTV: (255, 0, 0),
    Role.CTV: (255, 128, 0),
    Role.ITV: (255, 170, 0),
    Role.PTV: (255, 0, 255),
    Role.OAR: (0, 160, 255),
    Role.PRV: (0, 220, 180),
    Role.EXTERNAL: (190, 190, 190),
    Role.SUPPORT: (120, 120, 120),
    Role.CONTROL: (160, 160, 0),
    Role.IMPLANT: (160, 170, 180),
}
_CONTOUR_DATA: Final = Tag(0x3006, 0x0050)


def contours_on_planes(structure: Structure, grid: Grid) -> PlanarContours:
    """The structure's own contours when they lie on planes of ``grid``, none skipped; else outlines of its coverage."""
    own = structure.contours
    if own is not None and off_plane(own, grid) == 0:
        z = np.array([plane for plane, _ in own.planes()])
        if np.abs(np.diff(z) - grid.spacing_mm[2]).max(initial=0.0) < 0.01 * grid.spacing_mm[2]:
            return own
    if structure.grid.same_lattice(grid):
        return contours_from_coverage(structure.coverage, structure.grid)
    return contours_from_coverage(structure.coverage_on(grid), grid)


def write_structures(path: Path, phantom: Phantom, ids: StudyIds, *, with_ct: bool) -> Path:
    """Write all structures; ``with_ct``: whether the CT slices are written too and may be referred to."""
    tags = new_object(
        RT_STRUCTURE_SET,
        ids.of("RTSTRUCT"),
        ids.of("RTSTRUCT series"),
        "RTSTRUCT",
        ids,
        description="rtsim structures",
        number=2,
    )
    grid = phantom.grid
    tags.StructureSetLabel, tags.StructureSetName = "rtsim", phantom.name[:64]
    tags.StructureSetDescription = NOT_CLINICAL
    tags.StructureSetDate = tags.StructureSetTime = ""
    tags.ApprovalStatus = "UNAPPROVED"
    tags.FrameOfReferenceUID, tags.PositionReferenceIndicator = ids.frame_uid, ""
    tags.ReferencedFrameOfReferenceSequence = [_frame(ids, grid, with_ct)]
    rois, contours, observations = [], [], []
    overrides = {o.structure: o for o in phantom.overrides}
    for number, structure in enumerate(phantom.structures.values(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = str(number), structure.name[:64]
        roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = ids.frame_uid, "AUTOMATIC"
        rois.append(roi)
        contours.append(_contours(structure, number, grid, ids, with_ct))
        observation = Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = str(number)
        observation.ROIObservationDescription = ROLE_NOTE + structure.role.name
        observation.RTROIInterpretedType, observation.ROIInterpreter = _TYPES[structure.role], ""
        if structure.name in overrides:
            write_matter(observation, overrides[structure.name])
        observations.append(observation)
    tags.StructureSetROISequence, tags.ROIContourSequence = rois, contours
    tags.RTROIObservationsSequence = observations
    return save(tags, path)


def _raw_decimals(points: FloatArray) -> RawDataElement:
    """Contour points to 0.1 micrometer, encoded at once: pydicom would check each number one by one."""
    words = "\\".join(f"{v:.4f}".rstrip("0").rstrip(".") for v in points.ravel().tolist())
    data = (words + " " * (len(words) % 2)).encode("ascii")
    return RawDataElement(_CONTOUR_DATA, "DS", len(data), data, 0, is_implicit_VR=True, is_little_endian=True)


def _frame(ids: StudyIds, grid: Grid, with_ct: bool) -> Dataset:
    frame = Dataset()
    frame.FrameOfReferenceUID = ids.frame_uid
    if with_ct:
        series = Dataset()
        series.SeriesInstanceUID = ids.of("CT series")
        series.ContourImageSequence = [reference(CT_IMAGE, slice_uid(ids, k)) for k in range(grid.shape[0])]
        study = reference(_STUDY_COMPONENT, ids.study_uid)
        study.RTReferencedSeriesSequence = [series]
        frame.RTReferencedStudySequence = [study]
    return frame


def _contours(structure: Structure, number: int, grid: Grid, ids: StudyIds, with_ct: bool) -> Dataset:
    out = Dataset()
    out.ReferencedROINumber = str(number)
    out.ROIDisplayColor = [str(c) for c in structure.color or _COLORS[structure.role]]
    polygons = contours_on_planes(structure, grid)
    items = []
    for z, polygon in zip(polygons.z_mm, polygons.polygons, strict=True):
        points = np.column_stack([polygon, np.full(len(polygon), z)])
        item = Dataset()
        if with_ct:
            k = int(np.clip(round((z - grid.origin_mm[2]) / grid.spacing_mm[2]), 0, grid.shape[0] - 1))
            item.ContourImageSequence = [reference(CT_IMAGE, slice_uid(ids, k))]
        item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", str(len(points))
        item[_CONTOUR_DATA] = _raw_decimals(points)
        items.append(item)
    if items:
        out.ContourSequence = items
    return out

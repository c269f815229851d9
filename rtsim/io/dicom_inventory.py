"""What a folder of DICOM files holds, before anything is built from it: the material of ``rtsim info``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rtsim.errors import DicomError
from rtsim.io.dicom_contours import RoiContours, roi_contours
from rtsim.io.dicom_tags import NotDicomError, Tags, items, number, numbers, read_tags, text

logger = logging.getLogger(__name__)

_HEADER: Final = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "SeriesDescription",
    "FrameOfReferenceUID",
    "ImageType",
    "ImagePositionPatient",
    "PatientPosition",
    "PatientID",
    "PatientName",
    "StructureSetLabel",
    "RTPlanLabel",
    "RTPlanName",
    "DoseSummationType",
    "NumberOfFrames",
    "SliceThickness",
    "Rows",
    "Columns",
    "ReferencedFrameOfReferenceSequence",
    "FractionGroupSequence",
    "BeamSequence",
    "ReferencedRTPlanSequence",
]
_ENHANCED_CT: Final = "1.2.840.10008.5.1.4.1.1.2.1"
_BY_CLASS: Final = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    _ENHANCED_CT: "CT",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
}
"""Modality of a SOP class, for files that leave the modality empty."""


@dataclass(frozen=True, kw_only=True)
class SeriesEntry:
    """One CT series: identifiers, files, and how many localizers are left out."""

    series_instance_uid: str
    study_instance_uid: str
    description: str
    frame_of_reference_uid: str
    patient_position: str
    files: tuple[Path, ...]
    localizers: int
    enhanced: bool

    def __str__(self) -> str:
        frame, position = self.frame_of_reference_uid or "(none)", self.patient_position or "no patient position"
        return (
            f"CT series {self.series_instance_uid} {self.description!r}: {len(self.files)} slices, "
            f"frame of reference {frame}, {position}"
        )


@dataclass(frozen=True, kw_only=True)
class StructureSetEntry:
    """One RTSTRUCT and its regions of interest, each with the contours that are skipped and why."""

    file: Path
    sop_instance_uid: str
    label: str
    frames_of_reference: tuple[str, ...]
    rois: tuple[RoiContours, ...]


@dataclass(frozen=True, kw_only=True)
class PlanEntry:
    """One RTPLAN; ``label`` has 16 characters at most, ``name`` is the whole of it where there is one."""

    file: Path
    sop_instance_uid: str
    label: str
    name: str
    beams: tuple[str, ...]
    fractions: int | None

    @property
    def title(self) -> str:
        """The name where it is the label, cut at 16 characters, in full; else the label."""
        return self.name if self.name.startswith(self.label) else self.label


@dataclass(frozen=True, kw_only=True)
class DoseEntry:
    """One RTDOSE; ``beams`` the numbers of those that it says it is of."""

    file: Path
    sop_instance_uid: str
    summation: str
    frames: int
    plan_uid: str
    beams: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class DicomInventory:
    """What was found in a folder.

    Attributes:
        ct_series, structure_sets, plans, doses: what rtsim can read.
        others: (modality, count) of DICOM objects that it leaves alone.
        damaged: (file, reason) of files that claim to be DICOM and cannot be read.
        not_dicom: how many other files lie there.
    """

    folder: Path
    ct_series: tuple[SeriesEntry, ...]
    structure_sets: tuple[StructureSetEntry, ...]
    plans: tuple[PlanEntry, ...]
    doses: tuple[DoseEntry, ...]
    others: tuple[tuple[str, int], ...]
    damaged: tuple[tuple[Path, str], ...]
    not_dicom: int

    def describe(self) -> tuple[str, ...]:
        """Lines of text: what was found, and every contour that is skipped with its reason."""
        lines = [f"{self.folder}"]
        lines += [str(s) + (f"; {s.localizers} localizers left out" if s.localizers else "") for s in self.ct_series]
        lines += [] if self.ct_series else ["no CT series"]
        for s in self.structure_sets:
            lines.append(
                f"structure set {s.label!r} ({s.file.name}): {len(s.rois)} structures, frame of reference "
                f"{', '.join(s.frames_of_reference) or '(none)'}"
            )
            for roi in s.rois:
                lines.append(f"  {roi}")
                lines += [f"    skipped: {reason}" for reason in roi.skipped]
        for p in self.plans:
            lines.append(
                f"plan {p.label!r} ({p.file.name}): {len(p.beams)} beams ({', '.join(p.beams)}), "
                f"{p.fractions if p.fractions is not None else 'unknown number of'} fractions"
            )
        lines += [f"dose {d.summation} ({d.file.name}): {d.frames} planes" for d in self.doses]
        lines += [f"{count} {modality} objects, not read" for modality, count in self.others]
        lines += [f"damaged: {reason}" for _, reason in self.damaged]
        if self.not_dicom:
            lines.append(f"{self.not_dicom} files that are not DICOM")
        return tuple(lines)


def scan_dicom(folder: str | Path) -> DicomInventory:
    """Look at every file below ``folder`` (nested, in any order, with or without a suffix) and list what is there.

    Raises:
        DicomError: the folder does not exist.
    """
    root = Path(folder)
    if not root.exists():
        raise DicomError(f"{root} does not exist; give a folder that holds a CT series, or one DICOM file")
    found: list[tuple[Path, Tags]] = []
    damaged: list[tuple[Path, str]] = []
    not_dicom = 0
    for path in _files(root):
        try:
            found.append((path, read_tags(path, only=_HEADER)))
        except NotDicomError:
            not_dicom += 1
        except DicomError as error:
            damaged.append((path, str(error)))
    structures, plans, doses = [], [], []
    images: dict[str, list[tuple[Path, Tags]]] = {}
    others: dict[str, int] = {}
    for path, tags in found:
        modality = text(tags, "Modality") or _BY_CLASS.get(text(tags, "SOPClassUID"), "unknown")
        if modality == "CT" and not (text(tags, "SeriesInstanceUID") and text(tags, "Rows")):
            damaged.append((path, f"{path} is damaged or cut off (no Series Instance UID or no Rows); copy it again"))
        elif modality == "CT":
            images.setdefault(text(tags, "SeriesInstanceUID"), []).append((path, tags))
        elif modality == "RTSTRUCT":
            try:
                structures.append(_structure_set(path, tags))
            except DicomError as error:
                damaged.append((path, str(error)))
        elif modality == "RTPLAN":
            plans.append(_plan(path, tags))
        elif modality == "RTDOSE":
            doses.append(_dose(path, tags))
        else:
            others[modality] = others.get(modality, 0) + 1
    return DicomInventory(
        folder=root,
        ct_series=tuple(_series(uid, members) for uid, members in images.items()),
        structure_sets=tuple(structures),
        plans=tuple(plans),
        doses=tuple(doses),
        others=tuple(sorted(others.items())),
        damaged=tuple(damaged),
        not_dicom=not_dicom,
    )


def _files(root: Path) -> Iterable[Path]:
    if root.is_file():
        return (root,)
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".") and p.name != "DICOMDIR")


def _series(uid: str, members: list[tuple[Path, Tags]]) -> SeriesEntry:
    images = [(p, t) for p, t in members if "LOCALIZER" not in text(t, "ImageType").upper()]
    first = (images or members)[0][1]
    return SeriesEntry(
        series_instance_uid=uid,
        study_instance_uid=text(first, "StudyInstanceUID"),
        description=text(first, "SeriesDescription"),
        frame_of_reference_uid=text(first, "FrameOfReferenceUID"),
        patient_position=text(first, "PatientPosition"),
        files=tuple(p for p, _ in images),
        localizers=len(members) - len(images),
        enhanced=text(first, "SOPClassUID") == _ENHANCED_CT,
    )


def _structure_set(path: Path, header: Tags) -> StructureSetEntry:
    frames = tuple(
        f for f in (text(i, "FrameOfReferenceUID") for i in items(header, "ReferencedFrameOfReferenceSequence")) if f
    )
    try:
        tags = read_tags(path)
    except NotDicomError as error:
        raise DicomError(f"{path} cannot be read as an RTSTRUCT") from error
    return StructureSetEntry(
        file=path,
        sop_instance_uid=text(header, "SOPInstanceUID"),
        label=text(header, "StructureSetLabel"),
        frames_of_reference=frames,
        rois=roi_contours(tags),
    )


def _plan(path: Path, tags: Tags) -> PlanEntry:
    groups = items(tags, "FractionGroupSequence")
    fractions = number(groups[0], "NumberOfFractionsPlanned") if groups else None
    names = tuple(text(b, "BeamName") or text(b, "BeamNumber") for b in items(tags, "BeamSequence"))
    return PlanEntry(
        file=path,
        sop_instance_uid=text(tags, "SOPInstanceUID"),
        label=text(tags, "RTPlanLabel"),
        name=text(tags, "RTPlanName"),
        beams=names,
        fractions=None if fractions is None else int(fractions),
    )


def _dose(path: Path, tags: Tags) -> DoseEntry:
    plans = items(tags, "ReferencedRTPlanSequence")
    frames = numbers(tags, "NumberOfFrames")
    groups = items(plans[0], "ReferencedFractionGroupSequence") if plans else []
    beams = [number(b, "ReferencedBeamNumber") for g in groups for b in items(g, "ReferencedBeamSequence")]
    return DoseEntry(
        file=path,
        sop_instance_uid=text(tags, "SOPInstanceUID"),
        summation=text(tags, "DoseSummationType", "unknown"),
        frames=1 if frames is None else int(frames[0]),
        plan_uid=text(plans[0], "ReferencedSOPInstanceUID") if plans else "",
        beams=tuple(int(n) for n in beams if n is not None),
    )

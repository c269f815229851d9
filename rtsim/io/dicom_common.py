"""What the written DICOM objects share: identifiers derived from the content, patient, study, equipment."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from rtsim.errors import InputError
from rtsim.io.dicom_tags import quiet

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_OID, "rtsim.dicom")
NOT_CLINICAL: Final = "rtsim simulation; not for clinical use"
IMPLEMENTATION: Final = "2.25." + str(uuid.uuid5(_NAMESPACE, "implementation").int)


def uid(*content: str) -> str:
    """A DICOM UID that depends only on ``content``: name-based UUID (RFC 4122 version 5) under 2.25 (PS3.5 B.2)."""
    return "2.25." + str(uuid.uuid5(_NAMESPACE, "\x1f".join(content)).int)


def decimal(value: float) -> str:
    """A DICOM decimal string: the shortest of at most 16 characters that keeps the most digits."""
    if not np.isfinite(value):
        raise InputError(f"{value} cannot be written to DICOM; numbers must be finite")
    plain = repr(float(value))
    if plain.endswith(".0"):
        plain = plain[:-2]
    if len(plain) <= 16:
        return "0" if plain == "-0" else plain
    for digits in range(16, 0, -1):
        short = f"{value:.{digits}g}"
        if len(short) <= 16:
            return short
    raise InputError(f"{value} does not fit a DICOM decimal string")


def decimals(values: Any) -> list[str]:
    """Decimal strings of an array."""
    return [decimal(float(v)) for v in np.asarray(values, dtype=np.float64).ravel()]


@dataclass(frozen=True, kw_only=True)
class StudyIds:
    """Who and where: the same in every object of one set.

    Attributes:
        content: digest of CT and structures, from which all identifiers follow.
    """

    patient_name: str
    patient_id: str
    study_uid: str
    frame_uid: str
    content: str

    def of(self, *what: str) -> str:
        """UID of one object or series of the set."""
        return uid(self.content, *what)


def new_object(
    sop_class: str, instance: str, series: str, modality: str, ids: StudyIds, *, description: str, number: int
) -> FileDataset:
    """A dataset with the modules that every object has: patient, study, series, equipment, SOP common."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if modality in ("CT", "RTDOSE") else ImplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.ImplementationVersionName = "RTSIM"
    out = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    out.SpecificCharacterSet = "ISO_IR 192"
    out.SOPClassUID, out.SOPInstanceUID = UID(sop_class), UID(instance)
    out.PatientName, out.PatientID = ids.patient_name, ids.patient_id
    out.PatientBirthDate = out.PatientSex = ""
    out.StudyInstanceUID, out.SeriesInstanceUID = ids.study_uid, series
    out.StudyDate = out.StudyTime = out.AccessionNumber = out.ReferringPhysicianName = ""
    out.StudyID, out.SeriesNumber = "1", str(number)
    out.StudyDescription, out.SeriesDescription = NOT_CLINICAL, description[:64]
    out.Modality, out.Manufacturer, out.ManufacturerModelName = modality, "rtsim", "rtsim"
    out.SoftwareVersions = _version()
    out.OperatorsName = ""
    return out


def reference(sop_class: str, instance: str) -> Dataset:
    """An item that refers to one object."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(sop_class), UID(instance)
    return item


def save(tags: FileDataset, path: Path) -> Path:
    """Write one object."""
    with quiet():
        tags.save_as(path, enforce_file_format=True)
    return path


def _version() -> str:
    try:
        return version("rtsim")
    except PackageNotFoundError:
        return "source"

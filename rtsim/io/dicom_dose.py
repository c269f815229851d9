"""RTDOSE to Dose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import DicomError
from rtsim.io.dicom_ct import along_lps
from rtsim.io.dicom_inventory import scan_dicom
from rtsim.io.dicom_tags import NotDicomError, Tags, number, numbers, quiet, read_tags, text
from rtsim.typing import FloatArray


def read_dose(path: str | Path, *, fractions: int | None = None) -> Dose:
    """Read an RTDOSE file, or the one plan dose of a folder, in Gy along LPS.

    Args:
        fractions: how many equal fractions it is the sum of; default what the RTPLAN beside it says, else 1.

    Raises:
        DicomError: no dose, several, relative units, or a grid that cannot be read.
    """
    inventory = scan_dicom(path)
    doses = inventory.doses
    if len(doses) > 1:
        doses = tuple(d for d in doses if d.summation == "PLAN") or doses
    if len(doses) != 1:
        found = ", ".join(f"{d.file.name} ({d.summation})" for d in doses) or "none"
        reason = inventory.damaged[0][1] if inventory.damaged and not doses else "give the file of one dose"
        raise DicomError(f"{path} holds {len(doses)} RTDOSE ({found}); {reason}")
    file = doses[0].file
    try:
        tags = read_tags(file, pixels=True)
    except NotDicomError as error:
        raise DicomError(f"{file} is not an RTDOSE") from error
    units = text(tags, "DoseUnits", "GY")
    if units != "GY":
        raise DicomError(f"{file} holds dose in {units} units; export it in GY")
    scaling = number(tags, "DoseGridScaling")
    if scaling is None:
        raise DicomError(f"{file} has no Dose Grid Scaling; its numbers mean nothing without it")
    values = _pixels(file, tags).astype(np.float64) * scaling
    origin, columns, values = _geometry(file, tags, values)
    notes: list[str] = []
    volume, grid = along_lps(values.astype(np.float32), origin, columns, notes, fill=0.0)
    if fractions is None:
        plan = doses[0].plan_uid
        matching = [p.fractions for p in inventory.plans if p.fractions and plan in ("", p.sop_instance_uid)]
        fractions = matching[0] if len(matching) == 1 and matching[0] else 1
    makers = dict.fromkeys(v for v in (text(tags, "Manufacturer"), text(tags, "ManufacturerModelName")) if v)
    source = " ".join(makers) or "RTDOSE"
    return Dose(
        values_gy=volume,
        grid=grid,
        fractions=fractions,
        engine="; ".join([f"{source} ({text(tags, 'DoseSummationType', 'PLAN')})", *notes]),
    )


def _pixels(file: Path, tags: Tags) -> FloatArray:
    try:
        with quiet():
            stored = np.asarray(tags.pixel_array)
    except Exception as error:
        raise DicomError(f"{file} is damaged or cut off: its dose cannot be read ({error})") from error
    return stored[None] if stored.ndim == 2 else stored


def _geometry(file: Path, tags: Tags, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Origin (3,), index columns (3, 3), and the values with their planes at rising offsets."""
    position, orientation = numbers(tags, "ImagePositionPatient", 3), numbers(tags, "ImageOrientationPatient", 6)
    spacing = numbers(tags, "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None:
        raise DicomError(f"{file} lacks Image Position, Image Orientation or Pixel Spacing; the dose cannot be placed")
    normal = np.cross(orientation[:3], orientation[3:])
    offsets = numbers(tags, "GridFrameOffsetVector", len(values))
    if offsets is None:
        if len(values) > 1:
            raise DicomError(f"{file} has {len(values)} planes but no Grid Frame Offset Vector of that length")
        offsets = np.zeros(1)
    elif abs(offsets[0]) > 1e-3:  # absolute z coordinates (PS3.3 C.8.8.3.2, for orientation 1 0 0 0 1 0)
        offsets = (offsets - offsets[0]) * (1.0 if abs(normal[2]) < 0.5 else float(np.sign(normal[2])))
    order = np.argsort(offsets)
    offsets, values = offsets[order], values[order]
    steps = np.diff(offsets)
    if steps.size and (steps.min() <= 0 or np.ptp(steps) > 0.02 * steps.mean()):
        raise DicomError(f"{file}: dose planes lie {steps.min():g} .. {steps.max():g} mm apart; equal steps are needed")
    step = float(steps.mean()) if steps.size else (number(tags, "SliceThickness") or float(spacing[0]))
    columns = np.stack([orientation[:3] * spacing[1], orientation[3:] * spacing[0], normal * step], axis=1)
    return position + normal * offsets[0], columns, values

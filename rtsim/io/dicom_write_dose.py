"""Dose to an RTDOSE in Gy on the dose grid."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.io.dicom_common import StudyIds, decimal, decimals, new_object, reference, save, uid
from rtsim.io.dicom_write_plan import RT_PLAN

RT_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"


def write_dose(path: Path, dose: Dose, ids: StudyIds, plan_instance: str, *, bits: int = 16) -> Path:
    """Write the dose of the whole plan (all fractions) in steps of max / (2**bits - 1).

    Args:
        bits: 16 (steps of 0.0015 % of the maximum) or 32 (below float32).

    Raises:
        InputError: negative dose, which a physical RT Dose stored unsigned cannot hold; other ``bits``.
    """
    if bits not in (16, 32):
        raise InputError(f"bits of the dose is {bits}; an RTDOSE holds 16 or 32")
    highest = 2**bits - 1
    values = dose.values_gy.astype(np.float64)
    if values.min() < 0:
        raise InputError(f"dose reaches {values.min():g} Gy; a physical dose is >= 0")
    scaling = decimal(max(float(values.max()), 1e-30) / highest * (1 + 1e-9))
    digest = hashlib.sha256(dose.values_gy.tobytes() + repr((dose.grid, bits)).encode()).hexdigest()
    instance = uid(ids.content, "RTDOSE", plan_instance, digest)
    tags = new_object(
        RT_DOSE, instance, uid(instance, "series"), "RTDOSE", ids, description=dose.engine or "dose", number=4
    )
    grid = dose.grid
    tags.FrameOfReferenceUID, tags.PositionReferenceIndicator = ids.frame_uid, ""
    tags.InstanceNumber = "1"
    tags.ContentDate = tags.ContentTime = ""
    tags.ImagePositionPatient, tags.ImageOrientationPatient = decimals(grid.origin_mm), ["1", "0", "0", "0", "1", "0"]
    tags.PixelSpacing = decimals([grid.spacing_mm[1], grid.spacing_mm[0]])
    tags.SliceThickness = decimal(grid.spacing_mm[2])
    tags.SamplesPerPixel, tags.PhotometricInterpretation = 1, "MONOCHROME2"
    tags.NumberOfFrames, tags.FrameIncrementPointer = str(grid.shape[0]), 0x3004000C
    tags.Rows, tags.Columns = grid.shape[1], grid.shape[2]
    tags.BitsAllocated, tags.BitsStored, tags.HighBit, tags.PixelRepresentation = bits, bits, bits - 1, 0
    tags.DoseUnits, tags.DoseType, tags.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    tags.DoseComment = "rtsim; not for clinical use"
    tags.GridFrameOffsetVector = decimals(np.arange(grid.shape[0]) * grid.spacing_mm[2])
    tags.DoseGridScaling, tags.TissueHeterogeneityCorrection = scaling, "IMAGE"
    tags.ReferencedRTPlanSequence = [reference(RT_PLAN, plan_instance)]
    whole = np.round(values / float(scaling))
    tags.PixelData = np.minimum(whole, highest).astype(f"<u{bits // 8}").tobytes()
    return save(tags, path)

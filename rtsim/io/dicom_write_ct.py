"""CT to a series of CT Image Storage, one file a slice."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from rtsim.ct.volume import CT
from rtsim.errors import InputError
from rtsim.io.dicom_common import StudyIds, decimal, decimals, new_object, save
from rtsim.typing import Progress

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
_INT16: Final = 32767
_FINE_HU: Final = 0.1


def write_ct(folder: Path, ct: CT, ids: StudyIds, progress: Progress | None = None) -> tuple[Path, ...]:
    """Write the slices ``CT_0000.dcm`` ... and return their paths in the order of z.

    Whole HU are stored as they are; others in steps of 0.1 HU where 16 bits hold them (|HU| < 3276), else rounded.

    Raises:
        InputError: HU beyond what 16 bits hold.
    """
    slope = _slope(ct)
    stored = np.round(ct.hu.astype(np.float64) / slope)
    if np.abs(stored).max() > _INT16:
        raise InputError(f"HU reach {float(np.abs(ct.hu).max()):g}; DICOM CT holds at most {_INT16} HU. Clip the CT")
    pixels = stored.astype(np.int16)
    series = ids.of("CT series")
    paths = []
    for k, z in enumerate(ct.grid.z_mm):
        tags = new_object(CT_IMAGE, slice_uid(ids, k), series, "CT", ids, description="CT", number=1)
        tags.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        tags.InstanceNumber, tags.AcquisitionNumber = str(k + 1), "1"
        tags.FrameOfReferenceUID, tags.PositionReferenceIndicator = ids.frame_uid, ""
        tags.PatientPosition = "HFS"
        tags.KVP = tags.Laterality = ""
        tags.SliceThickness = decimal(ct.grid.spacing_mm[2])
        tags.ImagePositionPatient = decimals([ct.grid.origin_mm[0], ct.grid.origin_mm[1], round(float(z), 9)])
        tags.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        tags.PixelSpacing = decimals([ct.grid.spacing_mm[1], ct.grid.spacing_mm[0]])
        tags.SamplesPerPixel, tags.PhotometricInterpretation = 1, "MONOCHROME2"
        tags.Rows, tags.Columns = ct.grid.shape[1], ct.grid.shape[2]
        tags.BitsAllocated, tags.BitsStored, tags.HighBit, tags.PixelRepresentation = 16, 16, 15, 1
        tags.RescaleIntercept, tags.RescaleSlope, tags.RescaleType = "0", decimal(slope), "HU"
        tags.WindowCenter, tags.WindowWidth = "40", "400"
        tags.PixelData = pixels[k].tobytes()
        paths.append(save(tags, folder / f"CT_{k:04d}.dcm"))
        if progress is not None:
            progress((k + 1) / ct.grid.shape[0], "writing CT")
    return tuple(paths)


def slice_uid(ids: StudyIds, k: int) -> str:
    """SOP Instance UID of slice ``k``."""
    return ids.of("CT slice", str(k))


def _slope(ct: CT) -> float:
    whole = bool((ct.hu == np.round(ct.hu)).all())
    return 1.0 if whole or float(np.abs(ct.hu).max()) >= _INT16 * _FINE_HU else _FINE_HU

"""Floor 8: DICOM in and out, case files, result archives.

phantom = read_dicom("patient/")
write_dicom("out/", phantom, plan, dose)
"""

from typing import Any

from rtsim.io.dicom_dose import read_dose
from rtsim.io.dicom_inventory import DicomInventory, scan_dicom
from rtsim.io.dicom_plan import read_plan
from rtsim.io.dicom_read import read_ct, read_dicom, read_structures
from rtsim.io.dicom_write import DicomSet, write_dicom

__all__ = [
    "DicomInventory",
    "DicomSet",
    "read_ct",
    "read_dicom",
    "read_dose",
    "read_plan",
    "read_previous",
    "read_structures",
    "scan_dicom",
    "write_dicom",
]


def __getattr__(name: str) -> Any:
    """``read_previous`` brings the planners, which reading a patient does not need."""
    if name == "read_previous":
        from rtsim.io.previous_dose import read_previous

        return read_previous
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

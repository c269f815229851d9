"""Floor 8: DICOM in and out, case files, result archives.

phantom = read_dicom("patient/")
write_dicom("out/", phantom, plan, dose)
"""

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
    "read_structures",
    "scan_dicom",
    "write_dicom",
]

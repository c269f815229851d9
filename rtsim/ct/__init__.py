"""CT: Hounsfield units on a grid, their calibration, and the matter that follows from it.

density_g_cm3, material_index, materials = ct.matter_from_hu(volume.hu, ct.read_calibration("scanner.csv"))
"""

from rtsim.ct.calibration import CalibrationCurve, default_curve
from rtsim.ct.curve_files import read_calibration
from rtsim.ct.matter import AboveCurve, Matter, calibration_notes, matter_from_density, matter_from_hu
from rtsim.ct.volume import CT

__all__ = [
    "CT",
    "AboveCurve",
    "CalibrationCurve",
    "Matter",
    "calibration_notes",
    "default_curve",
    "matter_from_density",
    "matter_from_hu",
    "read_calibration",
]

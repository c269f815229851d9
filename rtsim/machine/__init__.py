"""What treatment machines can do: spectrum, head, jaws, MLC, wedges, limits, output. Data in ``machine/data/*.toml``.

machine = load_machine("generic_6fff")
bare = point_source(materials.spectrum("mohan6"))
"""

from rtsim.machine.limits import Limits
from rtsim.machine.linac_spectrum import linac_spectrum
from rtsim.machine.model import (
    Calibration,
    ElectronContamination,
    ExtraFocalSource,
    FocalSpot,
    Jaws,
    Machine,
    MultileafCollimator,
    OffAxisProfile,
    Wedge,
)
from rtsim.machine.read import load_machine, names, point_source

__all__ = [
    "Calibration",
    "ElectronContamination",
    "ExtraFocalSource",
    "FocalSpot",
    "Jaws",
    "Limits",
    "Machine",
    "MultileafCollimator",
    "OffAxisProfile",
    "Wedge",
    "linac_spectrum",
    "load_machine",
    "names",
    "point_source",
]

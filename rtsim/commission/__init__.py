"""Commissioning: from measured depth doses, profiles and output factors to a machine of one's own.

measured = read_measured(Path("measured/"))
fitted = fit_machine(measured, load_machine("generic_6x"))
print(fitted.residuals)
write_machine(Path("my_linac.toml"), fitted)
"""

from rtsim.commission.checks import Finding, check_measured
from rtsim.commission.curve_files import write_curves
from rtsim.commission.fit import Fitted, FittedValue, fit_machine
from rtsim.commission.machine_file import machine_toml, write_machine
from rtsim.commission.measured import Axis, DepthDose, MeasuredSet, OutputFactors, Profile
from rtsim.commission.read import read_measured
from rtsim.commission.residuals import CurveResidual

__all__ = [
    "Axis",
    "CurveResidual",
    "DepthDose",
    "Finding",
    "Fitted",
    "FittedValue",
    "MeasuredSet",
    "OutputFactors",
    "Profile",
    "check_measured",
    "fit_machine",
    "machine_toml",
    "read_measured",
    "write_curves",
    "write_machine",
]

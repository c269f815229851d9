"""How many monitor units a machine gives in one go."""

from __future__ import annotations

from rtsim.beams.model import Beam
from rtsim.errors import MachineLimitError


def check_monitor_units(beam: Beam) -> None:
    """Refuse a beam of more monitor units than its machine gives in one go.

    A machine without calibration is not held to it: its beams carry photons per cm2.

    Raises:
        MachineLimitError: with the monitor units and the limit.
    """
    limit = beam.machine.limits.max_monitor_units_per_beam
    if beam.machine.calibration is not None and beam.monitor_units > limit * (1.0 + 1e-9):
        raise MachineLimitError(
            f"{beam.label} needs {beam.monitor_units:.6g} MU; {beam.machine.name} gives at most {limit:g} MU a beam "
            "(max_monitor_units_per_beam). Use more beams, fewer levels, or more fractions"
        )

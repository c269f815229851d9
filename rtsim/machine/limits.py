"""What gantry, dose rate, jaws and monitor units of a machine can do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rtsim.errors import InputError


def check_range(owner: str, name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse a value that is not finite or not in low <= value <= high."""
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"{name} of {owner} is {value}; allowed are {low:g} <= {name} <= {high:g} {unit}".rstrip())


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What gantry, dose rate, jaws and monitor units can do. None: not limited here.

    Attributes:
        max_dose_rate_mu_min, min_dose_rate_mu_min: of a beam that is on; between them the rate varies continuously.
        max_gantry_speed_deg_s, min_gantry_speed_deg_s: of a gantry that turns while the beam is on.
        max_gantry_acceleration_deg_s2: from rest to turning, and between two speeds.
        gantry_overtravel_deg: how far the gantry turns beyond 180 degrees from either side; None: without end.
        min_monitor_units_per_degree, max_monitor_units_per_degree: of an arc, wherever the beam is on.
        max_jaw_speed_mm_s: in the isocenter plane. The speed of leaves is that of the multileaf collimator.
        max_monitor_units_per_beam, min_monitor_units_per_beam: of a whole beam.
        min_monitor_units_per_segment: of each static segment.
        beam_on_overhead_s: seconds from a set aperture to radiation, each time that the beam is turned on.
        collimator_speed_deg_s, couch_speed_deg_s: turns between beams; None: their time is not counted.
    """

    max_dose_rate_mu_min: float = 600.0
    min_dose_rate_mu_min: float = 0.0
    max_gantry_speed_deg_s: float = 6.0
    min_gantry_speed_deg_s: float = 0.0
    max_gantry_acceleration_deg_s2: float | None = None
    gantry_overtravel_deg: float | None = None
    min_monitor_units_per_degree: float = 0.0
    max_monitor_units_per_degree: float | None = None
    max_jaw_speed_mm_s: float = 25.0
    max_monitor_units_per_beam: float = 9999.0
    min_monitor_units_per_beam: float = 0.0
    min_monitor_units_per_segment: float = 1.0
    beam_on_overhead_s: float = 0.0
    collimator_speed_deg_s: float | None = None
    couch_speed_deg_s: float | None = None

    def __post_init__(self) -> None:
        owner = "the limits"
        check_range(owner, "max_dose_rate_mu_min", self.max_dose_rate_mu_min, 1.0, 1e5, "MU/min")
        check_range(owner, "min_dose_rate_mu_min", self.min_dose_rate_mu_min, 0.0, self.max_dose_rate_mu_min, "MU/min")
        check_range(owner, "max_gantry_speed_deg_s", self.max_gantry_speed_deg_s, 1e-3, 360.0, "deg/s")
        top = self.max_gantry_speed_deg_s
        check_range(owner, "min_gantry_speed_deg_s", self.min_gantry_speed_deg_s, 0.0, top, "deg/s")
        if self.max_gantry_acceleration_deg_s2 is not None:
            name = "max_gantry_acceleration_deg_s2"
            check_range(owner, name, self.max_gantry_acceleration_deg_s2, 1e-3, 1e4, "deg/s2")
        if self.gantry_overtravel_deg is not None:
            check_range(owner, "gantry_overtravel_deg", self.gantry_overtravel_deg, 0.0, 180.0, "deg")
        most = 1e6 if self.max_monitor_units_per_degree is None else self.max_monitor_units_per_degree
        check_range(owner, "max_monitor_units_per_degree", most, 1e-3, 1e6, "MU/deg")
        check_range(owner, "min_monitor_units_per_degree", self.min_monitor_units_per_degree, 0.0, most, "MU/deg")
        check_range(owner, "max_jaw_speed_mm_s", self.max_jaw_speed_mm_s, 0.1, 1000.0, "mm/s")
        check_range(owner, "max_monitor_units_per_beam", self.max_monitor_units_per_beam, 1e-3, 1e6, "MU")
        check_range(owner, "min_monitor_units_per_segment", self.min_monitor_units_per_segment, 0.0, 1e6, "MU")
        most = self.max_monitor_units_per_beam
        check_range(owner, "min_monitor_units_per_beam", self.min_monitor_units_per_beam, 0.0, most, "MU")
        check_range(owner, "beam_on_overhead_s", self.beam_on_overhead_s, 0.0, 600.0, "s")
        for name in ("collimator_speed_deg_s", "couch_speed_deg_s"):
            if getattr(self, name) is not None:
                check_range(owner, name, getattr(self, name), 1e-3, 360.0, "deg/s")

    @property
    def monitor_units_per_degree(self) -> tuple[float, float]:
        """Lowest and highest of an arc: stated, or all that the highest dose rate gives at the least gantry speed."""
        stated = math.inf if self.max_monitor_units_per_degree is None else self.max_monitor_units_per_degree
        slowest = self.min_gantry_speed_deg_s
        given = self.max_dose_rate_mu_min / 60.0 / slowest if slowest > 0.0 else math.inf
        return self.min_monitor_units_per_degree, min(stated, given)

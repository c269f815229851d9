"""What is sent at the phantom: beams, their shapes and beamlets, and the usual arrangements.

    beams = posterior(machine, count=9, target=phantom["PTV"])
    beams = with_beamlets(beams, phantom["PTV"], pitch_mm=5.0, margin_mm=5.0)

Beam's-eye-view directions (IEC 61217, head-first supine): at gantry 0, couch 0, collimator 0 BLD +x points to the
patient's left and +y superior; at gantry 180 +x points to the patient's right and +y superior.
"""

from rtsim.beams.apertures import beamlet_opening, check_aperture, rectangular_aperture
from rtsim.beams.arrangements import (
    anterior_posterior,
    coplanar,
    equidistant,
    lateral_pair,
    posterior,
    posterior_anterior,
    posterior_with_wedged_obliques,
    wedge_toward,
)
from rtsim.beams.beamlets import with_beamlets
from rtsim.beams.conformal import conform, conformal_aperture, conformal_arc
from rtsim.beams.delivery_limits import DeliveryCheck, check_delivery, largest_scale
from rtsim.beams.delivery_time import DeliveryTime, IntervalTime, delivery_time, treatment_seconds
from rtsim.beams.model import Aperture, Beam, Beamlets, ControlPoint, same_aperture, static_control_points
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.beams.outline import Outline, project_outline

__all__ = [
    "Aperture",
    "Beam",
    "Beamlets",
    "ControlPoint",
    "DeliveryCheck",
    "DeliveryTime",
    "IntervalTime",
    "Outline",
    "anterior_posterior",
    "beamlet_opening",
    "check_aperture",
    "check_delivery",
    "check_monitor_units",
    "conform",
    "conformal_aperture",
    "conformal_arc",
    "coplanar",
    "delivery_time",
    "equidistant",
    "largest_scale",
    "lateral_pair",
    "posterior",
    "posterior_anterior",
    "posterior_with_wedged_obliques",
    "project_outline",
    "rectangular_aperture",
    "same_aperture",
    "static_control_points",
    "treatment_seconds",
    "wedge_toward",
    "with_beamlets",
]

"""Apertures: leaf ends and monitor units of all segments, optimized together (direct aperture optimization)."""

from rtsim.optimize.apertures.direct import optimize_apertures
from rtsim.optimize.apertures.motion import Motion
from rtsim.optimize.apertures.settings import DirectAperture

__all__ = ["DirectAperture", "Motion", "optimize_apertures"]

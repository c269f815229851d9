"""Apertures: segments whose leaf ends and monitor units are optimized together (direct aperture optimization)."""

from rtsim.optimize.apertures.direct import optimize_apertures
from rtsim.optimize.apertures.draft import SegmentsDraft
from rtsim.optimize.apertures.improvement import Improvement
from rtsim.optimize.apertures.motion import Motion
from rtsim.optimize.apertures.settings import DirectAperture

__all__ = ["DirectAperture", "Improvement", "Motion", "SegmentsDraft", "optimize_apertures"]

"""Volumetric modulated arcs: leaves and monitor units of moving control points, optimized directly."""

from rtsim.optimize.arcs.descent import Descent
from rtsim.optimize.arcs.draft import ArcDraft
from rtsim.optimize.arcs.paths import ArcPath
from rtsim.optimize.arcs.settings import Arcs

__all__ = ["ArcDraft", "ArcPath", "Arcs", "Descent"]

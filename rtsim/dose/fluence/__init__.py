"""Fluence: what the head of the machine lets through, on a raster in the isocenter plane."""

from rtsim.dose.fluence.collimation import primary_profile
from rtsim.dose.fluence.model import each_fluence_map, fluence_maps
from rtsim.dose.fluence.raster import FluenceMap, Raster

__all__ = ["FluenceMap", "Raster", "each_fluence_map", "fluence_maps", "primary_profile"]

"""The dose-volume histogram: the one reading of a dose in a structure, for planners, certificates and grades alike."""

from rtsim.dose.dvh.model import DVH, dvh

__all__ = ["DVH", "dvh"]

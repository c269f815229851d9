"""The dose-volume histogram: the one reading of a dose in a structure, for planners, certificates and grades alike."""

from rtsim.dose.dvh.isodose import isodose_volumes_cm3
from rtsim.dose.dvh.model import DVH, dvh
from rtsim.dose.dvh.reading import homogeneity_icru83, known_prescription, value_of_dvh

__all__ = ["DVH", "dvh", "homogeneity_icru83", "isodose_volumes_cm3", "known_prescription", "value_of_dvh"]

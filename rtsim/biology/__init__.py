"""Pure functions from dose to effect: LQ, BED, EQD2, gEUD, TCP, NTCP, and the classes of radiosensitivity."""

from rtsim.biology.adequacy import Adequacy, AdequacyVerdict, adequacy
from rtsim.biology.geud import geud_gy
from rtsim.biology.histologies import histology, histology_names
from rtsim.biology.isoeffect import CORD_EQD2_GY, cord_limit_gy, isoeffective_dose_gy, remaining_dose_gy
from rtsim.biology.lq import bed_gy, eqd2_from_bed_gy, eqd2_gy, lql_bed_gy
from rtsim.biology.ntcp import LKB_MODELS, SCHULTHEISS_CORD, Lkb, LogisticCord, lkb, lung_pneumonitis
from rtsim.biology.radiosensitivity import Histology, Kind, NomsClass, StatedClass
from rtsim.biology.schedule import Intent, Schedule
from rtsim.biology.tcp import LogLogisticTcp, PoissonTcp
from rtsim.biology.tiers import TCP_BY_TIER, TcpParameters, Tier

__all__ = [
    "CORD_EQD2_GY",
    "LKB_MODELS",
    "SCHULTHEISS_CORD",
    "TCP_BY_TIER",
    "Adequacy",
    "AdequacyVerdict",
    "Histology",
    "Intent",
    "Kind",
    "Lkb",
    "LogLogisticTcp",
    "LogisticCord",
    "NomsClass",
    "PoissonTcp",
    "Schedule",
    "StatedClass",
    "TcpParameters",
    "Tier",
    "adequacy",
    "bed_gy",
    "cord_limit_gy",
    "eqd2_from_bed_gy",
    "eqd2_gy",
    "geud_gy",
    "histology",
    "histology_names",
    "isoeffective_dose_gy",
    "lkb",
    "lql_bed_gy",
    "lung_pneumonitis",
    "remaining_dose_gy",
]

"""Pure functions from dose to effect: LQ, BED, EQD2, gEUD, TCP, NTCP, and the classes of radiosensitivity."""

from rtsim.biology.adequacy import Adequacy, AdequacyVerdict, adequacy
from rtsim.biology.cord import CordRisks, ModelRisk, cord_risks
from rtsim.biology.fracture import BodyState, FractureRisk, VertebraFindings, fracture_risk
from rtsim.biology.geud import geud_gy
from rtsim.biology.histologies import histology, histology_names
from rtsim.biology.isoeffect import CORD_EQD2_GY, cord_limit_gy, isoeffective_dose_gy, remaining_dose_gy
from rtsim.biology.lq import bed_gy, eqd2_from_bed_gy, eqd2_gy, lql_bed_gy
from rtsim.biology.ntcp import LKB_MODELS, SCHULTHEISS_CORD, Lkb, LogisticCord, lkb, lung_pneumonitis
from rtsim.biology.ntcp_forms import LogisticNtcp, RelativeSeriality, relative_seriality
from rtsim.biology.radiosensitivity import Histology, Kind, NomsClass, StatedClass
from rtsim.biology.repair import CORD_REPAIR, RepairKinetics, incomplete_bed_gy, thames_h
from rtsim.biology.schedule import Intent, Schedule
from rtsim.biology.tcp import LogisticTcp, LogLogisticTcp, PoissonTcp
from rtsim.biology.tiers import HYTEC_LOGISTIC, TCP_BY_TIER, TcpParameters, Tier
from rtsim.biology.usc import PARK_H460, UniversalSurvivalCurve

__all__ = [
    "CORD_EQD2_GY",
    "CORD_REPAIR",
    "HYTEC_LOGISTIC",
    "LKB_MODELS",
    "PARK_H460",
    "SCHULTHEISS_CORD",
    "TCP_BY_TIER",
    "Adequacy",
    "AdequacyVerdict",
    "BodyState",
    "CordRisks",
    "FractureRisk",
    "Histology",
    "Intent",
    "Kind",
    "Lkb",
    "LogLogisticTcp",
    "LogisticCord",
    "LogisticNtcp",
    "LogisticTcp",
    "ModelRisk",
    "NomsClass",
    "PoissonTcp",
    "RelativeSeriality",
    "RepairKinetics",
    "Schedule",
    "StatedClass",
    "TcpParameters",
    "Tier",
    "UniversalSurvivalCurve",
    "VertebraFindings",
    "adequacy",
    "bed_gy",
    "cord_limit_gy",
    "cord_risks",
    "eqd2_from_bed_gy",
    "eqd2_gy",
    "fracture_risk",
    "geud_gy",
    "histology",
    "histology_names",
    "incomplete_bed_gy",
    "isoeffective_dose_gy",
    "lkb",
    "lql_bed_gy",
    "lung_pneumonitis",
    "relative_seriality",
    "remaining_dose_gy",
    "thames_h",
]

"""What is wanted: prescriptions, goals and protocols as data, each number with its source and standing."""

from rtsim.protocol.cord import CORD_EQD2_GY, CordLimit, cord_limit, cord_limit_names
from rtsim.protocol.fractions import for_fractions
from rtsim.protocol.load import load_protocol, names
from rtsim.protocol.metric import Metric, MetricKind, Unit
from rtsim.protocol.model import (
    CordLimits,
    DoseLevel,
    Goal,
    Prescription,
    Priority,
    Protocol,
    Sense,
    Source,
    Standing,
    Technique,
)
from rtsim.protocol.nomenclature import canonical, tg263

__all__ = [
    "CORD_EQD2_GY",
    "CordLimit",
    "CordLimits",
    "DoseLevel",
    "Goal",
    "Metric",
    "MetricKind",
    "Prescription",
    "Priority",
    "Protocol",
    "Sense",
    "Source",
    "Standing",
    "Technique",
    "Unit",
    "canonical",
    "cord_limit",
    "cord_limit_names",
    "for_fractions",
    "load_protocol",
    "names",
    "tg263",
]

"""What is wanted: prescriptions, goals and protocols as data, each number with its source and standing."""

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
    "load_protocol",
    "names",
    "tg263",
]

"""What is wanted: prescriptions, goals and protocols as data, each number with its source and standing."""

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
]

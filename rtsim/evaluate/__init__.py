"""Was it reached? DVH, metrics, plan indices, gamma, and the grade of a dose against a protocol."""

from rtsim.evaluate.dvh import DVH, dvh
from rtsim.evaluate.gamma import GammaResult, gamma
from rtsim.evaluate.indices import (
    Falloff,
    conformity_paddick,
    conformity_rtog,
    coverage_percent,
    falloff,
    gradient_index,
    homogeneity_icru83,
    homogeneity_rtog,
    isodose_volumes_cm3,
    r50,
)
from rtsim.evaluate.metric import MetricValue, metric, metric_of_dvh

__all__ = [
    "DVH",
    "Falloff",
    "GammaResult",
    "MetricValue",
    "conformity_paddick",
    "conformity_rtog",
    "coverage_percent",
    "dvh",
    "falloff",
    "gamma",
    "gradient_index",
    "homogeneity_icru83",
    "homogeneity_rtog",
    "isodose_volumes_cm3",
    "metric",
    "metric_of_dvh",
    "r50",
]

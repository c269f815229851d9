"""Was it reached? DVH, metrics, plan indices, gamma, the grade of a dose against a protocol, a second opinion on it."""

from rtsim.dose.dvh import DVH, dvh
from rtsim.evaluate.beam_summary import BeamSummary, beam_summary
from rtsim.evaluate.comparison import PatientComparison, Scheme, SchemeResult
from rtsim.evaluate.comparison_measure import scheme_result
from rtsim.evaluate.comparison_text import comparison_text
from rtsim.evaluate.delivery import DeliverySummary, delivery_summary
from rtsim.evaluate.dose_noise import mean_of_runs
from rtsim.evaluate.effects import CordEffect, TumorEffect
from rtsim.evaluate.gamma import GammaResult, gamma
from rtsim.evaluate.grade import find_cord, grade
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
from rtsim.evaluate.opinion import CheckedGamma, CheckedLimit, Comparison, SecondOpinion, Verdict
from rtsim.evaluate.report import GoalRow, GradeReport, PlanIndices, Status, TargetSummary
from rtsim.evaluate.second_opinion import second_opinion
from rtsim.optimize.find import find_structure

__all__ = [
    "BeamSummary",
    "CheckedGamma",
    "CheckedLimit",
    "Comparison",
    "CordEffect",
    "DVH",
    "DeliverySummary",
    "Falloff",
    "GammaResult",
    "GoalRow",
    "GradeReport",
    "MetricValue",
    "PatientComparison",
    "PlanIndices",
    "Scheme",
    "SchemeResult",
    "SecondOpinion",
    "Status",
    "TargetSummary",
    "TumorEffect",
    "Verdict",
    "beam_summary",
    "comparison_text",
    "conformity_paddick",
    "conformity_rtog",
    "coverage_percent",
    "delivery_summary",
    "dvh",
    "falloff",
    "find_cord",
    "find_structure",
    "gamma",
    "grade",
    "gradient_index",
    "homogeneity_icru83",
    "homogeneity_rtog",
    "isodose_volumes_cm3",
    "mean_of_runs",
    "metric",
    "metric_of_dvh",
    "r50",
    "scheme_result",
    "second_opinion",
]

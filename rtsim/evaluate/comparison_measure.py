"""Measuring a graded plan for a comparison: tumor, cord and neighbors, in dose and in effect."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from rtsim.biology import SCHULTHEISS_CORD, Histology, adequacy, bed_gy, eqd2_gy, lkb
from rtsim.dose.dvh import DVH, dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.evaluate.comparison import (
    CORD_ALPHA_BETA_GY,
    NEIGHBORS,
    ORGAN_ALPHA_BETA_GY,
    BeamsOfTwin,
    CordLimit,
    CordPays,
    NeighborGets,
    Scheme,
    SchemeResult,
    TumorGets,
)
from rtsim.evaluate.delivery import DeliverySummary
from rtsim.evaluate.indices import surface_points_mm
from rtsim.evaluate.report import GoalRow, GradeReport, Status
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import MetricKind, Priority
from rtsim.protocol.nomenclature import canonical

UNKNOWN_ALPHA_BETA_GY: Final = 10.0
"""Of a tumor whose histology nobody gave."""
_NEURAL: Final = ("spinal_cord", "cauda_equina", "thecal_sac", "spinal_canal")
_NEAR_MAX_CM3: Final = 0.035


def scheme_result(
    scheme: Scheme,
    dose: Dose,
    phantom: Phantom,
    report: GradeReport,
    *,
    histology: Histology | None = None,
    delivery: DeliverySummary | None = None,
) -> SchemeResult:
    """Measure a graded plan for the comparison.

    Args:
        dose: total over all fractions.
        report: the grade of that dose; of an earlier course, where its ``cord.earlier`` speaks of one.

    Raises:
        InputError: dose and scheme differ in the number of fractions; no target is drawn.
    """
    if dose.fractions != scheme.fractions:
        raise InputError(
            f"the dose is for {dose.fractions} fractions, the scheme {scheme.label} for {scheme.fractions}"
        )
    planned_on = dvh(dose, phantom[report.prescription.target])
    return SchemeResult(
        scheme=scheme,
        report=report,
        coverage_percent=planned_on.volume_percent_at(scheme.covered_at / 100.0 * scheme.dose_gy),
        tumor=_tumor(scheme, dose, phantom, compared_target(phantom, report.prescription.target), histology),
        cord=_cord(scheme, dose, phantom, report),
        neighbors=tuple(n for key in NEIGHBORS if (n := _neighbor(key, dose, phantom, report)) is not None),
        adequacy=None if histology is None else adequacy(histology, scheme.dose_gy, scheme.fractions),
        delivery=delivery,
    )


def beams_of_twin(dose: Dose, phantom: Phantom, prescribed: str) -> BeamsOfTwin:
    """Tumor and cord in the dose of another patient's beams.

    Args:
        prescribed: name of the target, for a patient without GTV and CTV.
    """
    cord = compared_cord(phantom)
    h = None if cord is None else _dvh_or_none(dose, cord)
    return BeamsOfTwin(
        gtv_d95_gy=dvh(dose, compared_target(phantom, prescribed)).dose_gy_at_percent(95),
        cord_gy=None if h is None else h.dose_gy_at(_NEAR_MAX_CM3),
    )


def compared_target(phantom: Phantom, prescribed: str) -> Structure:
    """The GTV, else the CTV, else the structure that the dose is prescribed to."""
    drawn = (s for role in (Role.GTV, Role.CTV) for s in phantom.structures.with_role(role))
    return next(drawn, phantom[prescribed])


def compared_cord(phantom: Phantom) -> Structure | None:
    """The cord; below its end the cauda equina; else the thecal sac or the canal."""
    return next((s for k in _NEURAL if (s := find_structure(phantom, k)) is not None), None)


def _tumor(
    scheme: Scheme, dose: Dose, phantom: Phantom, structure: Structure, histology: Histology | None
) -> TumorGets:
    h, n = dvh(dose, structure), scheme.fractions
    ratio = UNKNOWN_ALPHA_BETA_GY if histology is None else histology.alpha_beta_gy
    models = None if histology is None else histology.tcp
    doses, volumes = h.differential()
    d95 = h.dose_gy_at_percent(95)
    cold = _cold(dose, structure, compared_cord(phantom), d95)
    return TumorGets(
        structure=structure.name,
        volume_cm3=h.volume_cm3,
        alpha_beta_gy=ratio,
        d95_gy=d95,
        d98_gy=h.dose_gy_at_percent(98),
        d95_eqd2_gy=float(eqd2_gy(d95, n, ratio)),
        d95_bed_gy=float(bed_gy(d95, n, ratio)),
        tcp_log_logistic=None if models is None else models.log_logistic.voxels(doses, n, volumes),
        tcp_poisson=None if models is None else models.poisson.voxels(doses, n, volumes),
        tcp_prescribed=None if models is None else models.log_logistic.uniform(scheme.dose_gy, n),
        cold_mm=None if cold is None else cold[0],
        median_mm=None if cold is None else cold[1],
    )


def _cold(dose: Dose, structure: Structure, cord: Structure | None, d95_gy: float) -> tuple[float, float] | None:
    """Median distances from the cord: of what gets no more than ``d95_gy``, and of the whole; voxel centers."""
    if cord is None:
        return None
    inside = structure.grid.point_at(np.argwhere(structure.coverage >= 0.5).astype(np.float64))
    inside = inside[dose.grid.contains(inside)]
    if inside.size == 0:
        return None
    away = np.atleast_1d(cKDTree(surface_points_mm(cord)).query(inside)[0])
    is_cold = dose.at(inside) <= d95_gy
    return (float(np.median(away[is_cold])), float(np.median(away))) if is_cold.any() else None


def _cord(scheme: Scheme, dose: Dose, phantom: Phantom, report: GradeReport) -> CordPays | None:
    cord = compared_cord(phantom)
    h = None if cord is None else _dvh_or_none(dose, cord)
    if cord is None or h is None:
        return None
    n, near_max = scheme.fractions, h.dose_gy_at(_NEAR_MAX_CM3)
    doses, volumes = h.differential()
    is_cord = canonical(cord.name) == "spinal_cord"
    earlier = None if report.cord is None else report.cord.earlier
    return CordPays(
        structure=cord.name,
        near_max_gy=near_max,
        eqd2_gy=float(eqd2_gy(near_max, n, CORD_ALPHA_BETA_GY)),
        percent_of_prescription=100.0 * near_max / scheme.dose_gy,
        limit=_limit(scheme, report, cord.name),
        risk_logistic=SCHULTHEISS_CORD.probability(near_max, n, CORD_ALPHA_BETA_GY) if is_cord else None,
        risk_lkb=lkb("spinal_cord").probability(doses, n, volumes, CORD_ALPHA_BETA_GY) if is_cord else None,
        both=None if earlier is None else earlier.of(cord.name),
    )


def _limit(scheme: Scheme, report: GradeReport, cord: str) -> CordLimit | None:
    """The hard limit nearest to its dose: on the cord itself, else on what stands for it."""
    rows = [r for r in report.rows if _is_dose_limit(r)]
    own = [r for r in rows if r.found_as == cord] or [
        r for r in rows if canonical(r.goal.structure) in ("spinal_cord_prv", *_NEURAL)
    ]
    limits = [
        CordLimit(
            structure=str(r.found_as),
            metric=r.goal.parsed.name,
            reached_gy=float(r.value or 0.0),
            limit_gy=r.goal.value,
            limit_eqd2_gy=float(eqd2_gy(r.goal.value, scheme.fractions, CORD_ALPHA_BETA_GY)),
            source=r.goal.source,
            worst_gy=_worst_gy(r, report),
        )
        for r in own
    ]
    return max(limits, key=lambda limit: limit.reached_gy / limit.limit_gy, default=None)


def _worst_gy(row: GoalRow, report: GradeReport) -> float | None:
    for c in report.certificates:
        is_same = c.structure == row.found_as and c.metric == row.goal.parsed.name
        if is_same and c.positions is not None and c.positions.promised:
            return c.positions.worst_gy
    return None


def _is_dose_limit(row: GoalRow) -> bool:
    kinds = (MetricKind.DOSE_AT_VOLUME, MetricKind.MAX_DOSE)
    hard = row.goal.priority is Priority.HARD and row.value is not None
    return hard and row.goal.unit == "Gy" and row.goal.parsed.kind in kinds and row.goal.value > 0


def _neighbor(key: str, dose: Dose, phantom: Phantom, report: GradeReport) -> NeighborGets | None:
    organ = find_structure(phantom, key)
    h = None if organ is None else _dvh_or_none(dose, organ)
    if organ is None or h is None:
        return None
    near_max = h.dose_gy_at(_NEAR_MAX_CM3)
    missed = [r for r in report.rows if r.found_as == organ.name and r.status is Status.MISSED]
    return NeighborGets(
        organ=key,
        near_max_gy=near_max,
        near_max_eqd2_gy=float(eqd2_gy(near_max, dose.fractions, ORGAN_ALPHA_BETA_GY)),
        mean_gy=h.mean_gy,
        missed=tuple(f"{r.goal.parsed.name} {r.got} ({r.wanted})" for r in missed),
        is_truncated=h.is_truncated,
    )


def _dvh_or_none(dose: Dose, structure: Structure) -> DVH | None:
    try:
        return dvh(dose, structure)
    except GeometryError:  # wholly outside the dose grid: nothing can be said of it
        return None

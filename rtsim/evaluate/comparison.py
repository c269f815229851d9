"""The same patient under several dose schemes, side by side: what the tumor gets, what the cord pays. Data only.

Every plan is measured on the same GTV, cord and neighbors; EQD2 and BED (:mod:`rtsim.biology.lq`) make fractionations
comparable. Sentences: :mod:`rtsim.evaluate.comparison_words`; text table: :mod:`rtsim.evaluate.comparison_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from rtsim.biology import SCHULTHEISS_CORD, Adequacy, Histology, adequacy, bed_gy, eqd2_gy, lkb
from rtsim.dose.dvh import DVH, dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.evaluate.delivery import DeliverySummary
from rtsim.evaluate.indices import surface_points_mm
from rtsim.evaluate.report import GoalRow, GradeReport, Status
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import MetricKind, Priority, Source, Standing, Technique
from rtsim.protocol.nomenclature import canonical

CORD_ALPHA_BETA_GY: Final = 2.0
ORGAN_ALPHA_BETA_GY: Final = 3.0
UNKNOWN_ALPHA_BETA_GY: Final = 10.0
"""Of a tumor whose histology nobody gave."""
NEIGHBORS: Final = (
    "esophagus",
    "trachea",
    "larynx",
    "heart",
    "great_vessels",
    "aorta",
    "lungs",
    "liver",
    "kidneys",
    "stomach",
    "bowel",
    "small_bowel",
    "colon",
    "skin",
)
"""Canonical keys of the organs that are listed where they are drawn."""
_NEURAL: Final = ("spinal_cord", "cauda_equina", "thecal_sac", "spinal_canal")
_NEAR_MAX_CM3: Final = 0.035
_LEAST_ORGAN_GY: Final = 0.1
"""An organ whose near-maximum is below this in every plan is not listed."""

SOURCES: Final = (
    Source(
        citation="BED and EQD2: linear-quadratic model, complete repair, no repopulation (Fowler 1989, Br J Radiol "
        "62:679); above 8 to 10 Gy per fraction it is disputed and may overstate the effect",
        standing=Standing.LITERATURE,
    ),
    Source(
        citation=f"alpha/beta {CORD_ALPHA_BETA_GY:g} Gy of the cord (Sahgal et al. 2021, HyTEC, IJROBP 110:124)",
        standing=Standing.LITERATURE,
    ),
    Source(
        citation=f"alpha/beta {ORGAN_ALPHA_BETA_GY:g} Gy for late effects of all other organs",
        standing=Standing.ASSUMPTION,
    ),
)
"""Of what every comparison is computed with; those of its limits and models come with them."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A course: total dose in so many fractions, by a protocol that holds it."""

    dose_gy: float
    fractions: int
    technique: Technique
    protocol: str

    @property
    def label(self) -> str:
        """As clinics write it: "8x1", "30/10"."""
        return f"{self.dose_gy:g}x1" if self.fractions == 1 else f"{self.dose_gy:g}/{self.fractions}"

    @property
    def title(self) -> str:
        """E.g. "30 Gy in 10, conventional"."""
        return f"{self.dose_gy:g} Gy in {self.fractions}, {self.technique.value}"


@dataclass(frozen=True, kw_only=True)
class TumorGets:
    """The GTV (the same in all plans) in one plan; doses in Gy of the whole course, probabilities 0..1.

    Attributes:
        alpha_beta_gy: of ``d95_eqd2_gy`` and ``d95_bed_gy``: the histology's.
        tcp_log_logistic, tcp_poisson: durable control by both models of the histology; None without one.
        cold_mm, median_mm: from the cord, half of the coldest 5 % of the volume lie nearer than this, and half of the
            whole; None without a cord.
        tcp_prescribed: the first of them, did every point of the tumor get the prescribed dose and no more.
    """

    structure: str
    volume_cm3: float
    alpha_beta_gy: float
    d95_gy: float
    d98_gy: float
    d95_eqd2_gy: float
    d95_bed_gy: float
    tcp_log_logistic: float | None
    tcp_poisson: float | None
    tcp_prescribed: float | None
    cold_mm: float | None = None
    median_mm: float | None = None


@dataclass(frozen=True, kw_only=True)
class CordLimit:
    """The hard limit that a plan was made under, the one nearest to its dose when there are several.

    Attributes:
        structure, metric: what is limited, e.g. "spinal_cord", "D0.035cc".
        reached_gy, limit_gy: as planned, and allowed.
        limit_eqd2_gy: at alpha/beta 2 Gy.
        worst_gy: in the worst of the positions in which the limit is promised; None: as planned only.
    """

    structure: str
    metric: str
    reached_gy: float
    limit_gy: float
    limit_eqd2_gy: float
    source: Source
    worst_gy: float | None = None

    @property
    def margin_gy(self) -> float:
        """What is left below the limit; negative: broken."""
        return self.limit_gy - self.reached_gy


@dataclass(frozen=True, kw_only=True)
class CordPays:
    """The cord (below its end: the cauda equina) in one plan.

    Attributes:
        near_max_gy, eqd2_gy: D0.035cc, and its EQD2 at alpha/beta 2 Gy.
        percent_of_prescription: ``near_max_gy`` of the prescribed dose.
        limit: None when no hard limit was measured on it.
        risk_logistic, risk_lkb: of myelopathy, central and upper estimate, 0..1; None for other structures than the
            cord.
    """

    structure: str
    near_max_gy: float
    eqd2_gy: float
    percent_of_prescription: float
    limit: CordLimit | None
    risk_logistic: float | None
    risk_lkb: float | None


@dataclass(frozen=True, kw_only=True)
class NeighborGets:
    """One organ in one plan: D0.035cc, its EQD2 (alpha/beta 3 Gy), the mean, and the limits it misses, in words.

    ``is_truncated``: a part lies outside the dose grid and counts as 0 Gy, so that the mean is a lower bound.
    """

    organ: str
    near_max_gy: float
    near_max_eqd2_gy: float
    mean_gy: float
    missed: tuple[str, ...] = ()
    is_truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class SchemeResult:
    """One plan, measured for the comparison; ``report`` is its whole grade.

    Attributes:
        neighbors: those drawn and inside the dose grid.
        adequacy: whether the prescribed dose is given for such a tumor; None without a histology.
        coverage_percent: of the PTV that gets ``covered_at`` percent of the prescription: 95 in conventional plans, as
            ICRU 50 has it, 100 in stereotactic ones.
        delivery: None when the dose came without a plan.
    """

    scheme: Scheme
    report: GradeReport
    tumor: TumorGets
    cord: CordPays | None
    neighbors: tuple[NeighborGets, ...]
    coverage_percent: float
    adequacy: Adequacy | None = None
    delivery: DeliverySummary | None = None

    @property
    def covered_at(self) -> float:
        """Percent of the prescription that counts as covered."""
        return _covered_at(self.scheme)

    @property
    def is_extrapolated(self) -> bool:
        """The models of tumor control were fitted to stereotactic doses only."""
        return self.scheme.technique is Technique.CONVENTIONAL

    @property
    def held(self) -> str:
        """What became of the hard limits, in a few words: "held, 13 of 13" counts positions of the patient."""
        if not self.report.hard_limits_held:
            return "NOT HELD"
        promised = [c.positions for c in self.report.certificates if c.positions is not None and c.positions.promised]
        if promised:
            fewest = min(promised, key=lambda p: p.held / p.count)
            return f"held, {fewest.held} of {fewest.count}"
        judged = any(r.goal.priority is Priority.HARD and r.value is not None for r in self.report.rows)
        return "held" if judged else "none measured"


@dataclass(frozen=True, kw_only=True)
class NotPlanned:
    """A scheme for which there is no plan, and why; ``limits_fail``: no plan holds the hard limits."""

    scheme: Scheme
    reason: str
    limits_fail: bool


@dataclass(frozen=True, kw_only=True)
class PatientComparison:
    """One patient under several schemes.

    Attributes:
        results: the plans, in the order asked for.
        not_planned: schemes that no plan holds the limits for, or that the machine cannot give.
    """

    name: str
    description: str
    histology: Histology | None
    results: tuple[SchemeResult, ...]
    not_planned: tuple[NotPlanned, ...] = ()

    def __post_init__(self) -> None:
        if not self.results:
            raise InputError(f"{self.name}: no plan to compare: {'; '.join(n.reason for n in self.not_planned)}")

    @property
    def alpha_beta_gy(self) -> float:
        """Of the tumor: that of the histology, else 10 Gy."""
        return self.results[0].tumor.alpha_beta_gy

    @property
    def hard_limits_held(self) -> bool:
        """In every plan that there is."""
        return all(r.report.hard_limits_held for r in self.results)

    @property
    def neighbors(self) -> tuple[str, ...]:
        """Organs that get something in some plan, in the order of ``NEIGHBORS``."""
        found = {n.organ for r in self.results for n in r.neighbors if n.near_max_gy >= _LEAST_ORGAN_GY}
        return tuple(k for k in NEIGHBORS if k in found)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Of every number that is compared, each once: models, limits, alpha/beta."""
        found: list[Source] = list(SOURCES)
        if self.histology is not None:
            found += [self.histology.source, self.histology.alpha_beta_source]
            if self.histology.tcp is not None:
                found += [self.histology.tcp.log_logistic.source, self.histology.tcp.poisson.source]
        if any(r.cord is not None and r.cord.risk_logistic is not None for r in self.results):
            found += [SCHULTHEISS_CORD.source, lkb("spinal_cord").source]
        found += [r.adequacy.source for r in self.results if r.adequacy is not None]
        found += [r.cord.limit.source for r in self.results if r.cord is not None and r.cord.limit is not None]
        return tuple(dict.fromkeys(found))

    def of(self, technique: Technique) -> tuple[SchemeResult, ...]:
        """The plans of one technique."""
        return tuple(r for r in self.results if r.scheme.technique is technique)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What differs between two patients under one scheme (second minus first); control in points of percent."""

    scheme: Scheme
    first: SchemeResult
    second: SchemeResult

    @property
    def gtv_d95_gy(self) -> float:
        """D95% of the GTV in Gy."""
        return self.second.tumor.d95_gy - self.first.tumor.d95_gy

    @property
    def tcp_points(self) -> float | None:
        """Tumor control (log-logistic)."""
        a, b = self.first.tumor.tcp_log_logistic, self.second.tumor.tcp_log_logistic
        return None if a is None or b is None else 100.0 * (b - a)

    @property
    def cord_gy(self) -> float | None:
        """D0.035cc of the cord in Gy."""
        a, b = self.first.cord, self.second.cord
        return None if a is None or b is None else b.near_max_gy - a.near_max_gy

    @property
    def cord_eqd2_gy(self) -> float | None:
        """The same as EQD2 (alpha/beta 2 Gy)."""
        a, b = self.first.cord, self.second.cord
        return None if a is None or b is None else b.eqd2_gy - a.eqd2_gy

    @property
    def monitor_units_percent(self) -> float | None:
        """Monitor units of one fraction, in percent of the first."""
        a, b = self.first.delivery, self.second.delivery
        return None if a is None or b is None else 100.0 * (b.monitor_units / a.monitor_units - 1.0)


def differences(first: PatientComparison, second: PatientComparison) -> tuple[Difference, ...]:
    """Of every scheme that both have a plan for."""
    by = {r.scheme: r for r in second.results}
    return tuple(Difference(scheme=r.scheme, first=r, second=by[r.scheme]) for r in first.results if r.scheme in by)


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
        report: the grade of that dose.

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
        coverage_percent=planned_on.volume_percent_at(_covered_at(scheme) / 100.0 * scheme.dose_gy),
        tumor=_tumor(scheme, dose, phantom, compared_target(phantom, report.prescription.target), histology),
        cord=_cord(scheme, dose, phantom, report),
        neighbors=tuple(n for key in NEIGHBORS if (n := _neighbor(key, dose, phantom, report)) is not None),
        adequacy=None if histology is None else adequacy(histology, scheme.dose_gy, scheme.fractions),
        delivery=delivery,
    )


def _covered_at(scheme: Scheme) -> float:
    return 95.0 if scheme.technique is Technique.CONVENTIONAL else 100.0


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
    return CordPays(
        structure=cord.name,
        near_max_gy=near_max,
        eqd2_gy=float(eqd2_gy(near_max, n, CORD_ALPHA_BETA_GY)),
        percent_of_prescription=100.0 * near_max / scheme.dose_gy,
        limit=_limit(scheme, report, cord.name),
        risk_logistic=SCHULTHEISS_CORD.probability(near_max, n, CORD_ALPHA_BETA_GY) if is_cord else None,
        risk_lkb=lkb("spinal_cord").probability(doses, n, volumes, CORD_ALPHA_BETA_GY) if is_cord else None,
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


def best(results: Sequence[SchemeResult]) -> SchemeResult | None:
    """The plan with the most tumor control, of those that hold their limits if there are such; without a model of
    control, with the highest EQD2 in the GTV.
    """
    allowed = [r for r in results if r.report.hard_limits_held] or results
    return max(allowed, key=lambda r: (r.tumor.tcp_log_logistic or 0.0, r.tumor.d95_eqd2_gy), default=None)

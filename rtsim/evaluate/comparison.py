"""The same patient under several dose schemes, side by side: what the tumor gets, what the cord pays. Data only.

Every plan is measured on the same GTV, cord and neighbors (:mod:`rtsim.evaluate.comparison_measure`); EQD2 and BED
(:mod:`rtsim.biology.lq`) make fractionations comparable. Sentences: :mod:`rtsim.evaluate.comparison_words`; text table:
:mod:`rtsim.evaluate.comparison_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rtsim.biology import SCHULTHEISS_CORD, Adequacy, Histology, lkb
from rtsim.errors import InputError
from rtsim.evaluate.delivery import DeliverySummary
from rtsim.evaluate.earlier_course import BothCourses, EarlierCourse
from rtsim.evaluate.report import GradeReport
from rtsim.protocol import Priority, Source, Standing, Technique

CORD_ALPHA_BETA_GY: Final = 2.0
ORGAN_ALPHA_BETA_GY: Final = 3.0
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
    def covered_at(self) -> float:
        """Percent of the dose at which a target counts as covered: 95 in conventional plans (ICRU 50), else 100."""
        return 95.0 if self.technique is Technique.CONVENTIONAL else 100.0

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
            cord. Of this course alone.
        both: after an earlier course, what both add up to.
    """

    structure: str
    near_max_gy: float
    eqd2_gy: float
    percent_of_prescription: float
    limit: CordLimit | None
    risk_logistic: float | None
    risk_lkb: float | None
    both: BothCourses | None = None

    @property
    def risk_to_weigh(self) -> float | None:
        """Of myelopathy (logistic): after an earlier course that of both."""
        return self.risk_logistic if self.risk_logistic is None or self.both is None else self.both.risk_logistic


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
class BeamsOfTwin:
    """What tumor (D95%) and cord (D0.035cc) get from the beams of another patient's plan, in Gy."""

    gtv_d95_gy: float
    cord_gy: float | None


@dataclass(frozen=True, kw_only=True)
class SchemeResult:
    """One plan, measured for the comparison; ``report`` is its whole grade.

    Attributes:
        neighbors: those drawn and inside the dose grid.
        adequacy: whether the prescribed dose is given for such a tumor; None without a histology.
        coverage_percent: of the PTV that gets ``covered_at`` percent of the prescription: 95 in conventional plans, as
            ICRU 50 has it, 100 in stereotactic ones.
        delivery: None when the dose came without a plan.
        twin: what the beams of the patient that this one is compared with give here; None when nobody computed it.
    """

    scheme: Scheme
    report: GradeReport
    tumor: TumorGets
    cord: CordPays | None
    neighbors: tuple[NeighborGets, ...]
    coverage_percent: float
    adequacy: Adequacy | None = None
    delivery: DeliverySummary | None = None
    twin: BeamsOfTwin | None = None

    @property
    def covered_at(self) -> float:
        """Percent of the prescription that counts as covered."""
        return self.scheme.covered_at

    @property
    def earlier(self) -> EarlierCourse | None:
        """The course before this one, as the grade has it."""
        return None if self.report.cord is None else self.report.cord.earlier

    @property
    def is_called_enough(self) -> bool:
        """No table calls the dose less than enough for durable control, or the tumor underdosed."""
        return (self.adequacy is None or self.adequacy.is_enough) and not self.is_underdosed

    @property
    def is_underdosed(self) -> bool:
        """The prescribed dose is enough for the tumor, and the plan gives it clearly less (as its grade says)."""
        return self.report.tumor is not None and self.report.tumor.is_underdosed

    @property
    def adequacy_sentences(self) -> tuple[str, ...]:
        """Whether the dose is enough for the tumor; empty without a histology."""
        if self.report.tumor is not None:
            return self.report.tumor.verdict_sentences
        return () if self.adequacy is None else (f"{self.adequacy}.",)

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
    def previous(self) -> str:
        """An earlier course in words; empty without one."""
        return next((r.earlier.previous for r in self.results if r.earlier is not None), "")

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
        for risk in (r.report.fracture for r in self.results if r.report.fracture is not None):
            found += [risk.band_source, risk.source]
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
    def gtv_d95_same_beams_gy(self) -> float | None:
        """D95% of the GTV when the second gets the beams of the first: what matter alone does."""
        twin = self.second.twin
        return None if twin is None else twin.gtv_d95_gy - self.first.tumor.d95_gy

    @property
    def cord_same_beams_gy(self) -> float | None:
        """D0.035cc of the cord likewise."""
        twin, cord = self.second.twin, self.first.cord
        return None if twin is None or twin.cord_gy is None or cord is None else twin.cord_gy - cord.near_max_gy

    @property
    def monitor_units_percent(self) -> float | None:
        """Monitor units of one fraction, in percent of the first."""
        a, b = self.first.delivery, self.second.delivery
        return None if a is None or b is None else 100.0 * (b.monitor_units / a.monitor_units - 1.0)


def differences(first: PatientComparison, second: PatientComparison) -> tuple[Difference, ...]:
    """Of every scheme that both have a plan for."""
    by = {r.scheme: r for r in second.results}
    return tuple(Difference(scheme=r.scheme, first=r, second=by[r.scheme]) for r in first.results if r.scheme in by)


def best(results: Sequence[SchemeResult]) -> SchemeResult | None:
    """The plan with the most tumor control, of those that hold their limits; without a model of control, with the
    highest EQD2 in the GTV. None where no plan holds them.
    """
    allowed = [r for r in results if r.report.hard_limits_held]
    return max(allowed, key=lambda r: (r.tumor.tcp_log_logistic or 0.0, r.tumor.d95_eqd2_gy), default=None)

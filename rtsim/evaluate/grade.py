"""Grade: a dose against what was wanted, goal by goal, each with its source and how far that was checked."""

from __future__ import annotations

from collections.abc import Sequence

from rtsim.biology import SCHULTHEISS_CORD, Histology, bed_gy, eqd2_gy, lkb
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.evaluate.dvh import DVH, dvh
from rtsim.evaluate.indices import falloff, homogeneity_icru83, homogeneity_rtog, isodose_volumes_cm3
from rtsim.evaluate.metric import metric_of_dvh
from rtsim.evaluate.report import CordEffect, GoalRow, GradeReport, PlanIndices, Status, TargetSummary, TumorEffect
from rtsim.optimize.plan import Certificate
from rtsim.phantom.margins import union
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import Goal, Metric, MetricKind, Prescription, Protocol
from rtsim.protocol.nomenclature import canonical

CORD_ALPHA_BETA_GY = 2.0
_TARGET_ROLES = {"PTV": Role.PTV, "CTV": Role.CTV, "GTV": Role.GTV, "ITV": Role.ITV}


def grade(
    dose: Dose,
    phantom: Phantom,
    prescription: Prescription,
    protocol_or_goals: Protocol | Sequence[Goal],
    *,
    histology: Histology | None = None,
    certificates: Sequence[Certificate] = (),
) -> GradeReport:
    """Measure every goal on ``dose`` (total over all fractions) and gather what a reader of the plan asks for.

    Args:
        protocol_or_goals: a protocol (its goals at the dose level of the prescription) or goals.
        histology: tumor class for BED, EQD2 and TCP; None leaves them out.
        certificates: of the plan; shown first.

    Raises:
        InputError: the target is unknown, or dose and prescription differ in the number of fractions.
        GeometryError: the target lies wholly outside the dose grid.
    """
    if dose.fractions != prescription.fractions:
        raise InputError(
            f"the dose is for {dose.fractions} fractions, the prescription for {prescription.fractions}; "
            "compute the dose of the whole course"
        )
    is_protocol = isinstance(protocol_or_goals, Protocol)
    goals = protocol_or_goals.goals_for(prescription) if isinstance(protocol_or_goals, Protocol) else protocol_or_goals
    work = _Work(dose, phantom, prescription)
    rows = tuple(work.row(goal) for goal in goals)
    return GradeReport(
        phantom=phantom.name,
        prescription=prescription,
        protocol=protocol_or_goals.name if isinstance(protocol_or_goals, Protocol) and is_protocol else "",
        engine=dose.engine,
        grid=dose.grid.describe(),
        rows=rows,
        target=work.target_summary(),
        indices=work.indices(),
        tumor=None if histology is None else work.tumor(histology),
        cord=work.cord_effect(),
        certificates=tuple(certificates),
    )


def find_structure(phantom: Phantom, wanted: str, prescription: Prescription) -> Structure | None:
    """The structure that a goal speaks of, or None: by name, by canonical key, as a pair, by target role.

    A goal on "PTV" is about the structure that the dose is prescribed to, whatever its name.
    """
    if wanted.upper() == "PTV":
        return phantom[prescription.target]
    if wanted in phantom.structures:
        return phantom[wanted]
    key = canonical(wanted) or wanted
    by_key: dict[str, Structure] = {}
    for structure in phantom.structures.values():
        by_key.setdefault(canonical(structure.name) or structure.name, structure)
    if key in by_key:
        return by_key[key]
    single = key.removesuffix("es") if key.endswith("plexuses") else key.removesuffix("s")
    sides = [by_key[f"{single}_{side}"] for side in ("left", "right") if f"{single}_{side}" in by_key]
    if len(sides) == 2:
        name = f"{sides[0].name} + {sides[1].name}"
        return union(sides[0], sides[1], phantom.grid, name=name, role=Role.OAR)
    role = _TARGET_ROLES.get(key.upper())
    of_role = phantom.structures.with_role(role) if role is not None else ()
    return of_role[0] if len(of_role) == 1 else None


def find_cord(phantom: Phantom) -> Structure | None:
    """The cord itself, else the canal, the thecal sac or the cauda; None when nothing of the kind is drawn."""
    keys = ("spinal_cord", "spinal_canal", "thecal_sac", "cauda_equina")
    found = {canonical(s.name): s for s in reversed(tuple(phantom.structures.values()))}
    return next((found[k] for k in keys if k in found), None)


class _Work:
    """Measures one dose; each DVH is computed once."""

    def __init__(self, dose: Dose, phantom: Phantom, prescription: Prescription) -> None:
        self.dose, self.phantom, self.prescription = dose, phantom, prescription
        self.target = phantom[prescription.target]
        outline = phantom.structures.with_role(Role.EXTERNAL)
        self.external = (
            outline[0]
            if outline
            else Structure.from_coverage("EXTERNAL", Role.EXTERNAL, phantom.grid, phantom.external_mask())
        )
        self._dvh: dict[str, DVH] = {}
        rx = prescription.dose_gy
        self.half_cm3, self.full_cm3 = isodose_volumes_cm3(dose, (0.5 * rx, rx), external=self.external)

    def dvh_of(self, structure: Structure) -> DVH:
        if structure.name not in self._dvh:
            self._dvh[structure.name] = dvh(self.dose, structure)
        return self._dvh[structure.name]

    def row(self, goal: Goal) -> GoalRow:
        structure = find_structure(self.phantom, goal.structure, self.prescription)
        if structure is None:
            return GoalRow(goal=goal, status=Status.ABSENT, note="no such structure is drawn")
        try:
            value = self._measure(structure, goal.parsed)
            histogram = self.dvh_of(structure)
        except GeometryError:
            note = "lies wholly outside the dose grid"
            return GoalRow(goal=goal, found_as=structure.name, status=Status.OUTSIDE, note=note)
        note = ""
        if histogram.is_truncated:
            share = 100.0 * histogram.outside_cm3 / histogram.volume_cm3
            note = f"{share:.0f} % of the structure lies outside the dose grid and counts as 0 Gy"
        elif _is_small(goal.parsed, histogram):
            note = f"the structure has only {histogram.volume_cm3:.3g} cm3: its minimum dose is shown"
        status = Status.MET if goal.met_by(value) else Status.MISSED
        if goal.parsed.kind is MetricKind.COLD_VOLUME and goal.unit == "cm3" and goal.value > histogram.volume_cm3:
            note = f"only {histogram.volume_cm3:.0f} cm3 of the organ are drawn: no dose could meet the goal"
            status = Status.TOO_SMALL
        return GoalRow(goal=goal, found_as=structure.name, value=value, status=status, note=note)

    def _measure(self, structure: Structure, wanted: Metric) -> float:
        histogram = self.dvh_of(structure)
        rx = self.prescription.dose_gy
        if wanted.kind is MetricKind.CONFORMITY_PADDICK:
            return _paddick(histogram, rx, self.full_cm3)
        if wanted.kind is MetricKind.GRADIENT_INDEX:
            return self.half_cm3 / self.full_cm3 if self.full_cm3 > 0 else float("inf")
        return metric_of_dvh(histogram, wanted, prescription_gy=rx).value

    def target_summary(self) -> TargetSummary:
        h, rx = self.dvh_of(self.target), self.prescription.dose_gy
        return TargetSummary(
            name=self.target.name,
            volume_cm3=h.volume_cm3,
            coverage_percent=h.volume_percent_at(rx),
            d98_gy=h.dose_gy_at_percent(98),
            d95_gy=h.dose_gy_at_percent(95),
            d50_gy=h.dose_gy_at_percent(50),
            d2_gy=h.dose_gy_at_percent(2),
            mean_gy=h.mean_gy,
            min_gy=h.min_gy,
            max_gy=h.max_gy,
            near_max_35mm3_gy=h.dose_gy_at(0.035),
            outside_cm3=h.outside_cm3,
        )

    def indices(self) -> PlanIndices:
        h, rx = self.dvh_of(self.target), self.prescription.dose_gy
        cord = find_cord(self.phantom)
        return PlanIndices(
            conformity_paddick=_paddick(h, rx, self.full_cm3),
            conformity_rtog=self.full_cm3 / h.volume_cm3,
            homogeneity_icru83=homogeneity_icru83(h) if h.dose_gy_at_percent(50) > 0 else float("inf"),
            homogeneity_rtog=homogeneity_rtog(h, rx),
            gradient_index=self.half_cm3 / self.full_cm3 if self.full_cm3 > 0 else float("inf"),
            r50=self.half_cm3 / h.volume_cm3,
            prescription_isodose_cm3=self.full_cm3,
            falloff=None if cord is None else falloff(self.dose, self.target, cord, rx),
        )

    def tumor(self, histology: Histology) -> TumorEffect:
        structure = next(
            (s for r in (Role.GTV, Role.CTV) for s in self.phantom.structures.with_role(r) if self._is_on_grid(s)),
            self.target,
        )
        n, rx, ratio = self.prescription.fractions, self.prescription.dose_gy, histology.alpha_beta_gy
        h = self.dvh_of(structure)
        doses, volumes = h.differential()
        d95 = h.dose_gy_at_percent(95)
        models = histology.tcp
        return TumorEffect(
            histology=histology,
            structure=structure.name,
            prescription_bed_gy=float(bed_gy(rx, n, ratio)),
            prescription_eqd2_gy=float(eqd2_gy(rx, n, ratio)),
            d95_bed_gy=float(bed_gy(d95, n, ratio)),
            d95_eqd2_gy=float(eqd2_gy(d95, n, ratio)),
            tcp_log_logistic=None if models is None else models.log_logistic.voxels(doses, n, volumes),
            tcp_poisson=None if models is None else models.poisson.voxels(doses, n, volumes),
        )

    def cord_effect(self) -> CordEffect | None:
        cord = find_cord(self.phantom)
        if cord is None or not self._is_on_grid(cord):
            return None
        h, n = self.dvh_of(cord), self.prescription.fractions
        near_max = h.dose_gy_at(0.035)
        doses, volumes = h.differential()
        return CordEffect(
            structure=cord.name,
            near_max_gy=near_max,
            eqd2_gy=float(eqd2_gy(near_max, n, CORD_ALPHA_BETA_GY)),
            bed_gy=float(bed_gy(near_max, n, CORD_ALPHA_BETA_GY)),
            alpha_beta_gy=CORD_ALPHA_BETA_GY,
            ntcp_logistic=SCHULTHEISS_CORD.probability(near_max, n, CORD_ALPHA_BETA_GY),
            ntcp_lkb=lkb("spinal_cord").probability(doses, n, volumes, CORD_ALPHA_BETA_GY),
            logistic_source=SCHULTHEISS_CORD.source,
            lkb_source=lkb("spinal_cord").source,
        )

    def _is_on_grid(self, structure: Structure) -> bool:
        grid = self.dose.grid
        boxes = zip(structure.grid.lower_mm, structure.grid.upper_mm, grid.lower_mm, grid.upper_mm, strict=True)
        return all(high > low_grid and low < high_grid for low, high, low_grid, high_grid in boxes)


def _paddick(histogram: DVH, prescription_gy: float, isodose_cm3: float) -> float:
    inside = histogram.volume_cm3_at(prescription_gy)
    return inside**2 / (histogram.volume_cm3 * isodose_cm3) if isodose_cm3 > 0 else 0.0


def _is_small(wanted: Metric, histogram: DVH) -> bool:
    volume = wanted.kind is MetricKind.DOSE_AT_VOLUME and wanted.threshold_unit.value == "cm3"
    return volume and wanted.threshold > histogram.volume_cm3

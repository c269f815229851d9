"""Grade: a dose against what was wanted, goal by goal, each with its source and how far that was checked."""

from __future__ import annotations

from collections.abc import Sequence

from rtsim.biology import (
    SCHULTHEISS_CORD,
    FractureRisk,
    Histology,
    VertebraFindings,
    adequacy,
    bed_gy,
    cord_risks,
    eqd2_gy,
    fracture_risk,
    lkb,
)
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate.effects import CordEffect, TumorEffect
from rtsim.evaluate.hot_spot import hot_spot
from rtsim.evaluate.indices import falloff, homogeneity_icru83, homogeneity_rtog
from rtsim.evaluate.report import GoalRow, GradeReport, PlanIndices, Status, TargetSummary
from rtsim.optimize.find import find_structure
from rtsim.optimize.measured import Measured
from rtsim.optimize.plan import Certificate
from rtsim.optimize.unlimited import unlimited_said
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol import Goal, Prescription, Protocol, Technique
from rtsim.protocol.nomenclature import canonical

CORD_ALPHA_BETA_GY = 2.0
_MOST_STEREOTACTIC_FRACTIONS = 5
"""Of the studies of vertebral fracture."""


def grade(
    dose: Dose,
    phantom: Phantom,
    prescription: Prescription,
    protocol_or_goals: Protocol | Sequence[Goal],
    *,
    histology: Histology | None = None,
    vertebra: VertebraFindings | None = None,
    certificates: Sequence[Certificate] = (),
) -> GradeReport:
    """Measure every goal on ``dose`` (total over all fractions) and gather what a reader of the plan asks for.

    Args:
        protocol_or_goals: a protocol (its goals at the dose level of the prescription) or goals.
        histology: tumor class for BED, EQD2, TCP and whether the dose is enough; None leaves them out.
        vertebra: what is known of it that bears on a fracture; None says that nothing is.
        certificates: of the plan; shown first.

    Raises:
        InputError: the target is unknown, dose and prescription differ in the number of fractions, or two structures
            are named like the cord.
        GeometryError: the target lies wholly outside the dose grid.
    """
    if dose.fractions != prescription.fractions:
        raise InputError(
            f"the dose is for {dose.fractions} fractions, the prescription for {prescription.fractions}; "
            "compute the dose of the whole course"
        )
    is_protocol = isinstance(protocol_or_goals, Protocol)
    goals = protocol_or_goals.goals_for(prescription) if isinstance(protocol_or_goals, Protocol) else protocol_or_goals
    # Its models of control were fitted to stereotactic doses, and pain relief is not control.
    technique = protocol_or_goals.technique if isinstance(protocol_or_goals, Protocol) else None
    is_palliative = technique is Technique.CONVENTIONAL
    work = _Work(dose, phantom, prescription)
    rows = tuple(work.row(goal, goals) for goal in goals)
    return GradeReport(
        phantom=phantom.name,
        prescription=prescription,
        protocol=protocol_or_goals.name if isinstance(protocol_or_goals, Protocol) and is_protocol else "",
        engine=dose.engine,
        grid=dose.grid.describe(),
        rows=rows,
        target=work.target_summary(),
        indices=work.indices(),
        hot_spot=hot_spot(dose, work.target, work.external, prescription.dose_gy),
        tumor=None if histology is None else work.tumor(histology, has_control=not is_palliative),
        cord=work.cord_effect(),
        fracture=work.fracture(histology, vertebra) if technique is Technique.STEREOTACTIC else None,
        certificates=tuple(certificates),
        unlimited=unlimited_said(phantom, goals, prescription),
        information=work.information(goals),
    )


def find_cord(phantom: Phantom) -> Structure | None:
    """The cord itself, else the canal, the thecal sac or the cauda; None when nothing of the kind is drawn.

    Raises:
        InputError: several different structures are named like the one that would be it.
    """
    keys = ("spinal_cord", "spinal_canal", "thecal_sac", "cauda_equina")
    return next((s for k in keys if (s := find_structure(phantom, k)) is not None), None)


class _Work(Measured):
    """One dose, measured for a report."""

    def __init__(self, dose: Dose, phantom: Phantom, prescription: Prescription) -> None:
        super().__init__(dose, phantom, prescription)
        self.target = phantom[prescription.target]

    def row(self, goal: Goal, goals: Sequence[Goal]) -> GoalRow:
        """One goal: what was wanted, what was got, and whether that is enough."""
        found = self.goal(goal, goals)
        if found.structure is None:
            status = Status.AS_CORD if found.is_drawn_as_cord else Status.ABSENT
            return GoalRow(goal=goal, status=status, note=found.obstacle)
        name, histogram = found.structure.name, found.histogram
        if histogram is None:
            return GoalRow(goal=goal, found_as=name, status=Status.OUTSIDE, note=found.obstacle)
        note, status = found.remark, Status.MET if found.is_met else Status.MISSED
        if found.is_too_small:
            note, status = f"{found.obstacle}: no dose could meet the goal", Status.TOO_SMALL
        return GoalRow(goal=goal, found_as=name, value=found.value, status=status, note=note)

    def information(self, goals: Sequence[Goal]) -> tuple[str, ...]:
        """The thecal sac, where the source of the PRV's limit speaks of it and nothing limits it."""
        sac = next((s for s in self.phantom.structures.values() if canonical(s.name) == "thecal_sac"), None)
        stands_for = [
            g for g in goals if g.structure == "spinal_cord_prv" and "thecal sac" in f"{g.source.citation} {g.note}"
        ]
        is_limited = any(g.structure == "thecal_sac" for g in goals)
        if sac is None or not stands_for or is_limited or not self._is_on_grid(sac):
            return ()
        h = self.dvh_of(sac)
        near_maximum = h.dose_gy_at(min(0.035, h.volume_cm3))
        return (
            f"Not limited, for information: {sac.name} D0.035cc is {near_maximum:.2f} Gy. The source of the limit on "
            f"the cord's PRV ({stands_for[0].value:g} {stands_for[0].unit}) speaks of the thecal sac, for which the "
            "PRV stands here.",
        )

    def target_summary(self) -> TargetSummary:
        """Volume, coverage and doses of the target."""
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
        """Conformity, homogeneity, gradient and fall-off."""
        h, rx = self.dvh_of(self.target), self.prescription.dose_gy
        cord = find_cord(self.phantom)
        return PlanIndices(
            conformity_paddick=self.paddick(self.target),
            conformity_rtog=self.isodose_cm3[1] / h.volume_cm3,
            homogeneity_icru83=homogeneity_icru83(h) if h.dose_gy_at_percent(50) > 0 else float("inf"),
            homogeneity_rtog=homogeneity_rtog(h, rx),
            gradient_index=self.gradient_index,
            r50=self.isodose_cm3[0] / h.volume_cm3,
            prescription_isodose_cm3=self.isodose_cm3[1],
            falloff=None if cord is None else falloff(self.dose, self.target, cord, rx),
        )

    def tumor(self, histology: Histology, *, has_control: bool) -> TumorEffect:
        """What the dose does to a tumor of this histology; tumor control only with ``has_control``."""
        structure = next(
            (s for r in (Role.GTV, Role.CTV) for s in self.phantom.structures.with_role(r) if self._is_on_grid(s)),
            self.target,
        )
        n, rx, ratio = self.prescription.fractions, self.prescription.dose_gy, histology.alpha_beta_gy
        h = self.dvh_of(structure)
        doses, volumes = h.differential()
        d95 = h.dose_gy_at_percent(95)
        models = histology.tcp if has_control else None
        return TumorEffect(
            histology=histology,
            structure=structure.name,
            prescription_bed_gy=float(bed_gy(rx, n, ratio)),
            prescription_eqd2_gy=float(eqd2_gy(rx, n, ratio)),
            d95_bed_gy=float(bed_gy(d95, n, ratio)),
            d95_eqd2_gy=float(eqd2_gy(d95, n, ratio)),
            tcp_log_logistic=None if models is None else models.log_logistic.voxels(doses, n, volumes),
            tcp_poisson=None if models is None else models.poisson.voxels(doses, n, volumes),
            adequacy=adequacy(histology, rx, n),
            reached=adequacy(histology, d95, n) if d95 > 0.0 else None,
        )

    def fracture(self, histology: Histology | None, vertebra: VertebraFindings | None) -> FractureRisk | None:
        """What bears on a fracture of the vertebra; None where the tumor is not in bone or the fractions are many."""
        n, rx = self.prescription.fractions, self.prescription.dose_gy
        if n > _MOST_STEREOTACTIC_FRACTIONS or (histology is not None and histology.compartment != "extradural"):
            return None
        return fracture_risk(rx, n, vertebra, ptv_v15_cm3=self.dvh_of(self.target).volume_cm3_at(15.0))

    def cord_effect(self) -> CordEffect | None:
        """What the dose does to the cord, where one is drawn."""
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
            risks=cord_risks(near_max, n),
        )

    def _is_on_grid(self, structure: Structure) -> bool:
        grid = self.dose.grid
        boxes = zip(structure.grid.lower_mm, structure.grid.upper_mm, grid.lower_mm, grid.upper_mm, strict=True)
        return all(high > low_grid and low < high_grid for low, high, low_grid, high_grid in boxes)

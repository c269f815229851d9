"""Arcs as a draft: optimized directly, assembled to beams, corrected by their delivered dose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsim.beams import check_delivery, largest_scale
from rtsim.beams.apertures import parked_leaves, reachable_jaws
from rtsim.beams.delivery_time import ramp_seconds
from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.errors import InfeasiblePlanError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.arcs.descent import Descent, optimized
from rtsim.optimize.arcs.dose import ArcDose
from rtsim.optimize.arcs.lagrangian import Aims
from rtsim.optimize.arcs.layout import ArcLayout, Layouts
from rtsim.optimize.arcs.paths import ArcPath
from rtsim.optimize.arcs.shapes import ArcShapes, Motion, within_limits
from rtsim.optimize.arcs.start import first_shapes
from rtsim.optimize.fluence import FluencePlan, Planning
from rtsim.optimize.leaves import JAW_MARGIN_MM, multileaf
from rtsim.optimize.segment_weights import Correction
from rtsim.typing import FloatArray, Progress

ROOM_BELOW = 1.25
ROOM_ABOVE = 1.1
"""Monitor units per degree keep these factors from both limits, so that the plan can still be scaled."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ArcDraft:
    """Shapes of all arcs, and what their forward dose said of the matrix."""

    planning: Planning
    machine: Machine
    layouts: Layouts
    shapes: tuple[ArcShapes, ...]
    leaf_mm_per_deg: float
    descent: Descent
    scale: float
    correction: Correction | None = None

    @classmethod
    def of(
        cls,
        paths: tuple[ArcPath, ...],
        plan: FluencePlan,
        machine: Machine,
        leaf_mm_per_deg: float,
        descent: Descent,
    ) -> ArcDraft:
        """The first shapes of a fluence on the planning beams of these arcs.

        Raises:
            InputError: the fluence is that of other beams.
            InfeasiblePlanError: it is zero everywhere.
        """
        multileaf(machine)
        layouts = Layouts.of(paths, plan.beams, machine)
        units = np.concatenate([b.beamlet_monitor_units for b in plan.beams if b.beamlet_monitor_units is not None])
        if not units.any():
            raise InfeasiblePlanError("the optimized fluence is zero everywhere: there is nothing to deliver as arcs")
        shapes = tuple(first_shapes(layout, units) for layout in layouts.arcs)
        first = cls(
            planning=plan.planning,
            machine=machine,
            layouts=layouts,
            shapes=shapes,
            leaf_mm_per_deg=leaf_mm_per_deg,
            descent=descent,
            scale=max(abs(plan.solution.objective), 1e-6 * plan.prescription.dose_gy**2),
        )
        return first._with_the_target_dose_of(plan)

    def _with_the_target_dose_of(self, plan: FluencePlan) -> ArcDraft:
        """All monitor units scaled to the mean target dose of the fluence."""
        region = self.planning.rows.regions[plan.prescription.target]
        wanted, own = plan.solution.dose_gy, self.model.of(self.shapes)
        factor = float(region.share @ wanted[region.rows]) / max(float(region.share @ own[region.rows]), 1e-9)
        pairs = zip(self.layouts.arcs, self.shapes, strict=True)
        scaled = [
            within_limits(replace(own, monitor_units=factor * own.monitor_units), self._motion(layout))
            for layout, own in pairs
        ]
        return replace(self, shapes=tuple(scaled))

    @property
    def beams(self) -> tuple[Beam, ...]:
        """Arcs, each checked against the limits of its machine; more monitor units than it gives are scaled away later,
        with those of the other arcs.
        """
        iso = self.planning.influence.beams[0]
        found = []
        for n, (layout, shapes) in enumerate(zip(self.layouts.arcs, self.shapes, strict=True), start=1):
            points = _control_points(layout, shapes, self.machine)
            arc = Beam(
                machine=self.machine,
                isocenter_mm=iso.isocenter_mm,
                couch_deg=iso.couch_deg,
                gantry_deg=points[0].gantry_deg,
                collimator_deg=layout.path.collimator_deg,
                name=f"arc {n}",
                control_points=points,
            )
            check_delivery(arc.scaled(min(1.0, largest_scale(arc))))
            found.append(arc)
        return tuple(found)

    @property
    def segments(self) -> int:
        """Control points of all arcs."""
        return sum(s.monitor_units.size + 1 for s in self.shapes)

    @property
    def model(self) -> ArcDose:
        """The dose of shapes at the rows, with what forward doses taught."""
        known, correction = self.planning, self.correction
        if correction is not None:
            known = correction.applied_to(known, self.layouts.arc_of_columns)
        return ArcDose(
            layouts=self.layouts,
            matrix=known.matrix,
            adjoint=known.adjoint,
            missing=None if correction is None else correction.gy_per_mm2_mu,
        )

    def corrected(self, rows_gy: FloatArray) -> ArcDraft:
        """See :class:`~rtsim.optimize.delivery.Draft`; ``rows_gy`` is (rows, arcs)."""
        bare = replace(self, correction=None).model
        found = Correction.between(bare.of_each(self.shapes), rows_gy, bare.output(self.shapes))
        return replace(self, correction=found)

    def improved(
        self, planning: Planning, levels_gy: dict[int, float], *, first: bool, progress: Progress | None = None
    ) -> ArcDraft:
        """Leaves and monitor units optimized for these wishes."""
        aims = Aims(
            objectives=planning.wishes.objectives,
            constraints=planning.wishes.constraints(levels_gy),
            dose_per_fraction_gy=planning.prescription.dose_per_fraction_gy,
            scale=self.scale,
        )
        shapes = optimized(
            self.model,
            self.shapes,
            tuple(self._motion(layout) for layout in self.layouts.arcs),
            aims,
            self.descent,
            iterations=self.descent.iterations if first else self.descent.iterations_later,
            progress=progress,
        )
        return replace(self, planning=planning, shapes=shapes)

    def kept(self, factor: float) -> ArcDraft:
        """Itself; or with more monitor units where scaling would leave an interval too few.

        Raises:
            MachineLimitError: scaled it would need more monitor units per degree than the machine gives.
        """
        most, shapes = self.machine.limits.monitor_units_per_degree[1], []
        for layout, own in zip(self.layouts.arcs, self.shapes, strict=True):
            least = least_units(self.machine, layout.path.step_deg) / factor
            if own.monitor_units.max() * factor > most * layout.path.step_deg:
                raise MachineLimitError(
                    f"scaled by {factor:.3g} the arc from {layout.path.start_deg:g} degrees needs "
                    f"{own.monitor_units.max() * factor / layout.path.step_deg:.3g} MU per degree; "
                    f"{self.machine.name} gives at most {most:g}. Use more arcs or more fractions"
                )
            few = own.monitor_units < least
            shapes.append(replace(own, monitor_units=np.where(few, 1.05 * least, own.monitor_units)))
        if all(np.array_equal(a.monitor_units, b.monitor_units) for a, b in zip(shapes, self.shapes, strict=True)):
            return self
        return replace(self, shapes=tuple(shapes))

    def _motion(self, layout: ArcLayout) -> Motion:
        step = layout.path.step_deg
        return Motion(
            way_mm=self.leaf_mm_per_deg * step,
            least_gap_mm=layout.least_gap_mm,
            least_units=ROOM_BELOW * least_units(self.machine, step),
            most_units=self.machine.limits.monitor_units_per_degree[1] * step / ROOM_ABOVE,
        )


def least_units(machine: Machine, step_deg: float) -> float:
    """Of an interval: per degree, and at the least dose rate for a gantry that starts and ends it at rest."""
    limits = machine.limits
    seconds = ramp_seconds(step_deg, 0.0, 0.0, limits.max_gantry_speed_deg_s, limits.max_gantry_acceleration_deg_s2)
    return max(limits.monitor_units_per_degree[0] * step_deg, limits.min_dose_rate_mu_min / 60.0 * seconds)


def _control_points(layout: ArcLayout, shapes: ArcShapes, machine: Machine) -> tuple[ControlPoint, ...]:
    """Leaves of the pairs that shape, all others closed behind a jaw; the jaws stand still round all of it."""
    open_pairs = layout.opens & (shapes.right_mm - shapes.left_mm > layout.least_gap_mm + 1e-6)
    low_x, high_x = machine.field_limit_x_mm
    low_y, high_y = machine.field_limit_y_mm
    used = open_pairs if open_pairs.any() else layout.opens
    jaws_x = (
        max(low_x, float(shapes.left_mm[used].min()) - JAW_MARGIN_MM),
        min(high_x, float(shapes.right_mm[used].max()) + JAW_MARGIN_MM),
    )
    jaws_y = max(low_y, layout.y_mm[0]), min(high_y, layout.y_mm[1])
    jaws_x, jaws_y = reachable_jaws(machine, jaws_x, jaws_y)
    total = np.concatenate(([0.0], np.cumsum(shapes.monitor_units)))
    points = []
    for n, angle in enumerate(layout.path.gantry_deg):
        leaves = parked_leaves(machine, jaws_x)
        leaves[layout.pairs, 0], leaves[layout.pairs, 1] = shapes.left_mm[n], shapes.right_mm[n]
        aperture = Aperture(jaws_x_mm=jaws_x, jaws_y_mm=jaws_y, leaf_pairs_mm=leaves)
        points.append(
            ControlPoint(cumulative_monitor_units=float(total[n]), aperture=aperture, gantry_deg=float(angle))
        )
    return tuple(points)

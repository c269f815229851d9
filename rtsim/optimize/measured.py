"""Measured: one dose, measured goal by goal. Certificates and grades both take their numbers from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from rtsim.dose.dvh import DVH, dvh, isodose_volumes_cm3, value_of_dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.metric import Metric, MetricKind, Unit
from rtsim.protocol.model import Goal, Prescription, Priority

_LOWER_END_MM: Final = 5.0


@dataclass(frozen=True, eq=False, kw_only=True)
class GoalValue:
    """What a dose says about one goal.

    Attributes:
        structure: that the goal speaks of; None when it is not drawn.
        value: in the unit of the goal; None when it could not be measured.
        histogram: that it was read from; None when it could not be measured.
        is_too_small: an organ of which less is drawn than should stay cold: no dose could meet the goal.
        is_drawn_as_cord: the cauda equina, not drawn apart, where the cord is drawn down to the lower end of the CT and
            has a hard limit among the goals: what there is of it lies in the cord's contour, and under its limit.
    """

    goal: Goal
    structure: Structure | None = None
    value: float | None = None
    histogram: DVH | None = None
    is_too_small: bool = False
    is_drawn_as_cord: bool = False

    @property
    def is_judged(self) -> bool:
        """True when the goal is met or missed."""
        return self.value is not None and not self.is_too_small

    @property
    def is_open(self) -> bool:
        """True when it should be judged, and cannot be."""
        return not self.is_judged and not self.is_drawn_as_cord

    @property
    def is_met(self) -> bool:
        """True when it is judged and met."""
        return self.value is not None and not self.is_too_small and self.goal.met_by(self.value)

    @property
    def obstacle(self) -> str:
        """Why it is not judged; empty when it is."""
        if self.is_drawn_as_cord:
            return "not drawn apart: the spinal cord is drawn, and limited, down to the lower end of the CT"
        if self.structure is None:
            return "no such structure is drawn"
        if self.value is None:
            return "lies wholly outside the dose grid"
        return f"only {self.structure.volume_cm3:.0f} cm3 of the organ are drawn" if self.is_too_small else ""

    @property
    def remark(self) -> str:
        """What limits the meaning of the value; empty where nothing does."""
        if self.histogram is None:
            return ""
        if self.histogram.is_truncated:
            share = 100.0 * self.histogram.outside_cm3 / self.histogram.volume_cm3
            return f"{share:.0f} % of the structure lies outside the dose grid and counts as 0 Gy"
        metric, volume_cm3 = self.goal.parsed, self.histogram.volume_cm3
        absolute = metric.kind is MetricKind.DOSE_AT_VOLUME and metric.threshold_unit is Unit.CM3
        if absolute and metric.threshold > volume_cm3:
            return f"the structure has only {volume_cm3:.3g} cm3: its minimum dose is shown"
        return ""


class Measured:
    """Measures one dose; each DVH is computed once."""

    def __init__(self, dose: Dose, phantom: Phantom, prescription: Prescription) -> None:
        self.dose, self.phantom, self.prescription = dose, phantom, prescription
        self._dvh: dict[str, DVH] = {}

    def dvh_of(self, structure: Structure) -> DVH:
        """The DVH of a structure.

        Raises:
            GeometryError: it lies wholly outside the dose grid.
        """
        if structure.name not in self._dvh:
            self._dvh[structure.name] = dvh(self.dose, structure)
        return self._dvh[structure.name]

    @cached_property
    def external(self) -> Structure:
        """The outline of the patient, drawn or found."""
        outline = self.phantom.structures.with_role(Role.EXTERNAL)
        if outline:
            return outline[0]
        phantom = self.phantom
        return Structure.from_coverage("EXTERNAL", Role.EXTERNAL, phantom.grid, phantom.external_mask())

    @cached_property
    def isodose_cm3(self) -> tuple[float, float]:
        """Volumes in the patient that get 50 % and 100 % of the prescription."""
        rx = self.prescription.dose_gy
        half, full = isodose_volumes_cm3(self.dose, (0.5 * rx, rx), external=self.external)
        return half, full

    @property
    def gradient_index(self) -> float:
        """V50% / V100%; inf without a prescription isodose."""
        half, full = self.isodose_cm3
        return half / full if full > 0 else float("inf")

    def paddick(self, structure: Structure) -> float:
        """TV_RI^2 / (TV V_RI); 0 without a prescription isodose."""
        histogram, full = self.dvh_of(structure), self.isodose_cm3[1]
        inside = histogram.volume_cm3_at(self.prescription.dose_gy)
        return inside**2 / (histogram.volume_cm3 * full) if full > 0 else 0.0

    def value(self, structure: Structure, wanted: Metric) -> float:
        """A metric or plan index in its own unit.

        Raises:
            GeometryError: the structure lies wholly outside the dose grid.
        """
        if wanted.kind is MetricKind.CONFORMITY_PADDICK:
            return self.paddick(structure)
        if wanted.kind is MetricKind.GRADIENT_INDEX:
            return self.gradient_index
        return value_of_dvh(self.dvh_of(structure), wanted, prescription_gy=self.prescription.dose_gy)

    @cached_property
    def _cord_leaves_ct(self) -> bool:
        """The cord is drawn down to the lowest slices of the CT, or within 5 mm of its lower end."""
        cord = find_structure(self.phantom, "spinal_cord")
        if cord is None:
            return False
        slices = np.flatnonzero(cord.coverage.any(axis=(1, 2)))
        ct, step = self.phantom.grid, max(self.phantom.grid.spacing_mm[2], cord.grid.spacing_mm[2])
        return bool(slices.size) and cord.grid.z_mm[slices[0]] - ct.z_mm[0] <= max(2.0 * step, _LOWER_END_MM)

    def goal(self, goal: Goal, among: Sequence[Goal] = ()) -> GoalValue:
        """Measure one goal.

        Args:
            among: all that are judged, the hard limit of the cord with them.
        """
        structure = find_structure(self.phantom, goal.structure, self.prescription)
        if structure is None:
            is_limited = any(g.structure == "spinal_cord" and g.priority is Priority.HARD for g in among)
            as_cord = goal.structure == "cauda_equina" and is_limited and self._cord_leaves_ct
            return GoalValue(goal=goal, is_drawn_as_cord=as_cord)
        try:
            value, histogram = self.value(structure, goal.parsed), self.dvh_of(structure)
        except GeometryError:
            return GoalValue(goal=goal, structure=structure)
        cold = goal.parsed.kind is MetricKind.COLD_VOLUME and goal.unit == "cm3"
        too_small = cold and goal.value > histogram.volume_cm3
        return GoalValue(goal=goal, structure=structure, value=value, histogram=histogram, is_too_small=too_small)

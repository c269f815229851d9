"""Sliding window: a fluence delivered by leaves that move while the beam is on (``sliding_window_beam`` sequences it).

What a sweep gives is never nothing: leaves leak, and a closed pair that passes by leaves its gap. The fluence is
therefore optimized for u >= 0 above that least, w = least + u. What the matrix does not know (tongue and groove, head
scatter, scatter beyond the reach of its columns) comes from the forward dose, beam by beam: what that has more than the
matrix dose of what was given goes with the monitor units times the area of what is open; what it has less, as a factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from rtsim.beams import posterior, with_beamlets
from rtsim.beams.arrangements import coplanar
from rtsim.beams.model import Beam
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.delivery import POSTERIOR_BEAMS
from rtsim.optimize.fluence import FluencePlan, Planning, optimize_fluence
from rtsim.optimize.leaves import multileaf
from rtsim.optimize.segment_weights import Correction
from rtsim.optimize.sliding_window_beam import SweepSettings, SweptBeam, swept_beam
from rtsim.optimize.sliding_window_rises import Rises
from rtsim.optimize.solver import AugmentedLagrangian
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, FloatArray, Progress

AGAIN_SOLVER = AugmentedLagrangian(max_iterations=120, tolerance=1e-3, inner_iterations=40)
"""Default solver of a fluence that starts from the last one."""


@dataclass(frozen=True, kw_only=True)
class SlidingWindow:
    """Settings of sliding window delivery; a :class:`~rtsim.optimize.delivery.Delivery`.

    Attributes:
        sweep: how a map is swept: dose rate, control points.
        solver: of the fluences after the first.
        smoothing: how much more than in the planning the differences of neighboring beamlets count in these, those
            most that the monitor units of a beam depend on.
        smoothings: how often these are weighed anew (``sliding_window_rises``).
        beams: how many posterior beams, where no gantry angles are given.
        beamlet_width_mm: along the leaf direction.
        beamlet_margin_mm: how far beamlets reach beyond the target's projection.
    """

    sweep: SweepSettings = field(default_factory=SweepSettings)
    solver: AugmentedLagrangian = AGAIN_SOLVER
    smoothing: float = 40.0
    smoothings: int = 3
    beams: int = POSTERIOR_BEAMS
    beamlet_width_mm: float = 5.0
    beamlet_margin_mm: float = 5.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < math.inf:
            raise InputError(f"smoothing is {self.smoothing}; a factor >= 0 is needed")
        if self.smoothings < 1:
            raise InputError(f"smoothings is {self.smoothings}; the fluence is optimized once at least")
        if self.beams < 1:
            raise InputError(f"beams is {self.beams}; at least one is needed")

    @property
    def name(self) -> str:
        """For notes and reports."""
        return "sliding window"

    def planning_beams(
        self, machine: Machine, target: Structure, gantry_deg: tuple[float, ...] = ()
    ) -> tuple[Beam, ...]:
        """Static beams with beamlets; by default posterior ones on the target's centroid.

        Raises:
            MachineLimitError: the machine has no leaves, or the target exceeds its field.
        """
        multileaf(machine)
        if gantry_deg:
            beams = coplanar(machine, gantry_deg=gantry_deg, target=target)
        else:
            beams = posterior(machine, count=self.beams, target=target)
        return with_beamlets(beams, target, pitch_mm=self.beamlet_width_mm, margin_mm=self.beamlet_margin_mm)

    def draft(self, plan: FluencePlan, machine: Machine, *, progress: Progress | None = None) -> SlidingWindowDraft:
        """Sequence a fluence.

        Raises:
            MachineLimitError: the machine cannot deliver it.
            InfeasiblePlanError: there is nothing to deliver.
        """
        return _sequenced(self, plan.planning, machine, plan.solution.weights)


@dataclass(frozen=True, eq=False, kw_only=True)
class SlidingWindowDraft:
    """A sequenced fluence; a :class:`~rtsim.optimize.delivery.Draft`.

    Attributes:
        settings, planning, machine: what it was made with.
        swept: one a beam of the influence matrix; None where nothing is wanted of it.
        correction: by how much the matrix errs of a forward dose; None before the first.
    """

    settings: SlidingWindow
    planning: Planning
    machine: Machine
    swept: tuple[SweptBeam | None, ...]
    correction: Correction | None = None

    @property
    def beams(self) -> tuple[Beam, ...]:
        """Deliverable beams."""
        return tuple(s.beam for s in self.swept if s is not None)

    @property
    def segments(self) -> int:
        """Control points of all beams."""
        return sum(len(b.control_points) for b in self.beams)

    @property
    def given_units(self) -> FloatArray:
        """(beamlets,) monitor units for which each beamlet of the matrix is open, leakage included."""
        return self._joined([None if s is None else s.given_units for s in self.swept])

    @property
    def least_units(self) -> FloatArray:
        """(beamlets,) the least that these could be."""
        return self._joined([None if s is None else s.least_units for s in self.swept])

    def corrected(self, rows_gy: FloatArray) -> SlidingWindowDraft:
        """The same draft that knows what the matrix misses of its forward dose.

        A beam that is off takes the mean of the others.

        Args:
            rows_gy: (rows, beams) Gy of all fractions, of each of ``beams``.
        """
        influence, given = self.planning.influence, self.given_units
        on = [k for k, s in enumerate(self.swept) if s is not None]
        predicted, delivered = (np.zeros((self.planning.rows.count, len(self.swept))) for _ in range(2))
        for n, k in enumerate(on):
            own = influence.columns_of(k)
            predicted[:, k] = self.planning.matrix[:, own] @ given[own].astype(np.float32)
            delivered[:, k] = rows_gy[:, n]
        return replace(self, correction=Correction.between(predicted, delivered, self._outputs_of(given)))

    def improved(
        self, planning: Planning, levels_gy: dict[int, float], *, first: bool, progress: Progress | None = None
    ) -> SlidingWindowDraft:
        """The fluence optimized again above the least that a sweep gives, with what forward doses taught; sequenced.

        Args:
            planning: may differ from that of the draft in objectives and weights; rows and matrix are the same.
            first: takes no forward dose into account yet, but leakage and gaps.
        """
        own = replace(self, planning=planning)
        given, least = own.given_units, own.least_units
        known = planning if self.correction is None else self.correction.applied_to(planning)
        offset = np.asarray(known.matrix @ least.astype(np.float32), dtype=np.float64) + own._missing_of(given)
        weights = replace(planning.weights, smoothness=self.settings.smoothing * planning.weights.smoothness)
        smooth, rises = replace(known, weights=weights), Rises.of(planning.influence.beams)
        above, count = np.maximum(given - least, 0.0), self.settings.smoothings
        for n in range(count):
            plan = optimize_fluence(
                smooth,
                solver=self.settings.solver,
                offset_gy=offset,
                levels_gy=levels_gy,
                start=above,
                differences=rises.weighted(least + above),
                progress=_part(progress, n, count),
            )
            above = plan.solution.weights
        new = _sequenced(self.settings, planning, self.machine, least + above)
        return replace(new, correction=self.correction)

    def kept(self, factor: float) -> SlidingWindowDraft:
        """Without the beams that the machine cannot give when all monitor units are multiplied by ``factor``.

        Fewer monitor units for the same sweep: where leaves already move at their largest speed, the machine lowers its
        dose rate by the same factor.

        Raises:
            MachineLimitError: none is left.
        """
        least = self.machine.limits.min_monitor_units_per_segment
        swept = tuple(s if s is not None and s.beam.monitor_units * factor >= least else None for s in self.swept)
        if swept == self.swept:
            return self
        if not any(s is not None for s in swept):
            raise MachineLimitError(
                f"scaled by {factor:.3g} to the hard limits no beam keeps the {least:g} MU that {self.machine.name} "
                "gives at least. Raise the limits or use fewer beams or fractions"
            )
        return replace(self, swept=swept)

    @property
    def _areas(self) -> FloatArray:
        """(beamlets,) mm2 in the isocenter plane."""
        maps = [b.beamlets for b in self.planning.influence.beams]
        return np.concatenate([m.width_x_mm * m.width_y_mm for m in maps if m is not None])

    def _missing_of(self, given: FloatArray) -> FloatArray:
        """(rows,) Gy that the matrix misses of the given monitor units."""
        if self.correction is None:
            return np.zeros(self.planning.rows.count)
        return np.asarray(self.correction.gy_per_mm2_mu @ self._outputs_of(given))

    def _outputs_of(self, given: FloatArray) -> FloatArray:
        """(beams of the matrix,) mm2 MU."""
        influence, output = self.planning.influence, self._areas * given
        return np.array([output[influence.columns_of(k)].sum() for k in range(len(self.swept))])

    def _joined(self, parts: list[FloatArray | None]) -> FloatArray:
        influence = self.planning.influence
        out = np.zeros(influence.beamlet_count)
        for k, part in enumerate(parts):
            if part is not None:
                out[influence.columns_of(k)] = part
        return out


def _part(progress: Progress | None, n: int, count: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, text: progress((n + done) / count, text)


def _sequenced(
    settings: SlidingWindow, planning: Planning, machine: Machine, weights: AnyFloatArray
) -> SlidingWindowDraft:
    influence = planning.influence
    swept = tuple(
        swept_beam(beam, weights[influence.columns_of(k)], machine, settings.sweep)
        for k, beam in enumerate(influence.beams)
    )
    if not any(s is not None for s in swept):
        raise InfeasiblePlanError(
            "there is nothing to deliver: the optimized fluence is zero. Raise a limit, lower the prescription, or "
            "give the target's objectives more weight"
        )
    return SlidingWindowDraft(settings=settings, planning=planning, machine=machine, swept=swept)

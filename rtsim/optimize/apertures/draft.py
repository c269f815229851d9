"""Segments as a draft: weights, new apertures where they pay, then leaf ends and weights together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import InputError, MachineLimitError
from rtsim.machine.model import Machine
from rtsim.optimize.aperture_search import search
from rtsim.optimize.apertures.direct import optimize_apertures
from rtsim.optimize.apertures.frames import fitted, framed
from rtsim.optimize.apertures.settings import DirectAperture
from rtsim.optimize.fluence import Planning
from rtsim.optimize.segment_weights import (
    WEIGHT_SOLVER,
    Correction,
    Segment,
    beams_of,
    columns_of,
    optimize_weights,
    without_small,
)
from rtsim.optimize.solver import AugmentedLagrangian, Solution
from rtsim.typing import FloatArray, Progress


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """How segments are improved.

    Attributes:
        direct: of leaf ends and monitor units together; None: monitor units alone.
        weight_solver: of monitor units alone, before and after it.
        searches: for new apertures before the first forward dose; ``searches_later`` before each of the others.
        min_open_mm2: new apertures with a smaller open area in the isocenter plane are left out.
    """

    direct: DirectAperture | None = field(default_factory=DirectAperture)
    weight_solver: AugmentedLagrangian = WEIGHT_SOLVER
    searches: int = 3
    searches_later: int = 1
    min_open_mm2: float = 75.0

    def __post_init__(self) -> None:
        if min(self.searches, self.searches_later) < 0 or self.min_open_mm2 < 0:
            raise InputError("searches, searches_later and min_open_mm2 must be >= 0")


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentsDraft:
    """Step and shoot: segments, and what their forward dose said of the matrix.

    Attributes:
        parts: in the order of their beams in the influence matrix.
        correction: None before the first forward dose.
    """

    planning: Planning
    machine: Machine
    parts: tuple[Segment, ...]
    improvement: Improvement = field(default_factory=Improvement)
    correction: Correction | None = None

    @property
    def beams(self) -> tuple[Beam, ...]:
        """Deliverable, checked against the limits of the machine."""
        return beams_of(self.planning, self.parts, self.machine)

    @property
    def segments(self) -> int:
        """How many segments."""
        return len(self.parts)

    def corrected(self, rows_gy: FloatArray) -> SegmentsDraft:
        """See :class:`~rtsim.optimize.delivery.Draft`.

        Raises:
            InputError: ``rows_gy`` has another shape than (rows, beams of the draft).
        """
        delivering = sorted({s.beam for s in self.parts})
        if rows_gy.shape != (self.planning.rows.count, len(delivering)):
            raise InputError(
                f"rows_gy has shape {rows_gy.shape}; {self.planning.rows.count} rows and {len(delivering)} beams needed"
            )
        by_beam = np.zeros((self.planning.rows.count, len(self.planning.influence.beams)))
        by_beam[:, delivering] = rows_gy
        columns = columns_of(self.planning, self.parts, self.machine)
        correction = Correction.of(self.planning, columns, self.parts, self.machine, by_beam)
        return replace(self, correction=correction)

    def improved(
        self, planning: Planning, levels_gy: dict[int, float], *, first: bool, progress: Progress | None = None
    ) -> SegmentsDraft:
        """See :class:`~rtsim.optimize.delivery.Draft`."""
        own = self.improvement
        searches = own.searches if first else own.searches_later
        steps = _Steps(self, planning, levels_gy, progress, searches + 3)
        parts = framed(planning, self.parts, self.machine)
        for _ in range(searches):
            parts, solution = steps.weights(parts)
            found = search(planning, solution, self.machine, {s.beam: s.aperture for s in parts}, own.min_open_mm2)
            start = sum(s.monitor_units for s in parts) / len(parts)
            parts += tuple(Segment(beam=k, aperture=a, monitor_units=0.1 * start) for k, a in found)
        parts = without_small(planning, steps.weights(parts)[0], self.machine)
        if own.direct is not None:
            parts = without_small(planning, steps.apertures(parts, own.direct), self.machine)
        parts = fitted(planning, parts, self.machine)
        parts = without_small(planning, steps.weights(parts)[0], self.machine)
        return replace(self, planning=planning, parts=parts)

    def kept(self, factor: float) -> SegmentsDraft:
        """See :class:`~rtsim.optimize.delivery.Draft`."""
        least = self.machine.limits.min_monitor_units_per_segment
        kept = tuple(s for s in self.parts if s.monitor_units * factor >= least)
        if len(kept) == len(self.parts):
            return self
        if not kept:
            raise MachineLimitError(
                f"scaled by {factor:.3g} no segment keeps the {least:g} MU that {self.machine.name} gives at least. "
                "Raise the limits or use fewer beams or fractions"
            )
        return replace(self, parts=kept)


class _Steps:
    """The optimizations of one improvement, each with its share of the progress."""

    def __init__(
        self,
        draft: SegmentsDraft,
        planning: Planning,
        levels_gy: dict[int, float],
        progress: Progress | None,
        count: int,
    ) -> None:
        self._draft, self._planning, self._levels, self._progress = draft, planning, levels_gy, progress
        self._count, self._done = count, 0

    def weights(self, parts: tuple[Segment, ...]) -> tuple[tuple[Segment, ...], Solution]:
        """Monitor units alone."""
        draft = self._draft
        return optimize_weights(
            self._planning,
            parts,
            draft.machine,
            correction=draft.correction,
            levels_gy=self._levels,
            solver=draft.improvement.weight_solver,
            progress=self._share(),
        )

    def apertures(self, parts: tuple[Segment, ...], settings: DirectAperture) -> tuple[Segment, ...]:
        """Leaf ends and monitor units."""
        draft = self._draft
        return optimize_apertures(
            self._planning,
            parts,
            draft.machine,
            correction=draft.correction,
            levels_gy=self._levels,
            settings=settings,
            progress=self._share(),
        )[0]

    def _share(self) -> Progress | None:
        start, width, progress = self._done / self._count, 1.0 / self._count, self._progress
        self._done += 1
        if progress is None:
            return None
        return lambda done, text: progress(min(1.0, start + width * done), text)

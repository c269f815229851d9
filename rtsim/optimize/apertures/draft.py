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
from rtsim.optimize.apertures.improvement import Improvement
from rtsim.optimize.apertures.merge import merged
from rtsim.optimize.fluence import Planning
from rtsim.optimize.segment_weights import (
    Correction,
    Segment,
    beams_of,
    columns_of,
    optimize_weights,
    without_small,
)
from rtsim.optimize.solver import Solution
from rtsim.typing import FloatArray, Progress

NEW_SHARE = 0.3
"""New apertures start with this share of the mean monitor units of a segment."""


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
        """With leaf positions that the machine can take; a planner scales the monitor units to what it gives."""
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
        known = planning if self.correction is None else self.correction.applied_to(planning)
        steps = _Steps(self, known, levels_gy, progress, searches)
        steps.weigh()
        for _ in range(searches):
            steps.move(own.search_iterations)
            steps.search()
        steps.move(None)
        return replace(self, planning=planning, parts=steps.finish())

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
    """The optimizations of one improvement, each with its share of the progress, and the segments so far."""

    def __init__(
        self,
        draft: SegmentsDraft,
        planning: Planning,
        levels_gy: dict[int, float],
        progress: Progress | None,
        searches: int,
    ) -> None:
        self._draft, self._planning, self._levels, self._progress = draft, planning, levels_gy, progress
        self._own, self._machine = draft.improvement, draft.machine
        self._count, self._done = searches + 3, 0
        self._price = 0.0
        self._parts = framed(planning, draft.parts, draft.machine)
        self._slope: Solution | None = None

    def weigh(self) -> None:
        """Monitor units alone; they say how much the objective is, for the price of monitor units."""
        self._parts, self._slope = optimize_weights(
            self._planning,
            self._parts,
            self._machine,
            correction=self._draft.correction,
            levels_gy=self._levels,
            solver=self._own.weight_solver,
            progress=self._share(),
        )
        self._price = self._own.monitor_unit_price * self._slope.objective
        self._parts = without_small(self._planning, self._parts, self._machine)

    def move(self, iterations: int | None) -> None:
        """Leaf ends and monitor units; monitor units alone where leaf ends stay."""
        direct = self._own.direct
        if direct is None:
            self.weigh()
            return
        self._parts = merged(self._planning, self._parts, self._machine, self._own.merge)
        self._parts, self._slope = optimize_apertures(
            self._planning,
            self._parts,
            self._machine,
            correction=self._draft.correction,
            levels_gy=self._levels,
            settings=replace(
                direct,
                monitor_units=direct.monitor_units + self._price,
                max_iterations=min(iterations or direct.max_iterations, direct.max_iterations),
            ),
            progress=self._share(),
        )
        self._parts = without_small(self._planning, self._parts, self._machine)

    def search(self) -> None:
        """New apertures, with a part of the monitor units that the others have on average."""
        assert self._slope is not None
        frames = {s.beam: s.aperture for s in self._parts}
        found = search(self._planning, self._slope, self._machine, frames, self._own.min_open_mm2)
        units = NEW_SHARE * sum(s.monitor_units for s in self._parts) / len(self._parts)
        self._parts += tuple(Segment(beam=k, aperture=a, monitor_units=units) for k, a in found)

    def finish(self) -> tuple[Segment, ...]:
        """Jaws fitted, monitor units optimized once more with leaf edges as they are."""
        self._parts = fitted(self._planning, self._parts, self._machine)
        self.weigh()
        return tuple(sorted(self._parts, key=lambda s: s.beam))

    def _share(self) -> Progress | None:
        start, width, progress = self._done / self._count, 1.0 / self._count, self._progress
        self._done += 1
        if progress is None:
            return None
        return lambda done, text: progress(min(1.0, start + width * done), text)

"""Delivery: how an optimized fluence becomes what a machine delivers; step and shoot, sliding window, arcs.

A planner speaks to all of them in the same words: a :class:`Delivery` is a setting, which makes a :class:`Draft` of a
fluence. A draft gives its beams; the planner computes their dose and hands it back (``corrected``), so that the draft
knows by how much the influence matrix misses what is delivered; ``improved`` then optimizes once more, with that
knowledge.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from rtsim.beams.model import Beam
from rtsim.machine.model import Machine
from rtsim.optimize.fluence import FluencePlan, Planning
from rtsim.phantom.structure import Structure
from rtsim.typing import FloatArray, Progress

POSTERIOR_BEAMS: Final = 13
"""Static beams of a stereotactic plan for which no angles are given; all bundled spines have as many. More of them,
each with less dose, make the 50 % isodose smaller."""


@runtime_checkable
class Draft(Protocol):
    """What is to be delivered, before the planner scales its monitor units. Frozen: each step gives another one."""

    @property
    def beams(self) -> tuple[Beam, ...]:
        """Control points within the limits of the machine, but for monitor units: the planner scales those."""
        ...

    @property
    def segments(self) -> int:
        """How many apertures it has: static segments, or control points that move; for notes."""
        ...

    def corrected(self, rows_gy: FloatArray) -> Draft:
        """The same draft that knows its delivered dose.

        Args:
            rows_gy: (rows, beams) forward dose in Gy of all fractions, at the rows of the planning, of each of
                ``beams``.
        """
        ...

    def improved(
        self, planning: Planning, levels_gy: dict[int, float], *, first: bool, progress: Progress | None = None
    ) -> Draft:
        """Optimized for the objectives of ``planning``, its hard limits at ``levels_gy`` (by position of the limit).

        Args:
            first: before the first forward dose, when there is most to gain.
        """
        ...

    def kept(self, factor: float) -> Draft:
        """Without what the machine cannot give when all monitor units are multiplied by ``factor``; itself if nothing.

        Raises:
            MachineLimitError: nothing is left.
        """
        ...


@runtime_checkable
class Delivery(Protocol):
    """A technique of delivery; a frozen dataclass of its settings."""

    @property
    def name(self) -> str:
        """For notes and reports, e.g. "step and shoot"."""
        ...

    def planning_beams(
        self, machine: Machine, target: Structure, gantry_deg: tuple[float, ...] = ()
    ) -> tuple[Beam, ...]:
        """Static beams with beamlets whose influence matrix the fluence is optimized on.

        Args:
            gantry_deg: of the static beams, where the user names them; the default of the technique otherwise.

        Raises:
            MachineLimitError: the machine has no leaves, or the target exceeds its field.
        """
        ...

    def draft(self, plan: FluencePlan, machine: Machine, *, progress: Progress | None = None) -> Draft:
        """The first draft of a fluence: sequenced, not yet optimized again.

        Raises:
            MachineLimitError: the machine cannot deliver it.
            InfeasiblePlanError: there is nothing to deliver.
        """
        ...

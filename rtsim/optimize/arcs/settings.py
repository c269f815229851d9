"""Arcs: volumetric modulated arc therapy as a technique of delivery."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

from rtsim.beams import coplanar, with_beamlets
from rtsim.beams.model import WIDEST_INTERVAL_DEG, Beam
from rtsim.errors import InputError
from rtsim.geometry.iec61217 import check_angle
from rtsim.machine.model import Machine
from rtsim.optimize.arcs.descent import Descent
from rtsim.optimize.arcs.draft import ArcDraft
from rtsim.optimize.arcs.paths import ArcPath
from rtsim.optimize.fluence import FluencePlan
from rtsim.optimize.leaves import multileaf
from rtsim.phantom.structure import Structure
from rtsim.typing import Progress

COLLIMATOR_DEG: Final = (45.0, 315.0, 90.0)
"""Of the first, second and third arc. Leaves that cross the spine at half a right angle, from both sides in turn, shape
the target round the cord best: at T8 the objective was 88, against 103 at 10 and 350 degrees and 112 at 0 and 90, with
a quarter fewer monitor units. None lies square, so that leakage between leaves falls on no plane twice."""


@dataclass(frozen=True, kw_only=True)
class Arcs:
    """One to three arcs in the axial plane.

    An arc goes from ``start_deg`` to ``stop_deg`` on the side that does not pass 180 degrees, where the gantry stops:
    181 to 179 is a full turn, 179 to 181 the same backwards, 179 to 60 a partial arc. Of one start and stop for all
    arcs every second one goes the other way, so that no time is lost between them.

    Attributes:
        count: of arcs.
        start_deg, stop_deg: IEC gantry angles, one for all arcs or one each.
        collimator_deg: one for all arcs or one each; default 45, 315, 90.
        spacing_deg: of control points, at most.
        group: so many intervals share the beamlets at their middle angle; forward doses correct what that misses. On
            two arcs about T8 three (12 degrees) instead of two plan as well (Paddick 0.79 and 0.78, gradient index 3.2
            and 3.1, cord 9.8 and 9.7 Gy), from a matrix a third smaller.
        leaf_mm_per_deg: farthest way of a leaf per degree of gantry; a machine at full gantry speed allows
            its leaf speed / gantry speed, 4.2 on most.
        descent: how leaves and monitor units are optimized.
        beamlet_width_mm: along the leaf direction.
        beamlet_margin_mm: how far beamlets reach beyond the target's projection.
    """

    count: int = 2
    start_deg: float | tuple[float, ...] = 181.0
    stop_deg: float | tuple[float, ...] = 179.0
    collimator_deg: float | tuple[float, ...] | None = None
    spacing_deg: float = 4.0
    group: int = 3
    leaf_mm_per_deg: float = 4.0
    descent: Descent = field(default_factory=Descent)
    beamlet_width_mm: float = 5.0
    beamlet_margin_mm: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or not 1 <= self.count <= 3:
            raise InputError(f"count is {self.count!r}; one to three arcs can be planned")
        if not (math.isfinite(self.spacing_deg) and 0.5 <= self.spacing_deg <= 6.0):
            raise InputError(
                f"spacing_deg is {self.spacing_deg}; allowed are 0.5 <= spacing_deg <= 6: the dose of an interval is "
                "computed at its middle angle"
            )
        widest = int(WIDEST_INTERVAL_DEG / self.spacing_deg)
        if not isinstance(self.group, int) or not 1 <= self.group <= widest:
            raise InputError(f"group is {self.group!r}; 1 to {widest} intervals of {self.spacing_deg:g} degrees")
        if not 0.1 <= self.leaf_mm_per_deg <= 100.0:
            raise InputError(f"leaf_mm_per_deg is {self.leaf_mm_per_deg}; allowed are 0.1 to 100 mm per degree")
        _ = self.paths

    @property
    def name(self) -> str:
        """For notes and reports."""
        return "one arc" if self.count == 1 else f"{('two', 'three')[self.count - 2]} arcs"

    @property
    def paths(self) -> tuple[ArcPath, ...]:
        """The arcs in the order of delivery.

        Raises:
            InputError: angles that do not fit, or an arc of nearly no turn.
        """
        starts, stops = self._each("start_deg", self.start_deg), self._each("stop_deg", self.stop_deg)
        collimators = (
            COLLIMATOR_DEG if self.collimator_deg is None else self._each("collimator_deg", self.collimator_deg)
        )
        shared = not isinstance(self.start_deg, tuple) and not isinstance(self.stop_deg, tuple)
        found = []
        for n in range(self.count):
            ends = (starts[n], stops[n])
            for name, angle in zip(("start_deg", "stop_deg"), ends, strict=True):
                if angle == 180.0:
                    raise InputError(f"{name} is 180, where the gantry stops from both sides; give 179 or 181")
            if ends[0] == ends[1]:
                raise InputError(f"start_deg and stop_deg are both {ends[0]:g}; an arc turns from one angle to another")
            first, last = ends[::-1] if shared and n % 2 else ends
            path = ArcPath.between(first, last, collimators[n], self.spacing_deg, self.group)
            if abs(path.turn_deg) < 2.0 * self.spacing_deg * self.group:
                raise InputError(
                    f"the arc from {first:g} to {last:g} degrees turns by {abs(path.turn_deg):g} degrees; at least "
                    f"{2.0 * self.spacing_deg * self.group:g} are needed at this spacing"
                )
            found.append(path)
        return tuple(found)

    def _each(self, name: str, given: float | tuple[float, ...]) -> tuple[float, ...]:
        values = given if isinstance(given, tuple) else (given,) * self.count
        if len(values) != self.count:
            angles = f"{len(values)} angle{'s' * (len(values) != 1)}"
            raise InputError(
                f"{name} has {angles}, and count is {self.count}: give one angle for all arcs, or one for each. count "
                f"is {type(self).count} unless it is given; for {angles}: Arcs(count={len(values)}, ...)"
            )
        return tuple(check_angle(name, v) for v in values)

    def planning_beams(
        self, machine: Machine, target: Structure, gantry_deg: tuple[float, ...] = ()
    ) -> tuple[Beam, ...]:
        """Static beams at the middle of every ``group`` intervals of each arc, with its collimator angle.

        Raises:
            InputError: ``gantry_deg`` is given: an arc has a start and a stop.
            MachineLimitError: the machine has no leaves, or the target exceeds its field.
        """
        multileaf(machine)
        if gantry_deg:
            raise InputError(
                f"gantry_deg {gantry_deg} names static beams; arcs go from start_deg to stop_deg. Give those"
            )
        found: list[Beam] = []
        for n, path in enumerate(self.paths, start=1):
            static = coplanar(machine, gantry_deg=path.planning_deg, target=target, collimator_deg=path.collimator_deg)
            found += [replace(b, name=f"arc {n}, {b.name}") for b in static]
        return with_beamlets(found, target, pitch_mm=self.beamlet_width_mm, margin_mm=self.beamlet_margin_mm)

    def draft(self, plan: FluencePlan, machine: Machine, *, progress: Progress | None = None) -> ArcDraft:
        """The fluence as moving apertures, not yet optimized.

        Raises:
            MachineLimitError: the machine cannot deliver it.
            InfeasiblePlanError: there is nothing to deliver.
        """
        return ArcDraft.of(self.paths, plan, machine, self.leaf_mm_per_deg, self.descent)

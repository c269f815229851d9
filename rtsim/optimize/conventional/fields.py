"""Fields: what an aperture gives the patient, and plans of weighted apertures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsim.beams import conform
from rtsim.beams.model import Aperture, Beam
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.dose.statistics import structure_points
from rtsim.errors import InfeasiblePlanError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_mean
from rtsim.optimize.conventional.weighting import Columns, weigh
from rtsim.optimize.goals import points_dose
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray, IntArray, Progress

UNIT_MU = 100.0
"""Monitor units that the doses of segments are computed for."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Segment:
    """A beam of UNIT_MU through one aperture: its dose, and that in the points of the target."""

    beam: Beam
    aperture: Aperture
    dose: Dose
    target_gy: FloatArray
    mean_gy: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighted:
    """Fields of segments (the open one first), and the shares (sum 1) of the target's mean dose that each gives.

    Attributes:
        fields: segments of each field.
        shares: (segments,) of all fields, in order.
        columns: what was weighed.
        outside_voxel: (voxels,) of the dose grid, in C order, that the rows of ``columns.outside`` are.
    """

    fields: tuple[tuple[Segment, ...], ...]
    shares: FloatArray
    columns: Columns
    outside_voxel: IntArray

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Of all fields, in the order of ``shares``."""
        return tuple(s for field in self.fields for s in field)

    @property
    def unevenness(self) -> float:
        """Of the target, in its tolerance."""
        return self.columns.unevenness(self.shares)[0]

    @property
    def heat(self) -> float:
        """Of the hot spots outside the target, in their tolerance."""
        return self.columns.heat(self.shares)[0]

    @property
    def cost(self) -> float:
        """Sum of both."""
        return self.unevenness + self.heat

    @property
    def field_shares(self) -> FloatArray:
        """(fields,) share of each field, all its segments together."""
        total = np.bincount(self.columns.field, weights=self.shares, minlength=len(self.fields))
        return np.asarray(total, dtype=np.float64)

    def monitor_units(self, dose_gy: float) -> FloatArray:
        """(segments,) with which the mean dose of the target is ``dose_gy``."""
        mean = np.array([s.mean_gy for s in self.segments])
        return np.asarray(UNIT_MU * dose_gy * self.shares / mean, dtype=np.float64)

    def beams(self, dose_gy: float) -> tuple[Beam, ...]:
        """One beam a field, its segments one after the other."""
        units = self.monitor_units(dose_gy)
        out = []
        for n, field in enumerate(self.fields):
            own = units[self.columns.field == n]
            parts = tuple((s.aperture, float(u)) for s, u in zip(field, own, strict=True) if u > 0.0)
            out.append(field[0].beam.with_segments(parts))
        return tuple(out)

    def dose(self, dose_gy: float) -> Dose:
        """The sum over the segments with which the mean dose of the target is ``dose_gy``."""
        parts = self.monitor_units(dose_gy) / UNIT_MU
        total = sum(s.dose.values_gy * np.float32(p) for s, p in zip(self.segments, parts, strict=True))
        return replace(self.segments[0].dose, values_gy=np.asarray(total))

    def target_percent(self, percent: float) -> float:
        """D(percent) of the target in % of its median dose, from the points that were weighed."""
        dose = self.columns.inside @ self.shares
        order = np.argsort(-dose)
        reached = np.cumsum(self.columns.inside_share[order])
        at = [dose[order[min(int(np.searchsorted(reached, p / 100.0)), dose.size - 1)]] for p in (percent, 50.0)]
        return 100.0 * float(at[0] / at[1])

    @property
    def maximum_percent(self) -> float:
        """The highest dose inside and outside, in % of the target's median dose."""
        inside, outside = self.columns.inside @ self.shares, self.columns.outside @ self.shares
        return float(max(inside.max(), outside.max(initial=0.0)) / inside.max()) * self.target_percent(0.0)


class Workshop:
    """Makes and weighs fields for one target; a field that two arrangements have in common is computed once."""

    def __init__(
        self,
        phantom: Phantom,
        target: Structure,
        prescription: Prescription,
        engine: Engine,
        margin_mm: float,
        parts: int,
        progress: Progress | None,
    ) -> None:
        self.phantom, self.target, self.margin_mm = phantom, target, margin_mm
        self.prescription, self._engine = prescription, engine
        self.points_mm, volume = structure_points(target, 1)
        self._share = volume / volume.sum()
        self._open: dict[tuple[str, float, str], Segment] = {}
        self._outside: tuple[Grid, FloatArray] | None = None
        self._parts, self._begun, self._progress = parts + 1, 0, progress
        self._reached = 0.0

    def forward(self, beams: tuple[Beam, ...]) -> Dose:
        """The delivered dose of all fractions."""
        fractions = self.prescription.fractions
        return self._engine.forward(self.phantom, beams, fractions=fractions, progress=self._next_part())

    def _next_part(self) -> Progress | None:
        """Progress of the next of the equal parts of the work; how many there will be is not known to the last one."""
        n, self._begun = min(self._begun, self._parts - 1), self._begun + 1
        if self._progress is None:
            return None
        report = self._progress

        def on(done: float, text: str) -> None:
            self._reached = max(self._reached, (n + done) / self._parts)
            report(self._reached, text)

        return on

    def open_segment(self, beam: Beam) -> Segment:
        """The beam conformed to the target; a name, gantry and wedge that were computed before are not again."""
        key = (beam.name, beam.gantry_deg, beam.wedge.name if beam.wedge else "")
        if key not in self._open:
            shaped = conform(beam, self.target, margin_mm=self.margin_mm, monitor_units=UNIT_MU)
            self._open[key] = self.segment(shaped, shaped.control_points[0].aperture)
        return self._open[key]

    def segment(self, beam: Beam, aperture: Aperture) -> Segment:
        """The dose of one aperture of a beam.

        Raises:
            InfeasiblePlanError: the target gets nothing of it.
        """
        single = beam.with_segments(((aperture, UNIT_MU),))
        dose = self.forward((single,))
        in_target = points_dose(dose, self.points_mm)
        mean = float(self._share @ in_target)
        if not mean > 0:
            raise InfeasiblePlanError(
                f"field {beam.name!r} gives the target {self.target.name!r} no dose; check isocenter and dose grid"
            )
        return Segment(beam=single, aperture=aperture, dose=dose, target_gy=in_target, mean_gy=mean)

    def weighted(self, fields: tuple[tuple[Segment, ...], ...], near: Weighted | None = None) -> Weighted:
        """The best weights of these segments; found sooner with a plan ``near``, some of whose segments they are."""
        segments = [s for field in fields for s in field]
        volume = self._volume_outside(segments[0].dose.grid)
        body = np.flatnonzero(volume)
        outside = np.stack([s.dose.values_gy.ravel()[body] / s.mean_gy for s in segments], axis=1)
        can_be_hot = outside.max(axis=1) > 1.0  # the shares sum to 1: no weights make the rest hot
        columns = Columns(
            inside=np.stack([s.target_gy / s.mean_gy for s in segments], axis=1),
            inside_share=self._share,
            outside=outside[can_be_hot].astype(np.float64),
            outside_cm3=volume[body][can_be_hot],
            field=np.repeat(np.arange(len(fields)), [len(f) for f in fields]),
        )
        known = {} if near is None else dict(zip(map(id, near.segments), near.shares, strict=True))
        start = None if near is None else np.array([known.get(id(s), 0.0) for s in segments])
        return Weighted(fields=fields, shares=weigh(columns, start), columns=columns, outside_voxel=body[can_be_hot])

    def _volume_outside(self, grid: Grid) -> FloatArray:
        if self._outside is None or self._outside[0] != grid:
            self._outside = grid, outside_cm3(self.phantom, self.target, grid).ravel()
        return self._outside[1]


def outside_cm3(phantom: Phantom, target: Structure, grid: Grid) -> FloatArray:
    """(nz, ny, nx) volume of the body outside the target in each voxel of a grid."""
    outline = phantom.structures.with_role(Role.EXTERNAL)
    body = (
        outline[0].coverage_on(grid)
        if outline
        else resample_mean(phantom.external_mask().astype(np.float32), phantom.grid, grid)
    )
    rest = np.clip(np.asarray(body, dtype=np.float64) - target.coverage_on(grid), 0.0, 1.0)
    return np.asarray(rest * grid.voxel_volume_cm3, dtype=np.float64)


def without(weighted: Weighted, numbers: IntArray) -> tuple[tuple[Segment, ...], ...]:
    """The fields without the segments of these numbers; every field keeps its heaviest one."""
    segments, field = weighted.segments, weighted.columns.field
    dropped = {id(segments[n]) for n in numbers}
    for n in range(len(weighted.fields)):
        own = np.flatnonzero(field == n)
        dropped.discard(id(segments[int(own[np.argmax(weighted.shares[own])])]))
    return tuple(tuple(s for s in own if id(s) not in dropped) for own in weighted.fields)

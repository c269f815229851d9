"""What a delivered dose gives to the limits in every position of the patient: the dose cloud, and exact doses.

The dose cloud: a rigid patient that moves by a millimeter or turns by a degree takes its tissue through a dose that
stays where it is in the room, D(position, p) = D(p moved). What changes beside is the depth along each ray, by the
displacement at most: mu 1 mm = 0.5 %. Source: Craig, Battista & Van Dyk, Med Phys 30 (2003) 2001, DOI 10.1118/1.1589492
(how far shift invariance carries: it fails near the surface, where no cord lies) [V, abstract].
A position that the engine computed itself (:mod:`rtsim.optimize.robust.recomputed`) says how much that misses; the
largest of these differences is added to the positions that were not. Where no position was computed, a fixed margin is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rtsim.dose.dvh import DVH
from rtsim.dose.result import Dose
from rtsim.dose.statistics import dose_at_hottest, structure_points
from rtsim.optimize.delivered import Reading, readable_dvh, target_reading
from rtsim.optimize.goals import DoseVolumeLimit, points_dose
from rtsim.optimize.robust.promises import Promise
from rtsim.optimize.robust.scenarios import Displacement
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray

UNCONFIRMED = 0.03
"""Relative margin of positions of which the engine computed none. By depth the cloud misses 0.5 % per mm; what steep
falls of density and the sampling of the cloud add is allowed for five times over [E]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class InPositions:
    """One limit in every position.

    Attributes:
        names: of the positions, the nominal one first.
        reached_gy: in each.
        recomputed: whether the engine computed it; the nominal one always.
        margin: what was added to the others, relative.
    """

    promise: Promise
    names: tuple[str, ...]
    reached_gy: tuple[float, ...]
    recomputed: tuple[bool, ...]
    margin: float = 0.0

    @property
    def worst(self) -> int:
        """Index of the position with the highest dose."""
        return int(np.argmax(self.reached_gy))

    @property
    def held(self) -> int:
        """In how many positions the limit holds."""
        return sum(gy <= self.promise.limit.limit_gy for gy in self.reached_gy)

    def scaled(self, factor: float) -> InPositions:
        """At ``factor`` times the monitor units."""
        return replace(self, reached_gy=tuple(factor * gy for gy in self.reached_gy))


@dataclass(frozen=True, eq=False, kw_only=True)
class PositionsReading:
    """A dose in all positions: ``reading`` holds for each promise the dose that is compared with its limit.

    That is the worst of all positions for what is promised everywhere, the nominal one for the rest.
    """

    reading: Reading
    positions: tuple[InPositions, ...]


@dataclass(frozen=True, eq=False)
class Cloud:
    """The sub-voxel points of a structure, which move through a dose."""

    structure: Structure

    @cached_property
    def _points(self) -> tuple[FloatArray, FloatArray]:
        return structure_points(self.structure)

    def more_than_nominal(
        self, dose: Dose, limits: tuple[DoseVolumeLimit, ...], displacements: tuple[Displacement, ...]
    ) -> FloatArray:
        """(limits, positions) Gy more than in the first position.

        A difference, so that what these points read otherwise than the DVH of the certificate falls out.
        """
        points, volume = self._points
        out = np.empty((len(limits), len(displacements)))
        for n, displacement in enumerate(displacements):
            gy = points_dose(dose, points if displacement.is_nominal else displacement.moved(points))
            for k, limit in enumerate(limits):
                out[k, n] = _reached(limit, gy, volume)
        return np.asarray(out - out[:, :1])


def _reached(limit: DoseVolumeLimit, gy: FloatArray, volume: FloatArray) -> float:
    if limit.mean:
        return float(gy @ volume / volume.sum())
    return float(gy.max()) if limit.volume_cm3 <= 0.0 else dose_at_hottest(gy, volume, limit.volume_cm3)


@dataclass(frozen=True, eq=False, kw_only=True)
class PositionsReader:
    """Reads doses of one phantom against promises.

    Attributes:
        displacements: the positions, the nominal one first.
        margins: for each promise what to add, relative, to positions that the engine has not computed.
    """

    target: Structure
    prescription: Prescription
    promises: tuple[Promise, ...]
    displacements: tuple[Displacement, ...]
    margins: tuple[float, ...] = ()

    @property
    def limits(self) -> tuple[DoseVolumeLimit, ...]:
        """Of the promises."""
        return tuple(p.limit for p in self.promises)

    @cached_property
    def _clouds(self) -> dict[str, Cloud]:
        return {p.limit.structure.name: Cloud(p.limit.structure) for p in self.promises if p.is_read}

    def read(self, dose: Dose) -> Reading:
        """What is compared with each limit.

        Raises:
            GeometryError: the target lies wholly outside the dose grid.
        """
        return self.positions(dose).reading

    def positions(self, dose: Dose, exact: Mapping[int, tuple[float, ...]] | None = None) -> PositionsReading:
        """All limits in all positions.

        Args:
            exact: by index of a position what each promise gets there, from a dose that was computed for it.
        """
        histograms = {p.limit.structure.name: readable_dvh(dose, p.limit.structure) for p in self.promises}
        nominal = self.nominal(histograms)
        compared, found = list(nominal), []
        clouds = self._cloud_differences(dose) if len(self.displacements) > 1 else {}
        for k, differences in clouds.items():
            if nominal[k] > 0.0:
                found.append(self._in_positions(k, nominal[k], differences, exact or {}))
                if self.promises[k].everywhere:
                    compared[k] = max(found[-1].reached_gy)
        target = histograms.get(self.target.name)
        reading = target_reading(dose, self.target, self.prescription, tuple(compared), target)
        return PositionsReading(reading=reading, positions=tuple(found))

    def nominal(self, histograms: Mapping[str, DVH | None]) -> tuple[float, ...]:
        """Each promise in one dose; 0 off the dose grid, and where there is no DVH."""
        of = [histograms.get(p.limit.structure.name) for p in self.promises]
        return tuple(0.0 if h is None else p.limit.reached_in(h) for p, h in zip(self.promises, of, strict=True))

    def _cloud_differences(self, dose: Dose) -> dict[int, FloatArray]:
        """For each promise that is read (positions,) Gy more than as planned."""
        out: dict[int, FloatArray] = {}
        for name, cloud in self._clouds.items():
            own = [k for k, p in enumerate(self.promises) if p.is_read and p.limit.structure.name == name]
            limits = tuple(self.promises[k].limit for k in own)
            out |= dict(zip(own, cloud.more_than_nominal(dose, limits, self.displacements), strict=True))
        return dict(sorted(out.items()))

    def _in_positions(
        self, k: int, now: float, differences: FloatArray, exact: Mapping[int, tuple[float, ...]]
    ) -> InPositions:
        margin = self.margins[k] if self.margins else 0.0
        reached = [now, *(max(0.0, now + float(d)) * (1.0 + margin) for d in differences[1:])]
        for n, values in exact.items():
            reached[n] = values[k]
        return InPositions(
            promise=self.promises[k],
            names=tuple(d.name for d in self.displacements),
            reached_gy=tuple(reached),
            recomputed=tuple(n == 0 or n in exact for n in range(len(reached))),
            margin=margin,
        )

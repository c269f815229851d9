"""The way of the gantry in one arc: its control points, and the angles at which beamlets stand for its intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtsim.typing import AnyFloatArray, FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class ArcPath:
    """One arc.

    Attributes:
        start_deg: IEC gantry angle of the first control point.
        turn_deg: to the last one, clockwise (rising angles) positive; it never passes 180, where the gantry stops.
        collimator_deg: of the whole arc.
        intervals: between control points, all of the same turn.
        group: so many neighboring intervals share one planning beam, at their common middle angle.
    """

    start_deg: float
    turn_deg: float
    collimator_deg: float
    intervals: int
    group: int

    @classmethod
    def between(
        cls, start_deg: float, stop_deg: float, collimator_deg: float, spacing_deg: float, group: int
    ) -> ArcPath:
        """From one angle to another on the side that does not pass 180; intervals of at most ``spacing_deg``."""
        turn = (stop_deg - 180.0) % 360.0 - (start_deg - 180.0) % 360.0
        groups = math.ceil(abs(turn) / (spacing_deg * group) - 1e-9)
        return cls(
            start_deg=start_deg,
            turn_deg=turn,
            collimator_deg=collimator_deg,
            intervals=groups * group,
            group=group,
        )

    @property
    def step_deg(self) -> float:
        """Turn of one interval, >= 0."""
        return abs(self.turn_deg) / self.intervals

    @property
    def gantry_deg(self) -> FloatArray:
        """(intervals + 1,) of the control points, 0 <= angle < 360."""
        return self._angles(np.arange(self.intervals + 1))

    @property
    def planning_deg(self) -> FloatArray:
        """(groups,) of the planning beams."""
        return self._angles(np.arange(0.5, self.intervals // self.group) * float(self.group))

    @property
    def planning_of(self) -> IntArray:
        """(intervals,) the planning beam of each interval, counted within the arc."""
        return np.arange(self.intervals, dtype=np.int64) // self.group

    def _angles(self, n: AnyFloatArray | IntArray) -> FloatArray:
        angles = np.round(self.start_deg + self.turn_deg * n / self.intervals, 6) % 360.0
        return np.asarray(angles, dtype=np.float64)

"""Collapse: how much of its height a vertebral body has lost, and where.

Neck and chest give way as a wedge, in front most; lumbar and sacral bodies between their rims (biconcave). [A]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.phantom.spine.anatomy import Level
from rtsim.typing import AnyFloatArray, FloatArray

MOST_LOST: Final = 0.88
"""What is lost at the worst place ends here: some bone is always left. [A]"""
_UNEVEN: Final = {"C": 0.45, "T": 0.45, "L": 0.35, "S": 0.35}


@dataclass(frozen=True)
class Collapse:
    """The loss of height of one body; ``percent`` is the mean over its endplates, shared evenly by both of them."""

    row: Level
    percent: float

    @property
    def is_wedge(self) -> bool:
        """Lost in front; otherwise between the rims."""
        return self.row.region in {"C", "T"}

    @property
    def mean(self) -> float:
        """Lost fraction, mean over the endplates."""
        return self.percent / 100.0

    @property
    def _uneven(self) -> float:
        return min(_UNEVEN[self.row.region], MOST_LOST / self.mean - 1.0)

    def lost(self, u_mm: AnyFloatArray, v_mm: AnyFloatArray) -> FloatArray:
        """Lost fraction of the height at places of the endplates, local axes: (1 - k v) as a wedge, 1 + k (1 - 2 r^2)
        between the rims, times the mean; v and r in half depths and half widths."""
        v = np.clip(2.0 * np.asarray(v_mm) / self.row.endplate_depth_mm, -1.0, 1.0)
        if self.is_wedge:
            return np.asarray(self.mean * (1.0 - self._uneven * v))
        u = 2.0 * np.asarray(u_mm) / self.row.endplate_width_mm
        r2 = np.clip(u * u + v * v, 0.0, 1.0)
        return np.asarray(self.mean * (1.0 + self._uneven * (1.0 - 2.0 * r2)))

    @property
    def standing_mm(self) -> float:
        """Height between the neighbors: at the middle of a wedge, at the rim otherwise."""
        lost = self.mean if self.is_wedge else self.mean * (1.0 - self._uneven)
        return self.row.height_mm * (1.0 - lost)

    @property
    def posterior_mm(self) -> float:
        """Height of the posterior wall."""
        return self.row.height_mm * (1.0 - self.mean * (1.0 - self._uneven))

    @property
    def wedge_deg(self) -> float:
        """Angle between the endplates, open to the back."""
        if not self.is_wedge:
            return 0.0
        gained = 2.0 * self._uneven * self.mean * self.row.height_mm
        return math.degrees(math.atan2(gained, self.row.endplate_depth_mm))

    @property
    def hollow_mm(self) -> float:
        """How far each endplate has sunk below its rim, at the middle."""
        return 0.0 if self.is_wedge else self._uneven * self.mean * self.row.height_mm

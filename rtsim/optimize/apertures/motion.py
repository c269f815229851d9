"""What a technique whose leaves move while the beam is on asks of its apertures: short ways between neighbors."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rtsim.typing import FloatArray


@runtime_checkable
class Motion(Protocol):
    """A smooth penalty on leaf ends and monitor units, e.g. on leaf travel between consecutive control points."""

    def penalty(
        self, leaf_pairs_mm: FloatArray, monitor_units: FloatArray
    ) -> tuple[float, tuple[FloatArray, FloatArray]]:
        """Value in the unit of the objectives, and its gradients with respect to both arguments.

        Args:
            leaf_pairs_mm: (segments, leaf pairs, 2) left and right ends, in the order of the segments.
            monitor_units: (segments,).
        """
        ...

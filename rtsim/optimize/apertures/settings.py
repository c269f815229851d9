"""Settings of direct aperture optimization."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DirectAperture:
    """Settings of direct aperture optimization.

    Attributes:
        max_iterations: L-BFGS-B iterations, all outer steps together.
        inner_iterations: at most these many between two updates of multipliers and of the lines between leaf ends.
        tolerance: relative change of the objective, and relative violation, at which it stops.
        edge_mm: half-width over which a leaf edge is rounded, so that the gradient is continuous.
        monitor_units: what 100 monitor units per Gy cost, in the unit of the objective (Gy^2).
        min_monitor_units: of each segment.
        penalty: first penalty of the limits relative to the objective; ``penalty_growth`` when violation does not fall.
        memory: correction pairs of L-BFGS-B.
    """

    max_iterations: int = 120
    inner_iterations: int = 30
    tolerance: float = 1e-3
    edge_mm: float = 0.5
    monitor_units: float = 0.0
    min_monitor_units: float = 0.0
    penalty: float = 30.0
    penalty_growth: float = 4.0
    memory: int = 12

    def __post_init__(self) -> None:
        if min(self.max_iterations, self.inner_iterations, self.memory) < 1:
            raise InputError("max_iterations, inner_iterations and memory of DirectAperture must be >= 1")
        if not (0.0 < self.tolerance < 1.0 and self.penalty > 0.0 and self.penalty_growth > 1.0):
            raise InputError("DirectAperture needs 0 < tolerance < 1, penalty > 0 and penalty_growth > 1")
        if min(self.edge_mm, self.monitor_units, self.min_monitor_units) < 0.0:
            raise InputError("edge_mm, monitor_units and min_monitor_units of DirectAperture must be >= 0")

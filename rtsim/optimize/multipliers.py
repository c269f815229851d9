"""Hard limits in a function to be minimized: the terms that an augmented Lagrangian adds for them.

L(d, m) = f(d) + sum_i (max(0, m_i + r g_i(d))^2 - m_i^2) / (2 r);  m <- max(0, m + r g)

The multipliers m move between minimizations; the penalty r is the caller's, as what it is relative to differs.

Source: Nocedal & Wright, Numerical Optimization (2006), section 17.4.
"""

from __future__ import annotations

import numpy as np

from rtsim.optimize.constraints import Constraint
from rtsim.optimize.objectives import Region
from rtsim.typing import FloatArray


class Multipliers:
    """The multipliers of limits on a dose (rows,), all 0 at first."""

    def __init__(self, constraints: tuple[tuple[Constraint, Region], ...], dose_gy: FloatArray) -> None:
        self._constraints = constraints
        self.values = [np.zeros(c.residual(dose_gy[r.rows], r).shape) for c, r in constraints]

    def add_terms(self, dose_gy: FloatArray, penalty: float, slope: FloatArray) -> float:
        """What the limits add to the function; their gradient by dose is added to ``slope`` (rows,)."""
        value = 0.0
        for (constraint, region), m in zip(self._constraints, self.values, strict=True):
            own = dose_gy[region.rows]
            active = np.maximum(m + penalty * constraint.residual(own, region), 0.0)
            if active.any() or m.any():
                value += float(active @ active - m @ m) / (2.0 * penalty)
                slope[region.rows] += constraint.pullback(own, region, active)
        return value

    def add_prices(self, dose_gy: FloatArray, slope: FloatArray) -> None:
        """Add to ``slope`` (rows,) what the multipliers alone make of dose: the price of the limits that bind."""
        for (constraint, region), m in zip(self._constraints, self.values, strict=True):
            slope[region.rows] += constraint.pullback(dose_gy[region.rows], region, m)

    def move(self, dose_gy: FloatArray, penalty: float) -> None:
        """After a minimization that ended at this dose."""
        for k, (constraint, region) in enumerate(self._constraints):
            residual = constraint.residual(dose_gy[region.rows], region)
            self.values[k] = np.maximum(self.values[k] + penalty * residual, 0.0)

    def worst(self, dose_gy: FloatArray) -> float:
        """How far the worst limit is broken, relative to it; 0 when all hold."""
        return max([0.0, *(float(c.residual(dose_gy[r.rows], r).max()) for c, r in self._constraints)])

"""Objectives and hard limits of a dose as one function to minimize, its multipliers moved between minimizations.

L(d, m) = f(d) + sum_i (max(0, m_i + r g_i(d))^2 - m_i^2) / (2 r);  m <- max(0, m + r g)

Source: Nocedal & Wright, Numerical Optimization (2006), section 17.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtsim.optimize.constraints import Constraint
from rtsim.optimize.objectives import Objective, Region
from rtsim.typing import FloatArray

HELD = 1e-3
"""Relative violation up to which a limit counts as held: the plan is scaled to it in the end."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Aims:
    """What is minimized and what must hold.

    Attributes:
        dose_per_fraction_gy: of the prescription.
        scale: the objective of a good plan, that of the fluence: penalties are relative to it.
    """

    objectives: tuple[tuple[Objective, Region], ...]
    constraints: tuple[tuple[Constraint, Region], ...]
    dose_per_fraction_gy: float
    scale: float

    def objective(self, dose_gy: FloatArray) -> tuple[float, FloatArray]:
        """Value, and gradient (rows,) by dose."""
        value, slope = 0.0, np.zeros(dose_gy.shape)
        for objective, region in self.objectives:
            own, gradient = objective.evaluate(dose_gy[region.rows], region)
            value += objective.weight * own
            slope[region.rows] += objective.weight * gradient
        return value, slope

    def violation(self, dose_gy: FloatArray) -> float:
        """The worst limit: how far above it, relative to it; 0 when all hold."""
        return max([0.0, *(float(c.residual(dose_gy[r.rows], r).max()) for c, r in self.constraints)])


class Lagrangian:
    """The function with its multipliers and penalty."""

    def __init__(self, aims: Aims, dose_gy: FloatArray, penalty: float, growth: float) -> None:
        self.aims, self.growth = aims, growth
        self.rho = penalty * aims.scale
        self.multipliers = [np.zeros(c.residual(dose_gy[r.rows], r).shape) for c, r in aims.constraints]
        self.violation = math.inf

    def evaluate(self, dose_gy: FloatArray) -> tuple[float, FloatArray]:
        """Value, and gradient (rows,) by dose."""
        value, slope = self.aims.objective(dose_gy)
        for (constraint, region), m in zip(self.aims.constraints, self.multipliers, strict=True):
            own = dose_gy[region.rows]
            active = np.maximum(m + self.rho * constraint.residual(own, region), 0.0)
            if active.any() or m.any():
                value += float(active @ active - m @ m) / (2.0 * self.rho)
                slope[region.rows] += constraint.pullback(own, region, active)
        return value, slope

    def update(self, dose_gy: FloatArray) -> tuple[float, float]:
        """Multipliers and penalty after a minimization; the rank of its dose, the lower the better: limits first."""
        before, self.violation = self.violation, self.aims.violation(dose_gy)
        for k, (constraint, region) in enumerate(self.aims.constraints):
            residual = constraint.residual(dose_gy[region.rows], region)
            self.multipliers[k] = np.maximum(self.multipliers[k] + self.rho * residual, 0.0)
        if self.violation > max(0.3 * before, HELD):
            self.rho *= self.growth
        return (0.0 if self.violation <= HELD else self.violation), self.aims.objective(dose_gy)[0]

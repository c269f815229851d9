"""Objectives and hard limits of a dose as one function to minimize, by :mod:`rtsim.optimize.multipliers`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtsim.optimize.constraints import Constraint
from rtsim.optimize.multipliers import Multipliers
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


class Lagrangian:
    """The function with its multipliers and penalty."""

    def __init__(self, aims: Aims, dose_gy: FloatArray, penalty: float, growth: float) -> None:
        self.aims, self.growth = aims, growth
        self.rho = penalty * aims.scale
        self.multipliers = Multipliers(aims.constraints, dose_gy)
        self.violation = math.inf

    def evaluate(self, dose_gy: FloatArray) -> tuple[float, FloatArray]:
        """Value, and gradient (rows,) by dose."""
        value, slope = self.aims.objective(dose_gy)
        return value + self.multipliers.add_terms(dose_gy, self.rho, slope), slope

    def update(self, dose_gy: FloatArray) -> tuple[float, float]:
        """Multipliers and penalty after a minimization; the rank of its dose, the lower the better: limits first."""
        before, self.violation = self.violation, self.multipliers.worst(dose_gy)
        self.multipliers.move(dose_gy, self.rho)
        if self.violation > max(0.3 * before, HELD):
            self.rho *= self.growth
        return (0.0 if self.violation <= HELD else self.violation), self.aims.objective(dose_gy)[0]

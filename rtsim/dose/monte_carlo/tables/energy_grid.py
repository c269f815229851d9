"""The grid of energies that all tables of the Monte Carlo engine share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.materials import MAX_ENERGY_MEV, MIN_ENERGY_MEV
from rtsim.typing import FloatArray

_STANDARD_COUNT: Final = 1024


@dataclass(frozen=True)
class EnergyGrid:
    """Energies uniform in ln E, so that a kernel finds its place with one logarithm.

    Node i is exp(log_min + i step); E lies at x = (ln E - log_min) inverse_step, between nodes int(x) and int(x) + 1,
    where tables are interpolated linearly. Photons and electrons (kinetic energy) share the grid.

    Attributes:
        log_min: ln of the lowest energy in MeV.
        step: distance of the nodes in ln E.
        count: number of nodes.
    """

    log_min: float
    step: float
    count: int

    def __post_init__(self) -> None:
        if self.count < 2 or not (math.isfinite(self.log_min) and math.isfinite(self.step) and self.step > 0.0):
            raise InputError(
                f"an energy grid of {self.count} nodes with log_min {self.log_min} and step {self.step}; "
                "it needs at least 2 nodes, a finite log_min and a step above 0"
            )

    @staticmethod
    @cache
    def standard() -> EnergyGrid:
        """1024 nodes over the whole range of the photon tables, 10 keV to 25 MeV: 0.77 % from node to node."""
        low, high = math.log(MIN_ENERGY_MEV), math.log(MAX_ENERGY_MEV)
        return EnergyGrid(log_min=low, step=(high - low) / (_STANDARD_COUNT - 1), count=_STANDARD_COUNT)

    @property
    def inverse_step(self) -> float:
        """1 / step: nodes per unit of ln E."""
        return 1.0 / self.step

    @property
    def energies_mev(self) -> FloatArray:
        """(count,) energies of the nodes in MeV, ascending."""
        energies = np.exp(self.log_min + self.step * np.arange(self.count))
        energies[0] = max(energies[0], MIN_ENERGY_MEV)  # rounding must not lead out of the tables
        energies[-1] = min(energies[-1], MAX_ENERGY_MEV)
        return np.asarray(energies)

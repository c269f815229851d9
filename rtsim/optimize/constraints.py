"""Hard constraints: what a plan must not do. Each is a set of inequalities g(d) <= 0, scaled by its limit.

The doses are those of a :class:`~rtsim.optimize.objectives.Region`, e.g. of points inside the cord's voxels, so that
what is held is the dose between the voxel centers too. All four are convex.

Sources: Rockafellar & Uryasev, J Risk 2 (2000) 21, DOI 10.21314/JOR.2000.038, and Romeijn et al., Phys Med Biol 48
(2003) 3521, DOI 10.1088/0031-9155/48/21/005 (mean of the hottest volume as a convex bound of D(cc)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rtsim.errors import InputError
from rtsim.optimize.objectives import Region, hottest_share
from rtsim.typing import AnyFloatArray, FloatArray


@runtime_checkable
class Constraint(Protocol):
    """What must hold: every entry of ``residual`` <= 0."""

    @property
    def structure(self) -> str:
        """The structure that it is about."""
        ...

    @property
    def dose_gy(self) -> float:
        """The limit."""
        ...

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """(m,) g(d) / limit; > 0 where violated. 0.01 is one percent of the limit too much."""
        ...

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """(n,) gradient of multipliers . residual with respect to the doses."""
        ...

    def describe(self) -> str:
        """A few words for notes."""
        ...


def _check(structure: str, dose_gy: float) -> None:
    if not math.isfinite(dose_gy) or dose_gy <= 0:
        raise InputError(f"limit on {structure!r} is {dose_gy} Gy; a finite dose_gy > 0 is needed")


@dataclass(frozen=True, kw_only=True)
class MaximumDose:
    """Every row of the region at most ``dose_gy``."""

    structure: str
    dose_gy: float

    def __post_init__(self) -> None:
        _check(self.structure, self.dose_gy)

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(dose_gy, dtype=np.float64) / self.dose_gy - 1.0

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(multipliers / self.dose_gy, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"maximum of {self.structure} <= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class MinimumDose:
    """Every row of the region at least ``dose_gy``."""

    structure: str
    dose_gy: float

    def __post_init__(self) -> None:
        _check(self.structure, self.dose_gy)

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        return 1.0 - np.asarray(dose_gy, dtype=np.float64) / self.dose_gy

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(-multipliers / self.dose_gy, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"minimum of {self.structure} >= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class MaximumMean:
    """Mean dose of the region at most ``dose_gy``."""

    structure: str
    dose_gy: float

    def __post_init__(self) -> None:
        _check(self.structure, self.dose_gy)

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        return np.array([float(region.share @ np.asarray(dose_gy, dtype=np.float64)) / self.dose_gy - 1.0])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(multipliers[0] / self.dose_gy * region.share, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"mean of {self.structure} <= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class MaximumDoseAtVolume:
    """D(volume_cm3) at most ``dose_gy``, by the mean of the hottest ``volume_cm3`` (CVaR), which is never below it.

    The bound is safe and convex; a planner that reads D(cc) in the delivered dose can give back what it wastes by
    raising ``dose_gy`` by the difference.
    """

    structure: str
    dose_gy: float
    volume_cm3: float

    def __post_init__(self) -> None:
        _check(self.structure, self.dose_gy)
        if not math.isfinite(self.volume_cm3) or self.volume_cm3 <= 0:
            raise InputError(f"volume_cm3 of the limit on {self.structure!r} is {self.volume_cm3}; > 0 cm3 is needed")

    def _taken(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        fraction = min(1.0, self.volume_cm3 / float(region.volume_cm3.sum()))
        return hottest_share(np.asarray(dose_gy, dtype=np.float64), region.share, fraction) / fraction

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        return np.array([float(self._taken(dose, region) @ dose) / self.dose_gy - 1.0])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(multipliers[0] / self.dose_gy * self._taken(dose_gy, region), dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"D{self.volume_cm3:g}cc of {self.structure} <= {self.dose_gy:.4g} Gy"

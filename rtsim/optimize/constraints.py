"""Hard constraints: what a plan must not do. Each is a set of inequalities g(d) <= 0, scaled by its limit.

The doses are those of a :class:`~rtsim.optimize.objectives.Region`, e.g. of points inside the cord's voxels, so that
what is held is the dose between the voxel centers too. All here are convex; more on dose-volume histograms:
``constraints_volume.py``.

Sources: Rockafellar & Uryasev, J Risk 2 (2000) 21, DOI 10.21314/JOR.2000.038, and Romeijn et al., Phys Med Biol 48
(2003) 3521, DOI 10.1088/0031-9155/48/21/005 (mean of the hottest or coldest volume as a convex bound of D(cc)); Choi &
Deasy, Phys Med Biol 47 (2002) 3579, DOI 10.1088/0031-9155/47/20/302 (gEUD).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rtsim.errors import InputError
from rtsim.optimize.objectives import Region, geud_with_slope, soft_tail
from rtsim.typing import AnyFloatArray, FloatArray

ROUNDED = 2e-4
"""Share of a limit over which the mean of a hottest or coldest volume is rounded off; it errs to the safe side by a
quarter of that at most."""


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


def is_upper(constraint: Constraint, region: Region) -> bool:
    """Whether it limits dose from above: no dose at all keeps it."""
    return float(constraint.residual(np.zeros(region.rows.size), region).max()) <= 0.0


def check_limit(structure: str, dose_gy: float) -> None:
    """What every limit asks of its dose.

    Raises:
        InputError: it is not above 0 or not finite.
    """
    if not math.isfinite(dose_gy) or dose_gy <= 0:
        raise InputError(f"limit on {structure!r} is {dose_gy} Gy; a finite dose_gy > 0 is needed")


def check_volume(structure: str, volume_cm3: float) -> None:
    """The same for its volume."""
    if not math.isfinite(volume_cm3) or volume_cm3 <= 0:
        raise InputError(f"volume_cm3 of the limit on {structure!r} is {volume_cm3}; > 0 cm3 is needed")


def _mean(dose_gy: AnyFloatArray, share: FloatArray) -> float:
    # einsum, not a dot product: BLAS would start threads for these few thousand numbers and wait for them
    return float(np.einsum("i,i->", share, np.asarray(dose_gy, dtype=np.float64)))


@dataclass(frozen=True, kw_only=True)
class MaximumDose:
    """Every row of the region at most ``dose_gy``."""

    structure: str
    dose_gy: float

    def __post_init__(self) -> None:
        check_limit(self.structure, self.dose_gy)

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
        check_limit(self.structure, self.dose_gy)

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
        check_limit(self.structure, self.dose_gy)

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        return np.array([_mean(dose_gy, region.share) / self.dose_gy - 1.0])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(multipliers[0] / self.dose_gy * region.share, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"mean of {self.structure} <= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class MinimumMean:
    """Mean dose of the region at least ``dose_gy``."""

    structure: str
    dose_gy: float

    def __post_init__(self) -> None:
        check_limit(self.structure, self.dose_gy)

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        return np.array([1.0 - _mean(dose_gy, region.share) / self.dose_gy])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(-multipliers[0] / self.dose_gy * region.share, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"mean of {self.structure} >= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class MaximumGEud:
    """gEUD (sum share d^a)^(1/a) of the region at most ``dose_gy``; a >= 1, where it is convex."""

    structure: str
    dose_gy: float
    a: float

    def __post_init__(self) -> None:
        check_limit(self.structure, self.dose_gy)
        if not (math.isfinite(self.a) and self.a >= 1.0):
            raise InputError(f"a of the gEUD limit on {self.structure!r} is {self.a}; an upper limit needs a >= 1")

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        return np.array([geud_with_slope(dose, region.share, self.a)[0] / self.dose_gy - 1.0])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        slope = geud_with_slope(np.asarray(dose_gy, dtype=np.float64), region.share, self.a)[1]
        return np.asarray(multipliers[0] / self.dose_gy * slope, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"gEUD(a={self.a:g}) of {self.structure} <= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class MinimumGEud:
    """gEUD (sum share d^a)^(1/a) of the region at least ``dose_gy``; a <= 1 and not 0, where it is concave."""

    structure: str
    dose_gy: float
    a: float

    def __post_init__(self) -> None:
        check_limit(self.structure, self.dose_gy)
        if not (math.isfinite(self.a) and self.a <= 1.0 and self.a != 0.0):
            raise InputError(
                f"a of the gEUD limit on {self.structure!r} is {self.a}; a lower limit needs a <= 1 and not 0, e.g. -10"
            )

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        return np.array([1.0 - geud_with_slope(dose, region.share, self.a)[0] / self.dose_gy])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        slope = geud_with_slope(np.asarray(dose_gy, dtype=np.float64), region.share, self.a)[1]
        return np.asarray(-multipliers[0] / self.dose_gy * slope, dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"gEUD(a={self.a:g}) of {self.structure} >= {self.dose_gy:.4g} Gy"


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
        check_limit(self.structure, self.dose_gy)
        check_volume(self.structure, self.volume_cm3)

    def _tail(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        fraction = min(1.0, self.volume_cm3 / float(region.volume_cm3.sum()))
        return soft_tail(np.asarray(dose_gy, dtype=np.float64), region.share, fraction, ROUNDED * self.dose_gy)

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`Constraint`."""
        return np.array([self._tail(dose_gy, region)[0] / self.dose_gy - 1.0])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`Constraint`."""
        return np.asarray(multipliers[0] / self.dose_gy * self._tail(dose_gy, region)[1], dtype=np.float64)

    def describe(self) -> str:
        """See :class:`Constraint`."""
        return f"D{self.volume_cm3:g}cc of {self.structure} <= {self.dose_gy:.4g} Gy"

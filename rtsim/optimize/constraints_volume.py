"""Hard limits on a dose-volume histogram beside the convex upper one: its lower counterpart, and D(cc) itself.

Sources: Romeijn et al., Phys Med Biol 48 (2003) 3521, DOI 10.1088/0031-9155/48/21/005 (mean of the coldest volume);
Wu & Mohan, Med Phys 27 (2000) 701, DOI 10.1118/1.598944 (which voxels a dose-volume limit lets go).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.errors import InputError
from rtsim.optimize.constraints import ROUNDED, check_limit, check_volume
from rtsim.optimize.objectives import Region, hottest_share, soft_tail
from rtsim.typing import AnyFloatArray, FloatArray


@dataclass(frozen=True, kw_only=True)
class MinimumDoseAtVolume:
    """D(volume_percent) at least ``dose_gy``, by the mean of the coldest rest (CVaR), which is never above it.

    Convex and safe, as :class:`~rtsim.optimize.constraints.MaximumDoseAtVolume` is from above. At 100 it would be the
    minimum of all: use :class:`~rtsim.optimize.constraints.MinimumDose`.
    """

    structure: str
    dose_gy: float
    volume_percent: float

    def __post_init__(self) -> None:
        check_limit(self.structure, self.dose_gy)
        if not 0.0 < self.volume_percent < 100.0:
            raise InputError(
                f"volume_percent of the limit on {self.structure!r} is {self.volume_percent}; 0 < volume_percent < 100 "
                "is needed (MinimumDose holds the whole volume)"
            )

    def _tail(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        cold = 1.0 - self.volume_percent / 100.0
        mean, slope = soft_tail(-np.asarray(dose_gy, dtype=np.float64), region.share, cold, ROUNDED * self.dose_gy)
        return -mean, slope

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`~rtsim.optimize.constraints.Constraint`."""
        return np.array([1.0 - self._tail(dose_gy, region)[0] / self.dose_gy])

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`~rtsim.optimize.constraints.Constraint`."""
        return np.asarray(-multipliers[0] / self.dose_gy * self._tail(dose_gy, region)[1], dtype=np.float64)

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.constraints.Constraint`."""
        return f"D{self.volume_percent:g}% of {self.structure} >= {self.dose_gy:.4g} Gy"


@dataclass(frozen=True, kw_only=True)
class DoseOutsideVolume:
    """D(volume_cm3) itself at most ``dose_gy``: every row but those of the hottest ``volume_cm3``.

    Tight where the convex bound wastes dose (a steep histogram over a large volume), but not convex: which rows are let
    go is read from the present dose, so that the solver finds a local optimum that depends on where it starts.
    """

    structure: str
    dose_gy: float
    volume_cm3: float

    def __post_init__(self) -> None:
        check_limit(self.structure, self.dose_gy)
        check_volume(self.structure, self.volume_cm3)

    def _outside(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """(n,) True for the rows that count: all but those that lie wholly within the hottest volume."""
        fraction = min(1.0, self.volume_cm3 / float(region.volume_cm3.sum()))
        taken = hottest_share(np.asarray(dose_gy, dtype=np.float64), region.share, fraction)
        return np.asarray(taken < region.share * (1.0 - 1e-9))

    def residual(self, dose_gy: AnyFloatArray, region: Region) -> FloatArray:
        """See :class:`~rtsim.optimize.constraints.Constraint`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        return np.where(self._outside(dose, region), dose / self.dose_gy - 1.0, -1.0)

    def pullback(self, dose_gy: AnyFloatArray, region: Region, multipliers: FloatArray) -> FloatArray:
        """See :class:`~rtsim.optimize.constraints.Constraint`."""
        return np.where(self._outside(dose_gy, region), multipliers / self.dose_gy, 0.0)

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.constraints.Constraint`."""
        return f"D{self.volume_cm3:g}cc of {self.structure} <= {self.dose_gy:.4g} Gy, itself"

"""Universal survival curve: linear-quadratic at the shoulder, the straight line of the multitarget model beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.biology._checks import doses, fraction_count, positive
from rtsim.errors import InputError
from rtsim.sources import Source, Standing
from rtsim.typing import AnyFloatArray, FloatArray


@dataclass(frozen=True, kw_only=True)
class UniversalSurvivalCurve:
    """-ln S = alpha d + beta d^2 below the transition dose, and d / D0 - Dq / D0 above, per fraction.

    The line is the tangent of the parabola at the transition d_T = 2 Dq / (1 - alpha D0), which fixes
    beta = (1 - alpha D0)^2 / (4 D0 Dq). Three numbers are free. In the terms of `lql_bed_gy` it is the
    linear-quadratic-linear model with this transition.
    Source: Park et al. 2008, IJROBP 70:847, doi:10.1016/j.ijrobp.2007.10.059.

    Attributes:
        alpha_per_gy: initial slope, 1/Gy.
        d0_gy: dose that lowers survival by 1/e on the straight part, Gy.
        dq_gy: quasi-threshold dose, where the straight part meets a survival of 1, Gy.
    """

    alpha_per_gy: float
    d0_gy: float
    dq_gy: float
    source: Source

    def __post_init__(self) -> None:
        positive("alpha_per_gy", self.alpha_per_gy, "1/Gy")
        positive("d0_gy", self.d0_gy, "Gy")
        positive("dq_gy", self.dq_gy, "Gy")
        if self.alpha_per_gy * self.d0_gy >= 1.0:
            raise InputError(
                f"alpha_per_gy {self.alpha_per_gy:g} and d0_gy {self.d0_gy:g} leave no shoulder: the straight part "
                "must be steeper than the start, alpha D0 < 1"
            )

    @property
    def transition_gy(self) -> float:
        """Dose per fraction at which the line begins, Gy."""
        return 2.0 * self.dq_gy / (1.0 - self.alpha_per_gy * self.d0_gy)

    @property
    def beta_per_gy2(self) -> float:
        """Quadratic coefficient at the shoulder, 1/Gy^2."""
        return (1.0 - self.alpha_per_gy * self.d0_gy) ** 2 / (4.0 * self.d0_gy * self.dq_gy)

    @property
    def alpha_beta_gy(self) -> float:
        """Of the shoulder, Gy."""
        return self.alpha_per_gy / self.beta_per_gy2

    def bed_gy(self, dose_gy: float | AnyFloatArray, fractions: float) -> float | FloatArray:
        """-ln S / alpha of the course in Gy: D (1 + d / (alpha/beta)) below, (D - n Dq) / (alpha D0) above."""
        n = fraction_count(fractions)
        d = doses(dose_gy) / n
        shoulder = d * (1.0 + d / self.alpha_beta_gy)
        line = (d - self.dq_gy) / (self.alpha_per_gy * self.d0_gy)
        bed = n * np.where(d <= self.transition_gy, shoulder, line)
        return bed if isinstance(dose_gy, np.ndarray) else float(bed)

    def single_fraction_equivalent_gy(self, dose_gy: float, fractions: float) -> float:
        """One fraction with the same survival, Gy; D - (n - 1) Dq where each fraction lies beyond the transition."""
        effect = float(self.bed_gy(float(dose_gy), fractions)) * self.alpha_per_gy
        at_turn = float(self.bed_gy(self.transition_gy, 1)) * self.alpha_per_gy
        if effect >= at_turn:
            return self.d0_gy * effect + self.dq_gy
        alpha, beta = self.alpha_per_gy, self.beta_per_gy2
        return float((-alpha + np.sqrt(alpha * alpha + 4.0 * beta * effect)) / (2.0 * beta))


PARK_H460: Final = UniversalSurvivalCurve(
    alpha_per_gy=0.33,
    d0_gy=1.25,
    dq_gy=1.8,
    source=Source(
        citation="Park et al. 2008, IJROBP 70:847 (H460, non-small cell lung cancer: transition at 6.2 Gy, alpha/beta "
        "8.6 Gy)",
        standing=Standing.LITERATURE,
    ),
)
"""The cell line on which the curve was shown."""

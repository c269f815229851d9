"""Incomplete repair: damage that is mended while a fraction is given, and what is left of it at the next one.

Sublethal damage decays with one or more half-times. The quadratic term of the linear-quadratic model is multiplied by
the Lea-Catcheside factor G; with G = 1 for acute fractions far apart, all is as in ``rtsim.biology.lq``.
Sources: Lea and Catcheside 1942, J Genet 44:216 (G of a constant rate); Thames 1985, Int J Radiat Biol 47:319 (h
factors of equally spaced fractions); Dale 1985, Br J Radiol 58:515.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.biology._checks import alpha_beta, doses, fraction_count, positive
from rtsim.errors import InputError
from rtsim.sources import Source, Standing
from rtsim.typing import AnyFloatArray, FloatArray

_SERIES_BELOW: Final = 1.0e-3
"""Of mu T: below it the closed forms lose digits and the series, cut after the cubic term, has 13."""


@dataclass(frozen=True, kw_only=True)
class RepairKinetics:
    """Exponential repair in components.

    Attributes:
        half_times_h: of each component, hours.
        shares: of the damage that each mends; they sum to 1.
    """

    half_times_h: tuple[float, ...]
    shares: tuple[float, ...]
    source: Source

    def __post_init__(self) -> None:
        if not self.half_times_h or len(self.half_times_h) != len(self.shares):
            raise InputError(
                f"repair has {len(self.half_times_h)} half-times and {len(self.shares)} shares; give one share each"
            )
        for half in self.half_times_h:
            positive("half_times_h", half, "h")
        for share in self.shares:
            positive("shares", share)
        if abs(sum(self.shares) - 1.0) > 1e-9:
            raise InputError(f"shares of repair sum to {sum(self.shares):g}; they must sum to 1")

    @property
    def rates_per_h(self) -> tuple[float, ...]:
        """mu = ln 2 / half-time of each component, 1/h."""
        return tuple(math.log(2.0) / half for half in self.half_times_h)

    def protraction(self, duration_h: float) -> float:
        """G of one fraction given at a constant rate over ``duration_h``: 2 (mu T - 1 + exp(-mu T)) / (mu T)^2."""
        _time("duration_h", duration_h)
        return sum(share * _within(mu * duration_h) for mu, share in zip(self.rates_per_h, self.shares, strict=True))

    def course(self, fractions: float, interval_h: float, duration_h: float = 0.0) -> float:
        """G of ``fractions`` equal fractions whose starts lie ``interval_h`` apart; 1 + h for acute ones.

        Sum over the components of share (G(mu T) + c(mu T) h_n(K)) with K = exp(-mu interval), `thames_h`, and
        c = 2 (cosh mu T - 1) / (mu T)^2, which is 1 for acute fractions: what a pulse of length T leaves for another.
        For m fractions a day and nights in which all is mended, give m.
        """
        n = int(fraction_count(fractions))
        _time("duration_h", duration_h)
        if n > 1 and not (math.isfinite(interval_h) and interval_h > 0.0 and interval_h >= duration_h):
            raise InputError(
                f"interval_h is {interval_h}; fractions start one after the other, at least {duration_h:g} h apart"
            )
        return sum(
            share * (_within(mu * duration_h) + _pulse(mu * duration_h) * thames_h(n, math.exp(-mu * interval_h)))
            for mu, share in zip(self.rates_per_h, self.shares, strict=True)
        )


def thames_h(fractions: int, left: float) -> float:
    """h factor of ``fractions`` equally spaced acute fractions; ``left`` = exp(-mu interval) is what is unmended.

    h = 2 K / (1 - K) (1 - (1 - K^m) / (m (1 - K))); summed here as (2/m) sum_j (m - j) K^j, which has no pole at K = 1.
    """
    if not 0.0 <= left <= 1.0:
        raise InputError(f"left is {left}; the share that is not mended lies between 0 and 1")
    j = np.arange(1, fractions)
    return float(2.0 / fractions * np.sum((fractions - j) * left**j))


def incomplete_bed_gy(
    dose_gy: float | AnyFloatArray,
    fractions: float,
    alpha_beta_gy: float,
    repair: RepairKinetics,
    *,
    minutes_per_fraction: float = 0.0,
    interval_h: float | None = None,
    per_day: int | None = None,
) -> float | FloatArray:
    """BED in Gy with incomplete repair: D (1 + G d / (alpha/beta)).

    Args:
        minutes_per_fraction: from the first to the last beam, at a constant rate.
        interval_h: between the starts of fractions; None: all is mended between them.
        per_day: fractions that follow each other at ``interval_h``, nights mending all; None: all of them do.
    """
    n, ratio, d = fraction_count(fractions), alpha_beta(alpha_beta_gy), doses(dose_gy)
    hours = minutes_per_fraction / 60.0
    if per_day is not None and not 1 <= per_day <= n:
        raise InputError(f"per_day is {per_day}; a day has 1 to {n:g} of the {n:g} fractions")
    factor = repair.protraction(hours) if interval_h is None else repair.course(per_day or n, interval_h, hours)
    bed = d * (1.0 + factor * d / (n * ratio))
    return bed if isinstance(dose_gy, np.ndarray) else float(bed)


def _within(x: float) -> float:
    """Lea-Catcheside G at x = mu T."""
    if x < _SERIES_BELOW:
        return 1.0 - x / 3.0 + x * x / 12.0 - x**3 / 60.0
    return 2.0 * (x - 1.0 + math.exp(-x)) / (x * x)


def _pulse(x: float) -> float:
    """Two pulses of length T act on each other this much more than two acute ones, x = mu T."""
    if x < _SERIES_BELOW:
        return 1.0 + x * x / 12.0
    return (math.sinh(0.5 * x) / (0.5 * x)) ** 2


def _time(name: str, hours: float) -> None:
    if not (math.isfinite(hours) and hours >= 0.0):
        raise InputError(f"{name} is {hours}; a time is finite and >= 0 h")


CORD_REPAIR: Final = RepairKinetics(
    half_times_h=(0.7, 3.8),
    shares=(0.5, 0.5),
    source=Source(
        citation="Ang et al. 1992, Radiother Oncol 25:287 (rat cord, two components of 0.7 and 3.8 h); that both mend "
        "half is an assumption of rtsim",
        standing=Standing.LITERATURE,
    ),
)
"""Of the spinal cord."""

CNS_REPAIR: Final = RepairKinetics(
    half_times_h=(0.19, 2.16),
    shares=(1.0 / 1.98, 0.98 / 1.98),
    source=Source(
        citation="Millar et al. 2015, Phys Med 31:627 (radiosurgery of the central nervous system: 0.19 and 2.16 h, "
        "partition coefficient 0.98, alpha/beta 2.47 Gy), as used in open code for this model",
        standing=Standing.LITERATURE,
    ),
)
"""Of the central nervous system, as in biologically effective doses for the Gamma Knife."""

TUMOR_REPAIR: Final = RepairKinetics(
    half_times_h=(1.5,),
    shares=(1.0,),
    source=Source(citation="half-times of 1.5 h are usual for tumors", standing=Standing.ASSUMPTION),
)

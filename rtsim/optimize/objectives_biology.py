"""Biological objectives: doses counted as EQD2, tumor control and complications, each with value and gradient.

They use the models of :mod:`rtsim.biology` (formulas, parameters and quadratures), so that the optimizer seeks what the
evaluation reports. A gradient with respect to the physical dose D of ``fractions`` fractions goes through

d EQD2 / d D = (2 D / n + ab) / (2 + ab)

Convex in dose are SquaredOverEqd2, MeanEqd2, and Complication with a probit. Not convex are SquaredUnderEqd2 far below
its dose, Complication with a logistic above TD50, and TumorControl of a population: with those the solver
finds a local optimum, which depends on where it starts.

Sources: Fowler, Br J Radiol 62 (1989) 679, DOI 10.1259/0007-1285-62-740-679 (LQ); Webb & Nahum, Phys Med Biol 38 (1993)
653, DOI 10.1088/0031-9155/38/6/001 (Poisson); Kutcher & Burman, IJROBP 16 (1989) 1623, DOI
10.1016/0360-3016(89)90972-3 (LKB); Niemierko, Med Phys 26 (1999) 1100 (logistic in gEUD); Romeijn et al., Phys Med Biol
49 (2004) 1991 [M] (which criteria are convex, and which become so by a logarithm).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.special import log_ndtr

from rtsim.biology import Lkb, PoissonTcp, bed_gy, eqd2_gy
from rtsim.errors import InputError
from rtsim.optimize.objectives import Region, check_objective, geud_with_slope
from rtsim.typing import AnyFloatArray, FloatArray


def _check_fractionation(structure: str, fractions: int, alpha_beta_gy: float) -> None:
    try:
        eqd2_gy(0.0, fractions, alpha_beta_gy)
    except InputError as error:
        raise InputError(f"biological objective on {structure!r}: {error}") from error


def _eqd2(dose_gy: AnyFloatArray, fractions: int, alpha_beta_gy: float) -> tuple[FloatArray, FloatArray]:
    """EQD2 (n,) in Gy and its slope; doses below 0, as a correction may give, count as 0."""
    dose = np.maximum(np.asarray(dose_gy, dtype=np.float64), 0.0)
    slope = (2.0 * dose / fractions + alpha_beta_gy) / (2.0 + alpha_beta_gy)
    return eqd2_gy(dose, fractions, alpha_beta_gy), slope


@dataclass(frozen=True, kw_only=True)
class SquaredOverEqd2:
    """mean over the volume of max(0, EQD2 - eqd2_gy)^2, in Gy^2: convex, as EQD2 rises faster and faster with dose."""

    structure: str
    eqd2_gy: float
    fractions: int
    alpha_beta_gy: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.eqd2_gy)
        _check_fractionation(self.structure, self.fractions, self.alpha_beta_gy)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        eqd2, slope = _eqd2(dose_gy, self.fractions, self.alpha_beta_gy)
        excess = np.maximum(eqd2 - self.eqd2_gy, 0.0)
        return float(np.einsum("i,i,i->", region.share, excess, excess)), 2.0 * region.share * excess * slope

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        return f"EQD2({self.alpha_beta_gy:g}) of {self.structure} <= {self.eqd2_gy:.3g} Gy"


@dataclass(frozen=True, kw_only=True)
class SquaredUnderEqd2:
    """mean over the volume of max(0, eqd2_gy - EQD2)^2, in Gy^2.

    Not convex far below the wanted dose, where EQD2 bends up more than the square; near it, it is.
    """

    structure: str
    eqd2_gy: float
    fractions: int
    alpha_beta_gy: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.eqd2_gy)
        _check_fractionation(self.structure, self.fractions, self.alpha_beta_gy)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        eqd2, slope = _eqd2(dose_gy, self.fractions, self.alpha_beta_gy)
        missing = np.maximum(self.eqd2_gy - eqd2, 0.0)
        return float(np.einsum("i,i,i->", region.share, missing, missing)), -2.0 * region.share * missing * slope

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        return f"EQD2({self.alpha_beta_gy:g}) of {self.structure} >= {self.eqd2_gy:.3g} Gy"


@dataclass(frozen=True, kw_only=True)
class MeanEqd2:
    """Mean EQD2 in Gy; with ``eqd2_gy`` > 0 the square of what lies above it, in Gy^2."""

    structure: str
    fractions: int
    alpha_beta_gy: float
    weight: float = 1.0
    eqd2_gy: float = 0.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.eqd2_gy)
        _check_fractionation(self.structure, self.fractions, self.alpha_beta_gy)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        eqd2, slope = _eqd2(dose_gy, self.fractions, self.alpha_beta_gy)
        mean = float(np.einsum("i,i->", region.share, eqd2))
        if self.eqd2_gy == 0.0:
            return mean, region.share * slope
        over = max(0.0, mean - self.eqd2_gy)
        return over * over, 2.0 * over * region.share * slope

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        what = f"mean EQD2({self.alpha_beta_gy:g}) of {self.structure}"
        return what + (f" <= {self.eqd2_gy:.3g} Gy" if self.eqd2_gy else " low")


@dataclass(frozen=True, kw_only=True)
class TumorControl:
    """-ln TCP of a Poisson model: the clonogens that survive, on the average over the population.

    ``model`` comes from :func:`rtsim.biology.histology`; the number of clonogens from the volumes of the region. It
    asks for a dose without an upper end: give the target a maximum besides.

    For one alpha it is convex in dose where alpha (1 + 2 D / (n ab))^2 > 2 / (n ab), at all but low doses; averaged
    over a population it is not in general: where the sensitive tumors are controlled and the resistant ones are not,
    it bends the other way.
    """

    structure: str
    model: PoissonTcp
    fractions: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight)
        _check_fractionation(self.structure, self.fractions, self.model.alpha_beta_gy)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        dose = np.maximum(np.asarray(dose_gy, dtype=np.float64), 0.0)
        bed = bed_gy(dose, self.fractions, self.model.alpha_beta_gy)
        cells = self.model.clonogens_per_cm3 * region.volume_cm3
        alphas, shares = self.model.population()
        surviving = np.empty(alphas.size)
        per_bed = np.empty((alphas.size, dose.size))
        for k, alpha in enumerate(alphas):
            np.multiply(cells, np.exp(-alpha * bed), out=per_bed[k])
            surviving[k] = per_bed[k].sum()
        # TCP = sum shares exp(-surviving); by its largest term, as all of them may underflow
        logs = np.log(shares) - surviving
        top = float(logs.max())
        terms = np.exp(logs - top)
        total = float(terms.sum())
        slope = -np.einsum("k,ki->i", terms / total * alphas, per_bed)
        return -(top + math.log(total)), slope * (1.0 + 2.0 * dose / (self.fractions * self.model.alpha_beta_gy))

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        return f"tumor control of {self.structure}"


class Response(Enum):
    """How the probability of a complication rises with the gEUD: a normal distribution (LKB) or a logistic one."""

    PROBIT = "probit"
    LOGISTIC = "logistic"


@dataclass(frozen=True, kw_only=True)
class Complication:
    """-ln(1 - NTCP), which is NTCP itself where that is small; NTCP by the gEUD of the voxelwise EQD2.

    Probit: NTCP = Phi((gEUD - TD50) / (m TD50)), as :class:`rtsim.biology.Lkb` has it. Logistic: 1 / (1 + (TD50 /
    gEUD)^k) with k = 4 / (m sqrt(2 pi)), the same slope at TD50.

    -ln(1 - NTCP) of the probit is convex in gEUD; that of the logistic, ln(1 + (gEUD / TD50)^k), rises like k ln gEUD
    and is concave above (k - 1)^(1/k) TD50 (1.26 TD50 for m = 0.175): not convex where an organ is lost anyway.
    """

    structure: str
    model: Lkb
    fractions: int
    weight: float = 1.0
    response: Response = Response.PROBIT

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight)
        _check_fractionation(self.structure, self.fractions, self.model.alpha_beta_gy)
        if self.model.volume_exponent_n > 1.0:
            raise InputError(
                f"the model of {self.structure!r} has n = {self.model.volume_exponent_n}; its gEUD is no organ's: "
                "0 < n <= 1 is needed"
            )

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        eqd2, per_dose = _eqd2(dose_gy, self.fractions, self.model.alpha_beta_gy)
        eud, slope = geud_with_slope(eqd2, region.share, 1.0 / self.model.volume_exponent_n)
        value, per_eud = self._of(eud)
        return value, per_eud * slope * per_dose

    def _of(self, eud_gy: float) -> tuple[float, float]:
        """-ln(1 - NTCP) of a gEUD, and its slope."""
        td50, m = self.model.td50_eqd2_gy, self.model.slope_m
        if self.response is Response.LOGISTIC:
            k = 4.0 / (m * math.sqrt(2.0 * math.pi))
            x = k * math.log(eud_gy / td50)
            # ln(1 + e^x), written so that no e^x overflows
            probability = 1.0 / (1.0 + math.exp(-x)) if x > 0 else math.exp(x) / (1.0 + math.exp(x))
            return max(x, 0.0) + math.log1p(math.exp(-abs(x))), probability * k / eud_gy
        t = (eud_gy - td50) / (m * td50)
        value = -float(log_ndtr(-t))
        density = math.exp(-0.5 * t * t + value) / math.sqrt(2.0 * math.pi)
        return value, density / (m * td50)

    def describe(self) -> str:
        """See :class:`~rtsim.optimize.objectives.Objective`."""
        return f"complications of {self.structure} ({self.model.endpoint})"

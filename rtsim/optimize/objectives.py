"""Objectives: what a plan should do, each with its value and its gradient with respect to dose.

An objective is a frozen setting that names a structure. It is evaluated on a :class:`Region`: the doses of the voxels
(or points) of that structure and the share of the structure's volume that each of them stands for, so that a voxel
that lies half inside counts half. All objectives are differentiable almost everywhere; all in this file are convex in
dose, hence in the weights, but for those that leave out a share of the volume. Not all of the biological ones are:
``objectives_biology.py`` says of each.

Sources: Bortfeld, Phys Med Biol 44 (1999) R1, DOI 10.1088/0031-9155/44/1/R01 (quadratic objectives); Niemierko, Med
    Phys 26
(1999) 1100 and Choi & Deasy, Phys Med Biol 47 (2002) 3579, DOI 10.1088/0031-9155/47/20/302 (gEUD and its convexity);
Wu & Mohan, Med Phys 27 (2000) 701, DOI 10.1118/1.598944 (voxel selection for a dose-volume goal).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Region:
    """The part of a structure that the optimizer sees: rows of its matrix.

    Attributes:
        name: the structure.
        rows: (n,) indices of rows of the problem's matrix.
        volume_cm3: (n,) what each row stands for, coverage included.
        distance_mm: (n,) distance to the target's surface, for fall-off objectives; None elsewhere.
        share: (n,) share of the structure's volume of each row; the sum is 1.
    """

    name: str
    rows: IntArray
    volume_cm3: FloatArray
    distance_mm: FloatArray | None = None
    share: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.rows.shape != self.volume_cm3.shape or self.rows.ndim != 1:
            raise InputError(f"region {self.name!r}: {self.rows.shape} rows and {self.volume_cm3.shape} volumes differ")
        if not self.rows.size or not float(self.volume_cm3.sum()) > 0:
            raise InputError(f"region {self.name!r} holds no volume on the dose grid")
        object.__setattr__(self, "share", np.asarray(self.volume_cm3 / self.volume_cm3.sum(), dtype=np.float64))


@runtime_checkable
class Objective(Protocol):
    """What the solver minimizes: weight times a function of the doses of one structure."""

    @property
    def structure(self) -> str:
        """The structure that it is about."""
        ...

    @property
    def weight(self) -> float:
        """How much it counts."""
        ...

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """Value and gradient (n,) with respect to the doses (n,) of the region; the weight is not included."""
        ...

    def describe(self) -> str:
        """A few words for notes."""
        ...


@runtime_checkable
class OneSided(Protocol):
    """An objective that takes no interest in rows of little dose; those then need not be computed."""

    def quiet_below_gy(self, region: Region) -> FloatArray | float:
        """(n,) dose below which a row adds neither value nor slope, whatever the other rows get."""
        ...


def check_objective(structure: str, weight: float, dose_gy: float = 0.0) -> None:
    """What every objective asks of its weight and dose.

    Raises:
        InputError: the weight or the dose is negative or not finite.
    """
    if not math.isfinite(weight) or weight < 0:
        raise InputError(f"weight of an objective on {structure!r} is {weight}; a finite weight >= 0 is needed")
    if not math.isfinite(dose_gy) or dose_gy < 0:
        raise InputError(f"dose_gy of an objective on {structure!r} is {dose_gy} Gy; a finite dose >= 0 Gy is needed")


def _squared(excess_gy: FloatArray, share: FloatArray) -> tuple[float, FloatArray]:
    weighted = share * excess_gy
    # einsum, not a dot product: BLAS would start threads for these few thousand numbers and wait for them
    return float(np.einsum("i,i->", weighted, excess_gy)), 2.0 * weighted


@dataclass(frozen=True, kw_only=True)
class SquaredOverdose:
    """mean over the volume of max(0, d - dose_gy)^2, in Gy^2, but for the hottest ``allowed_percent`` of the structure.

    Above 0 it is the upper objective on a dose-volume histogram, V(dose_gy) <= allowed_percent: the hottest part may
    get more, and what counts is the excess of the rest (Wu & Mohan's selection: then no longer convex).
    """

    structure: str
    dose_gy: float
    weight: float = 1.0
    allowed_percent: float = 0.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.dose_gy)
        if not 0.0 <= self.allowed_percent < 100.0:
            raise InputError(
                f"allowed_percent of {self.structure!r} is {self.allowed_percent}; 0 <= allowed_percent < 100"
            )

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        counted = region.share
        if self.allowed_percent > 0.0:
            counted = counted - hottest_share(dose, counted, self.allowed_percent / 100.0)
        return _squared(np.maximum(dose - self.dose_gy, 0.0), counted)

    def quiet_below_gy(self, region: Region) -> float:
        """See :class:`OneSided`."""
        return self.dose_gy

    def describe(self) -> str:
        """See :class:`Objective`."""
        part = f" but for {self.allowed_percent:.3g} %" if self.allowed_percent else ""
        return f"{self.structure} <= {self.dose_gy:.3g} Gy{part}"


@dataclass(frozen=True, kw_only=True)
class SquaredUnderdose:
    """mean over the volume of max(0, dose_gy - d)^2, in Gy^2, over the hottest ``volume_percent`` of the structure.

    Below 100 the coldest rest is not asked for (Wu & Mohan's selection: then no longer convex), as where a target
    touches the cord.
    """

    structure: str
    dose_gy: float
    weight: float = 1.0
    volume_percent: float = 100.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.dose_gy)
        if not 0.0 < self.volume_percent <= 100.0:
            raise InputError(
                f"volume_percent of {self.structure!r} is {self.volume_percent}; 0 < volume_percent <= 100"
            )

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        missing = np.maximum(self.dose_gy - dose, 0.0)
        if self.volume_percent < 100.0:
            missing = np.where(hottest_share(dose, region.share, self.volume_percent / 100.0) > 0, missing, 0.0)
        value, slope = _squared(missing, region.share)
        return value, -slope

    def describe(self) -> str:
        """See :class:`Objective`."""
        part = "" if self.volume_percent >= 100.0 else f" in {self.volume_percent:.3g} %"
        return f"{self.structure} >= {self.dose_gy:.3g} Gy{part}"


@dataclass(frozen=True, kw_only=True)
class SquaredDeviation:
    """mean over the volume of (d - dose_gy)^2, in Gy^2."""

    structure: str
    dose_gy: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.dose_gy)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`."""
        return _squared(np.asarray(dose_gy, dtype=np.float64) - self.dose_gy, region.share)

    def describe(self) -> str:
        """See :class:`Objective`."""
        return f"{self.structure} = {self.dose_gy:.3g} Gy"


@dataclass(frozen=True, kw_only=True)
class Uniformity:
    """Variance of the dose over the volume, mean of (d - mean)^2, in Gy^2: how uneven a dose is, at any level."""

    structure: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`."""
        dose = np.asarray(dose_gy, dtype=np.float64)
        # the shares add up to 1, so that the mean's own slope falls out
        return _squared(dose - float(np.einsum("i,i->", region.share, dose)), region.share)

    def describe(self) -> str:
        """See :class:`Objective`."""
        return f"{self.structure} uniform"


@dataclass(frozen=True, kw_only=True)
class MeanDose:
    """Mean dose in Gy; with ``dose_gy`` > 0 the square of what lies above it, in Gy^2."""

    structure: str
    weight: float = 1.0
    dose_gy: float = 0.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.dose_gy)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`."""
        share = region.share
        mean = float(np.einsum("i,i->", share, np.asarray(dose_gy, dtype=np.float64)))
        if self.dose_gy == 0.0:
            return mean, share.copy()
        over = max(0.0, mean - self.dose_gy)
        return over * over, 2.0 * over * share

    def describe(self) -> str:
        """See :class:`Objective`."""
        return f"mean of {self.structure}" + (f" <= {self.dose_gy:.3g} Gy" if self.dose_gy else " low")


@dataclass(frozen=True, kw_only=True)
class GEud:
    """Squared excess of the generalized equivalent uniform dose (sum share d^a)^(1/a) over ``dose_gy``, in Gy^2.

    For a >= 1 (organs at risk) what lies above counts; for a < 0 (targets) what lies below. Convex in both cases.
    """

    structure: str
    a: float
    dose_gy: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.dose_gy)
        if 0.0 <= self.a < 1.0 or not math.isfinite(self.a):
            raise InputError(
                f"a of the gEUD of {self.structure!r} is {self.a}; a >= 1 (organs) or a < 0 (targets) is needed"
            )

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`."""
        eud, slope = geud_with_slope(np.asarray(dose_gy, dtype=np.float64), region.share, self.a)
        excess = max(0.0, eud - self.dose_gy) if self.a > 0 else min(0.0, eud - self.dose_gy)
        return excess * excess, 2.0 * excess * slope

    def describe(self) -> str:
        """See :class:`Objective`."""
        return f"gEUD(a={self.a:g}) of {self.structure} {'<=' if self.a > 0 else '>='} {self.dose_gy:.3g} Gy"


@dataclass(frozen=True, kw_only=True)
class Falloff:
    """Normal tissue: mean of max(0, d - limit(r))^2, where the limit falls exponentially with the distance r to the
    target.

    limit(r) = dose_gy * (floor + (start - floor) exp(-rate_per_mm max(0, r - gap_mm))): the form of the widely used
    "normal tissue objective". The region must carry distances.
    """

    structure: str
    dose_gy: float
    weight: float = 1.0
    start: float = 0.95
    floor: float = 0.2
    rate_per_mm: float = 0.15
    gap_mm: float = 0.0

    def __post_init__(self) -> None:
        check_objective(self.structure, self.weight, self.dose_gy)
        if not (0.0 <= self.floor <= self.start and self.rate_per_mm > 0.0 and self.gap_mm >= 0.0):
            raise InputError(
                f"fall-off of {self.structure!r}: 0 <= floor <= start, rate_per_mm > 0 and gap_mm >= 0 are needed; "
                f"given {self.floor}, {self.start}, {self.rate_per_mm}, {self.gap_mm}"
            )

    def limit_gy(self, distance_mm: AnyFloatArray) -> FloatArray:
        """The dose (n,) in Gy from which tissue at this distance counts."""
        beyond = np.maximum(np.asarray(distance_mm, dtype=np.float64) - self.gap_mm, 0.0)
        fall = (self.start - self.floor) * np.exp(-self.rate_per_mm * beyond)
        return np.asarray(self.dose_gy * (self.floor + fall), dtype=np.float64)

    def evaluate(self, dose_gy: AnyFloatArray, region: Region) -> tuple[float, FloatArray]:
        """See :class:`Objective`.

        Raises:
            InputError: the region carries no distances.
        """
        if region.distance_mm is None:
            raise InputError(f"the fall-off objective on {self.structure!r} needs a region with distance_mm")
        excess = np.maximum(np.asarray(dose_gy, dtype=np.float64) - self.limit_gy(region.distance_mm), 0.0)
        return _squared(excess, region.share)

    def quiet_below_gy(self, region: Region) -> FloatArray:
        """See :class:`OneSided`."""
        assert region.distance_mm is not None
        return self.limit_gy(region.distance_mm)

    def describe(self) -> str:
        """See :class:`Objective`."""
        return f"{self.structure} falls from {self.start * self.dose_gy:.3g} to {self.floor * self.dose_gy:.3g} Gy"


def geud_with_slope(dose_gy: FloatArray, share: FloatArray, a: float) -> tuple[float, FloatArray]:
    """gEUD (sum share d^a)^(1/a) as :func:`rtsim.biology.geud_gy` has it, and its gradient (n,).

    Doses below 1e-6 Gy count as that, so that the slope is finite.
    """
    dose = np.maximum(dose_gy, 1e-6)
    scale = float(dose.max() if a > 0 else dose.min())
    powers = share * (dose / scale) ** (a - 1.0)
    total = float(np.einsum("i,i->", powers, dose / scale))
    return scale * total ** (1.0 / a), powers * total ** (1.0 / a - 1.0)


def hottest_share(dose_gy: FloatArray, share: FloatArray, fraction: float) -> FloatArray:
    """(n,) how much of each row's share belongs to the hottest ``fraction`` of the volume; the sum is ``fraction``."""
    order = np.argsort(-dose_gy, kind="stable")
    before = np.cumsum(share[order]) - share[order]
    taken = np.empty_like(share)
    taken[order] = np.clip(fraction - before, 0.0, share[order])
    return taken


def soft_tail(dose_gy: FloatArray, share: FloatArray, fraction: float, width_gy: float) -> tuple[float, FloatArray]:
    """Mean dose of the hottest ``fraction`` of the volume (CVaR), rounded off at its kinks, and its gradient (n,).

    min over e of e + sum share h(d - e) / fraction, with h(u) = max(0, u) but (u + width)^2 / (4 width) where |u| <=
    width. It lies above the mean by a quarter of ``width_gy`` at most, is convex, and has a gradient everywhere: the
    one of the mean alone jumps where two doses at the border of the volume are equal, as they are at an optimum.
    """
    if fraction >= 1.0 - 1e-12:
        return float(np.einsum("i,i->", share, dose_gy)), share.copy()
    order = np.argsort(-dose_gy, kind="stable")
    edge = dose_gy[order[min(int(np.searchsorted(np.cumsum(share[order]), fraction)), len(order) - 1)]]
    near = np.abs(dose_gy - edge) <= 2.0 * width_gy
    above = float(share[dose_gy > edge + 2.0 * width_gy].sum())
    d, s = dose_gy[near], share[near]
    low, high = edge - width_gy, edge + width_gy
    for _ in range(50):
        middle = 0.5 * (low + high)
        taken = above + float(np.einsum("i,i->", s, np.clip((d - middle + width_gy) / (2.0 * width_gy), 0.0, 1.0)))
        low, high = (middle, high) if taken > fraction else (low, middle)
    u = dose_gy - 0.5 * (low + high)
    part = np.clip((u + width_gy) / (2.0 * width_gy), 0.0, 1.0)
    excess = np.where(u > width_gy, u, part * part * width_gy)
    value = 0.5 * (low + high) + float(np.einsum("i,i->", share, excess)) / fraction
    return value, share * part / fraction

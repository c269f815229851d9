"""The statistical noise of a Monte Carlo dose: how far it moves a dose-volume metric, and which way on average.

A mean dose is right on average whatever the noise. A near-maximum such as D0.035cc is not: of many noisy voxels it
picks those that came out high, so that it reads high (and a near-minimum low), the more voxels compete the more: noise
widens differential DVHs (Sempau & Bielajew 2000, Phys. Med. Biol. 45:131). Here noise of the known size is laid upon a
smooth estimate of the same dose, many times; the metric is measured each time: its spread is its uncertainty, its mean
shift its bias.

The smooth estimate is the planned dose plus the smoothed difference of the Monte Carlo dose from it: what both agree on
keeps its edges, what differs over several voxels is kept, what differs from voxel to voxel (the noise) goes.

The noise of different voxels is not independent: an electron crosses several, and where electrons are transported at
many sites of a ray at a time (rt.MonteCarlo) all voxels along the ray share their luck, over the whole patient. That
hardly moves a near-maximum and multiplies the uncertainty of a mean over a target (measured: by 3). Independent runs
know it: random mixtures of their deviations from their mean have all its correlations, so that the spread of metrics is
theirs. The bias is not: a mixture of n patterns reaches extremes of about sqrt(n) at the most. It comes from noise with
the correlation of neighboring voxels, which is read from the difference to the planned dose; without runs the spread
does, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.dose.result import Dose, MonteCarloStatistics
from rtsim.errors import InputError
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, Float32Array, FloatArray, Progress, Vector3

SMOOTHING_VOXELS: Final = 2.0
"""[E] Standard deviation of the Gaussian that smooths the difference: it divides independent noise by 19, and follows
differences over more than about 4 voxels (tests/unit/test_second_opinion.py shows what is left of the bias)."""
SAMPLES: Final = 100
"""Noisy copies of a dose, half of them for the bias, to 0.14 standard deviations, half for these, to 10 %."""
BIAS_UNCERTAINTY: Final = 0.25
"""[E] One standard deviation of an estimated bias, as a share of it (measured: tests/unit/test_second_opinion.py)."""
_LEAST_RUNS: Final = 4
_EVERYTHING: Final = (slice(None), slice(None), slice(None))
_MARGIN_VOXELS: Final = 4
_LOW_SHARE: Final = 0.1
_LEAST_VOXELS: Final = 500
_MOST_CORRELATION: Final = 0.9
_MEDIAN_OF_NORMAL: Final = 0.6745
"""Median of |x| of a standard normal x."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NoiseEffect:
    """What noise does to some metrics.

    Attributes:
        bias: (n,) how much higher each reads on average than without noise.
        uncertainty: (n,) one standard deviation of a reading that the bias is taken off; that of the bias included.
    """

    bias: FloatArray
    uncertainty: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseNoise:
    """Noise of a dose, and the smooth dose that it is laid upon.

    Attributes:
        expected: the smooth estimate of the noisy dose, on its grid or the part of it around some structures.
        sigma_gy: (nz, ny, nx) one standard deviation of each voxel.
        correlation: of the noise in neighboring voxels along k, j and i, 0..0.9; it falls off exponentially.
        patterns: (runs, nz, ny, nx) deviations of independent runs, scaled to a sum of squares of 1 in each voxel; None
            for a single dose.
    """

    expected: Dose
    sigma_gy: Float32Array
    correlation: Vector3
    patterns: Float32Array | None = None

    @classmethod
    def of(
        cls, planned: Dose, noisy: Dose, structures: Sequence[Structure] = (), runs: Sequence[Dose] = ()
    ) -> DoseNoise:
        """The noise of ``noisy``, which has an uncertainty, as ``planned`` (without noise) helps to see it.

        Args:
            structures: keep only the part of the grid around these, which is faster; empty keeps all of it.
            runs: independent doses that ``noisy`` is the mean of (:func:`mean_of_runs`); fewer than 4 say too little
                and are not used.

        Raises:
            InputError: ``noisy`` has no uncertainty, or the grid of a run is another.
        """
        sigma = noisy.uncertainty_gy
        if sigma is None:
            raise InputError("the dose has no uncertainty_gy; only a Monte Carlo dose has noise")
        if any(run.grid != noisy.grid for run in runs):
            raise InputError("a run is on another grid than the dose that it is a part of")
        grid, cut = noisy.grid, _EVERYTHING
        if structures:
            step = np.array(noisy.grid.spacing_mm) * _MARGIN_VOXELS
            lower = np.min([s.grid.lower_mm for s in structures], axis=0) - step
            upper = np.max([s.grid.upper_mm for s in structures], axis=0) + step
            grid, cut = noisy.grid.crop(_vector(lower), _vector(upper))
        smooth, rough = (
            Dose(values_gy=d.values_gy[cut], grid=grid, fractions=d.fractions) for d in (planned.on(noisy.grid), noisy)
        )
        sigma = sigma[cut]
        difference = rough.values_gy - smooth.values_gy
        slow = gaussian_filter(difference, SMOOTHING_VOXELS, mode="nearest")
        expected = Dose(values_gy=np.maximum(smooth.values_gy + slow, 0.0), grid=rough.grid, fractions=noisy.fractions)
        seen = (smooth.values_gy >= _LOW_SHARE * smooth.max_gy) & (sigma > 0)
        return cls(
            expected=expected,
            sigma_gy=np.ascontiguousarray(sigma),
            correlation=_correlation((difference - slow) / np.where(sigma > 0, sigma, 1.0), seen),
            patterns=_patterns([run.values_gy[cut] for run in runs], _weights(runs)),
        )

    def samples(self, count: int, seed: int) -> Iterator[Dose]:
        """``count`` doses as other Monte Carlo runs might have given them; only neighbors share their luck."""
        random = np.random.default_rng(seed)
        for _ in range(count):
            yield self._with(_correlated(random, self.sigma_gy.shape, self.correlation))

    def mixtures(self, count: int, seed: int) -> Iterator[Dose]:
        """The same with all correlations of the runs; without runs those of :meth:`samples`."""
        if self.patterns is None:
            yield from self.samples(count, seed)
            return
        random = np.random.default_rng(seed)
        for _ in range(count):
            shares = random.standard_normal(len(self.patterns), dtype=np.float32)
            yield self._with(np.tensordot(shares, self.patterns, axes=1))

    def _with(self, noise: Float32Array) -> Dose:
        values = np.maximum(self.expected.values_gy + self.sigma_gy * noise, 0.0)
        return Dose(values_gy=values, grid=self.expected.grid, fractions=self.expected.fractions)

    def effect_on(
        self,
        metrics: Callable[[Dose], FloatArray],
        *,
        samples: int = SAMPLES,
        seed: int = 1,
        progress: Progress | None = None,
    ) -> NoiseEffect:
        """Bias and uncertainty of ``metrics``, which gives (n,) numbers of a dose."""
        numbers: list[list[FloatArray]] = []
        for half, draw in enumerate((self.samples, self.mixtures)):
            numbers.append([])
            for n, dose in enumerate(draw(samples // 2, 2 * seed + half)):
                if progress is not None:
                    progress(half / 2 + n / samples, "uncertainty of DVH metrics")
                numbers[-1].append(metrics(dose))
        bias = np.mean(numbers[0], axis=0) - metrics(self.expected)
        spread = np.std(numbers[1], axis=0, ddof=1)
        return NoiseEffect(bias=bias, uncertainty=np.hypot(spread, BIAS_UNCERTAINTY * bias))


def mean_of_runs(runs: Sequence[Dose], engine: str = "") -> Dose:
    """The mean of independent Monte Carlo doses of one delivery, weighted by their histories, with its uncertainty.

    Args:
        runs: of the same delivery on the same grid, with different seeds.
        engine: what computed them; default what the first one says.

    Raises:
        InputError: no runs, or runs that differ in grid or fractions or have no uncertainty.
    """
    if not runs or any((r.grid, r.fractions) != (runs[0].grid, runs[0].fractions) for r in runs):
        raise InputError("the runs of a mean must be one or more doses on one grid, for one number of fractions")
    weights, stated = _weights(runs), [r.statistics for r in runs if r.statistics is not None]
    values, variance = np.zeros(runs[0].grid.shape), np.zeros(runs[0].grid.shape)
    for run, weight in zip(runs, weights, strict=True):
        if run.uncertainty_gy is None:
            raise InputError("a run has no uncertainty_gy; only Monte Carlo doses have a mean worth computing")
        values += weight * run.values_gy
        variance += (weight * run.uncertainty_gy.astype(np.float64)) ** 2
    statistics = None
    if len(stated) == len(runs):
        statistics = MonteCarloStatistics(
            histories=sum(s.histories for s in stated),
            batches=sum(s.batches for s in stated),
            uncertainty_percent=float(np.linalg.norm(weights * [s.uncertainty_percent for s in stated])),
            voxels=stated[0].voxels,
            seconds=sum(s.seconds for s in stated),
            interrupted=any(s.interrupted for s in stated),
        )
    return Dose(
        values_gy=values.astype(np.float32),
        grid=runs[0].grid,
        fractions=runs[0].fractions,
        engine=engine or runs[0].engine,
        uncertainty_gy=np.sqrt(variance).astype(np.float32),
        statistics=statistics,
    )


def mean_uncertainty_percent(dose: Dose) -> float | None:
    """Mean relative standard deviation, in percent, of the voxels above half the maximum; None without uncertainty."""
    if dose.statistics is not None:
        return dose.statistics.uncertainty_percent
    sigma = dose.uncertainty_gy
    if sigma is None or dose.max_gy <= 0.0:
        return None
    high = dose.values_gy > 0.5 * dose.max_gy
    return 100.0 * float(np.mean(sigma[high] / dose.values_gy[high], dtype=np.float64))


def _weights(runs: Sequence[Dose]) -> FloatArray:
    """(runs,) share of each in their mean: by histories where all say them, else equal."""
    counts = [1 if r.statistics is None else r.statistics.histories for r in runs]
    if any(r.statistics is None for r in runs):
        counts = [1] * len(runs)
    return np.array(counts, dtype=np.float64) / max(sum(counts), 1)


def _patterns(runs: Sequence[Float32Array], weights: FloatArray) -> Float32Array | None:
    """Deviations of runs from their mean, the larger the run the more, scaled to unit variance of their random mixture.

    The scale is taken out because n runs know the size of a voxel's noise to 1/sqrt(2n) only; the batches know better.
    """
    if len(runs) < _LEAST_RUNS:
        return None
    stack = np.array(runs, dtype=np.float32)
    stack -= np.tensordot(weights.astype(np.float32), stack, axes=1)
    stack *= np.sqrt(weights).astype(np.float32)[:, None, None, None]
    size = np.sqrt(np.einsum("nkji,nkji->kji", stack, stack))
    stack /= np.where(size > 0.0, size, 1.0)
    return stack


def _correlation(rough: AnyFloatArray, seen: np.ndarray) -> Vector3:
    """1 - E[(x - x')^2] / 2 of neighbors x, x' of unit variance, by the median, which sharp edges move least."""
    found = []
    for axis in range(3):
        size = seen.shape[axis]
        first, second = (np.take(seen, np.arange(lo, lo + size - 1), axis=axis) for lo in (0, 1))
        steps = np.diff(rough, axis=axis)[first & second]
        if steps.size < _LEAST_VOXELS:
            found.append(0.0)
            continue
        half_square = 0.5 * (float(np.median(np.abs(steps))) / _MEDIAN_OF_NORMAL) ** 2
        found.append(min(max(1.0 - half_square, 0.0), _MOST_CORRELATION))
    return found[0], found[1], found[2]


def _correlated(random: np.random.Generator, shape: tuple[int, ...], correlation: Vector3) -> Float32Array:
    """Standard normal noise; along each axis x[n] = r x[n-1] + sqrt(1 - r^2) w[n], which keeps the variance 1."""
    field = random.standard_normal(shape, dtype=np.float32)
    for axis, r in enumerate(correlation):
        if r <= 0.0:
            continue
        planes, fresh = np.moveaxis(field, axis, 0), np.float32(np.sqrt(1.0 - r * r))
        for n in range(1, len(planes)):
            planes[n] *= fresh
            planes[n] += np.float32(r) * planes[n - 1]
    return field


def _vector(values: AnyFloatArray) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])

"""The statistical noise of a Monte Carlo dose: how far it moves a dose-volume metric, and which way on average.

A mean dose is right on average whatever the noise. A near-maximum such as D0.035cc is not: of many noisy voxels it
picks those that came out high, so that it reads high (and a near-minimum low), the more voxels compete the more: noise
widens differential DVHs (Sempau & Bielajew 2000, Phys. Med. Biol. 45:131). Here noise of the known size is laid upon a
smooth estimate of the same dose, many times; the metric is measured each time: its spread is its uncertainty, its mean
shift its bias.

The smooth estimate is the planned dose plus the smoothed difference of the Monte Carlo dose from it: what both agree on
keeps its edges, what differs over several voxels is kept, what differs from voxel to voxel (the noise) goes.

Neighboring voxels are not independent, as an electron crosses several. How much, is read from the difference of the two
doses itself; a difference that changes sharply between voxels makes the correlation look smaller than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, Float32Array, FloatArray, Progress, Vector3

SMOOTHING_VOXELS: Final = 2.0
"""[E] Standard deviation of the Gaussian that smooths the difference: it divides independent noise by 19, and follows
differences over more than about 4 voxels (tests/unit/test_second_opinion.py shows what is left of the bias)."""
SAMPLES: Final = 100
"""Noisy copies of a dose. They give a standard deviation to 7 % and a bias to a tenth of it."""
BIAS_UNCERTAINTY: Final = 0.25
"""[E] One standard deviation of an estimated bias, as a share of it (measured: tests/unit/test_second_opinion.py)."""
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
    """

    expected: Dose
    sigma_gy: Float32Array
    correlation: Vector3

    @classmethod
    def of(cls, planned: Dose, noisy: Dose, structures: Sequence[Structure] = ()) -> DoseNoise:
        """The noise of ``noisy``, which has an uncertainty, as ``planned`` (without noise) helps to see it.

        Args:
            structures: keep only the part of the grid around these, which is faster; empty keeps all of it.

        Raises:
            InputError: ``noisy`` has no uncertainty, or one that is no standard deviation.
        """
        sigma = checked_uncertainty(noisy)
        if sigma is None:
            raise InputError("the dose has no uncertainty_gy; only a Monte Carlo dose has noise")
        smooth, rough = planned.on(noisy.grid), noisy
        if structures:
            step = np.array(noisy.grid.spacing_mm) * _MARGIN_VOXELS
            lower = np.min([s.grid.lower_mm for s in structures], axis=0) - step
            upper = np.max([s.grid.upper_mm for s in structures], axis=0) + step
            grid, cut = noisy.grid.crop(_vector(lower), _vector(upper))
            smooth, rough = (
                Dose(values_gy=d.values_gy[cut], grid=grid, fractions=d.fractions) for d in (smooth, rough)
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
        )

    def samples(self, count: int, seed: int) -> Iterator[Dose]:
        """``count`` doses as other Monte Carlo runs of the same length might have given them."""
        random = np.random.default_rng(seed)
        for _ in range(count):
            noise = _correlated(random, self.sigma_gy.shape, self.correlation)
            values = np.maximum(self.expected.values_gy + self.sigma_gy * noise, 0.0)
            yield Dose(values_gy=values, grid=self.expected.grid, fractions=self.expected.fractions)

    def effect_on(
        self,
        metrics: Callable[[Dose], FloatArray],
        *,
        samples: int = SAMPLES,
        seed: int = 1,
        progress: Progress | None = None,
    ) -> NoiseEffect:
        """Bias and uncertainty of ``metrics``, which gives (n,) numbers of a dose."""
        drawn = []
        for n, sample in enumerate(self.samples(samples, seed)):
            if progress is not None:
                progress(n / samples, "uncertainty of DVH metrics")
            drawn.append(metrics(sample))
        bias = np.mean(drawn, axis=0) - metrics(self.expected)
        spread = np.std(drawn, axis=0, ddof=1)
        return NoiseEffect(bias=bias, uncertainty=np.hypot(spread, BIAS_UNCERTAINTY * bias))


def checked_uncertainty(dose: Dose) -> Float32Array | None:
    """``dose.uncertainty_gy`` as float32, or None when there is none.

    Raises:
        InputError: another shape than the dose, or values that are negative, NaN or infinite.
    """
    if dose.uncertainty_gy is None:
        return None
    sigma = np.asarray(dose.uncertainty_gy, dtype=np.float32)
    if sigma.shape != dose.grid.shape:
        raise InputError(f"uncertainty_gy has shape {sigma.shape}; the dose has {dose.grid.shape} (nz, ny, nx)")
    bad = int((~(sigma >= 0.0) | np.isinf(sigma)).sum())
    if bad:
        raise InputError(f"uncertainty_gy holds {bad} voxels that are negative, NaN or infinite; it is in Gy and >= 0")
    return sigma


def mean_uncertainty_percent(dose: Dose) -> float | None:
    """Mean relative standard deviation, in percent, of the voxels above half the maximum; None without uncertainty."""
    sigma = checked_uncertainty(dose)
    if sigma is None or dose.max_gy <= 0.0:
        return None
    high = dose.values_gy > 0.5 * dose.max_gy
    return 100.0 * float(np.mean(sigma[high] / dose.values_gy[high], dtype=np.float64))


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

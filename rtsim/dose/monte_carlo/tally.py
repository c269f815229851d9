"""Tally: sums and sums of squares over batches, the standard deviation of a mean, and the mean uncertainty."""

from __future__ import annotations

import numpy as np

from rtsim.typing import AnyFloatArray, BoolArray, FloatArray

HOTTEST = 100
"""The maximum is the mean of this many highest voxels (of those above half the highest, in a small field): the single
highest is the one with the luckiest noise."""
FLUKE = 0.7
"""A voxel with a larger relative standard deviation says nothing of the maximum: next to air (0.03 g/cm3, say) a single
electron that stops in it outshines the beam, for as long as it takes the beam to deposit as much."""


class Tally:
    """Energy deposited, summed over batches in the order of their numbers.

    Attributes:
        batches: how many.
        whole: False while batches are being added; if it stays so, the sums are good for nothing.
        tallies: (4,) sums of what the kernel counts.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.batches, self.whole = 0, True
        self.tallies = np.zeros(4)
        self._sum = np.zeros(shape)
        self._squares = np.zeros(shape)

    def add(self, energy_mev: AnyFloatArray, tallies: FloatArray) -> None:
        """Add batches (count, nz, ny, nx) and what was counted in them (count, 4)."""
        self.whole = False
        for plane in range(self._sum.shape[0]):  # plane by plane: the doubles stay in the cache
            for batch in energy_mev[:, plane]:
                energy = batch.astype(np.float64)
                self._sum[plane] += energy
                energy *= energy
                self._squares[plane] += energy
        for counted in tallies:
            self.tallies += counted
        self.batches += energy_mev.shape[0]
        self.whole = True

    def mean_and_sigma(self, histories_per_batch: int) -> tuple[FloatArray, FloatArray]:
        """Per history: the mean, and one standard deviation of it, both (nz, ny, nx)."""
        histories = self.batches * histories_per_batch
        return self._sum / histories, np.sqrt(self._variance_of_sum(np.s_[:])) / histories

    def mean_uncertainty_percent(self, weight: FloatArray) -> tuple[float, int]:
        """Mean of sigma over dose in percent, of the voxels above half the maximum; and how many these are.

        Args:
            weight: (nz, ny, nx) dose per energy; 0 = the voxel is left out.
        """
        dose = self._sum * weight
        fluke = np.sqrt(self._variance_of_sum(np.s_[:])) > FLUKE * self._sum
        if dose.max(where=~fluke, initial=0.0) > 0.0:
            dose[fluke] = 0.0
        highest = float(dose.max())
        if highest <= 0.0:
            return np.inf, 0
        high = dose[dose > 0.5 * highest]
        count = min(HOTTEST, high.size)
        peak = float(np.partition(high, high.size - count)[high.size - count :].mean())
        chosen = dose > 0.5 * peak
        relative = np.sqrt(self._variance_of_sum(chosen)) / self._sum[chosen]
        return 100.0 * float(relative.mean()), int(relative.size)

    def _variance_of_sum(self, where: BoolArray | slice) -> FloatArray:
        """n/(n - 1) (sum of squares - square of the sum / n): the variance of the sum over n batches."""
        n = self.batches
        spread = self._squares[where] - self._sum[where] ** 2 / n
        return np.asarray(np.maximum(spread, 0.0) * (n / (n - 1)))

"""Dose and Influence: what an engine returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import sparse

from rtsim.beams.model import Beam
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_linear, sample_linear
from rtsim.typing import AnyFloatArray, Float32Array, FloatArray

KNOWN_TO: Final = 0.25
"""A dose of larger relative uncertainty says nothing about a maximum."""
_HIGHEST: Final = 100


@dataclass(frozen=True, kw_only=True)
class MonteCarloStatistics:
    """How a Monte Carlo dose was reached.

    Attributes:
        histories: photons that left the source.
        batches: how many equal parts they came in; the uncertainty is from the spread of these.
        uncertainty_percent: mean over ``voxels`` of one standard deviation over the dose, in percent.
        voxels: how many voxels are above half the maximum (the mean of the 100 highest; air is left out).
        seconds: wall time of the simulation.
        interrupted: Ctrl-C ended it before the wanted number of histories or uncertainty.
    """

    histories: int
    batches: int
    uncertainty_percent: float
    voxels: int
    seconds: float
    interrupted: bool = False

    def describe(self) -> str:
        """One line for reports."""
        where = f"1 sigma, {self.voxels} voxels above half the maximum"
        sure = f"mean uncertainty {percent_text(self.uncertainty_percent)} % ({where})"
        return f"{histories_text(self.histories)} histories, {sure}" + (", interrupted" if self.interrupted else "")


def histories_text(histories: int) -> str:
    """1.2e6 for 1 234 567; small numbers as they are."""
    if histories < 100_000:
        return str(histories)
    mantissa, exponent = f"{histories:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def percent_text(percent: float) -> str:
    """Two digits: 12, 2.1, 0.82."""
    return f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}" if percent >= 0.995 else f"{percent:.2f}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Dose:
    """An absorbed dose distribution.

    Attributes:
        values_gy: (nz, ny, nx) float32, read-only: the sum over ``fractions`` equal fractions. For a point source
            without calibration: Gy per (photon/cm2).
        grid: where the voxels are; the grid that the report names.
        fractions: how many equal fractions the dose is given in.
        engine: what computed it, with its settings, for reports.
        uncertainty_gy: (nz, ny, nx) float32, read-only: one standard deviation of ``values_gy`` in Gy, if they are of
            Monte Carlo; None for an engine without statistical noise.
        statistics: how many histories of Monte Carlo, and how sure; None for other engines.
    """

    values_gy: Float32Array
    grid: Grid
    fractions: int = 1
    engine: str = ""
    uncertainty_gy: Float32Array | None = None
    statistics: MonteCarloStatistics | None = None

    def __repr__(self) -> str:
        top = f"maximum {self.max_gy:.4g} Gy, fractions {self.fractions}"
        return f"Dose({self.grid.describe()}, {top}, {self.engine!r})"

    def __post_init__(self) -> None:
        values = np.array(self.values_gy, dtype=np.float32, order="C")
        if values.shape != self.grid.shape:
            raise InputError(f"values_gy has shape {values.shape}; the grid has {self.grid.shape} (nz, ny, nx)")
        if not np.isfinite(values).all():
            raise InputError(f"values_gy holds {int((~np.isfinite(values)).sum())} voxels that are NaN or infinite")
        if self.fractions < 1:
            raise InputError(f"fractions is {self.fractions}; a dose is given in at least 1 fraction")
        values.flags.writeable = False
        object.__setattr__(self, "values_gy", values)
        if self.uncertainty_gy is not None:
            object.__setattr__(self, "uncertainty_gy", self._checked_uncertainty(self.uncertainty_gy))

    def _checked_uncertainty(self, given: Float32Array) -> Float32Array:
        sigma = np.array(given, dtype=np.float32, order="C")
        if sigma.shape != self.grid.shape:
            raise InputError(f"uncertainty_gy has shape {sigma.shape}; the grid has {self.grid.shape} (nz, ny, nx)")
        bad = ~(np.isfinite(sigma) & (sigma >= 0.0))
        if bad.any():
            raise InputError(f"uncertainty_gy holds {int(bad.sum())} voxels that are negative, NaN or infinite")
        sigma.flags.writeable = False
        return sigma

    @property
    def uncertainty(self) -> Float32Array | None:
        """The same as ``uncertainty_gy``: one standard deviation in Gy; over ``values_gy`` it is the relative one."""
        return self.uncertainty_gy

    def at(self, points_mm: AnyFloatArray) -> FloatArray:
        """Dose in Gy (...,) at points (..., 3) LPS mm, trilinear.

        Raises:
            GeometryError: a point lies outside the dose grid.
        """
        points = np.asarray(points_mm, dtype=np.float64)
        inside = self.grid.contains(points)
        if not np.all(inside):
            raise GeometryError(
                f"{int(np.sum(~inside))} of {inside.size} points lie outside the dose grid "
                f"{self.grid.lower_mm} .. {self.grid.upper_mm} mm"
            )
        return sample_linear(self.values_gy, self.grid, points.reshape(-1, 3)).reshape(points.shape[:-1])

    def on(self, grid: Grid) -> Dose:
        """The same dose sampled trilinearly on another grid; 0 outside.

        Its uncertainty is sampled likewise: that of a mean of voxels is smaller, by as much as they are independent.
        """
        if grid == self.grid:
            return self
        values = resample_linear(self.values_gy, self.grid, grid)
        sigma = None if self.uncertainty_gy is None else resample_linear(self.uncertainty_gy, self.grid, grid)
        return replace(
            self,
            values_gy=values.astype(np.float32),
            grid=grid,
            uncertainty_gy=None if sigma is None else sigma.astype(np.float32),
        )

    def scaled(self, factor: float) -> Dose:
        """The dose multiplied by ``factor`` >= 0."""
        if not np.isfinite(factor) or factor < 0:
            raise InputError(f"factor is {factor}; a finite factor >= 0 is needed")
        sigma = None if self.uncertainty_gy is None else (self.uncertainty_gy * factor).astype(np.float32)
        return replace(self, values_gy=(self.values_gy * factor).astype(np.float32), uncertainty_gy=sigma)

    @property
    def max_gy(self) -> float:
        """The highest dose in Gy: the largest voxel, or of a dose with noise what ``highest_gy`` says."""
        return highest_gy(self.values_gy, self.uncertainty_gy)


def highest_gy(values_gy: Float32Array, uncertainty_gy: Float32Array | None = None) -> float:
    """The highest of some doses in Gy; with noise the mean of the highest hundred of those known to a quarter.

    Of fewer than ten thousand such voxels it is the mean of the highest hundredth.

    The largest value of a noisy dose is its luckiest voxel: in the air beside a patient, one that a single electron has
    met, with many times the dose of the target and an uncertainty of as much.
    """
    if uncertainty_gy is None:
        return float(values_gy.max(initial=0.0))
    sure = values_gy[uncertainty_gy <= KNOWN_TO * values_gy]
    count = min(_HIGHEST, max(1, sure.size // 100))
    if not sure.any():
        return float(values_gy.max(initial=0.0))
    return float(np.partition(sure, sure.size - count)[sure.size - count :].mean(dtype=np.float64))


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """What leaving out small and far dose of beamlets does, measured on neighboring beamlets of equal monitor units.

    Attributes:
        largest: of the differences of the summed dose from that without cut-off and with twice the margin, over its
            maximum.
        mean: of the absolute differences where the summed dose is at least 1 % of its maximum, over that maximum.
        beamlets: how many were summed.
    """

    largest: float
    mean: float
    beamlets: int


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Influence:
    """The dose-influence matrix: Gy in each voxel, in one fraction, per monitor unit for which a beamlet is open.

    Attributes:
        matrix: (voxels of ``grid`` in C order, beamlets) float32 CSR; columns in the order of ``beams`` and their
            beamlets.
        grid: the dose grid.
        beams: the beams with their beamlets.
        engine: what computed it.
        cutoff: entries below this fraction of their beamlet's maximum were thinned or dropped (0 = none).
        dropped_fraction: share of the summed dose in entries below the cut-off, measured. Dropped, it is missing;
            thinned, the entries that were kept stand for it.
        truncation: the error from cut-off and margin, measured on a sample; None = the engine does not say.
    """

    matrix: sparse.csr_array
    grid: Grid
    beams: tuple[Beam, ...]
    engine: str = ""
    cutoff: float = 0.0
    dropped_fraction: float = 0.0
    truncation: Truncation | None = None

    def __repr__(self) -> str:
        size = f"{self.matrix.shape[1]} beamlets, {self.matrix.nnz} entries"
        return f"Influence({self.grid.describe()}, {size}, {self.engine!r})"

    def __post_init__(self) -> None:
        columns = sum(b.beamlets.count for b in self.beams if b.beamlets is not None)
        if self.matrix.shape != (self.grid.size, columns):
            raise InputError(
                f"matrix has shape {self.matrix.shape}; {self.grid.size} voxels x {columns} beamlets are needed"
            )

    @property
    def beamlet_count(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    def columns_of(self, beam_index: int) -> slice:
        """The columns that belong to one beam."""
        counts = [0 if b.beamlets is None else b.beamlets.count for b in self.beams]
        start = sum(counts[:beam_index])
        return slice(start, start + counts[beam_index])

    def dose(self, beamlet_monitor_units: AnyFloatArray, fractions: int = 1) -> Dose:
        """``fractions * matrix @ weights`` as a Dose. An approximation: a final dose is always an engine's
        ``forward``."""
        weights = np.asarray(beamlet_monitor_units, dtype=np.float64)
        if weights.shape != (self.beamlet_count,):
            raise InputError(f"{weights.shape} weights given; the matrix has {self.beamlet_count} beamlets")
        bad = np.flatnonzero(~(weights >= 0.0) | np.isinf(weights))
        if bad.size:
            raise InputError(
                f"beamlet_monitor_units of beamlet {bad[0]} is {weights[bad[0]]} MU; finite values >= 0 MU are needed"
            )
        values = fractions * (self.matrix @ weights.astype(np.float32))
        return Dose(values_gy=values.reshape(self.grid.shape), grid=self.grid, fractions=fractions, engine=self.engine)

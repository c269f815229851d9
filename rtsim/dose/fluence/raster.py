"""FluenceMap: photons (relative to those on the axis of an open field, times monitor units) on a raster in BLD axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import erf

from rtsim.errors import GeometryError
from rtsim.typing import AnyFloatArray, FloatArray


@dataclass(frozen=True)
class Raster:
    """Square pixels in the isocenter plane: lower left corner and counts; positions are BLD mm.

    Attributes:
        left_mm, bottom_mm: outer edges of pixel [0, 0] along BLD x and y.
        pitch_mm: side of a pixel.
        columns, rows: counts along x and y.
    """

    left_mm: float
    bottom_mm: float
    pitch_mm: float
    columns: int
    rows: int

    @classmethod
    def covering(cls, x_mm: tuple[float, float], y_mm: tuple[float, float], pitch_mm: float) -> Raster:
        """The smallest raster on multiples of ``pitch_mm`` that covers the rectangle.

        Raises:
            GeometryError: the rectangle is empty.
        """
        if not (x_mm[1] > x_mm[0] and y_mm[1] > y_mm[0]):
            raise GeometryError(f"the field {x_mm} x {y_mm} mm is empty; open the jaws or leaves")
        left, bottom = (math.floor(v[0] / pitch_mm + 1e-9) for v in (x_mm, y_mm))
        right, top = (math.ceil(v[1] / pitch_mm - 1e-9) for v in (x_mm, y_mm))
        return cls(left * pitch_mm, bottom * pitch_mm, pitch_mm, max(1, right - left), max(1, top - bottom))

    @property
    def x_edges_mm(self) -> FloatArray:
        """(columns + 1,) pixel edges along BLD x."""
        return self.left_mm + self.pitch_mm * np.arange(self.columns + 1, dtype=np.float64)

    @property
    def y_edges_mm(self) -> FloatArray:
        """(rows + 1,) pixel edges along BLD y."""
        return self.bottom_mm + self.pitch_mm * np.arange(self.rows + 1, dtype=np.float64)

    @property
    def x_mm(self) -> FloatArray:
        """(columns,) pixel centers along BLD x."""
        return self.x_edges_mm[:-1] + self.pitch_mm / 2

    @property
    def y_mm(self) -> FloatArray:
        """(rows,) pixel centers along BLD y."""
        return self.y_edges_mm[:-1] + self.pitch_mm / 2


@dataclass(frozen=True, eq=False)
class FluenceMap:
    """Fluence in the isocenter plane, in vacuum, for a beam at one gantry angle.

    Attributes:
        raster: where the pixels are (BLD axes, they turn with the collimator).
        values: (rows, columns) float64: monitor units times the fluence relative to an open field's axis, mean over the
            pixel. For a point source without calibration: photons per cm2.
        gantry_deg: at which the fluence is given.
    """

    raster: Raster
    values: FloatArray
    gantry_deg: float

    def summed(self) -> FloatArray:
        """(rows + 1, columns + 1) summed-area table: exact integrals over any rectangle of pixels."""
        table = np.zeros((self.raster.rows + 1, self.raster.columns + 1))
        table[1:, 1:] = self.values.cumsum(axis=0).cumsum(axis=1)
        return table

    def filled_mm(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """x and y limits of the pixels that hold fluence; None without any."""
        rows, columns = np.flatnonzero(self.values.any(axis=1)), np.flatnonzero(self.values.any(axis=0))
        if not rows.size:
            return None
        x, y = self.raster.x_edges_mm, self.raster.y_edges_mm
        return (float(x[columns[0]]), float(x[columns[-1] + 1])), (float(y[rows[0]]), float(y[rows[-1] + 1]))

    def split(self, share: float, ramp_mm: float) -> tuple[FluenceMap, FluenceMap]:
        """What lies in the smallest rectangle with all pixels of at least ``share`` of the largest, on its own raster;
        and the rest. One passes into the other over ``ramp_mm`` outside the rectangle."""
        strong = self.values >= share * self.values.max()
        weights, cuts = [], []
        for axis, count in ((1, self.raster.rows), (0, self.raster.columns)):
            found = np.flatnonzero(strong.any(axis=axis))
            pixels = np.arange(count)
            outside = np.maximum(np.maximum(found[0] - pixels, pixels - found[-1]), 0) * self.raster.pitch_mm
            weights.append(np.clip(1.0 - outside / ramp_mm, 0.0, 1.0))
            inside = np.flatnonzero(weights[-1] > 0.0)
            cuts.append(slice(int(inside[0]), int(inside[-1]) + 1))
        inner = self.values * np.outer(weights[0], weights[1])
        raster = Raster(
            self.raster.left_mm + cuts[1].start * self.raster.pitch_mm,
            self.raster.bottom_mm + cuts[0].start * self.raster.pitch_mm,
            self.raster.pitch_mm,
            cuts[1].stop - cuts[1].start,
            cuts[0].stop - cuts[0].start,
        )
        field = FluenceMap(raster, np.ascontiguousarray(inner[cuts[0], cuts[1]]), self.gantry_deg)
        return field, self.with_values(self.values - inner)

    def with_values(self, values: FloatArray) -> FluenceMap:
        """The same raster with other values."""
        return replace(self, values=values)


def covered(edges_mm: AnyFloatArray, lower_mm: AnyFloatArray, upper_mm: AnyFloatArray, sigma_mm: float) -> FloatArray:
    """Mean over each pixel [edges i, edges i + 1] of the opening [lower, upper] blurred by a Gaussian, exactly.

    ``lower_mm`` and ``upper_mm`` have any shape (...,); the result is (..., pixels). With Phi the normal distribution,
    int Phi(x/s) dx = x Phi(x/s) + s phi(x/s): area coverage for sigma 0, an error function for a point.
    """
    edges = np.asarray(edges_mm, dtype=np.float64)

    def ramp(edge: AnyFloatArray) -> FloatArray:
        x = edges - np.asarray(edge, dtype=np.float64)[..., None]
        if sigma_mm <= 0.0:
            return np.maximum(x, 0.0)
        out = np.maximum(x, 0.0)
        # beyond 8 sigma the blurred ramp is the bare one to the last digit
        near = np.abs(x) < 8.0 * sigma_mm
        x = x[near]
        z = x / sigma_mm
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        out[near] = x * 0.5 * (1.0 + erf(z / math.sqrt(2.0))) + sigma_mm * density
        return np.asarray(out)

    return np.diff(ramp(lower_mm) - ramp(upper_mm), axis=-1) / np.diff(edges)

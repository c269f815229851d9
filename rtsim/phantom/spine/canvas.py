"""Canvas: HU painted tissue by tissue with fractional voxels, and the texture and noise laid over it at the end."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.geometry.coverage import Cover, cover
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Shape
from rtsim.phantom.spine.anatomy import tissue
from rtsim.typing import Float32Array, FloatArray

LOWEST_HU = -1000.0
"""Noise is cut off here, so that it stays on every calibration curve."""


class Canvas:
    """Private to the generator: the HU and texture volumes while they are painted. [k, j, i]."""

    def __init__(self, grid: Grid, background: str = "air") -> None:
        ground = tissue(background)
        self.grid = grid
        self.hu: Float32Array = np.full(grid.shape, ground.hu, dtype=np.float32)
        self.texture: Float32Array = np.full(grid.shape, ground.texture_hu, dtype=np.float32)
        self._covers: dict[int, tuple[Shape, Cover | None]] = {}

    def cover(self, shape: Shape) -> Cover | None:
        """Coverage of a shape on its crop, found once for each shape object."""
        if id(shape) not in self._covers:
            self._covers[id(shape)] = (shape, cover(shape, self.grid))
        return self._covers[id(shape)][1]

    def coverage(self, shape: Shape) -> FloatArray:
        """Coverage of a shape on the whole grid."""
        out = np.zeros(self.grid.shape)
        part = self.cover(shape)
        if part is not None:
            out[part.slices] = part.fraction
        return out

    def paint(self, shape: Shape, name: str, *, strength: float = 1.0) -> None:
        """Blend a tissue in by the fraction of each voxel in the shape; ``strength`` < 1 lets the old show."""
        part = self.cover(shape)
        if part is not None:
            self.blend(part.slices, part.fraction * np.float32(strength), name)

    def blend(self, slices: tuple[slice, slice, slice], fraction: Float32Array, name: str) -> None:
        """hu <- hu + fraction (tissue - hu) on a crop."""
        what = tissue(name)
        self.hu[slices] += fraction * (np.float32(what.hu) - self.hu[slices])
        self.texture[slices] += fraction * (np.float32(what.texture_hu) - self.texture[slices])

    def finished(self, noise_hu: float, seed: int) -> Float32Array:
        """HU with tissue texture (correlated over about 2 mm) and scanner noise (over about 1 mm), whole numbers."""
        rng = np.random.default_rng(seed)
        out = self.hu + self.texture * np.clip(correlated_noise(self.grid, 1.8, rng), -2.0, 2.0)
        if noise_hu > 0:
            out = out + np.float32(noise_hu) * correlated_noise(self.grid, 1.0, rng)
        return np.asarray(np.maximum(np.rint(out), LOWEST_HU), dtype=np.float32)


def correlated_noise(grid: Grid, length_mm: float, rng: np.random.Generator) -> Float32Array:
    """Gaussian noise [k, j, i] of unit variance, smoothed by a Gaussian of ``length_mm``."""
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    sigma = [length_mm / s for s in grid.spacing_mm[::-1]]
    smooth = gaussian_filter(white, sigma, mode="reflect", truncate=2.5)
    return np.asarray(smooth / max(float(smooth.std()), 1e-6), dtype=np.float32)

"""Volumes from one grid to another: trilinear for smooth quantities, volume-weighted mean for conserved ones."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.ndimage import map_coordinates

from rtsim.geometry.grid import Grid
from rtsim.typing import AnyFloatArray, FloatArray


def sample_linear(volume: AnyFloatArray, grid: Grid, points_mm: AnyFloatArray, fill: float = 0.0) -> FloatArray:
    """Trilinear samples (...,) of ``volume`` [k, j, i] at points (..., 3) in (x, y, z) LPS mm.

    Between the outermost centers and the outer edges the edge value holds; beyond the edges ``fill``.
    """
    points = np.asarray(points_mm, dtype=np.float64)
    index = np.moveaxis(grid.index_of(points.reshape(-1, 3)), -1, 0)
    values = map_coordinates(np.asarray(volume, dtype=np.float64), index, order=1, mode="nearest")
    return np.where(grid.contains(points), values.reshape(points.shape[:-1]), fill)


def _linear_weights(
    source: AnyFloatArray, target: AnyFloatArray, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = np.clip((target - source[0]) / step, 0, len(source) - 1)
    low = np.minimum(index.astype(np.int64), max(len(source) - 2, 0))
    high = np.minimum(low + 1, len(source) - 1)
    return low, high, index - low


def resample_linear(volume: AnyFloatArray, source: Grid, target: Grid, fill: float = 0.0) -> FloatArray:
    """``volume`` [k, j, i] on ``source`` sampled trilinearly at the voxel centers of ``target``; ``fill`` outside."""
    out = np.asarray(volume, dtype=np.float64)
    axes = ((source.z_mm, target.z_mm, 2), (source.y_mm, target.y_mm, 1), (source.x_mm, target.x_mm, 0))
    for axis, (src, dst, xyz) in enumerate(axes):
        step = source.spacing_mm[xyz]
        low, high, weight = _linear_weights(src, dst, step)
        shape = [1, 1, 1]
        shape[axis] = -1
        w = weight.reshape(shape)
        out = np.take(out, low, axis=axis) * (1 - w) + np.take(out, high, axis=axis) * w
        outside = (dst < src[0] - step / 2 - 1e-9) | (dst > src[-1] + step / 2 + 1e-9)
        if outside.any():
            index: list[slice | np.ndarray] = [slice(None)] * 3
            index[axis] = outside
            out[tuple(index)] = fill
    return np.ascontiguousarray(out)


def _overlap(
    src_edge: float, src_step: float, n_src: int, dst_edge: float, dst_step: float, n_dst: int
) -> sparse.csr_array:
    rows, cols, vals = [], [], []
    for r in range(n_dst):
        lo = (dst_edge + r * dst_step - src_edge) / src_step
        hi = lo + dst_step / src_step
        for c in range(max(0, int(np.floor(lo))), min(n_src, int(np.ceil(hi)))):
            length = min(hi, c + 1.0) - max(lo, float(c))
            if length > 0:
                rows.append(r)
                cols.append(c)
                vals.append(length / (hi - lo))
    return sparse.csr_array((vals, (rows, cols)), shape=(n_dst, n_src))


def resample_mean(volume: AnyFloatArray, source: Grid, target: Grid, fill: float = 0.0) -> FloatArray:
    """Volume-weighted mean of ``volume`` [k, j, i] over each voxel of ``target`` (conserves the integral).

    The part of a target voxel that lies outside ``source`` counts with the value ``fill``.
    """
    out = np.asarray(volume, dtype=np.float64) - fill
    for axis, xyz in ((0, 2), (1, 1), (2, 0)):
        matrix = _overlap(
            source.lower_mm[xyz],
            source.spacing_mm[xyz],
            source.shape[axis],
            target.lower_mm[xyz],
            target.spacing_mm[xyz],
            target.shape[axis],
        )
        moved = np.moveaxis(out, axis, 0)
        flat = matrix @ moved.reshape(moved.shape[0], -1)
        out = np.moveaxis(np.asarray(flat).reshape(-1, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(out + fill)

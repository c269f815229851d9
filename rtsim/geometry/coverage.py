"""Coverage: the fraction of each voxel of a grid that lies inside a shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.errors import GeometryError
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Shape
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, FloatArray, Vector3

_CHUNK_POINTS = 1_000_000
_BLOCK = 4
_BLOCK_MIN_VOXELS = 20_000


@dataclass(frozen=True, eq=False)
class Cover:
    """Coverage of a shape on the crop of a grid that holds it.

    Attributes:
        slices: [k, j, i] of the crop in the grid.
        fraction: (nz, ny, nx) float32 on the crop, 0..1.
    """

    slices: tuple[slice, slice, slice]
    fraction: Float32Array


def cover(shape: Shape, grid: Grid, supersample: int = 2) -> Cover | None:
    """The fraction of each voxel inside ``shape``, on the crop that holds it; None when it misses the grid.

    Voxels whose center is further from the surface than they reach are 0 or 1. The others are cut into
    ``supersample``^3 cells, and each cell counts by its signed distance d as a slab: clip(1/2 - d / cell, 0, 1).

    Raises:
        GeometryError: supersample < 1.
    """
    if supersample < 1:
        raise GeometryError(f"supersample is {supersample}; an integer >= 1 is needed")
    lower, upper = shape.bounds_mm()
    low, high = np.maximum(lower, grid.lower_mm), np.minimum(upper, grid.upper_mm)
    if np.any(high <= low):
        return None
    crop, slices = grid.crop(_vector(low), _vector(high))
    out = np.zeros(crop.shape, dtype=np.float32)
    depth = max(_BLOCK, _CHUNK_POINTS // (crop.shape[1] * crop.shape[2]) // _BLOCK * _BLOCK)
    for first in range(0, crop.shape[0], depth):
        _fill(shape, crop, out, first, min(first + depth, crop.shape[0]), supersample)
    return Cover(slices, out)


def coverage(shape: Shape, grid: Grid, supersample: int = 2) -> Float32Array:
    """(nz, ny, nx) float32: the fraction 0..1 of each voxel of ``grid`` inside ``shape``. See ``cover``."""
    out = np.zeros(grid.shape, dtype=np.float32)
    part = cover(shape, grid, supersample)
    if part is not None:
        out[part.slices] = part.fraction
    return out


def _fill(shape: Shape, grid: Grid, out: Float32Array, first: int, last: int, supersample: int) -> None:
    """Fraction inside for the slices first .. last of ``grid``: by blocks, then by voxels, then by cells of a voxel."""
    spacing, part = np.array(grid.spacing_mm), out[first:last]
    if part.size > _BLOCK_MIN_VOXELS:
        counts = [-(-n // _BLOCK) for n in part.shape]
        blocks = np.moveaxis(np.indices(counts), 0, -1) * _BLOCK + (_BLOCK - 1) / 2
        blocks[..., 0] += first
        distance = shape.distance_mm(grid.point_at(blocks))
        # 1.6, and 1.25 below: distances are true to first order only, so the bands are wider than half a diagonal
        busy = np.abs(distance) < 1.6 * 0.5 * _BLOCK * float(np.linalg.norm(spacing))
        wide = _spread(busy, part.shape)
        part[_spread(distance < 0, part.shape) & ~wide] = 1.0
        index = np.argwhere(wide)
    else:
        index = np.moveaxis(np.indices(part.shape), 0, -1).reshape(-1, 3)
    points = grid.point_at(index + np.array((first, 0, 0)))
    distance = shape.distance_mm(points)
    near = np.abs(distance) < 1.25 * 0.5 * float(np.linalg.norm(spacing))
    fraction = np.where(distance < 0, 1.0, 0.0)
    fraction[near] = _cell_fraction(shape, points[near], spacing, supersample)
    part[index[:, 0], index[:, 1], index[:, 2]] = fraction


def _spread(blocks: BoolArray, shape: tuple[int, ...]) -> BoolArray:
    for axis in range(3):
        blocks = np.repeat(blocks, _BLOCK, axis=axis)
    return blocks[: shape[0], : shape[1], : shape[2]]


def _cell_fraction(shape: Shape, centers_mm: FloatArray, spacing_mm: FloatArray, supersample: int) -> FloatArray:
    ticks = (np.arange(supersample) + 0.5) / supersample - 0.5
    cell = float(spacing_mm.min()) / supersample
    offsets = np.array([(i, j, k) for k in ticks for j in ticks for i in ticks]) * spacing_mm
    total = np.zeros(len(centers_mm))
    for offset in offsets:
        total += np.clip(0.5 - shape.distance_mm(centers_mm + offset) / cell, 0.0, 1.0)
    return total / len(offsets)


def _vector(values: AnyFloatArray) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])

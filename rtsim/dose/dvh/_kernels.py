"""Kernel of the dose-volume histogram: the dose histogram of a partly covered structure.

Arrays and scalars in, arrays out; volumes [k, j, i], lengths mm, doses Gy. Indices and steps of grids in the order (x,
y, z).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def _trilinear(volume, x, y, z):
    """Trilinear sample at fractional index (x, y, z); between the outermost centers and the outer edges the edge value.

    NaN beyond the outer edges (half a voxel out, with 1e-6 of a voxel of slack for rounding).
    """
    nz, ny, nx = volume.shape
    edge = 0.5 + 1e-6
    if x < -edge or y < -edge or z < -edge or x > nx - 1 + edge or y > ny - 1 + edge or z > nz - 1 + edge:
        return math.nan
    x = min(max(x, 0.0), nx - 1.0)
    y = min(max(y, 0.0), ny - 1.0)
    z = min(max(z, 0.0), nz - 1.0)
    i0, j0, k0 = int(x), int(y), int(z)
    i1, j1, k1 = min(i0 + 1, nx - 1), min(j0 + 1, ny - 1), min(k0 + 1, nz - 1)
    fx, fy, fz = x - i0, y - j0, z - k0
    c00 = volume[k0, j0, i0] * (1.0 - fx) + volume[k0, j0, i1] * fx
    c01 = volume[k0, j1, i0] * (1.0 - fx) + volume[k0, j1, i1] * fx
    c10 = volume[k1, j0, i0] * (1.0 - fx) + volume[k1, j0, i1] * fx
    c11 = volume[k1, j1, i0] * (1.0 - fx) + volume[k1, j1, i1] * fx
    return (c00 * (1.0 - fy) + c01 * fy) * (1.0 - fz) + (c10 * (1.0 - fy) + c11 * fy) * fz


@njit(cache=True, error_model="numpy")
def _inside_weights(fraction, depth, k, j, i, points, depths, order, weights):
    """Weights 0..1 of the sample points of a voxel of which ``fraction`` lies inside, behind a level surface of depth.

    The points deepest inside count fully, as many as make up the fraction; the point that the surface meets counts for
    the rest, so that the volume is conserved exactly. A single point stands for the whole voxel.
    """
    count = points.shape[0]
    for m in range(count):
        depths[m] = _trilinear(depth, i + points[m, 0], j + points[m, 1], k + points[m, 2])
        order[m] = m
    # deepest first (Shell 1959; equal ones by number)
    gap = count // 2
    while gap > 0:
        for n in range(gap, count):
            m, at = order[n], n
            while at >= gap:
                before = order[at - gap]
                if depths[before] > depths[m] or (depths[before] == depths[m] and before < m):
                    break
                order[at] = before
                at -= gap
            order[at] = m
        gap //= 2
    rest = fraction * count
    for n in range(count):
        weights[order[n]] = min(max(rest, 0.0), 1.0)
        rest -= 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def dose_histogram(dose, coverage, depth, scale, shift, points, top_gy, histogram, summary, first, stop):
    """Volume (in voxels) by dose of a structure: trilinear doses at points in each voxel; boundary voxels cut by a
    level surface of the smoothed coverage.

    Args:
        dose: (nz, ny, nx) float32 Gy on the dose grid.
        coverage: (mz + 2, my + 2, mx + 2) float32, fraction inside, padded with one voxel of zeros.
        depth: of the same shape; larger means deeper inside. Boundary voxels are filled from the deepest point on.
        scale, shift: (3,) each: dose index = shift + scale * structure index, order (x, y, z).
        points: (n, 3) sample points in a voxel, -0.5..0.5 of its size, order (x, y, z); each stands for 1/n of it.
        top_gy: upper edge of the last of the bins, which start at 0.
        histogram: (blocks, bins) zeros, out: voxels. A fixed number of partial histograms, so that the sum does not
            depend on the number of threads.
        summary: (blocks, 4), out: minimum, maximum, sum of dose * volume, volume outside.
        first, stop: which blocks.
    """
    mz, my, mx = coverage.shape
    count = points.shape[0]
    blocks, bins = histogram.shape
    depths, order, weights = np.empty(count), np.empty(count, np.int64), np.empty(count)
    per_bin = bins / top_gy
    for block in range(first, stop):
        lowest, highest, total, outside = math.inf, -math.inf, 0.0, 0.0
        for k in range(1 + block, mz - 1, blocks):
            for j in range(1, my - 1):
                for i in range(1, mx - 1):
                    fraction = coverage[k, j, i]
                    if fraction <= 0.0:
                        continue
                    if fraction < 1.0:
                        _inside_weights(fraction, depth, k, j, i, points, depths, order, weights)
                    else:
                        for m in range(count):
                            weights[m] = 1.0
                    for m in range(count):
                        w = weights[m] / count
                        if w <= 0.0:
                            continue
                        value = _trilinear(
                            dose,
                            shift[0] + scale[0] * (i - 1 + points[m, 0]),
                            shift[1] + scale[1] * (j - 1 + points[m, 1]),
                            shift[2] + scale[2] * (k - 1 + points[m, 2]),
                        )
                        if math.isnan(value):
                            outside += w
                            value = 0.0
                        lowest = min(lowest, value)
                        highest = max(highest, value)
                        total += w * value
                        histogram[block, min(max(int(value * per_bin), 0), bins - 1)] += w
        summary[block, 0], summary[block, 1], summary[block, 2], summary[block, 3] = lowest, highest, total, outside

"""Numba kernels of evaluation: dose histogram of a partly covered structure, and the gamma index.

Arrays and scalars in, arrays out; volumes [k, j, i], lengths mm, doses Gy. Indices and steps of grids in the order (x,
y, z).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange


@njit(cache=True)
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


@njit(cache=True)
def _trilinear_inside(volume, x, y, z):
    """Trilinear sample at fractional index 0 <= (x, y, z) < n - 1: no clamping, twice as fast."""
    i, j, k = int(x), int(y), int(z)
    fx, fy, fz = x - i, y - j, z - k
    c00 = volume[k, j, i] + fx * (volume[k, j, i + 1] - volume[k, j, i])
    c01 = volume[k, j + 1, i] + fx * (volume[k, j + 1, i + 1] - volume[k, j + 1, i])
    c10 = volume[k + 1, j, i] + fx * (volume[k + 1, j, i + 1] - volume[k + 1, j, i])
    c11 = volume[k + 1, j + 1, i] + fx * (volume[k + 1, j + 1, i + 1] - volume[k + 1, j + 1, i])
    c0 = c00 + fy * (c01 - c00)
    return c0 + fz * (c10 + fy * (c11 - c10) - c0)


@njit(cache=True)
def _inward_normal(coverage, k, j, i, step_mm, normal):
    """Gradient of the coverage (1/mm) at a voxel of the zero-padded volume: Parker-Youngs 3 x 3 x 3 stencil, weights 1
    2 1.
    """
    for axis in range(3):
        total = 0.0
        for a in range(-1, 2):
            for b in range(-1, 2):
                weight = (2.0 - abs(a)) * (2.0 - abs(b))
                if axis == 0:
                    total += weight * (coverage[k + a, j + b, i + 1] - coverage[k + a, j + b, i - 1])
                elif axis == 1:
                    total += weight * (coverage[k + a, j + 1, i + b] - coverage[k + a, j - 1, i + b])
                else:
                    total += weight * (coverage[k + 1, j + a, i + b] - coverage[k - 1, j + a, i + b])
        normal[axis] = total / (32.0 * step_mm[axis])


@njit(cache=True)
def _plane_weights(fraction, normal, step_mm, points, weights):
    """Weights 0..1 of the sample points of a voxel of which ``fraction`` lies inside, behind a plane of that normal.

    The points deepest inside count fully, as many as make up the fraction; the point that the plane meets counts for
    the rest, so that the volume is conserved exactly. Without a normal (a sliver thinner than a voxel) all count
    evenly.
    """
    count = points.shape[0]
    extent = abs(normal[0]) * step_mm[0] + abs(normal[1]) * step_mm[1] + abs(normal[2]) * step_mm[2]
    if extent < 1e-6 or count == 1:
        weights[:] = fraction
        return
    outward = np.empty(count)
    for m in range(count):
        outward[m] = -(
            normal[0] * step_mm[0] * points[m, 0]
            + normal[1] * step_mm[1] * points[m, 1]
            + normal[2] * step_mm[2] * points[m, 2]
        )
    rest = fraction * count
    for m in np.argsort(outward):
        weights[m] = min(max(rest, 0.0), 1.0)
        rest -= 1.0


@njit(cache=True, parallel=True, nogil=True)
def dose_histogram(dose, coverage, scale, shift, step_mm, points, top_gy, bins, blocks):
    """Volume (in voxels) by dose of a structure: trilinear doses at points in each voxel; boundary voxels cut by a
    plane.

    Args:
        dose: (nz, ny, nx) float32 Gy on the dose grid.
        coverage: (mz + 2, my + 2, mx + 2) float32, fraction inside, padded with one voxel of zeros.
        scale, shift: (3,) each: dose index = shift + scale * structure index, order (x, y, z).
        step_mm: (3,) voxel size of the structure grid, order (x, y, z).
        points: (n, 3) sample points in a voxel, -0.5..0.5 of its size, order (x, y, z); each stands for 1/n of it.
        top_gy: upper edge of the last of ``bins`` bins that start at 0.
        blocks: fixed number of partial histograms, so that the sum does not depend on the number of threads.

    Returns:
        histogram (blocks, bins) in voxels; summary (blocks, 4): minimum, maximum, sum of dose * volume, volume outside.

    The plane reconstruction is that of Youngs (1982), "Time-dependent multi-material flow with large fluid distortion".
    """
    mz, my, mx = coverage.shape
    count = points.shape[0]
    histogram = np.zeros((blocks, bins))
    summary = np.zeros((blocks, 4))
    per_bin = bins / top_gy
    for block in prange(blocks):
        weights = np.empty(count)
        normal = np.empty(3)
        lowest, highest, total, outside = math.inf, -math.inf, 0.0, 0.0
        for k in range(1 + block, mz - 1, blocks):
            for j in range(1, my - 1):
                for i in range(1, mx - 1):
                    fraction = coverage[k, j, i]
                    if fraction <= 0.0:
                        continue
                    if fraction < 1.0:
                        _inward_normal(coverage, k, j, i, step_mm, normal)
                        _plane_weights(fraction, normal, step_mm, points, weights)
                    else:
                        weights[:] = 1.0
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
    return histogram, summary


@njit(cache=True, parallel=True, nogil=True)
def gamma_values(voxels, reference, evaluated, scale, shift, offsets, distance2, unit, criterion_gy, cap, out):
    """Gamma of the listed reference voxels by search over offsets sorted by distance.

    Gamma = min over offsets r of sqrt(r^2 / DTA^2 + (D_e(p + r) - D_r(p))^2 / DD^2), D_e trilinear. The search stops
    when r^2 / DTA^2 alone reaches the best value so far (Wendling 2007, doi:10.1118/1.2721657).

    Args:
        voxels: (m, 3) int64 (k, j, i) into ``reference``.
        scale, shift: (3,): evaluated index = shift + scale * reference index, order (x, y, z).
        offsets: (p, 3) offsets in evaluated index units, order (x, y, z), sorted by ``distance2`` = r^2 / DTA^2.
        unit: (3,) DTA in evaluated index units, order (x, y, z).
        criterion_gy: (m,) dose criterion DD of each voxel.
        cap: largest gamma that is resolved.
        out: (m,) float32; NaN where the reference point lies outside the evaluated grid.
    """
    nz, ny, nx = evaluated.shape
    for v in prange(voxels.shape[0]):
        k, j, i = voxels[v, 0], voxels[v, 1], voxels[v, 2]
        x, y, z = shift[0] + scale[0] * i, shift[1] + scale[1] * j, shift[2] + scale[2] * k
        wanted = float(reference[k, j, i])
        here = _trilinear(evaluated, x, y, z)
        if math.isnan(here):
            out[v] = math.nan
            continue
        inverse = 1.0 / criterion_gy[v]
        best = min(cap * cap, ((here - wanted) * inverse) ** 2)
        # The farthest offset that can still matter; when it stays inside the grid no sample needs clamping.
        reach = math.sqrt(best)
        rx, ry, rz = reach * unit[0], reach * unit[1], reach * unit[2]
        inside = x - rx >= 0.0 and y - ry >= 0.0 and z - rz >= 0.0
        inside = inside and x + rx < nx - 1 and y + ry < ny - 1 and z + rz < nz - 1
        for p in range(1, offsets.shape[0]):
            if distance2[p] >= best:
                break
            px, py, pz = x + offsets[p, 0], y + offsets[p, 1], z + offsets[p, 2]
            if inside:
                value = _trilinear_inside(evaluated, px, py, pz)
            else:
                value = _trilinear(evaluated, px, py, pz)
                if math.isnan(value):
                    continue
            difference = (value - wanted) * inverse
            found = distance2[p] + difference * difference
            if found < best:
                best = found
        out[v] = math.sqrt(best)

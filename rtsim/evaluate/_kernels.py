"""Numba kernel of evaluation: the gamma index.

Arrays and scalars in, arrays out; volumes [k, j, i], lengths mm, doses Gy. Indices and steps of grids in the order (x,
y, z).
"""

from __future__ import annotations

import math

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

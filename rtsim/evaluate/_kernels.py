"""Numba kernel of evaluation: the gamma index.

Arrays and scalars in, arrays out; volumes [k, j, i], lengths mm, doses Gy. Indices and steps of grids in the order (x,
y, z).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

BLOCK_POINTS = 32  # offsets are searched in blocks of this many: two registers of 16 floats
_NEAR_BLOCKS = 48  # searched before it pays to bound the dose all around
_EDGE = 0.5 + 1e-6  # a grid reaches half a voxel beyond its outermost centers, with slack for rounding
_SLACK = 1e-6  # of a voxel: a point on the face between two cells belongs to either
_NOT_HERE = np.int32(0x7F000000)  # the bits of the float 1.7e38


@njit(cache=True, fastmath={"nnan", "nsz", "contract", "reassoc"})
def _least_in_cell(points, u0, v0, w0, c, best):
    """Least of d^2 + D^2 over the points (4, BLOCK_POINTS) that lie in the cell; not above ``best``.

    ``c``: D in the cell, as the coefficients of 1, u, v, w, uv, uw, vw, uvw. (u0, v0, w0): the reference point in
    voxels from the low corner of the cell. All float32. Floats >= 0 are ordered as the integers of the same bits, and
    the least of integers is found in vector registers, where LLVM takes the least of floats one by one.
    """
    low, high = np.float32(-4.0 * _SLACK), np.float32(1.0 + 4.0 * _SLACK)
    least = np.float32(best).view(np.int32)
    for p in range(BLOCK_POINTS):
        u, v, w = u0 + points[0, p], v0 + points[1, p], w0 + points[2, p]
        dose = (c[0] + u * c[1]) + v * (c[2] + u * c[4]) + w * ((c[3] + u * c[5]) + v * (c[6] + u * c[7]))
        found = np.float32(points[3, p] + dose * dose).view(np.int32)
        inside = (u >= low) & (u <= high) & (v >= low) & (v <= high) & (w >= low) & (w <= high)
        found = found if inside else _NOT_HERE
        least = found if found < least else least
    return np.int32(least).view(np.float32)


@njit(cache=True)
def _corners(volume, i, j, k, wanted, inverse):
    """D = (D_e - D_r) / DD at the corners of the cell (i, j, k) .. + 1, x fastest; an axis of one voxel is flat.

    float32. The difference is taken before rounding to float32, so that the rounding is that of the difference.
    """
    nz, ny, nx = volume.shape
    i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
    return (
        np.float32((volume[k, j, i] - wanted) * inverse),
        np.float32((volume[k, j, i1] - wanted) * inverse),
        np.float32((volume[k, j1, i] - wanted) * inverse),
        np.float32((volume[k, j1, i1] - wanted) * inverse),
        np.float32((volume[k1, j, i] - wanted) * inverse),
        np.float32((volume[k1, j, i1] - wanted) * inverse),
        np.float32((volume[k1, j1, i] - wanted) * inverse),
        np.float32((volume[k1, j1, i1] - wanted) * inverse),
    )


@njit(cache=True)
def _coefficients(d):
    """Corner values to the coefficients of 1, u, v, w, uv, uw, vw, uvw."""
    u, v, w = d[1] - d[0], d[2] - d[0], d[4] - d[0]
    uv, uw, vw = d[3] - d[2] - u, d[5] - d[4] - u, d[6] - d[4] - v
    return d[0], u, v, w, uv, uw, vw, d[7] - d[6] - d[5] + d[4] - uv


@njit(cache=True)
def _gap(d):
    """Bound from below of |D| in a cell: how far its corner values all lie above 0, or all below."""
    least = min(min(min(d[0], d[1]), min(d[2], d[3])), min(min(d[4], d[5]), min(d[6], d[7])))
    most = max(max(max(d[0], d[1]), max(d[2], d[3])), max(max(d[4], d[5]), max(d[6], d[7])))
    return max(max(least, -most), np.float32(0.0))


@njit(cache=True)
def _gap_in_box(c, u, v, w, du, dv, dw):
    """Bound from below of |D| in the box (u, v, w) +- (du, dv, dw) of a cell: D about the center, term by term."""
    uv, uw, vw = c[4] + w * c[7], c[5] + v * c[7], c[6] + u * c[7]
    center = c[0] + u * (c[1] + v * c[4]) + v * (c[2] + w * c[6]) + w * (c[3] + u * uw)
    along_u, along_v = abs(c[1] + v * c[4] + w * uw), abs(c[2] + u * c[4] + w * vw)
    along_w = abs(c[3] + u * c[5] + v * vw)
    spread = du * (along_u + dv * abs(uv)) + dv * (along_v + dw * abs(vw)) + dw * (along_w + du * abs(uw))
    return max(abs(center) - spread - du * dv * dw * abs(c[7]), 0.0)


@njit(cache=True)
def _part(place, low, high):
    """Middle, half width and distance from ``place`` of the part of the interval ``place`` + (low, high) in (0, 1)."""
    first, last = max(0.0, place + low), min(1.0, place + high)
    return 0.5 * (first + last), 0.5 * (last - first) + 4.0 * _SLACK, max(max(first - place, place - last), 0.0)


@njit(cache=True)
def _search_cell(volume, i, j, k, x, y, z, box, points, nearest, unit, wanted, inverse, best):
    """The least gamma^2 in one cell over one block of points, or ``best``: bounds first, then the points."""
    u, du, far_u = _part(x - i, box[0], box[3])
    v, dv, far_v = _part(y - j, box[1], box[4])
    w, dw, far_w = _part(z - k, box[2], box[5])
    squared = max((far_u * unit[0]) ** 2 + (far_v * unit[1]) ** 2 + (far_w * unit[2]) ** 2, nearest)
    if squared >= best:
        return best
    corners = _corners(volume, i, j, k, wanted, inverse)
    gap = _gap(corners)
    if squared + gap * gap >= best:
        return best
    c = _coefficients(corners)
    nearer_gap = _gap_in_box(c, u, v, w, du, dv, dw)
    if squared + nearer_gap * nearer_gap >= best:
        return best
    return _least_in_cell(points, np.float32(x - i), np.float32(y - j), np.float32(z - k), c, best)


@njit(cache=True)
def _cells(place, low, high, count):
    """First and last cell that a block of offsets ``low`` .. ``high`` meets about ``place`` on an axis of ``count``."""
    first = math.floor(place + low + _SLACK)
    last = max(first, math.floor(place + high - _SLACK))
    most = max(count - 2, 0)
    return min(max(first, 0), most), min(max(last, 0), most)


@njit(cache=True)
def _gap_around(volume, x, y, z, reach, unit, wanted, inverse):
    """Bound from below of |D| within ``reach`` distance criteria of (x, y, z): over the corners of all cells there."""
    nz, ny, nx = volume.shape
    i0, i1 = _cells(x, -reach / unit[0], reach / unit[0], nx)
    j0, j1 = _cells(y, -reach / unit[1], reach / unit[1], ny)
    k0, k1 = _cells(z, -reach / unit[2], reach / unit[2], nz)
    least, most = volume[k0, j0, i0], volume[k0, j0, i0]
    for k in range(k0, min(k1 + 2, nz)):
        for j in range(j0, min(j1 + 2, ny)):
            for i in range(i0, min(i1 + 2, nx)):
                least, most = min(least, volume[k, j, i]), max(most, volume[k, j, i])
    return max(max(least - wanted, wanted - most) * inverse - 1e-6, 0.0)


@njit(cache=True, parallel=True, nogil=True)
def gamma_values(voxels, reference, evaluated, scale, shift, points, boxes, nearest, unit, criterion_gy, cap, out):
    """Gamma of the listed reference voxels by search over blocks of offsets, the nearest block first.

    Gamma = min over offsets r of sqrt(r^2 / DTA^2 + (D_e(p + r) - D_r(p))^2 / DD^2), D_e trilinear between the voxel
    centers of the evaluated grid. The search stops at the first block whose r^2 / DTA^2 alone reaches the best value
    so far (Wendling 2007, doi:10.1118/1.2721657), with the least dose difference anywhere within reach when the near
    blocks have not ended it, and passes over cells whose dose cannot reach it.

    Args:
        voxels: (m, 3) int64 (k, j, i) into ``reference``.
        scale, shift: (3,): evaluated index = shift + scale * reference index, order (x, y, z).
        points: (b, 4, BLOCK_POINTS) float32: offset in evaluated index units, order (x, y, z), and r^2 / DTA^2.
        boxes: (b, 6) bounds of the points of a block: low x, y, z, high x, y, z.
        nearest: (b,) float32 least r^2 / DTA^2 of each block, ascending.
        unit: (3,) spacing of the evaluated grid in DTA, order (x, y, z).
        criterion_gy: (m,) dose criterion DD of each voxel.
        cap: largest gamma that is resolved.
        out: (m,) float32; NaN where the reference point lies outside the outer edges of the evaluated grid.
    """
    nz, ny, nx = evaluated.shape
    for m in prange(voxels.shape[0]):
        k, j, i = voxels[m, 0], voxels[m, 1], voxels[m, 2]
        x, y, z = shift[0] + scale[0] * i, shift[1] + scale[1] * j, shift[2] + scale[2] * k
        if min(min(x, y), z) < -_EDGE or x > nx - 1 + _EDGE or y > ny - 1 + _EDGE or z > nz - 1 + _EDGE:
            out[m] = math.nan
            continue
        # Across an axis of one voxel the dose holds over its thickness and is not searched.
        x, y, z = x if nx > 1 else 0.0, y if ny > 1 else 0.0, z if nz > 1 else 0.0
        wanted, inverse = float(reference[k, j, i]), 1.0 / criterion_gy[m]
        best, least = np.float32(cap * cap), 0.0
        for b in range(nearest.shape[0]):
            if b == _NEAR_BLOCKS:
                gap = _gap_around(evaluated, x, y, z, math.sqrt(best), unit, wanted, inverse)
                least = gap * gap
            if nearest[b] + least >= best:
                break
            near, box = points[b], boxes[b]
            i0, i1 = _cells(x, box[0], box[3], nx)
            j0, j1 = _cells(y, box[1], box[4], ny)
            k0, k1 = _cells(z, box[2], box[5], nz)
            for kk in range(k0, k1 + 1):
                for jj in range(j0, j1 + 1):
                    for ii in range(i0, i1 + 1):
                        best = _search_cell(
                            evaluated, ii, jj, kk, x, y, z, box, near, nearest[b], unit, wanted, inverse, best
                        )
        out[m] = math.sqrt(best)

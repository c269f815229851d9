"""Kernels of the pencil beam: what each ray has met, which beamlets reach a voxel, and their dose there.

Lengths mm, depths mm of water. Volumes [k, j, i]; points (x, y, z); u, v are BLD x, y in the isocenter plane.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

_AIR_MM = 1.0
_WIDEST = 8.0


@njit(cache=True)
def _sample(matter, fx, fy, fz, out):
    """Trilinear (attenuation, electrons) of [k, j, i, 2] at fractional indices, held at the borders."""
    nz, ny, nx, _ = matter.shape
    fx = min(max(fx, 0.0), nx - 1.0)
    fy = min(max(fy, 0.0), ny - 1.0)
    fz = min(max(fz, 0.0), nz - 1.0)
    i, j, k = int(fx), int(fy), int(fz)
    i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
    wx, wy, wz = fx - i, fy - j, fz - k
    for b in range(2):
        low = (matter[k, j, i, b] * (1 - wx) + matter[k, j, i1, b] * wx) * (1 - wy) + (
            matter[k, j1, i, b] * (1 - wx) + matter[k, j1, i1, b] * wx
        ) * wy
        high = (matter[k1, j, i, b] * (1 - wx) + matter[k1, j, i1, b] * wx) * (1 - wy) + (
            matter[k1, j1, i, b] * (1 - wx) + matter[k1, j1, i1, b] * wx
        ) * wy
        out[b] = low * (1 - wz) + high * wz


@njit(cache=True)
def _inside(source, toward, lower, upper):
    """Axial distances at which the ray source + t toward enters and leaves the box (entry > exit: missed)."""
    enter, leave = 0.0, 1.0e30
    for axis in range(3):
        if abs(toward[axis]) < 1e-12:
            if source[axis] < lower[axis] or source[axis] > upper[axis]:
                return 0.0, -1.0
        else:
            a = (lower[axis] - source[axis]) / toward[axis]
            b = (upper[axis] - source[axis]) / toward[axis]
            enter = max(enter, min(a, b))
            leave = min(leave, max(a, b))
    return enter, leave


@njit(cache=True)
def _upstream(electrons, length, s, window, start):
    """How much longer than in water the last ``window`` mm of water-equivalent path before node s are.

    Before the body (node ``start``) the path counts as water. Found by walking back; linear inside a step.
    """
    wanted = electrons[s] - window
    n = s
    while n > start and electrons[n - 1] > wanted:
        n -= 1
    covered = electrons[s] - electrons[n]
    geometric = (s - n) * length
    if n > start and electrons[n] > electrons[n - 1]:
        part = min(1.0, (window - covered) / (electrons[n] - electrons[n - 1]))
        geometric += part * length
        covered += part * (electrons[n] - electrons[n - 1])
    return min(max((geometric + max(window - covered, 0.0)) / window, 1.0 / _WIDEST), _WIDEST)


@njit(cache=True)
def _describe_ray(attenuation, electrons, length, windows, factor, out):
    """out[s] = (depth, TERMA per electron relative to water, stretch of the near and of the far window)."""
    start = 0
    while start < attenuation.size - 1 and electrons[start + 1] < _AIR_MM:
        start += 1
    n = start
    for s in range(attenuation.size):
        while n < s and electrons[n + 1] < electrons[s] - windows[0]:
            n += 1
        passed = electrons[s] - electrons[n]
        ratio = 1.0
        if passed > 0.1:
            ratio = (attenuation[s] - attenuation[n]) / passed
        out[s, 0] = attenuation[s] * factor
        out[s, 1] = ratio * factor
        out[s, 2] = _upstream(electrons, length, s, windows[0], start) if s > start else 1.0
        out[s, 3] = _upstream(electrons, length, s, windows[1], start) if s > start else 1.0


@njit(cache=True, parallel=True, nogil=True)
def trace_rays(matter, origin, spacing, source, rotation, sad, fan, windows, softening, out):
    """What divergent rays meet; ``out`` (rays v, rays u, nodes, 4) float32, see :func:`_describe_ray`.

    ``matter`` (nz, ny, nx, 2): density that attenuates like water, and relative electron density; ``fan`` = (u0, du,
    v0, dv, first axial distance, step); ``windows`` (2,) mm of water; ``softening`` (3,) per degree: attenuation off
    the axis is 1 + c1 t + c2 t^2 + c3 t^3 times that on it. Two samples a step, cut at the faces of the grid.
    """
    lower = origin - 0.5 * spacing
    upper = lower + spacing * np.array([matter.shape[2], matter.shape[1], matter.shape[0]])
    nv, nu, nodes, _ = out.shape
    for iv in prange(nv):
        attenuation, electrons, own, toward = np.zeros(nodes), np.zeros(nodes), np.zeros(2), np.empty(3)
        for iu in range(nu):
            du, dv = (fan[0] + iu * fan[1]) / sad, (fan[2] + iv * fan[3]) / sad
            for axis in range(3):
                toward[axis] = rotation[axis, 0] * du + rotation[axis, 1] * dv - rotation[axis, 2]
            enter, leave = _inside(source, toward, lower, upper)
            slant = math.sqrt(1.0 + du * du + dv * dv)
            t = math.degrees(math.atan(math.sqrt(du * du + dv * dv)))
            factor = 1.0 + t * (softening[0] + t * (softening[1] + t * softening[2]))
            for s in range(1, nodes):
                attenuation[s], electrons[s] = attenuation[s - 1], electrons[s - 1]
                for half in range(2):
                    a = max(enter, fan[4] + (s - 1 + 0.5 * half) * fan[5])
                    b = min(leave, fan[4] + (s - 0.5 + 0.5 * half) * fan[5])
                    if b <= a:
                        continue
                    m = 0.5 * (a + b)
                    _sample(
                        matter,
                        (source[0] + m * toward[0] - origin[0]) / spacing[0],
                        (source[1] + m * toward[1] - origin[1]) / spacing[1],
                        (source[2] + m * toward[2] - origin[2]) / spacing[2],
                        own,
                    )
                    attenuation[s] += own[0] * (b - a) * slant
                    electrons[s] += own[1] * (b - a) * slant
            _describe_ray(attenuation, electrons, fan[5] * slant, windows, factor, out[iv, iu])


@njit(cache=True)
def _ray_at(rays, fan, u, v, d, out):
    """Bilinear between rays, linear between nodes; held at the borders."""
    nv, nu, nodes, parts = rays.shape
    fu = min(max((u - fan[0]) / fan[1], 0.0), nu - 1.0)
    fv = min(max((v - fan[2]) / fan[3], 0.0), nv - 1.0)
    fs = min(max((d - fan[4]) / fan[5], 0.0), nodes - 1.0)
    iu, iv, n = min(int(fu), nu - 2), min(int(fv), nv - 2), min(int(fs), nodes - 2)
    wu, wv, ws = np.float32(fu - iu), np.float32(fv - iv), np.float32(fs - n)
    one = np.float32(1.0)
    for b in range(parts):
        near = (rays[iv, iu, n, b] * (one - wu) + rays[iv, iu + 1, n, b] * wu) * (one - wv) + (
            rays[iv + 1, iu, n, b] * (one - wu) + rays[iv + 1, iu + 1, n, b] * wu
        ) * wv
        far = (rays[iv, iu, n + 1, b] * (one - wu) + rays[iv, iu + 1, n + 1, b] * wu) * (one - wv) + (
            rays[iv + 1, iu, n + 1, b] * (one - wu) + rays[iv + 1, iu + 1, n + 1, b] * wu
        ) * wv
        out[b] = near * (one - ws) + far * ws


@njit(cache=True)
def _project(x, y, z, source, rotation, sad):
    """u, v in the isocenter plane and axial distance of a point."""
    rx, ry, rz = x - source[0], y - source[1], z - source[2]
    d = -(rx * rotation[0, 2] + ry * rotation[1, 2] + rz * rotation[2, 2])
    scale = sad / d
    u = (rx * rotation[0, 0] + ry * rotation[1, 0] + rz * rotation[2, 0]) * scale
    v = (rx * rotation[0, 1] + ry * rotation[1, 1] + rz * rotation[2, 1]) * scale
    return u, v, d


@njit(cache=True)
def _first_at(centers, rate, value):
    """First index of ascending centers with centers[i] >= value: a guess by their mean ``rate`` per mm, then steps."""
    n = centers.size
    if value <= centers[0]:
        return 0
    if value > centers[n - 1]:
        return n
    i = min(int((value - centers[0]) * rate + 0.999), n - 1)
    while i > 0 and centers[i - 1] >= value:
        i -= 1
    while centers[i] < value:
        i += 1
    return i


@njit(cache=True)
def _rate(centers):
    """Centers per mm."""
    length = centers[centers.size - 1] - centers[0]
    return (centers.size - 1) / length if length > 0.0 else 0.0


@njit(cache=True)
def _chord(x, rate, u, v, row, reach):
    """First and last + 1 of the columns of beamlets of a row that lie within ``reach`` of (u, v)."""
    half = math.sqrt(max(reach * reach - (row - v) * (row - v), 0.0))
    return _first_at(x, rate, u - half), _first_at(x, rate, u + half)


@njit(cache=True, parallel=True, nogil=True)
def count_reached(wanted, origin, spacing, source, rotation, sad, x, y, start, reach, counts):
    """Add to counts[k, j, i] how many beamlets lie within ``reach`` of each wanted voxel, in the isocenter plane.

    ``x``, ``y`` ascending centers of the columns and rows of beamlets; ``start`` (rows, columns + 1): how many beamlets
    precede each place, row by row.
    """
    nz, ny, nx = wanted.shape
    rate_x, rate_y = _rate(x), _rate(y)
    for line in prange(nz * ny):
        k, j = line // ny, line % ny
        for i in range(nx):
            if not wanted[k, j, i]:
                continue
            u, v, _ = _project(
                origin[0] + i * spacing[0], origin[1] + j * spacing[1], origin[2] + k * spacing[2], source, rotation,
                sad,
            )  # fmt: skip
            if u < x[0] - reach or u > x[x.size - 1] + reach or v < y[0] - reach or v > y[y.size - 1] + reach:
                continue
            total = 0
            for row in range(_first_at(y, rate_y, v - reach), _first_at(y, rate_y, v + reach)):
                a, b = _chord(x, rate_x, u, v, y[row], reach)
                total += start[row, b] - start[row, a]
            counts[k, j, i] += total


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _wide_shares(aside, widths, spot, variance, out):
    """out[i] = part of a Gaussian in the interval aside[i] +- widths[i]/2, one that is hardly narrower or wider.

    The mean over an interval of width w is a Gaussian of variance + w^2/12, to w^4/(960 sigma^4) on the axis: 2e-3 for
    w = 1.2 sigma. exp(-y) = exp(-y/64)^64 by Taylor terms to the fifth; y is held at 20.
    """
    one = np.float32(1.0)
    for i in range(out.size):
        inverse = one / (variance + spot[i] + widths[i] * widths[i] * np.float32(1 / 12))
        y = min(np.float32(0.5 / 64) * aside[i] * aside[i] * inverse, np.float32(20 / 64))
        e = one - y * (
            one - y * (np.float32(1 / 2) - y * (np.float32(1 / 6) - y * (np.float32(1 / 24) - y * np.float32(1 / 120))))
        )
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        out[i] = e * widths[i] * np.sqrt(inverse) * np.float32(0.3989422804)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _shares(aside, widths, spot, variance, out):
    """out[i] = part of a Gaussian in the interval aside[i] +- widths[i]/2, of any width.

    Error function by Abramowitz and Stegun 7.1.26 (1.5e-7), both edges; a share is never negative.
    """
    one, two = np.float32(1.0), np.float32(2.0)
    for i in range(out.size):
        inverse = np.float32(0.70710678) / np.sqrt(variance + spot[i])
        total = np.float32(0.0)
        for edge in range(2):
            t = (aside[i] + (np.float32(edge) - np.float32(0.5)) * widths[i]) * inverse
            x = abs(t)
            k = one / (one + np.float32(0.3275911) * x)
            y = min(x * x, np.float32(20.0)) * np.float32(1 / 64)
            e = one - y * (
                one
                - y * (np.float32(1 / 2) - y * (np.float32(1 / 6) - y * (np.float32(1 / 24) - y * np.float32(1 / 120))))
            )
            e = e * e
            e = e * e
            e = e * e
            e = e * e
            e = e * e
            e = e * e
            tail = (
                k
                * (
                    np.float32(0.254829592)
                    + k
                    * (
                        np.float32(-0.284496736)
                        + k * (np.float32(1.421413741) + k * (np.float32(-1.453152027) + k * np.float32(1.061405429)))
                    )
                )
                * e
            )
            value = one - tail if t > np.float32(0.0) else tail - one
            total = value - total if edge == 1 else value
        out[i] = max(total, np.float32(0.0)) / two


@njit(cache=True, fastmath={"contract"})
def _eight(weights, shares, slot, row, first, count, factors, place, out, at):
    """out[at + q] = (or, for slot > 0, +=) factors[place + q] x the sum over eight slots of weight x
    shares[slot, row] x shares[slot, first + q], for q < count.

    Unsigned indices: an index of unknown sign would be wrapped around, and the loop not vectorised.
    """
    w0, w1 = weights[slot] * shares[slot, row], weights[slot + 1] * shares[slot + 1, row]
    w2, w3 = weights[slot + 2] * shares[slot + 2, row], weights[slot + 3] * shares[slot + 3, row]
    w4, w5 = weights[slot + 4] * shares[slot + 4, row], weights[slot + 5] * shares[slot + 5, row]
    w6, w7 = weights[slot + 6] * shares[slot + 6, row], weights[slot + 7] * shares[slot + 7, row]
    m, i0, p0, q0 = np.uint64(slot), np.uint64(first), np.uint64(place), np.uint64(at)
    m1, m2, m3 = m + np.uint64(1), m + np.uint64(2), m + np.uint64(3)
    m4, m5, m6, m7 = m + np.uint64(4), m + np.uint64(5), m + np.uint64(6), m + np.uint64(7)
    if slot == 0:
        for q in range(np.uint64(count)):
            i = i0 + q
            low = w0 * shares[m, i] + w1 * shares[m1, i] + w2 * shares[m2, i] + w3 * shares[m3, i]
            high = w4 * shares[m4, i] + w5 * shares[m5, i] + w6 * shares[m6, i] + w7 * shares[m7, i]
            out[q0 + q] = (low + high) * factors[p0 + q]
    else:
        for q in range(np.uint64(count)):
            i = i0 + q
            low = w0 * shares[m, i] + w1 * shares[m1, i] + w2 * shares[m2, i] + w3 * shares[m3, i]
            high = w4 * shares[m4, i] + w5 * shares[m5, i] + w6 * shares[m6, i] + w7 * shares[m7, i]
            out[q0 + q] += (low + high) * factors[p0 + q]


@njit(cache=True)
def _row(weights, shares, row, first, count, factors, place, out, at):
    """Values of ``count`` neighboring beamlets of a row; ``row`` counts from the first column in ``shares``."""
    for slot in range(0, weights.size, 8):
        _eight(weights, shares, slot, row, first, count, factors, place, out, at)


@njit(cache=True)
def _copy(columns, place, count, indices, at):
    """indices[at + q] = columns[place + q] for q < count."""
    p0, q0 = np.uint64(place), np.uint64(at)
    for q in range(np.uint64(count)):
        indices[q0 + q] = columns[p0 + q]


@njit(cache=True)
def _spread(u, v, columns, blur, variances, weights, wide, raster, scratch, shares):
    """Shares of every slot in all columns, then all rows of beamlets.

    ``raster`` (2, columns + rows and more) float32 centers and widths; ``scratch`` of the same shape.
    """
    for i in range(columns):
        scratch[0, i] = raster[0, i] - np.float32(u)
        scratch[1, i] = np.float32(blur[0])
    for i in range(columns, raster.shape[1]):
        scratch[0, i] = raster[0, i] - np.float32(v)
        scratch[1, i] = np.float32(blur[1])
    for n in range(weights.size):
        if n < wide:
            _wide_shares(scratch[0], raster[1], scratch[1], variances[n], shares[n])
        elif weights[n] > np.float32(0.0):
            _shares(scratch[0], raster[1], scratch[1], variances[n], shares[n])


@njit(cache=True)
def _terms(at, amplitudes, widths, mixing, scale, variances, weights):
    """Variances in the isocenter plane and weights, (slots,), of a voxel from what its ray has met."""
    depth = min(max(at[0], np.float32(0.0)), np.float32(amplitudes.shape[0] - 1.001))
    n = int(depth)
    w = depth - np.float32(n)
    for m in range(weights.size):
        spread = widths[m] * (at[2] + mixing[m] * (at[3] - at[2])) * np.float32(scale)
        variances[m] = spread * spread
        weights[m] = (amplitudes[n, m] * (np.float32(1.0) - w) + amplitudes[n + 1, m] * w) * at[1]


@njit(cache=True)
def _voxel_terms(u, v, d, sad, rays, fan, amplitudes, widths, mixing, blur, met, total, variances, weights):
    """Terms of a voxel at (u, v, d); ``blur`` = variances (mm2) of spot in x, y (isocenter plane) and of the voxel's
    footprint in x, y (at its own distance); their sum goes to ``total``. Returns (SAD/d)^2."""
    scale = sad / d
    _ray_at(rays, fan, u, v, d, met)
    total[0] = blur[0] + blur[2] * scale * scale
    total[1] = blur[1] + blur[3] * scale * scale
    _terms(met, amplitudes, widths, mixing, scale, variances, weights)
    return scale * scale


@njit(cache=True, parallel=True, nogil=True)
def entries(wanted, per_gram, origin, spacing, source, rotation, sad, rays, fan, amplitudes, widths, mixing, wide, blur,
            reach, x, y, start, column_of, raster, columns, factors, thresholds, stride, writes, counts, ends, indices,
            data):  # fmt: skip
    """Entries of the matrix for one beam: counted into counts[k, j, i], or written from there on.

    Counting (``writes`` False) adds how many values of a voxel reach the threshold of their beamlet. Writing puts them
    at indices, data [counts[k, j, i] ..] and moves counts on, never beyond ``ends``. ``columns``, ``factors``,
    ``thresholds`` (none: no threshold) belong to the places of the row-by-row order; ``amplitudes`` (depths, slots),
    slots a multiple of eight, widest first, the first ``wide`` of them wider than a beamlet; ``raster`` (2, columns +
    rows and more) float32; ``stride`` is coprime to the number of lines, which are taken in that stride so that threads
    share the work evenly.
    """
    nz, ny, nx = wanted.shape
    slots, rate_x, rate_y, every = amplitudes.shape[1], _rate(x), _rate(y), thresholds.size == 0
    ones = np.ones(x.size, np.float32)
    for n in prange(nz * ny):
        k, j = (n * stride) % (nz * ny) // ny, (n * stride) % (nz * ny) % ny
        shares, scratch = np.zeros((slots, raster.shape[1]), np.float32), np.empty((2, raster.shape[1]), np.float32)
        line, met, total = np.zeros(x.size, np.float32), np.empty(4, np.float32), np.empty(2)
        variances, weights = np.empty(slots, np.float32), np.empty(slots, np.float32)
        for i in range(nx):
            if not wanted[k, j, i]:
                continue
            u, v, d = _project(
                origin[0] + i * spacing[0], origin[1] + j * spacing[1], origin[2] + k * spacing[2], source, rotation,
                sad,
            )  # fmt: skip
            if u < x[0] - reach or u > x[x.size - 1] + reach or v < y[0] - reach or v > y[y.size - 1] + reach:
                continue
            first, last = _first_at(y, rate_y, v - reach), _first_at(y, rate_y, v + reach)
            if last <= first:
                continue
            scale = _voxel_terms(
                u, v, d, sad, rays, fan, amplitudes, widths, mixing, blur, met, total, variances, weights
            )
            for m in range(slots):
                weights[m] *= scale * per_gram[k, j, i]
            _spread(u, v, x.size, total, variances, weights, wide, raster, scratch, shares)
            at, room = counts[k, j, i], ends[k, j, i] if writes else -1
            for row in range(first, last):
                a, b = _chord(x, rate_x, u, v, y[row], reach)
                place = start[row, a]
                count = start[row, b] - place
                if count == 0:
                    continue
                if every and count == b - a:
                    if at + count <= room:
                        _row(weights, shares, x.size + row, a, count, factors, place, data, at)
                        _copy(columns, place, count, indices, at)
                    at += count
                    continue
                _row(weights, shares, x.size + row, a, b - a, ones, 0, line, 0)
                for q in range(place, place + count):
                    value = line[column_of[q] - a] * factors[q]
                    if every or value >= thresholds[q]:
                        if at < room:
                            data[at] = value
                            indices[at] = columns[q]
                        at += 1
            counts[k, j, i] = at


@njit(cache=True, parallel=True, nogil=True)
def sampled_sums(voxels, per_gram, origin, spacing, source, rotation, sad, rays, fan, amplitudes, widths, mixing, wide,
                 blur, reach, x, y, start, column_of, raster, factors, thresholds, out):  # fmt: skip
    """Add to out[n] the dose in voxel [k, j, i] = voxels[n]: (all beamlets, those that the matrix keeps).

    ``factors`` hold the weights of the plan; ``thresholds`` (none: no threshold) likewise.
    """
    slots, rate, ones = amplitudes.shape[1], _rate(x), np.ones(x.size, np.float32)
    for n in prange(voxels.shape[0]):
        k, j, i = voxels[n, 0], voxels[n, 1], voxels[n, 2]
        shares, scratch = np.zeros((slots, raster.shape[1]), np.float32), np.empty((2, raster.shape[1]), np.float32)
        line, met, total = np.zeros(x.size, np.float32), np.empty(4, np.float32), np.empty(2)
        variances, weights = np.empty(slots, np.float32), np.empty(slots, np.float32)
        u, v, d = _project(
            origin[0] + i * spacing[0], origin[1] + j * spacing[1], origin[2] + k * spacing[2], source, rotation, sad
        )
        scale = _voxel_terms(u, v, d, sad, rays, fan, amplitudes, widths, mixing, blur, met, total, variances, weights)
        for m in range(slots):
            weights[m] *= scale * per_gram[k, j, i]
        _spread(u, v, x.size, total, variances, weights, wide, raster, scratch, shares)
        full, kept = 0.0, 0.0
        for row in range(y.size):
            a, b = _chord(x, rate, u, v, y[row], reach)
            if abs(y[row] - v) > reach:
                b = a
            _row(weights, shares, x.size + row, 0, x.size, ones, 0, line, 0)
            for q in range(start[row, 0], start[row, x.size]):
                column = column_of[q]
                value = line[column] * factors[q]
                full += value
                if column >= a and column < b and (thresholds.size == 0 or value >= thresholds[q]):
                    kept += value
        out[n, 0] += full
        out[n, 1] += kept


@njit(cache=True)
def _map_at(maps, place, u, v):
    """Bilinear value at (u, v), 0 outside; ``place`` = (first element, rows, columns, first u, first v, pitch)."""
    rows, columns = int(place[1]), int(place[2])
    fu, fv = (u - place[3]) / place[5], (v - place[4]) / place[5]
    if fu < 0.0 or fv < 0.0 or fu >= columns - 1 or fv >= rows - 1:
        return 0.0
    i, j = int(fu), int(fv)
    a, b = fu - i, fv - j
    at = int(place[0]) + j * columns + i
    return (maps[at] * (1 - a) + maps[at + 1] * a) * (1 - b) + (
        maps[at + columns] * (1 - a) + maps[at + columns + 1] * a
    ) * b


@njit(cache=True, parallel=True, nogil=True)
def superpose(wanted, per_gram, origin, spacing, source, rotation, sad, rays, fan, amplitudes, widths, mixing, blur,
              maps, places, levels, dose):  # fmt: skip
    """Add to dose[k, j, i] the superposition of one fluence map, blurred by every width.

    ``maps`` holds the fluence blurred to the standard deviations ``levels`` (ascending, in the isocenter plane) one
    after another, ``places`` where (see :func:`_map_at`); between two levels linear in the variance.
    """
    nz, ny, nx = wanted.shape
    terms, step = amplitudes.shape[1], 1.0 / math.log(levels[1] / levels[0])
    for n in prange(nz * ny):
        k, j = n // ny, n % ny
        met, total = np.empty(4, np.float32), np.empty(2)
        variances, weights = np.empty(terms, np.float32), np.empty(terms, np.float32)
        for i in range(nx):
            if not wanted[k, j, i]:
                continue
            u, v, d = _project(
                origin[0] + i * spacing[0], origin[1] + j * spacing[1], origin[2] + k * spacing[2], source, rotation,
                sad,
            )  # fmt: skip
            scale = _voxel_terms(
                u, v, d, sad, rays, fan, amplitudes, widths, mixing, blur, met, total, variances, weights
            )
            value = 0.0
            for m in range(terms):
                square = math.sqrt((variances[m] + total[0]) * (variances[m] + total[1]))
                level = int(0.5 * math.log(square) * step - math.log(levels[0]) * step)
                level = min(max(level, 0), levels.size - 2)
                low, high = levels[level] ** 2, levels[level + 1] ** 2
                w = min(max((square - low) / (high - low), 0.0), 1.0)
                value += weights[m] * (
                    (1.0 - w) * _map_at(maps, places[level], u, v) + w * _map_at(maps, places[level + 1], u, v)
                )
            dose[k, j, i] += value * scale * per_gram[k, j, i]

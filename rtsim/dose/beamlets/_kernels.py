"""Kernels of the beamlet influence: released energy in a box about a beamlet's ray, and its dose on the dose grid.

Lengths mm, densities g/cm3. Boxes [depth, y, x]; dose grid [k, j, i]; points (x, y, z).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange


@njit(cache=True)
def _trilinear(volume, fx, fy, fz):
    """Trilinear value of [k, j, i] at fractional indices; the edge value up to half a voxel out, then 0."""
    nz, ny, nx = volume.shape
    if fx < -0.5 or fy < -0.5 or fz < -0.5 or fx > nx - 0.5 or fy > ny - 0.5 or fz > nz - 0.5:
        return 0.0
    fx = min(max(fx, 0.0), nx - 1.0)
    fy = min(max(fy, 0.0), ny - 1.0)
    fz = min(max(fz, 0.0), nz - 1.0)
    i, j, k = int(fx), int(fy), int(fz)
    i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
    wx, wy, wz = fx - i, fy - j, fz - k
    low = (volume[k, j, i] * (1 - wx) + volume[k, j, i1] * wx) * (1 - wy) + (
        volume[k, j1, i] * (1 - wx) + volume[k, j1, i1] * wx
    ) * wy
    high = (volume[k1, j, i] * (1 - wx) + volume[k1, j, i1] * wx) * (1 - wy) + (
        volume[k1, j1, i] * (1 - wx) + volume[k1, j1, i1] * wx
    ) * wy
    return low * (1 - wz) + high * wz


@njit(cache=True)
def _opening_mean(center, half, lower, upper, sigma):
    """Mean over center +- half of the opening [lower, upper] blurred by a Gaussian: int Phi(x/s) = x Phi + s phi."""
    total = 0.0
    for n in range(4):
        x = (center + half if n % 2 == 0 else center - half) - (lower if n < 2 else upper)
        if sigma <= 0.0:
            value = max(x, 0.0)
        else:
            z = x / sigma
            value = (
                x * 0.5 * (1.0 + math.erf(z * 0.7071067811865476)) + sigma * math.exp(-0.5 * z * z) * 0.3989422804014327
            )
        total += value if (n == 0 or n == 3) else -value
    return total / (2.0 * half)


@njit(cache=True)
def _fill_density(electrons, origin, spacing, source, frame, start, pitch, out):
    """Electron density of the grid at the centers of a box's voxels."""
    depth, ny, nx = out.shape
    mid_y, mid_x = (ny - 1) * 0.5, (nx - 1) * 0.5
    slope = frame[:, 0] * pitch / spacing
    for n in range(depth):
        t = start + (n + 0.5) * pitch
        for j in range(ny):
            y = (j - mid_y) * pitch
            at = (source + frame[:, 1] * y + frame[:, 2] * t - origin) / spacing - slope * mid_x
            for i in range(nx):
                out[n, j, i] = _trilinear(electrons, at[0] + i * slope[0], at[1] + i * slope[1], at[2] + i * slope[2])


@njit(cache=True)
def _passes(a, b, lower, upper):
    """Whether a coordinate that goes from a to b can lie in lower .. upper."""
    return not ((a < lower and b < lower) or (a > upper and b > upper))


@njit(cache=True)
def _column(partial, origin, spacing, source, rotation, sad, frame, x, y, start, pitch, box, sigmas, attenuation,
            energy_fluence, hardness, factor, path, own, soft, hard):  # fmt: skip
    """Released energy of one column of a box; radiological depth is summed along it from where the ray may pass."""
    basis = partial.shape[0]
    path[:] = 0.0
    for n in range(soft.size):
        t = start + (n + 0.5) * pitch
        rx = x * frame[0, 0] + y * frame[0, 1] + t * frame[0, 2]
        ry = x * frame[1, 0] + y * frame[1, 1] + t * frame[1, 2]
        rz = x * frame[2, 0] + y * frame[2, 1] + t * frame[2, 2]
        d = -(rx * rotation[0, 2] + ry * rotation[1, 2] + rz * rotation[2, 2])
        scale = sad / d
        u = (rx * rotation[0, 0] + ry * rotation[1, 0] + rz * rotation[2, 0]) * scale
        v = (rx * rotation[0, 1] + ry * rotation[1, 1] + rz * rotation[2, 1]) * scale
        half = 0.5 * pitch * scale
        reach_u, reach_v = half + 4.0 * sigmas[0], half + 4.0 * sigmas[1]
        # a column may enter the diverging beamlet at depth: its path is summed within twice the reach
        wide_u, wide_v = box[1] - box[0] + 2 * reach_u, box[3] - box[2] + 2 * reach_v
        if u < box[0] - wide_u or u > box[1] + wide_u or v < box[2] - wide_v or v > box[3] + wide_v:
            continue
        fx = (source[0] + rx - origin[0]) / spacing[0]
        fy = (source[1] + ry - origin[1]) / spacing[1]
        fz = (source[2] + rz - origin[2]) / spacing[2]
        for b in range(basis):
            own[b] = _trilinear(partial[b], fx, fy, fz)
            path[b] += 0.05 * pitch * own[b]
        if not (u < box[0] - reach_u or u > box[1] + reach_u or v < box[2] - reach_v or v > box[3] + reach_v):
            weight = _opening_mean(u, half, box[0], box[1], sigmas[0])
            weight *= _opening_mean(v, half, box[2], box[3], sigmas[1]) * scale * scale * factor
            s, h = 0.0, 0.0
            for g in range(energy_fluence.size):
                tau, local = 0.0, 0.0
                for b in range(basis):
                    tau += attenuation[g, b] * path[b]
                    local += attenuation[g, b] * own[b]
                e = energy_fluence[g] * local * math.exp(-tau)
                s += (1.0 - hardness[g]) * e
                h += hardness[g] * e
            soft[n] = s * weight
            hard[n] = h * weight
        for b in range(basis):
            path[b] += 0.05 * pitch * own[b]


@njit(cache=True)
def _box_terma(electrons, partial, origin, spacing, source, rotation, sad, frame, start, pitch, box, sigmas,
               attenuation, energy_fluence, hardness, factor, out):  # fmt: skip
    """Density, soft and hard released energy of one box.

    ``frame`` columns: lateral x, lateral y, direction of the beamlet's central ray. Radiological depth is summed
    along the columns of the box, which a beamlet's own divergence leaves by less than a tenth of a voxel.
    """
    depth, ny, nx = out.shape[1], out.shape[2], out.shape[3]
    _fill_density(electrons, origin, spacing, source, frame, start, pitch, out[0])
    out[1:] = np.float32(0.0)
    path, own = np.empty(partial.shape[0]), np.empty(partial.shape[0])
    soft, hard = np.empty(depth, np.float32), np.empty(depth, np.float32)
    u, v = np.empty(2), np.empty(2)
    for j in range(ny):
        for i in range(nx):
            x, y = (i - (nx - 1) * 0.5) * pitch, (j - (ny - 1) * 0.5) * pitch
            for end in range(2):
                ray = frame[:, 0] * x + frame[:, 1] * y + frame[:, 2] * (start + (0.5 + end * (depth - 1)) * pitch)
                d = -(ray[0] * rotation[0, 2] + ray[1] * rotation[1, 2] + ray[2] * rotation[2, 2])
                u[end] = (ray[0] * rotation[0, 0] + ray[1] * rotation[1, 0] + ray[2] * rotation[2, 0]) * sad / d
                v[end] = (ray[0] * rotation[0, 1] + ray[1] * rotation[1, 1] + ray[2] * rotation[2, 1]) * sad / d
            # twice the widest reach, as the column itself asks with the reach at each depth
            wide_u = box[1] - box[0] + 8.0 * sigmas[0] + 2 * pitch
            wide_v = box[3] - box[2] + 8.0 * sigmas[1] + 2 * pitch
            if _passes(u[0], u[1], box[0] - wide_u, box[1] + wide_u) and _passes(
                v[0], v[1], box[2] - wide_v, box[3] + wide_v
            ):
                soft[:] = np.float32(0.0)
                hard[:] = np.float32(0.0)
                _column(
                    partial, origin, spacing, source, rotation, sad, frame, x, y, start, pitch, box, sigmas,
                    attenuation, energy_fluence, hardness, factor, path, own, soft, hard,
                )  # fmt: skip
                for n in range(depth):
                    out[1, n, j, i] = soft[n]
                    out[2, n, j, i] = hard[n]


@njit(cache=True, parallel=True, nogil=True)
def box_termas(electrons, partial, origin, spacing, source, rotation, sad, frames, starts, depths, pitch, boxes, sigmas,
               attenuation, energy_fluence, hardness, factors, out):  # fmt: skip
    """out (n, 3, depth, y, x): electron density and released energy (soft, hard) of each beamlet in its own box."""
    for m in prange(depths.size):
        _box_terma(
            electrons, partial, origin, spacing, source, rotation, sad, frames[m], starts[m], pitch, boxes[m], sigmas,
            attenuation, energy_fluence, hardness, factors[m], out[m][:, : depths[m]],
        )  # fmt: skip


@njit(cache=True)
def _between(at, slope, lower, upper, first, last):
    """first .. last cut to where at + slope i lies in lower .. upper."""
    if abs(slope) < 1e-9:
        return (first, -1.0) if at < lower or at > upper else (first, last)
    a, b = (lower - at) / slope, (upper - at) / slope
    return max(first, min(a, b)), min(last, max(a, b))


@njit(cache=True)
def _collect(dose, frame, source, start, pitch, origin, spacing, per_gram, wanted, indices, values):
    """Dose of one beamlet at the voxels of the dose grid, trilinear from its own box; returns how many and the
    maximum."""
    depth, ny, nx = dose.shape
    shape = per_gram.shape
    middle = np.array([(nx - 1) * 0.5, (ny - 1) * 0.5, -start / pitch - 0.5])
    slope = frame[0] * spacing[0] / pitch
    count = 0
    largest = np.float32(0.0)
    for k in range(shape[0]):
        for j in range(shape[1]):
            y, z = origin[1] + j * spacing[1] - source[1], origin[2] + k * spacing[2] - source[2]
            at = (frame[0] * (origin[0] - source[0]) + frame[1] * y + frame[2] * z) / pitch + middle
            first, last = _between(at[0], slope[0], 0.0, nx - 1.0, 0.0, shape[2] - 1.0)
            first, last = _between(at[1], slope[1], 0.0, ny - 1.0, first, last)
            first, last = _between(at[2], slope[2], -0.5, depth - 0.5, first, last)
            for i in range(math.ceil(first), math.floor(last) + 1):
                if wanted[k, j, i] and count < indices.size:
                    value = _trilinear(dose, at[0] + i * slope[0], at[1] + i * slope[1], at[2] + i * slope[2])
                    value = np.float32(value * per_gram[k, j, i])
                    if value > np.float32(0.0):
                        indices[count] = (k * shape[1] + j) * shape[2] + i
                        values[count] = value
                        count += 1
                        largest = max(largest, value)
    return count, largest


@njit(cache=True)
def _cut(indices, values, found, least):
    """Keep the entries of at least ``least``, in place; returns how many, and the sums before and after."""
    keep = 0
    before, after = 0.0, 0.0
    for n in range(found):
        value = values[n]
        before += value
        if value >= least:
            indices[keep] = indices[n]
            values[keep] = value
            after += value
            keep += 1
    return keep, before, after


@njit(cache=True, parallel=True, nogil=True)
def collect(doses, depths, frames, source, starts, pitch, origin, spacing, per_gram, wanted, cutoff, counts, sums,
            indices, values):  # fmt: skip
    """Sparse columns from doses (n, depth, y, x) in the boxes.

    counts (n,) entries kept; sums (n, 2) summed dose before and after the cut-off (a fraction of a beamlet's maximum);
    indices, values (n, capacity).
    """
    for m in prange(counts.size):
        found, largest = _collect(
            doses[m][: depths[m]], frames[m], source, starts[m], pitch, origin, spacing, per_gram, wanted, indices[m],
            values[m],
        )  # fmt: skip
        counts[m], sums[m, 0], sums[m, 1] = _cut(indices[m], values[m], found, cutoff * largest)

"""Kernels of the beamlet influence: electron density and released energy in boxes about rays.

Lengths mm, densities g/cm3. Boxes [depth, y, x], one after another in flat arrays; dose grid [k, j, i]; points
(x, y, z). The last two arguments of a kernel that others call are the range of boxes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def _trilinear(volume, fx, fy, fz):
    """Trilinear value of [k, j, i] at fractional indices; the edge value up to half a voxel out, then 0."""
    nz, ny, nx = volume.shape
    if fx < -0.5 or fy < -0.5 or fz < -0.5 or fx > nx - 0.5 or fy > ny - 0.5 or fz > nz - 0.5:
        return np.float32(0.0)
    fx = min(max(fx, 0.0), nx - 1.0)
    fy = min(max(fy, 0.0), ny - 1.0)
    fz = min(max(fz, 0.0), nz - 1.0)
    i, j, k = int(fx), int(fy), int(fz)
    i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
    wx, wy, wz = np.float32(fx - i), np.float32(fy - j), np.float32(fz - k)
    one = np.float32(1.0)
    low = (volume[k, j, i] * (one - wx) + volume[k, j, i1] * wx) * (one - wy) + (
        volume[k, j1, i] * (one - wx) + volume[k, j1, i1] * wx
    ) * wy
    high = (volume[k1, j, i] * (one - wx) + volume[k1, j, i1] * wx) * (one - wy) + (
        volume[k1, j1, i] * (one - wx) + volume[k1, j1, i1] * wx
    ) * wy
    return low * (one - wz) + high * wz


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


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _density_row(volume, width, plane, ax, ay, az, dx, dy, dz, first, stop, out):
    """out[first:stop] = trilinear values at (ax, ay, az) + i (dx, dy, dz), all inside the volume (flat, of rows of
    ``width`` and planes of ``plane`` voxels)."""
    one = np.float32(1.0)
    right, back = np.uint64(1), np.uint64(width)
    deeper = np.uint64(plane)
    for i in range(first, stop):
        fx, fy, fz = ax + i * dx, ay + i * dy, az + i * dz
        a, b, c = int(fx), int(fy), int(fz)
        wx, wy, wz = np.float32(fx - a), np.float32(fy - b), np.float32(fz - c)
        q = np.uint64(c * plane + b * width + a)
        r = q + deeper
        low = (volume[q] * (one - wx) + volume[q + right] * wx) * (one - wy) + (
            volume[q + back] * (one - wx) + volume[q + back + right] * wx
        ) * wy
        high = (volume[r] * (one - wx) + volume[r + right] * wx) * (one - wy) + (
            volume[r + back] * (one - wx) + volume[r + back + right] * wx
        ) * wy
        out[i] = low * (one - wz) + high * wz


@njit(cache=True)
def _between(at, slope, lower, upper, first, last):
    """first .. last cut to where at + slope i lies in lower .. upper."""
    if abs(slope) < 1e-9:
        return (first, -1.0) if at < lower or at > upper else (first, last)
    a, b = (lower - at) / slope, (upper - at) / slope
    return max(first, min(a, b)), min(last, max(a, b))


@njit(cache=True, error_model="numpy")
def _fill_density(electrons, origin, spacing, source, frame, start, pitch, fan, out):
    """Electron density of the grid at the centers of a box's cells; 0 outside the grid."""
    depth, ny, nx = out.shape
    kz, jy, ix = electrons.shape
    flat = electrons.reshape(electrons.size)
    mid_y, mid_x = (ny - 1) * 0.5, (nx - 1) * 0.5
    edge = 1e-6
    for n in range(depth):
        t = start + (n + 0.5) * pitch[0]
        wide = t / fan if fan > 0.0 else 1.0
        step = pitch[2] * wide
        dx, dy, dz = frame[0, 0] * step / spacing[0], frame[1, 0] * step / spacing[1], frame[2, 0] * step / spacing[2]
        for j in range(ny):
            y = (j - mid_y) * pitch[1] * wide
            ax = (source[0] + frame[0, 1] * y + frame[0, 2] * t - origin[0]) / spacing[0] - dx * mid_x
            ay = (source[1] + frame[1, 1] * y + frame[1, 2] * t - origin[1]) / spacing[1] - dy * mid_x
            az = (source[2] + frame[2, 1] * y + frame[2, 2] * t - origin[2]) / spacing[2] - dz * mid_x
            first, last = _between(ax, dx, 0.0, ix - 1.0 - edge, 0.0, nx - 1.0)
            first, last = _between(ay, dy, 0.0, jy - 1.0 - edge, first, last)
            first, last = _between(az, dz, 0.0, kz - 1.0 - edge, first, last)
            row = out[n, j]
            i0 = min(math.ceil(first + edge), nx)
            i1 = max(math.floor(last) + 1, i0)
            # the outer half voxel of the grid, and what lies beyond
            for i in range(i0):
                row[i] = _trilinear(electrons, ax + i * dx, ay + i * dy, az + i * dz)
            _density_row(flat, ix, jy * ix, ax, ay, az, dx, dy, dz, i0, i1, row)
            for i in range(i1, nx):
                row[i] = _trilinear(electrons, ax + i * dx, ay + i * dy, az + i * dz)


@njit(cache=True)
def _limits(openings, out):
    """Lower and upper x, lower and upper y of what some openings (n, 5) cover."""
    for side in range(4):
        out[side] = openings[0, side]
        for n in range(1, openings.shape[0]):
            out[side] = max(out[side], openings[n, side]) if side % 2 == 1 else min(out[side], openings[n, side])


@njit(cache=True)
def _fluence(openings, u, v, half_u, half_v, sigmas):
    """Mean fluence of some openings over a rectangle."""
    total = 0.0
    for n in range(openings.shape[0]):
        own = openings[n]
        reach_u, reach_v = half_u + 4.0 * sigmas[0], half_v + 4.0 * sigmas[1]
        if u > own[0] - reach_u and u < own[1] + reach_u and v > own[2] - reach_v and v < own[3] + reach_v:
            x = _opening_mean(u, half_u, own[0], own[1], sigmas[0])
            total += own[4] * x * _opening_mean(v, half_v, own[2], own[3], sigmas[1])
    return total


@njit(cache=True)
def _column(partial, origin, spacing, source, rotation, sad, frame, x, y, start, pitch, fan, openings, box, sigmas,
            paths, own, weights):  # fmt: skip
    """Mass per area and mass density of each basis material, and fluence per cell, along one column of a box; first and
    last step (exclusive) that has fluence. Paths are summed along the column from where the ray may pass."""
    basis = partial.shape[0]
    first, stop = weights.size, 0
    path = np.zeros(basis)
    for n in range(weights.size):
        weights[n] = np.float32(0.0)
        t = start + (n + 0.5) * pitch[0]
        wide = t / fan if fan > 0.0 else 1.0
        rx = (x * frame[0, 0] + y * frame[0, 1]) * wide + t * frame[0, 2]
        ry = (x * frame[1, 0] + y * frame[1, 1]) * wide + t * frame[1, 2]
        rz = (x * frame[2, 0] + y * frame[2, 1]) * wide + t * frame[2, 2]
        d = -(rx * rotation[0, 2] + ry * rotation[1, 2] + rz * rotation[2, 2])
        scale = sad / d
        u = (rx * rotation[0, 0] + ry * rotation[1, 0] + rz * rotation[2, 0]) * scale
        v = (rx * rotation[0, 1] + ry * rotation[1, 1] + rz * rotation[2, 1]) * scale
        half_u, half_v = 0.5 * pitch[2] * wide * scale, 0.5 * pitch[1] * wide * scale
        reach_u, reach_v = half_u + 4.0 * sigmas[0], half_v + 4.0 * sigmas[1]
        # a column may enter the diverging opening at depth: its path is summed within twice the reach
        wide_u, wide_v = box[1] - box[0] + 2 * reach_u, box[3] - box[2] + 2 * reach_v
        if u < box[0] - wide_u or u > box[1] + wide_u or v < box[2] - wide_v or v > box[3] + wide_v:
            for b in range(basis):
                paths[b, n], own[b, n] = np.float32(0.0), np.float32(0.0)
            continue
        fx = (source[0] + rx - origin[0]) / spacing[0]
        fy = (source[1] + ry - origin[1]) / spacing[1]
        fz = (source[2] + rz - origin[2]) / spacing[2]
        for b in range(basis):
            here = _trilinear(partial[b], fx, fy, fz)
            own[b, n] = here
            paths[b, n] = path[b] + 0.05 * pitch[0] * here
            path[b] += 0.1 * pitch[0] * here
        weight = _fluence(openings, u, v, half_u, half_v, sigmas)
        if weight > 0.0:
            weights[n] = weight * scale * scale * wide * wide
            first, stop = min(first, n), n + 1
    return first, stop


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_group(paths, own, weights, attenuation, energy, hardness, soft, hard, first, stop):
    """One energy group of a column: energy x local x exp(-tau).

    exp(-tau) = exp(-tau/64)^64 by Taylor terms to the sixth: relative error below 5e-6 up to tau = 20, where the
    fluence is 2e-9 of what enters; beyond, tau is taken as 20.
    """
    one = np.float32(1.0)
    c2, c3, c4, c5, c6 = (
        np.float32(1 / 2),
        np.float32(1 / 6),
        np.float32(1 / 24),
        np.float32(1 / 120),
        np.float32(1 / 720),
    )
    for n in range(first, stop):
        tau = np.float32(0.0)
        local = np.float32(0.0)
        for b in range(attenuation.size):
            tau += attenuation[b] * paths[b, n]
            local += attenuation[b] * own[b, n]
        y = min(tau, np.float32(20.0)) * np.float32(1 / 64)
        e = one - y * (one - y * (c2 - y * (c3 - y * (c4 - y * (c5 - y * c6)))))
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = energy * local * e * weights[n]
        soft[n] += (one - hardness) * e
        hard[n] += hardness * e


@njit(cache=True)
def _passes(a, b, lower, upper):
    """Whether a coordinate that goes from a to b can lie in lower .. upper."""
    return not ((a < lower and b < lower) or (a > upper and b > upper))


@njit(cache=True, nogil=True)
def box_termas(electrons, partial, origin, spacing, source, rotation, sad, frames, starts, shapes, cells, pitch, fan,
               openings, opening_starts, sigmas, attenuation, energy_fluence, hardness, out, m_first,
               m_stop):  # fmt: skip
    """Electron density and released energy (soft, hard) of boxes.

    Box m, shapes[m] (depth, y, x), lies at out[3 cells[m] : 3 cells[m + 1]]; frames (n, 3, 3): lateral x, lateral y and
    direction of the box's central ray; starts (n,) mm from the source along it; pitch (3,) depth, y, x. With ``fan`` >
    0 the columns diverge: the lateral pitch holds at this distance from the source, and what is released is given per
    volume of a cell there, so that the transport, which knows nothing of it, keeps the energy. openings (any, 5):
    limits in x and y of the isocenter plane, and fluence; those of box m are opening_starts[m] : opening_starts[m + 1].
    attenuation (groups, basis) cm2/g; energies and hardness float32. Radiological depth is summed along the columns of
    the box, which the openings' own divergence leaves by less than a quarter of a voxel.
    """
    basis = partial.shape[0]
    limits, u, v, ray = np.empty(4), np.empty(2), np.empty(2), np.empty(3)
    for m in range(m_first, m_stop):
        depth, ny, nx = shapes[m, 0], shapes[m, 1], shapes[m, 2]
        frame, start = frames[m], starts[m]
        box = out[3 * cells[m] : 3 * cells[m + 1]].reshape((3, depth, ny, nx))
        own_openings = openings[opening_starts[m] : opening_starts[m + 1]]
        _fill_density(electrons, origin, spacing, source, frame, start, pitch, fan, box[0])
        box[1:] = np.float32(0.0)
        paths, own = np.empty((basis, depth), np.float32), np.empty((basis, depth), np.float32)
        weights, soft, hard = np.empty(depth, np.float32), np.empty(depth, np.float32), np.empty(depth, np.float32)
        _limits(own_openings, limits)
        # twice the widest reach, as the column itself asks with the reach at each depth
        wide_u = limits[1] - limits[0] + 8.0 * sigmas[0] + 2 * pitch[2]
        wide_v = limits[3] - limits[2] + 8.0 * sigmas[1] + 2 * pitch[1]
        for j in range(ny):
            for i in range(nx):
                x, y = (i - (nx - 1) * 0.5) * pitch[2], (j - (ny - 1) * 0.5) * pitch[1]
                for end in range(2):
                    t = start + (0.5 + end * (depth - 1)) * pitch[0]
                    wide = t / fan if fan > 0.0 else 1.0
                    for axis in range(3):
                        ray[axis] = (frame[axis, 0] * x + frame[axis, 1] * y) * wide + frame[axis, 2] * t
                    d = -(ray[0] * rotation[0, 2] + ray[1] * rotation[1, 2] + ray[2] * rotation[2, 2])
                    u[end] = (ray[0] * rotation[0, 0] + ray[1] * rotation[1, 0] + ray[2] * rotation[2, 0]) * sad / d
                    v[end] = (ray[0] * rotation[0, 1] + ray[1] * rotation[1, 1] + ray[2] * rotation[2, 1]) * sad / d
                if not _passes(u[0], u[1], limits[0] - wide_u, limits[1] + wide_u) or not _passes(
                    v[0], v[1], limits[2] - wide_v, limits[3] + wide_v
                ):
                    continue
                first, stop = _column(
                    partial, origin, spacing, source, rotation, sad, frame, x, y, start, pitch, fan, own_openings,
                    limits, sigmas, paths, own, weights,
                )  # fmt: skip
                for n in range(first, stop):
                    soft[n], hard[n] = np.float32(0.0), np.float32(0.0)
                for g in range(energy_fluence.size):
                    _add_group(
                        paths, own, weights, attenuation[g], energy_fluence[g], hardness[g], soft, hard, first, stop
                    )
                for n in range(first, stop):
                    box[1, n, j, i] = soft[n]
                    box[2, n, j, i] = hard[n]


@njit(cache=True)
def _beside(density, values, n, j, i):
    """Mean of the values of the cells with matter about one without; 0 where there are none."""
    depth, ny, nx = density.shape
    total, weights = np.float32(0.0), np.float32(0.0)
    for a in range(max(n - 1, 0), min(n + 2, depth)):
        for b in range(max(j - 1, 0), min(j + 2, ny)):
            for c in range(max(i - 1, 0), min(i + 2, nx)):
                if density[a, b, c] > np.float32(0.0):
                    weight = np.float32(1.0) / np.float32(abs(a - n) + abs(b - j) + abs(c - i))
                    total += weight * values[a, b, c]
                    weights += weight
    return total / weights if weights > np.float32(0.0) else np.float32(0.0)


@njit(cache=True, nogil=True)
def extend(volumes, shapes, cells, out, m_first, m_stop):
    """Continue ``out``, dose per electron of boxes, into the cells beyond the grid, in place.

    No voxel lies there, but those of the grid's border are read between them and cells inside: the dose of a trace of
    matter in vacuum, which gets nothing from its own surroundings, is not theirs. volumes: of :func:`box_termas`.
    """
    for m in range(m_first, m_stop):
        depth, ny, nx = shapes[m, 0], shapes[m, 1], shapes[m, 2]
        density = volumes[3 * cells[m] : 3 * cells[m] + depth * ny * nx].reshape((depth, ny, nx))
        values = out[cells[m] : cells[m + 1]].reshape((depth, ny, nx))
        for n in range(depth):
            for j in range(ny):
                row = density[n, j]
                for i in range(nx):
                    if row[i] <= np.float32(0.0):
                        values[n, j, i] = _beside(density, values, n, j, i)

"""Kernels of TERMA: radiological paths on a divergent fan of rays, then attenuation voxel by voxel.

Lengths mm, densities g/cm3. Volumes [k, j, i]; points (x, y, z).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange


@njit(cache=True)
def _entry_exit(px, py, pz, dx, dy, dz, lower, upper):
    """Parameters t of entry and exit of the ray p + t d through the box (slab method)."""
    t0, t1 = 0.0, 1.0e30
    for axis in range(3):
        p = px if axis == 0 else (py if axis == 1 else pz)
        d = dx if axis == 0 else (dy if axis == 1 else dz)
        if abs(d) < 1e-12:
            if p < lower[axis] or p > upper[axis]:
                return 0.0, -1.0
        else:
            a = (lower[axis] - p) / d
            b = (upper[axis] - p) / d
            t0 = max(t0, min(a, b))
            t1 = min(t1, max(a, b))
    return t0, t1


@njit(cache=True)
def _ray(partial, origin, spacing, source, toward, stretch, first, step, substeps, inside, enough, out):
    """out[s, b] of one ray; ``toward`` (3,) direction per mm of axial distance, ``inside`` axial distances of entry and
    exit. Behind ``enough`` g/cm2 the path stays what it is."""
    nz, ny, nx, basis = partial.shape
    for b in range(basis):
        out[0, b] = 0.0
    for s in range(1, out.shape[0]):
        total = np.float32(0.0)
        for b in range(basis):
            out[s, b] = out[s - 1, b]
            total += out[s, b]
        if total > enough:
            continue
        for piece in range(substeps):
            a = max(inside[0], first + (s - 1 + piece / substeps) * step)
            c = min(inside[1], first + (s - 1 + (piece + 1) / substeps) * step)
            if c <= a:
                continue
            t = 0.5 * (a + c)
            fx = min(max((source[0] + t * toward[0] - origin[0]) / spacing[0], 0.0), nx - 1.0)
            fy = min(max((source[1] + t * toward[1] - origin[1]) / spacing[1], 0.0), ny - 1.0)
            fz = min(max((source[2] + t * toward[2] - origin[2]) / spacing[2], 0.0), nz - 1.0)
            i, j, k = int(fx), int(fy), int(fz)
            i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
            wx, wy, wz = fx - i, fy - j, fz - k
            length = np.float32((c - a) * stretch)
            w000 = np.float32((1 - wx) * (1 - wy) * (1 - wz)) * length
            w001 = np.float32(wx * (1 - wy) * (1 - wz)) * length
            w010 = np.float32((1 - wx) * wy * (1 - wz)) * length
            w011 = np.float32(wx * wy * (1 - wz)) * length
            w100 = np.float32((1 - wx) * (1 - wy) * wz) * length
            w101 = np.float32(wx * (1 - wy) * wz) * length
            w110 = np.float32((1 - wx) * wy * wz) * length
            w111 = np.float32(wx * wy * wz) * length
            for b in range(basis):
                out[s, b] += (
                    partial[k, j, i, b] * w000
                    + partial[k, j, i1, b] * w001
                    + partial[k, j1, i, b] * w010
                    + partial[k, j1, i1, b] * w011
                    + partial[k1, j, i, b] * w100
                    + partial[k1, j, i1, b] * w101
                    + partial[k1, j1, i, b] * w110
                    + partial[k1, j1, i1, b] * w111
                )


@njit(cache=True, parallel=True, nogil=True)
def fan_paths(partial, origin, spacing, source, rotation, sad, u_mm, v_mm, first, step, substeps, enough, out):
    """Cumulative mass per area (g/cm2) of each basis material along divergent rays.

    ``partial`` (nz, ny, nx, basis) g/cm3; rays leave ``source`` through (u, v) of the isocenter plane; node s of a ray
    lies at axial distance ``first + s step`` mm from the source. out[iv, iu, s, b] = integral of partial_b dl from the
    source to the node, by midpoints of ``substeps`` pieces cut at the box faces; trilinear densities, vacuum outside.
    Rays are not followed behind ``enough`` g/cm2.
    """
    lower = origin - 0.5 * spacing
    upper = lower + spacing * np.array([partial.shape[2], partial.shape[1], partial.shape[0]])
    for iv in prange(v_mm.size):
        toward = np.empty(3)
        for iu in range(u_mm.size):
            du, dv = u_mm[iu] / sad, v_mm[iv] / sad
            for axis in range(3):
                toward[axis] = rotation[axis, 0] * du + rotation[axis, 1] * dv - rotation[axis, 2]
            inside = _entry_exit(source[0], source[1], source[2], toward[0], toward[1], toward[2], lower, upper)
            stretch = 0.1 * math.sqrt(1.0 + du * du + dv * dv)
            _ray(
                partial, origin, spacing, source, toward, stretch, first, step, substeps, inside, np.float32(enough),
                out[iv, iu],
            )  # fmt: skip


@njit(cache=True)
def _table_at(table, fu, fv):
    """Bilinear value of a summed-area table at fractional pixel edges, held at the borders."""
    nv, nu = table.shape
    fu = min(max(fu, 0.0), nu - 1.0)
    fv = min(max(fv, 0.0), nv - 1.0)
    i, j = min(int(fu), nu - 2), min(int(fv), nv - 2)
    a, b = fu - i, fv - j
    return (table[j, i] * (1 - a) + table[j, i + 1] * a) * (1 - b) + (
        table[j + 1, i] * (1 - a) + table[j + 1, i + 1] * a
    ) * b


@njit(cache=True)
def _map_mean(table, left, bottom, pitch, u, v, half_u, half_v):
    """Mean of a fluence map over the rectangle u +- half_u, v +- half_v, from its summed-area table (zero outside)."""
    a0, a1 = (u - half_u - left) / pitch, (u + half_u - left) / pitch
    b0, b1 = (v - half_v - bottom) / pitch, (v + half_v - bottom) / pitch
    nv, nu = table.shape
    if a1 <= 0.0 or b1 <= 0.0 or a0 >= nu - 1 or b0 >= nv - 1:
        return 0.0
    total = _table_at(table, a1, b1) - _table_at(table, a0, b1) - _table_at(table, a1, b0) + _table_at(table, a0, b0)
    return total / ((a1 - a0) * (b1 - b0))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_group(paths, own, attenuation, energy, hardness, factor, size, count, soft, hard):
    """One energy group of a row of voxels: energy x local x exp(-tau), averaged along the voxel.

    exp(-tau) = exp(-tau/64)^64 by Taylor terms to the seventh: relative error below 5e-6 up to tau = 20, where the
    fluence is 2e-9 of what enters; beyond, tau is taken as 20.
    """
    one = np.float32(1.0)
    easy = one - hardness
    for i in range(count):
        tau = np.float32(0.0)
        local = np.float32(0.0)
        for b in range(attenuation.size):
            tau += attenuation[b] * paths[b, i]
            local += attenuation[b] * own[b, i]
        local *= factor[i]
        y = min(tau * factor[i], np.float32(20.0)) * np.float32(1 / 64)
        e = one - y * (
            one
            - y
            * (
                np.float32(1 / 2)
                - y
                * (np.float32(1 / 6) - y * (np.float32(1 / 24) - y * (np.float32(1 / 120) - y * np.float32(1 / 720))))
            )
        )
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        half = local * size
        e = energy * local * e * (one + half * half * np.float32(1 / 6))
        soft[i] += easy * e
        hard[i] += hardness * e


@njit(cache=True)
def _path_at(paths, fan, u, v, d, out, column):
    """out[:, column] = paths at (u, v) and axial distance d, trilinear."""
    nv, nu, nodes, basis = paths.shape
    fu = min(max((u - fan[0]) / fan[1], 0.0), nu - 1.0)
    fv = min(max((v - fan[2]) / fan[3], 0.0), nv - 1.0)
    fs = min(max((d - fan[4]) / fan[5], 0.0), nodes - 1.0)
    iu, iv, n = min(int(fu), nu - 2), min(int(fv), nv - 2), min(int(fs), nodes - 2)
    wu, wv, ws = np.float32(fu - iu), np.float32(fv - iv), np.float32(fs - n)
    one = np.float32(1.0)
    for b in range(basis):
        low = (paths[iv, iu, n, b] * (one - wu) + paths[iv, iu + 1, n, b] * wu) * (one - wv) + (
            paths[iv + 1, iu, n, b] * (one - wu) + paths[iv + 1, iu + 1, n, b] * wu
        ) * wv
        high = (paths[iv, iu, n + 1, b] * (one - wu) + paths[iv, iu + 1, n + 1, b] * wu) * (one - wv) + (
            paths[iv + 1, iu, n + 1, b] * (one - wu) + paths[iv + 1, iu + 1, n + 1, b] * wu
        ) * wv
        out[b, column] = low * (one - ws) + high * ws


@njit(cache=True)
def _span(at, slope, axial, axial_slope, sad, lower, upper, first, last):
    """first .. last (voxels of a row) cut to where sad (at + slope i)/(axial + axial_slope i) lies in lower .. upper.

    The projection is monotonic along a row, as all of it lies in front of the source.
    """
    ends = np.empty(2)
    for n in range(2):
        bound = lower if n == 0 else upper
        fall = sad * slope - bound * axial_slope
        if abs(fall) < 1e-9 * sad:
            # the row runs along a ray: it lies on one side of the bound altogether
            beyond = sad * at - bound * axial
            if (n == 0 and beyond < 0.0) or (n == 1 and beyond > 0.0):
                return 0, -1
            ends[n] = -1e9 if n == 0 else 1e9
            continue
        ends[n] = (bound * axial - sad * at) / fall
        if (fall > 0.0) == (n == 1):
            last = min(last, math.ceil(min(ends[n], 1e9)))
        else:
            first = max(first, math.floor(max(ends[n], -1e9)))
    return first, last


@njit(cache=True)
def _reached(x, y, z, step, rotation, sad, half, raster, table, count):
    """First and last voxel of a row (starting at x, y, z from the source) whose footprint may meet a fluence map."""
    d = -(x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2])
    e = -step * rotation[0, 2]
    scale = sad / min(d, d + e * (count - 1))
    first, last = np.int64(0), np.int64(count - 1)
    for axis in range(2):
        at = x * rotation[0, axis] + y * rotation[1, axis] + z * rotation[2, axis]
        room = half[axis] * scale
        pixels = table.shape[1 - axis] - 1
        first, last = _span(
            at, step * rotation[0, axis], d, e, sad, raster[axis] - room, raster[axis] + pixels * raster[2] + room,
            first, last,
        )  # fmt: skip
    return first, last


@njit(cache=True)
def _row(k, j, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, depths, fluences, angles):
    """Geometry, fluence and paths of the voxels of one row that a fluence map reaches; returns their first and last
    number. Fluence 0 and path 0 where no ray of the fan is needed."""
    x, y, z = origin[0] - source[0], origin[1] + j * spacing[1] - source[1], origin[2] + k * spacing[2] - source[2]
    first, last = _reached(x, y, z, spacing[0], rotation, sad, half, raster, table, fluences.size)
    hit, end = fluences.size, -1
    for i in range(first, last + 1):
        x = origin[0] + i * spacing[0] - source[0]
        d = -(x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2])
        scale = sad / d
        u = (x * rotation[0, 0] + y * rotation[1, 0] + z * rotation[2, 0]) * scale
        v = (x * rotation[0, 1] + y * rotation[1, 1] + z * rotation[2, 1]) * scale
        fluence = _map_mean(table, raster[0], raster[1], raster[2], u, v, half[0] * scale, half[1] * scale)
        fluences[i] = fluence * scale * scale
        if fluence > 0.0:
            hit, end = min(hit, i), i
            angles[i] = math.degrees(math.atan(math.sqrt(u * u + v * v) / sad))
            _path_at(paths, fan, u, v, d, depths, i)
        else:
            angles[i] = 0.0
            depths[:, i] = np.float32(0.0)
    return hit, end


@njit(cache=True)
def _release(depths, own, angles, fluences, size, attenuation, energy_fluence, hardness, softening, soft, hard):
    """Released energy of some voxels of a row from their paths."""
    count = soft.size
    factor = np.ones(count, np.float32)
    if softening[0] != 0.0 or softening[1] != 0.0 or softening[2] != 0.0:
        for i in range(count):
            t = angles[i]
            factor[i] = 1.0 + t * (softening[0] + t * (softening[1] + t * softening[2]))
    for g in range(energy_fluence.size):
        _add_group(
            depths, own, attenuation[g], energy_fluence[g], hardness[g], factor, np.float32(0.5 * size), count, soft,
            hard,
        )  # fmt: skip
    for i in range(count):
        soft[i] *= fluences[i]
        hard[i] *= fluences[i]


@njit(cache=True)
def _electron_dose(depths, own, electrons, size, attenuation, out):
    """fluence x exp(-k L), averaged along the voxel."""
    for i in range(out.size):
        depth, local = 0.0, 0.0
        for b in range(depths.shape[0]):
            depth += depths[b, i]
            local += own[b, i]
        x = attenuation * depth
        half = 0.5 * attenuation * local * size
        if x < 30.0:
            out[i] = electrons[i] * math.exp(-x) * (1.0 + half * half / 6.0)


@njit(cache=True, parallel=True, nogil=True)
def released_energy(partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, attenuation,
                    energy_fluence, hardness, softening, soft, hard):  # fmt: skip
    """Energy released per volume (TERMA x density), MeV/cm3, in a soft and a hard part.

    TERMA(r) = sum_g Psi_g (mu/rho)_g exp(-sum_b mu_gb L_b) (SAD/d)^2, averaged over the voxel: fluence over the voxel's
    footprint, attenuation along the ray by sinh(x/2)/(x/2).

    ``partial`` (basis, nz, ny, nx); ``fan`` = (u0, du, v0, dv, first, step) of ``paths``; ``half`` = half widths (mm)
    of a voxel's footprint at its own distance; ``raster`` = (left, bottom, pitch) of the summed-area ``table``;
    ``attenuation`` (groups, basis) cm2/g; ``softening`` (c1, c2, c3) per degree off axis. Gathers only: every voxel
    writes itself.
    """
    basis, nz, ny, nx = partial.shape
    size = min(spacing[0], min(spacing[1], spacing[2])) * 0.1
    for k in prange(nz):
        depths, own = np.zeros((basis, nx), np.float32), np.zeros((basis, nx), np.float32)
        fluences, angles = np.zeros(nx), np.zeros(nx)
        for j in range(ny):
            soft[k, j] = np.float32(0.0)
            hard[k, j] = np.float32(0.0)
            first, last = _row(
                np.int64(k), j, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, depths,
                fluences, angles,
            )  # fmt: skip
            if last >= first:
                here = slice(first, last + 1)
                for b in range(basis):
                    own[b, here] = partial[b, k, j, here]
                _release(
                    depths[:, here], own[:, here], angles[here], fluences[here], size, attenuation, energy_fluence,
                    hardness, softening, soft[k, j, here], hard[k, j, here],
                )  # fmt: skip


@njit(cache=True, parallel=True, nogil=True)
def electron_dose(partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, attenuation, out):
    """fluence x exp(-k L) (SAD/d)^2, k = ``attenuation`` in cm2/g; the rest as in :func:`released_energy`."""
    basis, nz, ny, nx = partial.shape
    size = min(spacing[0], min(spacing[1], spacing[2])) * 0.1
    for k in prange(nz):
        depths, own = np.zeros((basis, nx), np.float32), np.zeros((basis, nx), np.float32)
        fluences, angles = np.zeros(nx), np.zeros(nx)
        for j in range(ny):
            out[k, j] = np.float32(0.0)
            first, last = _row(
                np.int64(k), j, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, depths,
                fluences, angles,
            )  # fmt: skip
            if last >= first:
                here = slice(first, last + 1)
                for b in range(basis):
                    own[b, here] = partial[b, k, j, here]
                _electron_dose(depths[:, here], own[:, here], fluences[here], size, attenuation, out[k, j, here])

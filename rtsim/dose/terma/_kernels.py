"""Kernels of TERMA: radiological paths on a divergent fan of rays, then attenuation voxel by voxel.

Lengths mm, densities g/cm3. Volumes [k, j, i]; points (x, y, z). The last two arguments of a kernel that others call
are the range of its outer loop.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def _entry_exit(source, toward, lower, upper):
    """Parameters t of entry and exit of the ray source + t toward through the box (slab method)."""
    t0, t1 = 0.0, 1.0e30
    for axis in range(3):
        p, d = source[axis], toward[axis]
        if abs(d) < 1e-12:
            if p < lower[axis] or p > upper[axis]:
                return 0.0, -1.0
        else:
            a = (lower[axis] - p) / d
            b = (upper[axis] - p) / d
            t0 = max(t0, min(a, b))
            t1 = min(t1, max(a, b))
    return t0, t1


@njit(cache=True, nogil=True, error_model="numpy")
def fan_paths(partial, origin, spacing, lower, upper, source, rotation, sad, u_mm, v_mm, first, step, substeps, enough,
              out, v_first, v_stop):  # fmt: skip
    """Cumulative mass per area (g/cm2) of each basis material along divergent rays.

    ``partial`` (nz, ny, nx, basis) g/cm3 in the box ``lower`` .. ``upper``; rays leave ``source`` through (u, v) of the
    isocenter plane; node s of a ray lies at axial distance ``first + s step`` mm from the source. out[iv, iu, s, b] =
    integral of partial_b dl from the source to the node, by midpoints of ``substeps`` pieces cut at the box faces;
    trilinear densities, vacuum outside. Rays are not followed behind ``enough`` g/cm2 (float32).
    """
    nz, ny, nx, basis = partial.shape
    toward = np.empty(3)
    for ray in range(v_first * u_mm.size, v_stop * u_mm.size):
        path = out[ray // u_mm.size, ray % u_mm.size]
        du, dv = u_mm[ray % u_mm.size] / sad, v_mm[ray // u_mm.size] / sad
        for axis in range(3):
            toward[axis] = rotation[axis, 0] * du + rotation[axis, 1] * dv - rotation[axis, 2]
        enters, leaves = _entry_exit(source, toward, lower, upper)
        stretch = 0.1 * math.sqrt(1.0 + du * du + dv * dv)
        for b in range(basis):
            path[0, b] = np.float32(0.0)
        for s in range(1, path.shape[0]):
            total = np.float32(0.0)
            for b in range(basis):
                path[s, b] = path[s - 1, b]
                total += path[s, b]
            if total > enough:
                continue
            for piece in range(substeps):
                a = max(enters, first + (s - 1 + piece / substeps) * step)
                c = min(leaves, first + (s - 1 + (piece + 1) / substeps) * step)
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
                    path[s, b] += (
                        partial[k, j, i, b] * w000
                        + partial[k, j, i1, b] * w001
                        + partial[k, j1, i, b] * w010
                        + partial[k, j1, i1, b] * w011
                        + partial[k1, j, i, b] * w100
                        + partial[k1, j, i1, b] * w101
                        + partial[k1, j1, i, b] * w110
                        + partial[k1, j1, i1, b] * w111
                    )


@njit(cache=True, error_model="numpy")
def _map_mean(table, left, bottom, pitch, u, v, half_u, half_v):
    """Mean of a fluence map over the rectangle u +- half_u, v +- half_v, from its summed-area table (zero outside):
    bilinear values at the corners, held at the borders."""
    a0, a1 = (u - half_u - left) / pitch, (u + half_u - left) / pitch
    b0, b1 = (v - half_v - bottom) / pitch, (v + half_v - bottom) / pitch
    nv, nu = table.shape
    if a1 <= 0.0 or b1 <= 0.0 or a0 >= nu - 1 or b0 >= nv - 1:
        return 0.0
    total = 0.0
    for corner in range(4):
        fu = min(max(a0 if corner % 2 == 1 else a1, 0.0), nu - 1.0)
        fv = min(max(b0 if corner >= 2 else b1, 0.0), nv - 1.0)
        i, j = min(int(fu), nu - 2), min(int(fv), nv - 2)
        a, b = fu - i, fv - j
        value = (table[j, i] * (1 - a) + table[j, i + 1] * a) * (1 - b) + (
            table[j + 1, i] * (1 - a) + table[j + 1, i + 1] * a
        ) * b
        total += value if corner == 0 or corner == 3 else -value
    return total / ((a1 - a0) * (b1 - b0))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_group(paths, own, attenuation, energy, hardness, factor, size, soft, hard, first, last):
    """One energy group of the voxels first .. last of a row: energy x local x exp(-tau), averaged along the voxel.

    exp(-tau) = exp(-tau/64)^64 by Taylor terms to the seventh: relative error below 5e-6 up to tau = 20, where the
    fluence is 2e-9 of what enters; beyond, tau is taken as 20.
    """
    one = np.float32(1.0)
    easy = one - hardness
    for i in range(first, last + 1):
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def _reached(x, y, z, step, rotation, sad, half, raster, table, count):
    """First and last voxel of a row (starting at x, y, z from the source) whose footprint may meet a fluence map.

    That is where sad (at + slope i)/(d + e i) lies within the map, along u and along v. The projection is monotonic
    along a row, as all of it lies in front of the source.
    """
    d = -(x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2])
    e = -step * rotation[0, 2]
    scale = sad / min(d, d + e * (count - 1))
    first, last = np.int64(0), np.int64(count - 1)
    for side in range(4):
        axis, upper = side // 2, side % 2 == 1
        at = x * rotation[0, axis] + y * rotation[1, axis] + z * rotation[2, axis]
        room = half[axis] * scale
        bound = raster[axis] - room
        if upper:
            bound = raster[axis] + (table.shape[1 - axis] - 1) * raster[2] + room
        fall = sad * (step * rotation[0, axis]) - bound * e
        if abs(fall) < 1e-9 * sad:
            # the row runs along a ray: it lies on one side of the bound altogether
            beyond = sad * at - bound * d
            if (upper and beyond > 0.0) or (not upper and beyond < 0.0):
                return np.int64(0), np.int64(-1)
            continue
        end = (bound * d - sad * at) / fall
        if (fall > 0.0) == upper:
            last = min(last, math.ceil(min(end, 1e9)))
        else:
            first = max(first, math.floor(max(end, -1e9)))
    return first, last


@njit(cache=True, error_model="numpy")
def _row(k, j, partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, depths, own, fluences,
         angles):  # fmt: skip
    """Geometry, fluence, paths and densities of the voxels of one row that a fluence map reaches; returns their first
    and last number. Fluence 0 and path 0 where no ray of the fan is needed."""
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
            for b in range(depths.shape[0]):
                depths[b, i] = np.float32(0.0)
    for b in range(own.shape[0]):
        for i in range(hit, end + 1):
            own[b, i] = partial[b, k, j, i]
    return hit, end


@njit(cache=True, nogil=True, error_model="numpy")
def released_energy(partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, attenuation,
                    energy_fluence, hardness, softening, soft, hard, k_first, k_stop):  # fmt: skip
    """Energy released per volume (TERMA x density), MeV/cm3, in a soft and a hard part.

    TERMA(r) = sum_g Psi_g (mu/rho)_g exp(-sum_b mu_gb L_b) (SAD/d)^2, averaged over the voxel: fluence over the voxel's
    footprint, attenuation along the ray by sinh(x/2)/(x/2).

    ``partial`` (basis, nz, ny, nx); ``fan`` = (u0, du, v0, dv, first, step) of ``paths``; ``half`` = half widths (mm)
    of a voxel's footprint at its own distance; ``raster`` = (left, bottom, pitch) of the summed-area ``table``;
    ``attenuation`` (groups, basis) cm2/g; ``softening`` (c1, c2, c3) per degree off axis. Gathers only: every voxel
    writes itself.
    """
    basis, _, ny, nx = partial.shape
    size = np.float32(0.5 * (min(spacing[0], min(spacing[1], spacing[2])) * 0.1))
    depths, own = np.empty((basis, nx), np.float32), np.empty((basis, nx), np.float32)
    fluences, angles, factor = np.empty(nx), np.empty(nx), np.empty(nx, np.float32)
    for k in range(k_first, k_stop):
        for j in range(ny):
            for i in range(nx):
                soft[k, j, i] = np.float32(0.0)
                hard[k, j, i] = np.float32(0.0)
            first, last = _row(
                k, j, partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, depths, own,
                fluences, angles,
            )  # fmt: skip
            for i in range(first, last + 1):
                t = angles[i]
                factor[i] = 1.0 + t * (softening[0] + t * (softening[1] + t * softening[2]))
            for g in range(energy_fluence.size):
                _add_group(
                    depths, own, attenuation[g], energy_fluence[g], hardness[g], factor, size, soft[k, j], hard[k, j],
                    first, last,
                )  # fmt: skip
            for i in range(first, last + 1):
                soft[k, j, i] *= fluences[i]
                hard[k, j, i] *= fluences[i]


@njit(cache=True, nogil=True, error_model="numpy")
def electron_dose(partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, attenuation, out,
                  k_first, k_stop):  # fmt: skip
    """fluence x exp(-k L) (SAD/d)^2, averaged along the voxel, k = ``attenuation`` in cm2/g; the rest as in
    :func:`released_energy`."""
    basis, _, ny, nx = partial.shape
    size = min(spacing[0], min(spacing[1], spacing[2])) * 0.1
    depths, own = np.empty((basis, nx), np.float32), np.empty((basis, nx), np.float32)
    fluences, angles = np.empty(nx), np.empty(nx)
    for k in range(k_first, k_stop):
        for j in range(ny):
            for i in range(nx):
                out[k, j, i] = np.float32(0.0)
            first, last = _row(
                k, j, partial, origin, spacing, source, rotation, sad, paths, fan, half, table, raster, depths, own,
                fluences, angles,
            )  # fmt: skip
            for i in range(first, last + 1):
                depth, local = 0.0, 0.0
                for b in range(basis):
                    depth += depths[b, i]
                    local += own[b, i]
                x = attenuation * depth
                half_voxel = 0.5 * attenuation * local * size
                if x < 30.0:
                    out[k, j, i] = fluences[i] * math.exp(-x) * (1.0 + half_voxel * half_voxel / 6.0)

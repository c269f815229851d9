"""Kernels of the collapsed cone engine: radiological paths on a divergent fan grid, TERMA, and transport by plane sweep.

Lengths mm, densities g/cm3, angles as direction cosines. Volumes [k, j, i]; points (x, y, z).
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


@njit(cache=True, parallel=True, nogil=True)
def fan_paths(partial, origin, spacing, source, rotation, sad, u_mm, v_mm, first, step, nodes, substeps, out):
    """Cumulative mass per area (g/cm2) of each basis material along divergent rays.

    ``partial`` (basis, nz, ny, nx) g/cm3; rays leave ``source`` through (u, v) of the isocenter plane; node s of a ray
    lies at axial distance ``first + s step`` mm from the source. out[iv, iu, s, b] = integral of partial_b dl from the
    source to the node, by midpoints of ``substeps`` pieces cut at the box faces; trilinear densities, vacuum outside.
    """
    basis, nz, ny, nx = partial.shape
    lower = np.empty(3)
    upper = np.empty(3)
    for axis in range(3):
        count = nx if axis == 0 else (ny if axis == 1 else nz)
        lower[axis] = origin[axis] - 0.5 * spacing[axis]
        upper[axis] = lower[axis] + count * spacing[axis]
    nu = u_mm.size
    for ray in prange(v_mm.size * nu):
        iv = ray // nu
        iu = ray % nu
        # direction per mm of axial distance
        du, dv = u_mm[iu] / sad, v_mm[iv] / sad
        dx = rotation[0, 0] * du + rotation[0, 1] * dv - rotation[0, 2]
        dy = rotation[1, 0] * du + rotation[1, 1] * dv - rotation[1, 2]
        dz = rotation[2, 0] * du + rotation[2, 1] * dv - rotation[2, 2]
        stretch = 0.1 * math.sqrt(1.0 + du * du + dv * dv)
        t_in, t_out = _entry_exit(source[0], source[1], source[2], dx, dy, dz, lower, upper)
        for b in range(basis):
            out[iv, iu, 0, b] = 0.0
        for s in range(1, nodes):
            for b in range(basis):
                out[iv, iu, s, b] = out[iv, iu, s - 1, b]
            for piece in range(substeps):
                a = max(t_in, first + (s - 1 + piece / substeps) * step)
                c = min(t_out, first + (s - 1 + (piece + 1) / substeps) * step)
                if c <= a:
                    continue
                t = 0.5 * (a + c)
                fx = min(max((source[0] + t * dx - origin[0]) / spacing[0], 0.0), nx - 1.0)
                fy = min(max((source[1] + t * dy - origin[1]) / spacing[1], 0.0), ny - 1.0)
                fz = min(max((source[2] + t * dz - origin[2]) / spacing[2], 0.0), nz - 1.0)
                i, j, k = int(fx), int(fy), int(fz)
                i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
                wx, wy, wz = fx - i, fy - j, fz - k
                length = (c - a) * stretch
                for b in range(basis):
                    q = partial[b]
                    low = (q[k, j, i] * (1 - wx) + q[k, j, i1] * wx) * (1 - wy) \
                        + (q[k, j1, i] * (1 - wx) + q[k, j1, i1] * wx) * wy
                    high = (q[k1, j, i] * (1 - wx) + q[k1, j, i1] * wx) * (1 - wy) \
                        + (q[k1, j1, i] * (1 - wx) + q[k1, j1, i1] * wx) * wy
                    out[iv, iu, s, b] += length * (low * (1 - wz) + high * wz)


@njit(cache=True)
def _table_at(table, fu, fv):
    """Bilinear value of a summed-area table at fractional pixel edges, held at the borders."""
    nv, nu = table.shape
    fu = min(max(fu, 0.0), nu - 1.0)
    fv = min(max(fv, 0.0), nv - 1.0)
    i, j = min(int(fu), nu - 2), min(int(fv), nv - 2)
    a, b = fu - i, fv - j
    return (table[j, i] * (1 - a) + table[j, i + 1] * a) * (1 - b) + (table[j + 1, i] * (1 - a) + table[j + 1, i + 1] * a) * b


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


@njit(cache=True, parallel=True, nogil=True)
def released_energy(partial, origin, spacing, source, rotation, sad, paths, fan, table, raster, half, attenuation,
                    energy_fluence, hardness, softening, soft, hard):
    """Energy released per volume (TERMA x density), MeV/cm3, split into a soft and a hard part.

    TERMA(r) = sum_g Psi_g (mu/rho)_g exp(-sum_b mu_gb L_b) (SAD/d)^2, averaged over the voxel: fluence over the voxel's
    footprint, attenuation along the ray by sinh(x/2)/(x/2).

    ``fan`` = (u0, du, v0, dv, first, step) of ``paths``; ``raster`` = (left, bottom, pitch) of the summed-area ``table``;
    ``half`` = half widths (mm) of a voxel's footprint at its own distance; ``attenuation`` (groups, basis) cm2/g;
    ``softening`` (c1, c2, c3) per degree off axis. Gathers only: every voxel writes itself.
    """
    basis, nz, ny, nx = partial.shape
    groups = energy_fluence.size
    nv, nu, nodes, _ = paths.shape
    size = min(spacing[0], min(spacing[1], spacing[2])) * 0.1
    softens = softening[0] != 0.0 or softening[1] != 0.0 or softening[2] != 0.0
    for k in prange(nz):
        path = np.empty(basis)
        own = np.empty(basis)
        for j in range(ny):
            for i in range(nx):
                soft[k, j, i] = 0.0
                hard[k, j, i] = 0.0
                x = origin[0] + i * spacing[0] - source[0]
                y = origin[1] + j * spacing[1] - source[1]
                z = origin[2] + k * spacing[2] - source[2]
                d = -(x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2])
                scale = sad / d
                u = (x * rotation[0, 0] + y * rotation[1, 0] + z * rotation[2, 0]) * scale
                v = (x * rotation[0, 1] + y * rotation[1, 1] + z * rotation[2, 1]) * scale
                fluence = _map_mean(table, raster[0], raster[1], raster[2], u, v, half[0] * scale, half[1] * scale)
                if fluence <= 0.0:
                    continue
                fu = min(max((u - fan[0]) / fan[1], 0.0), nu - 1.0)
                fv = min(max((v - fan[2]) / fan[3], 0.0), nv - 1.0)
                fs = min(max((d - fan[4]) / fan[5], 0.0), nodes - 1.0)
                iu, iv, n = min(int(fu), nu - 2), min(int(fv), nv - 2), min(int(fs), nodes - 2)
                wu, wv, ws = fu - iu, fv - iv, fs - n
                for b in range(basis):
                    low = (paths[iv, iu, n, b] * (1 - wu) + paths[iv, iu + 1, n, b] * wu) * (1 - wv) \
                        + (paths[iv + 1, iu, n, b] * (1 - wu) + paths[iv + 1, iu + 1, n, b] * wu) * wv
                    high = (paths[iv, iu, n + 1, b] * (1 - wu) + paths[iv, iu + 1, n + 1, b] * wu) * (1 - wv) \
                        + (paths[iv + 1, iu, n + 1, b] * (1 - wu) + paths[iv + 1, iu + 1, n + 1, b] * wu) * wv
                    path[b] = low * (1 - ws) + high * ws
                    own[b] = partial[b, k, j, i]
                factor = 1.0
                if softens:
                    t = math.degrees(math.atan(math.sqrt(u * u + v * v) / sad))
                    factor = 1.0 + t * (softening[0] + t * (softening[1] + t * softening[2]))
                s, h = 0.0, 0.0
                for g in range(groups):
                    tau = 0.0
                    local = 0.0
                    for b in range(basis):
                        tau += attenuation[g, b] * path[b]
                        local += attenuation[g, b] * own[b]
                    tau *= factor
                    local *= factor
                    half_x = 0.5 * local * size
                    e = energy_fluence[g] * local * math.exp(-tau) * (1.0 + half_x * half_x / 6.0)
                    s += (1.0 - hardness[g]) * e
                    h += hardness[g] * e
                weight = fluence * scale * scale
                soft[k, j, i] = s * weight
                hard[k, j, i] = h * weight


@njit(cache=True)
def _sweep(dens, soft, hard, out, a_step, b_step, c_step, ascending, direction, across, source, origin, spacing, exponents,
           share_soft, share_hard, tilt, residual, rows):
    """Transport along one cone direction through a volume whose axis 0 is the direction's dominant axis.

    Every line crosses one plane per step, and all lines of a plane share the same fractional offset, so that the four
    bilinear weights are constants of the plane. In a step of radiological length x = a n dl (n electron density relative
    to water), with t = exp(-x), g = (1 - t)/x, line energy R and released energy S (Ahnesjo 1989, eq. for the recursion):

        deposited = R (1 - t) + S (1 - g)        R <- R t + S g

    exact for constant n and S in the step; deposited + new R = R + S whatever g and t are. What is put into the voxels
    with the adjoint weights is deposited / n, the dose per electron: voxel energy is then n_voxel x weight x deposited / n,
    which sums to ``deposited`` exactly because n of the line is the same weighted mean, and a dense line does not pour its
    energy into a thin neighbor voxel.

    dens, soft, hard, out: (na, nb + 2, nc + 2) with a border of zeros. residual (4, lines b, lines c) zeros on entry.
    rows (14, >= nc + 2) scratch. a_step: dl in cm. direction, across, source, origin, spacing: in the order of the axes
    (a, b, c); across = direction less its part along the beam axis.
    """
    f1 = np.float32(1.0)
    half = np.float32(0.5)
    na, pb, pc = dens.shape
    n1 = pc - 1
    dens_row, soft_row, hard_row = rows[0], rows[1], rows[2]
    n, s, h, inv, t, g, dep = rows[3], rows[4], rows[5], rows[6], rows[7], rows[8], rows[9]
    spread, own, tilt_p, tilt_s = rows[10], rows[11], rows[12], rows[13]
    shift_b = int(math.floor((na - 1) * b_step)) if b_step > 0 else 0
    shift_c = int(math.floor((na - 1) * c_step)) if c_step > 0 else 0
    tilted = tilt[0] != 0.0 or tilt[1] != 0.0
    for plane in range(na):
        k = plane if ascending else na - 1 - plane
        ib = int(math.floor(plane * b_step))
        ic = int(math.floor(plane * c_step))
        wb = np.float32(plane * b_step - ib)
        wc = np.float32(plane * c_step - ic)
        vb, vc = f1 - wb, f1 - wc
        start = shift_c - ic
        for j in range(pb - 1):
            line = j - ib + shift_b
            d0, d1 = dens[k, j], dens[k, j + 1]
            for i in range(pc):
                dens_row[i] = vb * d0[i] + wb * d1[i]
            d0, d1 = soft[k, j], soft[k, j + 1]
            for i in range(pc):
                soft_row[i] = vb * d0[i] + wb * d1[i]
            d0, d1 = hard[k, j], hard[k, j + 1]
            for i in range(pc):
                hard_row[i] = vb * d0[i] + wb * d1[i]
            for i in range(n1):
                n[i] = vc * dens_row[i] + wc * dens_row[i + 1]
            for i in range(n1):
                s[i] = vc * soft_row[i] + wc * soft_row[i + 1]
            for i in range(n1):
                h[i] = vc * hard_row[i] + wc * hard_row[i + 1]
            for i in range(n1):
                inv[i] = f1 / max(n[i], np.float32(1e-6))
            if tilted:
                pa = origin[0] + k * spacing[0] - source[0]
                pj = origin[1] + (j - 1 + wb) * spacing[1] - source[1]
                p0 = origin[2] + (wc - 1) * spacing[2] - source[2]
                base = np.float32(across[0] * pa + across[1] * pj + across[2] * p0)
                slope = np.float32(across[2] * spacing[2])
                far = np.float32(pa * pa + pj * pj)
                q0, dq = np.float32(p0), np.float32(spacing[2])
                kp, ks = np.float32(tilt[0]), np.float32(tilt[1])
                for i in range(n1):
                    q = q0 + dq * np.float32(i)
                    c = (base + slope * np.float32(i)) / np.sqrt(far + q * q)
                    tilt_p[i] = max(f1 + kp * c, np.float32(0.0))
                    tilt_s[i] = max(f1 + ks * c, np.float32(0.0))
            for i in range(n1):
                dep[i] = np.float32(0.0)
            for term in range(4):
                if term == 0 or term == 2:
                    # exp and its mean from a Taylor series of g at a quarter of x, doubled twice:
                    # g(2y) = g(y) (1 + exp(-y)) / 2 has no cancellation for small x
                    quarter = np.float32(exponents[term] * a_step * 0.25)
                    for i in range(n1):
                        y = min(n[i] * quarter, f1)
                        q = f1 - y * (half - y * (np.float32(1 / 6) - y * (np.float32(1 / 24)
                            - y * (np.float32(1 / 120) - y * np.float32(1 / 720)))))
                        w = f1 - y * q
                        q = q * (half + half * w)
                        w = w * w
                        g[i] = q * (half + half * w)
                        t[i] = w * w
                else:
                    # the second exponent of a part is 4 times the first: two more doublings
                    for i in range(n1):
                        w = t[i]
                        q = g[i] * (half + half * w)
                        w = w * w
                        g[i] = q * (half + half * w)
                        t[i] = w * w
                r = residual[term, line, start:start + n1]
                cs, ch = np.float32(share_soft[term]), np.float32(share_hard[term])
                length = np.float32(exponents[term] * a_step)
                for i in range(n1):
                    own[i] = cs * s[i] + ch * h[i]
                if tilted:
                    if term < 2:
                        for i in range(n1):
                            own[i] *= tilt_p[i]
                    else:
                        for i in range(n1):
                            own[i] *= tilt_s[i]
                for i in range(n1):
                    dep[i] += r[i] * (length * g[i]) + own[i] * inv[i] * (f1 - g[i])
                for i in range(n1):
                    r[i] = r[i] * t[i] + own[i] * g[i]
            spread[0] = vc * dep[0]
            for i in range(1, n1):
                spread[i] = vc * dep[i] + wc * dep[i - 1]
            spread[n1] = wc * dep[n1 - 1]
            o0, o1 = out[k, j], out[k, j + 1]
            for i in range(pc):
                o0[i] += vb * spread[i]
            for i in range(pc):
                o1[i] += wb * spread[i]


@njit(cache=True)
def _sweep_direction(dens, soft, hard, out, axes, direction, across, source, origin, spacing, exponents, share_soft,
                     share_hard, tilt, residual, rows):
    """Geometry of one direction in a volume already ordered by ``axes`` (xyz numbers of a, b, c), then the sweep."""
    d = np.empty(3)
    w = np.empty(3)
    p = np.empty(3)
    o = np.empty(3)
    sp = np.empty(3)
    for n in range(3):
        d[n] = direction[axes[n]]
        w[n] = across[axes[n]]
        p[n] = source[axes[n]]
        o[n] = origin[axes[n]]
        sp[n] = spacing[axes[n]]
    along = abs(d[0])
    b_step = d[1] / along * sp[0] / sp[1]
    c_step = d[2] / along * sp[0] / sp[2]
    na, pb, pc = dens.shape
    lines_b = pb + 1 + int(abs(math.floor((na - 1) * b_step)))
    lines_c = pc + 1 + int(abs(math.floor((na - 1) * c_step)))
    space = residual[:4 * lines_b * lines_c].reshape((4, lines_b, lines_c))
    space[:] = np.float32(0.0)
    _sweep(dens, soft, hard, out, 0.1 * sp[0] / along, b_step, c_step, d[0] > 0.0, d, w, p, o, sp, exponents,
           share_soft, share_hard, tilt, space, rows)


@njit(cache=True, parallel=True, nogil=True)
def transport(dens_z, soft_z, hard_z, dens_y, soft_y, hard_y, dens_x, soft_x, hard_x, out_z, out_y, out_x, axes, task_axis,
              task_first, task_last, task_slot, directions, across, source, origin, spacing, exponents, share_soft,
              share_hard, tilt, residual_size):
    """All directions, in tasks of one dominant axis each; every task adds to its own accumulator.

    out_z (slots, nz, ny + 2, nx + 2), out_y (slots, ny, nz + 2, nx + 2), out_x (slots, nx, nz + 2, ny + 2). The split into
    tasks does not depend on the number of threads, so neither does the sum.
    """
    for task in prange(task_axis.size):
        residual = np.empty(residual_size, np.float32)
        widest = max(dens_z.shape[2], max(dens_y.shape[2], dens_x.shape[2]))
        rows = np.empty((14, widest), np.float32)
        axis = task_axis[task]
        slot = task_slot[task]
        for m in range(task_first[task], task_last[task]):
            if axis == 2:
                _sweep_direction(dens_z, soft_z, hard_z, out_z[slot], axes[2], directions[m], across[m], source, origin,
                                 spacing, exponents[m], share_soft[m], share_hard[m], tilt[m], residual, rows)
            elif axis == 1:
                _sweep_direction(dens_y, soft_y, hard_y, out_y[slot], axes[1], directions[m], across[m], source, origin,
                                 spacing, exponents[m], share_soft[m], share_hard[m], tilt[m], residual, rows)
            else:
                _sweep_direction(dens_x, soft_x, hard_x, out_x[slot], axes[0], directions[m], across[m], source, origin,
                                 spacing, exponents[m], share_soft[m], share_hard[m], tilt[m], residual, rows)

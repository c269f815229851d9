"""Kernels of the collapsed cone engine: radiological paths on a divergent fan grid, TERMA, and transport by plane
sweep.

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
                    low = (q[k, j, i] * (1 - wx) + q[k, j, i1] * wx) * (1 - wy) + (
                        q[k, j1, i] * (1 - wx) + q[k, j1, i1] * wx
                    ) * wy
                    high = (q[k1, j, i] * (1 - wx) + q[k1, j, i1] * wx) * (1 - wy) + (
                        q[k1, j1, i] * (1 - wx) + q[k1, j1, i1] * wx
                    ) * wy
                    out[iv, iu, s, b] += length * (low * (1 - wz) + high * wz)


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


@njit(cache=True, parallel=True, nogil=True)
def released_energy(
    partial,
    origin,
    spacing,
    source,
    rotation,
    sad,
    paths,
    fan,
    table,
    raster,
    half,
    attenuation,
    energy_fluence,
    hardness,
    softening,
    soft,
    hard,
):
    """Energy released per volume (TERMA x density), MeV/cm3, split into a soft and a hard part.

    TERMA(r) = sum_g Psi_g (mu/rho)_g exp(-sum_b mu_gb L_b) (SAD/d)^2, averaged over the voxel: fluence over the voxel's
    footprint, attenuation along the ray by sinh(x/2)/(x/2).

    ``fan`` = (u0, du, v0, dv, first, step) of ``paths``; ``raster`` = (left, bottom, pitch) of the summed-area
    ``table``; ``half`` = half widths (mm) of a voxel's footprint at its own distance; ``attenuation`` (groups,
    basis) cm2/g; ``softening`` (c1, c2, c3) per degree off axis. Gathers only: every voxel writes itself.
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
                    low = (paths[iv, iu, n, b] * (1 - wu) + paths[iv, iu + 1, n, b] * wu) * (1 - wv) + (
                        paths[iv + 1, iu, n, b] * (1 - wu) + paths[iv + 1, iu + 1, n, b] * wu
                    ) * wv
                    high = (paths[iv, iu, n + 1, b] * (1 - wu) + paths[iv, iu + 1, n + 1, b] * wu) * (1 - wv) + (
                        paths[iv + 1, iu, n + 1, b] * (1 - wu) + paths[iv + 1, iu + 1, n + 1, b] * wu
                    ) * wv
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


@njit(cache=True, error_model="numpy")
def _sweep(
    dens,
    soft,
    hard,
    out,
    a_step,
    b_step,
    c_step,
    ascending,
    across,
    axis,
    source,
    origin,
    spacing,
    exponents,
    share_soft,
    share_hard,
    tilt,
    residual,
    rows,
):
    """Transport along one cone direction through a volume whose axis 0 is the direction's dominant axis.

    Every line crosses one plane per step, and all lines of a plane share the same fractional offset, so that the four
    bilinear weights are constants of the plane. In a step of radiological length x = a n dl (n electron density
    relative to water), with t = exp(-x), g = (1 - t)/x, line energy R and released energy S (Ahnesjo 1989, eq. for the
    recursion):

        deposited = R (1 - t) + S (1 - g)        R <- R t + S g

    exact for constant n and S in the step; deposited + new R = R + S whatever g and t are. What is put into the voxels
    with the adjoint weights is deposited / n, the dose per electron: voxel energy is then n_voxel x weight x
    deposited / n, which sums to ``deposited`` exactly because n of the line is the same weighted mean, and a dense
    line does not pour its energy into a thin neighbor voxel.

    dens, soft, hard, out: (na, nb + 2, nc + 2) with a border of zeros. residual (4, lines b, lines c) zeros on entry.
    rows (15, >= nc + 2) scratch. a_step: dl in cm. across, axis, source, origin, spacing: in the order of the axes
    (a, b, c); ``axis`` is the beam axis, ``across`` the unit vector from it towards the cone. tilt (2, 3): the
    released energy is multiplied by 1 + A p + B p^2 + C s^2, p and s of the ray from ``source`` to the voxel
    (kernel.ConeKernel.tilt).
    """
    f1 = np.float32(1.0)
    half = np.float32(0.5)
    na, pb, pc = dens.shape
    n1 = pc - 1
    dens_row, soft_row, hard_row = rows[0], rows[1], rows[2]
    n, s, h, inv, t, g, dep = rows[3], rows[4], rows[5], rows[6], rows[7], rows[8], rows[9]
    spread, own, tilt_p, tilt_s, reach = rows[10], rows[11], rows[12], rows[13], rows[14]
    alive = np.zeros(residual.shape[1], np.bool_)
    shift_b = math.floor((na - 1) * b_step) if b_step > 0 else 0
    shift_c = math.floor((na - 1) * c_step) if c_step > 0 else 0
    tilted = tilt[0, 0] != 0.0 or tilt[1, 0] != 0.0
    for plane in range(na):
        k = plane if ascending else na - 1 - plane
        ib = math.floor(plane * b_step)
        ic = math.floor(plane * c_step)
        wb = np.float32(plane * b_step - ib)
        wc = np.float32(plane * c_step - ic)
        vb, vc = f1 - wb, f1 - wc
        start = shift_c - ic
        for j in range(pb - 1):
            line = j - ib + shift_b
            d0, d1 = soft[k, j], soft[k, j + 1]
            for i in range(pc):
                soft_row[i] = vb * d0[i] + wb * d1[i]
            d0, d1 = hard[k, j], hard[k, j + 1]
            for i in range(pc):
                hard_row[i] = vb * d0[i] + wb * d1[i]
            if not alive[line]:
                # lines that have met no released energy yet carry nothing
                for i in range(pc):
                    if soft_row[i] != 0.0 or hard_row[i] != 0.0:
                        alive[line] = True
                        break
                if not alive[line]:
                    continue
            d0, d1 = dens[k, j], dens[k, j + 1]
            for i in range(pc):
                dens_row[i] = vb * d0[i] + wb * d1[i]
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
                base_z = np.float32(axis[0] * pa + axis[1] * pj + axis[2] * p0)
                slope_z = np.float32(axis[2] * spacing[2])
                far = np.float32(pa * pa + pj * pj)
                q0, dq = np.float32(p0), np.float32(spacing[2])
                ap, bp, cp = np.float32(tilt[0, 0]), np.float32(tilt[0, 1]), np.float32(tilt[0, 2])
                as_, bs, cs_ = np.float32(tilt[1, 0]), np.float32(tilt[1, 1]), np.float32(tilt[1, 2])
                for i in range(n1):
                    q = q0 + dq * np.float32(i)
                    per = f1 / np.sqrt(far + q * q)
                    p = (base + slope * np.float32(i)) * per
                    z = (base_z + slope_z * np.float32(i)) * per
                    ss = f1 - z * z
                    pp = p * p
                    tilt_p[i] = max(f1 + ap * p + bp * pp + cp * ss, np.float32(0.0))
                    tilt_s[i] = max(f1 + as_ * p + bs * pp + cs_ * ss, np.float32(0.0))
            for i in range(n1):
                dep[i] = np.float32(0.0)
            for term in range(4):
                if term == 0 or term == 2:
                    # exp and its mean from a Taylor series of g at a quarter of x, doubled twice:
                    # g(2y) = g(y) (1 + exp(-y)) / 2 has no cancellation for small x
                    quarter = np.float32(exponents[term] * a_step * 0.25)
                    for i in range(n1):
                        y = min(n[i] * quarter, f1)
                        q = f1 - y * (
                            half
                            - y
                            * (
                                np.float32(1 / 6)
                                - y * (np.float32(1 / 24) - y * (np.float32(1 / 120) - y * np.float32(1 / 720)))
                            )
                        )
                        w = f1 - y * q
                        q = q * (half + half * w)
                        w = w * w
                        g[i] = q * (half + half * w)
                        t[i] = w * w
                        # a dl where x = a n dl <= 4; beyond, x is taken as 4 (exp(-4) a step) and energy still adds up
                        reach[i] = np.float32(4.0) * y * inv[i]
                else:
                    # exponents are (a, 4a) of the primary part and (b, 2b) of the scattered part: doublings
                    for _ in range(1 if term == 3 else 2):
                        for i in range(n1):
                            g[i] = g[i] * (half + half * t[i])
                            t[i] = t[i] * t[i]
                            reach[i] = reach[i] + reach[i]
                r = residual[term, line, start : start + n1]
                cs, ch = np.float32(share_soft[term]), np.float32(share_hard[term])
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
                    dep[i] += r[i] * (reach[i] * g[i]) + own[i] * inv[i] * (f1 - g[i])
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


@njit(cache=True, error_model="numpy")
def _sweep_direction(
    dens,
    soft,
    hard,
    out,
    axes,
    direction,
    across,
    beam_axis,
    source,
    origin,
    spacing,
    exponents,
    share_soft,
    share_hard,
    tilt,
    residual,
    rows,
):
    """Geometry of one direction in a volume already ordered by ``axes`` (xyz numbers of a, b, c), then the sweep."""
    d = np.empty(3)
    w = np.empty(3)
    z = np.empty(3)
    p = np.empty(3)
    o = np.empty(3)
    sp = np.empty(3)
    for n in range(3):
        d[n] = direction[axes[n]]
        w[n] = across[axes[n]]
        z[n] = beam_axis[axes[n]]
        p[n] = source[axes[n]]
        o[n] = origin[axes[n]]
        sp[n] = spacing[axes[n]]
    along = abs(d[0])
    b_step = d[1] / along * sp[0] / sp[1]
    c_step = d[2] / along * sp[0] / sp[2]
    na, pb, pc = dens.shape
    lines_b = pb + 1 + int(abs(math.floor((na - 1) * b_step)))
    lines_c = pc + 1 + int(abs(math.floor((na - 1) * c_step)))
    space = residual[: 4 * lines_b * lines_c].reshape((4, lines_b, lines_c))
    space[:] = np.float32(0.0)
    _sweep(
        dens,
        soft,
        hard,
        out,
        0.1 * sp[0] / along,
        b_step,
        c_step,
        d[0] > 0.0,
        w,
        z,
        p,
        o,
        sp,
        exponents,
        share_soft,
        share_hard,
        tilt,
        space,
        rows,
    )


@njit(cache=True, parallel=True, nogil=True)
def transport(
    dens_z,
    soft_z,
    hard_z,
    dens_y,
    soft_y,
    hard_y,
    dens_x,
    soft_x,
    hard_x,
    out_z,
    out_y,
    out_x,
    axes,
    task_axis,
    task_first,
    task_last,
    task_slot,
    directions,
    across,
    beam_axis,
    source,
    origin,
    spacing,
    exponents,
    share_soft,
    share_hard,
    tilt,
    residual_size,
):
    """All directions, in tasks of one dominant axis each; every task adds to its own accumulator.

    out_z (slots, nz, ny + 2, nx + 2), out_y (slots, ny, nz + 2, nx + 2), out_x (slots, nx, nz + 2, ny + 2). The
    split into tasks does not depend on the number of threads, so neither does the sum.
    """
    for task in prange(task_axis.size):
        residual = np.empty(residual_size, np.float32)
        widest = max(dens_z.shape[2], max(dens_y.shape[2], dens_x.shape[2]))
        rows = np.empty((15, widest), np.float32)
        axis = task_axis[task]
        slot = task_slot[task]
        for m in range(task_first[task], task_last[task]):
            if axis == 2:
                _sweep_direction(
                    dens_z,
                    soft_z,
                    hard_z,
                    out_z[slot],
                    axes[2],
                    directions[m],
                    across[m],
                    beam_axis,
                    source,
                    origin,
                    spacing,
                    exponents[m],
                    share_soft[m],
                    share_hard[m],
                    tilt[m],
                    residual,
                    rows,
                )
            elif axis == 1:
                _sweep_direction(
                    dens_y,
                    soft_y,
                    hard_y,
                    out_y[slot],
                    axes[1],
                    directions[m],
                    across[m],
                    beam_axis,
                    source,
                    origin,
                    spacing,
                    exponents[m],
                    share_soft[m],
                    share_hard[m],
                    tilt[m],
                    residual,
                    rows,
                )
            else:
                _sweep_direction(
                    dens_x,
                    soft_x,
                    hard_x,
                    out_x[slot],
                    axes[0],
                    directions[m],
                    across[m],
                    beam_axis,
                    source,
                    origin,
                    spacing,
                    exponents[m],
                    share_soft[m],
                    share_hard[m],
                    tilt[m],
                    residual,
                    rows,
                )


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
def _beamlet_terma(
    electrons,
    partial,
    origin,
    spacing,
    source,
    rotation,
    sad,
    frame,
    start,
    step,
    pitch,
    box,
    sigmas,
    attenuation,
    energy_fluence,
    hardness,
    factor,
    dens,
    soft,
    hard,
):
    """Electron density and released energy of one beamlet on its own grid [depth, y + border, x + border].

    ``frame`` columns: lateral x, lateral y, direction of the beamlet's central ray. Radiological depth is summed
    along the columns of the grid, which a beamlet's own divergence leaves by less than a tenth of a voxel.
    """
    nd, py, px = dens.shape
    basis = partial.shape[0]
    groups = energy_fluence.size
    mid_y, mid_x = (py - 1) * 0.5, (px - 1) * 0.5
    path = np.empty(basis)
    own = np.empty(basis)
    dens[:] = np.float32(0.0)
    soft[:] = np.float32(0.0)
    hard[:] = np.float32(0.0)
    for j in range(1, py - 1):
        for i in range(1, px - 1):
            x, y = (i - mid_x) * pitch, (j - mid_y) * pitch
            path[:] = 0.0
            for n in range(nd):
                t = start + (n + 0.5) * step
                rx = x * frame[0, 0] + y * frame[0, 1] + t * frame[0, 2]
                ry = x * frame[1, 0] + y * frame[1, 1] + t * frame[1, 2]
                rz = x * frame[2, 0] + y * frame[2, 1] + t * frame[2, 2]
                fx = (source[0] + rx - origin[0]) / spacing[0]
                fy = (source[1] + ry - origin[1]) / spacing[1]
                fz = (source[2] + rz - origin[2]) / spacing[2]
                dens[n, j, i] = _trilinear(electrons, fx, fy, fz)
                d = -(rx * rotation[0, 2] + ry * rotation[1, 2] + rz * rotation[2, 2])
                scale = sad / d
                u = (rx * rotation[0, 0] + ry * rotation[1, 0] + rz * rotation[2, 0]) * scale
                v = (rx * rotation[0, 1] + ry * rotation[1, 1] + rz * rotation[2, 1]) * scale
                half = 0.5 * pitch * scale
                reach_u, reach_v = half + 4.0 * sigmas[0], half + 4.0 * sigmas[1]
                # a column may enter the diverging beamlet at depth: its path is summed within twice the reach
                if (
                    u < 2 * box[0] - box[1] - 2 * reach_u
                    or u > 2 * box[1] - box[0] + 2 * reach_u
                    or v < 2 * box[2] - box[3] - 2 * reach_v
                    or v > 2 * box[3] - box[2] + 2 * reach_v
                ):
                    continue
                for b in range(basis):
                    own[b] = _trilinear(partial[b], fx, fy, fz)
                    path[b] += 0.05 * step * own[b]
                if u < box[0] - reach_u or u > box[1] + reach_u or v < box[2] - reach_v or v > box[3] + reach_v:
                    for b in range(basis):
                        path[b] += 0.05 * step * own[b]
                    continue
                fluence = _opening_mean(u, half, box[0], box[1], sigmas[0]) * _opening_mean(
                    v, half, box[2], box[3], sigmas[1]
                )
                s, h = 0.0, 0.0
                for g in range(groups):
                    tau, local = 0.0, 0.0
                    for b in range(basis):
                        tau += attenuation[g, b] * path[b]
                        local += attenuation[g, b] * own[b]
                    e = energy_fluence[g] * local * math.exp(-tau)
                    s += (1.0 - hardness[g]) * e
                    h += hardness[g] * e
                for b in range(basis):
                    path[b] += 0.05 * step * own[b]
                weight = fluence * scale * scale * factor
                soft[n, j, i] = s * weight
                hard[n, j, i] = h * weight


@njit(cache=True)
def _turn(volume, axis, out):
    """[depth, y, x] with borders on y and x to [y, depth, x] (axis 1) or [x, depth, y] (axis 0) with borders
    likewise."""
    nd, py, px = volume.shape
    out[:] = np.float32(0.0)
    for n in range(nd):
        for j in range(1, py - 1):
            for i in range(1, px - 1):
                if axis == 1:
                    out[j - 1, n + 1, i] = volume[n, j, i]
                else:
                    out[i - 1, n + 1, j] = volume[n, j, i]


@njit(cache=True)
def _collect(dose, frame, source, start, step, pitch, origin, spacing, per_gram, wanted, indices, values):
    """Dose of one beamlet at the voxels of the dose grid, trilinear from its own grid; returns how many and the
    maximum."""
    nd, py, px = dose.shape
    nz, ny, nx = per_gram.shape
    mid_y, mid_x = (py - 1) * 0.5, (px - 1) * 0.5
    reach = np.array([mid_x - 1.0, mid_y - 1.0, 0.0]) * pitch
    slope = np.array([frame[0, 0], frame[0, 1], frame[0, 2]]) * spacing[0]
    count = 0
    largest = 0.0
    for k in range(nz):
        for j in range(ny):
            x0 = origin[0] - source[0]
            y0 = origin[1] + j * spacing[1] - source[1]
            z0 = origin[2] + k * spacing[2] - source[2]
            first, last = 0.0, nx - 1.0
            for axis in range(3):
                at = x0 * frame[0, axis] + y0 * frame[1, axis] + z0 * frame[2, axis]
                lo = -reach[axis] if axis < 2 else start
                hi = reach[axis] if axis < 2 else start + nd * step
                if abs(slope[axis]) < 1e-9:
                    if at < lo or at > hi:
                        last = -1.0
                else:
                    a, b = (lo - at) / slope[axis], (hi - at) / slope[axis]
                    first = max(first, min(a, b))
                    last = min(last, max(a, b))
            for i in range(math.ceil(first), math.floor(last) + 1):
                if not wanted[k, j, i]:
                    continue
                x = x0 + i * spacing[0]
                u = (x * frame[0, 0] + y0 * frame[1, 0] + z0 * frame[2, 0]) / pitch + mid_x
                v = (x * frame[0, 1] + y0 * frame[1, 1] + z0 * frame[2, 1]) / pitch + mid_y
                t = (x * frame[0, 2] + y0 * frame[1, 2] + z0 * frame[2, 2] - start) / step - 0.5
                value = _trilinear(dose, u, v, t) * per_gram[k, j, i]
                if value > 0.0 and count < indices.size:
                    indices[count] = (k * ny + j) * nx + i
                    values[count] = value
                    count += 1
                    largest = max(largest, value)
    return count, largest


@njit(cache=True, parallel=True, nogil=True)
def beamlet_doses(
    electrons,
    partial,
    per_gram,
    wanted,
    origin,
    spacing,
    source,
    rotation,
    sad,
    frames,
    starts,
    depths,
    lateral,
    step,
    pitch,
    boxes,
    sigmas,
    attenuation,
    energy_fluence,
    hardness,
    factors,
    axes,
    dominant,
    directions,
    exponents,
    share_soft,
    share_hard,
    cutoff,
    residual_size,
    counts,
    sums,
    indices,
    values,
):
    """Dose of each beamlet at the voxels of the dose grid: its own TERMA and transport in a box about its central ray.

    counts (n,) entries kept; sums (n, 2) summed dose before and after the cut-off; indices, values (n, capacity).
    Beamlets are independent: nothing is shared between threads.
    """
    for m in prange(counts.size):
        nd = depths[m]
        nx, ny = lateral[0], lateral[1]
        dens = np.empty((nd, ny + 2, nx + 2), np.float32)
        soft = np.empty_like(dens)
        hard = np.empty_like(dens)
        out = np.zeros_like(dens)
        _beamlet_terma(
            electrons,
            partial,
            origin,
            spacing,
            source,
            rotation,
            sad,
            frames[m],
            starts[m],
            step,
            pitch,
            boxes[m],
            sigmas,
            attenuation,
            energy_fluence,
            hardness,
            factors[m],
            dens,
            soft,
            hard,
        )
        own_spacing = np.array([pitch, pitch, step])
        zero = np.zeros(3)
        none = np.zeros((2, 3))
        residual = np.empty(residual_size, np.float32)
        rows = np.empty((15, max(nx, max(ny, nd)) + 2), np.float32)
        for axis in range(3):
            if axis == 2:
                for c in range(dominant.size):
                    if dominant[c] == 2:
                        _sweep_direction(
                            dens,
                            soft,
                            hard,
                            out,
                            axes[2],
                            directions[c],
                            zero,
                            zero,
                            zero,
                            zero,
                            own_spacing,
                            exponents[c],
                            share_soft[c],
                            share_hard[c],
                            none,
                            residual,
                            rows,
                        )
                continue
            a, b = (ny, nx) if axis == 1 else (nx, ny)
            turned = np.empty((4, a, nd + 2, b + 2), np.float32)
            _turn(dens, axis, turned[0])
            _turn(soft, axis, turned[1])
            _turn(hard, axis, turned[2])
            turned[3] = np.float32(0.0)
            for c in range(dominant.size):
                if dominant[c] == axis:
                    _sweep_direction(
                        turned[0],
                        turned[1],
                        turned[2],
                        turned[3],
                        axes[axis],
                        directions[c],
                        zero,
                        zero,
                        zero,
                        zero,
                        own_spacing,
                        exponents[c],
                        share_soft[c],
                        share_hard[c],
                        none,
                        residual,
                        rows,
                    )
            for n in range(nd):
                for j in range(1, ny + 1):
                    for i in range(1, nx + 1):
                        if axis == 1:
                            out[n, j, i] += turned[3, j - 1, n + 1, i]
                        else:
                            out[n, j, i] += turned[3, i - 1, n + 1, j]
        found, largest = _collect(
            out, frames[m], source, starts[m], step, pitch, origin, spacing, per_gram, wanted, indices[m], values[m]
        )
        keep = 0
        before, after = 0.0, 0.0
        for n in range(found):
            value = values[m, n]
            before += value
            if value >= cutoff * largest:
                indices[m, keep] = indices[m, n]
                values[m, keep] = value
                after += value
                keep += 1
        counts[m] = keep
        sums[m, 0] = before
        sums[m, 1] = after

"""Kernels of the collapsed cone transport: sweeps of planes along the cone directions, in a volume or in many boxes.

Lengths mm, radiological steps cm, densities relative to water. Volumes [a, b, c] with a the sweep's dominant axis. The
last two arguments of a kernel that others call are the range of its outer loop.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

PARTS = 5
"""Volumes that a sweep reads: density, soft, hard, and the transverse components of the local rays."""
CHUNK = 512
"""Cells of one pass. The scratch rows of a chunk lie this far apart in one array: a distance known when compiling, so
that LLVM vectorizes the passes without asking at run time whether the rows overlap."""
SHARPENINGS = 6
"""Terms of the inverse blur beyond the first: what is left of the blur is its seventh power. In a field four voxels
wide that is +0.4 % on the axis (three terms: +2.2 %); the highest frequency of a grid keeps (2/3)^7 = 6 % of it."""

_NEVER = 1 << 40


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _interpolate(into, volume, width, w00, w01, w10, w11, cells):
    """Bilinear value of the plane ``volume`` (flat, rows of ``width``) at the lines of each cell."""
    next_row = volume[width:]
    for i in range(cells):
        into[i] = (w00 * volume[i] + w01 * volume[i + 1]) + (w10 * next_row[i] + w11 * next_row[i + 1])


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _tilts(into, u, v, cells, cosine, sine, a, b, c):
    """Tilt factor 1 + A p + B p^2 + C s^2 from the transverse components u, v of the local rays."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for i in range(cells):
        p = cosine * u[i] + sine * v[i]
        into[i] = max(one + p * (a + b * p) + c * (u[i] * u[i] + v[i] * v[i]), zero)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _terms_of_ratio_2(scratch, line0, line1, deposits, cells, quarter, soft0, hard0, soft1, hard1):
    """The recursion of two terms, exponents a and 2a; deposits = the energy that they leave per electron density.

    u = 1 - exp(-x) and g = u/x of x = a n dl come from a Taylor series of g at x/4 doubled twice: g(2y) = g(y) (1 -
    u(y)/2), u(2y) = u(y) (2 - u(y)), without cancellation for small x; the second term is one doubling more. x is taken
    as 4 at most in the first term: g and u still belong together, and energy adds up.
    """
    one, half, two, thinnest = np.float32(1.0), np.float32(0.5), np.float32(2.0), np.float32(1e-6)
    c2, c3, c4, c5 = np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120), np.float32(1 / 720)
    for i in range(cells):
        n = scratch[i]
        tilt = scratch[3 * CHUNK + i]
        s, h = scratch[CHUNK + i] * tilt, scratch[2 * CHUNK + i] * tilt
        y = min(n * quarter, one)
        g = one - y * (half - y * (c2 - y * (c3 - y * (c4 - y * c5))))
        u = y * g
        g = g * (one - half * u)
        u = u * (two - u)
        g = g * (one - half * u)
        u = u * (two - u)
        own = soft0 * s + hard0 * h
        left = line0[i] * u
        stays = own * g
        deposited = left + (own - stays)
        line0[i] += stays - left
        g = g * (one - half * u)
        u = u * (two - u)
        own = soft1 * s + hard1 * h
        left = line1[i] * u
        stays = own * g
        deposits[i] = (deposited + (left + (own - stays))) / max(n, thinnest)
        line1[i] += stays - left


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _terms_of_ratio_4(scratch, line0, line1, deposits, cells, quarter, soft0, hard0, soft1, hard1):
    """As :func:`_terms_of_ratio_2`, exponents a and 4a."""
    one, half, two, thinnest = np.float32(1.0), np.float32(0.5), np.float32(2.0), np.float32(1e-6)
    c2, c3, c4, c5 = np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120), np.float32(1 / 720)
    for i in range(cells):
        n = scratch[i]
        tilt = scratch[3 * CHUNK + i]
        s, h = scratch[CHUNK + i] * tilt, scratch[2 * CHUNK + i] * tilt
        y = min(n * quarter, one)
        g = one - y * (half - y * (c2 - y * (c3 - y * (c4 - y * c5))))
        u = y * g
        g = g * (one - half * u)
        u = u * (two - u)
        g = g * (one - half * u)
        u = u * (two - u)
        own = soft0 * s + hard0 * h
        left = line0[i] * u
        stays = own * g
        deposited = left + (own - stays)
        line0[i] += stays - left
        g = g * (one - half * u)
        u = u * (two - u)
        g = g * (one - half * u)
        u = u * (two - u)
        own = soft1 * s + hard1 * h
        left = line1[i] * u
        stays = own * g
        deposits[i] = (deposited + (left + (own - stays))) / max(n, thinnest)
        line1[i] += stays - left


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _put_back(out, deposits, width, w00, w01, w10, w11, cells):
    """out += the adjoint of the interpolation; ``deposits`` starts one row and one cell before the first cell."""
    here, left, above = deposits[width + 1 :], deposits[width:], deposits[1:]
    for i in range(cells):
        out[i] += (w00 * here[i] + w01 * left[i]) + (w10 * above[i] + w11 * deposits[i])


@njit(cache=True)
def _drop_sideways(lines, base, rows, width, move):
    """Lines that the last shift carried over a side of c, and so into a neighbor row, have left the volume."""
    for j in range(-1, rows):
        for n in range(min(abs(move), width)):
            cell = base + j * width + (n if move > 0 else width - 1 - n)
            for term in range(2):
                lines[term, cell] = np.float32(0.0)


@njit(cache=True, error_model="numpy")
def _run(volumes, out, plane, lines, deposits, scratch, first, stop, base, width, w00, w01, w10, w11, terms, tilted):
    """Transport through the cells first .. stop of one plane, chunk by chunk; their deposits are put back at once.

    w00 .. w11 bilinear weights; terms (13,) float32: quarter of a dl of the first term, ratio of the second (2 or 4),
    soft and hard share of either, the tilt A, B, C, the offset of the lines along b and c, cosine and sine of the
    cone's azimuth about the beam axis.
    """
    for lo in range(first, stop, CHUNK):
        cells = min(CHUNK, stop - lo)
        for row in range(3):
            _interpolate(scratch[row * CHUNK :], volumes[row, plane, lo:], width, w00, w01, w10, w11, cells)
        if tilted:
            _tilts(
                scratch[3 * CHUNK :], volumes[3, plane, lo:], volumes[4, plane, lo:], cells, terms[11], terms[12],
                terms[6], terms[7], terms[8],
            )  # fmt: skip
        at = base + lo
        if terms[1] > np.float32(3.0):
            _terms_of_ratio_4(
                scratch, lines[0, at:], lines[1, at:], deposits[lo + width + 1 :], cells, terms[0], terms[2], terms[3],
                terms[4], terms[5],
            )  # fmt: skip
        else:
            _terms_of_ratio_2(
                scratch, lines[0, at:], lines[1, at:], deposits[lo + width + 1 :], cells, terms[0], terms[2], terms[3],
                terms[4], terms[5],
            )  # fmt: skip
        _put_back(out[plane, lo:], deposits[lo:], width, w00, w01, w10, w11, cells)
    _put_back(out[plane, stop:], deposits[stop:], width, w00, w01, w10, w11, width)


@njit(cache=True, error_model="numpy")
def _through_plane(volumes, out, emits, width, step, k, window, shear, last, terms, lines, alive, move, room, tilted):
    """Step ``step`` of the sweep along one cone direction, through plane k: axis 0 is the direction's dominant axis.

    Every line crosses one plane per step, and all lines of a plane share the same fractional offset, so that the four
    bilinear weights are constants of the plane, and a plane is one long row of cells. In a step of radiological length
    x = a n dl (n electron density relative to water), with u = 1 - exp(-x), g = u/x, line energy R and released
    energy S (Ahnesjo 1989, eq. for the recursion):

        deposited = R u + S (1 - g)        R <- R (1 - u) + S g

    exact for constant n and S in the step; deposited + new R = R + S whatever g and u are. What is put into the voxels
    with the adjoint weights is deposited / n, the dose per electron: voxel energy is then n_voxel x weight x
    deposited / n, which sums to ``deposited`` exactly because n of the line is the same weighted mean, and a dense
    line does not pour its energy into a thin neighbor voxel.

    volumes (5, planes, cells): density, soft, hard, transverse components u, v of the local rays (if ``tilted``;
    else three are enough); out (planes, cells): all with a border of zeros about each plane of rows of ``width``.
    Vectors are in the order of the axes (a, b, c). The plane's first voxel is number ``window`` (b, c) of the whole
    volume. The lines of the cone are sheared by ``shear`` (b, c) voxels a plane, by ``last`` (b, c) whole voxels at the
    most, the last move along c by ``move``. lines (2, any) is their energy, ``alive`` which rows of them hold any; room
    (2, cells), chunks and deposits, is scratch. Returns the new ``move``.
    """
    cells = volumes.shape[2]
    rows = cells // width
    wb, wc = step * shear[0] + terms[9], step * shear[1] + terms[10]
    ib, ic = math.floor(wb), math.floor(wc)
    wb, wc = wb - ib, wc - ic
    ib, ic = ib - window[0], ic - window[1]
    w00, w01 = np.float32((1 - wb) * (1 - wc)), np.float32((1 - wb) * wc)
    w10, w11 = np.float32(wb * (1 - wc)), np.float32(wb * wc)
    top = last[0]
    base = (top - ib + 1) * width + last[1] - ic
    if ic != move and move != _NEVER:
        _drop_sideways(lines, base, rows, width, ic - move)
    scratch, deposits = room[0], room[1]
    for cell in range(cells + 2 * width + 2):
        deposits[cell] = np.float32(0.0)
    j = 0
    while j < rows - 1:
        start = j
        while j < rows - 1:
            line = j - ib + top
            alive[line] = alive[line] or emits[k, j] or emits[k, j + 1]
            if not alive[line]:
                break
            j += 1
        if j > start:
            # the last cell of a plane has no line: it would reach beyond the border
            stop = j * width - (1 if j == rows - 1 else 0)
            _run(
                volumes, out, k, lines, deposits, scratch, start * width, stop, base, width, w00, w01, w10, w11, terms,
                tilted,
            )  # fmt: skip
        j += 1
    return ic


@njit(cache=True, error_model="numpy")
def _rows_with_energy(volumes, width, emits):
    """Write to emits (planes, rows) whether any energy is released in a row."""
    for k in range(emits.shape[0]):
        for j in range(emits.shape[1]):
            emits[k, j] = False
            for part in range(1, 3):
                for i in range(j * width, (j + 1) * width):
                    if volumes[part, k, i] != 0.0:
                        emits[k, j] = True
                        break


@njit(cache=True, nogil=True, error_model="numpy")
def cones(volumes, out, width, spacing, windows, directions, terms, first, stop):
    """Cones first .. stop through one volume, plane by plane together: a plane stays in the cache for all of them.

    Vectors are in the order of the volume's axes; all directions go the same way along axis 0. volumes and out: see
    :func:`_through_plane`. windows (planes, 2): the number that the first voxel of each plane has in the whole volume,
    along b and c.
    """
    planes, cells = volumes.shape[1], volumes.shape[2]
    rows = cells // width
    count = stop - first
    shear, last, move = np.empty((count, 2)), np.empty((count, 2), np.int64), np.empty(count, np.int64)
    space, tilt = 0, 0.0
    for n in range(count):
        m = first + n
        wide = 3
        for axis in range(2):
            shear[n, axis] = directions[m, axis + 1] / abs(directions[m, 0]) * spacing[0] / spacing[axis + 1]
            least, most = 1 << 60, -(1 << 60)
            for step in range(planes):
                k = step if directions[m, 0] > 0.0 else planes - 1 - step
                at = math.floor(step * shear[n, axis] + terms[m, 9 + axis]) - windows[k, axis]
                least, most = min(least, at), max(most, at)
            last[n, axis] = most
            wide += (most - least + (rows + 5 if axis == 0 else 0)) * (width if axis == 0 else 1)
        space = max(space, wide)
        move[n] = _NEVER
        for term in range(6, 9):
            tilt = max(tilt, abs(terms[m, term]))
    lines = np.zeros((count, 2, space), np.float32)
    alive = np.zeros((count, space // width), np.bool_)
    room = np.ones((2, max(4 * CHUNK, cells + 2 * width + 2)), np.float32)
    emits = np.empty((planes, rows), np.bool_)
    tilted = tilt > 0.0
    _rows_with_energy(volumes, width, emits)
    for step in range(planes):
        for n in range(count):
            m = first + n
            k = step if directions[m, 0] > 0.0 else planes - 1 - step
            move[n] = _through_plane(
                volumes, out, emits, width, step, k, windows[k], shear[n], last[n], terms[m], lines[n], alive[n],
                move[n], room, tilted,
            )  # fmt: skip


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _flux(flux, density, above, per, per_above, cells):
    """Flux through the upper faces, -(1/6) n dT with n of the thinner voxel."""
    sixth = np.float32(1 / 6)
    for q in range(cells):
        flux[q] = sixth * min(density[q], above[q]) * (per[q] - per_above[q])


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _corrected(now, first, out_of, into, cells):
    for q in range(cells):
        now[q] = first[q] + (out_of[q] - into[q])


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _per_density(per, now, density, cells):
    thinnest = np.float32(1e-6)
    for q in range(cells):
        per[q] = now[q] / max(density[q], thinnest)


@njit(cache=True, nogil=True, error_model="numpy")
def sharpen(volumes, width, first, stop):
    """Take back, in place, what a sweep will blur along the two axes of its planes first .. stop.

    Bilinear weights 1 - w, w spread what they carry into the lines, and once more out of them: on the average over the
    offsets w of a line's planes the blur is K = [1/6, 2/3, 1/6], of variance 1/3 voxel squared. Its inverse is 1 +
    (1 - K) + (1 - K)^2 + ..., here to SHARPENINGS terms beyond the first (van Cittert). Released energy is S = n T:
    (1 - K) S is the divergence of the flux -(1/6) n dT through the faces, with n of the thinner voxel. Energy is kept;
    where T is uniform nothing moves, whatever n does. flux[q + stride] is that of the face between q and q + stride
    (cells of a plane are flat, neighbors ``stride`` apart); no energy passes the outer faces, and the border of zeros
    lets nothing through.
    """
    cells = volumes.shape[2]
    room = np.empty((3, cells + width), np.float32)
    before, flux, per = room[0], room[1], room[2]
    for task in range(2 * first, 2 * stop):
        plane, part = task // 2, 1 + task % 2
        released = volumes[part, plane]
        lo, hi = 0, cells
        while lo < cells and released[lo] == 0.0:
            lo += 1
        if lo == cells:
            continue
        while released[hi - 1] == 0.0:
            hi -= 1
        # energy moves by one voxel in each term
        lo, hi = max(lo - (SHARPENINGS + 1) * width, 0), min(hi + (SHARPENINGS + 1) * width, cells)
        count = hi - lo
        now, density = released[lo:hi], volumes[0, plane, lo:hi]
        for axis in range(2):
            stride = 1 if axis == 0 else width
            for q in range(count):
                before[q] = now[q]
            for q in range(stride):
                flux[q] = np.float32(0.0)
                flux[count + q] = np.float32(0.0)
            for _ in range(SHARPENINGS):
                _per_density(per, now, density, count)
                _flux(flux[stride:], density, density[stride:], per, per[stride:], count - stride)
                _corrected(now, before, flux[stride:], flux, count)


@njit(cache=True, nogil=True, error_model="numpy")
def box_transport(volumes, out, shapes, cells, directions, limits, terms, spacing, first, stop):
    """Transport in the boxes first .. stop about beamlets, whose axis 0 (depth) is the photon direction; spacing (3, 3)
    as in :func:`cones`, for each dominant axis: planes are [x, y, depth], [y, x, depth] or [depth, y, x].

    Box m, shapes[m] (depth, y, x), lies at volumes[3 cells[m] : 3 cells[m + 1]] (density, soft, hard) and out[cells[m]
    : cells[m + 1]], which is filled; directions in the order of each dominant axis; limits (7,) first direction of -x,
    +x, -y, +y, -depth, +depth.
    """
    for task in range(3 * first, 3 * stop):
        m, axis = task // 3, task % 3
        depth, ny, nx = shapes[m, 0], shapes[m, 1], shapes[m, 2]
        size = depth * ny * nx
        planes, rows, width = nx, ny + 2, depth + 2
        if axis == 1:
            planes, rows = ny, nx + 2
        elif axis == 2:
            planes, rows, width = depth, ny + 2, nx + 2
        # how far apart neighbors along depth, y and x are in the planes
        plane = rows * width
        along_k, along_j, along_i, border = 1, width, plane, width + 1
        if axis == 1:
            along_j, along_i = plane, width
        elif axis == 2:
            along_k, along_i = plane, 1
        turned = np.zeros(4 * planes * plane, np.float32)
        for part in range(3):
            for k in range(depth):
                for j in range(ny):
                    row = volumes[3 * cells[m] + part * size + (k * ny + j) * nx :]
                    into = turned[part * planes * plane + border + k * along_k + j * along_j :]
                    for i in range(nx):
                        into[i * along_i] = row[i]
        flat = turned[: 3 * planes * plane].reshape((3, planes, plane))
        taken = turned[3 * planes * plane :]
        sharpen(flat, width, np.int64(0), planes)
        still = np.zeros((planes, 2), np.int64)
        for way in range(2 * axis, 2 * axis + 2):
            if limits[way + 1] > limits[way]:
                cones(
                    flat, taken.reshape((planes, plane)), width, spacing[axis], still, directions, terms, limits[way],
                    limits[way + 1],
                )  # fmt: skip
        for k in range(depth):
            for j in range(ny):
                into = out[cells[m] + (k * ny + j) * nx :]
                row = taken[border + k * along_k + j * along_j :]
                if axis == 0:
                    for i in range(nx):
                        into[i] = row[i * along_i]
                else:
                    for i in range(nx):
                        into[i] += row[i * along_i]

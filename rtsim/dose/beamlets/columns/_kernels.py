"""Kernels of the influence columns: doses in boxes to entries on the dose grid, thinning, and columns to rows.

Lengths mm. Boxes [depth, y, x], one after another in flat arrays; dose grid [k, j, i]. The last two arguments of a
kernel that others call are the range of its outer loop.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_EDGE = 1e-6
"""Cells by which reading keeps off the last cell of a box, where rounding could lead out of it."""


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _read_row(volume, width, plane, mid_x, mid_y, ax, ay, az, dx, dy, dz, fan, ahead, first, stop, per, out):
    """out[: stop - first] = per x trilinear values at (ax, ay, az) + i (dx, dy, dz) (x, y, depth); all must lie
    in the volume (flat, of rows of ``width`` and planes of ``plane`` cells). fan, ahead: see :func:`_read`."""
    one = np.float32(1.0)
    right, back = np.uint64(1), np.uint64(width)
    deeper = np.uint64(plane)
    for i in range(first, stop):
        fx, fy, fz = ax + i * dx, ay + i * dy, az + i * dz
        per_wide = fan / (fz + ahead) if fan > 0.0 else 1.0
        fx, fy = fx * per_wide + mid_x, fy * per_wide + mid_y
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
        value = low * (one - wz) + high * wz
        out[i - first] = value * per[i] * np.float32(per_wide * per_wide)


@njit(cache=True, error_model="numpy")
def _between(at, slope, lower, upper, first, last):
    """first .. last cut to where at + slope i lies in lower .. upper."""
    if abs(slope) < 1e-9:
        return (first, -1.0) if at < lower or at > upper else (first, last)
    a, b = (lower - at) / slope, (upper - at) / slope
    return max(first, min(a, b)), min(last, max(a, b))


@njit(cache=True, error_model="numpy")
def _within(side, depth, slope, deeper, half, fan, ahead, first, last):
    """first .. last cut to where |side + slope i| is at most ``half``, or that much times how wide a fan is there."""
    for sign in (-1.0, 1.0):
        if fan > 0.0:
            at, by = sign * side - half / fan * (depth + ahead), sign * slope - half / fan * deeper
            first, last = _between(at, by, -1e30, 0.0, first, last)
        else:
            first, last = _between(sign * side, sign * slope, -1e30, half, first, last)
    return first, last


@njit(cache=True, error_model="numpy")
def _limits(source, frame, start, pitch, fan, shape, origin, spacing, grid, limits):
    """Write to limits (4,) first and last (exclusive) k and j of the grid's voxels in a box."""
    for n in range(2):
        axis = 2 - n
        low, high = 1e30, -1e30
        for corner in range(8):
            t = start + (shape[0] if corner // 4 else 0) * pitch[0]
            wide = t / fan if fan > 0.0 else 1.0
            x = (shape[2] - 1) * 0.5 * pitch[2] * wide * (1 if corner % 2 else -1)
            y = (shape[1] - 1) * 0.5 * pitch[1] * wide * (1 if corner // 2 % 2 else -1)
            p = source[axis] + frame[axis, 0] * x + frame[axis, 1] * y + frame[axis, 2] * t
            f = (p - origin[axis]) / spacing[axis]
            low, high = min(low, f), max(high, f)
        limits[2 * n] = max(math.ceil(low), 0)
        limits[2 * n + 1] = min(math.floor(high) + 1, grid[n])


@njit(cache=True, nogil=True, error_model="numpy")
def read(volumes, frames, starts, shapes, cells, pitch, fan, source, origin, spacing, per_gram, values, spans, limits,
         counts, m_first, m_stop):  # fmt: skip
    """Doses in boxes at the voxels of the dose grid, row by row.

    Written for box m: limits[m] (k, k, j, j) of the rows; spans[m, row] = (first i, last i exclusive, where in
    values[m] the row starts), rows counted over these limits; counts[m, k], of zeros, values in plane k. With ``fan`` >
    0 the columns of the boxes diverge, and their doses are per volume of a cell at this distance. frames, starts,
    shapes, cells, pitch: of the boxes, as in the kernels that fill them.
    """
    reach = fan / pitch[0]
    for m in range(m_first, m_stop):
        frame, volume = frames[m], volumes[cells[m] : cells[m + 1]]
        depth, ny, nx = shapes[m, 0], shapes[m, 1], shapes[m, 2]
        _limits(source, frame, starts[m], pitch, fan, shapes[m], origin, spacing, per_gram.shape, limits[m])
        dx, dy, dz = (
            frame[0, 0] * spacing[0] / pitch[2],
            frame[0, 1] * spacing[0] / pitch[1],
            frame[0, 2] * spacing[0] / pitch[0],
        )
        mid_x, mid_y, ahead = (nx - 1) * 0.5, (ny - 1) * 0.5, starts[m] / pitch[0] + 0.5
        x = origin[0] - source[0]
        count, row = 0, 0
        for k in range(limits[m, 0], limits[m, 1]):
            for j in range(limits[m, 2], limits[m, 3]):
                y, z = origin[1] + j * spacing[1] - source[1], origin[2] + k * spacing[2] - source[2]
                ax = (frame[0, 0] * x + frame[1, 0] * y + frame[2, 0] * z) / pitch[2]
                ay = (frame[0, 1] * x + frame[1, 1] * y + frame[2, 1] * z) / pitch[1]
                az = (frame[0, 2] * x + frame[1, 2] * y + frame[2, 2] * z) / pitch[0] - ahead
                first, last = _between(az, dz, 0.0, depth - 1.0 - _EDGE, -1.0, per_gram.shape[2] - 1.0)
                first, last = _within(ax, az, dx, dz, mid_x - _EDGE, reach, ahead, first, last)
                first, last = _within(ay, az, dy, dz, mid_y - _EDGE, reach, ahead, first, last)
                # a row that is in the box from its first voxel on starts with that one
                i0 = max(math.ceil(first + _EDGE), 0)
                i1 = max(math.floor(last) + 1, i0)
                spans[m, row, 0], spans[m, row, 1], spans[m, row, 2] = i0, i1, count
                row += 1
                if i1 > i0:
                    _read_row(
                        volume, nx, ny * nx, mid_x, mid_y, ax, ay, az, dx, dy, dz, reach, ahead, i0, i1, per_gram[k, j],
                        values[m, count:],
                    )  # fmt: skip
                    count += i1 - i0
                    counts[m, k] += i1 - i0


@njit(cache=True, nogil=True, error_model="numpy")
def add_far(near, limits, spans, far, far_limits, far_spans, shares, group, cutoff, least, m_first, m_stop):
    """Add to the doses ``near`` beamlets their shares of those ``far`` from them, where both are read: what
    :func:`read` wrote of the beamlets' own boxes and of those of their groups, group (n,). Written: least (n,) the
    cut-off, a fraction of a beamlet's maximum."""
    for m in range(m_first, m_stop):
        g = group[m]
        largest = np.float32(0.0)
        row = 0
        nj = far_limits[g, 3] - far_limits[g, 2]
        for k in range(limits[m, 0], limits[m, 1]):
            for j in range(limits[m, 2], limits[m, 3]):
                i0, i1 = spans[m, row, 0], spans[m, row, 1]
                into = near[m, spans[m, row, 2] :]
                row += 1
                if far_limits[g, 0] <= k < far_limits[g, 1] and far_limits[g, 2] <= j < far_limits[g, 3]:
                    span = far_spans[g, (k - far_limits[g, 0]) * nj + j - far_limits[g, 2]]
                    beside = far[g, span[2] :]
                    for i in range(max(i0, span[0]), min(i1, span[1])):
                        into[i - i0] += shares[m] * beside[i - span[0]]
                for n in range(i1 - i0):
                    largest = max(largest, into[n])
        least[m] = cutoff * largest


@njit(cache=True, error_model="numpy")
def _span(limits, spans, k, j):
    """First and last (exclusive) i of a row, and where its values start; 0, 0, 0 for none."""
    if limits[0] <= k < limits[1] and limits[2] <= j < limits[3]:
        own = spans[(k - limits[0]) * (limits[3] - limits[2]) + j - limits[2]]
        return own[0], own[1], own[2]
    return 0, 0, 0


@njit(cache=True, error_model="numpy")
def _emit_row(values, scale, first, stop, row, least, thin, carry, wanted, count, indices, entries, sums):
    """Entries of one row: all of at least ``least``; smaller ones are added to what their voxels carry, and where that
    reaches ``least`` an entry of this size is made and taken off (``thin``), or left out."""
    zero = np.float32(0.0)
    below, above = zero, zero
    for i in range(first, stop):
        value = scale * values[i - first]
        if value < least:
            if value > zero and wanted[i]:
                below += value
                if thin:
                    held = carry[i] + value
                    if held < least:
                        carry[i] = held
                    else:
                        carry[i] = held - least
                        indices[count] = row + i
                        entries[count] = least
                        count += 1
        elif value > zero and wanted[i]:
            above += value
            indices[count] = row + i
            entries[count] = value
            count += 1
    sums[0] += below + above
    sums[1] += above
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def emit(near, limits, spans, far, far_limits, far_spans, shares, group, least, thin, carry, wanted, room, counts, sums,
         indices, entries, first, stop):  # fmt: skip
    """Entries of beamlets in the planes first .. stop, plane by plane: planes are independent, and in each the beamlets
    follow in their order, and the entries of a beamlet in that of the grid.

    What :func:`read` and :func:`add_far` wrote; group (n,) of each beamlet. carry [k, j, i]: what small entries have
    added up to in each voxel since the last one that was made of them. counts (n, planes); sums (n, planes, 2): summed
    dose of all, and of entries of at least the cut-off. The entries of beamlet n in plane k start at room[n, k] of
    indices and entries (n, any).
    """
    one = np.float32(1.0)
    for task in range(first * group.size, stop * group.size):
        k, n = task // group.size, task % group.size
        g = group[n]
        sums[n, k, 0], sums[n, k, 1] = 0.0, 0.0
        count = room[n, k]
        if room[n, k + 1] > count:
            for j in range(min(limits[n, 2], far_limits[g, 2]), max(limits[n, 3], far_limits[g, 3])):
                i0, i1, at = _span(limits[n], spans[n], k, j)
                a0, a1, beside = _span(far_limits[g], far_spans[g], k, j)
                if i1 <= i0:
                    i0, i1 = a1, a1
                # the far ones before, the near ones, and the far ones behind
                for piece in range(3):
                    values, scale, begin, end = far[g, beside:], shares[n], a0, min(a1, i0)
                    if piece == 1:
                        values, scale, begin, end = near[n, at:], one, i0, i1
                    elif piece == 2:
                        begin, end = max(a0, i1), a1
                        values = far[g, beside + begin - a0 :]
                    if end > begin:
                        count = _emit_row(
                            values, scale, begin, end, (k * carry.shape[1] + j) * carry.shape[2], least[n], thin,
                            carry[k, j], wanted[k, j], count, indices[n], entries[n], sums[n, k],
                        )  # fmt: skip
        counts[n, k] = count - room[n, k]


@njit(cache=True, nogil=True, error_model="numpy")
def pack(room, counts, indices, entries, starts, packed_indices, packed_entries, first, stop):
    """The entries of all planes of beamlet n, one after another, from starts[n] on."""
    for n in range(first, stop):
        at = starts[n]
        for k in range(counts.shape[1]):
            own, into = indices[n, room[n, k] :], packed_indices[at:]
            for entry in range(counts[n, k]):
                into[entry] = own[entry]
            values, packed = entries[n, room[n, k] :], packed_entries[at:]
            for entry in range(counts[n, k]):
                packed[entry] = values[entry]
            at += counts[n, k]


@njit(cache=True, error_model="numpy")
def _first_from(indices, start, stop, row):
    """First of the ascending indices[start : stop] that is at least ``row``."""
    while start < stop:
        middle = (start + stop) // 2
        if indices[middle] < row:
            start = middle + 1
        else:
            stop = middle
    return start


@njit(cache=True, nogil=True, error_model="numpy")
def count_rows(indices, starts, stops, blocks, pointers, first, stop):
    """pointers[row + 1] = entries of each row; rows in ``blocks`` (n + 1,). Column c: indices[starts[c] : stops[c]]."""
    for b in range(first, stop):
        for row in range(blocks[b], blocks[b + 1]):
            pointers[row + 1] = 0
        for c in range(starts.size):
            at = _first_from(indices, starts[c], stops[c], blocks[b])
            while at < stops[c] and indices[at] < blocks[b + 1]:
                pointers[indices[at] + 1] += 1
                at += 1


@njit(cache=True, nogil=True, error_model="numpy")
def to_rows(indices, entries, starts, stops, blocks, pointers, columns, values, first, stop):
    """CSR columns and values from columns; blocks of rows are written apart, so that each stays in the cache."""
    for b in range(first, stop):
        cursor = np.empty(blocks[b + 1] - blocks[b], np.int64)
        for row in range(cursor.size):
            cursor[row] = pointers[blocks[b] + row]
        for c in range(starts.size):
            at = _first_from(indices, starts[c], stops[c], blocks[b])
            while at < stops[c] and indices[at] < blocks[b + 1]:
                row = indices[at] - blocks[b]
                columns[cursor[row]] = c
                values[cursor[row]] = entries[at]
                cursor[row] += 1
                at += 1

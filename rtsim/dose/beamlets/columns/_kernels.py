"""Kernels of the influence columns: doses in boxes to entries on the dose grid, thinning, and columns to rows.

Lengths mm. Boxes [depth, y, x], one after another in flat arrays; dose grid [k, j, i].
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

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


@njit(cache=True)
def _between(at, slope, lower, upper, first, last):
    """first .. last cut to where at + slope i lies in lower .. upper."""
    if abs(slope) < 1e-9:
        return (first, -1.0) if at < lower or at > upper else (first, last)
    a, b = (lower - at) / slope, (upper - at) / slope
    return max(first, min(a, b)), min(last, max(a, b))


@njit(cache=True)
def _within(side, depth, slope, deeper, half, fan, ahead, first, last):
    """first .. last cut to where |side + slope i| is at most ``half``, or that much times how wide a fan is there."""
    for sign in (-1.0, 1.0):
        if fan > 0.0:
            at, by = sign * side - half / fan * (depth + ahead), sign * slope - half / fan * deeper
            first, last = _between(at, by, -1e30, 0.0, first, last)
        else:
            first, last = _between(sign * side, sign * slope, -1e30, half, first, last)
    return first, last


@njit(cache=True)
def _limits(source, frame, start, pitch, fan, shape, core, origin, spacing, grid):
    """First and last (exclusive) k and j of the grid's voxels in a box, of which ``core`` (x, y) cells to either side
    of the middle are asked for."""
    low, high = np.full(3, 1e30), np.full(3, -1e30)
    for corner in range(8):
        t = start + (shape[0] if corner // 4 else 0) * pitch[0]
        wide = t / fan if fan > 0.0 else 1.0
        x = core[0] * pitch[2] * wide * (1 if corner % 2 else -1)
        y = core[1] * pitch[1] * wide * (1 if corner // 2 % 2 else -1)
        for axis in range(3):
            p = source[axis] + frame[axis, 0] * x + frame[axis, 1] * y + frame[axis, 2] * t
            f = (p - origin[axis]) / spacing[axis]
            low[axis], high[axis] = min(low[axis], f), max(high[axis], f)
    return (
        max(math.ceil(low[2]), 0), min(math.floor(high[2]) + 1, grid[0]),
        max(math.ceil(low[1]), 0), min(math.floor(high[1]) + 1, grid[1]),
    )  # fmt: skip


@njit(cache=True)
def _read(volume, source, frame, start, pitch, fan, core, origin, spacing, per_gram, limits, spans, values):
    """Dose of a box at the voxels of the dose grid, row by row: spans[row] = (first i, last i exclusive, where in
    ``values`` the row starts), rows counted over ``limits`` (k, k, j, j). With ``fan`` > 0 the columns of the box
    diverge, and its doses are per volume of a cell at this distance."""
    depth, ny, nx = volume.shape
    dx, dy, dz = (
        frame[0, 0] * spacing[0] / pitch[2],
        frame[0, 1] * spacing[0] / pitch[1],
        frame[0, 2] * spacing[0] / pitch[0],
    )
    mid_x, mid_y, ahead = (nx - 1) * 0.5, (ny - 1) * 0.5, start / pitch[0] + 0.5
    reach = fan / pitch[0]
    x = origin[0] - source[0]
    flat = volume.reshape(volume.size)
    count, row = 0, 0
    for k in range(limits[0], limits[1]):
        for j in range(limits[2], limits[3]):
            y, z = origin[1] + j * spacing[1] - source[1], origin[2] + k * spacing[2] - source[2]
            ax = (frame[0, 0] * x + frame[1, 0] * y + frame[2, 0] * z) / pitch[2]
            ay = (frame[0, 1] * x + frame[1, 1] * y + frame[2, 1] * z) / pitch[1]
            az = (frame[0, 2] * x + frame[1, 2] * y + frame[2, 2] * z) / pitch[0] - ahead
            first, last = _between(az, dz, 0.0, depth - 1.0 - _EDGE, -1.0, per_gram.shape[2] - 1.0)
            first, last = _within(ax, az, dx, dz, core[0] - _EDGE, reach, ahead, first, last)
            first, last = _within(ay, az, dy, dz, core[1] - _EDGE, reach, ahead, first, last)
            # a row that is in the box from its first voxel on starts with that one
            i0 = max(math.ceil(first + _EDGE), 0)
            i1 = max(math.floor(last) + 1, i0)
            spans[row, 0], spans[row, 1], spans[row, 2] = i0, i1, count
            row += 1
            if i1 > i0:
                _read_row(
                    flat, nx, ny * nx, mid_x, mid_y, ax, ay, az, dx, dy, dz, reach, ahead, i0, i1, per_gram[k, j],
                    values[count:],
                )  # fmt: skip
                count += i1 - i0


@njit(cache=True)
def _add_far(near, near_limits, near_spans, far, far_limits, far_spans, share):
    """near += share x far where both are read; returns the largest value."""
    largest = np.float32(0.0)
    row = 0
    nj = far_limits[3] - far_limits[2]
    for k in range(near_limits[0], near_limits[1]):
        for j in range(near_limits[2], near_limits[3]):
            i0, i1, at = near_spans[row]
            row += 1
            into = near[at:]
            if far_limits[0] <= k < far_limits[1] and far_limits[2] <= j < far_limits[3]:
                a0, a1, beside = far_spans[(k - far_limits[0]) * nj + j - far_limits[2]]
                for i in range(max(i0, a0), min(i1, a1)):
                    into[i - i0] += share * far[beside + i - a0]
            for n in range(i1 - i0):
                largest = max(largest, into[n])
    return largest


@njit(cache=True)
def _group(slow, slow_frame, slow_start, slow_pitch, fast, frames, starts, shapes, cells, pitch, fan, shares, first,
           stop, source, origin, spacing, per_gram, cutoff, near, far, spans, far_spans, limits,
           far_limits, least):  # fmt: skip
    """Dose of the beamlets first .. stop of one group where the grid's voxels are: near them (fast, each its own box,
    and slow) and farther (slow, one box for all); and ``least`` (n,), the cut-off of each."""
    grid = np.array(per_gram.shape)
    core = np.empty(2)
    for m in range(first, stop):
        shape = shapes[m]
        own = fast[cells[m] : cells[m + 1]].reshape((shape[0], shape[1], shape[2]))
        core[0], core[1] = (shape[2] - 1) * 0.5, (shape[1] - 1) * 0.5
        limits[m, 0], limits[m, 1], limits[m, 2], limits[m, 3] = _limits(
            source, frames[m], starts[m], pitch, fan, shape, core, origin, spacing, grid
        )
        _read(
            own, source, frames[m], starts[m], pitch, fan, core, origin, spacing, per_gram, limits[m], spans[m], near[m]
        )
    core[0], core[1] = (slow.shape[2] - 1) * 0.5, (slow.shape[1] - 1) * 0.5
    far_limits[0], far_limits[1], far_limits[2], far_limits[3] = _limits(
        source, slow_frame, slow_start, slow_pitch, 0.0, np.array(slow.shape), core, origin, spacing, grid
    )
    _read(
        slow, source, slow_frame, slow_start, slow_pitch, 0.0, core, origin, spacing, per_gram, far_limits, far_spans,
        far,
    )  # fmt: skip
    for m in range(first, stop):
        least[m] = cutoff * _add_far(near[m], limits[m], spans[m], far, far_limits, far_spans, shares[m])


@njit(cache=True, parallel=True, nogil=True)
def read(slow, slow_frames, slow_starts, slow_shapes, slow_cells, slow_pitch, fast, frames, starts, shapes, cells,
         pitch, fan, shares, members, source, origin, spacing, per_gram, cutoff, near, far, spans,
         far_spans, limits, far_limits, least):  # fmt: skip
    """Doses in boxes, ``slow`` of groups and ``fast`` of their beamlets, at the voxels of the dose grid.

    Group m has the beamlets members[m] : members[m + 1], each with its share of the group's slow dose. Written: near
    (n, any) and far (groups, any) doses, row by row, where spans and far_spans (n or groups, rows, 3) and limits and
    far_limits (n or groups, 4) say (:func:`_read`); least (n,) the cut-off, a fraction of a beamlet's maximum.
    """
    for m in prange(members.size - 1):
        shape = slow_shapes[m]
        _group(
            slow[slow_cells[m] : slow_cells[m + 1]].reshape((shape[0], shape[1], shape[2])), slow_frames[m],
            slow_starts[m], slow_pitch, fast, frames, starts, shapes, cells, pitch, fan, shares, members[m],
            members[m + 1], source, origin, spacing, per_gram, cutoff, near, far[m], spans, far_spans[m],
            limits, far_limits[m], least,
        )  # fmt: skip


@njit(cache=True)
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


@njit(cache=True)
def _emit(k, near, limits, spans, far, far_limits, far_spans, share, least, thin, carry, wanted, count, indices,
          entries, sums):  # fmt: skip
    """The entries of one beamlet in plane k, in the order of the grid, from ``count`` on; returns where they end."""
    one = np.float32(1.0)
    for j in range(min(limits[2], far_limits[2]), max(limits[3], far_limits[3])):
        i0, i1, at = _span(limits, spans, k, j)
        a0, a1, beside = _span(far_limits, far_spans, k, j)
        row = (k * carry.shape[1] + j) * carry.shape[2]
        if i1 <= i0:
            i0, i1 = a1, a1
        if a0 < i0:
            count = _emit_row(far[beside:], share, a0, min(a1, i0), row, least, thin, carry[k, j], wanted[k, j], count,
                              indices, entries, sums)  # fmt: skip
        count = _emit_row(near[at:], one, i0, i1, row, least, thin, carry[k, j], wanted[k, j], count, indices, entries,
                          sums)  # fmt: skip
        start = max(a0, i1)
        if a1 > start:
            count = _emit_row(far[beside + start - a0 :], share, start, a1, row, least, thin, carry[k, j], wanted[k, j],
                              count, indices, entries, sums)  # fmt: skip
    return count


@njit(cache=True, parallel=True, nogil=True)
def emit(near, limits, spans, far, far_limits, far_spans, shares, group, least, thin, carry, wanted, room, counts, sums,
         indices, entries):  # fmt: skip
    """Entries of beamlets, plane by plane: planes are independent, and in each the beamlets follow in their order.

    What :func:`read` wrote; group (n,) of each beamlet. carry [k, j, i]: what small entries have added up to in each
    voxel since the last one that was made of them. counts (n, planes); sums (n, planes, 2): summed dose of all, and of
    entries of at least the cut-off. The entries of beamlet n in plane k start at room[n, k] of indices and entries (n,
    any).
    """
    parts = 32
    for p in prange(parts):
        for k in range(p, carry.shape[0], parts):
            for n in range(group.size):
                g = group[n]
                counts[n, k] = 0
                sums[n, k] = 0.0
                if room[n, k + 1] > room[n, k]:
                    counts[n, k] = _emit(
                        k, near[n], limits[n], spans[n], far[g], far_limits[g], far_spans[g], shares[n], least[n], thin,
                        carry, wanted, room[n, k], indices[n], entries[n], sums[n, k],
                    ) - room[n, k]  # fmt: skip


@njit(cache=True)
def _values(limits, spans, k):
    """How many values are read in plane k."""
    total = 0
    if limits[0] <= k < limits[1]:
        for j in range(limits[2], limits[3]):
            i0, i1, _ = _span(limits, spans, k, j)
            total += i1 - i0
    return total


@njit(cache=True, parallel=True, nogil=True)
def rooms(limits, spans, far_limits, far_spans, group, out):
    """out (n, planes + 1): where the entries of each beamlet and plane may start."""
    for n in prange(group.size):
        out[n, 0] = 0
        g = group[n]
        for k in range(out.shape[1] - 1):
            most = _values(limits[n], spans[n], k) + _values(far_limits[g], far_spans[g], k)
            out[n, k + 1] = out[n, k] + most


@njit(cache=True, parallel=True, nogil=True)
def pack(room, counts, indices, entries, starts, packed_indices, packed_entries):
    """The entries of all planes of beamlet n, one after another, from starts[n] on."""
    for n in prange(starts.size):
        at = starts[n]
        for k in range(counts.shape[1]):
            first, count = room[n, k], counts[n, k]
            packed_indices[at : at + count] = indices[n, first : first + count]
            packed_entries[at : at + count] = entries[n, first : first + count]
            at += count


@njit(cache=True)
def _first_from(indices, start, stop, row):
    """First of the ascending indices[start : stop] that is at least ``row``."""
    while start < stop:
        middle = (start + stop) // 2
        if indices[middle] < row:
            start = middle + 1
        else:
            stop = middle
    return start


@njit(cache=True, parallel=True, nogil=True)
def count_rows(indices, starts, stops, blocks, pointers):
    """pointers[row + 1] = entries of each row; rows in ``blocks`` (n + 1,). Column c: indices[starts[c] : stops[c]]."""
    for b in prange(blocks.size - 1):
        pointers[blocks[b] + 1 : blocks[b + 1] + 1] = 0
        for c in range(starts.size):
            at = _first_from(indices, starts[c], stops[c], blocks[b])
            while at < stops[c] and indices[at] < blocks[b + 1]:
                pointers[indices[at] + 1] += 1
                at += 1


@njit(cache=True, parallel=True, nogil=True)
def to_rows(indices, entries, starts, stops, blocks, pointers, columns, values):
    """CSR columns and values from columns; blocks of rows are written apart, so that each stays in the cache."""
    for b in prange(blocks.size - 1):
        cursor = pointers[blocks[b] : blocks[b + 1]].copy()
        for c in range(starts.size):
            at = _first_from(indices, starts[c], stops[c], blocks[b])
            while at < stops[c] and indices[at] < blocks[b + 1]:
                row = indices[at] - blocks[b]
                columns[cursor[row]] = c
                values[cursor[row]] = entries[at]
                cursor[row] += 1
                at += 1

"""Kernels that turn volumes [k, j, i] into the orders of the three dominant axes and back.

Order of the axes: dominant x (x, z, y), y (y, z, x), z (z, y, x); each plane has a border of one voxel of zeros. All
volumes of an order lie one after another in a flat array, from ``starts[axis]`` on (-1: this order is not used). A
plane need not hold all of its voxels: it may be a window that moves with an oblique beam from plane to plane.

The last two arguments are the range of the outer loop.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def fill(volume, part, shapes, starts, windows, volumes, k_first, k_stop):
    """Write the planes k of ``volume`` as part number ``part`` into every order; all has to be zero already.

    windows (3, planes, 2): number of the first voxel of each plane along its second and third axis.
    """
    for k in range(k_first, k_stop):
        for axis in range(3):
            if starts[axis] < 0:
                continue
            planes, rows, width = shapes[axis, 0], shapes[axis, 1], shapes[axis, 2]
            first = starts[axis] + part * planes * rows * width
            if axis == 2:
                b0, c0 = windows[axis, k, 0], windows[axis, k, 1]
                for b in range(rows - 2):
                    row, own = volumes[first + (k * rows + b + 1) * width + 1 :], volume[k, b0 + b, c0:]
                    for c in range(width - 2):
                        row[c] = own[c]
                continue
            for a in range(planes):
                b, c0 = k - windows[axis, a, 0], windows[axis, a, 1]
                if 0 <= b < rows - 2:
                    row = volumes[first + (a * rows + b + 1) * width + 1 :]
                    if axis == 0:
                        for c in range(width - 2):
                            row[c] = volume[k, c0 + c, a]
                    else:
                        own = volume[k, a, c0:]
                        for c in range(width - 2):
                            row[c] = own[c]


@njit(cache=True, nogil=True)
def gather(outs, tasks, shapes, windows, total, k_first, k_stop):
    """Planes k of total [k, j, i] = sum of the accumulators of all tasks (n, 4): axis, -, -, start in ``outs``."""
    for k in range(k_first, k_stop):
        for j in range(total.shape[1]):
            for i in range(total.shape[2]):
                total[k, j, i] = np.float32(0.0)
        for n in range(tasks.shape[0]):
            axis, start = tasks[n, 0], tasks[n, 3]
            planes, rows, width = shapes[axis, 0], shapes[axis, 1], shapes[axis, 2]
            if axis == 2:
                b0, c0 = windows[axis, k, 0], windows[axis, k, 1]
                for b in range(rows - 2):
                    row, into = outs[start + (k * rows + b + 1) * width + 1 :], total[k, b0 + b, c0:]
                    for c in range(width - 2):
                        into[c] += row[c]
                continue
            for a in range(planes):
                b, c0 = k - windows[axis, a, 0], windows[axis, a, 1]
                if 0 <= b < rows - 2:
                    row = outs[start + (a * rows + b + 1) * width + 1 :]
                    if axis == 0:
                        for c in range(width - 2):
                            total[k, c0 + c, a] += row[c]
                    else:
                        into = total[k, a, c0:]
                        for c in range(width - 2):
                            into[c] += row[c]


@njit(cache=True, error_model="numpy")
def _unit_rays(u, v, a, b, c_first, c_step, across):
    """Components along ``across`` (2, 3) of the unit vectors (a, b, c) of one row."""
    a32, b32 = np.float32(a), np.float32(b)
    square = a32 * a32 + b32 * b32
    u0, v0 = np.float32(a * across[0, 0] + b * across[0, 1]), np.float32(a * across[1, 0] + b * across[1, 1])
    uc, vc = np.float32(across[0, 2]), np.float32(across[1, 2])
    first, step, one = np.float32(c_first), np.float32(c_step), np.float32(1.0)
    for i in range(u.size):
        c = first + np.float32(i) * step
        per = one / np.sqrt(square + c * c)
        u[i] = (u0 + uc * c) * per
        v[i] = (v0 + vc * c) * per


@njit(cache=True, nogil=True)
def aim(part, shapes, starts, windows, spacing, origin, source, across, volumes, k_first, k_stop):
    """Parts number ``part`` and ``part`` + 1 of the planes k of every order: components u and v, along ``across`` (3,
    2, 3), of the unit rays from ``source`` (3, 3) to the voxels; both, and ``origin``, for each dominant axis in the
    order of its axes, mm."""
    for axis in range(3):
        planes, rows, width = shapes[axis, 0], shapes[axis, 1], shapes[axis, 2]
        if starts[axis] < 0:
            continue
        for k in range(k_first, min(k_stop, planes)):
            u = starts[axis] + (part * planes + k) * rows * width
            v = u + planes * rows * width
            a = origin[axis, 0] + k * spacing[axis, 0] - source[axis, 0]
            c = origin[axis, 2] + (windows[axis, k, 1] - 1) * spacing[axis, 2] - source[axis, 2]
            for j in range(rows):
                b = origin[axis, 1] + (windows[axis, k, 0] + j - 1) * spacing[axis, 1] - source[axis, 1]
                row = j * width
                _unit_rays(
                    volumes[u + row : u + row + width], volumes[v + row : v + row + width], a, b, c, spacing[axis, 2],
                    across[axis],
                )  # fmt: skip

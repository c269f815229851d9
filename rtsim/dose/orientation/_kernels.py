"""Kernels that turn volumes [k, j, i] into the orders of the three dominant axes and back.

Order of the axes: dominant x (x, z, y), y (y, z, x), z (z, y, x); each plane has a border of one voxel of zeros. All
volumes of an order lie one after another in a flat array, from ``starts[axis]`` on (-1: this order is not used). A
plane need not hold all of its voxels: it may be a window that moves with an oblique beam from plane to plane.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, parallel=True, nogil=True)
def fill(volume, part, shapes, starts, windows, volumes):
    """Write ``volume`` as part number ``part`` into every order; all has to be zero already.

    windows (3, planes, 2): number of the first voxel of each plane along its second and third axis.
    """
    for axis in range(3):
        if starts[axis] < 0:
            continue
        planes, rows, width = shapes[axis, 0], shapes[axis, 1], shapes[axis, 2]
        size = planes * rows * width
        first = starts[axis] + part * size
        own = volumes[first : first + size].reshape((planes, rows, width))
        if axis == 2:
            for a in prange(planes):
                b0, c0 = windows[axis, a, 0], windows[axis, a, 1]
                for b in range(rows - 2):
                    own[a, b + 1, 1 : width - 1] = volume[a, b0 + b, c0 : c0 + width - 2]
            continue
        for k in prange(volume.shape[0]):
            for a in range(planes):
                b, c0 = k - windows[axis, a, 0], windows[axis, a, 1]
                if 0 <= b < rows - 2:
                    row = own[a, b + 1]
                    if axis == 0:
                        for c in range(width - 2):
                            row[c + 1] = volume[k, c0 + c, a]
                    else:
                        row[1 : width - 1] = volume[k, a, c0 : c0 + width - 2]


@njit(cache=True, parallel=True, nogil=True)
def gather(outs, tasks, shapes, windows, total):
    """total [k, j, i] = sum of the accumulators of all tasks (n, 4): axis, -, -, start in ``outs``."""
    for k in prange(total.shape[0]):
        total[k] = np.float32(0.0)
        for n in range(tasks.shape[0]):
            axis = tasks[n, 0]
            planes, rows, width = shapes[axis, 0], shapes[axis, 1], shapes[axis, 2]
            own = outs[tasks[n, 3] : tasks[n, 3] + planes * rows * width].reshape((planes, rows, width))
            if axis < 2:
                for a in range(planes):
                    b, c0 = k - windows[axis, a, 0], windows[axis, a, 1]
                    if 0 <= b < rows - 2:
                        row = own[a, b + 1]
                        if axis == 0:
                            for c in range(width - 2):
                                total[k, c0 + c, a] += row[c + 1]
                        else:
                            into = total[k, a, c0:]
                            for c in range(width - 2):
                                into[c] += row[c + 1]
            else:
                b0, c0 = windows[axis, k, 0], windows[axis, k, 1]
                for b in range(rows - 2):
                    into, row = total[k, b0 + b, c0:], own[k, b + 1]
                    for c in range(width - 2):
                        into[c] += row[c + 1]


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


@njit(cache=True, parallel=True, nogil=True)
def aim(part, shapes, starts, windows, spacing, origin, source, across, volumes):
    """Parts number ``part`` and ``part`` + 1: components u and v, along ``across`` (3, 2, 3), of the unit rays from
    ``source`` (3, 3) to the voxels; both, and ``origin``, for each dominant axis in the order of its axes, mm."""
    for axis in range(3):
        if starts[axis] < 0:
            continue
        planes, rows, width = shapes[axis, 0], shapes[axis, 1], shapes[axis, 2]
        size = planes * rows * width
        first = starts[axis] + part * size
        own = volumes[first : first + 2 * size].reshape((2, planes, rows, width))
        for k in prange(planes):
            a = origin[axis, 0] + k * spacing[axis, 0] - source[axis, 0]
            for j in range(rows):
                b = origin[axis, 1] + (windows[axis, k, 0] + j - 1) * spacing[axis, 1] - source[axis, 1]
                c = origin[axis, 2] + (windows[axis, k, 1] - 1) * spacing[axis, 2] - source[axis, 2]
                _unit_rays(own[0, k, j], own[1, k, j], a, b, c, spacing[axis, 2], across[axis])

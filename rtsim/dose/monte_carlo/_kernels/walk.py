"""Straight lines through voxels, and turning a direction.

A position is kept in units of voxels from the lower corner of the grid (x, y, z), with the indices (i, j, k) of the
voxel that it is in: a crossing changes an index by one, so that rounding never loses a particle between two voxels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FAR = 1e30
_DENSITY = np.uint32(0xFFFFFF)
_MATERIAL_FROM = np.uint32(24)


@njit(nogil=True, _nrt=False)
def material_of(code):
    """Index of the material in the code of a voxel: its upper 8 bits."""
    return np.int64(code >> _MATERIAL_FROM)


@njit(nogil=True, _nrt=False)
def counts_of(code):
    """Density in the code of a voxel, in the unit of the scene: its lower 24 bits."""
    return np.float64(np.int64(code & _DENSITY))


@njit(nogil=True, _nrt=False)
def material_at(code, cell, shape):
    """Index of the material of voxel (i, j, k)."""
    return material_of(code[(cell[2] * shape[1] + cell[1]) * shape[2] + cell[0]])


@njit(nogil=True, error_model="numpy", _nrt=False)
def between_crossings_mm(per_mm):
    """Path length from one plane of voxels to the next along one axis, whose coordinate changes by ``per_mm``."""
    return 1.0 / max(abs(per_mm), 1.0 / _FAR)


@njit(nogil=True, error_model="numpy", _nrt=False)
def first_crossing_mm(x, i, per_mm, between_mm):
    """Path length to the plane of voxels ahead along one axis."""
    return (i + 1 - x if per_mm > 0.0 else x - i) * between_mm


@njit(nogil=True, error_model="numpy", _nrt=False)
def entry_mm(x, y, z, per_x, per_y, per_z, shape):
    """Path length from a point (voxel units) to the grid along a ray; 0 from inside; -1 when the ray misses it."""
    near, far = 0.0, _FAR
    for axis in range(3):
        position = x if axis == 0 else (y if axis == 1 else z)
        slope = per_x if axis == 0 else (per_y if axis == 1 else per_z)
        size = float(shape[2 - axis])
        if abs(slope) < 1e-20:
            if position < 0.0 or position > size:
                return -1.0
            continue
        a, b = -position / slope, (size - position) / slope
        near, far = max(near, min(a, b)), min(far, max(a, b))
    return near if near < far else -1.0


@njit(nogil=True, error_model="numpy", _nrt=False)
def lose_energy(
    place, voxel, loss, per_x, per_y, per_z, every_x, every_y, every_z, rate, score, weight, code, shape, deposited
):
    """Walk one particle straight on until it has lost ``loss`` MeV, and score the loss in the voxels on the way.

    In a voxel dE/ds = counts * rate[material], MeV per mm.

    Args:
        place: (6,) position in voxels and direction; the position is advanced.
        voxel: (3,) int64 indices i, j, k; advanced.
        per_x, per_y, per_z: voxels per mm of path along each axis.
        every_x, every_y, every_z: mm of path from plane to plane of voxels.
        rate: (materials,) MeV per mm and unit of density.
        score: (materials,) factor on what is scored (1: dose to medium).
        weight: of the particle.
        code: (voxels,) material and density.
        deposited: (voxels,) MeV, added to.

    Returns:
        What was not yet lost when the particle left the grid; -1 when it stays inside.
    """
    nz, ny, nx = shape[0], shape[1], shape[2]
    x, y, z = place[0], place[1], place[2]
    i, j, k = voxel[0], voxel[1], voxel[2]
    index = (k * ny + j) * nx + i
    medium = material_of(code[index])
    path = loss / (counts_of(code[index]) * rate[medium])
    to_x, to_y, to_z = x + per_x * path, y + per_y * path, z + per_z * path
    # most steps end in the voxel that they start in: nothing but this is needed for them
    if to_x >= i and to_x <= i + 1 and to_y >= j and to_y <= j + 1 and to_z >= k and to_z <= k + 1:
        place[0], place[1], place[2] = to_x, to_y, to_z
        deposited[index] += weight * loss * score[medium]
        return -1.0
    to_x = first_crossing_mm(x, i, per_x, every_x)
    to_y = first_crossing_mm(y, j, per_y, every_y)
    to_z = first_crossing_mm(z, k, per_z, every_z)
    step_i, step_j, step_k = 1 if per_x > 0.0 else -1, 1 if per_y > 0.0 else -1, 1 if per_z > 0.0 else -1
    path, left = 0.0, loss
    while True:
        medium = material_of(code[index])
        lost_per_mm = counts_of(code[index]) * rate[medium]
        ahead = min(to_x, to_y, to_z)
        lost = (ahead - path) * lost_per_mm
        if lost >= left:
            deposited[index] += weight * left * score[medium]
            path += left / lost_per_mm
            break
        lost = max(lost, 0.0)
        deposited[index] += weight * lost * score[medium]
        left -= lost
        path = ahead
        if to_x == ahead:
            to_x += every_x
            i += step_i
            if i < 0 or i == nx:
                return left
            index += step_i
        elif to_y == ahead:
            to_y += every_y
            j += step_j
            if j < 0 or j == ny:
                return left
            index += step_j * nx
        else:
            to_z += every_z
            k += step_k
            if k < 0 or k == nz:
                return left
            index += step_k * nx * ny
    place[0], place[1], place[2] = x + per_x * path, y + per_y * path, z + per_z * path
    voxel[0], voxel[1], voxel[2] = i, j, k
    return -1.0


@njit(nogil=True, error_model="numpy", _nrt=False)
def turn(place, cosine, sine, cos_azimuth, sin_azimuth):
    """Turn the direction place[3:6] by a polar angle and an azimuth.

    The basis across the direction is that of Duff et al. 2017 (JCGT 6:1), continuous but for w = 0; its azimuth is
    arbitrary, as a uniform azimuth may be.
    """
    u, v, w = place[3], place[4], place[5]
    sign = 1.0 if w >= 0.0 else -1.0
    a = -1.0 / (sign + w)
    b = u * v * a
    across, beside = sine * cos_azimuth, sine * sin_azimuth
    place[3] = cosine * u + across * (1.0 + sign * u * u * a) + beside * b
    place[4] = cosine * v + across * sign * b + beside * (sign + v * v * a)
    place[5] = cosine * w - across * sign * u - beside * v

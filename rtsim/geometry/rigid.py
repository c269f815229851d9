"""Rigid motions: rotations about the LPS axes, and points taken back through a motion."""

from __future__ import annotations

import math

import numpy as np

from rtsim.typing import AnyFloatArray, FloatArray, Vector3


def rotation_xyz(rotation_deg: Vector3) -> FloatArray:
    """R (3, 3) = Rz Ry Rx, right-handed about LPS x, y, z, in this order."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(a), math.sin(a)) for a in map(math.radians, rotation_deg))
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]])
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_z = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


def before_motion(points_mm: AnyFloatArray, rotation: FloatArray, center_mm: Vector3, shift_mm: Vector3) -> FloatArray:
    """Where points (..., 3), LPS mm, lay before p went to center + R (p - center) + shift."""
    from_center = np.asarray(points_mm, dtype=np.float64) - np.add(center_mm, shift_mm)
    return np.asarray(from_center @ rotation + np.asarray(center_mm), dtype=np.float64)

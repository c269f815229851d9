"""IEC 61217 angles to LPS: where the source is and how the beam's-eye-view axes lie in a head-first supine patient.

LPS = M * Rz(-couch) * Ry(gantry) * Rz(collimator) * BLD with M: (X, Y, Z) -> (X, -Z, Y).
BLD is the IEC beam limiting device frame: +z from the isocenter to the source, +x and +y the axes of the jaws.
Other patient positions are one more matrix, applied where DICOM is read (rtsim.io).
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import FloatArray, Vector3

_IEC_TO_LPS: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])

CARDINAL: Final[dict[tuple[float, float], tuple[str, Vector3]]] = {
    (0.0, 0.0): ("anterior", (0.0, -1.0, 0.0)),
    (90.0, 0.0): ("left", (1.0, 0.0, 0.0)),
    (180.0, 0.0): ("posterior", (0.0, 1.0, 0.0)),
    (270.0, 0.0): ("right", (-1.0, 0.0, 0.0)),
    (90.0, 90.0): ("inferior", (0.0, 0.0, -1.0)),
    (270.0, 90.0): ("superior", (0.0, 0.0, 1.0)),
}
"""(gantry_deg, couch_deg) -> (where the source is, LPS unit vector isocenter -> source). Held by tests."""


def _cos_sin(angle_deg: float) -> tuple[float, float]:
    """Cosine and sine, exact at multiples of 90 degrees so that cardinal beams stay aligned with the grid."""
    quarter = angle_deg / 90.0
    if quarter == round(quarter):
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarter) % 4]
    return math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))


def _rotation_z(angle_deg: float) -> FloatArray:
    c, s = _cos_sin(angle_deg)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _rotation_y(angle_deg: float) -> FloatArray:
    c, s = _cos_sin(angle_deg)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def check_angle(name: str, angle_deg: object) -> float:
    """Return ``angle_deg`` as a float when 0 <= angle < 360, else raise InputError that names the field."""
    if not isinstance(angle_deg, Real) or not 0.0 <= float(angle_deg) < 360.0:  # NaN is in no range
        raise InputError(f"{name} is {angle_deg!r}; IEC 61217 angles are 0 <= {name} < 360")
    return float(angle_deg)


def bld_to_lps(gantry_deg: float, couch_deg: float = 0.0, collimator_deg: float = 0.0) -> FloatArray:
    """Rotation (3, 3) whose columns are the BLD axes x, y, z in LPS; ``lps = isocenter + R @ bld``."""
    return _IEC_TO_LPS @ _rotation_z(-couch_deg) @ _rotation_y(gantry_deg) @ _rotation_z(collimator_deg)


def source_position_mm(isocenter_mm: Vector3, gantry_deg: float, couch_deg: float, sad_mm: float) -> FloatArray:
    """(3,) LPS mm of the radiation source."""
    axis = bld_to_lps(gantry_deg, couch_deg)[:, 2]
    return np.asarray(isocenter_mm, dtype=np.float64) + sad_mm * axis


def project_to_isocenter_plane(
    points_mm: FloatArray, isocenter_mm: Vector3, rotation: FloatArray, sad_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Divergent projection of LPS points onto the isocenter plane.

    Args:
        points_mm: (..., 3) LPS mm.
        rotation: (3, 3) from :func:`bld_to_lps`.

    Returns:
        bev (..., 2): ``bev_x_mm, bev_y_mm`` in the isocenter plane; and (...,) distance from the source along the
            axis, mm.
    """
    local = (np.asarray(points_mm, dtype=np.float64) - np.asarray(isocenter_mm)) @ rotation
    depth = sad_mm - local[..., 2]
    return local[..., :2] * (sad_mm / depth)[..., None], depth

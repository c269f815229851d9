"""Generalised equivalent uniform dose."""

from __future__ import annotations

import math

import numpy as np

from rtsim.biology._checks import weighted
from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray


def geud_gy(dose_gy: AnyFloatArray, a: float, volume: AnyFloatArray | None = None) -> float:
    """gEUD = (sum v_i D_i^a)^(1/a) in Gy, with v_i the share of voxel i (from ``volume``, any unit; equal when None).

    a = 1 is the mean; large a tends to the maximum (serial organs), large -a to the minimum (targets). A cold voxel
    of 0 Gy gives 0 for a < 0. Source: Niemierko 1999, Med Phys 26:1100.
    """
    if not (math.isfinite(a) and a != 0.0):
        raise InputError(f"a is {a}; it must be finite and not 0 (1 is the mean dose)")
    dose, share = weighted(dose_gy, volume)
    dose, share = dose[share > 0.0], share[share > 0.0]
    scale = float(dose.max() if a > 0.0 else dose.min())  # keeps the powers in range for large |a|
    if scale == 0.0:
        return 0.0
    return scale * float(np.sum(share * (dose / scale) ** a) ** (1.0 / a))

"""Checks that every model of this folder makes on its arguments."""

from __future__ import annotations

import math

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray, FloatArray


def positive(name: str, value: float, unit: str = "") -> float:
    """``value`` as float, or an InputError that names it."""
    if not (math.isfinite(value) and value > 0.0):
        raise InputError(f"{name} is {value}; it must be finite and > 0 {unit}".rstrip())
    return float(value)


def alpha_beta(alpha_beta_gy: float) -> float:
    """Checked alpha/beta in Gy."""
    return positive("alpha_beta_gy", alpha_beta_gy, "Gy")


def fraction_count(fractions: float) -> float:
    """Checked number of fractions; a whole number."""
    if not math.isfinite(fractions) or fractions < 1 or fractions != int(fractions):
        raise InputError(f"fractions is {fractions}; it must be a whole number >= 1")
    return float(fractions)


def doses(dose_gy: float | AnyFloatArray) -> FloatArray:
    """Doses as float64, finite and >= 0."""
    array = np.asarray(dose_gy, dtype=np.float64)
    if not np.all(np.isfinite(array)) or np.any(array < 0.0):
        raise InputError("dose_gy holds a value that is negative or not finite; doses are >= 0 Gy")
    return array


def weighted(dose_gy: AnyFloatArray, volume: AnyFloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Flat doses and the fractional volumes that belong to them (sum 1); equal voxels when ``volume`` is None."""
    dose = doses(dose_gy).ravel()
    if dose.size == 0:
        raise InputError("dose_gy is empty; the structure has no voxel on the dose grid")
    if volume is None:
        return dose, np.full(dose.size, 1.0 / dose.size)
    share = np.asarray(volume, dtype=np.float64).ravel()
    if share.shape != dose.shape:
        raise InputError(f"volume has {share.size} values and dose_gy {dose.size}; give one volume per voxel")
    if not np.all(np.isfinite(share)) or np.any(share < 0.0) or share.sum() <= 0.0:
        raise InputError("volume must be finite, >= 0 and not all zero")
    return dose, share / share.sum()

"""Linear-quadratic model: BED, EQD2, the dose of equal effect, the linear-quadratic-linear extension.

``dose_gy`` is the total physical dose of the course (a number or an array of voxels of any shape), given in
``fractions`` equal fractions; results are arrays of the same shape, or floats for a number.
BED = D (1 + d / (alpha/beta)), EQD2 = BED / (1 + 2 / (alpha/beta)), d = D / fractions.
Source: Fowler 1989, Br J Radiol 62:679, doi:10.1259/0007-1285-62-740-679. No repopulation, complete repair.
"""

from __future__ import annotations

import math
from typing import overload

import numpy as np

from rtsim.biology._checks import alpha_beta, doses, fraction_count
from rtsim.errors import InputError
from rtsim.typing import AnyFloatArray, FloatArray


@overload
def bed_gy(dose_gy: float, fractions: float, alpha_beta_gy: float) -> float: ...
@overload
def bed_gy(dose_gy: AnyFloatArray, fractions: float, alpha_beta_gy: float) -> FloatArray: ...
def bed_gy(dose_gy: float | AnyFloatArray, fractions: float, alpha_beta_gy: float) -> float | FloatArray:
    """Biologically effective dose in Gy: D (1 + D / (n alpha/beta))."""
    n, ratio = fraction_count(fractions), alpha_beta(alpha_beta_gy)
    d = doses(dose_gy)
    return _like(dose_gy, d * (1.0 + d / (n * ratio)))


@overload
def eqd2_gy(dose_gy: float, fractions: float, alpha_beta_gy: float) -> float: ...
@overload
def eqd2_gy(dose_gy: AnyFloatArray, fractions: float, alpha_beta_gy: float) -> FloatArray: ...
def eqd2_gy(dose_gy: float | AnyFloatArray, fractions: float, alpha_beta_gy: float) -> float | FloatArray:
    """Dose in 2 Gy fractions with the same effect: D (d + alpha/beta) / (2 + alpha/beta), in Gy."""
    n, ratio = fraction_count(fractions), alpha_beta(alpha_beta_gy)
    d = doses(dose_gy)
    return _like(dose_gy, d * (d / n + ratio) / (2.0 + ratio))


def eqd2_from_bed_gy(bed: float, alpha_beta_gy: float) -> float:
    """EQD2 in Gy of a BED in Gy at the same alpha/beta."""
    return float(doses(bed)) / (1.0 + 2.0 / alpha_beta(alpha_beta_gy))


def lql_bed_gy(
    dose_gy: float | AnyFloatArray, fractions: float, alpha_beta_gy: float, transition_gy: float | None = None
) -> float | FloatArray:
    """BED of the linear-quadratic-linear model in Gy (-ln S / alpha).

    Below ``transition_gy`` per fraction it is the LQ model; above, -ln S goes on along the tangent:
    d_T (1 + d_T / ab) + (1 + 2 d_T / ab)(d - d_T) per fraction. Default transition: 2 alpha/beta.
    Source: Astrahan 2008, Med Phys 35:4161, doi:10.1118/1.2969065.
    """
    n, ratio = fraction_count(fractions), alpha_beta(alpha_beta_gy)
    turn = 2.0 * ratio if transition_gy is None else float(transition_gy)
    if not (math.isfinite(turn) and turn > 0.0):
        raise InputError(f"transition_gy is {transition_gy}; it must be > 0 Gy per fraction")
    per_fraction = doses(dose_gy) / n
    below = np.minimum(per_fraction, turn)
    effect = below * (1.0 + below / ratio) + (1.0 + 2.0 * turn / ratio) * (per_fraction - below)
    return _like(dose_gy, n * effect)


def _like(given: float | AnyFloatArray, result: FloatArray) -> float | FloatArray:
    """A number for a number, an array for an array."""
    return result if isinstance(given, np.ndarray) else float(result)

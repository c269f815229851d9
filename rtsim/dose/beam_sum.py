"""The doses of beams that were computed one by one, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.typing import Float32Array, FloatArray


def sum_of_beams(doses: Sequence[Dose]) -> Dose:
    """The dose of all beams together; the noise of Monte Carlo adds in quadrature.

    How many histories a beam had says nothing of the sum, so that ``statistics`` are left out.

    Args:
        doses: of different beams of the same fractions, all on the same grid.

    Raises:
        InputError: no dose, or doses on different grids or of different fractions.
    """
    if not doses:
        raise InputError("no dose is given; at least one is needed")
    first = doses[0]
    for other in doses[1:]:
        if other.grid != first.grid or other.fractions != first.fractions:
            raise InputError(
                f"doses of beams differ: {first.grid.describe()} of {first.fractions} fractions and "
                f"{other.grid.describe()} of {other.fractions}; compute all beams on one grid with the same fractions"
            )
    if len(doses) == 1:
        return first
    return replace(
        first,
        values_gy=np.sum([d.values_gy for d in doses], axis=0),
        uncertainty_gy=_in_quadrature([d.uncertainty_gy for d in doses if d.uncertainty_gy is not None]),
        statistics=None,
    )


def _in_quadrature(sigmas: Sequence[Float32Array]) -> Float32Array | None:
    if not sigmas:
        return None
    variance: FloatArray = np.sum([s.astype(np.float64) ** 2 for s in sigmas], axis=0)
    return np.sqrt(variance).astype(np.float32)

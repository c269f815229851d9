"""Isodose volumes: how much of the patient gets at least a dose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.ndimage import maximum_filter

from rtsim.dose.dvh.model import dvh
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.phantom.structure import Role, Structure

_ISODOSE_SAMPLES_LIMIT: Final = 3_000_000


def isodose_volumes_cm3(
    dose: Dose, levels_gy: Sequence[float], *, external: Structure | None = None
) -> tuple[float, ...]:
    """Volume in cm3 that gets at least each of ``levels_gy`` (> 0), inside ``external`` when it is given.

    Counted on the dose grid with trilinear sub-voxel samples (3^3 a voxel; 2^3 when more than 3 million voxels are in
    reach of the lowest level).
    """
    if not levels_gy or min(levels_gy) <= 0:
        raise InputError(f"levels_gy is {tuple(levels_gy)}; isodose volumes need at least one level > 0 Gy")
    reach = maximum_filter(dose.values_gy, size=3) >= min(levels_gy)
    coverage = reach.astype(np.float32)
    if external is not None:
        coverage *= external.coverage_on(dose.grid)
    if not coverage.any():
        return tuple(0.0 for _ in levels_gy)
    region = Structure.from_coverage("isodose region", Role.CONTROL, dose.grid, coverage)
    subvoxels = 3 if np.count_nonzero(coverage) <= _ISODOSE_SAMPLES_LIMIT else 2
    histogram = dvh(dose, region, subvoxels=subvoxels)
    return tuple(histogram.volume_cm3_at(level) for level in levels_gy)

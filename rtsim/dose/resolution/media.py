"""Matter on both grids of a dose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.dose.medium import Medium
from rtsim.dose.resolution.model import TwoGrids


@dataclass(frozen=True, eq=False)
class TwoMedia:
    """A medium on the dose grid, and its volume means on voxels twice as large."""

    grids: TwoGrids
    fine: Medium
    coarse: Medium

    @classmethod
    def of(cls, medium: Medium) -> TwoMedia:
        """From the medium on the dose grid."""
        grids = TwoGrids.of(medium.grid)
        if not grids.differ:
            return cls(grids, medium, medium)
        coarse = Medium(
            grids.coarse,
            np.maximum(grids.restrict(medium.density_g_cm3), np.float32(1e-6)),
            grids.restrict(medium.electron_density),
            np.stack([grids.restrict(part) for part in medium.partial_g_cm3]),
            medium.basis_index,
        )
        return cls(grids, medium, coarse)

"""CT: Hounsfield units on a Grid, and where in the DICOM world they came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.typing import Float32Array


@dataclass(frozen=True, eq=False)
class CT:
    """A CT volume.

    Attributes:
        hu: (nz, ny, nx) float32 Hounsfield units, read-only.
        grid: where the voxels are, LPS mm.
        frame_of_reference_uid: DICOM (0020,0052) of the series, when it was read from DICOM or written once.
        patient_id, patient_name: as in the source; empty for phantoms.
        notes: what was done on the way in (resampled, slices interpolated, ...), for reports.
    """

    hu: Float32Array
    grid: Grid
    frame_of_reference_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    patient_id: str = ""
    patient_name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hu = np.ascontiguousarray(self.hu, dtype=np.float32)
        if hu.shape != self.grid.shape:
            raise InputError(f"hu has shape {hu.shape}; the grid has {self.grid.shape} (nz, ny, nx)")
        if not np.isfinite(hu).all():
            raise InputError(
                f"hu holds {int((~np.isfinite(hu)).sum())} values that are NaN or infinite; all must be finite"
            )
        if hu.flags.writeable:
            hu = hu.copy() if hu is self.hu else hu
            hu.flags.writeable = False
        object.__setattr__(self, "hu", hu)

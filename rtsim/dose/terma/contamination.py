"""Contaminating electrons: their dose in a medium, from the machine's model. No transport: they fall exponentially."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.beams.model import Beam
from rtsim.dose.fluence.raster import FluenceMap, Raster
from rtsim.dose.medium import Medium
from rtsim.dose.terma.fan import FanPaths, Pose
from rtsim.machine.model import ElectronContamination
from rtsim.typing import Float32Array

_ELECTRON_RAYS: Final = 2.0
"""Pitch of their rays, in voxels: their fluence has been blurred by centimeters."""
_ELECTRONS_STOP_G_CM2: Final = 10.0
"""Rays of contaminating electrons end here: not 1 % of their surface dose is left with 0.05 per mm, the least known."""


def electron_dose(medium: Medium, beam: Beam, fluence: FluenceMap, scale: float) -> Float32Array:
    """Dose [k, j, i] of the contaminating electrons that come with a fluence.

    scale x (blurred fluence) x exp(-k x mass depth) x (SAD/d)^2, averaged over the voxel.

    Args:
        scale: dose at the surface, at the isocenter's distance, for 1 of the blurred fluence.
    """
    electrons = beam.machine.electrons
    fan = FanPaths.trace(
        medium,
        _blurred(fluence, electrons),
        Pose.of(beam, fluence.gantry_deg),
        beam.name,
        pitch=_ELECTRON_RAYS,
        enough_g_cm2=_ELECTRONS_STOP_G_CM2,
    )
    return fan.electron_dose(10.0 * electrons.attenuation_per_mm) * np.float32(scale)


def _blurred(fluence: FluenceMap, electrons: ElectronContamination) -> FluenceMap:
    """The fluence blurred by a Gaussian on 5 mm pixels, with room for its tails."""
    fine = fluence.raster
    factor = max(1, round(5.0 / fine.pitch_mm))
    margin = math.ceil(2.5 * electrons.sigma_mm / (factor * fine.pitch_mm))
    rows, columns = math.ceil(fine.rows / factor), math.ceil(fine.columns / factor)
    padded = np.zeros((rows * factor, columns * factor))
    padded[: fine.rows, : fine.columns] = fluence.values
    coarse = padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    pitch = factor * fine.pitch_mm
    values = gaussian_filter(np.pad(coarse, margin), electrons.sigma_mm / pitch, mode="constant")
    raster = Raster(
        fine.left_mm - margin * pitch, fine.bottom_mm - margin * pitch, pitch, values.shape[1], values.shape[0]
    )
    return FluenceMap(raster, values, fluence.gantry_deg)

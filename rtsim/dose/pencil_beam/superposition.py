"""The pencil beam's own forward dose: a fluence map blurred by every width, superposed voxel by voxel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from rtsim.beams.model import Beam
from rtsim.dose.fluence.raster import FluenceMap
from rtsim.dose.pencil_beam import _kernels
from rtsim.dose.pencil_beam.rays import Body, Widths, footprint_variance_mm2, trace
from rtsim.dose.terma.fan import Pose
from rtsim.errors import InputError
from rtsim.typing import Float32Array, FloatArray

_STEP: Final = 1.25
_PIXELS_A_SIGMA: Final = 4.0
_SIGMAS: Final = 4.0
_SCATTER_MM: Final = 150.0
"""How far beside the fluence rays are traced; farther voxels take the depth of the nearest ray."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """A fluence map blurred to rising standard deviations, on rasters as coarse as each blur allows.

    Attributes:
        maps: all maps one after another.
        places: (levels, 6) first element, rows, columns, first pixel center u and v, pitch.
        sigmas_mm: (levels,).
    """

    maps: Float32Array
    places: FloatArray
    sigmas_mm: FloatArray

    @classmethod
    def of(cls, fluence: FluenceMap, widest_mm: float) -> Ladder:
        """From the sharp map up to ``widest_mm``, each level 1.25 times as wide as the last."""
        fine = fluence.raster.pitch_mm
        count = 1 + max(1, math.ceil(math.log(widest_mm / (0.5 * fine)) / math.log(_STEP)))
        sigmas = np.asarray(0.5 * fine * _STEP ** np.arange(count), dtype=np.float64)
        maps, places, first = [], [], 0
        for sigma in sigmas:
            factor = max(1, math.floor(sigma / _PIXELS_A_SIGMA / fine))
            values, corner, pitch = _blurred(fluence, float(sigma), factor)
            maps.append(values.astype(np.float32).ravel())
            places.append((first, *values.shape, *corner, pitch))
            first += values.size
        return cls(np.concatenate(maps), np.array(places, dtype=np.float64), sigmas)


def _blurred(fluence: FluenceMap, sigma_mm: float, factor: int) -> tuple[FloatArray, tuple[float, float], float]:
    """The map blurred to ``sigma_mm`` on pixels ``factor`` times as wide, first pixel center, and pitch.

    What means over pixels and interpolation between them blur already is taken off: 1/12 and on average 1/6 pixel^2.
    """
    fine = fluence.raster
    pitch = factor * fine.pitch_mm
    margin = math.ceil(_SIGMAS * sigma_mm / pitch) + 2
    rows, columns = math.ceil(fine.rows / factor), math.ceil(fine.columns / factor)
    padded = np.zeros((rows * factor, columns * factor))
    padded[: fine.rows, : fine.columns] = fluence.values
    coarse = np.pad(padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3)), margin)
    left = math.sqrt(max(sigma_mm**2 - pitch**2 / 4.0, 0.0)) / pitch
    values = gaussian_filter(coarse, left, mode="constant", truncate=_SIGMAS) if left > 0.05 else coarse
    return values, (fine.left_mm + (0.5 - margin) * pitch, fine.bottom_mm + (0.5 - margin) * pitch), pitch


def superpose(body: Body, beam: Beam, fluence: FluenceMap, widths: Widths, dose: Float32Array) -> None:
    """Add the dose of one fluence map (photons per cm2) to ``dose`` [k, j, i], in Gy.

    Raises:
        GeometryError: the source lies in the phantom, the field misses it.
        InputError: no fluence.
    """
    rows, columns = fluence.values.any(axis=1), fluence.values.any(axis=0)
    if not rows.any():
        raise InputError(f"{beam.label} delivers no fluence: its monitor units are 0 or its leaves are closed")
    pose = Pose.of(beam, fluence.gantry_deg)
    grid = body.medium.grid
    x, y = fluence.raster.x_mm[columns], fluence.raster.y_mm[rows]
    trace_beyond = (
        (float(x[0]) - _SCATTER_MM, float(x[-1]) + _SCATTER_MM),
        (float(y[0]) - _SCATTER_MM, float(y[-1]) + _SCATTER_MM),
    )
    rays = trace(body, beam, pose, widths, *trace_beyond)
    blur = np.array([0.0, 0.0, *footprint_variance_mm2(body.medium, pose)])
    # stretched by lung and projected back from the far side of the phantom a width grows about threefold
    ladder = Ladder.of(fluence, 3.0 * float(widths.sigmas_mm.max()))
    _kernels.superpose(
        body.inside,
        body.per_gram,
        np.array(grid.origin_mm),
        np.array(grid.spacing_mm),
        pose.source_mm,
        pose.rotation,
        pose.sad_mm,
        rays.nodes,
        rays.fan,
        widths.amplitudes,
        widths.sigmas_mm,
        widths.mixing,
        blur,
        ladder.maps,
        ladder.places,
        ladder.sigmas_mm,
        dose,
    )

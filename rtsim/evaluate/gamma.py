"""Gamma index: do two dose distributions agree within a dose difference or a distance?

Low 1998 (doi:10.1118/1.598248); search stopped early after Wendling 2007 (doi:10.1118/1.2721657). TG-218
(doi:10.1002/mp.12810) recommends global normalisation, 3 %/2 mm and a 10 % threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate._kernels import gamma_values
from rtsim.typing import BoolArray, Float32Array, FloatArray, Progress

STEPS_PER_DISTANCE: Final = 10
"""The evaluated dose is searched in steps of the distance criterion / 10: gamma is too large by <= 0.05 at the
worst.
"""
_CHUNK: Final = 200_000


@dataclass(frozen=True, eq=False, kw_only=True)
class GammaResult:
    """Gamma of a comparison.

    Attributes:
        values: (nz, ny, nx) float32 on the reference grid, read-only; NaN where it was not evaluated (below the
            threshold, outside the mask or outside the evaluated grid). Values are resolved up to ``cap``.
        pass_percent: percent of the evaluated voxels with gamma <= 1.
        evaluated_voxels: how many that are.
        outside_voxels: voxels above the threshold that lie outside the evaluated grid and were left out.
        dose_percent, distance_mm, threshold_percent, is_local, normalization_gy, cap: what was asked.
    """

    values: Float32Array
    pass_percent: float
    evaluated_voxels: int
    outside_voxels: int
    dose_percent: float
    distance_mm: float
    threshold_percent: float
    is_local: bool
    normalization_gy: float
    cap: float

    def __post_init__(self) -> None:
        self.values.flags.writeable = False

    @property
    def mean(self) -> float:
        """Mean gamma of the evaluated voxels (values beyond ``cap`` count as ``cap``)."""
        return float(np.nanmean(self.values))

    def __str__(self) -> str:
        kind = "local" if self.is_local else f"global to {self.normalization_gy:.4g} Gy"
        return (
            f"gamma {self.dose_percent:g} %/{self.distance_mm:g} mm, {kind}, above {self.threshold_percent:g} %: "
            f"{self.pass_percent:.2f} % of {self.evaluated_voxels} voxels pass, mean {self.mean:.3f}"
        )


def gamma(
    reference: Dose,
    evaluated: Dose,
    *,
    dose_percent: float = 3.0,
    distance_mm: float = 2.0,
    threshold_percent: float = 10.0,
    mask: BoolArray | None = None,
    is_local: bool = False,
    normalization_gy: float | None = None,
    cap: float = 2.0,
    progress: Progress | None = None,
) -> GammaResult:
    """3-D gamma of every reference voxel against the trilinear evaluated dose (the grids need not match).

    Args:
        dose_percent: dose criterion in percent of ``normalization_gy``; with ``is_local`` of the reference dose of the
            voxel.
        distance_mm: distance criterion.
        threshold_percent: reference voxels below this percent of ``normalization_gy`` are left out.
        mask: (nz, ny, nx) on the reference grid: evaluate only here.
        normalization_gy: default the maximum of the reference (inside the mask).
        cap: gamma is resolved up to this value; larger costs time.

    Raises:
        InputError: criteria that are not > 0, a mask of another shape, or no voxel to evaluate.
    """
    for name, given in (("reference", reference), ("evaluated", evaluated)):
        if not isinstance(given, Dose):
            raise InputError(
                f"{name} is a {type(given).__name__}; gamma compares doses: "
                "rt.Dose(values_gy=array, grid=rt.Grid(shape, spacing_mm, origin_mm))"
            )
    for name, value in (("dose_percent", dose_percent), ("distance_mm", distance_mm), ("cap", cap)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; gamma needs {name} > 0")
    ref = np.ascontiguousarray(reference.values_gy, dtype=np.float32)
    if mask is not None and np.shape(mask) != ref.shape:
        raise InputError(f"mask has shape {np.shape(mask)}; the reference dose has {ref.shape} (nz, ny, nx)")
    wanted = np.ones(ref.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    top_gy = float(ref[wanted].max(initial=0.0)) if normalization_gy is None else float(normalization_gy)
    if top_gy <= 0:
        raise InputError(f"normalization_gy is {top_gy}; the reference needs a dose > 0 Gy (inside the mask)")
    voxels = np.argwhere(wanted & (ref >= threshold_percent / 100.0 * top_gy) & (ref > 0))
    if not len(voxels):
        raise InputError(
            f"no voxel of the reference lies above {threshold_percent:g} % of {top_gy:g} Gy inside the mask"
        )
    local = ref[tuple(voxels.T)].astype(np.float64) if is_local else np.full(len(voxels), top_gy)
    found = _search(reference, evaluated, voxels, dose_percent / 100.0 * local, distance_mm, cap, progress)
    values = np.full(ref.shape, np.nan, dtype=np.float32)
    values[tuple(voxels.T)] = found
    inside = np.isfinite(found)
    if not inside.any():
        raise InputError("the evaluated dose grid does not meet the reference voxels above the threshold")
    return GammaResult(
        values=values,
        pass_percent=100.0 * float(np.mean(found[inside] <= 1.0)),
        evaluated_voxels=int(inside.sum()),
        outside_voxels=int((~inside).sum()),
        dose_percent=dose_percent,
        distance_mm=distance_mm,
        threshold_percent=threshold_percent,
        is_local=is_local,
        normalization_gy=top_gy,
        cap=cap,
    )


def _search(
    reference: Dose,
    evaluated: Dose,
    voxels: np.ndarray,
    criterion_gy: FloatArray,
    distance_mm: float,
    cap: float,
    progress: Progress | None,
) -> Float32Array:
    step = np.array(evaluated.grid.spacing_mm)
    scale = np.array(reference.grid.spacing_mm) / step
    shift = (np.array(reference.grid.origin_mm) - np.array(evaluated.grid.origin_mm)) / step
    offsets_mm, distance2 = _offsets(distance_mm, cap)
    out = np.empty(len(voxels), dtype=np.float32)
    volumes = [np.ascontiguousarray(d.values_gy, dtype=np.float32) for d in (reference, evaluated)]
    for first in range(0, len(voxels), _CHUNK):
        part = slice(first, first + _CHUNK)
        gamma_values(
            np.ascontiguousarray(voxels[part]),
            volumes[0],
            volumes[1],
            scale,
            shift,
            offsets_mm / step,
            distance2,
            distance_mm / step,
            np.ascontiguousarray(criterion_gy[part]),
            cap,
            out[part],
        )
        if progress is not None:
            progress(min(1.0, (first + _CHUNK) / len(voxels)), "gamma")
    return out


def _offsets(distance_mm: float, cap: float) -> tuple[FloatArray, FloatArray]:
    """Offsets (p, 3) in mm inside the sphere of radius cap * distance_mm, and (r / distance_mm)^2, sorted by it."""
    reach = int(np.floor(cap * STEPS_PER_DISTANCE + 1e-9))
    axis = np.arange(-reach, reach + 1) / STEPS_PER_DISTANCE
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    squared = (grid**2).sum(axis=1)
    keep = squared <= cap * cap + 1e-9
    order = np.argsort(squared[keep], kind="stable")
    return grid[keep][order] * distance_mm, squared[keep][order]

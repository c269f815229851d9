"""Gamma index: do two dose distributions agree within a dose difference or a distance?

Low 1998 (doi:10.1118/1.598248); search stopped early after Wendling 2007 (doi:10.1118/1.2721657). TG-218
(doi:10.1002/mp.12810) recommends global normalisation, 3 %/2 mm and a 10 % threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.result import Dose, highest_gy
from rtsim.errors import InputError
from rtsim.evaluate._kernels import BLOCK_POINTS, gamma_values
from rtsim.geometry.grid import Grid
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, FloatArray, IntArray, Progress

STEPS_PER_DISTANCE: Final = 10
"""The evaluated dose is searched on shells of points this many to a distance criterion, as pymedphys does by default.

No place is farther than sqrt(3)/2 of a step from a point, so gamma is too large by at most 0.087 x sqrt(1 + g^2), g the
dose gradient in dose criteria per distance criterion, and by far less but where gamma is near 0.
"""
LARGEST_CAP: Final = 10.0
_CHUNK: Final = 200_000
_BLOCK: Final = 0.5
"""Extent of a block of search points, in distance criteria (and no more than a voxel): larger blocks are ruled out less
often, smaller ones hold too few points.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class GammaResult:
    """Gamma of a comparison.

    Attributes:
        values: (nz, ny, nx) float32 on the reference grid, read-only; NaN where it was not evaluated (below the
            threshold, outside the mask or outside the evaluated grid). Values are resolved up to ``cap``.
        pass_percent: percent of the evaluated voxels with gamma <= 1.
        evaluated_voxels: how many that are.
        outside_voxels: voxels above the threshold that lie outside the evaluated grid and were left out.
        dose_percent, distance_mm, threshold_percent, is_local, is_planar, normalization_gy, cap: what was asked.
    """

    values: Float32Array
    pass_percent: float
    evaluated_voxels: int
    outside_voxels: int
    dose_percent: float
    distance_mm: float
    threshold_percent: float
    is_local: bool
    is_planar: bool
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
        kind += ", slice by slice" if self.is_planar else ""
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
    is_planar: bool = False,
    normalization_gy: float | None = None,
    cap: float = 2.0,
    progress: Progress | None = None,
) -> GammaResult:
    """Gamma of every reference voxel against the trilinear evaluated dose (the grids need not match).

    The evaluated dose is known between its outermost voxel centers and is searched there only; along an axis of one
    voxel it is not searched, so that grids of one slice give the gamma of two planes. Reference voxels outside its
    outer edges are left out and counted.

    Args:
        dose_percent: dose criterion in percent of ``normalization_gy``; with ``is_local`` of the reference dose of the
            voxel.
        distance_mm: distance criterion.
        threshold_percent: reference voxels below this percent of ``normalization_gy`` are left out; with ``is_local``
            also those without dose.
        mask: (nz, ny, nx) on the reference grid: evaluate only here.
        is_planar: search in the transverse plane of each voxel only: the 2-D gamma, slice by slice. The slices of the
            reference must be slices of the evaluated dose; nothing is interpolated across.
        normalization_gy: default the maximum of the reference (inside the mask); of one with noise ``highest_gy``.
        cap: gamma is resolved up to this value; larger costs time.

    Raises:
        InputError: criteria that are not > 0, a mask of another shape, slices that do not meet, or no voxel to
            evaluate.
    """
    _check(reference, evaluated, dose_percent, distance_mm, threshold_percent, cap)
    ref = reference.values_gy
    if mask is not None and np.shape(mask) != ref.shape:
        raise InputError(f"mask has shape {np.shape(mask)}; the reference dose has {ref.shape} (nz, ny, nx)")
    wanted = np.ones(ref.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if normalization_gy is None:
        noise = reference.uncertainty_gy
        top_gy = highest_gy(ref[wanted], None if noise is None else noise[wanted])
    else:
        top_gy = float(normalization_gy)
    if not (np.isfinite(top_gy) and top_gy > 0):
        raise InputError(f"normalization_gy is {top_gy}; the reference needs a dose > 0 Gy (inside the mask)")
    above = wanted & (ref >= threshold_percent / 100.0 * top_gy)
    voxels = np.argwhere(above & (ref > 0) if is_local else above)
    if not len(voxels):
        raise InputError(
            f"no voxel of the reference lies above {threshold_percent:g} % of {top_gy:g} Gy inside the mask"
        )
    if is_planar:
        _check_slices(reference.grid, evaluated.grid)
    local = ref[tuple(voxels.T)].astype(np.float64) if is_local else np.full(len(voxels), top_gy)
    criterion_gy = dose_percent / 100.0 * local
    found = _search(reference, evaluated, voxels, criterion_gy, distance_mm, cap, is_planar, progress)
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
        is_planar=is_planar,
        normalization_gy=top_gy,
        cap=cap,
    )


def _check(
    reference: Dose, evaluated: Dose, dose_percent: float, distance_mm: float, threshold_percent: float, cap: float
) -> None:
    for name, given in (("reference", reference), ("evaluated", evaluated)):
        if not isinstance(given, Dose):
            raise InputError(
                f"{name} is a {type(given).__name__}; gamma compares doses: "
                "rt.Dose(values_gy=array, grid=rt.Grid(shape, spacing_mm, origin_mm))"
            )
    for name, value in (("dose_percent", dose_percent), ("distance_mm", distance_mm), ("cap", cap)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; gamma needs {name} > 0")
    if cap > LARGEST_CAP:
        raise InputError(f"cap is {cap}; gamma is resolved up to at most {LARGEST_CAP:g} (1 decides pass or fail)")
    if not (np.isfinite(threshold_percent) and threshold_percent >= 0):
        raise InputError(f"threshold_percent is {threshold_percent}; gamma needs a threshold >= 0 % of the maximum")


def _check_slices(reference: Grid, evaluated: Grid) -> None:
    """Every reference slice within the evaluated grid is one of its slices."""
    if evaluated.shape[0] == 1:
        return
    place = (reference.z_mm - evaluated.origin_mm[2]) / evaluated.spacing_mm[2]
    place = place[(place > -0.5) & (place < evaluated.shape[0] - 0.5)]
    apart = np.abs(place - np.round(place)).max(initial=0.0) * evaluated.spacing_mm[2]
    if apart > 1e-3:
        raise InputError(
            f"slices of the reference lie up to {apart:.3g} mm from those of the evaluated dose; is_planar=True "
            "interpolates nothing across: give evaluated.on(reference.grid), or is_planar=False"
        )


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Where to look about a reference point, as `gamma_values` wants it."""

    points: Float32Array
    boxes: FloatArray
    nearest: Float32Array


def _search(
    reference: Dose,
    evaluated: Dose,
    voxels: IntArray,
    criterion_gy: FloatArray,
    distance_mm: float,
    cap: float,
    is_planar: bool,
    progress: Progress | None,
) -> Float32Array:
    step = np.array(evaluated.grid.spacing_mm)
    scale = np.array(reference.grid.spacing_mm) / step
    shift = (np.array(reference.grid.origin_mm) - np.array(evaluated.grid.origin_mm)) / step
    nz, ny, nx = evaluated.grid.shape
    searched = (nz > 1 and not is_planar, ny > 1, nx > 1)
    blocks = _in_blocks(_shells(cap, searched), step / distance_mm)
    out = np.empty(len(voxels), dtype=np.float32)
    for first in range(0, len(voxels), _CHUNK):
        part = slice(first, first + _CHUNK)
        gamma_values(
            voxels[part],
            reference.values_gy,
            evaluated.values_gy,
            scale,
            shift,
            blocks.points,
            blocks.boxes,
            blocks.nearest,
            step / distance_mm,
            criterion_gy[part],
            float(cap),
            out[part],
        )
        if progress is not None:
            progress(min(1.0, (first + _CHUNK) / len(voxels)), "gamma")
    return out


def _shells(cap: float, searched: tuple[bool, bool, bool]) -> FloatArray:
    """Offsets (p, 3) in distance criteria, order (z, y, x), on shells about 0 that lie within ``cap``.

    Shells are 1 / STEPS_PER_DISTANCE apart, and so are, at most, the points of a shell: on a sphere rings of equal
    polar angle about the last axis, with points at equal angles. Axes that are not ``searched`` keep 0.
    """
    axes = sum(searched)
    shells = [np.zeros((1, axes))]
    for n in range(1, int(np.floor(cap * STEPS_PER_DISTANCE + 1e-9)) + 1 if axes else 1):
        radius = n / STEPS_PER_DISTANCE
        if axes == 1:
            shells.append(np.array([[radius], [-radius]]))
        elif axes == 2:
            shells.append(radius * _ring(2 * np.pi * n))
        else:
            for polar in np.linspace(0.0, np.pi, int(np.ceil(np.pi * n)) + 1):
                ring = np.sin(polar) * _ring(2 * np.pi * n * np.sin(polar))
                shells.append(radius * np.column_stack([ring, np.full(len(ring), np.cos(polar))]))
    offsets = np.zeros((sum(map(len, shells)), 3))
    offsets[:, np.array(searched)] = np.concatenate(shells)
    return offsets


def _ring(circumference: float) -> FloatArray:
    """(p, 2) points on the unit circle: one more than the circumference in steps needs, at equal angles."""
    count = int(np.ceil(circumference)) + 1
    angle = 2 * np.pi * np.arange(count) / count
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _in_blocks(offsets: FloatArray, spacing: AnyFloatArray) -> _Blocks:
    """Offsets (p, 3) in distance criteria, order (z, y, x), gathered into blocks, the nearest first.

    The points of a block lie in one box of a lattice that divides the voxels of the evaluated grid. Blocks are filled
    up by repeating a point.

    Args:
        spacing: (3,) of the evaluated grid in distance criteria, order (x, y, z).
    """
    xyz, squared = offsets[:, ::-1] / spacing, (offsets**2).sum(axis=1)
    pieces = np.maximum(1.0, np.round(spacing / _BLOCK))
    place = np.floor(xyz * pieces + 1e-9).astype(np.int64)
    place -= place.min(axis=0)
    box = np.ravel_multi_index(tuple(place.T), tuple(place.max(axis=0) + 1))
    order = np.lexsort((squared, box))
    parts = []
    for members in np.split(order, np.flatnonzero(np.diff(box[order])) + 1):
        missing = -len(members) % BLOCK_POINTS
        parts.append(np.append(members, np.repeat(members[-1], missing)).reshape(-1, BLOCK_POINTS))
    blocks = np.concatenate(parts)
    blocks = blocks[np.argsort(squared[blocks[:, 0]], kind="stable")]
    points = np.concatenate([xyz[blocks].transpose(0, 2, 1), squared[blocks][:, None]], axis=1)
    return _Blocks(
        points=np.ascontiguousarray(points, dtype=np.float32),
        boxes=np.concatenate([xyz[blocks].min(axis=1), xyz[blocks].max(axis=1)], axis=1),
        nearest=squared[blocks[:, 0]].astype(np.float32),
    )

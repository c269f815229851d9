"""Transport of released energy along the cones of a kernel: the NumPy side of the plane sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.collapsed_cone import _kernels
from rtsim.dose.collapsed_cone.kernel import ConeKernel
from rtsim.geometry.grid import Grid
from rtsim.typing import Float32Array, FloatArray

AXES: Final = np.array([[0, 2, 1], [1, 2, 0], [2, 1, 0]], dtype=np.int64)
"""xyz numbers of the axes (a, b, c) of the volume whose dominant axis is x, y, z."""
_DIRECTIONS_PER_TASK: Final = 8


@dataclass(frozen=True, eq=False)
class _Tasks:
    axis: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    first: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    last: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    slot: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    slots: tuple[int, int, int]


def energy_to_dose_per_electron(
    electron_density: Float32Array,
    soft: Float32Array,
    hard: Float32Array,
    grid: Grid,
    kernel: ConeKernel,
    rotation: FloatArray,
    source_mm: FloatArray,
    *,
    tilt: bool = True,
) -> Float32Array:
    """Absorbed energy per relative electron density, MeV per (cm3 x electron density), [k, j, i] float32.

    Absorbed energy per volume is this times ``electron_density``; the transport is float32: its rounding stays below
    1e-5 of the dose (tests/analytic/test_dose_transport.py).

    Args:
        electron_density: [k, j, i] relative to water of 1 g/cm3.
        soft, hard: [k, j, i] released energy per volume, MeV/cm3.
        rotation: (3, 3), columns BLD axes in LPS; the photons travel along -rotation[:, 2] on the axis.
        source_mm: (3,) LPS, from which local rays leave; kernels are tilted to them (ConeKernel.tilt) unless
        ``tilt`` is False.
    """
    forward = np.stack([rotation[:, 0], rotation[:, 1], -rotation[:, 2]], axis=1)
    directions = kernel.directions @ forward.T
    across = directions - kernel.directions[:, 2:3] * forward[:, 2]
    across /= np.linalg.norm(across, axis=1)[:, None]
    dominant = np.argmax(np.abs(directions) + np.array([0.0, 1e-9, 2e-9]), axis=1)
    order = np.argsort(dominant, kind="stable")
    tasks = _tasks(dominant[order])
    volumes = [_ordered(v, a, bool(tasks.slots[a])) for a in (2, 1, 0) for v in (electron_density, soft, hard)]
    outs = [
        np.zeros((max(tasks.slots[a], 1), *volumes[3 * n].shape), dtype=np.float32) for n, a in enumerate((2, 1, 0))
    ]
    tilts = kernel.tilt * (1.0 if tilt else 0.0)
    _kernels.transport(
        *volumes,
        *outs,
        AXES,
        tasks.axis,
        tasks.first,
        tasks.last,
        tasks.slot,
        np.ascontiguousarray(directions[order]),
        np.ascontiguousarray(across[order]),
        np.ascontiguousarray(forward[:, 2]),
        np.asarray(source_mm, dtype=np.float64),
        np.array(grid.origin_mm),
        np.array(grid.spacing_mm),
        np.ascontiguousarray(kernel.exponents_per_cm[order]),
        np.ascontiguousarray(kernel.soft[order]),
        np.ascontiguousarray(kernel.hard[order]),
        np.ascontiguousarray(tilts[order]),
        _residual_size(grid, directions, dominant),
    )
    total = np.zeros(grid.shape, dtype=np.float32)
    for out, back in zip(outs, ((0, 1, 2), (1, 0, 2), (1, 2, 0)), strict=True):
        if out.shape[1] > 1 or out.any():
            total += out.sum(axis=0)[:, 1:-1, 1:-1].transpose(back)
    return total


def _ordered(volume: Float32Array, axis: int, needed: bool) -> Float32Array:
    """The volume with ``axis`` (x 0, y 1, z 2) first and a border of zeros about the other two."""
    if not needed:
        return np.zeros((1, 3, 3), dtype=np.float32)
    turned = volume.transpose(((2, 0, 1), (1, 0, 2), (0, 1, 2))[axis])
    out = np.zeros((turned.shape[0], turned.shape[1] + 2, turned.shape[2] + 2), dtype=np.float32)
    out[:, 1:-1, 1:-1] = turned
    return out


def _tasks(dominant: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> _Tasks:
    axis: list[int] = []
    first: list[int] = []
    last: list[int] = []
    slot: list[int] = []
    slots = [0, 0, 0]
    for a in range(3):
        start, stop = int(np.searchsorted(dominant, a)), int(np.searchsorted(dominant, a, side="right"))
        for lo in range(start, stop, _DIRECTIONS_PER_TASK):
            axis.append(a)
            first.append(lo)
            last.append(min(lo + _DIRECTIONS_PER_TASK, stop))
            slot.append(slots[a])
            slots[a] += 1
    return _Tasks(np.array(axis), np.array(first), np.array(last), np.array(slot), (slots[0], slots[1], slots[2]))


def _residual_size(
    grid: Grid, directions: FloatArray, dominant: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> int:
    """Elements that the line energies of the widest direction need."""
    counts = np.array([grid.shape[2], grid.shape[1], grid.shape[0]])
    spacing = np.array(grid.spacing_mm)
    largest = 0
    for d, a in zip(directions, dominant, strict=True):
        lines = [
            counts[n] + 4 + int(np.ceil(abs(d[n] / d[a]) * counts[a] * spacing[a] / spacing[n]))
            for n in range(3)
            if n != a
        ]
        largest = max(largest, 4 * lines[0] * lines[1])
    return largest

"""The outline that a sac or a cord would have without the tumor: its own, from the slices above and below the tumor.

The outlines of the nearest slices that no tumor touches are interpolated by their signed distances. Each is moved to
where the structure would lie: along the straight line between the two, and with the canal where the canal turns aside;
where the canal is cut more obliquely than there, the outline is as much longer. Then it is moved a little more, to
where it shares most area with the structure as it is drawn: what is pushed aside as a whole is displaced, not deformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import affine_transform

from rtsim.clinic.escc_slices import PIXEL_MM, Stack, area_mm2, center_mm, signed_mm
from rtsim.typing import BoolArray, FloatArray

_FAR: Final = 1.0e3
_STEPS_MM: Final = (1.0, 0.5, 0.25)
_LIKE: Final = 1.3
"""Areas of the two slices that differ by more than this factor (the conus) tell the shape, not the size."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What is expected on one slice.

    Attributes:
        signed_mm: (ny, nx) distance to the expected outline, negative inside.
        sides: how many of the two sides it comes from, 1 or 2.
    """

    signed_mm: FloatArray
    sides: int

    @property
    def inside(self) -> BoolArray:
        """(ny, nx) the expected area."""
        return np.asarray(self.signed_mm < 0.0)

    def depth_of(self, what: BoolArray) -> float:
        """How deep ``what`` reaches into the expected area, mm; 0 when it does not."""
        return max(0.0, -float(self.signed_mm[what].min())) if what.any() else 0.0


def expected(structure: Stack, canal: Stack | None, is_free: BoolArray, k: int, most_mm: float) -> Outline | None:
    """The outline expected on slice ``k``; None when no free slice shows the structure.

    Args:
        is_free: (n,) slices that no tumor touches.
        most_mm: how far the outline may be moved towards the structure as drawn.
    """
    near = _nearest_free(structure, is_free, k)
    if not near:
        return None
    weights = _weights(structure.z_mm, near, k)
    drawn = structure.on(k)
    middle, field = np.zeros(2), np.zeros(drawn.shape)
    for a, weight in zip(near, weights, strict=True):
        middle += weight * (center_mm(structure.on(a)) + _offset(canal, a, k))
    for a, weight in zip(near, weights, strict=True):
        outline = structure.on(a)
        field += weight * _placed(signed_mm(outline), center_mm(outline), middle, (_stretch(canal, a, k), 1.0))
    areas = [area_mm2(structure.on(a)) for a in near]
    if drawn.any() and (len(near) == 1 or max(areas) > _LIKE * min(areas)):
        scale = float(np.sqrt(area_mm2(drawn) / max(area_mm2(field < 0.0), PIXEL_MM**2)))
        field = _placed(field, middle, middle, (scale, scale)) * scale
    return Outline(_fitted(field, drawn, most_mm), len(near))


def _nearest_free(structure: Stack, is_free: BoolArray, k: int) -> list[int]:
    """The nearest free slice below and above that shows the structure."""
    usable = np.flatnonzero(is_free & structure.drawn)
    below, above = usable[usable < k], usable[usable > k]
    return [int(side[pick]) for side, pick in ((below, -1), (above, 0)) if side.size]


def _weights(z_mm: FloatArray, near: list[int], k: int) -> list[float]:
    if len(near) == 1:
        return [1.0]
    t = float((z_mm[k] - z_mm[near[0]]) / (z_mm[near[1]] - z_mm[near[0]]))
    return [1.0 - t, t]


def _offset(canal: Stack | None, a: int, k: int) -> FloatArray:
    """How far the canal has moved from slice ``a`` to ``k``; nothing where it is not drawn on both."""
    if canal is None or not (canal.on(a).any() and canal.on(k).any()):
        return np.zeros(2)
    return center_mm(canal.on(k)) - center_mm(canal.on(a))


def _stretch(canal: Stack | None, a: int, k: int) -> float:
    """How much longer, front to back, the canal is on slice ``k`` than on ``a``."""
    if canal is None or not (canal.on(a).any() and canal.on(k).any()):
        return 1.0
    return float(np.clip(_depth_pixels(canal.on(k)) / _depth_pixels(canal.on(a)), 0.7, 1.4))


def _depth_pixels(canal: BoolArray) -> float:
    """Mean depth of the middle third of the canal: foramina at the sides do not count."""
    columns = np.flatnonzero(canal.any(axis=0))
    third = len(columns) // 3
    return float(np.count_nonzero(canal[:, columns[third : len(columns) - third]], axis=0).mean())


def _placed(field: FloatArray, middle: FloatArray, target: FloatArray, scale: tuple[float, float]) -> FloatArray:
    """A field about ``middle`` (y, x) mm put about ``target`` and stretched by ``scale``."""
    matrix = 1.0 / np.array(scale)
    offset = middle / PIXEL_MM - matrix * target / PIXEL_MM
    return np.asarray(affine_transform(field, matrix, offset, order=1, mode="constant", cval=_FAR))


def _fitted(field: FloatArray, drawn: BoolArray, most_mm: float) -> FloatArray:
    """Moved by at most ``most_mm`` each way to where least area is inside one outline only."""
    best, found, at = _unshared(field, drawn), field, np.zeros(2)
    for step in _STEPS_MM:
        improved = True
        while improved:
            improved = False
            for way in ((0.0, step), (0.0, -step), (step, 0.0), (-step, 0.0)):
                trial = at + np.array(way)
                if np.abs(trial).max() > most_mm:
                    continue
                moved = _moved(field, trial)
                value = _unshared(moved, drawn)
                if value < best - 1e-9:
                    best, found, at, improved = value, moved, trial, True
    return found


def _moved(field: FloatArray, by_mm: FloatArray) -> FloatArray:
    """A field moved by whole pixels; what comes in from beyond is far outside."""
    j, i = (round(float(s) / PIXEL_MM) for s in by_mm)
    ny, nx = field.shape
    out = np.full(field.shape, _FAR)
    out[max(j, 0) : ny + min(j, 0), max(i, 0) : nx + min(i, 0)] = field[
        max(-j, 0) : ny + min(-j, 0), max(-i, 0) : nx + min(-i, 0)
    ]
    return out


def _unshared(field: FloatArray, drawn: BoolArray) -> float:
    return area_mm2((field < 0.0) ^ drawn)

"""Boxes about the rays of beamlets, and which beamlets share one for their scattered photons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.beams.model import Beam, Beamlets
from rtsim.dose.medium import Medium
from rtsim.dose.terma.fan import Pose, corners_mm
from rtsim.errors import GeometryError
from rtsim.geometry.grid import Grid
from rtsim.typing import FloatArray

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

GROUP_MM: Final = 10.5
"""Neighboring beamlets within so many mm of the isocenter plane share the dose of their scattered photons."""
FAST_MARGIN_G_CM2: Final = 1.2
"""Room beside a beamlet for its primary electrons."""
_WIDEST_FAST_MM: Final = 40.0
_THINNEST: Final = 0.2
_SAMPLES: Final = 64
_MATTER: Final = 0.02


@dataclass(frozen=True, eq=False, kw_only=True)
class Boxes:
    """Boxes of cubes about rays from one source.

    Attributes:
        frames: (n, 3, 3), columns: lateral x, lateral y, direction of the central ray.
        starts_mm: (n,) where they begin, from the source along their rays.
        shapes: (n, 3) depth, y, x.
        pitch_mm: (3,) of their cells: depth, y, x.
        fan_mm: with a value > 0 the columns of a box diverge from the source, and their pitch is that at this distance.
        openings: (n of each box, 5) limits in x and y of the isocenter plane, and fluence, of what enters.
    """

    frames: FloatArray
    starts_mm: FloatArray
    shapes: IntArray
    pitch_mm: FloatArray
    fan_mm: float
    openings: tuple[FloatArray, ...]

    @property
    def cells(self) -> IntArray:
        """(n + 1,) cells before each box."""
        return np.concatenate([[0], np.cumsum(self.shapes.prod(axis=1))])

    @property
    def opening_starts(self) -> IntArray:
        """(n + 1,) openings before each box."""
        return np.concatenate([[0], np.cumsum([len(o) for o in self.openings])]).astype(np.int64)

    def some(self, chosen: IntArray) -> Boxes:
        """These boxes, in this order."""
        return Boxes(
            frames=np.ascontiguousarray(self.frames[chosen]),
            starts_mm=self.starts_mm[chosen],
            shapes=np.ascontiguousarray(self.shapes[chosen]),
            pitch_mm=self.pitch_mm,
            fan_mm=self.fan_mm,
            openings=tuple(self.openings[int(n)] for n in chosen),
        )

    def voxels(self, grid: Grid) -> int:
        """No box holds more voxels of a grid than this."""
        ends = self.starts_mm + self.shapes[:, 0] * self.pitch_mm[0]
        wide = max(1.0, float(ends.max()) / self.fan_mm) if self.fan_mm > 0.0 else 1.0
        sides = self.shapes * self.pitch_mm * wide + float(np.linalg.norm(grid.spacing_mm))
        return min(int(sides.prod(axis=1).max() / float(np.prod(grid.spacing_mm))) + 1, grid.size)


def groups_of(beamlets: Beamlets) -> tuple[IntArray, ...]:
    """Beamlets in squares of at most ``GROUP_MM``, each group's numbers in ascending order."""
    bins = []
    for center, width in (
        (beamlets.center_x_mm, beamlets.width_x_mm),
        (beamlets.center_y_mm, beamlets.width_y_mm),
    ):
        side = float(width.max())
        side *= max(1, int(GROUP_MM / side))
        bins.append(np.floor((center - float((center - 0.5 * width).min())) / side).astype(np.int64))
    key = bins[1] * (int(bins[0].max()) + 1) + bins[0]
    order = np.argsort(key, kind="stable")
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    return tuple(np.split(order, cuts))


def openings_of(beamlets: Beamlets, factors: FloatArray) -> FloatArray:
    """(n, 5) limits in x and y, and fluence."""
    x, y, wide, high = beamlets.center_x_mm, beamlets.center_y_mm, beamlets.width_x_mm, beamlets.width_y_mm
    return np.stack([x - wide / 2, x + wide / 2, y - high / 2, y + high / 2, factors], axis=1)


def check_beamlets(beam: Beam, beamlets: Beamlets, pose: Pose, grid: Grid) -> None:
    """Raise GeometryError when the central ray of a beamlet misses the grid."""
    along = _along(pose, np.stack([beamlets.center_x_mm, beamlets.center_y_mm], axis=1))
    entry, leave = _through(grid, pose.source_mm, along)
    missed = np.flatnonzero(leave <= entry)
    if missed.size:
        bad = int(missed[0])
        raise GeometryError(
            f"{beam.label}: beamlet {bad} at ({beamlets.center_x_mm[bad]:g}, {beamlets.center_y_mm[bad]:g}) mm "
            f"misses the phantom {grid.lower_mm} .. {grid.upper_mm} mm"
        )


def fast_margins_mm(medium: Medium, pose: Pose, openings: FloatArray, widest_mm: float) -> FloatArray:
    """(n,) room beside each opening: ``FAST_MARGIN_G_CM2`` in the thin tenth of the matter that its ray and four beside
    it meet; no more than ``widest_mm``."""
    frames = _frames(pose, openings)
    entry, leave = _through(medium.grid, pose.source_mm, frames[:, :, 2])
    at = entry[:, None] + (leave - entry)[:, None] * (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    beside = 10.0 * FAST_MARGIN_G_CM2 * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    offsets = np.einsum("mc,nxc->nmx", beside, frames[:, :, :2])
    points = pose.source_mm + offsets[:, :, None] + at[:, None, :, None] * frames[:, None, None, :, 2]
    shape = np.array(medium.grid.shape[::-1])
    index = np.floor((points - np.array(medium.grid.lower_mm)) / np.array(medium.grid.spacing_mm)).astype(np.int64)
    inside = ((index >= 0) & (index < shape)).all(axis=-1)
    x, y, z = np.moveaxis(np.clip(index, 0, shape - 1), -1, 0)
    density = np.where(inside, medium.electron_density[z, y, x], 0.0).reshape(len(openings), -1)
    matter = np.sort(np.where(density > _MATTER, density, np.inf), axis=1)
    tenth = (0.1 * np.isfinite(matter).sum(axis=1)).astype(np.int64)
    thin = np.clip(np.take_along_axis(matter, tenth[:, None], axis=1)[:, 0], _THINNEST, 1.0)
    return np.asarray(np.minimum(10.0 * FAST_MARGIN_G_CM2 / thin, min(widest_mm, _WIDEST_FAST_MM)))


def fast_pitch_mm(beamlets: Beamlets, step_mm: float) -> FloatArray:
    """(3,) depth, y, x: across, the narrowest beamlet over a whole number, at most the dose grid's spacing.

    Beamlets side by side are then whole cells apart, and their doses add up to a dose without ripple.
    """
    sides = [float(w.min()) for w in (beamlets.width_y_mm, beamlets.width_x_mm)]
    return np.array([step_mm, *(w / max(1, math.ceil(w / step_mm - 0.01)) for w in sides)])


def boxes_about(
    grid: Grid,
    pose: Pose,
    openings: tuple[FloatArray, ...],
    margins_mm: FloatArray,
    pitch_mm: FloatArray,
    fan_mm: float,
) -> Boxes:
    """A box about each set of openings, with ``margins_mm`` (n,) of room on all sides.

    Args:
        pitch_mm, fan_mm: see :class:`Boxes`.
    """
    limits = np.array([[o[:, 0].min(), o[:, 1].max(), o[:, 2].min(), o[:, 3].max()] for o in openings])
    frames = _frames(pose, limits)
    along = frames[:, :, 2]
    widths = np.stack([limits[:, 1] - limits[:, 0], limits[:, 3] - limits[:, 2]], axis=1)
    corners = corners_mm(grid) - pose.source_mm
    entry, leave = _through(grid, pose.source_mm, along)
    # the box starts where its sides, not only its central ray, may meet matter
    reach = margins_mm + widths.max(axis=1)
    span = along @ corners.T
    missed = leave <= entry
    start = np.where(missed, span.min(axis=1), np.maximum(entry - reach, span.min(axis=1)))
    stop = np.where(missed, span.max(axis=1), np.minimum(leave + reach, span.max(axis=1)))
    magnify = 1.0 if fan_mm > 0.0 else float(np.linalg.norm(corners, axis=1).max()) / pose.sad_mm
    # as many cells as leave the edges of the openings on faces of cells, not in their middle
    across = magnify * widths / pitch_mm[:0:-1]
    odd = np.round(across) % 2.0
    lateral = 2 * np.ceil(0.5 * (across - odd) + margins_mm[:, None] / pitch_mm[:0:-1]) + odd
    # a face of cells where the central ray enters: a plane of cells that straddles the surface would count as matter or
    # as none; and a cell more at both ends, so that all that is read lies between centers of cells
    face = np.where(missed, start, entry)
    start = face - (np.ceil((face - start) / pitch_mm[0]) + 1.0) * pitch_mm[0]
    if fan_mm > 0.0:
        # boxes side by side from the same depth on: their lines then lie alike in every plane, and the blur that the
        # sweep's offsets leave in single planes adds up to none over neighboring beamlets
        axial = -along @ pose.rotation[:, 2]
        start = (start * axial).min() / axial
    depth = np.ceil((stop - start) / pitch_mm[0]) + 1.0
    return Boxes(
        frames=frames,
        starts_mm=start,
        shapes=np.stack([depth, lateral[:, 1], lateral[:, 0]], axis=1).astype(np.int64),
        pitch_mm=pitch_mm,
        fan_mm=fan_mm,
        openings=openings,
    )


def _along(pose: Pose, at_mm: FloatArray) -> FloatArray:
    """(n, 3) unit vectors from the source through (n, 2) points of the isocenter plane."""
    local = np.concatenate([at_mm / pose.sad_mm, np.full((len(at_mm), 1), -1.0)], axis=1)
    return np.asarray((local / np.linalg.norm(local, axis=1)[:, None]) @ pose.rotation.T)


def _frames(pose: Pose, limits: FloatArray) -> FloatArray:
    """(n, 3, 3) lateral x, lateral y and direction of the rays through the middles of (n, 4 or more) x and y limits."""
    middle = 0.5 * np.stack([limits[:, 0] + limits[:, 1], limits[:, 2] + limits[:, 3]], axis=1)
    along = _along(pose, middle)
    x = pose.rotation[:, 0] - (along @ pose.rotation[:, 0])[:, None] * along
    x /= np.linalg.norm(x, axis=1)[:, None]
    return np.stack([x, -np.cross(x, along), along], axis=2)


def _through(grid: Grid, source: FloatArray, along: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distances (n,) from the source where rays enter and leave the box of the grid (entry > leave: missed)."""
    safe = np.where(np.abs(along) < 1e-12, 1e-12, along)
    a = (np.array(grid.lower_mm) - source) / safe
    b = (np.array(grid.upper_mm) - source) / safe
    return np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)

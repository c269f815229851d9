"""Transport of released energy along the cones of a kernel: the NumPy side of the plane sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.dose.collapsed_cone import _kernels
from rtsim.dose.collapsed_cone.kernel import Cones
from rtsim.dose.orientation import _kernels as order
from rtsim.dose.orientation.windows import Windows
from rtsim.geometry.grid import Grid
from rtsim.threads import over_ranges
from rtsim.typing import Float32Array, FloatArray

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

AXES: Final = np.array([[0, 2, 1], [1, 2, 0], [2, 1, 0]], dtype=np.int64)
"""xyz numbers of the axes (a, b, c) of the volume whose dominant axis is x, y, z."""
BOX_AXES: Final = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0]], dtype=np.int64)
"""The same for boxes about beamlets (x, y across, z depth): rows across that hold no energy yet are skipped."""
_DIRECTIONS_PER_TASK: Final = 8
_PLASTIC: Final = (0.7548776662466927, 0.5698402909980532)
"""1/p and 1/p^2 of p^3 = p + 1: multiples of the two fill the unit square evenly."""


@dataclass(frozen=True, eq=False)
class OrderedCones:
    """The cones of a kernel, sorted by dominant axis and by which way they go along it.

    Attributes:
        order: (n,) cone numbers.
        limits: (7,) first cone of -x, +x, -y, +y, -z, +z.
        axes: (n, 3) xyz numbers of the axes (a, b, c) of each cone.
        directions: (n, 3) unit vectors, components in the order of ``axes``.
    """

    order: IntArray
    limits: IntArray
    axes: IntArray
    directions: FloatArray

    @classmethod
    def of(cls, directions: FloatArray, axes: IntArray) -> OrderedCones:
        """From (n, 3) unit vectors x, y, z; ``axes`` (3, 3) says in which order each dominant axis keeps the others."""
        dominant = np.argmax(np.abs(directions) + np.array([0.0, 1e-9, 2e-9]), axis=1)
        ways = 2 * dominant + (np.take_along_axis(directions, dominant[:, None], axis=1)[:, 0] > 0.0)
        order = np.argsort(ways, kind="stable")
        own = axes[dominant[order]]
        return cls(
            order=order,
            limits=np.searchsorted(ways[order], np.arange(7)),
            axes=own,
            directions=np.take_along_axis(directions[order], own, axis=1),
        )

    def terms(self, cones: Cones, spacing_mm: FloatArray, *, tilt: bool, spread: bool) -> Float32Array:
        """(n, 13): quarter of a dl of the first term, ratio of the second, soft and hard share of either, tilt A, B, C;
        where the lines of a cone start between the voxels of the first plane, along b and c: evenly spread over the
        cones (else 0), so that their mean blur is the same in every plane; cosine and sine of the azimuth about the
        photon direction.

        Args:
            spacing_mm: (3,) x, y, z.
        """
        step_cm = 0.1 * spacing_mm[self.axes[:, 0]] / np.abs(self.directions[:, 0])
        out = np.zeros((self.order.size, 13), dtype=np.float32)
        out[:, 0] = 0.25 * step_cm * cones.exponents_per_cm[self.order, 0]
        out[:, 1] = cones.ratio
        for term in (0, 1):
            out[:, 2 + 2 * term] = cones.soft[self.order, term]
            out[:, 3 + 2 * term] = cones.hard[self.order, term]
        if tilt:
            out[:, 6:9] = cones.tilt[self.order]
            across = cones.directions[self.order, :2]
            out[:, 11:] = across / np.linalg.norm(across, axis=1)[:, None]
        if spread:
            out[:, 9:11] = np.outer(np.arange(self.order.size), _PLASTIC) % 1.0
        return out


def energy_to_dose_per_electron(
    electron_density: Float32Array,
    soft: Float32Array,
    hard: Float32Array,
    grid: Grid,
    cones: Cones,
    rotation: FloatArray,
    source_mm: FloatArray,
    *,
    tilt: bool = True,
    sharpen: bool = True,
    windows: Windows | None = None,
) -> Float32Array:
    """Absorbed energy per relative electron density, MeV per (cm3 x electron density), [k, j, i] float32.

    Absorbed energy per volume is this times ``electron_density``; the transport is float32: its rounding stays below
    1e-5 of the dose (tests/analytic/test_dose_transport.py).

    Args:
        electron_density: [k, j, i] relative to water of 1 g/cm3.
        soft, hard: [k, j, i] released energy per volume, MeV/cm3.
        rotation: (3, 3), columns BLD axes in LPS; the photons travel along -rotation[:, 2] on the axis.
        cones: one part of a kernel.
        source_mm: (3,) LPS, from which local rays leave; kernels are tilted to them (Cones.tilt) unless ``tilt`` is
            False.
        sharpen: take back the blur of the sweep's bilinear weights beforehand (_kernels.SHARPENINGS).
        windows: the part of each plane that is swept; None = all. What leaves it is lost.
    """
    forward = np.stack([rotation[:, 0], rotation[:, 1], -rotation[:, 2]], axis=1)
    directions = cones.directions @ forward.T
    ordered = OrderedCones.of(directions, AXES)
    spacing = np.array(grid.spacing_mm)
    used = [axis for axis in range(3) if ordered.limits[2 * axis + 2] > ordered.limits[2 * axis]]
    windows = Windows.whole(grid.shape) if windows is None else windows
    shapes = windows.shapes
    sizes = shapes.prod(axis=1)
    starts = np.full(3, -1, dtype=np.int64)
    volumes = np.zeros(_kernels.PARTS * sum(int(sizes[a]) for a in used), dtype=np.float32)
    starts[used] = _kernels.PARTS * np.concatenate([[0], np.cumsum(sizes[used])[:-1]])
    for part, volume in enumerate((electron_density, soft, hard)):
        over_ranges(
            order.fill, grid.shape[0], np.ascontiguousarray(volume), part, shapes, starts, windows.first, volumes
        )
    if tilt:
        over_ranges(
            order.aim,
            int(shapes[used, 0].max()),
            3,
            shapes,
            starts,
            windows.first,
            spacing[AXES],
            np.array(grid.origin_mm)[AXES],
            np.asarray(source_mm, dtype=np.float64)[AXES],
            np.stack([forward[:, :2].T[:, axes] for axes in AXES]),
            volumes,
        )
    own = {
        axis: volumes[starts[axis] : starts[axis] + _kernels.PARTS * sizes[axis]].reshape(
            _kernels.PARTS, shapes[axis, 0], -1
        )
        for axis in used
    }
    if sharpen:
        for axis in used:
            over_ranges(_kernels.sharpen, int(shapes[axis, 0]), own[axis], int(shapes[axis, 2]))
    tasks = _tasks(ordered.limits, sizes)
    outs = np.zeros(int(tasks[-1, 3] + sizes[tasks[-1, 0]]), dtype=np.float32)
    terms = ordered.terms(cones, spacing, tilt=tilt, spread=sharpen)

    def sweep(begin: int, end: int) -> None:
        for axis, first, stop, start in tasks[begin:end].tolist():
            _kernels.cones(
                own[axis],
                outs[start : start + sizes[axis]].reshape(shapes[axis, 0], -1),
                int(shapes[axis, 2]),
                spacing[AXES[axis]],
                windows.first[axis, : shapes[axis, 0]],
                ordered.directions,
                terms,
                first,
                stop,
            )

    over_ranges(sweep, len(tasks))
    total = np.empty(grid.shape, dtype=np.float32)
    over_ranges(order.gather, grid.shape[0], outs, tasks, shapes, windows.first, total)
    return total


def transport_boxes(
    volumes: Float32Array, out: Float32Array, shapes: IntArray, cells: IntArray, cones: Cones, pitch_mm: FloatArray
) -> None:
    """Fill ``out`` with energy per relative electron density of boxes about beamlets, by one part of a kernel.

    Args:
        volumes: relative electron density, soft and hard released energy of each box, one after another; box m of
            shapes[m] (depth, y, x) cells starts at 3 cells[m] here and at cells[m] in ``out``. Depth is the photon
            direction; rays are taken as parallel to it.
        shapes: (n, 3). cells: (n + 1,). pitch_mm: (3,) depth, y, x.
    """
    ordered = OrderedCones.of(cones.directions, BOX_AXES)
    spacing = np.ascontiguousarray(pitch_mm[::-1])
    terms = ordered.terms(cones, spacing, tilt=False, spread=True)
    over_ranges(
        _kernels.box_transport,
        len(shapes),
        volumes,
        out,
        shapes,
        cells,
        ordered.directions,
        ordered.limits,
        terms,
        spacing[BOX_AXES],
    )


def _tasks(limits: IntArray, sizes: IntArray) -> IntArray:
    """(tasks, 4): dominant axis, first and last cone, start of the accumulator; the cones of a task go the same way.

    The split does not depend on the number of threads, so neither does the sum.
    """
    out: list[tuple[int, int, int, int]] = []
    at = 0
    for way in range(6):
        count = int(limits[way + 1] - limits[way])
        parts = -(-count // _DIRECTIONS_PER_TASK)
        for n in range(parts):
            out.append((way // 2, limits[way] + n * count // parts, limits[way] + (n + 1) * count // parts, at))
            at += int(sizes[way // 2])
    return np.array(out, dtype=np.int64)

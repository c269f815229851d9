"""The dose-influence matrix by pencil beam: counted first, so that its memory is known; then written row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from rtsim.beams.model import Beam
from rtsim.dose.beamlets.influence import available_memory_gb
from rtsim.dose.fluence.model import beamlet_sigmas_mm
from rtsim.dose.medium import Medium
from rtsim.dose.pencil_beam import _kernels
from rtsim.dose.pencil_beam.kernel import PencilKernel, pencil_kernel
from rtsim.dose.pencil_beam.rays import (
    Body,
    Layout,
    Rays,
    Widths,
    beamlets_of,
    check_met,
    footprint_variance_mm2,
    trace,
)
from rtsim.dose.terma.fan import Pose, check_source
from rtsim.errors import InputError, ResourceError
from rtsim.typing import BoolArray, Float32Array, FloatArray, IntArray, Progress
from rtsim.units import BYTES_PER_GB, GY_PER_MEV_PER_G

_SAMPLE: Final = 1000
"""Voxels in which the truncation is measured."""


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """What the matrix keeps.

    Attributes:
        lateral_mm: entries farther from their beamlet's center, in the isocenter plane, are dropped.
        fraction: entries below this fraction of what the same beamlet gives at most in water, at the isocenter's
            distance, are dropped.
    """

    lateral_mm: float
    fraction: float


@dataclass(frozen=True, eq=False)
class BeamWork:
    """Everything that the kernels need for one beam.

    Attributes:
        factors: (n,) what multiplies each beamlet, in the order of ``layout``.
        thresholds: (n,) smallest entry that is kept, Gy per monitor unit; (0,) when all are.
        columns: (n,) columns of the matrix.
    """

    body: Body
    beam: Beam
    pose: Pose
    widths: Widths
    layout: Layout
    blur_mm2: FloatArray
    factors: Float32Array
    thresholds: Float32Array
    columns: IntArray
    lateral_mm: float

    @classmethod
    def of(
        cls,
        body: Body,
        beam: Beam,
        photons_per_unit: float,
        factors: FloatArray,
        truncation: Truncation,
        first_column: int,
    ) -> BeamWork:
        """Prepare one beam.

        Raises:
            GeometryError: the source lies in the phantom, a beamlet misses it.
            InputError: the beam has no beamlets.
        """
        pose = Pose.of(beam, beam.gantry_deg)
        check_source(pose, body.medium.grid, beam.name)
        check_met(body.medium, beam, pose)
        layout, kernel = Layout.of(beam), pencil_kernel(beam.machine.spectrum)
        spot = np.array(beamlet_sigmas_mm(beam.machine)) ** 2
        blur = np.concatenate([spot, footprint_variance_mm2(body.medium, pose)])
        widths = Widths.of(kernel).in_slots(float((blur[:2] + blur[2:]).min()), layout.widest_mm)
        scaled = factors[layout.order] * photons_per_unit
        peaks = _peaks_gy(kernel, beam, spot)[layout.order]
        return cls(
            body,
            beam,
            pose,
            widths,
            layout,
            blur,
            scaled.astype(np.float32),
            (truncation.fraction * scaled * peaks).astype(np.float32)[: None if truncation.fraction > 0.0 else 0],
            first_column + layout.order,
            truncation.lateral_mm,
        )

    def rays(self) -> Rays:
        """Trace the rays that reach the voxels about the beamlets."""
        x, y, r = self.layout.x_mm, self.layout.y_mm, self.lateral_mm
        margin = r + 2.0 * float(max(self.body.medium.grid.spacing_mm))
        return trace(
            self.body,
            self.beam,
            self.pose,
            self.widths,
            (float(x[0]) - margin, float(x[-1]) + margin),
            (float(y[0]) - margin, float(y[-1]) + margin),
        )

    @property
    def _space(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float]:
        grid = self.body.medium.grid
        return (
            np.array(grid.origin_mm),
            np.array(grid.spacing_mm),
            self.pose.source_mm,
            self.pose.rotation,
            self.pose.sad_mm,
        )

    def count_reached(self, wanted: BoolArray, counts: IntArray) -> None:
        """Add the beamlets near each voxel to counts [k, j, i]."""
        at = self.layout
        _kernels.count_reached(wanted, *self._space, at.x_mm, at.y_mm, at.start, self.lateral_mm, counts)

    def entries(
        self,
        wanted: BoolArray,
        rays: Rays,
        counts: IntArray,
        into: tuple[IntArray, np.ndarray[tuple[int], np.dtype[np.signedinteger]], Float32Array] | None,
    ) -> None:
        """Count the entries of each voxel into ``counts``, or write them from ``counts`` on (``into`` = the ends of the
        rows, indices, data)."""
        at, w = self.layout, self.widths
        none = np.zeros((1, 1, 1), dtype=np.int64), np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.float32)
        _kernels.entries(
            wanted,
            self.body.per_gram,
            *self._space,
            rays.nodes,
            rays.fan,
            w.amplitudes,
            w.sigmas_mm,
            w.mixing,
            w.wide,
            self.blur_mm2,
            self.lateral_mm,
            at.x_mm,
            at.y_mm,
            at.start,
            at.column_of,
            at.raster,
            self.columns,
            self.factors,
            self.thresholds,
            _stride(wanted.shape[0] * wanted.shape[1]),
            into is not None,
            counts,
            *(none if into is None else into),
        )

    def sampled(self, voxels: IntArray, rays: Rays, weights: FloatArray, out: FloatArray) -> None:
        """Add to out (n, 2) the dose of all beamlets, and of the kept entries, in voxels (n, 3) = (k, j, i)."""
        at, w = self.layout, self.widths
        own = weights[at.order].astype(np.float32)
        _kernels.sampled_sums(
            voxels,
            self.body.per_gram,
            *self._space,
            rays.nodes,
            rays.fan,
            w.amplitudes,
            w.sigmas_mm,
            w.mixing,
            w.wide,
            self.blur_mm2,
            self.lateral_mm,
            at.x_mm,
            at.y_mm,
            at.start,
            at.column_of,
            at.raster,
            self.factors * own,
            self.thresholds * own if self.thresholds.size else self.thresholds,
            out,
        )


def _peaks_gy(kernel: PencilKernel, beam: Beam, spot_mm2: FloatArray) -> FloatArray:
    """(n,) largest dose of each beamlet on its axis in water, Gy per photon/cm2, at the isocenter's distance."""
    b = beamlets_of(beam)
    sides, index = np.unique(np.stack([b.width_x_mm, b.width_y_mm], axis=1), axis=0, return_inverse=True)
    share = np.ones((sides.shape[0], kernel.sigmas_mm.size))
    for axis in range(2):
        share *= 2.0 * ndtr(0.5 * sides[:, axis, None] / np.sqrt(kernel.sigmas_mm**2 + spot_mm2[axis])) - 1.0
    peaks = (share @ kernel.amplitudes.T).max(axis=1) * GY_PER_MEV_PER_G
    return np.asarray(peaks[index.ravel()])


def _stride(lines: int) -> int:
    """Near the golden section of the lines, and coprime to their number."""
    stride = max(1, round(0.618 * lines))
    while math.gcd(stride, lines) != 1:
        stride += 1
    return stride


@dataclass(frozen=True, eq=False)
class Counted:
    """The shape of a matrix before it is allocated.

    Attributes:
        row_starts: (voxels + 1,) int64.
        columns: how many beamlets.
    """

    row_starts: IntArray
    columns: int

    @property
    def index_type(self) -> np.dtype[np.int32] | np.dtype[np.int64]:
        """int32 as long as it can count the entries."""
        largest = max(int(self.row_starts[-1]), self.row_starts.size, self.columns)
        return np.dtype(np.int32) if largest < 2**31 else np.dtype(np.int64)

    @property
    def bytes(self) -> int:
        """Bytes of values, column indices and row starts."""
        each = self.index_type.itemsize
        return int(self.row_starts[-1]) * (4 + each) + self.row_starts.size * each

    def check(self, limit_gb: float | None) -> None:
        """Raise ResourceError when the matrix would not fit (None: in 80 % of the memory that is free)."""
        limit = 0.8 * available_memory_gb() if limit_gb is None else limit_gb
        if self.bytes / BYTES_PER_GB > limit:
            raise ResourceError(
                f"the influence matrix of {self.columns} beamlets needs {self.bytes / BYTES_PER_GB:.3g} GB "
                f"({int(self.row_starts[-1])} entries); {limit:.3g} GB are allowed. Use a larger spacing_mm, fewer "
                "beamlets, a smaller lateral_cutoff_mm, a higher cutoff, or restrict the voxels"
            )


def wanted_voxels(works: Sequence[BeamWork], voxels: BoolArray | None) -> BoolArray:
    """(nz, ny, nx) voxels that get entries: inside the body, and among ``voxels``.

    Raises:
        InputError: ``voxels`` is not of the dose grid's shape.
    """
    inside, grid = works[0].body.inside, works[0].body.medium.grid
    if voxels is None:
        return inside
    if voxels.shape != grid.shape:
        raise InputError(f"voxels has shape {voxels.shape}; the dose grid has {grid.shape} (nz, ny, nx)")
    return np.ascontiguousarray(inside & voxels.astype(np.bool_, copy=False))


def count(works: Sequence[BeamWork], wanted: BoolArray) -> Counted:
    """Count the entries of each row. Without a threshold distances alone say it; else the values are computed."""
    counts = np.zeros(wanted.shape, dtype=np.int64)
    for work in works:
        if work.thresholds.size:
            work.entries(wanted, work.rays(), counts, None)
        else:
            work.count_reached(wanted, counts)
    starts = np.zeros(wanted.size + 1, dtype=np.int64)
    np.cumsum(counts.ravel(), out=starts[1:])
    return Counted(starts, sum(w.columns.size for w in works))


def fill(
    works: Sequence[BeamWork],
    wanted: BoolArray,
    counted: Counted,
    plan: Sequence[FloatArray],
    progress: Progress | None,
) -> tuple[sparse.csr_array, float]:
    """The matrix (voxels, beamlets), Gy per monitor unit, and the share of the plan's dose that it drops.

    Args:
        plan: weights of each beam's beamlets with which the truncation is measured: full against truncated dose of
            that plan, summed over a sample of the wanted voxels. Voxels beyond the cut-off of all beamlets count, at
            the depth of the nearest traced ray.
    """
    starts = counted.row_starts
    data = np.empty(int(starts[-1]), dtype=np.float32)
    indices = np.empty(data.size, dtype=counted.index_type)
    at = starts[:-1].reshape(wanted.shape).copy()
    ends = starts[1:].reshape(wanted.shape)
    sample = _sample(wanted)
    sums = np.zeros((sample.shape[0], 2))
    for n, work in enumerate(works):
        if progress is not None:
            progress(n / len(works), f"influence of beam {work.beam.name}")
        rays = work.rays()
        work.entries(wanted, rays, at, (ends, indices, data))
        work.sampled(sample, rays, plan[n], sums)
    if not np.array_equal(at, ends):
        raise AssertionError("entries that were counted were not all written")
    if progress is not None:
        progress(1.0, "influence")
    matrix = sparse.csr_array(
        (data, indices, starts.astype(counted.index_type)), shape=(starts.size - 1, counted.columns)
    )
    full, kept = sums.sum(axis=0)
    return matrix, (1.0 - float(kept / full) if full > 0.0 else 0.0)


def _sample(wanted: BoolArray) -> IntArray:
    """(n, 3) = (k, j, i), evenly among the wanted voxels."""
    filled = np.flatnonzero(wanted)
    chosen = filled[:: max(1, filled.size // _SAMPLE)]
    return np.ascontiguousarray(np.stack(np.unravel_index(chosen, wanted.shape), axis=1).astype(np.int64))


def works_of(
    medium: Medium,
    beams: Sequence[Beam],
    photons_per_unit: Sequence[float],
    factors: Sequence[FloatArray],
    truncation: Truncation,
) -> list[BeamWork]:
    """Prepare all beams; beams of one machine share the body."""
    bodies: dict[int, Body] = {}
    works, first = [], 0
    for beam, units, own in zip(beams, photons_per_unit, factors, strict=True):
        spectrum = beam.machine.spectrum
        if id(spectrum) not in bodies:
            bodies[id(spectrum)] = Body.of(medium, pencil_kernel(spectrum))
        work = BeamWork.of(bodies[id(spectrum)], beam, units, own, truncation, first)
        works.append(work)
        first += work.columns.size
    return works

"""The dose-influence matrix of beamlets by collapsed cone.

Primary electrons of each beamlet are transported in a narrow box about its own ray; scattered photons of a few
neighboring beamlets together in a wide box of larger voxels, and each beamlet gets its share of their dose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import sparse

from rtsim.beams.model import Beam
from rtsim.dose.beamlets import _kernels
from rtsim.dose.beamlets.boxes import (
    Boxes,
    IntArray,
    boxes_about,
    check_beamlets,
    fast_margins_mm,
    fast_pitch_mm,
    groups_of,
    openings_of,
)
from rtsim.dose.beamlets.columns import _kernels as column_kernels
from rtsim.dose.beamlets.columns.model import Columns, matrix_bytes, matrix_of
from rtsim.dose.beamlets.settings import InfluenceSettings, available_memory_gb
from rtsim.dose.collapsed_cone.kernel import ConeKernel, Cones, collapse
from rtsim.dose.collapsed_cone.transport import transport_boxes
from rtsim.dose.fluence.model import beamlet_sigmas_mm
from rtsim.dose.medium import Medium
from rtsim.dose.resolution.model import TwoGrids
from rtsim.dose.result import Truncation
from rtsim.dose.terma.fan import Pose, check_source, energy_groups
from rtsim.errors import InputError, ResourceError
from rtsim.threads import over_ranges
from rtsim.typing import BoolArray, Float32Array, FloatArray, Progress
from rtsim.units import BYTES_PER_GB, GY_PER_MEV_PER_G

__all__ = ["InfluenceSettings", "Request", "available_memory_gb", "influence_matrix", "predicted_bytes"]

Int32Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

_CHUNK: Final = 32
_CHUNK_BYTES: Final = 1 << 27
"""At most so many beamlets, and so many bytes of their boxes and entries, at a time."""
_SLOW_PITCH_MM: Final = 6.0
"""Voxels of the scattered part, unless those of the dose grid are larger."""
_SAMPLE_GROUPS: Final = 6
"""Groups of each beam from which the size of the matrix is predicted."""
_EVEN: Final = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)
"""1/p, 1/p^2, 1/p^3 of p^4 = p + 1: their multiples fill the unit interval evenly over neighboring voxels."""
_BYTES_WHILE_BUILT: Final = 16
"""Per entry: value and index, once by columns and once by rows."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """What an influence matrix is asked for.

    Attributes:
        medium: with the dose grid.
        beams: with beamlets.
        photons_per_unit: of each beam, per cm2.
        factors: of each beam, (beamlets,) fluence relative to the open axis.
        settings: how.
        voxels: [k, j, i] rows that are wanted; None = all.
    """

    medium: Medium
    beams: Sequence[Beam]
    photons_per_unit: Sequence[float]
    factors: Sequence[FloatArray]
    settings: InfluenceSettings
    voxels: BoolArray | None = None

    @property
    def wanted(self) -> BoolArray:
        """[k, j, i] rows that are wanted."""
        shape = self.medium.grid.shape
        if self.voxels is None:
            return np.ones(shape, dtype=np.bool_)
        wanted = np.ascontiguousarray(self.voxels, dtype=np.bool_)
        if wanted.shape != shape:
            raise InputError(f"voxels has shape {wanted.shape}; the dose grid has {shape} (nz, ny, nx)")
        return wanted

    def works(self, settings: InfluenceSettings | None = None) -> list[_BeamWork]:
        """One for each beam."""
        wanted, coarse = self.wanted, _coarser(self.medium)
        out: list[_BeamWork] = []
        first = 0
        for beam, units, factors in zip(self.beams, self.photons_per_unit, self.factors, strict=True):
            out.append(_BeamWork.of(self, coarse, wanted, beam, units, factors, settings or self.settings, first))
            first += out[-1].count
        return out


def influence_matrix(request: Request, progress: Progress | None) -> tuple[sparse.csr_array, float, Truncation]:
    """(voxels, beamlets) CSR float32 in Gy per monitor unit; the share of the dose in entries below the cut-off; and
    what thinning or dropping them, and the margin, do to a sample of beamlets.

    Raises:
        GeometryError: a beamlet misses the phantom, a source lies inside it.
        ResourceError: the matrix would not fit; the message carries the gigabytes.
    """
    works, scratch = request.works(), _Scratch()
    total = sum(w.count for w in works)
    columns, entries = _sampled(works, scratch)
    _check_memory(entries, total, request.settings)
    done = sum(int(c.numbers.size) for c in columns)
    for work in works:
        for chosen in work.chunks(np.setdiff1d(np.arange(len(work.groups)), work.sample)):
            columns.append(work.columns(chosen, scratch))
            done += columns[-1].numbers.size
            if progress is not None:
                progress(done / total, f"influence of beam {work.beam.name}")
    above, summed = sum(float(c.sums[1]) for c in columns), sum(float(c.sums[0]) for c in columns)
    truncation = _truncation(request, works[0], scratch)
    matrix = matrix_of(columns, request.medium.grid.size)
    return matrix, (1.0 - above / summed if summed > 0.0 else 0.0), truncation


def predicted_bytes(request: Request) -> int:
    """Bytes of the matrix, from a sample of the beamlets of each beam."""
    _, entries = _sampled(request.works(), _Scratch())
    return math.ceil(matrix_bytes(entries, request.medium.grid.size))


def _sampled(works: list[_BeamWork], scratch: _Scratch) -> tuple[list[Columns], float]:
    """Columns of a sample of each beam's beamlets, and the entries of all beamlets to be expected from it."""
    columns: list[Columns] = []
    entries = 0.0
    for work in works:
        own = [work.columns(chosen, scratch) for chosen in work.chunks(work.sample)]
        entries += float(np.concatenate([c.counts for c in own]).mean()) * work.count
        columns += own
    return columns, entries


def _check_memory(entries: float, total: int, settings: InfluenceSettings) -> None:
    """Refuse a matrix that cannot fit."""
    needed = entries * _BYTES_WHILE_BUILT / BYTES_PER_GB
    limit = 0.8 * available_memory_gb() if settings.memory_limit_gb is None else settings.memory_limit_gb
    if needed > limit:
        raise ResourceError(
            f"building the influence matrix of {total} beamlets needs {needed:.2f} GB; {limit:.2f} GB are allowed. Use "
            "a larger spacing_mm, fewer beamlets, a higher cutoff, or restrict the voxels"
        )


def _truncation(request: Request, work: _BeamWork, scratch: _Scratch) -> Truncation:
    """Summed dose of neighboring beamlets in the middle of a beam, as in the matrix and with all that they deposit up
    to twice as far aside."""
    settings = replace(request.settings, cutoff=0.0, thin=False, margin_mm=min(2.0 * request.settings.margin_mm, 300.0))
    wide = replace(request, beams=[work.beam], photons_per_unit=request.photons_per_unit[:1], factors=[work.factors])
    full_work = wide.works(settings)[0]
    rows = request.medium.grid.size
    near = work.central(max(1, min(4, len(work.groups) // 64)))
    kept, full = np.zeros(rows), np.zeros(rows)
    for chosen in work.chunks(near):
        kept += work.columns(chosen, scratch).summed(rows)
    for chosen in full_work.chunks(near):
        full += full_work.columns(chosen, scratch).summed(rows)
    count = sum(work.groups[int(g)].size for g in near)
    largest = float(full.max())
    if largest <= 0.0:
        return Truncation(largest=0.0, mean=0.0, beamlets=count)
    difference = np.abs(kept - full) / largest
    inside = full >= 0.01 * largest
    return Truncation(largest=float(difference.max()), mean=float(difference[inside].mean()), beamlets=count)


def _coarser(medium: Medium) -> Medium:
    """The medium on voxels of the scattered part's size, or near it."""
    while True:
        grids = TwoGrids.of(medium.grid)
        if not grids.differ:
            return medium
        medium = Medium(
            grids.coarse,
            grids.restrict(medium.density_g_cm3),
            grids.restrict(medium.electron_density),
            np.stack([grids.restrict(p) for p in medium.partial_g_cm3]),
            medium.basis_index,
        )


class _Scratch:
    """Arrays that are used again for every chunk: fresh ones would have to be cleared by the system each time."""

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = {}
        self._carry: Float32Array | None = None

    def take(self, name: str, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """At least ``size`` bytes of any content; what was taken under this name before is gone."""
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size, dtype=np.uint8)
        return self._held[name][:size]

    def floats(self, name: str, *shape: int) -> Float32Array:
        """float32 of any content."""
        return self.take(name, 4 * math.prod(shape)).view(np.float32).reshape(shape)

    def integers(self, name: str, *shape: int) -> Int32Array:
        """int32 of any content."""
        return self.take(name, 4 * math.prod(shape)).view(np.int32).reshape(shape)

    def carry(self, shape: tuple[int, int, int], least: float) -> Float32Array:
        """[k, j, i] what small entries have added up to in each voxel so far (columns/_kernels.py).

        At first anything below ``least``, spread evenly, so that the first entry comes neither too late nor in all
        neighbors at once.
        """
        if self._carry is None:
            k, j, i = (np.arange(n) * a for n, a in zip(shape, _EVEN, strict=True))
            self._carry = ((k[:, None, None] + j[:, None] + i) % 1.0 * least).astype(np.float32)
        return self._carry


@dataclass(frozen=True, eq=False, kw_only=True)
class _BeamWork:
    """Everything that the kernels need for the beamlets of one beam."""

    medium: Medium
    coarse: Medium
    beam: Beam
    pose: Pose
    kernel: ConeKernel
    groups: tuple[IntArray, ...]
    fast: Boxes
    slow: Boxes
    shares: Float32Array
    factors: FloatArray
    settings: InfluenceSettings
    wanted: BoolArray
    per_gram: Float32Array
    first: int

    @property
    def count(self) -> int:
        """Number of beamlets."""
        return int(self.factors.size)

    @property
    def sample(self) -> IntArray:
        """Groups from all over the beam."""
        n = len(self.groups)
        return np.unique(((np.arange(_SAMPLE_GROUPS) + 0.5) * n / _SAMPLE_GROUPS).astype(np.int64).clip(0, n - 1))

    def central(self, count: int) -> IntArray:
        """The groups nearest to the middle of the beam."""
        at = np.array(
            [o[:, :4].mean(axis=0) @ np.array([[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5]]) for o in self.slow.openings]
        )
        return np.sort(np.argsort(np.hypot(*(at - np.median(at, axis=0)).T), kind="stable")[:count])

    @classmethod
    def of(
        cls,
        request: Request,
        coarse: Medium,
        wanted: BoolArray,
        beam: Beam,
        photons_per_unit: float,
        factors: FloatArray,
        settings: InfluenceSettings,
        first: int,
    ) -> _BeamWork:
        """Prepare one beam.

        Raises:
            InputError: the beam has no beamlets.
            GeometryError: a beamlet misses the phantom, the source lies inside it.
        """
        if beam.beamlets is None or beam.beamlets.count == 0:
            raise InputError(f"{beam.label} has no beamlets; an influence matrix needs them")
        medium = request.medium
        pose = Pose.of(beam, beam.gantry_deg)
        check_source(pose, medium.grid, beam.name)
        check_beamlets(beam, beam.beamlets, pose, medium.grid)
        step = float(np.prod(medium.grid.spacing_mm) ** (1.0 / 3.0))
        openings = openings_of(beam.beamlets, factors)
        groups = groups_of(beam.beamlets)
        margins = fast_margins_mm(medium, pose, openings, settings.margin_mm)
        strength = factors * beam.beamlets.width_x_mm * beam.beamlets.width_y_mm
        shares = np.zeros(factors.size, dtype=np.float32)
        for group in groups:
            shares[group] = strength[group] / max(float(strength[group].sum()), 1e-30)
        per_gram = medium.electron_density / medium.density_g_cm3 * np.float32(GY_PER_MEV_PER_G * photons_per_unit)
        return cls(
            medium=medium,
            coarse=coarse,
            beam=beam,
            pose=pose,
            kernel=collapse(beam.machine.spectrum, settings.cones),
            groups=groups,
            fast=boxes_about(
                medium.grid, pose, tuple(openings[:, None]), margins, fast_pitch_mm(beam.beamlets, step), pose.sad_mm
            ),
            slow=boxes_about(
                medium.grid,
                pose,
                tuple(openings[g] for g in groups),
                np.full(len(groups), settings.margin_mm),
                np.full(3, max(step, _SLOW_PITCH_MM)),
                0.0,
            ),
            shares=shares,
            factors=factors,
            settings=settings,
            wanted=wanted,
            per_gram=np.ascontiguousarray(per_gram, dtype=np.float32),
            first=first,
        )

    def chunks(self, groups: IntArray) -> Iterator[IntArray]:
        """Groups that are computed at a time."""
        largest = max(g.size for g in self.groups)
        bytes_of_group = largest * (16 * int(self.fast.shapes.prod(axis=1).max()) + 8 * self._capacity)
        bytes_of_group += 16 * int(self.slow.shapes.prod(axis=1).max())
        size = max(1, min(_CHUNK // largest, _CHUNK_BYTES // bytes_of_group))
        for first in range(0, groups.size, size):
            yield groups[first : first + size]

    @property
    def _capacity(self) -> int:
        grid = self.medium.grid
        return min(self.fast.voxels(grid) + self.slow.voxels(grid), grid.size)

    def _transported(self, boxes: Boxes, medium: Medium, cones: Cones, scratch: _Scratch, name: str) -> Float32Array:
        """Energy per relative electron density in some boxes."""
        groups = energy_groups(self.beam.machine.spectrum)
        cells = boxes.cells
        volumes, out = scratch.floats("volumes", 3 * int(cells[-1])), scratch.floats(name, int(cells[-1]))
        over_ranges(
            _kernels.box_termas,
            len(boxes.shapes),
            medium.electron_density,
            medium.partial_g_cm3,
            np.array(medium.grid.origin_mm),
            np.array(medium.grid.spacing_mm),
            self.pose.source_mm,
            self.pose.rotation,
            self.pose.sad_mm,
            boxes.frames,
            boxes.starts_mm,
            boxes.shapes,
            cells,
            boxes.pitch_mm,
            boxes.fan_mm,
            np.concatenate(boxes.openings),
            boxes.opening_starts,
            np.array(beamlet_sigmas_mm(self.beam.machine)),
            medium.basis_attenuation_cm2_g(groups.energy_mev).astype(np.float32),
            (groups.photons * groups.energy_mev).astype(np.float32),
            self.kernel.hardness(groups.energy_mev).astype(np.float32),
            volumes,
        )
        transport_boxes(volumes, out, boxes.shapes, cells, cones, boxes.pitch_mm)
        over_ranges(_kernels.extend, len(boxes.shapes), volumes, boxes.shapes, cells, out)
        return out

    def columns(self, chosen: IntArray, scratch: _Scratch) -> Columns:
        """Columns of the beamlets of some groups."""
        members = [self.groups[int(g)] for g in chosen]
        own = np.concatenate(members)
        grid, n = self.medium.grid, own.size
        fast, slow = self.fast.some(own), self.slow.some(chosen)
        spans = scratch.integers("spans", n + chosen.size, grid.shape[0] * grid.shape[1], 3)
        near, far = scratch.floats("near", n, fast.voxels(grid)), scratch.floats("far", chosen.size, slow.voxels(grid))
        limits, least = np.zeros((n + chosen.size, 4), dtype=np.int64), np.zeros(n, dtype=np.float32)
        sizes = np.array([m.size for m in members])
        group = np.repeat(np.arange(chosen.size), sizes)
        read_far = self._read(
            slow, self._transported(slow, self.coarse, self.kernel.slow, scratch, "slow"), far, spans[n:], limits[n:]
        )
        read_near = self._read(
            fast, self._transported(fast, self.medium, self.kernel.fast, scratch, "fast"), near, spans[:n], limits[:n]
        )
        over_ranges(
            column_kernels.add_far,
            n,
            near,
            limits[:n],
            spans[:n],
            far,
            limits[n:],
            spans[n:],
            self.shares[own],
            group,
            np.float32(self.settings.cutoff),
            least,
        )
        room, counts = np.zeros((n, grid.shape[0] + 1), dtype=np.int64), np.zeros((n, grid.shape[0]), dtype=np.int64)
        sums = np.zeros((n, grid.shape[0], 2))
        np.cumsum(read_near + read_far[group], axis=1, out=room[:, 1:])
        most = int(room[:, -1].max())
        indices, entries = scratch.integers("indices", n, most), scratch.floats("entries", n, most)
        over_ranges(
            column_kernels.emit,
            grid.shape[0],
            near,
            limits[:n],
            spans[:n],
            far,
            limits[n:],
            spans[n:],
            self.shares[own],
            group,
            least,
            self.settings.thin,
            scratch.carry(self.medium.grid.shape, float(least.mean())),
            self.wanted,
            room,
            counts,
            sums,
            indices,
            entries,
        )
        found = counts.sum(axis=1)
        packed = np.empty(int(found.sum()), dtype=np.int32), np.empty(int(found.sum()), dtype=np.float32)
        over_ranges(column_kernels.pack, n, room, counts, indices, entries, np.cumsum(found) - found, *packed)
        return Columns(self.first + own, found, *packed, sums.sum(axis=(0, 1)))

    def _read(
        self, boxes: Boxes, doses: Float32Array, values: Float32Array, spans: Int32Array, limits: IntArray
    ) -> IntArray:
        """Doses in boxes at the voxels of the dose grid; returns (boxes, planes) how many."""
        grid = self.medium.grid
        counts = np.zeros((len(boxes.shapes), grid.shape[0]), dtype=np.int64)
        over_ranges(
            column_kernels.read,
            len(boxes.shapes),
            doses,
            boxes.frames,
            boxes.starts_mm,
            boxes.shapes,
            boxes.cells,
            boxes.pitch_mm,
            boxes.fan_mm,
            self.pose.source_mm,
            np.array(grid.origin_mm),
            np.array(grid.spacing_mm),
            self.per_gram,
            values,
            spans,
            limits,
            counts,
        )
        return counts

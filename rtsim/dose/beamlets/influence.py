"""The dose-influence matrix of beamlets by collapsed cone: each beamlet in a box about its own central ray."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from rtsim.beams.model import Beam, Beamlets
from rtsim.dose.beamlets import _kernels
from rtsim.dose.collapsed_cone.kernel import ConeKernel, collapse
from rtsim.dose.collapsed_cone.transport import transport_boxes
from rtsim.dose.fluence.model import beamlet_sigmas_mm
from rtsim.dose.medium import Medium
from rtsim.dose.terma.fan import Pose, check_source, corners_mm, energy_groups
from rtsim.errors import GeometryError, InputError, ResourceError
from rtsim.typing import BoolArray, FloatArray, Progress
from rtsim.units import BYTES_PER_GB, GY_PER_MEV_PER_G

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
_CHUNK: Final = 32
_CHUNK_BYTES: Final = 1 << 27
"""At most so many beamlets, and so many bytes of their boxes, at a time."""
_BYTES_PER_ENTRY: Final = 8 + 8
"""float32 and int32, once by columns while it is built and once by rows."""


@dataclass(frozen=True, kw_only=True)
class InfluenceSettings:
    """How beamlets are computed.

    Attributes:
        cones: directions of the transport.
        margin_mm: dose is kept up to this far beside a beamlet; what scatters farther is left to ``forward``.
        cutoff: entries below this fraction of their beamlet's maximum are dropped.
        memory_limit_gb: largest matrix that may be built; None = 80 % of the memory that is free.
    """

    cones: int = 24
    margin_mm: float = 35.0
    cutoff: float = 0.001
    memory_limit_gb: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.cutoff < 0.5:
            raise InputError(f"cutoff is {self.cutoff}; 0 <= cutoff < 0.5 is allowed")
        if not 5.0 <= self.margin_mm <= 300.0:
            raise InputError(f"margin_mm is {self.margin_mm}; 5 <= margin_mm <= 300 is allowed")
        if self.memory_limit_gb is not None and self.memory_limit_gb <= 0.0:
            raise InputError(f"memory_limit_gb is {self.memory_limit_gb}; it must be > 0")


def available_memory_gb() -> float:
    """Free physical memory in GB, as far as the system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024.0 / BYTES_PER_GB
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / BYTES_PER_GB
    except (ValueError, OSError, AttributeError):
        return 4.0


@dataclass(frozen=True, eq=False)
class _Geometry:
    """The beamlets of one beam: (n, 3, 3) frames, (n,) where their boxes start and how many steps they have."""

    frames: FloatArray
    starts_mm: FloatArray
    depths: IntArray
    boxes_mm: FloatArray
    lateral: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Columns:
    """Some columns of the matrix: entries of each, voxel indices and values one after another."""

    counts: IntArray
    indices: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    summed: float
    kept: float


def influence_matrix(
    medium: Medium,
    beams: Sequence[Beam],
    photons_per_unit: Sequence[float],
    beamlet_factors: Sequence[FloatArray],
    settings: InfluenceSettings,
    voxels: BoolArray | None,
    progress: Progress | None,
) -> tuple[sparse.csr_array, float]:
    """(voxels, beamlets) CSR float32 in Gy per monitor unit, and the share of the dose that the cut-off dropped.

    Raises:
        GeometryError: a beamlet misses the phantom, a source lies inside it.
        ResourceError: the matrix would not fit; the message carries the gigabytes.
    """
    wanted = (
        np.ones(medium.grid.shape, dtype=np.bool_) if voxels is None else np.ascontiguousarray(voxels, dtype=np.bool_)
    )
    if wanted.shape != medium.grid.shape:
        raise InputError(f"voxels has shape {wanted.shape}; the dose grid has {medium.grid.shape} (nz, ny, nx)")
    works = [
        _BeamWork.of(medium, beam, units, factors, settings, wanted)
        for beam, units, factors in zip(beams, photons_per_unit, beamlet_factors, strict=True)
    ]
    total = sum(w.count for w in works)
    _check_memory(works, total, settings)
    columns: list[_Columns] = []
    done = 0
    for work in works:
        for first in range(0, work.count, work.chunk):
            chosen = np.arange(first, min(first + work.chunk, work.count))
            columns.append(work.columns(chosen))
            done += chosen.size
            if progress is not None:
                progress(done / total, f"influence of beam {work.beam.name}")
    return _matrix(columns, medium.grid.size)


def _matrix(columns: list[_Columns], rows: int) -> tuple[sparse.csr_array, float]:
    counts = np.concatenate([c.counts for c in columns])
    summed, kept = sum(c.summed for c in columns), sum(c.kept for c in columns)
    starts = np.concatenate([[0], np.cumsum(counts)])
    values, indices = np.concatenate([c.values for c in columns]), np.concatenate([c.indices for c in columns])
    columns.clear()
    by_column = sparse.csc_array((values, indices, starts), shape=(rows, counts.size))
    return sparse.csr_array(by_column.tocsr()), (1.0 - kept / summed if summed > 0.0 else 0.0)


def _check_memory(works: list[_BeamWork], total: int, settings: InfluenceSettings) -> None:
    """Predict the matrix from a sample of beamlets, and refuse it when it cannot fit."""
    entries = 0.0
    for work in works:
        sample = np.unique(np.linspace(0, work.count - 1, min(4, work.count)).round().astype(np.int64))
        entries += float(work.columns(sample).counts.mean()) * work.count
    needed = entries * _BYTES_PER_ENTRY / BYTES_PER_GB
    limit = 0.8 * available_memory_gb() if settings.memory_limit_gb is None else settings.memory_limit_gb
    if needed > limit:
        raise ResourceError(
            f"the influence matrix of {total} beamlets needs {needed:.2f} GB; {limit:.2f} GB are allowed. Use a "
            "larger spacing_mm, fewer beamlets, a higher cutoff, or restrict the voxels"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _BeamWork:
    """Everything that the kernel needs for the beamlets of one beam."""

    medium: Medium
    beam: Beam
    pose: Pose
    kernel: ConeKernel
    geometry: _Geometry
    factors: FloatArray
    settings: InfluenceSettings
    wanted: BoolArray
    per_gram: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    step_mm: float
    capacity: int

    @property
    def chunk(self) -> int:
        """How many beamlets are computed at a time."""
        box = 16 * int(self.geometry.depths.max()) * self.geometry.lateral[0] * self.geometry.lateral[1]
        return max(1, min(_CHUNK, _CHUNK_BYTES // box))

    @property
    def count(self) -> int:
        """Number of beamlets."""
        return int(self.factors.size)

    @classmethod
    def of(
        cls,
        medium: Medium,
        beam: Beam,
        photons_per_unit: float,
        factors: FloatArray,
        settings: InfluenceSettings,
        wanted: BoolArray,
    ) -> _BeamWork:
        """Prepare one beam.

        Raises:
            InputError: the beam has no beamlets.
        """
        if beam.beamlets is None or beam.beamlets.count == 0:
            raise InputError(f"beam {beam.name!r} has no beamlets; an influence matrix needs them")
        pose = Pose.of(beam, beam.gantry_deg)
        check_source(pose, medium.grid, beam.name)
        step = float(np.prod(medium.grid.spacing_mm) ** (1.0 / 3.0))
        geometry = _geometry(medium, beam, beam.beamlets, pose, step, settings.margin_mm)
        longest = float(geometry.depths.max()) * step
        area = (geometry.lateral[0] + 1.0) * (geometry.lateral[1] + 1.0) * step**2
        capacity = min(int(area * longest / float(np.prod(medium.grid.spacing_mm)) * 1.2) + 1000, medium.grid.size)
        per_gram = (medium.electron_density / medium.density_g_cm3 * GY_PER_MEV_PER_G * photons_per_unit).astype(
            np.float32
        )
        return cls(
            medium=medium,
            beam=beam,
            pose=pose,
            kernel=collapse(beam.machine.spectrum, settings.cones),
            geometry=geometry,
            factors=np.ascontiguousarray(factors, dtype=np.float64),
            settings=settings,
            wanted=wanted,
            per_gram=per_gram,
            step_mm=step,
            capacity=capacity,
        )

    def columns(self, chosen: IntArray) -> _Columns:
        """Columns of some beamlets."""
        n = chosen.size
        m, g = self.medium, self.geometry
        groups = energy_groups(self.beam.machine.spectrum)
        origin, spacing = np.array(m.grid.origin_mm), np.array(m.grid.spacing_mm)
        frames, starts, depths = np.ascontiguousarray(g.frames[chosen]), g.starts_mm[chosen], g.depths[chosen]
        shape = (int(depths.max()), g.lateral[1], g.lateral[0])
        volumes, doses = np.empty((n, 3, *shape), dtype=np.float32), np.empty((n, *shape), dtype=np.float32)
        _kernels.box_termas(
            m.electron_density,
            m.partial_g_cm3,
            origin,
            spacing,
            self.pose.source_mm,
            self.pose.rotation,
            self.pose.sad_mm,
            frames,
            starts,
            depths,
            self.step_mm,
            np.ascontiguousarray(g.boxes_mm[chosen]),
            np.array(beamlet_sigmas_mm(self.beam.machine)),
            m.basis_attenuation_cm2_g(groups.energy_mev),
            groups.photons * groups.energy_mev,
            self.kernel.hardness(groups.energy_mev),
            self.factors[chosen],
            volumes,
        )
        transport_boxes(volumes, doses, depths, self.kernel, self.step_mm)
        counts, sums = np.zeros(n, dtype=np.int64), np.zeros((n, 2))
        indices, values = np.empty((n, self.capacity), dtype=np.int32), np.empty((n, self.capacity), dtype=np.float32)
        _kernels.collect(
            doses,
            depths,
            frames,
            self.pose.source_mm,
            starts,
            self.step_mm,
            origin,
            spacing,
            self.per_gram,
            self.wanted,
            self.settings.cutoff,
            counts,
            sums,
            indices,
            values,
        )
        taken = [slice(0, int(c)) for c in counts]
        return _Columns(
            counts,
            np.concatenate([indices[i, s] for i, s in enumerate(taken)]),
            np.concatenate([values[i, s] for i, s in enumerate(taken)]),
            float(sums[:, 0].sum()),
            float(sums[:, 1].sum()),
        )


def _geometry(medium: Medium, beam: Beam, beamlets: Beamlets, pose: Pose, step: float, margin_mm: float) -> _Geometry:
    sad, rotation = pose.sad_mm, pose.rotation
    local = np.stack([beamlets.center_x_mm / sad, beamlets.center_y_mm / sad, np.full(beamlets.count, -1.0)], axis=1)
    along = (local / np.linalg.norm(local, axis=1)[:, None]) @ rotation.T
    x = rotation[:, 0] - (along @ rotation[:, 0])[:, None] * along
    x /= np.linalg.norm(x, axis=1)[:, None]
    y = np.cross(x, along) * -1.0
    corners = corners_mm(medium.grid) - pose.source_mm
    entry, leave = _through_box(medium, pose.source_mm, along)
    if (leave <= entry).any():
        bad = int(np.flatnonzero(leave <= entry)[0])
        raise GeometryError(
            f"beam {beam.name!r}: beamlet {bad} at ({beamlets.center_x_mm[bad]:g}, {beamlets.center_y_mm[bad]:g}) mm "
            f"misses the phantom {medium.grid.lower_mm} .. {medium.grid.upper_mm} mm"
        )
    # the box starts where its sides, not only its central ray, may meet matter
    reach = margin_mm + float(max(beamlets.width_x_mm.max(), beamlets.width_y_mm.max()))
    span = along @ corners.T
    start = np.maximum(entry - reach, span.min(axis=1))
    stop = np.minimum(leave + reach, span.max(axis=1))
    magnify = float(np.linalg.norm(corners, axis=1).max()) / sad
    lateral = [
        2 * int(np.ceil((0.5 * magnify * float(w.max()) + margin_mm) / step)) + 1
        for w in (beamlets.width_x_mm, beamlets.width_y_mm)
    ]
    boxes = np.stack(
        [
            beamlets.center_x_mm - beamlets.width_x_mm / 2,
            beamlets.center_x_mm + beamlets.width_x_mm / 2,
            beamlets.center_y_mm - beamlets.width_y_mm / 2,
            beamlets.center_y_mm + beamlets.width_y_mm / 2,
        ],
        axis=1,
    )
    return _Geometry(
        np.stack([x, y, along], axis=2),
        start,
        np.ceil((stop - start) / step).astype(np.int64),
        boxes,
        (lateral[0], lateral[1]),
    )


def _through_box(medium: Medium, source: FloatArray, along: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distances (n,) from the source where rays enter and leave the box of the grid (entry > leave: missed)."""
    safe = np.where(np.abs(along) < 1e-12, 1e-12, along)
    a = (np.array(medium.grid.lower_mm) - source) / safe
    b = (np.array(medium.grid.upper_mm) - source) / safe
    return np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)

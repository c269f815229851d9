"""A reference case simulated by the Monte Carlo engine: each batch on the voxels of the reference.

Most of the photons are spent where the comparison looks closest. The fluence is cut into squares about the beam axis;
each part is simulated for itself with a number of photons of its own, and the doses are added. Case and beam are
mirror symmetric about the axis in all slabs (as is the stored reference): each batch is folded accordingly. Neither
changes what is expected, and since both are done batch by batch, the spread of the batches holds all correlations.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from benchmarks.compare import AxisCurve
from benchmarks.reference_cases import ReferenceCase
from rtsim.dose import Dose, MonteCarlo
from rtsim.dose.monte_carlo.media import voxels_of
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.dose.monte_carlo.settings import Physics
from rtsim.dose.monte_carlo.source import Source, source_of
from rtsim.geometry.grid import Grid
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, FloatArray, IntArray
from rtsim.units import GY_PER_MEV_PER_G

SEED: Final = 4
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many photons of the source, and where.

    Attributes:
        batches: equal parts whose spread is the uncertainty.
        squares_mm: half sides, in the isocenter plane, of the squares that cut the fluence.
        photons: of all batches, in each part from the axis outwards (one more than squares).
    """

    batches: int
    squares_mm: tuple[float, ...]
    photons: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.photons) != len(self.squares_mm) + 1:
            raise ValueError(f"{len(self.photons)} numbers of photons for {len(self.squares_mm)} squares; one more")


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedCase:
    """What the engine finds for a case.

    Attributes:
        case: the reference.
        dose: mean on the engine's grid, folded.
        batches: (batches, nz, ny, nx) dose of each on the voxels of the reference, folded.
        photons: of the source, in all.
        cpu_s: process time of the simulation, without compiling.
    """

    case: ReferenceCase
    dose: Dose
    batches: Float32Array
    photons: int
    cpu_s: float

    @cached_property
    def axis_batches(self) -> FloatArray:
        """(batches, depths) each batch over the reference on the axis."""
        return np.array([on_axis(self.case, batch) for batch in self.batches]) / self.curve.reference

    @cached_property
    def curve(self) -> AxisCurve:
        """The axis with the reference's sigma."""
        depth, reference, sigma = reference_axis(self.case)
        return AxisCurve(depth, reference, on_axis(self.case, self.mean), sigma)

    @cached_property
    def axis_sigma(self) -> FloatArray:
        """(depths,) standard deviation of the engine's axis over the reference."""
        return sigma_of_mean(self.axis_batches)

    @cached_property
    def mean(self) -> FloatArray:
        """[k, j, i] dose on the reference's voxels."""
        return np.asarray(self.batches.mean(axis=0, dtype=np.float64))

    @cached_property
    def sigma(self) -> FloatArray:
        """[k, j, i] standard deviation of ``mean``."""
        squares = np.zeros(self.mean.shape)
        for batch in self.batches:
            squares += (batch - self.mean) ** 2
        count = len(self.batches)
        return np.sqrt(squares / (count * (count - 1)))

    def mean_sigma(self, selected: BoolArray) -> float:
        """Standard deviation of the mean over some depths of the axis, over the reference's."""
        return float(sigma_of_mean(self.axis_batches[:, selected].mean(axis=1)))

    def ratios(self, where: BoolArray) -> FloatArray:
        """(batches,) energy of each batch over the reference's in voxels [k, j, i], as of one density."""
        widths = [np.diff(edges) for edges in self.case.edges_mm]
        volume = widths[2][:, None, None] * widths[1][None, :, None] * widths[0][None, None, :]
        weights = np.broadcast_to(volume, where.shape)[where]
        return np.asarray(self.batches[:, where] @ weights / (self.case.dose[where] @ weights))


def simulate_case(case: ReferenceCase, sampling: Sampling, physics: Physics | None = None) -> SimulatedCase:
    """Simulate a case in absolute Gy cm2 per photon, on the grid of its phantom."""
    physics = physics or MonteCarlo().physics
    voxels = voxels_of(case.phantom, None)
    parts = parts_of(source_of([case.beam], photons_per_unit=[1.0], grid=voxels.grid), sampling)
    scenes = [(Scene(voxels=voxels, source=source, physics=physics), photons) for source, photons in parts]
    scenes[0][0].batches(SEED, 0, 1, 1)  # compiles, if need be
    grid = voxels.grid
    gy_per_mev = GY_PER_MEV_PER_G / (voxels.density_g_cm3.astype(np.float64) * grid.voxel_volume_cm3)
    onto, total, batches = ReferenceVoxels.of(case, grid), np.zeros(grid.shape), []
    begun = time.process_time()
    for batch in range(sampling.batches):
        dose = np.zeros(grid.shape)
        for number, (scene, photons) in enumerate(scenes):
            energy = scene.batches(SEED + number, batch, 1, photons).energy_mev[0]
            energy *= scene.source.photons / photons
            dose += energy
        dose *= gy_per_mev
        if not case.is_ct:
            dose = folded(dose, grid, swapped=is_square(case))
        total += dose
        batches.append(onto.mean(dose).astype(np.float32))
    return SimulatedCase(
        case=case,
        dose=Dose(
            values_gy=(total / sampling.batches).astype(np.float32),
            grid=grid,
            engine=f"Monte Carlo, {physics.split} sites",
        ),
        batches=np.array(batches),
        photons=sampling.batches * sum(n for _, n in parts),
        cpu_s=time.process_time() - begun,
    )


def parts_of(source: Source, sampling: Sampling) -> list[tuple[Source, int]]:
    """The squares of the fluence from the axis outwards, with the photons of a batch in each."""
    parts, rest = [], source
    for half_mm, photons in zip(sampling.squares_mm, sampling.photons, strict=False):
        inside, rest = rest.parted(half_mm)
        parts.append((inside, max(1, photons // sampling.batches)))
        if rest.photons <= 1e-9 * source.photons:
            return parts
    return [*parts, (rest, max(1, sampling.photons[-1] // sampling.batches))]


def sigma_of_mean(batches: AnyFloatArray) -> FloatArray:
    """Standard deviation of the mean over the first axis."""
    return np.asarray(batches.std(axis=0, ddof=1, dtype=np.float64) / np.sqrt(len(batches)))


def is_square(case: ReferenceCase) -> bool:
    """True where x and z of a case may be exchanged; a rod lies along z."""
    return not case.is_ct and "rod" not in case.name


def folded(dose: FloatArray, grid: Grid, *, swapped: bool) -> FloatArray:
    """Mean of a dose and its mirror images about the planes x = 0 and z = 0 and, for a square, x = z."""
    for n, axis in ((0, 2), (2, 0)):
        if abs(grid.lower_mm[n] + grid.upper_mm[n]) > 1e-6:
            raise ValueError(f"the grid is not symmetric about the beam axis: {grid.describe()}")
        dose = 0.5 * (dose + np.flip(dose, axis=axis))
    return 0.5 * (dose + dose.transpose(2, 1, 0)) if swapped else dose


def reference_axis(case: ReferenceCase) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Depths from the surface, and the reference there: dose and relative sigma. See :func:`on_axis`."""
    reference = on_axis(case, case.dose)
    if case.is_ct:
        depth, boxes = ct_boxes(case)
        return depth, reference, np.array([case.sigma[box].mean() / np.sqrt(27.0) for box in boxes])
    # mirror images of one sample: their mean is no surer than each
    return case.centers_mm[1], reference, on_axis(case, case.sigma)


def on_axis(case: ReferenceCase, values: AnyFloatArray) -> FloatArray:
    """(depths,) of values on the reference's voxels: means of the four that touch the axis, on a CT of 3 x 3 x 3."""
    if case.is_ct:
        return np.array([values[box].mean(dtype=np.float64) for box in ct_boxes(case)[1]])
    x, y, z = case.centers_mm
    i, k = (np.flatnonzero(np.abs(c) < np.abs(c).min() + 1e-6) for c in (x, z))
    return np.asarray(values[np.ix_(k, np.arange(y.size), i)].mean(axis=(0, 2), dtype=np.float64))


def ct_boxes(case: ReferenceCase) -> tuple[FloatArray, list[Box]]:
    """Depths along the beam and 3 x 3 x 3 boxes without air or lung, as :func:`benchmarks.compare.ct_axis` has them."""
    grid, axis = case.phantom.grid, case.beam.rotation[:, 2]
    along = int(np.argmax(np.abs(axis)))
    center = [round(float(v)) for v in grid.index_of(np.array(case.beam.isocenter_mm))][::-1]  # i, j, k
    line: list[float] = []
    boxes: list[Box] = []
    for step in range(1, grid.shape[2 - along] - 1):
        center[along] = step
        box = (_about(center[2]), _about(center[1]), _about(center[0]))
        if (case.phantom.density_g_cm3[box] >= 0.6).all():
            line.append(step * grid.spacing_mm[along])
            boxes.append(box)
    position = np.array(line)
    return (position - position[0], boxes) if axis[along] < 0 else (position[-1] - position[::-1], boxes[::-1])


def relative_radius(case: ReferenceCase) -> FloatArray:
    """[k, j, i] distance of the reference's voxels from the axis: the larger of BLD x and y over half the field."""
    x, y, z = case.centers_mm
    grid_z, grid_y, grid_x = np.meshgrid(z, y, x, indexing="ij")
    bld = (np.stack([grid_x, grid_y, grid_z], axis=-1) - case.beam.isocenter_mm) @ case.beam.rotation
    scale = case.beam.machine.sad_mm / (case.beam.machine.sad_mm - bld[..., 2])
    return np.asarray(np.abs(bld[..., :2]).max(axis=-1) * scale / (case.field_mm / 2))


def independent(case: ReferenceCase) -> BoolArray:
    """[k, j, i] True for one of all mirror images of a voxel."""
    if case.is_ct:
        return np.ones(case.dose.shape, dtype=bool)
    x, _, z = case.centers_mm
    keep = (x[None, None, :] > 0) & (z[:, None, None] > 0) & np.ones(case.dose.shape, dtype=bool)
    return keep & (x[None, None, :] >= z[:, None, None]) if is_square(case) else keep


@dataclass(frozen=True, eq=False)
class ReferenceVoxels:
    """Shares of the engine's voxels in those of the reference, along z, y, x: (reference, engine), rows of sum 1."""

    shares: tuple[FloatArray, FloatArray, FloatArray]

    @classmethod
    def of(cls, case: ReferenceCase, grid: Grid) -> ReferenceVoxels:
        """The reference may reach beyond the engine's grid, where there is nothing but air.

        A part of an engine's voxel has its dose and the slope of its neighbors: faces do not all meet beside the rod.
        """
        shares = []
        for n in (2, 1, 0):
            edges, count = case.edges_mm[n], grid.shape[2 - n]
            pitch = grid.spacing_mm[n]
            own = grid.lower_mm[n] + pitch * np.arange(count + 1)
            upper = np.minimum(edges[1:, None], own[None, 1:])
            lower = np.maximum(edges[:-1, None], own[None, :-1])
            overlap = np.where(upper - lower > 1e-6, upper - lower, 0.0)
            total = overlap.sum(axis=1, keepdims=True)
            slope = overlap * (0.5 * (upper + lower) - 0.5 * (own[1:] + own[:-1])) / (2.0 * pitch)
            overlap[:, 1:] += slope[:, :-1]
            overlap[:, :-1] -= slope[:, 1:]
            shares.append(overlap / np.where(total > 0.0, total, 1.0))
        return cls((shares[0], shares[1], shares[2]))

    def mean(self, values: AnyFloatArray) -> FloatArray:
        """Volume means of [k, j, i] over the reference's voxels; 0 where the engine's grid does not reach.

        Density is the same all over a voxel of the reference: the mean over its mass is that over its volume.
        """
        z, y, x = self.shares
        return np.asarray(np.einsum("ai,bj,ck,ijk->abc", z, y, x, values, optimize=True))


def _about(index: int) -> slice:
    return slice(index - 1, index + 2)


def zone_numbers(case: ReferenceCase, edges: tuple[float, ...]) -> IntArray:
    """[k, j, i] which interval of ``edges`` the relative radius lies in; -1 outside of them."""
    number = np.digitize(relative_radius(case), edges) - 1
    return np.where(number < len(edges) - 1, number, -1)

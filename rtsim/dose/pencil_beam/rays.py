"""What the pencil beam takes from a medium and a beam: what its rays have met, and where its beamlets lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.beams.model import Beam, Beamlets
from rtsim.dose.medium import AIR_BELOW_G_CM3, Medium
from rtsim.dose.pencil_beam import _kernels
from rtsim.dose.pencil_beam.kernel import PRIMARY_TERMS, PencilKernel
from rtsim.dose.terma.fan import Pose, check_source, corners_mm
from rtsim.errors import GeometryError, InputError, ResourceError
from rtsim.materials import get
from rtsim.typing import BoolArray, Float32Array, FloatArray, IntArray
from rtsim.units import GY_PER_MEV_PER_G

_FAR_WINDOW_MM: Final = 60.0
_HIDDEN: Final = 1.25
_WIDE: Final = 1.2
_TYPICAL_DEPTH_MM: Final = 50
_LARGEST_LAYOUT: Final = 20_000_000


@dataclass(frozen=True, eq=False)
class Body:
    """A medium as the pencil beam sees it, all [k, j, i] unless said otherwise.

    Attributes:
        matter: (nz, ny, nx, 2) float32: density that attenuates the beam like water, relative electron density.
        inside: where doses are computed: matter, and air with matter before, behind, left and right of it.
        per_gram: float32 Gy of the voxel's matter per MeV/g of water that has met the same electrons.
    """

    medium: Medium
    matter: Float32Array
    inside: BoolArray
    per_gram: Float32Array

    @classmethod
    def of(cls, medium: Medium, kernel: PencilKernel) -> Body:
        """The body of a spectrum's beams: attenuation is compared at the energies that release dose at 100 mm."""
        basis = medium.basis_attenuation_cm2_g(kernel.attenuation_energy_mev)
        water = get("water").mass_attenuation_cm2_g(kernel.attenuation_energy_mev)
        relative = (kernel.attenuation_weights @ basis) / float(kernel.attenuation_weights @ water)
        like_water = np.tensordot(relative.astype(np.float32), medium.partial_g_cm3, 1)
        return cls(
            medium,
            np.ascontiguousarray(np.stack([like_water, medium.electron_density], axis=-1), dtype=np.float32),
            surrounded(medium.density_g_cm3 > AIR_BELOW_G_CM3),
            (medium.electron_density / medium.density_g_cm3 * GY_PER_MEV_PER_G).astype(np.float32),
        )


def surrounded(matter: BoolArray) -> BoolArray:
    """Matter [k, j, i], and what has matter on both sides of it along x and along y: cavities, not the air around."""
    out = np.ones_like(matter)
    for axis in (1, 2):
        before = np.logical_or.accumulate(matter, axis=axis)
        behind = np.flip(np.logical_or.accumulate(np.flip(matter, axis), axis=axis), axis)
        out &= before & behind
    return np.ascontiguousarray(out | matter)


@dataclass(frozen=True, eq=False)
class Rays:
    """What the rays of one beam have met.

    Attributes:
        nodes: (rays v, rays u, nodes, 4) float32: depth (mm of water), TERMA per electron relative to water, and how
            much longer than in water the last few mm (of water) of the path are: a near and a far window.
        fan: (6,) first u and pitch, first v and pitch, first axial distance and step, mm.
    """

    nodes: Float32Array
    fan: FloatArray


@dataclass(frozen=True, eq=False)
class Widths:
    """Terms of a pencil kernel as the Numba kernels take them, float32.

    Attributes:
        amplitudes: (depths, terms).
        sigmas_mm: (terms,).
        mixing: (terms,) share of the far of the two windows in a term's stretch.
        windows_mm: (2,) mm of water.
        wide: how many of the first terms are about as wide as a beamlet, or wider.
    """

    amplitudes: Float32Array
    sigmas_mm: Float32Array
    mixing: Float32Array
    windows_mm: FloatArray
    wide: int = 0

    @classmethod
    def of(cls, kernel: PencilKernel) -> Widths:
        """Primary electrons are spread by the matter of their own range; a scattered part of width s by that of the
        last 1.25 s, the mean radius of the Gaussian (photons scattered by a right angle travel as far aside as on)."""
        near = kernel.primary_reach_mm
        radius = math.sqrt(math.pi / 2.0) * kernel.sigmas_mm
        mixing = np.clip(np.log(radius / near) / math.log(_FAR_WINDOW_MM / near), 0.0, 1.0)
        mixing[:PRIMARY_TERMS] = 0.0
        return cls(
            np.ascontiguousarray(kernel.amplitudes, dtype=np.float32),
            np.ascontiguousarray(kernel.sigmas_mm, dtype=np.float32),
            mixing.astype(np.float32),
            np.array([near, _FAR_WINDOW_MM]),
        )

    def in_slots(self, blur_mm2: float, beamlet_mm: float) -> Widths:
        """The same terms for beamlets of that width, blurred by at least that variance: fewer, the widest first.

        Terms that differ less than the blur hides become one, of their mean variance at 50 mm depth; their number is
        filled up to a multiple of eight with terms of no weight.
        """
        order = np.argsort(-self.sigmas_mm)
        groups: list[list[int]] = []
        for n in order:
            widest = groups[-1][0] if groups else n
            if groups and self.sigmas_mm[widest] ** 2 + blur_mm2 < _HIDDEN * (self.sigmas_mm[n] ** 2 + blur_mm2):
                groups[-1].append(int(n))
            else:
                groups.append([int(n)])
        count = 8 * math.ceil(len(groups) / 8)
        amplitudes = np.zeros((self.amplitudes.shape[0], count), dtype=np.float32)
        sigmas, mixing = np.ones(count, dtype=np.float32), np.zeros(count, dtype=np.float32)
        for slot, members in enumerate(groups):
            weight = self.amplitudes[_TYPICAL_DEPTH_MM, members] + 1e-30
            amplitudes[:, slot] = self.amplitudes[:, members].sum(axis=1)
            sigmas[slot] = np.sqrt(np.average(self.sigmas_mm[members] ** 2, weights=weight))
            mixing[slot] = np.average(self.mixing[members], weights=weight)
        wide = int(np.count_nonzero(_WIDE * np.sqrt(sigmas[: len(groups)] ** 2 + blur_mm2) > beamlet_mm))
        return replace(self, amplitudes=amplitudes, sigmas_mm=sigmas, mixing=mixing, wide=wide)


def trace(
    body: Body, beam: Beam, pose: Pose, widths: Widths, u_mm: tuple[float, float], v_mm: tuple[float, float]
) -> Rays:
    """Trace the rays between limits in the isocenter plane, cut to the phantom's shadow.

    Raises:
        GeometryError: the source lies in or behind the phantom; the rays miss it.
    """
    grid = body.medium.grid
    check_source(pose, grid, beam.name)
    bev, distance = pose.project(corners_mm(grid))
    step = float(min(grid.spacing_mm))
    limits = []
    for n, (low, high) in enumerate((u_mm, v_mm)):
        cut = max(low, float(bev[:, n].min())), min(high, float(bev[:, n].max()))
        if cut[1] <= cut[0]:
            raise GeometryError(
                f"{beam.label}: what it opens, x {u_mm[0]:g} .. {u_mm[1]:g}, y {v_mm[0]:g} .. {v_mm[1]:g} mm "
                f"(isocenter plane), misses the phantom; isocenter_mm is {beam.isocenter_mm}"
            )
        limits.append(cut)
    counts = [max(2, math.ceil((b - a) / step) + 1) for a, b in limits]
    pitch = [(b - a) / (c - 1) for (a, b), c in zip(limits, counts, strict=True)]
    first, last = float(distance.min()), float(distance.max())
    fan = np.array([limits[0][0], pitch[0], limits[1][0], pitch[1], first, step])
    nodes = np.empty((counts[1], counts[0], math.ceil((last - first) / step) + 2, 4), dtype=np.float32)
    _kernels.trace_rays(
        body.matter,
        np.array(grid.origin_mm),
        np.array(grid.spacing_mm),
        pose.source_mm,
        pose.rotation,
        pose.sad_mm,
        fan,
        widths.windows_mm,
        np.array(beam.machine.off_axis.softening),
        nodes,
    )
    return Rays(nodes, fan)


@dataclass(frozen=True, eq=False)
class Layout:
    """Beamlets of one beam, sorted row by row.

    Attributes:
        x_mm, y_mm: ascending centers of the distinct columns and rows.
        raster: (2, columns + rows and more) float32 their centers and widths, filled up with intervals of no width.
        widest_mm: width of the widest column or row.
        start: (rows, columns + 1) how many beamlets precede each place.
        column_of: (n,) column of each beamlet in this order.
        order: (n,) its index among the beam's beamlets.
    """

    x_mm: FloatArray
    y_mm: FloatArray
    raster: Float32Array
    widest_mm: float
    start: IntArray
    column_of: IntArray
    order: IntArray

    @classmethod
    def of(cls, beam: Beam) -> Layout:
        """Find rows and columns; any layout has them, a regular one has few.

        Raises:
            InputError: no beamlets.
            ResourceError: scattered beamlets in too many distinct rows and columns.
        """
        beamlets = beamlets_of(beam)
        x, column = _distinct(beamlets.center_x_mm, beamlets.width_x_mm)
        y, row = _distinct(beamlets.center_y_mm, beamlets.width_y_mm)
        if x.shape[0] * y.shape[0] > _LARGEST_LAYOUT:
            raise ResourceError(
                f"the {beamlets.count} beamlets of {beam.label} lie in {y.shape[0]} rows and {x.shape[0]} "
                f"columns ({8 * x.shape[0] * y.shape[0] / 1e9:.2f} GB of index); put them on a common raster"
            )
        order = np.lexsort((column, row))
        filled = np.zeros((y.shape[0], x.shape[0]), dtype=np.int64)
        np.add.at(filled, (row, column), 1)
        before = np.concatenate([[0], np.cumsum(filled.ravel())])
        start = before[np.arange(y.shape[0])[:, None] * x.shape[0] + np.arange(x.shape[0] + 1)]
        return cls(
            np.ascontiguousarray(x[:, 0]),
            np.ascontiguousarray(y[:, 0]),
            _padded(np.concatenate([x, y]).T),
            float(max(x[:, 1].max(), y[:, 1].max())),
            np.ascontiguousarray(start),
            column[order].astype(np.int64),
            order.astype(np.int64),
        )


def _padded(raster: FloatArray) -> Float32Array:
    """Filled up with zeros to a multiple of 16 columns: whole vectors, no rest of a loop to be run one by one."""
    out = np.zeros((2, 16 * math.ceil(raster.shape[1] / 16)), dtype=np.float32)
    out[:, : raster.shape[1]] = raster
    return out


def _distinct(center_mm: FloatArray, width_mm: FloatArray) -> tuple[FloatArray, IntArray]:
    """(m, 2) distinct (center, width), ascending, to 1e-6 mm; and which of them each beamlet has."""
    pairs = np.round(np.stack([center_mm, width_mm], axis=1), 6)
    distinct, index = np.unique(pairs, axis=0, return_inverse=True)
    return np.asarray(distinct, dtype=np.float64), index.ravel().astype(np.int64)


def beamlets_of(beam: Beam) -> Beamlets:
    """The beamlets of a beam.

    Raises:
        InputError: it has none.
    """
    if beam.beamlets is None or beam.beamlets.count == 0:
        raise InputError(f"{beam.label} has no beamlets; an influence matrix needs them")
    return beam.beamlets


def check_met(medium: Medium, beam: Beam, pose: Pose) -> None:
    """Raise GeometryError when the central ray of a beamlet misses the phantom's box."""
    b = beamlets_of(beam)
    local = np.stack([b.center_x_mm / pose.sad_mm, b.center_y_mm / pose.sad_mm, np.full(b.count, -1.0)], axis=1)
    along = local @ pose.rotation.T
    along = np.where(np.abs(along) < 1e-12, 1e-12, along)
    low = (np.array(medium.grid.lower_mm) - pose.source_mm) / along
    high = (np.array(medium.grid.upper_mm) - pose.source_mm) / along
    missed = np.minimum(low, high).max(axis=1) >= np.maximum(low, high).min(axis=1)
    if missed.any():
        bad = int(np.flatnonzero(missed)[0])
        raise GeometryError(
            f"{beam.label}: beamlet {bad} at ({b.center_x_mm[bad]:g}, {b.center_y_mm[bad]:g}) mm misses the "
            f"phantom {medium.grid.lower_mm} .. {medium.grid.upper_mm} mm"
        )


def footprint_variance_mm2(medium: Medium, pose: Pose) -> tuple[float, float]:
    """Variance along BLD x and y of a voxel's projection: the influence is a mean over the voxel."""
    spread = ((pose.rotation[:, :2] * np.array(medium.grid.spacing_mm)[:, None]) ** 2).sum(axis=0) / 12.0
    return float(spread[0]), float(spread[1])

"""TERMA on the divergent fluence: radiological paths on a fan grid, then polyenergetic attenuation per voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.fluence.raster import FluenceMap
from rtsim.dose.medium import Medium
from rtsim.dose.terma import _kernels
from rtsim.errors import GeometryError
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.materials import EnergyGroups, Spectrum
from rtsim.typing import Float32Array, FloatArray

_SPECTRUM_PARTS = (1, 1, 2, 3, 5, 6, 7, 7, 7, 7, 7, 7)
"""Sixtieths of the energy fluence in each group: finer at low energies, where attenuation changes fastest."""

_ELECTRONS_STOP_G_CM2: Final = 10.0
"""Rays of contaminating electrons alone end here: not 1 % of their surface dose is left with 0.05 per mm, the least
that is known."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a beam stands: (3, 3) BLD axes in LPS, (3,) source, and source-axis distance in mm."""

    rotation: FloatArray
    source_mm: FloatArray
    sad_mm: float
    isocenter_mm: FloatArray

    @classmethod
    def of(cls, beam: Beam, gantry_deg: float) -> Pose:
        """Pose of a beam at a gantry angle."""
        rotation = np.ascontiguousarray(bld_to_lps(gantry_deg, beam.couch_deg, beam.collimator_deg))
        isocenter = np.asarray(beam.isocenter_mm, dtype=np.float64)
        return cls(rotation, isocenter + beam.machine.sad_mm * rotation[:, 2], beam.machine.sad_mm, isocenter)

    def project(self, points_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """BLD (..., 2) positions in the isocenter plane and (...,) axial distances from the source."""
        local = (points_mm - self.source_mm) @ self.rotation
        distance = -local[..., 2]
        return local[..., :2] * (self.sad_mm / distance)[..., None], distance


@lru_cache(maxsize=32)
def energy_groups(spectrum: Spectrum) -> EnergyGroups:
    """Twelve groups that keep number and energy; TERMA in water is within 0.1 % of that of all bins, 0 to 30 cm."""
    fine = spectrum.groups(sum(_SPECTRUM_PARTS))
    cuts = np.concatenate([[0], np.cumsum(_SPECTRUM_PARTS)[:-1]])
    photons = np.add.reduceat(fine.photons, cuts)
    return EnergyGroups(np.add.reduceat(fine.photons * fine.energy_mev, cuts) / photons, photons)


def corners_mm(grid: Grid) -> FloatArray:
    """(8, 3) corners of the grid's box."""
    lo, up = grid.lower_mm, grid.upper_mm
    return np.array([[x, y, z] for x in (lo[0], up[0]) for y in (lo[1], up[1]) for z in (lo[2], up[2])])


def check_source(pose: Pose, grid: Grid, name: str) -> None:
    """Raise GeometryError when the phantom is not wholly in front of the source."""
    local = (corners_mm(grid) - pose.source_mm) @ pose.rotation
    nearest = float((-local[:, 2]).min())
    if bool(grid.contains(pose.source_mm)):
        raise GeometryError(
            f"beam {name!r}: the source {tuple(np.round(pose.source_mm, 1))} mm lies inside the phantom "
            f"{grid.lower_mm} .. {grid.upper_mm} mm; move the isocenter or crop the phantom"
        )
    if nearest < 1.0:
        raise GeometryError(
            f"beam {name!r}: the phantom reaches {1.0 - nearest:.0f} mm behind the source plane; "
            "all of it must lie in front of the source"
        )


@dataclass(frozen=True, eq=False)
class Released:
    """All [k, j, i]: energy released per volume (MeV/cm3) in a soft and a hard part, and fluence x exp(-k x mass depth)
    x (SAD/d)^2 of the electrons, if asked for."""

    soft: Float32Array
    hard: Float32Array
    electrons: Float32Array | None


@dataclass(frozen=True, eq=False, kw_only=True)
class FanPaths:
    """Radiological paths of one beam through a medium, on a divergent grid of rays.

    Attributes:
        paths: (rays v, rays u, nodes, basis) float32 g/cm2 from the source to each node.
        fan: (6,) first ray u and pitch, first ray v and pitch, first node's axial distance and pitch, mm.
        half: (2,) half widths (mm) of a voxel's footprint: a box of the same variance as the voxel's projection.
    """

    medium: Medium
    pose: Pose
    paths: Float32Array
    fan: FloatArray
    half: FloatArray

    @classmethod
    def trace(cls, medium: Medium, fluences: Sequence[FluenceMap], pose: Pose, name: str = "") -> FanPaths:
        """Trace the rays that matter for some fluences: photons, and the electrons that come with them.

        Raises:
            GeometryError: the source lies in or behind the phantom, or the field misses it.
        """
        grid = medium.grid
        check_source(pose, grid, name)
        spacing = np.array(grid.spacing_mm)
        half = 0.5 * np.sqrt(((pose.rotation[:, :2] * spacing[:, None]) ** 2).sum(axis=0))
        u, v, distances = _fan(grid, fluences, pose, half)
        step = float(spacing.min())
        us, vs = _samples(u, 0.8 * step), _samples(v, 0.8 * step)
        nodes = int(np.ceil((distances[1] - distances[0]) / step)) + 2
        paths = np.empty((vs.size, us.size, nodes, medium.partial_g_cm3.shape[0]), dtype=np.float32)
        _kernels.fan_paths(
            np.ascontiguousarray(np.moveaxis(medium.partial_g_cm3, 0, 3)),
            np.array(grid.origin_mm),
            spacing,
            pose.source_mm,
            pose.rotation,
            pose.sad_mm,
            us,
            vs,
            distances[0],
            step,
            2,
            _photon_limits(fluences[0], pose, distances[0], half, us[1] - us[0], vs[1] - vs[0]),
            _ELECTRONS_STOP_G_CM2,
            paths,
        )
        fan = np.array([us[0], us[1] - us[0], vs[0], vs[1] - vs[0], distances[0], step])
        return cls(medium=medium, pose=pose, paths=paths, fan=fan, half=half)

    def released_energy(
        self,
        fluence: FluenceMap,
        spectrum: Spectrum,
        hardness: FloatArray,
        softening: tuple[float, float, float] = (0.0, 0.0, 0.0),
        electrons: tuple[FluenceMap, float] | None = None,
    ) -> Released:
        """What a fluence in photons per cm2 releases, and contaminating electrons.

        Args:
            hardness: (groups,) share of the hard kernel at the energies of :func:`energy_groups`.
            softening: of the off-axis spectrum, per degree.
            electrons: their fluence, and k (cm2/g) of their exp(-k x mass depth).
        """
        groups = energy_groups(spectrum)
        grid, pose = self.medium.grid, self.pose
        soft, hard = np.empty(grid.shape, dtype=np.float32), np.empty(grid.shape, dtype=np.float32)
        beside = np.zeros(grid.shape if electrons is not None else (1, 1, 1), dtype=np.float32)
        loose = fluence if electrons is None else electrons[0]
        _kernels.released_energy(
            self.medium.partial_g_cm3,
            np.array(grid.origin_mm),
            np.array(grid.spacing_mm),
            pose.source_mm,
            pose.rotation,
            pose.sad_mm,
            self.paths,
            self.fan,
            self.half,
            fluence.summed(),
            _corner(fluence),
            self.medium.basis_attenuation_cm2_g(groups.energy_mev).astype(np.float32),
            (groups.photons * groups.energy_mev).astype(np.float32),
            hardness.astype(np.float32),
            np.array(softening),
            np.zeros((1, 1)) if electrons is None else loose.summed(),
            _corner(loose),
            0.0 if electrons is None else float(electrons[1]),
            soft,
            hard,
            beside,
        )
        return Released(soft, hard, None if electrons is None else beside)


def _corner(fluence: FluenceMap) -> FloatArray:
    return np.array([fluence.raster.left_mm, fluence.raster.bottom_mm, fluence.raster.pitch_mm])


def _fan(
    grid: Grid, fluences: Sequence[FluenceMap], pose: Pose, half: FloatArray
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Limits in u, v and axial distance of the rays that matter: the phantom's shadow cut by where there is fluence.

    The first fluence has to meet the phantom.
    """
    bev, distance = pose.project(corners_mm(grid))
    near, far = float(distance.min()), float(distance.max())
    reach = half * pose.sad_mm / near + 1e-6
    shadow = [(float(bev[:, n].min()), float(bev[:, n].max())) for n in (0, 1)]
    boxes = [box for box in map(_filled, fluences) if box is not None]
    if not boxes:
        return (0.0, 1.0), (0.0, 1.0), (near, far)
    limits = []
    for n in (0, 1):
        first = (max(shadow[n][0], boxes[0][n][0] - reach[n]), min(shadow[n][1], boxes[0][n][1] + reach[n]))
        if first[1] <= first[0]:
            (left, right), (low, high) = boxes[0]
            raise GeometryError(
                f"the field x {left:g} .. {right:g}, y {low:g} .. {high:g} mm (isocenter plane) misses the phantom; "
                f"isocenter_mm is {tuple(np.round(pose.isocenter_mm, 1))}"
            )
        lower, upper = min(b[n][0] for b in boxes) - reach[n], max(b[n][1] for b in boxes) + reach[n]
        limits.append((float(max(shadow[n][0], lower)), float(min(shadow[n][1], upper))))
    return limits[0], limits[1], (near, far)


def _filled(fluence: FluenceMap) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """x and y limits of the pixels that hold fluence."""
    rows, columns = np.flatnonzero(fluence.values.any(axis=1)), np.flatnonzero(fluence.values.any(axis=0))
    if not rows.size:
        return None
    x, y = fluence.raster.x_edges_mm, fluence.raster.y_edges_mm
    return (float(x[columns[0]]), float(x[columns[-1] + 1])), (float(y[rows[0]]), float(y[rows[-1] + 1]))


def _photon_limits(
    fluence: FluenceMap, pose: Pose, nearest_mm: float, half: FloatArray, pitch_u: float, pitch_v: float
) -> FloatArray:
    """(4,) u and v limits of the rays that photons need: their fluence, a voxel's footprint and a ray to each side."""
    box = _filled(fluence)
    if box is None:
        return np.array([1.0, -1.0, 1.0, -1.0])
    room = half * pose.sad_mm / nearest_mm + np.array([pitch_u, pitch_v])
    return np.array([box[0][0] - room[0], box[0][1] + room[0], box[1][0] - room[1], box[1][1] + room[1]])


def _samples(limits: tuple[float, float], pitch: float) -> FloatArray:
    count = max(2, int(np.ceil((limits[1] - limits[0]) / pitch)) + 1)
    return np.linspace(limits[0], limits[1], count)

"""Source: the photons of a delivery as flat arrays, from which the kernel draws.

A photon is drawn in five steps: a pixel of all fluence maps by ``cumulative`` (its map by ``start``); a point in the
pixel, uniformly; the direction from the source of the map through that point of the isocenter plane; the spectrum by
the point's radius; the energy, uniformly in its bin. All photons come from the target: focal spot and extra-focal
source are in the fluence maps, as in the other engines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.checks import nothing_delivered
from rtsim.dose.collapsed_cone.beam_dose import wedge_gradient_per_mm
from rtsim.dose.fluence.model import each_fluence_map
from rtsim.dose.fluence.raster import FluenceMap, Raster
from rtsim.dose.monte_carlo.softening import off_axis
from rtsim.dose.resolution.model import EMITTING, RAMP_MM
from rtsim.dose.terma.fan import Pose, check_source, meets
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.machine.model import Machine
from rtsim.typing import BoolArray, FloatArray, IntArray

RADIUS_STEP_MM: Final = 5.0
"""0.3 degrees at 1 m: between them spectra are mixed linearly."""
_OUTER_PITCH_MM: Final = 2.0
"""Pixels of what passes outside the field: an arc's maps together would be gigabytes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """All photons of one delivery. A map is a fluence raster at one pose; a group, the spectra of one machine.

    Attributes:
        rotation: (maps, 3, 3) BLD axes in LPS, as columns.
        source_mm: (maps, 3) LPS.
        sad_mm: (maps,) from source to isocenter plane.
        raster: (maps, 5) left, bottom, pitch (mm, BLD in the isocenter plane), columns, rows.
        start: (maps + 1,) where the pixels of each map begin in ``cumulative``; pixels [row, column] in C order.
        cumulative: (pixels,) running sum over all maps of the photons that cross each pixel. The fluence of a map is
            scalar (per area across the ray): photons = fluence x cos(theta) x area.
        map_spectrum: (maps,) group of each map.
        energy_edges: (groups, n + 1) edges of the bins; shorter spectra repeat their last edge.
        energy_cumulative: (groups, radii, n) running share of the photons, ending at 1.
        radius_step_mm: between the radii of ``energy_cumulative`` in the isocenter plane, from 0. One of the two
            nearest is drawn, with the weights of linear interpolation; beyond the last radius, that.
    """

    rotation: FloatArray
    source_mm: FloatArray
    sad_mm: FloatArray
    raster: FloatArray
    start: IntArray
    cumulative: FloatArray
    map_spectrum: IntArray
    energy_edges: FloatArray
    energy_cumulative: FloatArray
    radius_step_mm: float = RADIUS_STEP_MM

    @property
    def photons(self) -> float:
        """Number of photons of the delivery (one fraction)."""
        return float(self.cumulative[-1])

    @property
    def mean_energy_mev(self) -> float:
        """Mean energy of all photons."""
        per_pixel = np.diff(self.cumulative, prepend=0.0)
        middle = 0.5 * (self.energy_edges[:, 1:] + self.energy_edges[:, :-1])
        means = (np.diff(self.energy_cumulative, axis=2, prepend=0.0) * middle[:, None]).sum(axis=2)
        total = 0.0
        for m, group in enumerate(self.map_spectrum):
            here = _at_radius(_raster(self.raster[m]), means[group])
            total += float(per_pixel[self.start[m] : self.start[m + 1]] @ here.ravel())
        return total / self.photons

    def parted(self, half_mm: float) -> tuple[Source, Source]:
        """The photons of the pixels within ``half_mm`` of the axis (square, isocenter plane), and all others."""
        inside = np.concatenate([_within(_raster(row), half_mm).ravel() for row in self.raster])
        pixels = np.diff(self.cumulative, prepend=0.0)
        inner, outer = (replace(self, cumulative=np.cumsum(np.where(w, pixels, 0.0))) for w in (inside, ~inside))
        return inner, outer


def source_of(beams: Sequence[Beam], *, photons_per_unit: Sequence[float], grid: Grid | None = None) -> Source:
    """The photons of one fraction of some beams.

    Args:
        photons_per_unit: for each beam, photons per cm2 on the axis of one monitor unit (``calibration``); 1 for a
            machine without calibration, whose monitor units are photons per cm2.
        grid: dose grid, checked to lie in front of every source and in every field; None leaves that out.

    Raises:
        InputError: no beams, nothing delivered, a softening that the spectrum cannot take.
        GeometryError: a source inside or behind the phantom, a field that misses it.
    """
    if len(photons_per_unit) != len(beams):
        raise InputError(f"photons_per_unit has {len(photons_per_unit)} values for {len(beams)} beams; one each")
    parts: list[_Part] = []
    for beam, per_unit in zip(beams, photons_per_unit, strict=True):
        if not (math.isfinite(per_unit) and per_unit > 0.0):
            raise InputError(f"photons_per_unit of {beam.label} is {per_unit}; it must be finite and above 0")
        parts += _parts(beam, per_unit, grid)
    if not parts:
        raise nothing_delivered(beams)
    groups = _Groups.of(parts)
    pixels = [_photons(part, groups) for part in parts]
    sizes = [p.size for p in pixels]
    return Source(
        rotation=np.ascontiguousarray([p.pose.rotation for p in parts], dtype=np.float64),
        source_mm=np.ascontiguousarray([p.pose.source_mm for p in parts], dtype=np.float64),
        sad_mm=np.array([p.pose.sad_mm for p in parts], dtype=np.float64),
        raster=np.array([_row(p.fluence.raster) for p in parts], dtype=np.float64),
        start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        cumulative=np.cumsum(np.concatenate(pixels)),
        map_spectrum=np.array([groups.number(p.machine) for p in parts], dtype=np.int64),
        energy_edges=groups.edges_mev,
        energy_cumulative=groups.cumulative,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """One raster of a delivery: the field of a map, or what lies around it."""

    machine: Machine
    pose: Pose
    fluence: FluenceMap
    per_unit: float


def _parts(beam: Beam, per_unit: float, grid: Grid | None) -> list[_Part]:
    out: list[_Part] = []
    for fluence in each_fluence_map(beam, wedge_gradient_per_mm=wedge_gradient_per_mm(beam)):
        if not fluence.values.any():
            continue
        pose = Pose.of(beam, fluence.gantry_deg)
        inner, outer = fluence.split(EMITTING, RAMP_MM)
        if grid is not None:
            check_source(pose, grid, beam.name)
            _check_hit(pose, inner, grid, beam.label)
        out.append(_Part(beam.machine, pose, inner, per_unit))
        if outer.values.any():
            out.append(_Part(beam.machine, pose, _coarser(outer), per_unit))
    return out


def _check_hit(pose: Pose, fluence: FluenceMap, grid: Grid, name: str) -> None:
    if not meets(grid, fluence, pose):
        raise GeometryError(
            f"the field of {name} at gantry {fluence.gantry_deg:g} degrees misses the phantom "
            f"{grid.lower_mm} .. {grid.upper_mm} mm; isocenter_mm is {tuple(np.round(pose.isocenter_mm, 1).tolist())}"
        )


def _coarser(fluence: FluenceMap) -> FluenceMap:
    """Means over larger pixels, cut to those that hold something."""
    fine = fluence.raster
    factor = max(1, round(_OUTER_PITCH_MM / fine.pitch_mm))
    rows, columns = math.ceil(fine.rows / factor), math.ceil(fine.columns / factor)
    padded = np.zeros((rows * factor, columns * factor))
    padded[: fine.rows, : fine.columns] = fluence.values
    values = padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    raster = Raster(fine.left_mm, fine.bottom_mm, fine.pitch_mm * factor, columns, rows)
    return FluenceMap(raster, values, fluence.gantry_deg)


def _row(raster: Raster) -> list[float]:
    return [raster.left_mm, raster.bottom_mm, raster.pitch_mm, float(raster.columns), float(raster.rows)]


def _raster(row: FloatArray) -> Raster:
    return Raster(float(row[0]), float(row[1]), float(row[2]), int(row[3]), int(row[4]))


def _within(raster: Raster, half_mm: float) -> BoolArray:
    """(rows, columns) whether the center of a pixel lies in the square about the axis."""
    return np.asarray((np.abs(raster.x_mm[None, :]) <= half_mm) & (np.abs(raster.y_mm[:, None]) <= half_mm))


def _at_radius(raster: Raster, values: FloatArray) -> FloatArray:
    """(rows, columns) of a quantity given at multiples of ``RADIUS_STEP_MM``, at the center of each pixel."""
    radius = np.hypot(raster.x_mm[None, :], raster.y_mm[:, None])
    return np.asarray(np.interp(radius, RADIUS_STEP_MM * np.arange(values.size), values))


def _photons(part: _Part, groups: _Groups) -> FloatArray:
    """(pixels,) photons that cross each pixel of a map."""
    raster = part.fluence.raster
    x, y = raster.x_mm[None, :], raster.y_mm[:, None]
    cosine = part.pose.sad_mm / np.sqrt(part.pose.sad_mm**2 + x * x + y * y)
    area_cm2 = (0.1 * raster.pitch_mm) ** 2
    more = _at_radius(raster, groups.photons[groups.number(part.machine)])
    return np.asarray((part.fluence.values * cosine * more * (area_cm2 * part.per_unit)).ravel())


@dataclass(frozen=True, eq=False)
class _Groups:
    """The spectra of the machines of a delivery, by radius."""

    machines: list[Machine]
    edges_mev: FloatArray
    cumulative: FloatArray
    photons: FloatArray

    @classmethod
    def of(cls, parts: Sequence[_Part]) -> _Groups:
        machines: list[Machine] = []
        for part in parts:
            if not any(part.machine is m for m in machines):
                machines.append(part.machine)
        soft = any(any(m.off_axis.softening) for m in machines)
        count = 2 + int(max(_reach_mm(p.fluence.raster) for p in parts) / RADIUS_STEP_MM) if soft else 1
        radius = RADIUS_STEP_MM * np.arange(count)
        bins = max(m.spectrum.photons.size for m in machines)
        edges = np.empty((len(machines), bins + 1))
        cumulative = np.ones((len(machines), count, bins))
        photons = np.empty((len(machines), count))
        for g, machine in enumerate(machines):
            own = machine.spectrum.photons.size
            spectra = off_axis(machine, radius)
            edges[g, : own + 1] = machine.spectrum.edges_mev
            edges[g, own + 1 :] = machine.spectrum.edges_mev[-1]
            cumulative[g, :, :own] = np.cumsum(spectra.shares, axis=1)
            # rounding may leave the last sum a little off 1; empty bins at the end must not be drawn
            last = int(np.flatnonzero(machine.spectrum.photons)[-1])
            cumulative[g, :, last:] = 1.0
            photons[g] = spectra.photons
        return cls(machines, edges, cumulative, photons)

    def number(self, machine: Machine) -> int:
        return next(g for g, m in enumerate(self.machines) if m is machine)


def _reach_mm(raster: Raster) -> float:
    """Largest radius of a corner."""
    return float(np.hypot(np.abs(raster.x_edges_mm).max(), np.abs(raster.y_edges_mm).max()))

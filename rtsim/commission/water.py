"""What a machine gives in a water tank, along the lines that were measured: the forward model of the fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import erf

from rtsim.beams import Beam
from rtsim.commission.measured import Axis
from rtsim.dose import CollapsedCone, forward
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.machine import ElectronContamination, Machine
from rtsim.materials import get
from rtsim.phantom.phantom import Phantom
from rtsim.typing import FloatArray

BEYOND_EDGE_MM: Final = 30.0
"""Profiles count up to this far outside the edge of the field."""
_BACKSCATTER_MM: Final = 40.0
_DEPTH_STEP_MM: Final = {True: 2.5, False: 5.0}
"""Of a run along the axis, and across it."""


class Line(Enum):
    """Along what a run is fine."""

    DEPTH = "depth"
    CROSSLINE = "crossline"
    INLINE = "inline"
    DIAGONAL = "diagonal"

    @classmethod
    def of(cls, axis: Axis) -> Line:
        """The line of a profile's axis."""
        return cls(axis.value)


@dataclass(frozen=True, kw_only=True)
class WaterRun:
    """One field in water, on a grid that is fine along one line and coarse across it.

    Attributes:
        field_mm: full widths in BLD x, y.
        ssd_mm: source to surface.
        line: along what it will be read.
        deepest_mm: of what will be read.
    """

    field_mm: tuple[float, float]
    ssd_mm: float
    line: Line
    deepest_mm: float

    def grid(self, sad_mm: float) -> Grid:
        """Voxels with one column on the axis; water around the beam at every depth and behind the deepest point."""
        if self.ssd_mm > sad_mm:
            raise InputError(
                f"ssd_mm is {self.ssd_mm:g}; a surface beyond the isocenter ({sad_mm:g} mm) is not modelled"
            )
        end = self.deepest_mm + _BACKSCATTER_MM
        grown = (self.ssd_mm + self.deepest_mm) / sad_mm
        spacing = self._spacing_mm()
        half = []
        for width, step in zip(self.field_mm, spacing, strict=True):
            margin = 60.0 if min(self.field_mm) >= 50.0 else 40.0
            half.append((math.ceil((0.5 * width * grown + margin) / step) + 0.5) * step)
        surface = self.ssd_mm - sad_mm
        return Grid.covering(
            (-half[0], surface, -half[1]),
            (half[0], max(surface + end, 1.0), half[1]),
            (spacing[0], _DEPTH_STEP_MM[self.line is Line.DEPTH], spacing[1]),
        )

    def _spacing_mm(self) -> tuple[float, float]:
        fine = [min(max(w / 80.0, 1.0), 2.5) for w in self.field_mm]
        coarse = [min(max(w / 20.0, 1.0), 6.0) for w in self.field_mm]
        if self.line is Line.CROSSLINE:
            return fine[0], coarse[1]
        if self.line is Line.INLINE:
            return coarse[0], fine[1]
        if self.line is Line.DIAGONAL:
            return coarse[0] / 2.0, coarse[1] / 2.0
        return coarse[0], coarse[1]

    def dose(self, machine: Machine) -> LineDose:
        """Dose of one monitor unit (for a machine without calibration: of one photon per cm2)."""
        grid = self.grid(machine.sad_mm)
        one = np.ones(grid.shape, dtype=np.float32)
        water = Phantom.from_density(
            one, np.zeros(grid.shape, dtype=np.uint8), (get("water"),), grid, name="water tank"
        )
        beam = Beam.open_field(machine, self.field_mm, monitor_units=1.0)
        dose = forward(water, beam, engine=CollapsedCone())
        return LineDose(self, dose.grid, dose.values_gy.astype(np.float64), self.ssd_mm - machine.sad_mm)


@dataclass(frozen=True, eq=False)
class LineDose:
    """The dose of a run, to be read along its line.

    A voxel is a mean over its width. The dose is therefore integrated along the line (a cubic spline through the
    integrals up to the voxel edges) and read as the derivative, or as the mean over the detector: neither the voxels
    nor their interpolation widen a penumbra.
    """

    run: WaterRun
    grid: Grid
    values_gy: FloatArray
    surface_mm: float

    def along_depth(self, depth_mm: FloatArray, detector_mm: float = 0.0) -> FloatArray:
        """Dose on the axis at depths."""
        nz, _, nx = self.grid.shape
        edges = np.arange(self.grid.shape[1] + 1, dtype=np.float64) * self.grid.spacing_mm[1]
        return _means(edges, self.values_gy[nz // 2, :, nx // 2], depth_mm, detector_mm)

    def across(self, depth_mm: float, position_mm: FloatArray, detector_mm: float = 0.0) -> FloatArray:
        """Dose along the run's line at one depth, at signed distances from the axis."""
        nz, _, nx = self.grid.shape
        layers = self.grid.y_mm - self.surface_mm
        j = int(np.clip(np.searchsorted(layers, depth_mm) - 1, 0, layers.size - 2))
        t = (depth_mm - layers[j]) / (layers[j + 1] - layers[j])
        plane = (1.0 - t) * self.values_gy[:, j, :] + t * self.values_gy[:, j + 1, :]
        if self.run.line is Line.CROSSLINE:
            line, step, count = plane[nz // 2], self.grid.spacing_mm[0], nx
        elif self.run.line is Line.INLINE:
            line, step, count = plane[:, nx // 2], self.grid.spacing_mm[2], nz
        else:
            return self._diagonal(plane, position_mm)
        edges = (np.arange(count + 1, dtype=np.float64) - count / 2) * step
        return _means(edges, line, position_mm, detector_mm)

    def _diagonal(self, plane: FloatArray, position_mm: FloatArray) -> FloatArray:
        half = position_mm * 0.5**0.5
        i = (half - self.grid.x_mm[0]) / self.grid.spacing_mm[0]
        k = (half - self.grid.z_mm[0]) / self.grid.spacing_mm[2]
        i0 = np.clip(i.astype(np.int64), 0, plane.shape[1] - 2)
        k0 = np.clip(k.astype(np.int64), 0, plane.shape[0] - 2)
        u, v = i - i0, k - k0
        near = (1.0 - u) * plane[k0, i0] + u * plane[k0, i0 + 1]
        far = (1.0 - u) * plane[k0 + 1, i0] + u * plane[k0 + 1, i0 + 1]
        return np.asarray((1.0 - v) * near + v * far)


def _means(edges: FloatArray, values: FloatArray, at: FloatArray, width: float) -> FloatArray:
    integral = CubicSpline(edges, np.concatenate([[0.0], np.cumsum(values * np.diff(edges))]))
    if width <= 0.0:
        return np.asarray(integral(at, 1))
    low, high = np.clip(at - width / 2, edges[0], edges[-1]), np.clip(at + width / 2, edges[0], edges[-1])
    return np.asarray((integral(high) - integral(low)) / (high - low))


def electron_shape(
    electrons: ElectronContamination,
    run: WaterRun,
    sad_mm: float,
    depth_mm: FloatArray,
    off_axis_mm: FloatArray,
) -> FloatArray:
    """Dose of the contaminating electrons over (fraction x maximum photon dose of the calibration field).

    As the machine's ElectronContamination says: the fluence of the open field, blurred by sigma in the isocenter plane,
    x exp(-attenuation z) (SAD/d)^2, and 1 at the surface (in the isocenter plane) on the axis of a 100 x 100 mm field.
    """
    root = electrons.sigma_mm * math.sqrt(2.0)
    distance = run.ssd_mm + depth_mm
    at = off_axis_mm * sad_mm / distance
    x, y = {
        Line.CROSSLINE: (at, 0.0 * at),
        Line.INLINE: (0.0 * at, at),
        Line.DIAGONAL: (at * 0.5**0.5, at * 0.5**0.5),
        Line.DEPTH: (0.0 * at, 0.0 * at),
    }[run.line]
    seen = np.ones_like(at)
    for position, width in ((x, run.field_mm[0]), (y, run.field_mm[1])):
        seen = seen * 0.5 * (erf((width / 2 - position) / root) + erf((width / 2 + position) / root))
    reference = math.erf(50.0 / root) ** 2
    return np.asarray(seen / reference * np.exp(-electrons.attenuation_per_mm * depth_mm) * (sad_mm / distance) ** 2)


def runs_needed(
    depth: Sequence[tuple[tuple[float, float], float, float]],
    across: Sequence[tuple[tuple[float, float], float, Axis, float]],
) -> tuple[WaterRun, ...]:
    """The fewest runs that hold (field, ssd, deepest) along the axis and (field, ssd, axis, depth) across it."""
    deepest: dict[tuple[tuple[float, float], float, Line], float] = {}
    for field, ssd, depth_mm in depth:
        key = (field, ssd, Line.DEPTH)
        deepest[key] = max(deepest.get(key, 0.0), depth_mm)
    for field, ssd, axis, depth_mm in across:
        key = (field, ssd, Line.of(axis))
        deepest[key] = max(deepest.get(key, 0.0), depth_mm)
    return tuple(
        WaterRun(field_mm=field, ssd_mm=ssd, line=line, deepest_mm=depth_mm)
        for (field, ssd, line), depth_mm in sorted(deepest.items(), key=lambda item: (item[0][0], item[0][2].value))
    )

"""What one would measure of a machine in a water tank, and in air, computed by the engine on coarse grids.

Along the axis 2 mm (1 mm for percentage depth doses); across 1.25 mm (fields below 30 mm), 2.5 mm (to 80 mm), 5 mm (to
150 mm) or 8 mm; water to 60 mm beside the field (35 mm below 30 mm) and 80 mm behind the depth of interest; profiles
2 mm. 32 cones.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.beams import Aperture, Beam
from rtsim.dose import CollapsedCone, Dose
from rtsim.dose.fluence import fluence_maps
from rtsim.geometry.grid import Grid
from rtsim.machine import ExtraFocalSource, Machine
from rtsim.materials import get
from rtsim.phantom.phantom import Phantom
from rtsim.typing import FloatArray

CONES: Final = 32
DEPTH_MM: Final = 100.0
"""Where output factors, transmission and penumbra are taken."""

Curve = tuple[FloatArray, FloatArray]
"""Positions or depths in mm, and Gy per monitor unit."""


@lru_cache(maxsize=256)
def depth_dose(
    machine: Machine, field_mm: float, surface_mm: float, deepest_mm: float = 100.0, along_mm: float = 2.0
) -> Curve:
    """The axis of a square field. The surface lies at y = ``surface_mm``, the isocenter at 0; depths to ``deepest_mm``
    hold."""
    across = 8.0 if field_mm > 150.0 else 5.0 if field_mm > 80.0 else 2.5 if field_mm >= 30.0 else 1.25
    grid = _grid(field_mm, surface_mm, deepest_mm, (across, along_mm, across))
    dose = _dose(machine, Beam.open_field(machine, (field_mm, field_mm), monitor_units=1.0), grid)
    middle = grid.shape[0] // 2, grid.shape[2] // 2
    return grid.y_mm - surface_mm, dose.values_gy[middle[0], :, middle[1]].astype(np.float64)


def output_factor(machine: Machine, field_mm: float) -> float:
    """Dose at 100 mm depth, isocenter there, relative to the 100 mm field."""
    return _at(depth_dose(machine, field_mm, -DEPTH_MM), DEPTH_MM) / _at(
        depth_dose(machine, 100.0, -DEPTH_MM), DEPTH_MM
    )


def percentage_depth_dose(machine: Machine, depth_mm: float, *, ssd_mm: float | None = None) -> float:
    """100 x dose at a depth over the largest, 100 mm field, surface at ``ssd_mm`` (None: at the isocenter)."""
    curve = _surface_curve(machine, ssd_mm)
    return 100.0 * _at(curve, depth_mm) / maximum(curve)[1]


def depth_of_maximum_mm(machine: Machine, *, ssd_mm: float | None = None) -> float:
    """Where the 100 mm field is largest, surface at ``ssd_mm``."""
    return maximum(_surface_curve(machine, ssd_mm))[0]


def surface_dose_percent(machine: Machine) -> float:
    """Of the 100 mm field, surface at the isocenter: the first two voxels (1 mm) extrapolated, over the maximum."""
    depth, dose = _surface_curve(machine, None)
    return 100.0 * float(dose[0] - depth[0] * (dose[1] - dose[0]) / (depth[1] - depth[0])) / maximum((depth, dose))[1]


def tissue_phantom_ratio(machine: Machine) -> float:
    """TPR20,10: dose at the isocenter in 200 mm over that in 100 mm depth, 100 mm field."""
    deep = _at(depth_dose(machine, 100.0, -200.0, 200.0), 200.0)
    return deep / _at(depth_dose(machine, 100.0, -DEPTH_MM), DEPTH_MM)


def penumbra_mm(machine: Machine) -> float:
    """20 to 80 % of the dose on the axis, 100 mm field, isocenter at 100 mm depth: mean of BLD x and y."""
    widths = []
    for along, spacing in (("x", (2.0, 4.0, 5.0)), ("y", (5.0, 4.0, 2.0))):
        grid = _grid(100.0, -DEPTH_MM, DEPTH_MM, spacing)
        dose = _dose(machine, Beam.open_field(machine, (100.0, 100.0), monitor_units=1.0), grid)
        aside = np.arange(20.0, 80.0, 0.1)
        zero = np.zeros_like(aside)
        points = [aside, zero, zero] if along == "x" else [zero, zero, aside]
        relative = dose.at(np.stack(points, axis=1)) / float(dose.at(np.zeros(3)))
        widths.append(float(np.interp(-0.2, -relative, aside) - np.interp(-0.8, -relative, aside)))
    return 0.5 * sum(widths)


def leaf_transmission_percent(machine: Machine) -> float:
    """Dose on the axis at 100 mm depth behind closed leaves, parked behind a jaw, over that of open 100 mm jaws."""
    mlc = machine.mlc
    if mlc is None:
        raise ValueError(f"{machine.name} has no leaves")
    side = (-50.0, 50.0)
    parked = np.tile([80.0, 80.0 + mlc.min_gap_mm], (mlc.leaf_count, 1))
    closed = Beam.open_field(machine, (100.0, 100.0)).with_segments(
        ((Aperture(jaws_x_mm=side, jaws_y_mm=side, leaf_pairs_mm=parked), 1.0),)
    )
    grid = _grid(100.0, -DEPTH_MM, DEPTH_MM, (5.0, 2.0, 5.0))
    behind = float(_dose(machine, closed, grid).at(np.zeros(3)))
    return 100.0 * behind / _at(depth_dose(machine, 100.0, -DEPTH_MM), DEPTH_MM)


def jaw_transmission_percent(machine: Machine) -> float:
    """Primary fluence in air on the axis under closed y jaws over the open one."""
    bare = replace(machine, extra_focal=ExtraFocalSource())
    opened = Beam.open_field(bare, (100.0, 100.0), monitor_units=1.0)
    shape = replace(opened.control_points[0].aperture, jaws_y_mm=(100.0, 110.0))
    closed = opened.with_segments(((shape, 1.0),))
    return 100.0 * _in_air(closed, 0.0, 0.0) / _in_air(opened, 0.0, 0.0)


def off_axis_ratio(machine: Machine, radius_mm: float) -> float:
    """Fluence in air at a radius, on the diagonal of the largest field, over the axis; head scatter included."""
    beam = Beam.open_field(machine, (machine.max_field_mm, machine.max_field_mm), monitor_units=1.0)
    aside = radius_mm / math.sqrt(2.0)
    return _in_air(beam, aside, aside) / _in_air(beam, 0.0, 0.0)


def maximum(curve: Curve) -> tuple[float, float]:
    """Depth and dose of the maximum: a parabola through the five highest voxels in a row."""
    depth, dose = curve
    top = min(max(int(np.argmax(dose)), 2), dose.size - 3)
    a, b, c = np.polyfit(depth[top - 2 : top + 3], dose[top - 2 : top + 3], 2)
    if a >= 0.0:
        return float(depth[top]), float(dose[top])
    return float(-b / (2.0 * a)), float(c - b * b / (4.0 * a))


def _surface_curve(machine: Machine, ssd_mm: float | None) -> Curve:
    surface = 0.0 if ssd_mm is None else ssd_mm - machine.sad_mm
    return depth_dose(machine, 100.0, surface, 200.0, 1.0)


def _at(curve: Curve, depth_mm: float) -> float:
    """The logarithm of a dose is straight between voxels."""
    return float(np.exp(np.interp(depth_mm, curve[0], np.log(curve[1]))))


def _in_air(beam: Beam, x_mm: float, y_mm: float) -> float:
    found = fluence_maps(beam)[0]
    raster = found.raster
    i, j = (int((at - low) / raster.pitch_mm) for at, low in ((x_mm, raster.left_mm), (y_mm, raster.bottom_mm)))
    return float(found.values[j - 1 : j + 1, i - 1 : i + 1].mean())


def _grid(field_mm: float, surface_mm: float, deepest_mm: float, spacing_mm: tuple[float, float, float]) -> Grid:
    beside = field_mm / 2 + (60.0 if field_mm >= 30.0 else 35.0)
    half = [s * (2 * round(beside / s) + 1) / 2 for s in (spacing_mm[0], spacing_mm[2])]
    lower = (-half[0], surface_mm, -half[1])
    return Grid.covering(lower, (half[0], surface_mm + deepest_mm + 80.0, half[1]), spacing_mm)


def _dose(machine: Machine, beam: Beam, grid: Grid) -> Dose:
    ones, water = np.ones(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8)
    phantom = Phantom.from_density(ones, water, (get("water"),), grid)
    return CollapsedCone(cones=CONES).forward(phantom, [beam])

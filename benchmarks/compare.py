"""An engine's dose beside a Monte Carlo reference: axis, penumbra, gamma. Nothing is renormalised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from benchmarks.reference_cases import ReferenceCase
from rtsim.dose import Dose
from rtsim.evaluate.gamma import gamma
from rtsim.geometry.grid import Grid
from rtsim.typing import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class AxisCurve:
    """Dose along the beam axis: depth from the surface, reference, engine, and the reference's relative uncertainty."""

    depth_mm: FloatArray
    reference: FloatArray
    engine: FloatArray
    sigma: FloatArray

    def deviation_percent(self, selected: BoolArray) -> FloatArray:
        """100 (engine / reference - 1) where selected."""
        return np.asarray(100.0 * (self.engine[selected] / self.reference[selected] - 1.0))


@dataclass(frozen=True, eq=False)
class BuildUp:
    """The voxels from the surface to the maximum: depth, deviation from the reference, and the shortest way along the
    axis to where the engine has the reference's dose (infinite when it has it nowhere)."""

    depth_mm: FloatArray
    deviation_percent: FloatArray
    shift_mm: FloatArray

    def index(self, percent: float, distance_mm: float) -> FloatArray:
        """(n,) the better of both in units of what is allowed: at most 1 where one of them holds."""
        return np.minimum(np.abs(self.deviation_percent) / percent, self.shift_mm / distance_mm)


def build_up(curve: AxisCurve, deepest_mm: float) -> BuildUp:
    """Dose difference and distance to agreement of each voxel up to a depth.

    The engine is linear between voxels, and from the first one to the surface goes on as behind it: there the dose
    rises faster, so that no distance comes out too small.
    """
    shallow = curve.depth_mm <= deepest_mm
    first = curve.engine[0] - (curve.engine[1] - curve.engine[0]) * curve.depth_mm[0] / np.diff(curve.depth_mm)[0]
    depths, engine = np.append(0.0, curve.depth_mm), np.append(first, curve.engine)
    a, b = engine[:-1], engine[1:]
    shifts = []
    for depth, wanted in zip(curve.depth_mm[shallow], curve.reference[shallow], strict=True):
        crossed = np.flatnonzero((a - wanted) * (b - wanted) <= 0.0)
        share = (wanted - a[crossed]) / np.where(a[crossed] == b[crossed], 1.0, b[crossed] - a[crossed])
        at = depths[crossed] + share * np.diff(depths)[crossed]
        shifts.append(float(np.abs(at - depth).min()) if crossed.size else math.inf)
    return BuildUp(curve.depth_mm[shallow], curve.deviation_percent(shallow), np.array(shifts))


def slab_axis(case: ReferenceCase, dose: Dose) -> AxisCurve:
    """Along y (gantry 0) through the isocenter: mean of the four voxels that touch the axis."""
    x, y, z = case.centers_mm
    i, k = (np.flatnonzero(np.abs(c) < np.abs(c).min() + 1e-6) for c in (x, z))
    reference = case.dose[np.ix_(k, np.arange(y.size), i)].mean(axis=(0, 2))
    sigma = case.sigma[np.ix_(k, np.arange(y.size), i)].mean(axis=(0, 2))
    points = np.stack(np.meshgrid(z[k], y, x[i], indexing="ij")[::-1], axis=-1)
    engine = dose.at(points).mean(axis=(0, 2))
    return AxisCurve(y, reference, np.asarray(engine), sigma)


def ct_axis(case: ReferenceCase, dose: Dose) -> AxisCurve:
    """Along the beam through the isocenter of a CT case: means of 3 x 3 x 3 voxels, from the skin on."""
    grid = case.phantom.grid
    axis = case.beam.rotation[:, 2]
    along = int(np.argmax(np.abs(axis)))
    if abs(axis[along]) < 0.999:
        raise ValueError(f"case {case.name}: the beam axis must run along a grid axis for 3 x 3 x 3 means")
    k0, j0, i0 = (round(float(v)) for v in grid.index_of(np.array(case.beam.isocenter_mm)))
    engine_volume = dose.on(grid).values_gy.astype(np.float64)
    line, reference, engine, sigma = [], [], [], []
    count = grid.shape[2 - along]
    for step in range(1, count - 1):
        center = [i0, j0, k0]
        center[along] = step
        cut = tuple(slice(c - 1, c + 2) for c in center[::-1])
        if (case.phantom.density_g_cm3[cut] < 0.6).any():
            continue
        line.append(step * grid.spacing_mm[along])
        reference.append(case.dose[cut].mean())
        engine.append(engine_volume[cut].mean())
        sigma.append(case.sigma[cut].mean() / np.sqrt(27.0))
    position = np.array(line)
    depth = position - position[0] if axis[along] < 0 else position[-1] - position
    return AxisCurve(depth, np.array(reference), np.array(engine), np.array(sigma))


def reference_dose(case: ReferenceCase, grid: Grid) -> Dose:
    """The reference, linearly interpolated onto the part of ``grid`` that it covers, as a Dose."""
    x, y, z = case.centers_mm
    lower = [float(c[0]) for c in (x, y, z)]
    upper = [float(c[-1]) for c in (x, y, z)]
    crop, _ = grid.crop((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
    inside = [np.clip(c, lo, up) for c, lo, up in zip((crop.x_mm, crop.y_mm, crop.z_mm), lower, upper, strict=True)]
    sample = RegularGridInterpolator((z, y, x), case.dose)
    points = np.stack(np.meshgrid(inside[2], inside[1], inside[0], indexing="ij"), axis=-1)
    return Dose(values_gy=sample(points).astype(np.float32), grid=crop, engine="EGSnrc")


def gamma_percent(case: ReferenceCase, dose: Dose, dose_percent: float, distance_mm: float) -> float:
    """Share of reference voxels (above 10 %, density > 0.6 on a CT) with gamma <= 1, global to the reference maximum.

    The maximum is the mean of the hundred hottest voxels, so that a noise spike does not widen the criterion.
    """
    reference = reference_dose(case, case.phantom.grid)
    mask = None
    if case.is_ct:
        mask = case.phantom.density_g_cm3 > 0.6
        offset = reference.grid.offset_in(case.phantom.grid)
        mask = mask[tuple(slice(o, o + n) for o, n in zip(offset, reference.grid.shape, strict=True))]
    hot = reference.values_gy[mask] if mask is not None else reference.values_gy.ravel()
    top = float(np.sort(hot)[-100:].mean())
    scale = 1.0 / top  # gamma of doses of order 1: they are of order 1e-12 Gy cm2
    result = gamma(
        reference.scaled(scale),
        dose.scaled(scale),
        dose_percent=dose_percent,
        distance_mm=distance_mm,
        threshold_percent=10.0,
        mask=mask,
        normalization_gy=1.0,
    )
    return result.pass_percent


def penumbra_shift_mm(case: ReferenceCase, dose: Dose, depth_mm: float = 100.0) -> float:
    """Largest distance between the 80 %, 50 % and 20 % points of both lateral profiles of a slab case at a depth."""
    x, y, z = case.centers_mm
    j = int(np.argmin(np.abs(y - depth_mm)))
    k = np.flatnonzero(np.abs(z) < 6.0)
    half = x > 0
    reference = case.dose[k][:, j][:, half].mean(axis=0)
    points = np.stack(np.meshgrid(z[k], [y[j]], x[half], indexing="ij")[::-1], axis=-1)
    engine = dose.at(points).mean(axis=(0, 1))
    shifts = [
        abs(_crossing(x[half], reference, f) - _crossing(x[half], np.asarray(engine), f)) for f in (0.8, 0.5, 0.2)
    ]
    return max(shifts)


def _crossing(x_mm: FloatArray, profile: FloatArray, fraction: float) -> float:
    level = fraction * profile[0]
    first = int(np.argmax(profile < level))
    a, b = profile[first - 1], profile[first]
    return float(x_mm[first - 1] + (a - level) / (a - b) * (x_mm[first] - x_mm[first - 1]))

"""Dose of one beam in a medium, and what a water phantom says about a machine: calibration, wedge gradient,
electrons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.kernel import ConeKernel, Cones, collapse
from rtsim.dose.collapsed_cone.transport import energy_to_dose_per_electron
from rtsim.dose.fluence.model import fluence_maps
from rtsim.dose.fluence.raster import FluenceMap
from rtsim.dose.fluence.sectors import together
from rtsim.dose.medium import Medium
from rtsim.dose.resolution import _kernels
from rtsim.dose.resolution.media import TwoMedia
from rtsim.dose.resolution.model import EMITTING, RAMP_MM, emitting_box, part_of
from rtsim.dose.result import Dose
from rtsim.dose.terma.contamination import electron_dose
from rtsim.dose.terma.fan import FanPaths, Pose, Released, check_source, corners_mm, energy_groups, meets
from rtsim.errors import GeometryError
from rtsim.geometry.grid import Grid
from rtsim.machine.model import Calibration, Machine, Wedge
from rtsim.materials import default_basis, get
from rtsim.threads import over_ranges
from rtsim.typing import Float32Array, FloatArray
from rtsim.units import GY_PER_MEV_PER_G

REFERENCE_CONES: Final = 64
_REFERENCE_SPACING_MM: Final = (5.0, 2.5, 5.0)
_REFERENCE_HALF_SIDE_MM: Final = 150.0
_WEDGE_DEPTH_MM: Final = 100.0
_TAIL_CONES: Final = 24
"""For the primary electrons of what little fluence there is outside the field."""


@dataclass(frozen=True)
class WaterReference:
    """The depth dose of a machine's calibration field in water, per photon/cm2 on the axis in the isocenter plane.

    Attributes:
        dose_gy: on the axis at the calibration depth, contaminating electrons included.
        maximum_gy: largest photon dose on the axis.
    """

    dose_gy: float
    maximum_gy: float


@lru_cache(maxsize=64)
def water_reference(machine: Machine) -> WaterReference:
    """Depth dose of the calibration field, by this engine at fixed settings (64 cones, 2.5 mm in depth, 5 mm across).

    A machine without calibration is given the field 100 mm x 100 mm with the isocenter at 100 mm depth.
    """
    setup = machine.calibration or Calibration(dose_gy_per_mu=1.0, depth_mm=100.0, ssd_mm=machine.sad_mm - 100.0)
    # photons come back from 15 cm behind the point: with 6 cm the dose there is 0.4 % low
    deepest = max(setup.depth_mm, 100.0) + 160.0
    half = max(_REFERENCE_HALF_SIDE_MM, max(setup.field_mm) / 2 + 80.0)
    surface = setup.ssd_mm - machine.sad_mm
    grid = Grid.covering((-half, surface, -half), (half, surface + deepest, half), _REFERENCE_SPACING_MM)
    media = TwoMedia.of(water_medium(grid))
    field = Beam.open_field(machine, setup.field_mm, monitor_units=1.0, name="calibration field")
    photon = _photon_dose(media, field, fluence_maps(field)[0])
    depth = grid.y_mm - surface
    axis = _on_axis(photon, grid)
    maximum = float(axis.max())
    electron = 0.0
    if machine.electrons.fraction > 0.0:
        scale = maximum * machine.electrons.fraction
        electron = scale * float(np.exp(-machine.electrons.attenuation_per_mm * setup.depth_mm))
    return WaterReference(float(np.interp(setup.depth_mm, depth, axis)) + electron, maximum)


def photons_per_unit(machine: Machine) -> float:
    """Photons per cm2 (axis, isocenter plane, vacuum) of one monitor unit, so that the machine's Calibration holds.

    1 for a machine without calibration: its monitor units *are* photons per cm2.
    """
    if machine.calibration is None:
        return 1.0
    return machine.calibration.dose_gy_per_mu / water_reference(machine).dose_gy


def wedge_gradient_per_mm(beam: Beam) -> float:
    """k of the fluence exp(k s) that tilts the isodose at 100 mm depth by the wedge's angle (0 without a wedge)."""
    if beam.wedge is None:
        return 0.0
    return math.tan(math.radians(beam.wedge.angle_deg)) * _wedge_gradient_of_45_degrees_per_mm(beam.machine)


@lru_cache(maxsize=64)
def _wedge_gradient_of_45_degrees_per_mm(machine: Machine) -> float:
    """k for which the dose of a 10 x 10 cm field, isocenter at 100 mm depth, falls across as fast as along the axis.

    Scatter levels a wedge: the dose falls by k' < k. Both k'/k and the slope m along the axis are taken from the
    engine, with the wedge in the field; k'/k hardly depends on k (the dose is linear in the fluence), so that
    k = tan(angle) x this for every angle.
    """
    depth, half = _WEDGE_DEPTH_MM, _REFERENCE_HALF_SIDE_MM
    grid = Grid.covering((-half, -depth, -half), (half, 60.0, half), _REFERENCE_SPACING_MM)
    k_per_mm = 0.006
    wedge = Wedge(name="reference", angle_deg=45.0)
    wedged = machine.with_wedge(wedge)
    field = Beam.open_field(wedged, (100.0, 100.0), monitor_units=1.0, wedge=wedge, name="wedged reference field")
    fluence = fluence_maps(field, wedge_gradient_per_mm=k_per_mm)[0]
    dose = Dose(
        values_gy=_photon_dose(TwoMedia.of(water_medium(grid)), field, fluence),
        grid=grid,
    )
    step = 10.0
    right, left, above, below = (
        float(np.log(dose.at(np.array(p))))
        for p in ((step, 0.0, 0.0), (-step, 0.0, 0.0), (0.0, -step, 0.0), (0.0, step, 0.0))
    )
    return k_per_mm * (above - below) / (right - left)


def _photon_dose(media: TwoMedia, field: Beam, fluence: FluenceMap) -> Float32Array:
    """Gy of photons per photon/cm2 in water, with the cones of the reference."""
    per_electron = _absorbed(media, field, (fluence,), collapse(field.machine.spectrum, REFERENCE_CONES))
    return per_electron * np.float32(GY_PER_MEV_PER_G)


def water_medium(grid: Grid) -> Medium:
    """Water of 1 g/cm3 everywhere on a grid."""
    water = default_basis().materials.index(get("water"))
    one = np.ones(grid.shape, dtype=np.float32)
    return Medium(grid, one, one, one[None], (water,))


def beam_dose(media: TwoMedia, beam: Beam, fluences: Sequence[FluenceMap], cones: int) -> Float32Array:
    """Dose in Gy [k, j, i] of one fraction of the fluence maps of one sector: photons and contaminating electrons.

    Primary electrons are transported from each gantry angle. What varies slowly (scattered photons, the tails of the
    fluence, contaminating electrons) goes from the mean angle of the sector, all maps together.
    """
    for fluence in fluences:
        pose = Pose.of(beam, fluence.gantry_deg)
        check_source(pose, media.fine.grid, beam.name)
        _check_resolved(media.fine.grid, fluence, pose, beam)
    medium = media.fine
    per_electron = _absorbed(media, beam, fluences, collapse(beam.machine.spectrum, cones))
    dose = per_electron * (medium.electron_density / medium.density_g_cm3) * np.float32(GY_PER_MEV_PER_G)
    if beam.machine.electrons.fraction > 0.0:
        dose += electron_dose(media.fine, beam, together(fluences), electron_scale(beam.machine))
    return np.asarray(dose * np.float32(photons_per_unit(beam.machine)))


def _absorbed(media: TwoMedia, beam: Beam, fluences: Sequence[FluenceMap], kernel: ConeKernel) -> Float32Array:
    """Absorbed energy per relative electron density.

    Scattered photons go on voxels twice as large, primary electrons on the dose grid in a box about the beam. What
    little fluence there is outside the rectangle of the field stays on the large voxels altogether.
    """
    coarse, grids = media.coarse, media.grids
    soft, hard = np.zeros(coarse.grid.shape, np.float32), np.zeros(coarse.grid.shape, np.float32)
    parts: list[tuple[Float32Array, tuple[slice, slice, slice]]] = []
    tails = []
    for fluence in fluences:
        inner, outer = fluence.split(EMITTING, RAMP_MM)
        pose = Pose.of(beam, fluence.gantry_deg)
        field = _released(media.fine, beam, inner, pose, kernel)
        soft += grids.restrict(field.soft)
        hard += grids.restrict(field.hard)
        parts.append(_fast(media.fine, field, pose, kernel))
        tails.append(outer)
    middle = together(fluences)
    pose = Pose.of(beam, middle.gantry_deg)
    outer = together(tails)
    if outer.values.any() and meets(coarse.grid, outer, pose):
        beside = _released(coarse, beam, outer, pose, kernel)
        soft += beside.soft
        hard += beside.hard
        slow = _on_coarse(coarse, beside, collapse(beam.machine.spectrum, _TAIL_CONES).fast, pose)
    else:
        slow = np.zeros(coarse.grid.shape, np.float32)
    slow += _on_coarse(coarse, Released(soft, hard), kernel.slow, pose)
    total = grids.prolong(slow)
    for fast, box in parts:
        over_ranges(_kernels.add_part, total.shape[0], total, fast, np.array([s.start for s in box]))
    return total


def _on_coarse(coarse: Medium, released: Released, cones: Cones, pose: Pose) -> Float32Array:
    return energy_to_dose_per_electron(
        coarse.electron_density, released.soft, released.hard, coarse.grid, cones, pose.rotation, pose.source_mm
    )


def _fast(
    medium: Medium, field: Released, pose: Pose, kernel: ConeKernel
) -> tuple[Float32Array, tuple[slice, slice, slice]]:
    """What primary electrons leave per electron density in the box about the beam, and that box."""
    box, windows = emitting_box(field.soft, field.hard, medium.electron_density, medium.grid)
    fast = energy_to_dose_per_electron(
        medium.electron_density[box],
        field.soft[box],
        field.hard[box],
        part_of(medium.grid, box),
        kernel.fast,
        pose.rotation,
        pose.source_mm,
        windows=windows,
    )
    return fast, box


def _released(medium: Medium, beam: Beam, fluence: FluenceMap, pose: Pose, kernel: ConeKernel) -> Released:
    spectrum = beam.machine.spectrum
    hardness = kernel.hardness(energy_groups(spectrum).energy_mev)
    fan = FanPaths.trace(medium, fluence, pose, beam.name)
    return fan.released_energy(spectrum, hardness, beam.machine.off_axis.softening)


def electron_scale(machine: Machine) -> float:
    """Electron dose = this x (blurred fluence) x exp(-k x mass depth) x (SAD/d)^2: at the surface on the axis of the
    calibration field it is ``fraction`` x D_max. Gy per photon/cm2."""
    size = (100.0, 100.0) if machine.calibration is None else machine.calibration.field_mm
    root = machine.electrons.sigma_mm * math.sqrt(2.0)
    center = math.prod(math.erf(0.5 * w / root) for w in size)
    return machine.electrons.fraction * water_reference(machine).maximum_gy / center


def _check_resolved(grid: Grid, fluence: FluenceMap, pose: Pose, beam: Beam) -> None:
    """Raise GeometryError when a field is narrower than one and a half voxels: it could fall between them."""
    high = fluence.values > 0.5 * fluence.values.max()
    pitch = fluence.raster.pitch_mm * _nearest_scale(grid, pose)
    widths = [float(high.any(axis=axis).sum()) * pitch for axis in (0, 1)]
    # a line between closed leaves is as narrow, but what passes there is little of what leaks
    most = fluence.values[high].sum() > 0.5 * fluence.values.sum()
    if most and min(widths) < 1.5 * min(grid.spacing_mm):
        raise GeometryError(
            f"the field of {beam.label} is {widths[0]:.4g} x {widths[1]:.4g} mm wide at half its maximum; a dose "
            f"grid of {grid.spacing_mm} mm cannot hold its edges. Use a spacing_mm of {min(widths) / 4:.2g} or less"
        )


def _nearest_scale(grid: Grid, pose: Pose) -> float:
    """Width of a field in the phantom over that in the isocenter plane: 1 where this plane meets the phantom."""
    distance = (pose.source_mm - corners_mm(grid)) @ pose.rotation[:, 2]
    return float(np.clip(pose.sad_mm, distance.min(), distance.max())) / pose.sad_mm


def _on_axis(dose: Float32Array, grid: Grid) -> FloatArray:
    """Depth dose along y through x = z = 0 (mean of the voxels that touch the axis)."""
    k = np.flatnonzero(np.abs(grid.z_mm) < 0.51 * grid.spacing_mm[2])
    i = np.flatnonzero(np.abs(grid.x_mm) < 0.51 * grid.spacing_mm[0])
    return np.asarray(dose[np.ix_(k, np.arange(grid.shape[1]), i)].mean(axis=(0, 2)), dtype=np.float64)

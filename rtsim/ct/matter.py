"""HU to matter: the density and the material of each voxel."""

from __future__ import annotations

import logging
from enum import Enum
from typing import NamedTuple

import numpy as np

from rtsim.ct._kernels import classify
from rtsim.ct.calibration import CalibrationCurve, default_curve
from rtsim.errors import InputError
from rtsim.materials import CompositionTable, Material, schneider_composition
from rtsim.threads import over_ranges
from rtsim.typing import AnyFloatArray, Float32Array, UInt8Array

_log = logging.getLogger(__name__)


class AboveCurve(Enum):
    """What becomes of voxels above the upper end of the calibration curve."""

    REFUSE = "refuse"
    HOLD_LAST = "hold_last"


class Matter(NamedTuple):
    """What fills the voxels.

    Attributes:
        density_g_cm3: (nz, ny, nx) float32, read-only.
        material_index: (nz, ny, nx) uint8 into ``materials``, read-only.
        materials: the materials of the composition table; not every one need occur.
    """

    density_g_cm3: Float32Array
    material_index: UInt8Array
    materials: tuple[Material, ...]


def matter_from_hu(
    hu: AnyFloatArray,
    curve: CalibrationCurve | None = None,
    *,
    composition: CompositionTable | None = None,
    above: AboveCurve = AboveCurve.REFUSE,
) -> Matter:
    """Density by ``curve`` and composition by ``composition`` (default: Schneider 2000) for every voxel of ``hu``.

    Below the curve a voxel takes the density of its lower end, which is air: resampling overshoot and padding (-1024,
    -2048) are no matter at all. Above it an error is raised unless ``above`` says AboveCurve.HOLD_LAST.
    ``calibration_notes`` words what was done for the report.

    Args:
        hu: Hounsfield units, any shape, finite.
        curve: the scanner's calibration; None takes ``default_curve()``.
        composition: materials by HU, the last one for metal.
        above: what to do with voxels above the upper end of the curve.

    Raises:
        InputError: values that are not finite, or above the curve.
    """
    curve = default_curve() if curve is None else curve
    table = schneider_composition() if composition is None else composition
    values = np.ascontiguousarray(hu, dtype=np.float32)
    for note in calibration_notes(values, curve, above=above):
        _log.info(note)
    density = np.empty(values.shape, dtype=np.float32)
    index = np.empty(values.shape, dtype=np.uint8)
    low, high = np.floor(curve.min_hu), np.ceil(curve.max_hu)
    whole_hu = np.arange(low, high + 1.0)
    slope = np.diff(curve.density_g_cm3) / np.diff(curve.hu)
    over_ranges(
        classify,
        values.size,
        values.reshape(-1),
        curve.hu,
        curve.density_g_cm3,
        slope,
        table.edges_hu,
        table.metal_density_g_cm3,
        np.clip(np.searchsorted(curve.hu, whole_hu, side="right") - 1, 0, slope.size - 1),
        np.searchsorted(table.edges_hu, whole_hu, side="right"),
        density.reshape(-1),
        index.reshape(-1),
    )
    density.flags.writeable = False
    index.flags.writeable = False
    return Matter(density, index, table.materials)


def matter_from_density(density_g_cm3: AnyFloatArray, *, composition: CompositionTable | None = None) -> Matter:
    """Composition of voxels whose density is known and nothing else: by the HU that the default curve gives them.

    For densities that override a CT; with the material known too, use that material instead. Any shape, > 0 g/cm3.
    """
    density = np.array(density_g_cm3, dtype=np.float32)
    if density.size and not (np.isfinite(density).all() and float(density.min()) > 0.0):
        raise InputError(f"density_g_cm3 reaches down to {density.min():g}; finite densities above 0 are needed")
    table = schneider_composition() if composition is None else composition
    index = np.searchsorted(table.edges_hu, default_curve().hu_at(density), side="right").astype(np.uint8)
    index[density >= table.metal_density_g_cm3] = len(table.materials) - 1
    density.flags.writeable = False
    index.flags.writeable = False
    return Matter(density, index, table.materials)


def calibration_notes(
    hu: AnyFloatArray, curve: CalibrationCurve | None = None, *, above: AboveCurve = AboveCurve.REFUSE
) -> tuple[str, ...]:
    """What happens to voxels beyond the ends of the curve, in words for the report; empty when none is.

    Raises:
        InputError: as ``matter_from_hu``.
    """
    curve = default_curve() if curve is None else curve
    if hu.size == 0:
        return ()
    lowest, highest = float(np.min(hu)), float(np.max(hu))
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise InputError(
            f"hu holds {int((~np.isfinite(hu)).sum())} values that are NaN or infinite; all must be finite"
        )
    notes = []
    if lowest < curve.min_hu:
        count = int((hu < curve.min_hu).sum())
        notes.append(
            f"{count} voxels lie below HU {curve.min_hu:g}, the lower end of the calibration curve {curve.name!r} "
            f"(lowest {lowest:g}), and were taken as {curve.density_g_cm3[0]:g} g/cm3"
        )
    if highest > curve.max_hu:
        count = int((hu > curve.max_hu).sum())
        what = f"{count} voxels lie above HU {curve.max_hu:g}, the upper end of the calibration curve {curve.name!r}"
        if above is AboveCurve.REFUSE:
            raise InputError(
                f"{what}; hu reaches from {lowest:g} to {highest:g}, allowed is up to {curve.max_hu:g}. Give a curve "
                "that reaches further, override the density of the implant by its structure, "
                "or pass above=AboveCurve.HOLD_LAST"
            )
        notes.append(f"{what} (highest {highest:g}), and were taken as {curve.density_g_cm3[-1]:g} g/cm3")
    return tuple(notes)

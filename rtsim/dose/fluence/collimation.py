"""What jaws, leaves and sources make of apertures: one fluence raster.

Jaws and leaves multiply as transmissions. Behind the leaves the raster has zones along BLD y: the inside of each leaf
pair, which lets T + (1 - T) o through, o its opening along x (``leaf_ends``); and the strip ``tongue_groove_mm`` wide,
centered on the side of two neighbours, where tongue and groove overlap. In the strip each of the two shields by half of
its thickness: the square root of what it lets through elsewhere. The strip lets the geometric mean of its neighbours
through: T where both are closed, 1 where both are open, sqrt(T) between; neighbours that stand alike are as without it.
T is the average with the interleaf leakage and stays the average.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from rtsim.beams.model import Aperture
from rtsim.dose.fluence import _kernels
from rtsim.dose.fluence.extra_focal import extra_focal_fluence
from rtsim.dose.fluence.leaf_ends import edge_table, shadow_edges_mm
from rtsim.dose.fluence.raster import Raster, covered
from rtsim.errors import InputError
from rtsim.machine.model import Machine, MultileafCollimator
from rtsim.typing import FloatArray

_SIGMA_OF_FWHM: Final = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))

Weighted = tuple[float, Aperture]
"""Monitor units and the aperture that they are given through."""


def projected_sigma_mm(machine: Machine, distance_mm: float, axis: int) -> float:
    """Blur (one standard deviation, isocenter plane) of an edge at ``distance_mm`` below the target by the focal
    spot."""
    width = machine.focal_spot.fwhm_x_mm if axis == 0 else machine.focal_spot.fwhm_y_mm
    return width * _SIGMA_OF_FWHM * (machine.sad_mm - distance_mm) / distance_mm


@lru_cache(maxsize=4)
def primary_profile(machine: Machine, raster: Raster) -> FloatArray:
    """(rows, columns) primary fluence of an open field relative to the axis."""
    radius = np.hypot(raster.x_mm[None, :], raster.y_mm[:, None])
    profile = np.asarray(np.interp(radius, machine.off_axis.radius_mm, machine.off_axis.relative))
    profile.flags.writeable = False
    return profile


def summed_fluence(machine: Machine, apertures: list[Weighted], raster: Raster) -> FloatArray:
    """(rows, columns) fluence of apertures times their monitor units, relative to an open field's axis.

    Apertures of the same jaws differ by their leaves alone, and their leaves only along BLD x: the sum over apertures
    is taken of these openings (leaves, columns), before they are spread over the raster's rows.

    Raises:
        InputError: leaves of a machine that has none, or none for a machine that bounds x by leaves.
    """
    total = np.zeros((raster.rows, raster.columns))
    profile = primary_profile(machine, raster)
    for group in _same_jaws(apertures):
        first = group[0][1]
        per_unit = monitor_factor(machine, first)
        bare = per_unit * sum(u for u, aperture in group if aperture.leaf_pairs_mm is None)
        if bare > 0.0 and machine.leaves_bound_x:
            raise InputError(f"{machine.name} has no jaws along BLD x: leaf_pairs_mm of every aperture are needed")
        behind = [(per_unit * u, a.leaf_pairs_mm) for u, a in group if a.leaf_pairs_mm is not None]
        edges = [(u, _shadow(machine, pairs)) for u, pairs in behind]
        jaw_x, jaw_y = _jaw_openings(machine, first, raster)
        leak = 0.0 if machine.jaws is None else machine.jaws.transmission
        weights, zones, beyond = _behind_leaves(machine, bare, edges, raster)
        _kernels.through_head(weights, zones, beyond, profile, jaw_x, jaw_y, leak, total)
        if machine.extra_focal.fraction > 0.0:
            extra_focal_fluence(machine, first, bare, edges, raster, total)
    return total


def monitor_factor(machine: Machine, aperture: Aperture) -> float:
    """Photons per monitor unit relative to the calibration field: y jaws scatter back into the monitor chamber.

    The chamber reads 1 + b (1 - w/W) for an opening w of the y jaws that can be W: linear in the opening [M].
    """
    jaws = machine.jaws
    if jaws is None or jaws.monitor_backscatter == 0.0:
        return 1.0
    reference = 100.0 if machine.calibration is None else machine.calibration.field_mm[1]
    opening = aperture.jaws_y_mm[1] - aperture.jaws_y_mm[0]
    closed, at_reference = (1.0 - w / (2.0 * jaws.limit_mm) for w in (opening, reference))
    return (1.0 + jaws.monitor_backscatter * at_reference) / (1.0 + jaws.monitor_backscatter * closed)


def _same_jaws(apertures: list[Weighted]) -> list[list[Weighted]]:
    groups: dict[tuple[tuple[float, float], tuple[float, float]], list[Weighted]] = {}
    for units, aperture in apertures:
        groups.setdefault((aperture.jaws_x_mm, aperture.jaws_y_mm), []).append((units, aperture))
    return list(groups.values())


def _jaw_openings(machine: Machine, aperture: Aperture, raster: Raster) -> tuple[FloatArray, FloatArray]:
    sx = sy = 0.0
    if machine.jaws is not None:
        sy = projected_sigma_mm(machine, machine.jaws.distance_y_mm, 1)
        if machine.jaws.distance_x_mm is not None:
            sx = projected_sigma_mm(machine, machine.jaws.distance_x_mm, 0)
    (left, right), (low, high) = np.array(aperture.jaws_x_mm), np.array(aperture.jaws_y_mm)
    along_x = np.ones(raster.columns) if machine.leaves_bound_x else covered(raster.x_edges_mm, left, right, sx)
    return along_x, covered(raster.y_edges_mm, low, high, sy)


def _shadow(machine: Machine, leaf_pairs_mm: FloatArray) -> FloatArray:
    if machine.mlc is None:
        raise InputError(f"{machine.name} has no MLC, but leaf positions are given")
    return shadow_edges_mm(machine.mlc, machine.sad_mm, leaf_pairs_mm)


def _behind_leaves(
    machine: Machine, bare_units: float, edges: list[tuple[float, FloatArray]], raster: Raster
) -> tuple[FloatArray, FloatArray, float]:
    """Zones of rows: their weights (zones, rows), the monitor units that come through each (zones, columns), summed
    over apertures, and those that come through where no zone is."""
    mlc = machine.mlc
    if mlc is None or not edges:
        none = np.zeros((0, raster.rows))
        # as _zone_weights are, so that one compiled kernel takes both
        none.flags.writeable = False
        return none, np.zeros((0, raster.columns)), bare_units + sum(u for u, _ in edges)
    table = edge_table(mlc, projected_sigma_mm(machine, mlc.distance_mm, 0))
    zones = np.empty((2 * mlc.leaf_count - 1, raster.columns))
    _kernels.through_leaves(
        np.ascontiguousarray([pairs for _, pairs in edges]),
        np.array([units for units, _ in edges], dtype=np.float64),
        mlc.transmission,
        raster.left_mm,
        raster.pitch_mm,
        raster.columns,
        table.first_mm,
        table.step_mm,
        table.values,
        zones,
    )
    weights = _zone_weights(mlc, projected_sigma_mm(machine, mlc.distance_mm, 1), raster)
    return weights, zones + bare_units, bare_units + mlc.transmission * sum(u for u, _ in edges)


@lru_cache(maxsize=8)
def _zone_weights(mlc: MultileafCollimator, sigma_mm: float, raster: Raster) -> FloatArray:
    """(2 leaves - 1, rows) share of each row of pixels behind the inside of a leaf, a strip, the next leaf, ..."""
    sides = np.asarray(mlc.leaf_edges_mm)
    half = 0.5 * mlc.tongue_groove_mm
    bounds = np.concatenate([sides[:1], np.stack([sides[1:-1] - half, sides[1:-1] + half], axis=1).ravel(), sides[-1:]])
    weights = covered(raster.y_edges_mm, bounds[:-1], bounds[1:], sigma_mm)
    weights.flags.writeable = False
    return weights

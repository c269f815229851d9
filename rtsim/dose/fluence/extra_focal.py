"""Fluence of the extra-focal source: the part of a Gaussian plane that a point sees through jaws and leaves.

Ahnesjo 1994 (doi 10.1118/1.597193). A ray from the point s of the source plane (distance z below the target) to the
point p of the isocenter plane crosses a collimator at distance d in m = s (1 - q) + p q, q = (d - z)/(SAD - z). A pair
of edges therefore leaves an interval of s open. Jaws and leaf ends bound x, jaws and leaf sides bound y: the share of
the source that is seen is, for each leaf pair, a product of two intersections of intervals; no blur is approximated.
Leaf ends count as drawn back by half of the dosimetric leaf gap; tongue and groove are too fine to matter here.
Jaws stop the extra-focal photons; leaves let their transmission through, as they do for the primary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import erf

from rtsim.beams.model import Aperture
from rtsim.dose.fluence import _kernels
from rtsim.dose.fluence.raster import Raster
from rtsim.machine.model import Machine, MultileafCollimator
from rtsim.typing import AnyFloatArray, FloatArray

Interval = tuple[FloatArray, FloatArray]
_NODES_MM: Final = 4.0


def extra_focal_fluence(
    machine: Machine,
    jaws: Aperture,
    bare_units: float,
    behind_leaves: Sequence[tuple[float, FloatArray]],
    raster: Raster,
    total: FloatArray,
) -> None:
    """Add the extra-focal fluence times monitor units, relative to the primary on the axis, to ``total``.

    It is computed at nodes some 4 mm apart and interpolated: its edges are blurred over ten millimeters and more.

    Args:
        jaws: whose jaws count.
        bare_units: monitor units that the jaws alone shape.
        behind_leaves: (monitor units, edges of the openings (n, 2) mm) of the apertures with leaves.
    """
    per_node = max(1, round(_NODES_MM / raster.pitch_mm))
    spacing = per_node * raster.pitch_mm
    node_x = raster.left_mm + spacing * np.arange(-1.0, math.ceil(raster.columns / per_node) + 2)
    node_y = raster.bottom_mm + spacing * np.arange(-1.0, math.ceil(raster.rows / per_node) + 2)
    nodes = _at_nodes(machine, jaws, bare_units, behind_leaves, node_x, node_y)
    _kernels.add_cubic(np.ascontiguousarray(nodes), per_node, total)


def _at_nodes(
    machine: Machine,
    jaws: Aperture,
    bare_units: float,
    behind_leaves: Sequence[tuple[float, FloatArray]],
    x_mm: FloatArray,
    y_mm: FloatArray,
) -> FloatArray:
    at_x, at_y = _jaw_distances(machine)
    x = _seen(machine, at_x, x_mm, np.array(jaws.jaws_x_mm[0]), np.array(jaws.jaws_x_mm[1]))
    if machine.leaves_bound_x:  # the opening of the primary collimator
        half = np.array(0.5 * machine.max_field_mm)
        x = _seen(machine, at_x, x_mm, -half, half)
    y = _seen(machine, at_y, y_mm, np.array(jaws.jaws_y_mm[0]), np.array(jaws.jaws_y_mm[1]))
    through_jaws = _share(y)[:, None] * _share(x)[None, :]
    mlc = machine.mlc
    if mlc is None or not behind_leaves:
        units = bare_units + sum(u for u, _ in behind_leaves)
        return np.asarray(_weight(machine) * units * through_jaws)
    leak_units = bare_units + mlc.transmission * sum(u for u, _ in behind_leaves)
    edges = np.asarray(mlc.leaf_edges_mm)
    across = _share(_both(y, _seen(machine, mlc.distance_mm, y_mm, edges[:-1], edges[1:])))
    opened = sum(units * _through_leaves(machine, mlc, pairs, x, x_mm) for units, pairs in behind_leaves)
    open_share = across.T @ ((1.0 - mlc.transmission) * opened)
    return np.asarray(_weight(machine) * (leak_units * through_jaws + open_share))


def _through_leaves(
    machine: Machine, mlc: MultileafCollimator, edges_mm: FloatArray, jaws: Interval, x_mm: FloatArray
) -> FloatArray:
    """(leaves, columns) share of the source's x axis seen between the ends of each leaf pair and the jaws."""
    half_gap = 0.5 * mlc.dosimetric_leaf_gap_mm
    left, right = edges_mm[:, 0] - half_gap, edges_mm[:, 1] + half_gap
    return _share(_both(jaws, _seen(machine, mlc.distance_mm, x_mm, left, right)))


def _weight(machine: Machine) -> float:
    """So that the source gives ``fraction`` of the total fluence in the center of the calibration field."""
    source = machine.extra_focal
    size = (100.0, 100.0) if machine.calibration is None else machine.calibration.field_mm
    center = np.zeros(1)
    reference = math.prod(
        float(_share(_seen(machine, d, center, np.array(-w / 2), np.array(w / 2)))[0])
        for w, d in zip(size, _jaw_distances(machine), strict=True)
    )
    return source.fraction / (1.0 - source.fraction) / reference


def _jaw_distances(machine: Machine) -> tuple[float, float]:
    """Distances of what bounds the calibration field along x and y: jaws, or leaves where no jaw does."""
    if machine.jaws is None:
        return 500.0, 500.0
    x = machine.jaws.distance_x_mm
    if x is None:
        x = machine.jaws.distance_y_mm if machine.mlc is None else machine.mlc.distance_mm
    return x, machine.jaws.distance_y_mm


def _seen(
    machine: Machine, distance_mm: float, position_mm: FloatArray, lower_mm: AnyFloatArray, upper_mm: AnyFloatArray
) -> Interval:
    """Ends (..., positions) of the interval of the source's axis, in sqrt(2) sigma, seen through edges (...,) given in
    the isocenter plane, of a collimator at ``distance_mm``."""
    z, sigma = machine.extra_focal.distance_mm, machine.extra_focal.sigma_mm
    q = (distance_mm - z) / (machine.sad_mm - z)
    scale = 1.0 / ((1.0 - q) * sigma * math.sqrt(2.0))
    low, high = (
        (np.asarray(edge)[..., None] * (distance_mm / machine.sad_mm) - position_mm * q) * scale
        for edge in (lower_mm, upper_mm)
    )
    return low, high


def _both(a: Interval, b: Interval) -> Interval:
    return np.maximum(a[0], b[0]), np.minimum(a[1], b[1])


def _share(interval: Interval) -> FloatArray:
    """Part of the Gaussian source inside an interval; none where it is empty."""
    low, high = interval
    return np.asarray(0.5 * (erf(np.maximum(high, low)) - erf(low)))

"""From the control points or beamlets of a beam to fluence maps: collimators, sources, profile, wedge.

Shapes enter by exact area coverage of the pixels and by exact error functions for the focal spot, never by sampling
masks. Jaws and leaves multiply as transmissions t + (1 - t) x opening. Sources: for the Gaussian focal spot projected
through a collimator at distance z, sigma = sigma_spot (SAD - z)/z; for the extra-focal source see ``extra_focal``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from rtsim.beams.model import Aperture, Beam, Beamlets, same_aperture
from rtsim.dose.fluence.extra_focal import extra_focal_fluence
from rtsim.dose.fluence.raster import FluenceMap, Raster, covered
from rtsim.errors import InputError
from rtsim.machine.model import Machine, Wedge
from rtsim.typing import FloatArray

FINE_PITCH_MM: Final = 0.5
COARSE_PITCH_MM: Final = 1.0
_FINE_UP_TO_MM: Final = 130.0
_SIGMA_OF_FWHM: Final = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
_MARGIN_SIGMAS: Final = 4.0


def fluence_maps(beam: Beam, *, wedge_gradient_per_mm: float = 0.0) -> tuple[FluenceMap, ...]:
    """Fluence maps of one fraction of a beam: one for a fixed gantry, one per control-point interval of an arc.

    Beamlets with monitor units are used when the beam has no control points. Leaves that move while the beam is on are
    integrated in steps of at most one pixel; an arc interval is given at its middle gantry angle.

    Args:
        wedge_gradient_per_mm: k of the wedge's exp(k s), s along its orientation; see :func:`wedge_transmission`.

    Raises:
        InputError: the beam has neither control points nor beamlets with monitor units.
    """
    if beam.control_points:
        maps = tuple(_delivered(beam))
    elif beam.beamlets is not None and beam.beamlet_monitor_units is not None:
        maps = (_from_beamlets(beam, beam.beamlets, beam.beamlet_monitor_units),)
    else:
        raise InputError(
            f"beam {beam.name!r} has neither control points nor beamlets with monitor units: nothing is delivered"
        )
    return tuple(_wedged(m, beam.wedge, wedge_gradient_per_mm) for m in maps)


def projected_sigma_mm(machine: Machine, distance_mm: float, axis: int) -> float:
    """Blur (one standard deviation, isocenter plane) of an edge at ``distance_mm`` below the target by the focal
    spot."""
    width = machine.focal_spot.fwhm_x_mm if axis == 0 else machine.focal_spot.fwhm_y_mm
    return width * _SIGMA_OF_FWHM * (machine.sad_mm - distance_mm) / distance_mm


def beamlet_sigmas_mm(machine: Machine) -> tuple[float, float]:
    """Blur of beamlet edges along BLD x and y: that of the MLC, else of the jaws, else none."""
    if machine.mlc is not None:
        distance = (machine.mlc.distance_mm, machine.mlc.distance_mm)
    elif machine.jaws is not None:
        distance = (machine.jaws.distance_x_mm, machine.jaws.distance_y_mm)
    else:
        return 0.0, 0.0
    return projected_sigma_mm(machine, distance[0], 0), projected_sigma_mm(machine, distance[1], 1)


def primary_profile(machine: Machine, raster: Raster) -> FloatArray:
    """(rows, columns) primary fluence of an open field relative to the axis."""
    radius = np.hypot(raster.x_mm[None, :], raster.y_mm[:, None])
    return np.asarray(np.interp(radius, machine.off_axis.radius_mm, machine.off_axis.relative))


def _delivered(beam: Beam) -> Iterator[FluenceMap]:
    raster = _raster_of(beam)
    profile = primary_profile(beam.machine, raster)
    fixed: list[tuple[float, Aperture]] = []
    for a, b in zip(beam.control_points, beam.control_points[1:], strict=False):
        units = b.cumulative_monitor_units - a.cumulative_monitor_units
        if units <= 0.0:
            continue
        apertures = _apertures(a.aperture, b.aperture, units, raster.pitch_mm)
        if beam.is_arc:
            values = _summed(beam.machine, apertures, raster, profile)
            yield FluenceMap(raster, values, _middle_angle(a.gantry_deg, b.gantry_deg))
        else:
            fixed += apertures
    if fixed:
        yield FluenceMap(raster, _summed(beam.machine, fixed, raster, profile), beam.control_points[0].gantry_deg)


def _middle_angle(a_deg: float, b_deg: float) -> float:
    """Half way on the shorter way round."""
    return (a_deg + 0.5 * ((b_deg - a_deg + 180.0) % 360.0 - 180.0)) % 360.0


def _raster_of(beam: Beam) -> Raster:
    """Covers what any aperture of the beam opens; everything that a jaw or leaf lets through, when they transmit."""
    machine = beam.machine
    leaks = (machine.jaws is not None and machine.jaws.transmission > 0.0) or machine.extra_focal.fraction > 0.0
    x, y = [math.inf, -math.inf], [math.inf, -math.inf]
    for point in beam.control_points:
        box = _opening(machine, point.aperture)
        x, y = [min(x[0], box[0]), max(x[1], box[1])], [min(y[0], box[2]), max(y[1], box[3])]
    sigma = max((projected_sigma_mm(machine, d, n) for n, d in _edge_distances(machine)), default=0.0)
    pitch = FINE_PITCH_MM if max(x[1] - x[0], y[1] - y[0]) <= _FINE_UP_TO_MM else COARSE_PITCH_MM
    if leaks:
        half = machine.max_field_mm / 2
        return Raster.covering((-half, half), (-half, half), pitch)
    margin = _MARGIN_SIGMAS * sigma
    return Raster.covering((x[0] - margin, x[1] + margin), (y[0] - margin, y[1] + margin), pitch)


def _edge_distances(machine: Machine) -> list[tuple[int, float]]:
    out = []
    if machine.jaws is not None:
        out += [(0, machine.jaws.distance_x_mm), (1, machine.jaws.distance_y_mm)]
    if machine.mlc is not None:
        out += [(0, machine.mlc.distance_mm), (1, machine.mlc.distance_mm)]
    return out


def _opening(machine: Machine, aperture: Aperture) -> tuple[float, float, float, float]:
    """x and y limits that hold everything the aperture lets through (the jaws; leaves transmit inside them)."""
    jaws = (*aperture.jaws_x_mm, *aperture.jaws_y_mm)
    if aperture.leaf_pairs_mm is None or machine.mlc is None or machine.mlc.transmission > 0.0:
        return jaws
    gap = machine.mlc.dosimetric_leaf_gap_mm
    wide = aperture.leaf_pairs_mm[:, 1] - aperture.leaf_pairs_mm[:, 0] + gap > 0.0
    if not wide.any():
        return jaws
    edges = machine.leaf_edges_mm
    rows = np.flatnonzero(wide)
    return (
        max(jaws[0], float(aperture.leaf_pairs_mm[wide, 0].min()) - gap),
        min(jaws[1], float(aperture.leaf_pairs_mm[wide, 1].max()) + gap),
        max(jaws[2], float(edges[rows[0]])),
        min(jaws[3], float(edges[rows[-1] + 1])),
    )


def _apertures(a: Aperture, b: Aperture, units: float, pitch_mm: float) -> list[tuple[float, Aperture]]:
    """(monitor units, aperture) of an interval in which everything moves linearly, in steps of at most one pixel."""
    if same_aperture(a, b):
        return [(units, a)]
    moves = [
        abs(np.subtract(b.jaws_x_mm, a.jaws_x_mm)).max(),
        abs(np.subtract(b.jaws_y_mm, a.jaws_y_mm)).max(),
    ]
    if a.leaf_pairs_mm is not None and b.leaf_pairs_mm is not None:
        moves.append(abs(b.leaf_pairs_mm - a.leaf_pairs_mm).max())
    steps = max(1, math.ceil(max(moves) / max(pitch_mm, 1.0)))
    return [(units / steps, _between(a, b, (n + 0.5) / steps)) for n in range(steps)]


def _between(a: Aperture, b: Aperture, t: float) -> Aperture:
    def mix(p: tuple[float, float], q: tuple[float, float]) -> tuple[float, float]:
        return (1 - t) * p[0] + t * q[0], (1 - t) * p[1] + t * q[1]

    leaves = a.leaf_pairs_mm
    if leaves is not None and b.leaf_pairs_mm is not None:
        leaves = (1 - t) * leaves + t * b.leaf_pairs_mm
    return replace(
        a, jaws_x_mm=mix(a.jaws_x_mm, b.jaws_x_mm), jaws_y_mm=mix(a.jaws_y_mm, b.jaws_y_mm), leaf_pairs_mm=leaves
    )


def _summed(
    machine: Machine, apertures: list[tuple[float, Aperture]], raster: Raster, profile: FloatArray
) -> FloatArray:
    """Fluence of apertures times their monitor units.

    Apertures of the same jaws differ by their leaves alone, and their leaves only along BLD x: the sum over apertures
    is taken of these openings (leaves, columns), before they are spread over the raster's rows.
    """
    total = np.zeros((raster.rows, raster.columns))
    across = _across_leaves(machine, raster)
    for group in _same_jaws(apertures):
        first = group[0][1]
        units = sum(u for u, _ in group)
        bare = sum(u for u, aperture in group if aperture.leaf_pairs_mm is None)
        behind = [(u, a.leaf_pairs_mm) for u, a in group if a.leaf_pairs_mm is not None]
        jaw_x, jaw_y = _jaw_openings(machine, first, raster)
        field = jaw_y[:, None] * jaw_x[None, :]
        if machine.jaws is not None and machine.jaws.transmission > 0.0:
            field = machine.jaws.transmission + (1.0 - machine.jaws.transmission) * field
        if behind:
            opened = np.sum([u * _along_leaves(machine, pairs, raster) for u, pairs in behind], axis=0)
            leak = 0.0 if machine.mlc is None else machine.mlc.transmission
            through = across.T @ ((1.0 - leak) * opened)
            through += bare + leak * sum(u for u, _ in behind)
            field *= through
        else:
            field *= units
        field *= profile
        total += field
        if machine.extra_focal.fraction > 0.0:
            total += extra_focal_fluence(machine, first.jaws_x_mm, first.jaws_y_mm, bare, behind, raster)
    return total


def _same_jaws(apertures: list[tuple[float, Aperture]]) -> list[list[tuple[float, Aperture]]]:
    groups: dict[tuple[tuple[float, float], tuple[float, float]], list[tuple[float, Aperture]]] = {}
    for units, aperture in apertures:
        groups.setdefault((aperture.jaws_x_mm, aperture.jaws_y_mm), []).append((units, aperture))
    return list(groups.values())


def _jaw_openings(machine: Machine, aperture: Aperture, raster: Raster) -> tuple[FloatArray, FloatArray]:
    sx = sy = 0.0
    if machine.jaws is not None:
        sx = projected_sigma_mm(machine, machine.jaws.distance_x_mm, 0)
        sy = projected_sigma_mm(machine, machine.jaws.distance_y_mm, 1)
    return (
        covered(raster.x_edges_mm, np.array(aperture.jaws_x_mm[0]), np.array(aperture.jaws_x_mm[1]), sx),
        covered(raster.y_edges_mm, np.array(aperture.jaws_y_mm[0]), np.array(aperture.jaws_y_mm[1]), sy),
    )


def _across_leaves(machine: Machine, raster: Raster) -> FloatArray:
    """(leaves, rows) how much of each row of pixels lies behind a leaf pair."""
    if machine.mlc is None:
        return np.zeros((0, raster.rows))
    edges = np.asarray(machine.mlc.leaf_edges_mm)
    return covered(raster.y_edges_mm, edges[:-1], edges[1:], projected_sigma_mm(machine, machine.mlc.distance_mm, 1))


def _along_leaves(machine: Machine, leaf_pairs_mm: FloatArray, raster: Raster) -> FloatArray:
    """(leaves, columns) opening of the leaf pairs. Rounded ends: each end transmits as if drawn back by half the leaf
    gap."""
    mlc = machine.mlc
    if mlc is None:
        raise InputError(f"{machine.name} has no MLC, but leaf positions are given")
    half_gap = 0.5 * mlc.dosimetric_leaf_gap_mm
    sigma = projected_sigma_mm(machine, mlc.distance_mm, 0)
    return covered(raster.x_edges_mm, leaf_pairs_mm[:, 0] - half_gap, leaf_pairs_mm[:, 1] + half_gap, sigma)


def _from_beamlets(beam: Beam, beamlets: Beamlets, monitor_units: FloatArray) -> FluenceMap:
    sx, sy = beamlet_sigmas_mm(beam.machine)
    left, right = beamlets.center_x_mm - beamlets.width_x_mm / 2, beamlets.center_x_mm + beamlets.width_x_mm / 2
    low, high = beamlets.center_y_mm - beamlets.width_y_mm / 2, beamlets.center_y_mm + beamlets.width_y_mm / 2
    mx, my = _MARGIN_SIGMAS * sx, _MARGIN_SIGMAS * sy
    raster = Raster.covering(
        (float(left.min()) - mx, float(right.max()) + mx),
        (float(low.min()) - my, float(high.max()) + my),
        FINE_PITCH_MM,
    )
    along = covered(raster.x_edges_mm, left, right, sx)
    across = covered(raster.y_edges_mm, low, high, sy)
    values = (across * monitor_units[:, None]).T @ along
    return FluenceMap(raster, values * primary_profile(beam.machine, raster), beam.gantry_deg)


def beamlet_factors(beam: Beam, wedge_gradient_per_mm: float = 0.0) -> FloatArray:
    """(n,) fluence inside each beamlet relative to the open axis: off-axis profile and wedge at its center."""
    if beam.beamlets is None:
        raise InputError(f"beam {beam.name!r} has no beamlets; an influence matrix needs them")
    x, y = beam.beamlets.center_x_mm, beam.beamlets.center_y_mm
    out = np.interp(np.hypot(x, y), beam.machine.off_axis.radius_mm, beam.machine.off_axis.relative)
    if beam.wedge is not None:
        toward = math.radians(beam.wedge.orientation_deg)
        along = math.cos(toward) * x + math.sin(toward) * y
        out = out * beam.wedge.factor * np.exp(wedge_gradient_per_mm * along)
    return np.asarray(out)


def wedge_transmission(wedge: Wedge, raster: Raster, gradient_per_mm: float) -> FloatArray:
    """(rows, columns) fluence of a wedged beam relative to the open one: factor x exp(k s), s the distance from the
    axis towards the thin end.

    With D(s, z) ~ exp(k' s - m z) near 100 mm depth an isodose is tilted by atan(k' / m) (ICRU 24); the engine gives
    the k of the fluence that makes k' = m tan(angle_deg) of the dose. ``wedge.factor`` is what the wedge lets through
    on the axis: a physical wedge takes 1/factor times the monitor units of the open field.
    """
    toward = math.radians(wedge.orientation_deg)
    s = math.cos(toward) * raster.x_mm[None, :] + math.sin(toward) * raster.y_mm[:, None]
    return np.asarray(wedge.factor * np.exp(gradient_per_mm * s))


def _wedged(fluence: FluenceMap, wedge: Wedge | None, gradient_per_mm: float) -> FluenceMap:
    if wedge is None:
        return fluence
    return fluence.with_values(fluence.values * wedge_transmission(wedge, fluence.raster, gradient_per_mm))

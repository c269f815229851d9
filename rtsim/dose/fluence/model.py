"""From the control points or beamlets of a beam to fluence maps: collimators, sources, profile, wedge.

Shapes enter by exact area coverage of the pixels, blurred by the focal spot, never by sampling masks. The Gaussian
focal spot projected through a collimator at distance z has sigma = sigma_spot (SAD - z)/z. Jaws and leaves:
``collimation``; rounded leaf ends: ``leaf_ends``; the extra-focal source: ``extra_focal``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from rtsim.beams.model import Aperture, Beam, Beamlets, same_aperture
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.dose.fluence.collimation import Weighted, primary_profile, projected_sigma_mm, summed_fluence
from rtsim.dose.fluence.leaf_ends import Tip
from rtsim.dose.fluence.raster import FluenceMap, Raster, covered
from rtsim.errors import InputError
from rtsim.machine.model import Machine, Wedge
from rtsim.typing import FloatArray

FINE_PITCH_MM: Final = 0.5
COARSE_PITCH_MM: Final = 1.0
_FINE_UP_TO_MM: Final = 130.0
_MARGIN_SIGMAS: Final = 4.0


def fluence_maps(beam: Beam, *, wedge_gradient_per_mm: float = 0.0) -> tuple[FluenceMap, ...]:
    """Fluence maps of one fraction of a beam: one for a fixed gantry, one per control-point interval of an arc.

    Beamlets with monitor units are used when the beam has no control points. Leaves that move while the beam is on are
    integrated in steps of at most one pixel; an arc interval is given at its middle gantry angle.

    Args:
        wedge_gradient_per_mm: k of the wedge's exp(k s), s along its orientation; see :func:`wedge_transmission`.

    Raises:
        InputError: the beam has neither control points nor beamlets with monitor units.
        MachineLimitError: control points of more monitor units than the machine gives a beam.
    """
    return tuple(each_fluence_map(beam, wedge_gradient_per_mm=wedge_gradient_per_mm))


def each_fluence_map(beam: Beam, *, wedge_gradient_per_mm: float = 0.0) -> Iterator[FluenceMap]:
    """The maps of :func:`fluence_maps` one after another: those of an arc together are hundreds of megabytes.

    Raises:
        InputError, MachineLimitError: as there, at once.
    """
    if beam.control_points:
        check_monitor_units(beam)
        maps = _delivered(beam)
    elif beam.beamlets is not None and beam.beamlet_monitor_units is not None:
        maps = iter((_from_beamlets(beam, beam.beamlets, beam.beamlet_monitor_units),))
    else:
        raise InputError(
            f"{beam.label} has neither control points nor beamlets with monitor units: nothing is delivered"
        )
    return (_wedged(m, beam.wedge, wedge_gradient_per_mm) for m in maps)


def beamlet_sigmas_mm(machine: Machine) -> tuple[float, float]:
    """Blur of beamlet edges along BLD x and y: that of the MLC, else of the jaws, else none."""
    if machine.mlc is not None:
        x, y = machine.mlc.distance_mm, machine.mlc.distance_mm
    elif machine.jaws is not None and machine.jaws.distance_x_mm is not None:
        x, y = machine.jaws.distance_x_mm, machine.jaws.distance_y_mm
    else:
        return 0.0, 0.0
    return projected_sigma_mm(machine, x, 0), projected_sigma_mm(machine, y, 1)


def _delivered(beam: Beam) -> Iterator[FluenceMap]:
    raster = _raster_of(beam)
    fixed: list[Weighted] = []
    for a, b in zip(beam.control_points, beam.control_points[1:], strict=False):
        units = b.cumulative_monitor_units - a.cumulative_monitor_units
        if units <= 0.0:
            continue
        apertures = _apertures(a.aperture, b.aperture, units, raster.pitch_mm)
        if beam.is_arc:
            values = summed_fluence(beam.machine, apertures, raster)
            yield FluenceMap(raster, values, _middle_angle(a.gantry_deg, b.gantry_deg))
        else:
            fixed += apertures
    if fixed:
        yield FluenceMap(raster, summed_fluence(beam.machine, fixed, raster), beam.control_points[0].gantry_deg)


def _middle_angle(a_deg: float, b_deg: float) -> float:
    """Half way on the shorter way round."""
    return (a_deg + 0.5 * ((b_deg - a_deg + 180.0) % 360.0 - 180.0)) % 360.0


def _raster_of(beam: Beam) -> Raster:
    """Covers what any aperture of the beam opens; everything that a jaw or leaf lets through, when they transmit."""
    machine = beam.machine
    leaks = (machine.jaws is not None and machine.jaws.transmission > 0.0) or machine.extra_focal.fraction > 0.0
    x, y = [math.inf, -math.inf], [math.inf, -math.inf]
    widest = 0.0
    for point in beam.control_points:
        for low, high in (_extent_x(machine, point.aperture), point.aperture.jaws_y_mm):
            widest = max(widest, high - low)
        box = _opening(machine, point.aperture)
        x, y = [min(x[0], box[0]), max(x[1], box[1])], [min(y[0], box[2]), max(y[1], box[3])]
    sigma = max((projected_sigma_mm(machine, d, n) for n, d in _edge_distances(machine)), default=0.0)
    pitch = FINE_PITCH_MM if widest <= _FINE_UP_TO_MM else COARSE_PITCH_MM
    if leaks:
        half = machine.max_field_mm / 2
        return Raster.covering((-half, half), (-half, half), pitch)
    margin = _MARGIN_SIGMAS * sigma
    return Raster.covering((x[0] - margin, x[1] + margin), (y[0] - margin, y[1] + margin), pitch)


def _extent_x(machine: Machine, aperture: Aperture) -> tuple[float, float]:
    """Of the x jaws; on a machine without, of the leaf pairs that are open: what x jaws it is said to have means
    nothing."""
    leaves = aperture.leaf_pairs_mm
    if not machine.leaves_bound_x or machine.mlc is None or leaves is None:
        return aperture.jaws_x_mm
    wide = leaves[leaves[:, 1] - leaves[:, 0] > machine.mlc.min_gap_mm + 0.01]
    return (float(wide[:, 0].min()), float(wide[:, 1].max())) if len(wide) else (0.0, 0.0)


def _edge_distances(machine: Machine) -> list[tuple[int, float]]:
    out = []
    if machine.jaws is not None:
        out.append((1, machine.jaws.distance_y_mm))
        if machine.jaws.distance_x_mm is not None:
            out.append((0, machine.jaws.distance_x_mm))
    if machine.mlc is not None:
        out += [(0, machine.mlc.distance_mm), (1, machine.mlc.distance_mm)]
    return out


def _opening(machine: Machine, aperture: Aperture) -> tuple[float, float, float, float]:
    """x and y limits that hold everything the aperture lets through (the jaws; leaves transmit inside them)."""
    half = machine.max_field_mm / 2
    across = (-half, half) if machine.leaves_bound_x else aperture.jaws_x_mm
    jaws = (*across, *aperture.jaws_y_mm)
    if aperture.leaf_pairs_mm is None or machine.mlc is None or machine.mlc.transmission > 0.0:
        return jaws
    gap = machine.mlc.dosimetric_leaf_gap_mm + Tip.of(machine.mlc).reach_mm
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


def _apertures(a: Aperture, b: Aperture, units: float, pitch_mm: float) -> list[Weighted]:
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
        raise InputError(f"{beam.label} has no beamlets; an influence matrix needs them")
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

    A physical wedge hardens the beam (some 2 to 4 % more dose at 200 mm for 60 degrees at 6 MV [M]); that is not
    modeled: spectrum and depth dose stay those of the open field, the tilt is right at 100 mm depth.
    """
    toward = math.radians(wedge.orientation_deg)
    s = math.cos(toward) * raster.x_mm[None, :] + math.sin(toward) * raster.y_mm[:, None]
    return np.asarray(wedge.factor * np.exp(gradient_per_mm * s))


def _wedged(fluence: FluenceMap, wedge: Wedge | None, gradient_per_mm: float) -> FluenceMap:
    if wedge is None:
        return fluence
    return fluence.with_values(fluence.values * wedge_transmission(wedge, fluence.raster, gradient_per_mm))

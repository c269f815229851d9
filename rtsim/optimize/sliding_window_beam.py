"""From the beamlet monitor units of a beam to control points of a sliding window, leakage and leaf gap included.

Behind the leaves a place gets T M + (1 - T) a of the M monitor units of the beam, T the transmission and a the time it
is open: between the dosimetric ends of its pair, which stand back from the positions by half of the dosimetric leaf gap
and by what the rounding of the ends adds off the axis. Control points lie at equal steps of monitor units, a step being
what a leaf at full speed needs for ``leaf_step_mm``; between them leaves move linearly, which cuts the corners of the
exact sweep. What then comes out is integrated exactly, and what it misses is asked for on top, until it fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.beams.apertures import parked_leaves, reachable_jaws
from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.dose.fluence.leaf_ends import shadow_edges_mm
from rtsim.errors import InputError
from rtsim.machine.model import Machine, MultileafCollimator
from rtsim.optimize.leaves import JAW_MARGIN_MM, BeamletMap, check_leaves, multileaf, rows_of_leaves
from rtsim.optimize.sliding_window_leaves import least_sweep_units, open_units_of, slowed, sweep
from rtsim.typing import AnyFloatArray, FloatArray, IntArray

NEGLIGIBLE: Final = 0.005
"""Outer rows and columns of a map with less than this share of its maximum stay behind jaws and leaves."""
_ROUNDS: Final = 12
_PARK_MM: Final = 10.0
_LINGER_MM: Final = 40.0
_HALVES: Final = np.array([-0.5, 0.5])


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """How a map is swept.

    Attributes:
        dose_rate_mu_min: at which leaves move at their largest speed; None: the machine's largest. Less makes dark
            places darker and costs time, not monitor units.
        leaf_step_mm: how far a leaf at full speed moves between control points.
        most_control_points: of a beam.
        tolerance: of the monitor units of a beamlet, relative to the largest of the beam.
    """

    dose_rate_mu_min: float | None = None
    leaf_step_mm: float = 4.0
    most_control_points: int = 320
    tolerance: float = 0.002

    def __post_init__(self) -> None:
        if not 0.5 <= self.leaf_step_mm <= 50.0:
            raise InputError(f"leaf_step_mm is {self.leaf_step_mm}; allowed are 0.5 <= leaf_step_mm <= 50 mm")
        if self.most_control_points < 20:
            raise InputError(f"most_control_points is {self.most_control_points}; a sweep needs at least 20")
        if not 0.0 < self.tolerance < 0.1:
            raise InputError(f"tolerance is {self.tolerance}; allowed are 0 < tolerance < 0.1 of the largest fluence")
        if self.dose_rate_mu_min is not None and not 0.0 < self.dose_rate_mu_min < math.inf:
            raise InputError(f"dose_rate_mu_min is {self.dose_rate_mu_min}; a rate > 0 MU/min, or None, is needed")

    def pace_mu_mm(self, machine: Machine) -> float:
        """Monitor units in which a leaf at its largest speed moves 1 mm.

        Raises:
            InputError: the dose rate is more than the machine gives.
        """
        most = machine.limits.max_dose_rate_mu_min
        rate = most if self.dose_rate_mu_min is None else self.dose_rate_mu_min
        if rate > most:
            raise InputError(f"dose_rate_mu_min is {rate:g}; {machine.name} gives at most {most:g} MU/min")
        return rate / 60.0 / multileaf(machine).max_speed_mm_s


@dataclass(frozen=True, eq=False, kw_only=True)
class SweptBeam:
    """A beam of moving leaves, and what it makes of its beamlets.

    Attributes:
        beam: with control points.
        given_units: (beamlets,) monitor units for which each beamlet is open, leakage included.
        least_units: (beamlets,) the least that it could be in a sweep of as many monitor units.
        misses: largest difference between given and wanted where it is more than the least, relative to the largest
            wanted.
    """

    beam: Beam
    given_units: FloatArray
    least_units: FloatArray
    misses: float


def swept_beam(beam: Beam, wanted_units: AnyFloatArray, machine: Machine, settings: SweepSettings) -> SweptBeam | None:
    """Sequence one beam; None when nothing is wanted of it.

    Args:
        beam: static, with beamlets.
        wanted_units: (beamlets,) monitor units for which each is to be open.

    Raises:
        MachineLimitError: leaves, or monitor units, beyond what the machine can do.
        InputError: no beamlets, not on one pitch, or monitor units that are negative or not finite.
    """
    if beam.beamlets is None:
        raise InputError(f"{beam.label} has no beamlets to sequence")
    wanted = np.asarray(wanted_units, dtype=np.float64)
    if wanted.shape != (beam.beamlets.count,) or not np.isfinite(wanted).all() or (wanted < 0).any():
        raise InputError(f"{beam.label}: {beam.beamlets.count} finite monitor units >= 0 are needed, one a beamlet")
    if not wanted.any():
        return None
    edges = BeamletMap.of(beam.beamlets)
    window = _Window.of(edges, edges.fluence(wanted), machine)
    swept = _fitted(window, settings.pace_mu_mm(machine), settings)
    out = replace(
        beam,
        machine=machine,
        beamlets=None,
        beamlet_monitor_units=None,
        control_points=_control_points(window, edges, swept, beam.gantry_deg),
    )
    check_leaves(out)
    check_monitor_units(out)
    given, least = np.zeros(edges.shape), np.zeros(edges.shape)
    used = np.ix_(window.rows, np.arange(window.columns.start, window.columns.stop))
    given[used], least[used] = swept.given, swept.least
    inside = np.arange(window.rows.min(), window.rows.max() + 1)
    between = np.setdiff1d(inside, window.rows)  # rows that stay closed inside of the jaws leak
    given[between, window.columns] = least[between, window.columns] = window.mlc.transmission * swept.units[-1]
    return SweptBeam(
        beam=out,
        given_units=given[edges.row, edges.column],
        least_units=least[edges.row, edges.column],
        misses=swept.misses,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Window:
    """The part of a map that is swept: rows, columns, wanted monitor units (rows, columns); jaws; the machine."""

    rows: IntArray
    columns: slice
    wanted: FloatArray
    x_edges_mm: FloatArray
    jaws_mm: tuple[tuple[float, float], tuple[float, float]]
    machine: Machine
    mlc: MultileafCollimator

    @classmethod
    def of(cls, edges: BeamletMap, wanted: FloatArray, machine: Machine) -> _Window:
        """The rows and columns of a map that get fluence, and their leaves."""
        enough = wanted > NEGLIGIBLE * wanted.max()
        rows, columns = np.flatnonzero(enough.any(axis=1)), np.flatnonzero(enough.any(axis=0))
        used = slice(int(columns[0]), int(columns[-1]) + 1)
        x = edges.x_edges_mm[used.start : used.stop + 1]
        low_x, high_x = machine.field_limit_x_mm
        low_y, high_y = machine.field_limit_y_mm
        y = edges.y_edges_mm[rows]
        return cls(
            rows=rows,
            columns=used,
            wanted=wanted[rows, used],
            x_edges_mm=x,
            jaws_mm=reachable_jaws(
                machine,
                (max(float(x[0]) - JAW_MARGIN_MM, low_x), min(float(x[-1]) + JAW_MARGIN_MM, high_x)),
                (max(float(y.min()), low_y), min(float(y.max()), high_y)),
            ),
            machine=machine,
            mlc=multileaf(machine),
        )

    @property
    def park_mm(self) -> float:
        """Where a pair that is done waits: behind the jaw; the farther the better where there is none."""
        mlc = self.mlc
        wanted = self.jaws_mm[0][1] + (_LINGER_MM if self.machine.leaves_bound_x else _PARK_MM)
        return min(wanted, mlc.max_position_mm - mlc.min_gap_mm - mlc.dosimetric_leaf_gap_mm)

    def dosimetric(self, leaves_mm: FloatArray) -> FloatArray:
        """(..., 2) ends of the opening of leaf pairs."""
        gap = self.mlc.dosimetric_leaf_gap_mm
        return shadow_edges_mm(self.mlc, self.machine.sad_mm, leaves_mm) + gap * _HALVES

    def leaves(self, ends_mm: FloatArray, units: FloatArray, pace: float) -> FloatArray:
        """(..., 2) leaf pairs with these ends of the opening, within speed, least gap and range of the machine."""
        limit, gap = self.mlc.max_position_mm, self.mlc.min_gap_mm
        out = ends_mm - self.mlc.dosimetric_leaf_gap_mm * _HALVES
        for _ in range(3):
            out = out + ends_mm - self.dosimetric(out)
        left = np.clip(slowed(out[..., 0], units, pace), -limit, limit - gap)
        right = np.clip(slowed(out[..., 1], units, pace), -limit, limit)
        return np.stack((left, np.maximum(right, left + gap)), axis=-1)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Swept:
    """Leaf pairs (rows, control points, 2) at ``units`` (control points,); given and least (rows, columns)."""

    units: FloatArray
    leaves_mm: FloatArray
    given: FloatArray
    least: FloatArray
    misses: float


def _fitted(window: _Window, pace: float, settings: SweepSettings) -> _Swept:
    """The sweep whose given monitor units are the wanted ones, leakage and cut corners included."""
    transmission = window.mlc.transmission
    total = least_sweep_units(window.wanted, window.x_edges_mm, pace)
    asked = np.maximum(window.wanted - transmission * total, 0.0) / (1.0 - transmission)
    best: _Swept | None = None
    for _ in range(_ROUNDS):
        swept = _swept(window, asked, pace, settings)
        if best is None or swept.misses < best.misses:
            best = swept
        if best.misses <= settings.tolerance:
            break
        asked = np.maximum(asked + (window.wanted - swept.given) / (1.0 - transmission), 0.0)
    assert best is not None
    return best


def _swept(window: _Window, asked: FloatArray, pace: float, settings: SweepSettings) -> _Swept:
    edges, mlc = window.x_edges_mm, window.mlc
    total = least_sweep_units(asked, edges, pace)
    steps = min(math.ceil(total / (pace * settings.leaf_step_mm)), settings.most_control_points - 1)
    units = np.linspace(0.0, total, max(steps, 8) + 1)
    gap = mlc.min_gap_mm + mlc.dosimetric_leaf_gap_mm
    ends = sweep(
        asked,
        edges,
        units,
        pace_mu_mm=pace,
        least_gap_mm=gap,
        park_mm=window.park_mm,
        lingers=window.machine.leaves_bound_x,
    )
    leaves = window.leaves(ends, units, pace)
    opened = open_units_of(window.dosimetric(leaves), units, edges)
    given = mlc.transmission * total + (1.0 - mlc.transmission) * opened
    least = np.full(given.shape, mlc.transmission * total + (1.0 - mlc.transmission) * pace * gap)
    missing = window.wanted - given
    beyond_reach = (missing < 0.0) & (window.wanted <= 1.5 * least)  # darker than a closed pair that passes by
    misses = float(np.abs(np.where(beyond_reach, 0.0, missing)).max() / window.wanted.max())
    return _Swept(units=units, leaves_mm=leaves, given=given, least=least, misses=misses)


def _control_points(window: _Window, edges: BeamletMap, swept: _Swept, gantry_deg: float) -> tuple[ControlPoint, ...]:
    jaws_x, jaws_y = window.jaws_mm
    row_of = rows_of_leaves(edges, window.mlc)
    place = np.full(edges.shape[0] + 1, -1)
    place[window.rows] = np.arange(window.rows.size)
    swept_row = place[row_of]  # of each leaf pair; row -1 is the last entry, -1
    parked = parked_leaves(window.machine, jaws_x)
    points = []
    for k, units in enumerate(swept.units):
        leaves = np.where(swept_row[:, None] >= 0, swept.leaves_mm[swept_row, k], parked)
        aperture = Aperture(jaws_x_mm=jaws_x, jaws_y_mm=jaws_y, leaf_pairs_mm=leaves)
        points.append(ControlPoint(cumulative_monitor_units=float(units), aperture=aperture, gantry_deg=gantry_deg))
    return tuple(points)

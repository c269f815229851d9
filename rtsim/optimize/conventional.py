"""Conventional plans: a few conformal fields, planned forward, weighted for an even target and a cool body around it.

Weights: with s the shares of the target's mean dose that the fields give (sum 1), and d the dose relative to that mean,

        minimize  rms of (d - 1) in the target / 5 %
                  + (sum over the body outside the target of  V / 2 cm3 ((d - 1)+ / 7 %)^8)^(1/8)

    a convex problem in one unknown a field. The tolerances are those of ICRU 50: 95 to 107 % in the target, and outside
    it a hot spot above 100 % matters from 15 mm across (a sphere of 1.8 cm3). The high power makes the second term
    follow the hottest tissue; the mean square of the target alone buys evenness with hot entrances.
Normalization: a single field is prescribed to the center of the target, the ICRU reference point (ICRU 50, section
    2.3); two and more fields so that the median dose of the target, D50%, is the prescription (ICRU 83, section 3.4).
    Hard limits hold: where the delivered dose would break one, all monitor units are scaled down to it and the
    certificate says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.optimize import LinearConstraint, minimize

from rtsim.beams import anterior_posterior, conform, lateral_pair, posterior_anterior, posterior_with_wedged_obliques
from rtsim.beams.model import Beam
from rtsim.beams.monitor_units import check_monitor_units
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.dose.statistics import structure_points
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_mean
from rtsim.machine.model import Machine
from rtsim.optimize.delivered import SAFETY, Reader, Reading, certify
from rtsim.optimize.goals import points_dose, sort_goals
from rtsim.optimize.plan import Plan, Planned
from rtsim.optimize.sequencing import check_segment_units
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import Prescription, Protocol
from rtsim.typing import FloatArray, Progress

LEAST_SHARE = 0.4
"""No field of a technique gives the target less than this share of what it would give if all gave the same."""

EVEN_WITHIN = 0.05
"""Unevenness of the target that counts as one: the -5 % of ICRU 50."""

HOT_ABOVE = 0.07
"""Excess over the prescription that counts as one in the hot spot volume: the +7 % of ICRU 50."""

HOT_SPOT_CM3 = 2.0
"""Volume of a hot spot that matters: a sphere 15 mm across (ICRU 50) has 1.8 cm3."""

_HOT_POWER = 8

STEEP_WEDGE_DEG = 30.0
"""Wedges below this do not make up for three fields that enter side by side through the back; they are not tried."""

COVERED_AT = 0.95
"""A conventional target counts as covered at this share of the prescription (ICRU 50: -5 % to +7 %)."""


class FieldArrangement(Enum):
    """The usual arrangements of the spine."""

    PA = "PA"
    AP_PA = "AP/PA"
    PA_AND_OBLIQUES = "PA and two wedged posterior obliques"
    LATERALS = "two laterals"


@dataclass(frozen=True, kw_only=True)
class ConventionalSettings:
    """How fields are made.

    Attributes:
        margin_mm: from the target to the field edge (50 % isodose) in the isocenter plane.
        oblique_deg: gantries of the left oblique that are tried; the right one mirrors it.
        wedge_deg: wedges that are tried on the obliques: all at the first gantry, the best of them at the other ones.
            None = the physical wedges of the machine from 30 deg on.
    """

    margin_mm: float = 7.0
    oblique_deg: tuple[float, ...] = (120.0, 110.0)
    wedge_deg: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.margin_mm >= 0 or self.wedge_deg == () or not self.oblique_deg:
            raise InputError(
                f"margin_mm is {self.margin_mm}, wedge_deg {self.wedge_deg}, oblique_deg {self.oblique_deg}; margin_mm "
                "must be >= 0 mm, and at least one wedge and one gantry must be named"
            )


def plan_conventional(
    phantom: Phantom,
    prescription: Prescription,
    protocol: Protocol,
    machine: Machine,
    *,
    engine: Engine,
    technique: FieldArrangement = FieldArrangement.PA_AND_OBLIQUES,
    settings: ConventionalSettings | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Plan forward with conformal fields.

    Raises:
        InfeasiblePlanError: fields that do not reach the target, goals that contradict each other.
        MachineLimitError: a field larger than the machine's, or too many monitor units.
    """
    chosen = settings or ConventionalSettings()
    phantom, made = with_target_and_prv(phantom, prescription, protocol)
    target = phantom.structures[prescription.target]
    goals = sort_goals(protocol.goals_for(prescription), prescription, phantom)
    wedges = _wedges(chosen, machine)
    parts = _fields_to_compute(technique, len(chosen.oblique_deg), len(wedges))
    workshop = _Workshop(phantom, target, prescription, engine, chosen.margin_mm, parts, progress)
    best, tried = _search(workshop, technique, machine, chosen.oblique_deg, wedges)
    beams = tuple(f.beam.scaled(w) for f, w in zip(best.fields, best.weights(prescription), strict=True))
    dose = engine.forward(phantom, beams, fractions=prescription.fractions, progress=workshop.next_part())
    reader = Reader(target, goals.hard, prescription)
    factor, sentence = _scale(target, prescription, dose, reader.read(dose), reader, technique)
    beams = tuple(b.scaled(factor) for b in beams)
    dose = dose.scaled(factor)
    for beam in beams:
        check_monitor_units(beam)
        check_segment_units(beam)
    certificates, unchecked = certify(protocol.goals_for(prescription), phantom, prescription, dose, COVERED_AT)
    notes = (
        *made,
        f"{technique.value}: fields conform to {target.name} + {chosen.margin_mm:g} mm; {_weights_said(best, beams)}.",
        *tried,
        sentence,
        *_hot_spots_said(phantom, target, prescription, dose, technique),
        *unchecked,
    )
    plan = Plan(
        beams=beams,
        prescription=prescription,
        certificates=certificates,
        not_checked=unchecked,
        notes=notes,
        label=f"{technique.value} {prescription.dose_gy:g} Gy/{prescription.fractions}",
    )
    return Planned(plan=plan, dose=dose, phantom=phantom)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Field:
    """A conformal field of 100 MU: its dose, and that in the points of the target."""

    beam: Beam
    dose: Dose
    target_gy: FloatArray
    mean_gy: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Weighted:
    """Fields, the shares (sum 1) of the target's mean dose that they give, and the two terms of what was minimized."""

    fields: tuple[_Field, ...]
    shares: FloatArray
    unevenness: float
    heat: float

    @property
    def cost(self) -> float:
        return self.unevenness + self.heat

    def weights(self, prescription: Prescription) -> FloatArray:
        """Factors on the 100 MU of each field with which the mean dose of the target is the prescription."""
        mean = np.array([f.mean_gy for f in self.fields])
        return np.asarray(prescription.dose_gy * self.shares / mean, dtype=np.float64)


class _Workshop:
    """Makes and weights fields for one target; a field that two arrangements have in common is computed once."""

    def __init__(
        self,
        phantom: Phantom,
        target: Structure,
        prescription: Prescription,
        engine: Engine,
        margin_mm: float,
        parts: int,
        progress: Progress | None,
    ) -> None:
        self.phantom, self.target, self._margin_mm = phantom, target, margin_mm
        self._prescription, self._engine = prescription, engine
        self._points, volume = structure_points(target, 1)
        self._share = volume / volume.sum()
        self._fields: dict[tuple[str, float, str], _Field] = {}
        self._outside: tuple[Grid, FloatArray] | None = None
        self._parts, self._begun, self._progress = parts + 1, 0, progress

    def next_part(self) -> Progress | None:
        """Progress of the next of the equal parts of the work."""
        n, self._begun = self._begun, self._begun + 1
        report = self._progress
        return None if report is None else lambda done, text: report((n + done) / self._parts, text)

    def field(self, beam: Beam) -> _Field:
        """The dose of one conformal field."""
        key = (beam.name, beam.gantry_deg, beam.wedge.name if beam.wedge else "")
        if key not in self._fields:
            fractions = self._prescription.fractions
            dose = self._engine.forward(self.phantom, (beam,), fractions=fractions, progress=self.next_part())
            in_target = points_dose(dose, self._points)
            mean = float(self._share @ in_target)
            if not mean > 0:
                raise InfeasiblePlanError(
                    f"field {beam.name!r} gives the target {self.target.name!r} no dose; check isocenter and dose grid"
                )
            self._fields[key] = _Field(beam=beam, dose=dose, target_gy=in_target, mean_gy=mean)
        return self._fields[key]

    def weighted(self, beams: tuple[Beam, ...]) -> _Weighted:
        """Conform the beams to the target and weight them."""
        shaped = tuple(conform(b, self.target, margin_mm=self._margin_mm) for b in beams)
        fields = tuple(self.field(b) for b in shaped)
        inside = np.stack([f.target_gy / f.mean_gy for f in fields], axis=1)
        volume = self._volume_outside(fields[0].dose.grid)
        body = np.flatnonzero(volume)
        outside = np.stack([f.dose.values_gy.ravel()[body] / f.mean_gy for f in fields], axis=1)
        can_be_hot = outside.max(axis=1) > 1.0  # the shares sum to 1: no weights make the rest hot
        return _weigh(fields, inside, self._share, outside[can_be_hot].astype(np.float64), volume[body][can_be_hot])

    def _volume_outside(self, grid: Grid) -> FloatArray:
        if self._outside is None or self._outside[0] != grid:
            self._outside = grid, _outside_cm3(self.phantom, self.target, grid).ravel()
        return self._outside[1]


def _outside_cm3(phantom: Phantom, target: Structure, grid: Grid) -> FloatArray:
    """(nz, ny, nx) volume of the body outside the target in each voxel of a grid."""
    outline = phantom.structures.with_role(Role.EXTERNAL)
    body = (
        outline[0].coverage_on(grid)
        if outline
        else resample_mean(phantom.external_mask().astype(np.float32), phantom.grid, grid)
    )
    rest = np.clip(np.asarray(body, dtype=np.float64) - target.coverage_on(grid), 0.0, 1.0)
    return np.asarray(rest * grid.voxel_volume_cm3, dtype=np.float64)


def _weigh(
    fields: tuple[_Field, ...],
    inside: FloatArray,
    inside_share: FloatArray,
    outside: FloatArray,
    outside_cm3: FloatArray,
) -> _Weighted:
    """The shares that minimize the sum at the head of this module.

    Args:
        inside, outside: (points, fields) dose of each field, relative to its mean in the target.
    """

    def unevenness(shares: FloatArray) -> tuple[float, FloatArray]:
        off = inside @ shares - 1.0
        rms = float(np.sqrt(inside_share @ off**2))
        return rms / EVEN_WITHIN, (inside_share * off) @ inside / max(rms, 1e-12) / EVEN_WITHIN

    def heat(shares: FloatArray) -> tuple[float, FloatArray]:
        excess = np.maximum(outside @ shares - 1.0, 0.0) / HOT_ABOVE
        weight = outside_cm3 / HOT_SPOT_CM3
        norm = float(weight @ excess**_HOT_POWER) ** (1.0 / _HOT_POWER)
        relative = excess / max(norm, 1e-12)
        return norm, (weight * relative ** (_HOT_POWER - 1)) @ outside / HOT_ABOVE

    def both(shares: FloatArray) -> tuple[float, FloatArray]:
        (a, slope_a), (b, slope_b) = unevenness(shares), heat(shares)
        return a + b, slope_a + slope_b

    count = len(fields)
    shares = np.full(count, 1.0 / count)
    if count > 1:
        found = minimize(
            both,
            shares,
            jac=True,
            method="SLSQP",
            bounds=[(LEAST_SHARE / count, 1.0)] * count,
            constraints=LinearConstraint(np.ones((1, count)), 1.0, 1.0),
            options={"ftol": 1e-7, "maxiter": 200},
        )
        shares = np.asarray(found.x / found.x.sum(), dtype=np.float64)
    return _Weighted(fields=fields, shares=shares, unevenness=unevenness(shares)[0], heat=heat(shares)[0])


def _wedges(settings: ConventionalSettings, machine: Machine) -> tuple[float, ...]:
    if settings.wedge_deg is not None:
        return settings.wedge_deg
    steep = tuple(w.angle_deg for w in machine.wedges if w.physical and w.angle_deg >= STEEP_WEDGE_DEG)
    return steep or (STEEP_WEDGE_DEG,)  # a machine without one is refused where the fields are made


def _fields_to_compute(technique: FieldArrangement, gantries: int, wedges: int) -> int:
    if technique is FieldArrangement.PA_AND_OBLIQUES:
        return 1 + 2 * (wedges + gantries - 1)
    return 1 if technique is FieldArrangement.PA else 2


def _search(
    workshop: _Workshop,
    technique: FieldArrangement,
    machine: Machine,
    gantries_deg: tuple[float, ...],
    wedges_deg: tuple[float, ...],
) -> tuple[_Weighted, tuple[str, ...]]:
    """The best of what is tried, and a sentence about what was."""
    target = workshop.target
    if technique is FieldArrangement.PA:
        return workshop.weighted(posterior_anterior(machine, target=target)), ()
    if technique is FieldArrangement.AP_PA:
        return workshop.weighted(anterior_posterior(machine, target=target)), ()
    if technique is FieldArrangement.LATERALS:
        return workshop.weighted(lateral_pair(machine, target=target)), ()
    tried: dict[tuple[float, float], _Weighted] = {}

    def attempt(oblique_deg: float, wedge_deg: float) -> None:
        tried[oblique_deg, wedge_deg] = workshop.weighted(
            posterior_with_wedged_obliques(machine, target=target, oblique_deg=oblique_deg, wedge_deg=wedge_deg)
        )

    for wedge_deg in wedges_deg:
        attempt(gantries_deg[0], wedge_deg)
    wedge_deg = min(tried, key=lambda k: tried[k].cost)[1]
    for oblique_deg in gantries_deg[1:]:
        attempt(oblique_deg, wedge_deg)
    kept = min(tried, key=lambda k: tried[k].cost)
    scores = ", ".join(
        f"gantry {o:g} deg wedge {w:g} deg ({t.unevenness:.2f} + {t.heat:.2f})" for (o, w), t in tried.items()
    )
    said = (
        f"Tried on the obliques, with unevenness of the target and hot spots outside it in their tolerances: {scores}; "
        f"kept gantry {kept[0]:g} deg and its mirror, wedge {kept[1]:g} deg."
    )
    return tried[kept], (said,)


def _weights_said(best: _Weighted, beams: tuple[Beam, ...]) -> str:
    said = []
    for beam, share in zip(beams, best.shares, strict=True):
        wedge = f" ({beam.wedge.name})" if beam.wedge else ""
        said.append(f"{beam.name}{wedge} {beam.monitor_units:.0f} MU per fraction for {100 * share:.0f} %")
    return ", ".join(said) + " of the target's mean dose"


def _hot_spots_said(
    phantom: Phantom, target: Structure, prescription: Prescription, dose: Dose, technique: FieldArrangement
) -> tuple[str, ...]:
    """The global maximum and where it is; the volume above 107 % outside the target when there is enough to matter."""
    level = 1.0 + HOT_ABOVE
    k, j, i = np.unravel_index(int(np.argmax(dose.values_gy)), dose.grid.shape)
    inside = bool(target.coverage_on(dose.grid)[k, j, i] >= 0.5)
    x, y, z = (float(v) for v in dose.grid.point_at(np.array([k, j, i], dtype=np.float64)))
    said = [
        f"Global maximum {dose.max_gy:.2f} Gy, {100 * dose.max_gy / prescription.dose_gy:.1f} % of the prescription, "
        f"{'inside' if inside else 'outside'} {target.name}, at ({x:.0f}, {y:.0f}, {z:.0f}) mm."
    ]
    hot = dose.values_gy > level * prescription.dose_gy
    volume = float(_outside_cm3(phantom, target, dose.grid)[hot].sum())
    if volume > HOT_SPOT_CM3:
        why = " A single field prescribed at depth is always hottest behind its entrance."
        said.append(
            f"{volume:.1f} cm3 of the body outside {target.name} get more than {100 * level:.0f} % of the prescription."
            f"{why if technique is FieldArrangement.PA else ' Look at where, before this plan is accepted.'}"
        )
    return tuple(said)


def _scale(
    target: Structure,
    prescription: Prescription,
    dose: Dose,
    reading: Reading,
    reader: Reader,
    technique: FieldArrangement,
) -> tuple[float, str]:
    """Factor on all monitor units, and the sentence that says which rule it follows."""
    if technique is FieldArrangement.PA:
        reference = float(dose.at(np.array([target.centroid_mm]))[0])
        rule = f"the center of {target.name} (ICRU 50 reference point)"
    else:
        reference = reading.target.dose_gy_at_percent(50.0)
        rule = f"the median dose of {target.name} (D50%, ICRU 83)"
    wanted = prescription.dose_gy / reference
    allowed = [
        (limit.limit_gy * (1.0 - SAFETY) / reached, limit)
        for limit, reached in zip(reader.limits, reading.reached_gy, strict=True)
        if reached > 0
    ]
    tightest = min(allowed, key=lambda pair: pair[0], default=None)
    if tightest is None or wanted <= tightest[0]:
        return wanted, f"Normalized so that {rule} gets {prescription.dose_gy:g} Gy."
    return tightest[0], (
        f"{prescription.dose_gy:g} Gy at {rule} would break the hard limit {tightest[1].describe()}: scaled "
        f"down to it, {100 * tightest[0] / wanted:.1f} % of the prescription."
    )

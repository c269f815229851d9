"""Conventional plans: a few conformal fields, planned forward, with weights that make the target's dose even.

Normalization: a single field is prescribed to the center of the target, the ICRU reference point (ICRU 50, section
    2.3); two
and more fields so that the median dose of the target, D50%, is the prescription (ICRU 83, section 3.4). Hard limits
hold: where the delivered dose would break one, all monitor units are scaled down to it and the certificate says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from scipy.optimize import lsq_linear

from rtsim.beams import anterior_posterior, conform, lateral_pair, posterior_anterior, posterior_with_wedged_obliques
from rtsim.beams.model import Beam
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.dose.statistics import structure_points
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.machine.model import Machine
from rtsim.optimize.delivered import SAFETY, Reader, Reading, certify
from rtsim.optimize.goals import points_dose, sort_goals
from rtsim.optimize.plan import Plan
from rtsim.optimize.sequencing import check_monitor_units, check_segment_units
from rtsim.optimize.stereotactic import Planned
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Prescription, Protocol
from rtsim.typing import FloatArray, Progress

LEAST_SHARE = 0.4
"""No field of a technique gets less than this share of the monitor units it would get if all were equal."""


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
        oblique_deg: gantry of the left oblique; the right one mirrors it.
        wedge_deg: wedges that are tried on the obliques; the one with the evenest target dose is kept.
    """

    margin_mm: float = 7.0
    oblique_deg: float = 120.0
    wedge_deg: tuple[float, ...] = field(default=(30.0, 45.0))

    def __post_init__(self) -> None:
        if self.margin_mm < 0 or not self.wedge_deg:
            raise InputError("margin_mm must be >= 0 mm and wedge_deg must name at least one wedge")


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
    options = _options(technique, target, machine, chosen)
    best: _Fields | None = None
    for n, beams in enumerate(options):
        fields = _weighted(phantom, target, prescription, beams, engine, _part(progress, n, len(options) + 1))
        if best is None or fields.unevenness < best.unevenness:
            best = fields
    assert best is not None
    beams = tuple(b.scaled(w) for b, w in zip(best.beams, best.weights, strict=True))
    dose = engine.forward(
        phantom, beams, fractions=prescription.fractions, progress=_part(progress, len(options), len(options) + 1)
    )
    reader = Reader(target, goals.hard, prescription)
    factor, sentence = _scale(target, prescription, dose, reader.read(dose), reader, technique)
    beams = tuple(b.scaled(factor) for b in beams)
    dose = dose.scaled(factor)
    for beam in beams:
        check_monitor_units(beam)
        check_segment_units(beam)
    certificates, unchecked = certify(protocol.goals_for(prescription), phantom, prescription, dose, COVERED_AT)
    shares = ", ".join(f"{b.name}{f' ({b.wedge.name})' if b.wedge else ''} {b.monitor_units:.0f} MU" for b in beams)
    notes = (
        *made,
        f"{technique.value}: fields conform to {target.name} + {chosen.margin_mm:g} mm; {shares} per fraction.",
        sentence,
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


def _part(progress: Progress | None, n: int, count: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, text: progress((n + done) / count, text)


def _options(
    technique: FieldArrangement, target: Structure, machine: Machine, settings: ConventionalSettings
) -> tuple[tuple[Beam, ...], ...]:
    if technique is FieldArrangement.PA:
        found: tuple[tuple[Beam, ...], ...] = (posterior_anterior(machine, target=target),)
    elif technique is FieldArrangement.AP_PA:
        found = (anterior_posterior(machine, target=target),)
    elif technique is FieldArrangement.LATERALS:
        found = (lateral_pair(machine, target=target),)
    else:
        found = tuple(
            posterior_with_wedged_obliques(machine, target=target, oblique_deg=settings.oblique_deg, wedge_deg=w)
            for w in settings.wedge_deg
        )
    return tuple(tuple(conform(b, target, margin_mm=settings.margin_mm) for b in beams) for beams in found)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Fields:
    """Conformal fields of 100 MU each, their weights, and the target's relative standard deviation of dose."""

    beams: tuple[Beam, ...]
    weights: FloatArray
    unevenness: float


def _weighted(
    phantom: Phantom,
    target: Structure,
    prescription: Prescription,
    beams: tuple[Beam, ...],
    engine: Engine,
    progress: Progress | None,
) -> _Fields:
    """Weights >= a least share that bring the target nearest to the prescription in the mean square."""
    points, volume = structure_points(target, 1)
    share = np.sqrt(volume / volume.sum())
    columns = np.stack(
        [
            points_dose(
                engine.forward(
                    phantom, (b,), fractions=prescription.fractions, progress=_part(progress, n, len(beams))
                ),
                points,
            )
            for n, b in enumerate(beams)
        ],
        axis=1,
    )
    mean = (share**2) @ columns
    if not mean.min() > 0:
        missed = beams[int(np.argmin(mean))].name
        raise InfeasiblePlanError(
            f"field {missed!r} gives the target {target.name!r} no dose; check isocenter and dose grid"
        )
    equal = prescription.dose_gy / mean.sum()
    if len(beams) == 1:
        weights = np.array([equal])
    else:
        fit = lsq_linear(columns * share[:, None], prescription.dose_gy * share, bounds=(LEAST_SHARE * equal, np.inf))
        weights = np.asarray(fit.x, dtype=np.float64)
    dose = columns @ weights
    center = float(share**2 @ dose)
    return _Fields(beams=beams, weights=weights, unevenness=float(np.sqrt(share**2 @ (dose - center) ** 2)) / center)


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

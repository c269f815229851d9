"""The sheet of an emergency plan: what a radiographer sets, monitor units by hand, and what the cord gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose
from rtsim.optimize.conventional.hand_calculation import WHAT_IT_CHECKS, HandCalculation
from rtsim.optimize.conventional.reference_point import Path
from rtsim.optimize.conventional.weighting import HOT_ABOVE
from rtsim.optimize.find import find_structure
from rtsim.optimize.plan import Certificate
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import CORD_STRUCTURES, Goal, Prescription, Priority

ENOUGH_PERCENT = 95.0
"""Of the dose in 95 % of a target, as in the conventional protocols (ICRU 50)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenField:
    """One open field of an emergency plan.

    Attributes:
        beam: with its monitor units of one fraction.
        path: to the reference point.
        check: its monitor units by hand.
    """

    beam: Beam
    path: Path
    check: HandCalculation

    def describe(self) -> str:
        """What is set at the machine."""
        beam, jaws = self.beam, self.beam.control_points[0].aperture
        (x1, x2), (y1, y2) = jaws.jaws_x_mm, jaws.jaws_y_mm
        return (
            f"{beam.name}: gantry {beam.gantry_deg:g}, collimator 0, couch 0 deg; {x2 - x1:g} x {y2 - y1:g} mm (across "
            f"x along; jaws X {x1:g} and {x2:g}, Y {y1:g} and {y2:g}) at the isocenter; SSD {self.path.ssd_mm:.0f} mm; "
            f"depth {self.path.depth_mm:.0f} mm, as water {self.path.water_mm:.0f} mm; {beam.monitor_units:.1f} MU per "
            "fraction."
        )


def sheet(
    phantom: Phantom, prescription: Prescription, dose: Dose, fields: tuple[OpenField, ...], target: Structure | None
) -> tuple[str, ...]:
    """Set-up, monitor units twice, target, and where it is hot."""
    x, y, z = fields[0].beam.isocenter_mm
    said = [f"Isocenter ({x:.1f}, {y:.1f}, {z:.1f}) mm in the CT."]
    said += [f.describe() for f in fields]
    said += [f"By hand, {f.beam.name}: {f.check.describe()}" for f in fields]
    said.append(WHAT_IT_CHECKS)
    if target is not None:
        said += [_covered(s, prescription, dose, len(fields)) for s in _tumors(phantom, target)]
    said.append(_hottest(phantom, prescription, dose, fields))
    low, high = _z_of_fields(fields)
    grid = phantom.grid
    if low < grid.lower_mm[2] or high > grid.upper_mm[2]:
        said.append(
            f"The fields reach from z {low:.0f} to {high:.0f} mm, the CT from {grid.lower_mm[2]:.0f} to "
            f"{grid.upper_mm[2]:.0f} mm: what lies beyond it is not known, and scatter from there is missing."
        )
    return tuple(said)


def _tumors(phantom: Phantom, target: Structure) -> tuple[Structure, ...]:
    """What the fields are about, and the gross tumors that lie in it for the most part."""
    others = phantom.structures.with_role(Role.GTV)
    mine = np.asarray(target.coverage_on(phantom.grid), dtype=np.float64)
    inside = []
    for tumor in others:
        own = np.asarray(tumor.coverage_on(phantom.grid), dtype=np.float64)
        if tumor.name != target.name and (np.minimum(own, mine).sum() >= 0.5 * own.sum() > 0.0):
            inside.append(tumor)
    return target, *inside


def _covered(drawn: Structure, prescription: Prescription, dose: Dose, fields: int) -> str:
    """What a target gets; what to do where that is too little."""
    found = dvh(dose, drawn)
    gy = {p: found.dose_gy_at_percent(p) for p in (95.0, 98.0, 50.0, 2.0)}
    near, middle, most = (100.0 * gy[p] / prescription.dose_gy for p in (98.0, 50.0, 2.0))
    d95 = 100.0 * gy[95.0] / prescription.dose_gy
    said = (
        f"{drawn.name} gets D95% {gy[95.0]:.2f} Gy, {d95:.0f} % of the dose (D98% {near:.0f} %, D50% {middle:.0f} %, "
        f"D2% {most:.0f} %)."
    )
    if d95 >= ENOUGH_PERCENT:
        return said
    remedy = (
        "prescribe to its anterior border (at=PrescribedTo.TARGET_ANTERIOR, --at target_anterior) or deeper "
        "(depth_mm=, --depth), or take opposed fields"
        if fields == 1
        else "take a larger field"
    )
    return (
        f"{said} THAT IS LESS THAN {ENOUGH_PERCENT:g} %: if it is meant to be covered, {remedy}; look at the cord, too."
    )


def cord_said(
    phantom: Phantom, certificates: Sequence[Certificate], goals: Sequence[Goal], rx: Prescription, dose: Dose
) -> tuple[str, ...]:
    """Broken limits with the dose that would hold them; of an undrawn cord what can be said without it."""
    said = []
    for certificate in certificates:
        if not certificate.held and certificate.limit_gy and certificate.reached_gy:
            most = rx.dose_gy * certificate.limit_gy / certificate.reached_gy
            said.append(
                f"LIMIT NOT HELD: {certificate.statement} The dose was not lowered for it; at most {most:.2f} Gy to "
                "the reference point would hold it with these fields."
            )
    limits = [g for g in goals if g.structure in CORD_STRUCTURES and g.priority is Priority.HARD and g.unit == "Gy"]
    if limits and not any(find_structure(phantom, s) for s in CORD_STRUCTURES):
        limit = min(g.value for g in limits)
        verdict = "held wherever it lies" if dose.max_gy <= limit else "draw it, or prescribe less"
        said.append(
            f"No cord is drawn. It gets no more than the highest dose in the CT, {dose.max_gy:.2f} Gy; its limit is "
            f"{limit:g} Gy: {verdict}."
        )
    return tuple(said)


def _hottest(phantom: Phantom, prescription: Prescription, dose: Dose, fields: tuple[OpenField, ...]) -> str:
    k, j, i = np.unravel_index(int(np.argmax(dose.values_gy)), dose.grid.shape)
    x, y, z = (float(v) for v in dose.grid.point_at(np.array([k, j, i], dtype=np.float64)))
    level = (1.0 + HOT_ABOVE) * prescription.dose_gy
    volume = float((dose.values_gy > level).sum()) * dose.grid.voxel_volume_cm3
    why = "a single field is hottest behind its entrance" if len(fields) == 1 else "hottest behind the entrances"
    return (
        f"Global maximum {dose.max_gy:.2f} Gy, {100 * dose.max_gy / prescription.dose_gy:.0f} %, at ({x:.0f}, {y:.0f}, "
        f"{z:.0f}) mm; {volume:.0f} cm3 above {100 * (1 + HOT_ABOVE):.0f} % ({why})."
    )


def _z_of_fields(fields: tuple[OpenField, ...]) -> tuple[float, float]:
    z = fields[0].beam.isocenter_mm[2]
    y1, y2 = fields[0].beam.control_points[0].aperture.jaws_y_mm
    return z + y1, z + y2

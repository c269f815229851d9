"""Emergency: open posterior or opposed fields in one call, for a cord that is compressed on a Saturday night.

Nothing is optimized: jaws about the target or of a given size, the dose prescribed to a point, monitor units from the
dose engine in the CT, and a hand calculation in water beside them. Usual practice: one posterior field prescribed to
the depth of the vertebral body or the cord, or opposed fields prescribed to the midplane with the same dose from each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtsim.beams.delivery_limits import check_delivery
from rtsim.beams.model import Beam
from rtsim.biology.isoeffect import isoeffective_dose_gy
from rtsim.dose.collapsed_cone.model import CollapsedCone
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.geometry.coverage import coverage
from rtsim.geometry.shapes import Sphere
from rtsim.machine.model import Machine
from rtsim.optimize.conventional.hand_calculation import HandCalculation, WaterTank
from rtsim.optimize.conventional.normalization import COVERED_AT
from rtsim.optimize.conventional.reference_point import (
    PrescribedTo,
    field_about,
    levels_about,
    path_to,
    reference_y_mm,
    rounded_up,
)
from rtsim.optimize.conventional.settings import FieldArrangement
from rtsim.optimize.conventional.sheet import OpenField, cord_said, sheet
from rtsim.optimize.delivered import certify
from rtsim.optimize.find import find_structure
from rtsim.optimize.plan import Plan, Planned
from rtsim.phantom.external import with_external
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import CORD_STRUCTURES, Goal, Prescription, Priority, Protocol, Sense
from rtsim.sources import Source, Standing
from rtsim.typing import Progress, Vector3

_GANTRY_DEG = {FieldArrangement.PA: (180.0,), FieldArrangement.AP_PA: (0.0, 180.0)}
_NAMES = {0.0: "AP", 180.0: "PA"}
_UNITS = 100.0
_POINT_RADIUS_MM = 5.0

CORD_EQD2_GY = 50.0
"""Of the cord at 2 Gy a fraction (alpha/beta 2 Gy), as in the conventional protocols: QUANTEC, 0.2 % myelopathy."""


def emergency(
    phantom: Phantom,
    target: str | None,
    machine: Machine,
    *,
    dose_gy: float = 8.0,
    fractions: int = 1,
    technique: FieldArrangement = FieldArrangement.PA,
    at: PrescribedTo | None = None,
    depth_mm: float | None = None,
    field_mm: tuple[float, float] | None = None,
    isocenter_mm: Vector3 | None = None,
    margin_mm: float = 15.0,
    levels: int = 0,
    protocol: Protocol | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Open fields on a target, or of a given size on a given isocenter, with monitor units and a sheet for them.

    Args:
        target: structure to be covered; None needs ``isocenter_mm`` and ``field_mm``: nothing need be drawn.
        dose_gy, fractions: to the reference point; 8 Gy once is usual for a poor prognosis.
        technique: PA or AP_PA; opposed fields give the reference point the same dose each.
        at: the reference point on the axis. Default: PA the center of the target, or the isocenter without a target;
            AP/PA the midplane.
        depth_mm: of the reference point below the posterior skin, instead of ``at``.
        field_mm: (x, y) full widths at the isocenter, across and along the patient; default: about the target.
        isocenter_mm: default: the reference point, in the middle of the target across and along.
        margin_mm: from the target to the field edge: penumbra and set-up without a mask [A].
        levels: vertebrae above and below those of the target that the field reaches over (1 is usual); they must be
            drawn.
        protocol: whose goals are checked; default: the cord at EQD2 50 Gy in this number of fractions (QUANTEC).
        engine: default ``CollapsedCone(spacing_mm=3.0)``.

    Returns:
        A plan whose notes are the sheet for the machine. No limit is held by lowering the dose: a broken one is in the
        certificates and in the notes, with the dose that would hold it.

    Raises:
        InputError: neither a target nor isocenter and size, a technique that is not open fields, a machine without
            calibration, a structure that is not drawn.
        GeometryError: an axis that misses the patient.
        MachineLimitError: a field or monitor units beyond the machine.
    """
    wish = _Wish(dose_gy, fractions, technique, at, depth_mm, field_mm, isocenter_mm, margin_mm, levels)
    wish.check(target, machine)
    prescription = Prescription(target or "reference_point", dose_gy, fractions)
    phantom = with_external(phantom)
    drawn = None if target is None else phantom.structures[target]
    place = _placed(phantom, drawn, machine, wish)
    if drawn is None:
        phantom = phantom.with_structures(_small_sphere(phantom, place.point_mm))
    fields, dose = _fields(phantom, machine, place, wish, engine or CollapsedCone(spacing_mm=3.0), progress)
    goals = (_cord_goal(phantom, prescription),) if protocol is None else protocol.goals_for(prescription)
    certificates, unchecked = certify(goals, phantom, prescription, dose, COVERED_AT)
    plan = Plan(
        beams=tuple(f.beam for f in fields),
        prescription=prescription,
        certificates=certificates,
        not_checked=unchecked,
        notes=(
            f"Emergency {technique.value}, {dose_gy:g} Gy in {fractions}: open fields, nothing optimized.",
            place.said,
            *sheet(phantom, prescription, dose, fields, drawn),
            *cord_said(phantom, certificates, goals, prescription, dose),
            *unchecked,
        ),
        label=f"emergency {technique.value} {dose_gy:g} Gy/{fractions}",
    )
    return Planned(plan=plan, dose=dose, phantom=phantom)


@dataclass(frozen=True)
class _Wish:
    """The arguments of :func:`emergency` that say what is wanted."""

    dose_gy: float
    fractions: int
    technique: FieldArrangement
    at: PrescribedTo | None
    depth_mm: float | None
    field_mm: tuple[float, float] | None
    isocenter_mm: Vector3 | None
    margin_mm: float
    levels: int

    def check(self, target: str | None, machine: Machine) -> None:
        if self.technique not in _GANTRY_DEG:
            raise InputError(f"technique is {self.technique.name}; open emergency fields are PA or AP_PA")
        if target is None and (self.isocenter_mm is None or self.field_mm is None):
            raise InputError(
                "no target is named; then isocenter_mm (x, y, z) in LPS mm and field_mm (across, along) are needed"
            )
        if self.levels and (target is None or self.field_mm is not None):
            raise InputError(
                f"levels is {self.levels}; that makes a field about a target, so give a target and no field_mm"
            )
        if machine.calibration is None:
            raise InputError(f"{machine.name} has no calibration, so no monitor units; take a machine with one")
        if not 0.0 <= self.margin_mm <= 100.0 or self.levels < 0 or self.levels != int(self.levels):
            raise InputError(
                f"margin_mm is {self.margin_mm} and levels {self.levels}; 0 <= margin_mm <= 100 and a whole number "
                "levels >= 0 are allowed"
            )

    def rule(self, target: Structure | None) -> PrescribedTo:
        if self.at is not None:
            return self.at
        if self.technique is FieldArrangement.AP_PA:
            return PrescribedTo.MIDPLANE
        return PrescribedTo.ISOCENTER if target is None else PrescribedTo.TARGET_CENTER


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Reference point, isocenter, field size, and a sentence about them."""

    point_mm: Vector3
    isocenter_mm: Vector3
    size_mm: tuple[float, float]
    said: str


def _placed(phantom: Phantom, target: Structure | None, machine: Machine, wish: _Wish) -> _Place:
    low = high = None
    names = ""
    if wish.levels and target is not None:
        low, high, names = levels_about(phantom, target, wish.levels)
    axis = wish.isocenter_mm
    if axis is None:
        assert target is not None
        x, z = (_middle(target, a) for a in (0, 2))
        axis = (x, target.centroid_mm[1], z if low is None or high is None else round((low + high) / 2))
    y, where = reference_y_mm(phantom, target, wish.rule(target), axis, wish.depth_mm)
    point = (axis[0], y, axis[2])
    isocenter = wish.isocenter_mm or point
    said = f"Prescribed to {where}, at ({point[0]:.1f}, {point[1]:.1f}, {point[2]:.1f}) mm."
    if wish.field_mm is not None:
        return _Place(point_mm=point, isocenter_mm=isocenter, size_mm=wish.field_mm, said=said)
    assert target is not None
    across, along = field_about(machine, isocenter, _GANTRY_DEG[wish.technique], target, wish.margin_mm)
    said += f" Field: {target.name} + {wish.margin_mm:g} mm, rounded up."
    if low is not None and high is not None:
        along = max(along, rounded_up(2.0 * max(isocenter[2] - low, high - isocenter[2])))
        said += f" It reaches over {names}."
    return _Place(point_mm=point, isocenter_mm=isocenter, size_mm=(across, along), said=said)


def _middle(target: Structure, axis: int) -> float:
    """Middle of a structure along LPS x (0) or z (2), in whole mm."""
    return float(round((target.grid.lower_mm[axis] + target.grid.upper_mm[axis]) / 2))


def _fields(
    phantom: Phantom, machine: Machine, place: _Place, wish: _Wish, engine: Engine, progress: Progress | None
) -> tuple[tuple[OpenField, ...], Dose]:
    """Fields that give the reference point the dose, the same part of it each; and the dose of all."""
    gantries = _GANTRY_DEG[wish.technique]
    wanted = wish.dose_gy / wish.fractions / len(gantries)
    tank = WaterTank.of(machine, place.size_mm)
    fields, total = [], None
    for n, gantry in enumerate(gantries):
        beam = Beam.open_field(
            machine,
            place.size_mm,
            gantry_deg=gantry,
            isocenter_mm=place.isocenter_mm,
            monitor_units=_UNITS,
            name=_NAMES[gantry],
        )
        report = None if progress is None else _part(progress, n, len(gantries))
        dose = engine.forward(phantom, (beam,), fractions=wish.fractions, progress=report)
        given = float(dose.at(np.array([place.point_mm]))[0]) / wish.fractions
        if not given > 0:
            raise InfeasiblePlanError(f"{beam.label} gives the reference point no dose; check isocenter and field_mm")
        factor = wanted / given
        beam = beam.scaled(factor)
        check_delivery(beam)
        path = path_to(phantom, beam, place.point_mm)
        fields.append(OpenField(beam=beam, path=path, check=HandCalculation.of(tank, path, wanted, beam.monitor_units)))
        total = dose.scaled(factor) if total is None else _sum(total, dose.scaled(factor))
    assert total is not None
    return tuple(fields), total


def _part(progress: Progress, n: int, count: int) -> Progress:
    return lambda done, text: progress((n + done) / count, text)


def _sum(a: Dose, b: Dose) -> Dose:
    return replace(a, values_gy=a.values_gy + b.values_gy)


def _small_sphere(phantom: Phantom, point_mm: Vector3) -> Structure:
    """A structure for reports and DICOM to speak of, where no target is drawn."""
    ball = coverage(Sphere(point_mm, _POINT_RADIUS_MM), phantom.grid, 3)
    return Structure.from_coverage("reference_point", Role.CONTROL, phantom.grid, ball)


def _cord_goal(phantom: Phantom, prescription: Prescription) -> Goal:
    """The cord, or what is drawn in its place, at EQD2 50 Gy; the cord where nothing is."""
    drawn = [s for s in CORD_STRUCTURES if s != "spinal_cord_prv" and find_structure(phantom, s)]
    limit = isoeffective_dose_gy(CORD_EQD2_GY, prescription.fractions, 2.0)
    return Goal(
        structure=drawn[0] if drawn else "spinal_cord",
        metric="D0.035cc",
        sense=Sense.AT_MOST,
        value=float(np.floor(10.0 * limit) / 10.0),
        unit="Gy",
        priority=Priority.HARD,
        source=Source(
            citation="Kirkpatrick et al. 2010 (QUANTEC), IJROBP 76:S42: EQD2_2 of the cord <= 50 Gy",
            standing=Standing.LITERATURE,
        ),
    )

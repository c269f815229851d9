"""Emergency: open posterior or opposed fields in one call, for a cord that is compressed on a Saturday night.

Nothing is optimized: jaws about the target or of a given size, the dose prescribed to a point, monitor units from the
dose engine in the CT, and a hand calculation in water beside them. Usual practice [M]: one posterior field prescribed
to the middle of the vertebral body (or a depth of 50 to 60 mm, or the cord: institutions differ), or opposed fields
prescribed to the midplane with the same dose from each; one vertebra above and below in the field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.beams.delivery_limits import check_delivery
from rtsim.beams.model import Beam
from rtsim.biology.isoeffect import isoeffective_dose_gy
from rtsim.dose.beam_sum import sum_of_beams
from rtsim.dose.collapsed_cone.model import CollapsedCone
from rtsim.dose.engine import Engine, check_engine
from rtsim.dose.result import Dose
from rtsim.errors import InfeasiblePlanError, InputError, MachineLimitError, check_choice
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
    vertebral_body_y_mm,
)
from rtsim.optimize.conventional.settings import ConventionalSettings, FieldArrangement
from rtsim.optimize.conventional.sheet import OpenField, cord_said, sheet
from rtsim.optimize.delivered import certify
from rtsim.optimize.find import find_structure
from rtsim.optimize.plan import Plan, Planned
from rtsim.optimize.unlimited import unlimited_said
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

MARGIN_MM = 15.0
"""From a drawn tumor (GTV, CTV) to the field edge: set-up without a mask, and penumbra [A]."""
MARGIN_OF_PTV_MM = ConventionalSettings().margin_mm
"""From a PTV, which holds the set-up already: penumbra, as in every conventional plan."""
USUAL_LEVELS = 1
"""Vertebrae in the field above and below those of the target [M]."""

CAUDA_EQD2_GY = 60.0
"""Of the cauda equina at 2 Gy a fraction (alpha/beta 2 Gy), as in the conventional protocols: Emami 1991, TD5/5."""
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
    margin_mm: float | None = None,
    levels: int | None = None,
    protocol: Protocol | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Open fields on a target, or of a given size on a given isocenter, with monitor units and a sheet for them.

    Args:
        target: structure to be covered; None needs ``isocenter_mm`` and ``field_mm``: nothing need be drawn.
        dose_gy, fractions: to the reference point; 8 Gy once is usual for a poor prognosis.
        technique: PA or AP_PA; opposed fields give the reference point the same dose each.
        at: the reference point on the axis. Default: AP/PA the midplane; PA the middle of the vertebral body (where no
            vertebra is drawn, or no cord, the center of the target, which the notes say); without a target the
            isocenter.
        depth_mm: of the reference point below the posterior skin, instead of ``at``.
        field_mm: (x, y) full widths at the isocenter, across and along the patient; default: about the target.
        isocenter_mm: default: the reference point, in the middle of the target across and along.
        margin_mm: from the target to the field edge; default 7 mm from a PTV (penumbra), 15 mm from what else is named
            (and set-up without a mask) [A].
        levels: vertebrae above and below those of the target that the field reaches over; they must be drawn. Default
            1, and 0 with a note where they are not drawn. The field edge lies a penumbra of 7 mm beyond them.
        protocol: whose goals are checked; default: the cord at EQD2 50 Gy in this number of fractions (QUANTEC), and
            the cauda equina, where it is drawn, at 60 Gy (Emami).
        engine: default ``CollapsedCone(spacing_mm=3.0)``.

    Returns:
        A plan whose notes are the sheet for the machine. No limit is held by lowering the dose: a broken one is in the
        certificates and in the notes, with the dose that would hold it.

    Raises:
        InputError: neither a target nor isocenter and size, a technique that is not open fields, a machine without
            calibration, a structure that is not drawn, two that are named like the cord.
        GeometryError: an axis that misses the patient.
        MachineLimitError: a field or monitor units beyond the machine.
    """
    check_engine("engine", engine)
    wish = _Wish(dose_gy, fractions, technique, at, depth_mm, field_mm, isocenter_mm, margin_mm, levels)
    wish.check(target, machine)
    prescription = Prescription(target or "reference_point", dose_gy, fractions)
    phantom = with_external(phantom)
    drawn = None if target is None else phantom.structures[target]
    find_structure(phantom, "spinal_cord")  # refuses two cords before anything is computed
    place = _placed(phantom, drawn, machine, wish)
    if drawn is None:
        phantom = phantom.with_structures(_small_sphere(phantom, place.point_mm))
    fields, dose = _fields(phantom, machine, place, wish, engine or CollapsedCone(spacing_mm=3.0), progress)
    goals = _own_goals(phantom, prescription) if protocol is None else protocol.goals_for(prescription)
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
            *unlimited_said(phantom, goals, prescription),
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
    margin_mm: float | None
    levels: int | None

    def check(self, target: str | None, machine: Machine) -> None:
        """Refuse what an emergency field cannot be made of, before anything is computed."""
        check_choice("technique", self.technique, FieldArrangement, tuple(_GANTRY_DEG))
        if self.at is not None:
            check_choice("at", self.at, PrescribedTo)
        if self.field_mm is not None:
            _check_size(self.field_mm)
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
        margin, levels = self.margin_mm or 0.0, self.levels or 0
        if not 0.0 <= margin <= 100.0 or levels < 0 or levels != int(levels):
            raise InputError(
                f"margin_mm is {self.margin_mm} and levels {self.levels}; 0 <= margin_mm <= 100 and a whole number "
                "levels >= 0 are allowed"
            )

    def rule(self, phantom: Phantom, target: Structure | None, z_mm: float) -> tuple[PrescribedTo, str]:
        """Where the dose is prescribed to, and what is to be said of that choice."""
        if self.at is not None or self.depth_mm is not None:
            return self.at or PrescribedTo.ISOCENTER, ""
        if self.technique is FieldArrangement.AP_PA:
            return PrescribedTo.MIDPLANE, ""
        if target is None:
            return PrescribedTo.ISOCENTER, ""
        if vertebral_body_y_mm(phantom, z_mm) is None:
            return PrescribedTo.TARGET_CENTER, (
                " Usual is the middle of the vertebral body, but no vertebra with cord or canal is drawn here: give "
                "depth_mm or at (--depth, --at) if the target's center is not what you prescribe to."
            )
        return (
            PrescribedTo.VERTEBRAL_BODY,
            " (The usual point, from memory; at or depth_mm, --at or --depth, chooses another.)",
        )

    def reach(self, phantom: Phantom, target: Structure | None) -> tuple[tuple[float, float, str] | None, str]:
        """(inferior, superior, names) of the vertebrae that the field reaches over, and what is to be said of them."""
        if target is None or self.field_mm is not None or self.levels == 0:
            return None, ""
        try:
            low, high, names = levels_about(phantom, target, self.levels or USUAL_LEVELS)
        except InputError:
            if self.levels is not None:
                raise
            return None, (
                f" Usual is one vertebra above and below; they are not drawn about {target.name}: compare with the "
                "simulation film, and give field_mm or margin_mm if it is too short."
            )
        return (
            low,
            high,
            names,
        ), (
            f" It reaches over {names}{' (one above and below, as usual, from memory)' * (self.levels is None)} and "
            f"{MARGIN_OF_PTV_MM:g} mm beyond: penumbra."
        )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Reference point, isocenter, field size, and a sentence about them."""

    point_mm: Vector3
    isocenter_mm: Vector3
    size_mm: tuple[float, float]
    said: str


def _placed(phantom: Phantom, target: Structure | None, machine: Machine, wish: _Wish) -> _Place:
    reach, reach_said = wish.reach(phantom, target)
    axis = wish.isocenter_mm
    if axis is None:
        assert target is not None
        x, z = (_middle(target, a) for a in (0, 2))
        axis = (x, target.centroid_mm[1], z if reach is None else float(round((reach[0] + reach[1]) / 2)))
    at, at_said = wish.rule(phantom, target, axis[2])
    y, where = reference_y_mm(phantom, target, at, axis, wish.depth_mm)
    point = (axis[0], y, axis[2])
    isocenter = wish.isocenter_mm or point
    said = f"Prescribed to {where}, at ({point[0]:.1f}, {point[1]:.1f}, {point[2]:.1f}) mm.{at_said}"
    if wish.field_mm is not None:
        return _Place(point_mm=point, isocenter_mm=isocenter, size_mm=wish.field_mm, said=said)
    assert target is not None
    usual = MARGIN_OF_PTV_MM if target.role is Role.PTV else MARGIN_MM
    margin = usual if wish.margin_mm is None else wish.margin_mm
    across, along = field_about(machine, isocenter, _GANTRY_DEG[wish.technique], target, margin)
    if reach is not None:
        longer = max(isocenter[2] - reach[0], reach[1] - isocenter[2]) + MARGIN_OF_PTV_MM
        along = max(along, rounded_up(2.0 * longer))
    said += f" Field {across:g} x {along:g} mm: {target.name} + {margin:g} mm, rounded up.{reach_said}"
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
    beams = [_open_field(machine, place, gantry) for gantry in gantries]
    tank = WaterTank.of(machine, place.size_mm)
    fields, total = [], None
    for n, beam in enumerate(beams):
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
        total = dose.scaled(factor) if total is None else sum_of_beams((total, dose.scaled(factor)))
    assert total is not None
    return tuple(fields), total


def _open_field(machine: Machine, place: _Place, gantry: float) -> Beam:
    """Of _UNITS monitor units; what does not fit into the machine is told as the field that it is."""
    try:
        return Beam.open_field(
            machine,
            place.size_mm,
            gantry_deg=gantry,
            isocenter_mm=place.isocenter_mm,
            monitor_units=_UNITS,
            name=_NAMES[gantry],
        )
    except MachineLimitError as error:
        across, along = place.size_mm
        raise MachineLimitError(
            f"the field is {across:g} x {along:g} mm (field_mm, or the target with margin_mm and levels): {error}"
        ) from error


def _check_size(field_mm: object) -> None:
    """Two widths.

    Raises:
        InputError: anything else.
    """
    sizes = field_mm if isinstance(field_mm, (tuple, list)) else ()
    if len(sizes) != 2 or not all(isinstance(v, (int, float)) and 0.0 < v < np.inf for v in sizes):
        raise InputError(
            f"field_mm is {field_mm!r}; two widths > 0 in mm are needed, e.g. (80.0, 120.0), across and along"
        )


def _part(progress: Progress, n: int, count: int) -> Progress:
    return lambda done, text: progress((n + done) / count, text)


def _small_sphere(phantom: Phantom, point_mm: Vector3) -> Structure:
    """A structure for reports and DICOM to speak of, where no target is drawn."""
    ball = coverage(Sphere(point_mm, _POINT_RADIUS_MM), phantom.grid, 3)
    return Structure.from_coverage("reference_point", Role.CONTROL, phantom.grid, ball)


def _own_goals(phantom: Phantom, prescription: Prescription) -> tuple[Goal, ...]:
    """The cord, or what is drawn in its place (the cord where nothing is), and the cauda equina where it is drawn."""
    drawn = [s for s in CORD_STRUCTURES if s != "spinal_cord_prv" and find_structure(phantom, s)]
    cord = _limit(
        drawn[0] if drawn else "spinal_cord",
        CORD_EQD2_GY,
        prescription,
        "Kirkpatrick et al. 2010 (QUANTEC), IJROBP 76:S42: EQD2_2 of the cord <= 50 Gy",
    )
    if find_structure(phantom, "cauda_equina") is None:
        return (cord,)
    cited = (
        "Emami et al. 1991, IJROBP 21:109: TD5/5 of the cauda equina 60 Gy; here the isoeffective dose, EQD2_2 = 60 Gy"
    )
    return cord, _limit("cauda_equina", CAUDA_EQD2_GY, prescription, cited)


def _limit(structure: str, eqd2_gy: float, prescription: Prescription, cited: str) -> Goal:
    limit = isoeffective_dose_gy(eqd2_gy, prescription.fractions, 2.0)
    return Goal(
        structure=structure,
        metric="D0.035cc",
        sense=Sense.AT_MOST,
        value=float(np.floor(10.0 * limit) / 10.0),
        unit="Gy",
        priority=Priority.HARD,
        source=Source(citation=cited, standing=Standing.LITERATURE),
    )

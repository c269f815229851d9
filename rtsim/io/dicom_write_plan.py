"""Plan to an RTPLAN: jaws, MLC, control points, meterset, wedges, prescription."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from rtsim.beams.model import Aperture, Beam, ControlPoint, same_aperture
from rtsim.errors import InputError
from rtsim.evaluate.delivery import delivery_summary
from rtsim.io.dicom_common import NOT_CLINICAL, StudyIds, decimal, decimals, new_object, reference, save, uid
from rtsim.io.dicom_plan_machine import is_filter_free, nominal_energy_mv
from rtsim.io.dicom_write_structures import RT_STRUCTURE_SET
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.typing import BoolArray

RT_PLAN: Final = "1.2.840.10008.5.1.4.1.1.481.5"
_TOLERANCE: Final = {
    "GantryAngleTolerance": "0.5",
    "BeamLimitingDeviceAngleTolerance": "0.5",
    "PatientSupportAngleTolerance": "0.5",
}


def plan_uid(ids: StudyIds, plan: Plan) -> str:
    """SOP Instance UID of the plan: depends on every control point, the prescription and the phantom."""
    parts = [plan.label, str(plan.prescription), repr(plan.prescription.coverage_percent), *plan.notes]
    for b in plan.beams:
        parts.append(repr((b.name, b.machine.name, b.isocenter_mm, b.couch_deg, b.collimator_deg, b.wedge)))
        for c in b.control_points:
            leaves = c.aperture.leaf_pairs_mm
            parts.append(
                repr(
                    (
                        c.cumulative_monitor_units,
                        c.gantry_deg,
                        c.aperture.jaws_x_mm,
                        c.aperture.jaws_y_mm,
                        None if leaves is None else leaves.tobytes().hex(),
                    )
                )
            )
    return uid(ids.content, "RTPLAN", *parts)


def write_plan(path: Path, phantom: Phantom, plan: Plan, ids: StudyIds) -> Path:
    """Write the plan for a head-first supine patient.

    Raises:
        InputError: a beam without monitor units, or of a source without calibration, which has none.
    """
    instance = plan_uid(ids, plan)
    tags = new_object(RT_PLAN, instance, uid(instance, "series"), "RTPLAN", ids, description=plan.label, number=3)
    tags.FrameOfReferenceUID, tags.PositionReferenceIndicator = ids.frame_uid, ""
    tags.RTPlanLabel, tags.RTPlanName = plan.label[:16] or "rtsim", plan.label[:64] or "rtsim"
    tags.RTPlanDescription = _description(plan)[:1024]
    tags.RTPlanDate = tags.RTPlanTime = ""
    tags.PlanIntent, tags.RTPlanGeometry, tags.ApprovalStatus = "RESEARCH", "PATIENT", "UNAPPROVED"
    tags.ReferencedStructureSetSequence = [reference(RT_STRUCTURE_SET, ids.of("RTSTRUCT"))]
    tags.DoseReferenceSequence = [_dose_reference(phantom, plan, instance)]
    tags.ToleranceTableSequence = [_tolerance_table()]
    tags.PatientSetupSequence = [_setup()]
    tags.FractionGroupSequence = [_fraction_group(plan)]
    outline = phantom.external_mask()
    tags.BeamSequence = [_beam(b, n, phantom, outline) for n, b in enumerate(plan.beams, start=1)]
    return save(tags, path)


def _description(plan: Plan) -> str:
    """With what keeps the machine from delivering the plan: whoever opens the file has no report beside it."""
    obstacles = (f"NOT DELIVERABLE: {o}" for o in delivery_summary(plan).obstacles)
    return "; ".join((NOT_CLINICAL, *obstacles, str(plan.prescription)))


def _dose_reference(phantom: Phantom, plan: Plan, instance: str) -> Dataset:
    rx = plan.prescription
    out = Dataset()
    out.DoseReferenceNumber, out.DoseReferenceUID = "1", uid(instance, "dose reference")
    out.DoseReferenceType, out.DoseReferenceDescription = "TARGET", rx.target[:64]
    names = list(phantom.structures)
    out.DoseReferenceStructureType = "VOLUME" if rx.target in names else "SITE"
    if rx.target in names:
        out.ReferencedROINumber = str(names.index(rx.target) + 1)
    out.TargetPrescriptionDose = decimal(rx.dose_gy)
    out.TargetUnderdoseVolumeFraction = decimal(100.0 - rx.coverage_percent)
    return out


def _tolerance_table() -> Dataset:
    out = Dataset()
    out.ToleranceTableNumber, out.ToleranceTableLabel = "1", "rtsim"
    for keyword, value in _TOLERANCE.items():
        setattr(out, keyword, value)
    return out


def _setup() -> Dataset:
    out = Dataset()
    out.PatientSetupNumber, out.PatientPosition, out.SetupTechnique = "1", "HFS", "ISOCENTRIC"
    return out


def _fraction_group(plan: Plan) -> Dataset:
    out = Dataset()
    out.FractionGroupNumber, out.NumberOfFractionsPlanned = "1", str(plan.prescription.fractions)
    out.NumberOfBeams, out.NumberOfBrachyApplicationSetups = str(len(plan.beams)), "0"
    out.ReferencedBeamSequence = []
    for number, beam in enumerate(plan.beams, start=1):
        item = Dataset()
        item.ReferencedBeamNumber, item.BeamMeterset = str(number), decimal(beam.monitor_units)
        out.ReferencedBeamSequence.append(item)
    reference_item = Dataset()
    reference_item.ReferencedDoseReferenceNumber = "1"
    reference_item.TargetPrescriptionDose = decimal(plan.prescription.dose_gy)
    out.ReferencedDoseReferenceSequence = [reference_item]
    return out


def _check_units(beam: Beam) -> None:
    if beam.machine.calibration is None:
        raise InputError(
            f"{beam.label} is of {beam.machine.name}, a source without calibration: its beams carry "
            "photons, not monitor units, and no RTPLAN can say so. Use a calibrated machine"
        )
    if beam.monitor_units <= 0:
        raise InputError(f"{beam.label} has no monitor units; leave it out of the plan before writing it")


def _beam(beam: Beam, number: int, phantom: Phantom, outline: BoolArray) -> Dataset:
    _check_units(beam)
    machine, points = beam.machine, beam.control_points
    out = Dataset()
    out.BeamNumber, out.BeamName = str(number), (beam.name or f"beam {number}")[:64]
    out.TreatmentMachineName, out.ManufacturerModelName = machine.name[:16], machine.name[:64]
    out.Manufacturer, out.PrimaryDosimeterUnit = "rtsim", "MU"
    out.SourceAxisDistance = decimal(machine.sad_mm)
    # PS3.3 C.8.8.14: STATIC moves nothing between control points of different meterset (a step-and-shoot beam)
    still = not any(
        b.cumulative_monitor_units > a.cumulative_monitor_units
        and (a.gantry_deg != b.gantry_deg or not same_aperture(a.aperture, b.aperture))
        for a, b in pairwise(points)
    )
    out.BeamType, out.RadiationType, out.TreatmentDeliveryType = "STATIC" if still else "DYNAMIC", "PHOTON", "TREATMENT"
    if machine.nominal_energy:
        mode = Dataset()
        if is_filter_free(machine):
            mode.FluenceMode, mode.FluenceModeID = "NON_STANDARD", "FFF"
        else:
            mode.FluenceMode = "STANDARD"
        out.PrimaryFluenceModeSequence = [mode]
    with_leaves = any(p.aperture.leaf_pairs_mm is not None for p in points)
    out.BeamLimitingDeviceSequence = _devices(beam, with_leaves)
    out.ReferencedPatientSetupNumber = out.ReferencedToleranceTableNumber = "1"
    out.NumberOfWedges = "0" if beam.wedge is None else "1"
    if beam.wedge is not None:
        out.WedgeSequence = [_wedge(beam)]
    out.NumberOfCompensators = out.NumberOfBoli = out.NumberOfBlocks = "0"
    out.FinalCumulativeMetersetWeight, out.NumberOfControlPoints = "1", str(len(points))
    out.ControlPointSequence = []
    for index in range(len(points)):
        out.ControlPointSequence.append(_control_point(beam, index, with_leaves))
    first = out.ControlPointSequence[0]
    distance = surface_distance_mm(beam, phantom, outline)
    if distance is not None:
        first.SourceToSurfaceDistance = decimal(round(distance, 2))
    return out


def _devices(beam: Beam, with_leaves: bool) -> list[Dataset]:
    machine = beam.machine
    out = []
    for kind in ("ASYMY",) if machine.leaves_bound_x else ("ASYMX", "ASYMY"):
        item = Dataset()
        item.RTBeamLimitingDeviceType, item.NumberOfLeafJawPairs = kind, "1"
        if machine.jaws is not None:
            distance = machine.jaws.distance_x_mm if kind == "ASYMX" else machine.jaws.distance_y_mm
            item.SourceToBeamLimitingDeviceDistance = decimal(distance or machine.jaws.distance_y_mm)
        out.append(item)
    if with_leaves and machine.mlc is not None:
        item = Dataset()
        item.RTBeamLimitingDeviceType, item.NumberOfLeafJawPairs = "MLCX", str(machine.mlc.leaf_count)
        item.SourceToBeamLimitingDeviceDistance = decimal(machine.mlc.distance_mm)
        item.LeafPositionBoundaries = decimals(machine.mlc.leaf_edges_mm)
        out.append(item)
    return out


def _wedge(beam: Beam) -> Dataset:
    wedge = beam.wedge
    assert wedge is not None
    out = Dataset()
    out.WedgeNumber, out.WedgeID = "1", wedge.name[:16]
    out.WedgeType = "STANDARD" if wedge.physical else "DYNAMIC"
    out.WedgeAngle = str(round(wedge.angle_deg))
    out.WedgeFactor = decimal(wedge.factor)
    # IEC 61217 3.6: Yw points to the thin end; rtsim counts that direction from BLD +x
    out.WedgeOrientation = decimal((wedge.orientation_deg - 90.0) % 360.0)
    if wedge.physical:
        out.SourceToWedgeTrayDistance = ""
    return out


def _control_point(beam: Beam, index: int, with_leaves: bool) -> Dataset:
    points = beam.control_points
    point, previous = points[index], points[index - 1] if index else None
    out = Dataset()
    out.ControlPointIndex = str(index)
    out.CumulativeMetersetWeight = decimal(point.cumulative_monitor_units / beam.monitor_units)
    if previous is None:
        energy = nominal_energy_mv(beam.machine)
        if energy is not None:
            out.NominalBeamEnergy = decimal(energy)
        out.DoseRateSet = decimal(beam.machine.limits.max_dose_rate_mu_min)
    if previous is None or not same_aperture(previous.aperture, point.aperture):
        out.BeamLimitingDevicePositionSequence = _positions(point.aperture, beam, with_leaves)
    if previous is None or beam.is_arc:
        out.GantryAngle = decimal(point.gantry_deg)
        out.GantryRotationDirection = _direction(points, index)
    if previous is None:
        if beam.wedge is not None:
            position = Dataset()
            position.ReferencedWedgeNumber, position.WedgePosition = "1", "IN"
            out.WedgePositionSequence = [position]
        out.BeamLimitingDeviceAngle, out.BeamLimitingDeviceRotationDirection = decimal(beam.collimator_deg), "NONE"
        out.PatientSupportAngle, out.PatientSupportRotationDirection = decimal(beam.couch_deg), "NONE"
        out.TableTopEccentricAngle, out.TableTopEccentricRotationDirection = "0", "NONE"
        out.TableTopVerticalPosition = out.TableTopLongitudinalPosition = out.TableTopLateralPosition = ""
        out.IsocenterPosition = decimals(beam.isocenter_mm)
    weight = Dataset()
    weight.CumulativeDoseReferenceCoefficient = out.CumulativeMetersetWeight
    weight.ReferencedDoseReferenceNumber = "1"
    out.ReferencedDoseReferenceSequence = [weight]
    return out


def _positions(aperture: Aperture, beam: Beam, with_leaves: bool) -> list[Dataset]:
    pairs = [] if beam.machine.leaves_bound_x else [("ASYMX", decimals(aperture.jaws_x_mm))]
    pairs.append(("ASYMY", decimals(aperture.jaws_y_mm)))
    if with_leaves and beam.machine.mlc is not None:
        mlc = beam.machine.mlc
        leaves = aperture.leaf_pairs_mm
        if leaves is None:  # a segment of the jaws alone between shaped ones: the leaves stand back
            leaves = np.tile([-mlc.max_position_mm, mlc.max_position_mm], (mlc.leaf_count, 1))
        pairs.append(("MLCX", decimals(np.asarray(leaves).T)))
    out = []
    for kind, positions in pairs:
        item = Dataset()
        item.RTBeamLimitingDeviceType, item.LeafJawPositions = kind, positions
        out.append(item)
    return out


def _direction(points: tuple[ControlPoint, ...], index: int) -> str:
    """CW or CC (IEC 61217: rising gantry angle is clockwise seen by who faces the gantry), NONE at rest."""
    if index + 1 >= len(points):
        return "NONE"
    turn = (points[index + 1].gantry_deg - points[index].gantry_deg + 180.0) % 360.0 - 180.0
    return "NONE" if turn == 0 else ("CW" if turn > 0 else "CC")


def surface_distance_mm(beam: Beam, phantom: Phantom, outline: BoolArray) -> float | None:
    """Source to surface along the beam axis, in steps of half a millimeter; None when the axis misses the patient."""
    source, isocenter = beam.source_mm, np.array(beam.isocenter_mm)
    depth = np.arange(0.0, 2.0 * beam.machine.sad_mm, 0.5)
    points = source + depth[:, None] * (isocenter - source) / beam.machine.sad_mm
    inside = phantom.grid.contains(points)
    index = np.round(phantom.grid.index_of(points[inside])).astype(np.int64)
    for axis in range(3):
        index[:, axis] = np.clip(index[:, axis], 0, phantom.grid.shape[axis] - 1)
    hit = np.flatnonzero(outline[tuple(index.T)])
    return float(depth[inside][hit[0]]) if hit.size else None

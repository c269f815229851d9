"""RTPLAN to Plan: static, step-and-shoot, sliding window and arcs as clinics write them; strict where the dose would be
wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rtsim.beams.model import Beam
from rtsim.errors import DicomError
from rtsim.io.dicom_inventory import DicomInventory, scan_dicom
from rtsim.io.dicom_plan_beams import Turned, read_beam
from rtsim.io.dicom_plan_machine import leaf_reach_mm
from rtsim.io.dicom_tags import NotDicomError, Tags, items, number, numbers, read_tags, text
from rtsim.machine import Machine
from rtsim.optimize.plan import Plan
from rtsim.protocol.model import Prescription
from rtsim.typing import Vector3

_TURNED: Final[dict[str, Turned]] = {
    "HFS": (0.0, 1.0, 0.0),
    "HFP": (180.0, -1.0, 0.0),
    "FFS": (0.0, 1.0, 180.0),
    "FFP": (180.0, -1.0, 180.0),
}
"""Patient position -> (gantry shift, sign of couch, couch shift) of the same beam on a head-first supine patient.

With M of rtsim.geometry.iec61217: prone is Ry(180) and feet-first Rz(180) of the patient, and
Ry(180) Rz(-c) Ry(g) = Rz(c) Ry(g + 180), Rz(180) Rz(-c) = Rz(-(c + 180)).
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class StatedDose:
    """What a beam is said to give to a point, in one fraction.

    Attributes:
        beams: the beam, in parts where a wedge is in for a part of it.
        point_mm: LPS; None when the file does not say where.
    """

    name: str
    beams: tuple[Beam, ...]
    dose_gy: float
    point_mm: Vector3 | None


@dataclass(frozen=True, eq=False, kw_only=True)
class PlanFile:
    """What one RTPLAN says.

    Attributes:
        file: it was read from; ``plan_uid`` its SOP Instance UID.
        beams: deliverable.
        beam_names: (number, name) of the treating beams of the file.
        stated: the doses that the beams are said to give.
        surfaces_mm: source to surface along the axis, as planned: (beam, distance) where it is said.
        prescription: None when the file gives neither a prescribed dose nor beam doses.
        fractions: how often the beams are given.
        frame_of_reference_uid: of its coordinates; "" when not said.
        structure_set_uid: that it refers to; "" when not said.
        label: for people.
        unmodeled: what lies in the beams and is not computed: "blocks", "boli", "compensators", "accessories (TRAY)",
            the factor of a wedge that nobody knows.
        notes: what was left out or taken otherwise.
    """

    file: Path
    plan_uid: str
    beams: tuple[Beam, ...]
    beam_names: tuple[tuple[int, str], ...]
    stated: tuple[StatedDose, ...]
    surfaces_mm: tuple[tuple[Beam, float], ...]
    prescription: Prescription | None
    fractions: int
    frame_of_reference_uid: str
    structure_set_uid: str
    label: str
    unmodeled: tuple[str, ...]
    notes: tuple[str, ...]


def read_plan(
    path: str | Path, *, machine: Machine | Sequence[Machine] | None = None, target: str | None = None
) -> Plan:
    """Read an RTPLAN file, or the one RTPLAN of a folder, as a deliverable plan.

    Angles of prone and feet-first patients are turned into those of the same beam on a head-first supine one; leaf
    boundaries are those of the file. Both, and everything left out, stand in ``Plan.notes``.

    Args:
        machine: what delivers it; default the rtsim machine named in the plan, which must have the energy and filter
            of the beams. Of several each beam takes the one of its energy and filter; a single one takes them all,
            with a note where these differ.
        target: name of the target; default the structure the plan prescribes to, else "PTV".

    Raises:
        DicomError: no plan, several plans, or something rtsim cannot deliver (electrons, moving couch, leaves along y,
            cones).
    """
    found = read_plan_file(scan_dicom(path), machine=machine, target=target)
    if found.prescription is None:
        raise DicomError(
            f"{found.file} gives neither a Target Prescription Dose nor Beam Doses; what it is to achieve is unknown"
        )
    return Plan(beams=found.beams, prescription=found.prescription, notes=found.notes, label=found.label)


def read_plan_file(
    inventory: DicomInventory,
    *,
    machine: Machine | Sequence[Machine] | None = None,
    target: str | None = None,
    plan: str | None = None,
) -> PlanFile:
    """The same as far as the file goes.

    Args:
        plan: SOP Instance UID, label, name or file name of the plan, where the inventory holds several.
    """
    entries = inventory.plans
    if plan is not None:
        entries = tuple(p for p in entries if plan in (p.sop_instance_uid, p.label, p.title, p.file.name, str(p.file)))
    if len(entries) != 1:
        found = ", ".join(f"{p.file.name} ({p.title!r})" for p in inventory.plans) or "none"
        reason = "choose one with plan= (--plan LABEL or FILE)"
        if not inventory.plans:
            reason = inventory.damaged[0][1] if inventory.damaged else "export the plan into the same folder"
        asked = "" if plan is None else f" {plan!r}"
        raise DicomError(f"{inventory.folder} holds {len(entries)} RTPLAN{asked} ({found}); {reason}")
    file = entries[0].file
    try:
        tags = read_tags(file)
    except NotDicomError as error:
        raise DicomError(f"{file} is not an RTPLAN") from error
    notes: list[str] = []
    given, fractions = _fraction_group(file, tags, notes)
    treating = _treating(items(tags, "BeamSequence"), given, notes)
    if not treating:
        raise DicomError(f"{file} holds no treatment beam with monitor units; export the plan with its MU calculated")
    turned = _patient_position(file, tags, [beam for _, beam, _ in treating], notes)
    reach = leaf_reach_mm([beam for _, beam, _ in treating])
    beams: list[Beam] = []
    stated: list[StatedDose] = []
    surfaces: list[tuple[Beam, float]] = []
    without: list[str] = []
    for name, beam, given_to in treating:
        units = number(given_to, "BeamMeterset", 0.0) or 0.0
        parts = read_beam(f"{file}: beam {name!r}", name, beam, units, machine, reach, turned, notes, without)
        beams += parts
        distance = number(items(beam, "ControlPointSequence")[0], "SourceToSurfaceDistance", 0.0) or 0.0
        surfaces += [(parts[0], distance)] if distance > 0.0 else []
        dose, point = number(given_to, "BeamDose", 0.0) or 0.0, numbers(given_to, "BeamDoseSpecificationPoint", 3)
        if dose > 0.0:
            at = None if point is None else (float(point[0]), float(point[1]), float(point[2]))
            stated.append(StatedDose(name=name, beams=parts, dose_gy=dose, point_mm=at))
    label, long_name = text(tags, "RTPlanLabel", "RTPLAN"), text(tags, "RTPlanName")
    referenced = items(tags, "ReferencedStructureSetSequence")
    return PlanFile(
        file=file,
        plan_uid=entries[0].sop_instance_uid,
        beams=tuple(beams),
        beam_names=tuple((int(number(beam, "BeamNumber", -1.0) or 0), name) for name, beam, _ in treating),
        stated=tuple(stated),
        surfaces_mm=tuple(surfaces),
        prescription=_prescription(tags, fractions, target, inventory, notes),
        fractions=fractions,
        frame_of_reference_uid=text(tags, "FrameOfReferenceUID"),
        structure_set_uid=text(referenced[0], "ReferencedSOPInstanceUID") if referenced else "",
        label=long_name if long_name.startswith(label) else label,
        unmodeled=tuple(dict.fromkeys(without)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _treating(beams: list[Tags], given: dict[int, Tags], notes: list[str]) -> list[tuple[str, Tags, Tags]]:
    """(name, beam, its item in the fraction group) of the beams that treat; a note for each other one."""
    out = []
    for beam in beams:
        index = int(number(beam, "BeamNumber", -1.0) or 0)
        name = text(beam, "BeamName") or f"beam {index}"
        delivery = text(beam, "TreatmentDeliveryType", "TREATMENT")
        units = number(given[index], "BeamMeterset", 0.0) if index in given else 0.0
        if delivery not in ("TREATMENT", "CONTINUATION") or not units:
            notes.append(f"beam {name!r} left out: {delivery.lower()} beam with {units or 0.0:g} MU")
            continue
        out.append((name, beam, given[index]))
    return out


def _fraction_group(file: Path, tags: Tags, notes: list[str]) -> tuple[dict[int, Tags], int]:
    """Items of the beams by their number, and how often they are given."""
    groups = items(tags, "FractionGroupSequence")
    if not groups:
        raise DicomError(f"{file} has no Fraction Group; monitor units and number of fractions are unknown")
    if len(groups) > 1:
        notes.append(f"{len(groups)} fraction groups; the first is read")
    given = {int(number(b, "ReferencedBeamNumber", -1.0) or 0): b for b in items(groups[0], "ReferencedBeamSequence")}
    fractions = number(groups[0], "NumberOfFractionsPlanned")
    if fractions is None:
        notes.append("the number of fractions is not given; 1 is taken")
    return given, max(1, int(fractions or 1))


def _patient_position(file: Path, tags: Tags, beams: list[Tags], notes: list[str]) -> Turned:
    """Of the setups that the beams refer to; of all where they refer to none."""
    setups = {number(s, "PatientSetupNumber"): text(s, "PatientPosition", "HFS") for s in _setups(tags)}
    wanted = {number(b, "ReferencedPatientSetupNumber") for b in beams}
    found = {setups[n] for n in wanted if n in setups} or set(setups.values()) or {"HFS"}
    if len(found) > 1 or not found <= set(_TURNED):
        raise DicomError(f"{file}: patient position {', '.join(sorted(found))}; one of {', '.join(_TURNED)} is needed")
    position = found.pop()
    if position != "HFS":
        notes.append(
            f"patient position {position}: gantry and couch angles are those of the same beam on a head-first "
            "supine patient"
        )
    return _TURNED[position]


def _setups(tags: Tags) -> list[Tags]:
    return items(tags, "PatientSetupSequence")


def _prescription(
    tags: Tags, fractions: int, target: str | None, inventory: DicomInventory, notes: list[str]
) -> Prescription | None:
    found = [r for r in items(tags, "DoseReferenceSequence") if (number(r, "TargetPrescriptionDose", 0.0) or 0.0) > 0]
    found.sort(key=lambda r: text(r, "DoseReferenceType") != "TARGET")
    if not found:
        groups = items(tags, "FractionGroupSequence")
        dose = fractions * sum(number(b, "BeamDose", 0.0) or 0.0 for b in items(groups[0], "ReferencedBeamSequence"))
        if dose <= 0:
            return None
        notes.append(f"no prescription in the plan; the sum of its beam doses, {dose:g} Gy, is taken")
        return Prescription(target or "PTV", dose, fractions)
    first = found[0]
    wanted = number(first, "ReferencedROINumber")
    rois = [r for s in inventory.structure_sets for r in s.rois if wanted is not None and r.number == int(wanted)]
    name = target or (rois[0].name if rois else text(first, "DoseReferenceDescription", "PTV"))
    spared = number(first, "TargetUnderdoseVolumeFraction")
    coverage = 95.0 if spared is None or not 0.0 <= spared < 100.0 else 100.0 - spared
    return Prescription(name, number(first, "TargetPrescriptionDose", 0.0) or 0.0, fractions, coverage)

"""RTPLAN to Plan: static, step-and-shoot, sliding window and arcs as clinics write them; strict where the dose would be
wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.errors import DicomError, InputError
from rtsim.io.dicom_inventory import DicomInventory, scan_dicom
from rtsim.io.dicom_tags import NotDicomError, Tags, items, number, numbers, read_tags, text
from rtsim.machine import Machine, MultileafCollimator, Wedge, load_machine, names
from rtsim.optimize.plan import Plan
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray

_EDGE_TOLERANCE_MM: Final = 0.01
_CROSSING_TOLERANCE_MM: Final = 0.5
_X_JAWS: Final = ("ASYMX", "X")
_Y_JAWS: Final = ("ASYMY", "Y")
_TURNED: Final = {
    "HFS": (0.0, 1.0, 0.0),
    "HFP": (180.0, -1.0, 0.0),
    "FFS": (0.0, 1.0, 180.0),
    "FFP": (180.0, -1.0, 180.0),
}
"""Patient position -> (gantry shift, sign of couch, couch shift) of the same beam on a head-first supine patient.

With M of rtsim.geometry.iec61217: prone is Ry(180) and feet-first Rz(180) of the patient, and
Ry(180) Rz(-c) Ry(g) = Rz(c) Ry(g + 180), Rz(180) Rz(-c) = Rz(-(c + 180)).
"""


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """What the control points leave standing from one to the next."""

    jaws_x_mm: tuple[float, float] | None = None
    jaws_y_mm: tuple[float, float] | None = None
    leaves_mm: FloatArray | None = None
    gantry_deg: float | None = None
    couch_deg: float | None = None
    collimator_deg: float | None = None


def read_plan(path: str | Path, *, machine: Machine | None = None, target: str | None = None) -> Plan:
    """Read an RTPLAN file, or the one RTPLAN of a folder, as a deliverable plan.

    Angles of prone and feet-first patients are turned into those of the same beam on a head-first supine one; leaf
    boundaries are those of the file. Both, and everything left out, stand in ``Plan.notes``.

    Args:
        machine: what delivers it; default the rtsim machine named in the plan.
        target: name of the target; default the structure the plan prescribes to, else "PTV".

    Raises:
        DicomError: no plan, several plans, or something rtsim cannot deliver (electrons, moving couch, leaves along y).
    """
    inventory = scan_dicom(path)
    if len(inventory.plans) != 1:
        found = ", ".join(f"{p.file.name} ({p.label!r})" for p in inventory.plans) or "none"
        reason = inventory.damaged[0][1] if inventory.damaged and not inventory.plans else "give the file of one plan"
        raise DicomError(f"{path} holds {len(inventory.plans)} RTPLAN ({found}); {reason}")
    file = inventory.plans[0].file
    try:
        tags = read_tags(file)
    except NotDicomError as error:
        raise DicomError(f"{file} is not an RTPLAN") from error
    notes: list[str] = []
    meterset, fractions = _fraction_group(file, tags, notes)
    turned = _patient_position(file, tags, notes)
    beams = []
    for beam in items(tags, "BeamSequence"):
        index = int(number(beam, "BeamNumber", -1.0) or 0)
        name = text(beam, "BeamName") or f"beam {index}"
        delivery = text(beam, "TreatmentDeliveryType", "TREATMENT")
        if delivery != "TREATMENT" or not meterset.get(index):
            notes.append(f"beam {name!r} left out: {delivery.lower()} beam with {meterset.get(index, 0.0):g} MU")
            continue
        beams.append(_beam(file, name, beam, meterset[index], machine, turned, notes))
    if not beams:
        raise DicomError(f"{file} holds no treatment beam with monitor units; export the plan with its MU calculated")
    prescription = _prescription(tags, fractions, target, inventory, notes)
    label, long_name = text(tags, "RTPlanLabel", "RTPLAN"), text(tags, "RTPlanName")
    return Plan(
        beams=tuple(beams),
        prescription=prescription,
        notes=tuple(notes),
        label=long_name if long_name.startswith(label) else label,
    )


def _fraction_group(file: Path, tags: Tags, notes: list[str]) -> tuple[dict[int, float], int]:
    groups = items(tags, "FractionGroupSequence")
    if not groups:
        raise DicomError(f"{file} has no Fraction Group; monitor units and number of fractions are unknown")
    if len(groups) > 1:
        notes.append(f"{len(groups)} fraction groups; the first is read")
    meterset = {
        int(number(b, "ReferencedBeamNumber", -1.0) or 0): number(b, "BeamMeterset", 0.0) or 0.0
        for b in items(groups[0], "ReferencedBeamSequence")
    }
    fractions = number(groups[0], "NumberOfFractionsPlanned")
    if fractions is None:
        notes.append("the number of fractions is not given; 1 is taken")
    return meterset, max(1, int(fractions or 1))


def _patient_position(file: Path, tags: Tags, notes: list[str]) -> tuple[float, float, float]:
    setups = {text(s, "PatientPosition", "HFS") for s in items(tags, "PatientSetupSequence")} or {"HFS"}
    if len(setups) > 1 or not setups <= set(_TURNED):
        raise DicomError(f"{file}: patient position {', '.join(sorted(setups))}; one of {', '.join(_TURNED)} is needed")
    position = setups.pop()
    if position != "HFS":
        notes.append(
            f"patient position {position}: gantry and couch angles are those of the same beam on a head-first "
            "supine patient"
        )
    return _TURNED[position]


def _beam(
    file: Path,
    name: str,
    beam: Tags,
    meterset: float,
    machine: Machine | None,
    turned: tuple[float, float, float],
    notes: list[str],
) -> Beam:
    where = f"{file}: beam {name!r}"
    radiation = text(beam, "RadiationType", "PHOTON")
    if radiation != "PHOTON":
        raise DicomError(f"{where} is of {radiation.lower()}s; only photon beams can be read")
    for keyword in ("NumberOfBlocks", "NumberOfBoli", "NumberOfCompensators"):
        if (number(beam, keyword, 0.0) or 0.0) > 0:
            notes.append(f"beam {name!r}: {keyword.removeprefix('NumberOf').lower()} are not modeled and were left out")
    resolved = _with_leaves(where, _machine(where, beam, machine), beam, notes)
    points = items(beam, "ControlPointSequence")
    if len(points) < 2:
        raise DicomError(f"{where} has {len(points)} control points; at least two are needed")
    isocenter = numbers(points[0], "IsocenterPosition", 3)
    if isocenter is None:
        raise DicomError(f"{where} has no Isocenter Position")
    _check_energy(name, points[0], resolved, notes)
    controls, setting = _controls(where, beam, points, meterset, resolved, turned)
    wedge = _wedge(where, beam, points, resolved, notes)
    return Beam(
        machine=resolved if wedge is None else resolved.with_wedge(wedge),
        isocenter_mm=(float(isocenter[0]), float(isocenter[1]), float(isocenter[2])),
        gantry_deg=controls[0].gantry_deg,
        couch_deg=_angle(turned[1] * (setting.couch_deg or 0.0) + turned[2]),
        collimator_deg=_angle(setting.collimator_deg or 0.0),
        name=name,
        control_points=controls,
        wedge=wedge,
    )


def _controls(
    where: str, beam: Tags, points: list[Tags], meterset: float, machine: Machine, turned: tuple[float, float, float]
) -> tuple[tuple[ControlPoint, ...], _Setting]:
    final = number(beam, "FinalCumulativeMetersetWeight", 1.0) or 1.0
    setting, controls = _Setting(), []
    for point in points:
        after = _follow(where, setting, point)
        if setting.couch_deg not in (None, after.couch_deg) or setting.collimator_deg not in (
            None,
            after.collimator_deg,
        ):
            raise DicomError(f"{where}: couch or collimator turn while the beam is on; that cannot be delivered here")
        setting = after
        weight = number(point, "CumulativeMetersetWeight")
        if weight is None:
            raise DicomError(f"{where}: a control point has no Cumulative Meterset Weight")
        gantry = _angle((setting.gantry_deg or 0.0) + turned[0])
        controls.append(
            ControlPoint(
                cumulative_monitor_units=meterset * weight / final,
                aperture=_aperture(setting, machine),
                gantry_deg=gantry,
            )
        )
    return tuple(controls), setting


def _angle(degrees: float) -> float:
    """0 <= angle < 360, rid of the 1e-9 that planning systems write."""
    return round(degrees % 360.0, 6) % 360.0


def _follow(where: str, before: _Setting, point: Tags) -> _Setting:
    """The setting after a control point: what it does not name stays."""
    found: dict[str, FloatArray] = {}
    for device in items(point, "BeamLimitingDevicePositionSequence"):
        positions = numbers(device, "LeafJawPositions")
        if positions is not None:
            found[text(device, "RTBeamLimitingDeviceType")] = positions
    if "MLCY" in found:
        raise DicomError(f"{where}: its leaves move along BLD y (MLCY); rtsim models leaves along x")
    for pitch in ("TableTopPitchAngle", "TableTopRollAngle", "GantryPitchAngle", "TableTopEccentricAngle"):
        if abs(number(point, pitch, 0.0) or 0.0) > 0.01:
            raise DicomError(f"{where}: {pitch} is {number(point, pitch)} degrees; only 0 can be read")
    leaves = before.leaves_mm
    if "MLCX" in found:
        half = found["MLCX"].size // 2
        leaves = np.stack([found["MLCX"][:half], found["MLCX"][half:]], axis=1)
        crossing = leaves[:, 0] - leaves[:, 1]
        if crossing.max() > _CROSSING_TOLERANCE_MM:
            raise DicomError(f"{where}: leaf pair {int(crossing.argmax())} crosses by {crossing.max():g} mm")
        middle = leaves.mean(axis=1)
        leaves[crossing > 0] = middle[crossing > 0, None]
    return replace(
        before,
        jaws_x_mm=_jaws(found, _X_JAWS, before.jaws_x_mm),
        leaves_mm=leaves,
        jaws_y_mm=_jaws(found, _Y_JAWS, before.jaws_y_mm),
        gantry_deg=number(point, "GantryAngle", before.gantry_deg),
        couch_deg=number(point, "PatientSupportAngle", before.couch_deg),
        collimator_deg=number(point, "BeamLimitingDeviceAngle", before.collimator_deg),
    )


def _jaws(
    found: dict[str, FloatArray], kinds: tuple[str, ...], before: tuple[float, float] | None
) -> tuple[float, float] | None:
    for kind in kinds:
        if kind in found and found[kind].size == 2:
            return float(found[kind][0]), float(found[kind][1])
    return before


def _aperture(setting: _Setting, machine: Machine) -> Aperture:
    half = machine.max_field_mm / 2
    return Aperture(
        jaws_x_mm=setting.jaws_x_mm or (-half, half),
        jaws_y_mm=setting.jaws_y_mm or (-half, half),
        leaf_pairs_mm=setting.leaves_mm,
    )


def _machine(where: str, beam: Tags, given: Machine | None) -> Machine:
    if given is not None:
        return given
    known = names()
    for keyword in ("TreatmentMachineName", "ManufacturerModelName"):
        if text(beam, keyword) in known:
            return load_machine(text(beam, keyword))
    raise DicomError(
        f"{where} is for the machine {text(beam, 'TreatmentMachineName')!r}, which rtsim does not know; "
        f"give machine=. Known: {', '.join(known)}"
    )


def _with_leaves(where: str, machine: Machine, beam: Tags, notes: list[str]) -> Machine:
    """The machine with the leaf boundaries of the file, when the beam has an MLC."""
    for device in items(beam, "BeamLimitingDeviceSequence"):
        if text(device, "RTBeamLimitingDeviceType") != "MLCX":
            continue
        edges = numbers(device, "LeafPositionBoundaries")
        if edges is None:
            raise DicomError(f"{where}: its MLC has no Leaf Position Boundaries")
        if machine.mlc is None:
            raise DicomError(
                f"{where} has an MLC of {edges.size - 1} leaf pairs; machine {machine.name!r} has none. "
                "Give machine= with an MLC, whose transmission and leaf ends then hold"
            )
        own = np.asarray(machine.mlc.leaf_edges_mm)
        if own.shape == edges.shape and np.abs(own - edges).max() <= _EDGE_TOLERANCE_MM:
            return machine
        note = (
            f"leaf boundaries are those of the plan ({edges.size - 1} pairs, {edges[0]:g} .. {edges[-1]:g} mm), not"
            f" those of {machine.name}"
        )
        if note not in notes:
            notes.append(note)
        mlc: MultileafCollimator = replace(machine.mlc, leaf_edges_mm=tuple(float(e) for e in edges))
        return replace(machine, mlc=mlc)
    return machine


def _check_energy(name: str, point: Tags, machine: Machine, notes: list[str]) -> None:
    energy = number(point, "NominalBeamEnergy")
    own = nominal_energy_mv(machine)
    if energy is not None and own is not None and abs(own - energy) > 0.5:
        notes.append(f"beam {name!r} is of {energy:g} MV; it is read for {machine.name} of {machine.nominal_energy}")


def nominal_energy_mv(machine: Machine) -> float | None:
    """The number in ``Machine.nominal_energy`` ("6 MV FFF" -> 6), or None."""
    match = re.search(r"\d+(\.\d+)?", machine.nominal_energy)
    return float(match.group()) if match else None


def _wedge(where: str, beam: Tags, points: list[Tags], machine: Machine, notes: list[str]) -> Wedge | None:
    wedges = {int(number(w, "WedgeNumber", 0.0) or 0): w for w in items(beam, "WedgeSequence")}
    state: dict[int, str] = {}
    states = []
    for point in points:
        for position in items(point, "WedgePositionSequence"):
            state[int(number(position, "ReferencedWedgeNumber", 0.0) or 0)] = text(position, "WedgePosition")
        states.append(frozenset(k for k, v in state.items() if v == "IN"))
    present = set(states) if state else {frozenset(wedges)}
    if len(present) > 1 or len(next(iter(present))) > 1:
        raise DicomError(f"{where}: wedges move while the beam is on, or two are in; split the beam")
    inside = next(iter(present))
    if not inside:
        return None
    tags = wedges[next(iter(inside))]
    angle, orientation = number(tags, "WedgeAngle", 0.0) or 0.0, number(tags, "WedgeOrientation", 0.0) or 0.0
    name = text(tags, "WedgeID") or f"wedge {angle:g}"
    physical = text(tags, "WedgeType", "STANDARD") != "DYNAMIC"
    factor = number(tags, "WedgeFactor", None)
    if not factor:
        like = [w.factor for w in machine.wedges if w.physical == physical and w.angle_deg == angle]
        factor = like[0] if like else 1.0
        origin = f"that of {machine.name}, {factor:g}," if like else "1"
        notes.append(f"wedge {name!r} has no factor in the plan; {origin} is taken")
    try:
        # IEC 61217 3.6: Yw of the wedge filter system points to the thin end; rtsim counts that direction from BLD +x
        toward = _angle(orientation + 90.0)
        return Wedge(name=name, angle_deg=angle, orientation_deg=toward, physical=physical, factor=factor)
    except InputError as error:
        raise DicomError(f"{where}: {error}") from error


def _prescription(
    tags: Tags, fractions: int, target: str | None, inventory: DicomInventory, notes: list[str]
) -> Prescription:
    found = [r for r in items(tags, "DoseReferenceSequence") if (number(r, "TargetPrescriptionDose", 0.0) or 0.0) > 0]
    found.sort(key=lambda r: text(r, "DoseReferenceType") != "TARGET")
    if not found:
        groups = items(tags, "FractionGroupSequence")
        dose = fractions * sum(number(b, "BeamDose", 0.0) or 0.0 for b in items(groups[0], "ReferencedBeamSequence"))
        if dose <= 0:
            raise DicomError(
                f"{inventory.plans[0].file} gives neither a Target Prescription Dose nor Beam Doses; what "
                "it is to achieve is unknown"
            )
        notes.append(f"no prescription in the plan; the sum of its beam doses, {dose:g} Gy, is taken")
        return Prescription(target or "PTV", dose, fractions)
    first = found[0]
    wanted = number(first, "ReferencedROINumber")
    rois = [r for s in inventory.structure_sets for r in s.rois if wanted is not None and r.number == int(wanted)]
    name = target or (rois[0].name if rois else text(first, "DoseReferenceDescription", "PTV"))
    spared = number(first, "TargetUnderdoseVolumeFraction")
    coverage = 95.0 if spared is None or not 0.0 <= spared < 100.0 else 100.0 - spared
    return Prescription(name, number(first, "TargetPrescriptionDose", 0.0) or 0.0, fractions, coverage)

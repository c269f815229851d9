"""Recompute: any RTPLAN of a folder on its CT, compared with the RTDOSE beside it. The secondary check of a plan.

found = rt.dose.recompute("patient/", machine=rt.load_machine("my_linac.toml"))
print(found)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from rtsim.ct import CalibrationCurve
from rtsim.dose.beam_sum import sum_of_beams
from rtsim.dose.collapsed_cone.model import CollapsedCone
from rtsim.dose.dvh import dvh
from rtsim.dose.engine import Engine, check_engine
from rtsim.dose.result import Dose
from rtsim.errors import DicomError, GeometryError, InputError
from rtsim.evaluate.gamma import GammaResult, gamma
from rtsim.io.dicom_given_dose import given_dose
from rtsim.io.dicom_inventory import DicomInventory, scan_dicom
from rtsim.io.dicom_plan import PlanFile, read_plan_file
from rtsim.io.dicom_read import read_dicom
from rtsim.io.dicom_tags import items, number, read_tags, text
from rtsim.io.dicom_write_plan import surface_distance_mm
from rtsim.io.recomputed import BEAM_POINT, ComparedPoint, ComparedStructure, Recomputed, StructureDoses, shown_rank
from rtsim.machine import Machine
from rtsim.optimize.goals import is_target
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.model import Prescription
from rtsim.typing import Progress, Vector3

GAMMA_CRITERIA: Final = ((3.0, 2.0), (2.0, 2.0))
"""(percent of the prescription, mm); TG-218 (doi:10.1002/mp.12810) recommends the first."""
_SPACING_MM: Final = 2.0
_SPACINGS_MM: Final = (1.5, 3.0)
_DOSE_SHARE: Final = 0.8
_SURFACE_TOLERANCE_MM: Final = 10.0
_MEAN_OF_TARGET: Final = "the mean recomputed dose of the target"


def recompute(
    folder: str | Path,
    *,
    machine: Machine | Sequence[Machine] | None = None,
    engine: Engine | None = None,
    plan: str | None = None,
    series: str | None = None,
    structure_set: str | None = None,
    target: str | None = None,
    calibration: CalibrationCurve | None = None,
    progress: Progress | None = None,
) -> Recomputed:
    """Compute the RTPLAN of a folder on its CT, and compare with its RTDOSE where there is one.

    Static beams, step and shoot, sliding window and arcs, of rtsim or of a clinic. The leaf boundaries are those of the
    plan; everything else of the machine is that of ``machine``: a generic one says how alike the two are, only one that
    was fitted to the clinic's beam data checks the dose.

    Args:
        folder: with CT and RTPLAN; RTSTRUCT and RTDOSE where there are any. Files may be nested and unsorted.
        machine: what delivers it; default the rtsim machine named in the plan. Several for plans of several energies:
            each beam takes the one of its energy and filter.
        engine: default collapsed cone, voxels as the RTDOSE's (1.5 to 3 mm), or 2 mm without one.
        plan, series, structure_set: which one, where the folder holds several.
        target: what the plan treats; default what it says, else the one drawn target.
        calibration: HU to density; default the curve of rtsim.ct.

    Raises:
        DicomError: nothing to compute, a plan in another frame of reference than the CT, or what would give a wrong
            dose (see :func:`rtsim.io.read_plan`); a machine, given or named in the plan, of another energy.
        GeometryError: the beams miss the CT.
    """
    check_engine("engine", engine)
    inventory = scan_dicom(folder)
    machines = (machine,) if isinstance(machine, Machine) else machine
    file = read_plan_file(inventory, machine=machines, target=target, plan=plan)
    phantom = read_dicom(
        folder,
        series=series or _series(inventory, file),
        structure_set=structure_set or _structure_set(inventory, file),
        calibration=calibration,
    )
    notes = [*file.notes, *phantom.ct.notes, *_check_frame(phantom, file), *_densities(inventory, phantom)]
    notes += _surfaces(phantom, file)
    given, missing = given_dose(inventory, file, notes)
    chosen = engine or CollapsedCone(spacing_mm=_spacing_mm(given))
    for beam in file.beams:
        if not bool(phantom.grid.contains(np.array(beam.isocenter_mm))):
            at = ", ".join(f"{v:.1f}" for v in beam.isocenter_mm)
            raise GeometryError(f"the isocenter of {beam.label} lies at ({at}) mm, outside the CT. {_extent(phantom)}")
    try:
        dose, stated = _computed(phantom, file, chosen, progress)
    except GeometryError as error:
        raise GeometryError(f"{error}. {_extent(phantom)}") from error
    read = _plan(phantom, file, dose, target, notes)
    names = [s.name for s in _shown(phantom, read)]
    compared = tuple(_structure(phantom[name], dose, given, notes) for name in names)
    gammas = () if given is None else _gammas(phantom, given, dose, read.prescription, notes)
    points = (*_isocenters(file, dose, given), *stated)
    if progress is not None:
        progress(1.0, "compared")
    return Recomputed(
        phantom=phantom,
        plan=read,
        plan_uid=file.plan_uid,
        dose=dose,
        given=given,
        gammas=gammas,
        structures=tuple(c for c in compared if c is not None),
        points=points,
        unmodeled=file.unmodeled,
        not_compared=missing,
        notes=tuple(dict.fromkeys(notes)),
    )


def _series(inventory: DicomInventory, file: PlanFile) -> str | None:
    """Of several CT series the one in the plan's frame of reference; None leaves the choice (or the refusal) open."""
    own = [s for s in inventory.ct_series if s.frame_of_reference_uid == file.frame_of_reference_uid and s.files]
    return own[0].series_instance_uid if len(inventory.ct_series) > 1 and len(own) == 1 else None


def _structure_set(inventory: DicomInventory, file: PlanFile) -> str | None:
    """Of several structure sets the one that the plan refers to."""
    known = [s.sop_instance_uid for s in inventory.structure_sets]
    return file.structure_set_uid if len(known) > 1 and file.structure_set_uid in known else None


def _check_frame(phantom: Phantom, file: PlanFile) -> list[str]:
    own, wanted = phantom.ct.frame_of_reference_uid, file.frame_of_reference_uid
    if own and wanted and own != wanted:
        raise DicomError(
            f"{file.file} is planned in the frame of reference {wanted}, the CT is in {own}: the isocenter would lie "
            "elsewhere. Put the CT of the plan into the folder, or choose it with series= (--series)"
        )
    return [] if own and wanted else ["frame of reference missing in the CT or the plan; taken as the same"]


def _surfaces(phantom: Phantom, file: PlanFile) -> list[str]:
    """Beams that meet the patient elsewhere than planned: another CT or outline, a bolus, a patient the other way."""
    outline = phantom.external_mask()
    out = []
    for beam, planned in file.surfaces_mm:
        here = surface_distance_mm(beam, phantom, outline)
        if here is None or abs(here - planned) > _SURFACE_TOLERANCE_MM:
            found = "the axis misses the patient" if here is None else f"it is {here:.0f} mm"
            out.append(
                f"{beam.label}: source to surface {planned:.0f} mm in the plan; on this CT {found}. Is it the CT of "
                "the plan, is there a bolus, a couch or another outline?"
            )
    return out


def _densities(inventory: DicomInventory, phantom: Phantom) -> list[str]:
    """Structures to which the structure sets assign matter: the CT counts here."""
    found: dict[str, None] = {}
    for entry in inventory.structure_sets:
        tags = read_tags(entry.file)
        names = {number(r, "ROINumber"): text(r, "ROIName") for r in items(tags, "StructureSetROISequence")}
        for observed in items(tags, "RTROIObservationsSequence"):
            if items(observed, "ROIPhysicalPropertiesSequence"):
                found[names.get(number(observed, "ReferencedROINumber"), "") or "a structure"] = None
    own = [n for n in found if n in phantom.structures]
    return [f"densities assigned to {', '.join(own)} were left out; those of the CT count"] if own else []


def _extent(phantom: Phantom) -> str:
    """Where the CT is, for a plan that is elsewhere; with what is known of missing slices."""
    grid = phantom.grid
    low, high = (", ".join(f"{v:.0f}" for v in corner) for corner in (grid.lower_mm, grid.upper_mm))
    missing = "; ".join(n for n in phantom.ct.notes if "not in the series" in n)
    text = f"The CT has {grid.shape[0]} slices, from ({low}) to ({high}) mm"
    return text + (f"; {missing}" if missing else "") + ". Put the whole CT of the plan into the folder"


def _spacing_mm(given: Dose | None) -> float:
    """Voxels as those of the given dose, within reason."""
    if given is None:
        return _SPACING_MM
    return round(min(max(float(min(given.grid.spacing_mm)), _SPACINGS_MM[0]), _SPACINGS_MM[1]), 3)


def _computed(
    phantom: Phantom, file: PlanFile, engine: Engine, progress: Progress | None
) -> tuple[Dose, tuple[ComparedPoint, ...]]:
    """The dose of all beams, and each beam at the point where the plan states its dose."""
    stated = {id(b): s for s in file.stated if s.point_mm is not None for b in s.beams}
    if not stated:
        return engine.forward(phantom, file.beams, fractions=file.fractions, progress=_part(progress, 0, 1)), ()
    doses: list[Dose] = []
    at_points: dict[str, float] = {}
    for n, beam in enumerate(file.beams):
        part = _part(progress, n, len(file.beams))
        doses.append(engine.forward(phantom, (beam,), fractions=file.fractions, progress=part))
        found = stated.get(id(beam))
        here = None if found is None or found.point_mm is None else _dose_at(doses[-1], found.point_mm)
        if found is not None and here is not None:
            at_points[found.name] = at_points.get(found.name, 0.0) + here
    points = tuple(
        ComparedPoint(
            name=f"{BEAM_POINT}{s.name}",
            point_mm=s.point_mm,
            given_gy=s.dose_gy * file.fractions,
            recomputed_gy=at_points[s.name],
        )
        for s in file.stated
        if s.point_mm is not None and s.name in at_points
    )
    return sum_of_beams(doses), points


def _part(progress: Progress | None, n: int, count: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, text: progress(_DOSE_SHARE * (n + done) / count, text)


def _dose_at(dose: Dose, point_mm: Vector3) -> float | None:
    """Gy; None outside the dose grid."""
    at = np.array(point_mm)
    return float(dose.at(at)) if bool(dose.grid.contains(at)) else None


def _isocenters(file: PlanFile, dose: Dose, given: Dose | None) -> tuple[ComparedPoint, ...]:
    out = []
    for n, isocenter in enumerate(dict.fromkeys(b.isocenter_mm for b in file.beams), start=1):
        ours, theirs = _dose_at(dose, isocenter), None if given is None else _dose_at(given, isocenter)
        if ours is not None and theirs:
            name = "isocenter" if n == 1 else f"isocenter {n}"
            out.append(ComparedPoint(name=name, point_mm=isocenter, given_gy=theirs, recomputed_gy=ours))
    return tuple(out)


def _plan(phantom: Phantom, file: PlanFile, dose: Dose, target: str | None, notes: list[str]) -> Plan:
    """The plan with a target that is drawn, and a prescription."""
    treated = _target(phantom, file, target, notes)
    found = file.prescription
    if found is not None:
        prescription = found if treated is None else replace(found, target=treated)
    else:
        level = dvh(dose, phantom[treated]).mean_gy if treated is not None else dose.max_gy
        origin = _MEAN_OF_TARGET if treated is not None else "the maximum of the recomputed dose"
        notes.append(f"the plan does not say what it prescribes; {origin}, {level:.3g} Gy, is taken")
        prescription = Prescription(treated or "PTV", level, file.fractions)
    return Plan(beams=file.beams, prescription=prescription, notes=file.notes, label=file.label)


def _target(phantom: Phantom, file: PlanFile, asked: str | None, notes: list[str]) -> str | None:
    """The name of the treated structure; None when nothing that can be meant is drawn."""
    if asked is not None:
        phantom[asked]  # raises, with the names that are there
        return asked
    wanted = None if file.prescription is None else file.prescription.target
    if wanted is not None and wanted in phantom.structures:
        return wanted
    drawn = [s for s in phantom.structures.values() if is_target(s)]
    if not drawn:
        notes.append("no target is drawn")
        return None
    largest = max(drawn, key=lambda s: (s.role is Role.PTV, s.volume_cm3))
    what = "does not say what it treats" if wanted is None else f"prescribes to {wanted!r}, which is not drawn"
    notes.append(f"the plan {what}; {largest.name!r} is taken as the target (target=, --target, chooses another)")
    return largest.name


def _shown(phantom: Phantom, plan: Plan) -> list[Structure]:
    """The treated target, cord and PRV, other targets, the other structures; not the outline."""
    shown = [s for s in phantom.structures.values() if s.role is not Role.EXTERNAL]
    return sorted(shown, key=lambda s: shown_rank(s.name, plan.prescription.target, is_target=is_target(s)))


def _structure(structure: Structure, dose: Dose, given: Dose | None, notes: list[str]) -> ComparedStructure | None:
    ours = _doses_of(structure, dose)
    if ours is None:
        notes.append(f"structure {structure.name!r} lies outside the recomputed dose")
        return None
    theirs = None if given is None else _doses_of(structure, given)
    if theirs is not None and theirs.outside_percent > 0.5:
        notes.append(f"{theirs.outside_percent:.0f} % of {structure.name!r} lie outside the RTDOSE and count as 0 Gy")
    return ComparedStructure(
        name=structure.name,
        is_target=is_target(structure),
        volume_cm3=structure.volume_cm3,
        given=theirs,
        recomputed=ours,
    )


def _doses_of(structure: Structure, dose: Dose) -> StructureDoses | None:
    try:
        return StructureDoses.of(dvh(dose, structure))
    except GeometryError:
        return None


def _gammas(
    phantom: Phantom, given: Dose, dose: Dose, prescription: Prescription, notes: list[str]
) -> tuple[GammaResult, ...]:
    """The given dose is the reference; what lies outside the patient is left out of both."""
    outline = phantom.structures.with_role(Role.EXTERNAL)
    body = (
        outline[0]
        if outline
        else Structure.from_coverage("EXTERNAL", Role.EXTERNAL, phantom.grid, phantom.external_mask())
    )
    inside = body.coverage_on(given.grid) >= 0.5
    found = []
    for percent, distance in GAMMA_CRITERIA:
        try:
            found.append(
                gamma(
                    given,
                    dose,
                    dose_percent=percent,
                    distance_mm=distance,
                    mask=inside,
                    normalization_gy=prescription.dose_gy,
                )
            )
        except InputError as error:
            notes.append(f"gamma {percent:g} %/{distance:g} mm could not be computed: {error}")
    if found and found[0].outside_voxels:
        notes.append(f"{found[0].outside_voxels} voxels of the RTDOSE lie outside the CT and are left out of gamma")
    return tuple(found)

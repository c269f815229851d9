"""The RTDOSE of an earlier course, in the coordinates of today: only where frames of reference agree, or a shift is
given that registers them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtsim.clinic.reirradiation import NOT_SHIFTED, PreviousCourse, RigidShift
from rtsim.errors import InputError
from rtsim.io.dicom_dose import read_dose
from rtsim.io.dicom_inventory import DicomInventory, DoseEntry, PlanEntry, scan_dicom
from rtsim.io.dicom_tags import read_tags, text
from rtsim.io.dicom_write import study_ids
from rtsim.phantom.phantom import Phantom


def read_previous(
    path: str | Path,
    phantom: Phantom,
    *,
    fractions: int | None = None,
    months_ago: float | None = None,
    shift: RigidShift | None = None,
) -> PreviousCourse:
    """Read an RTDOSE file, or the one plan dose of a folder, as a previous course of the patient ``phantom``.

    Args:
        fractions: in how many equal fractions the dose was given; default what the RTPLAN beside it says.
        shift: registers the old dose with the CT of today. Given, even as zeros, it says that this was done; without
            it both must have one frame of reference.

    Raises:
        DicomError: no dose, several, or one that cannot be read.
        InputError: the number of fractions is not known; another frame of reference without a shift.
    """
    where = Path(path)
    inventory = scan_dicom(where)
    dose = read_dose(where, fractions=1)
    entry = _entry(inventory)
    count = fractions if fractions is not None else _fractions(where, inventory, entry)
    notes = _same_frame(entry.file, phantom) if shift is None else _registered(shift)
    if not np.any(dose.values_gy > 0):
        raise InputError(f"the previous dose {entry.file.name} is 0 Gy everywhere; give the dose of the plan")
    return PreviousCourse(
        fractions=count,
        dose=dose,
        months_ago=months_ago,
        shift=shift or NOT_SHIFTED,
        name=f"RTDOSE {entry.file.name}",
        notes=notes,
    )


def _entry(inventory: DicomInventory) -> DoseEntry:
    """The dose that ``read_dose`` takes."""
    doses = inventory.doses
    plans = tuple(d for d in doses if d.summation == "PLAN")
    return plans[0] if len(doses) > 1 and plans else doses[0]


def _fractions(where: Path, inventory: DicomInventory, entry: DoseEntry) -> int:
    plans = inventory.plans if where.is_dir() else _beside(where)
    counts = {p.fractions for p in plans if p.fractions and entry.plan_uid in ("", p.sop_instance_uid)}
    if len(counts) == 1 and (count := counts.pop()):
        return count
    raise InputError(
        f"in how many fractions the previous dose {entry.file.name} was given is not known: no RTPLAN beside it says "
        "so. Give the number (rtsim run --previous-fractions N); EQD2 depends on it"
    )


def _beside(file: Path) -> tuple[PlanEntry, ...]:
    return scan_dicom(file.parent).plans


def _same_frame(file: Path, phantom: Phantom) -> tuple[str, ...]:
    """That dose and CT have one frame of reference; notes on how that is known.

    Raises:
        InputError: they do not, or it is not known.
    """
    tags = read_tags(file, only=["SOPClassUID", "FrameOfReferenceUID", "PatientID"])
    old, ids = text(tags, "FrameOfReferenceUID"), study_ids(phantom)
    own = phantom.ct.frame_of_reference_uid
    if own is not None and old == own:
        return ()
    if own is None and text(tags, "PatientID") == ids.patient_id:
        return (
            f"The previous dose is of the same case by its patient ID ({ids.patient_id}): the same coordinates are "
            "taken for granted.",
        )
    today = own or f"none: {phantom.name} was made here"
    raise InputError(
        f"the previous dose {file.name} has frame of reference {old or '(none)'}, the CT of today {today}: where the "
        "dose lies in this patient is not known. Register the two and give the shift (rtsim run --shift X,Y,Z in mm "
        "LPS, that brings the old dose to today's CT; --shift 0,0,0 says that they are registered as they are)"
    )


def _registered(shift: RigidShift) -> tuple[str, ...]:
    return (f"The previous dose was registered by the user: {shift}.",)

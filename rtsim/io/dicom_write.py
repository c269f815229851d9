"""DICOM out: CT, structure set, plan and dose as one consistent set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.io.dicom_common import StudyIds, uid
from rtsim.io.dicom_write_ct import write_ct
from rtsim.io.dicom_write_dose import write_dose
from rtsim.io.dicom_write_plan import plan_uid, write_plan
from rtsim.io.dicom_write_structures import write_structures
from rtsim.io.files import whole_folder
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress


@dataclass(frozen=True, kw_only=True)
class DicomSet:
    """The files that were written; None for what was not asked for."""

    folder: Path
    ct: tuple[Path, ...]
    structures: Path | None
    plan: Path | None
    dose: Path | None


def write_dicom(
    folder: str | Path,
    phantom: Phantom,
    plan: Plan | None = None,
    dose: Dose | None = None,
    *,
    ct: bool = True,
    dose_bits: int = 16,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> DicomSet:
    """Write a phantom, and a plan and its dose where given, as DICOM: ``CT_0000.dcm`` ..., ``RTSTRUCT.dcm``,
    ``RTPLAN.dcm``, ``RTDOSE.dcm``.

    Identifiers follow from the content, so that writing the same thing twice gives the same set. Every object says that
    it is not for clinical use and is unapproved. The folder appears whole or not at all.

    Args:
        ct: also write the CT. False when the phantom was read from DICOM and its CT lies elsewhere; study and frame of
            reference are then those of that CT.
        dose_bits: 16 stores the dose in steps of 0.0015 % of its maximum; 32 below float32, but the validator dciodvfy
            of Debian 12 aborts on it.
        overwrite: replace what ``folder`` holds.

    Raises:
        OutputExistsError: ``folder`` holds something and ``overwrite`` is False.
        InputError: a dose without its plan; what DICOM cannot hold.
    """
    if dose is not None and plan is None:
        raise InputError("a dose is given without its plan; an RTDOSE of a plan must refer to it. Give plan= too")
    ids = study_ids(phantom)
    target = Path(folder)
    with whole_folder(target, overwrite=overwrite) as partial:
        slices = write_ct(partial, phantom.ct, ids, progress) if ct else ()
        structures = None
        if len(phantom.structures) or plan is not None:
            structures = write_structures(partial / "RTSTRUCT.dcm", phantom, ids, with_ct=ct)
        plan_file = None if plan is None else write_plan(partial / "RTPLAN.dcm", phantom, plan, ids)
        dose_file = None
        if dose is not None and plan is not None:
            dose_file = write_dose(partial / "RTDOSE.dcm", dose, ids, plan_uid(ids, plan), bits=dose_bits)
    return DicomSet(
        folder=target,
        ct=tuple(target / p.name for p in slices),
        structures=None if structures is None else target / structures.name,
        plan=None if plan_file is None else target / plan_file.name,
        dose=None if dose_file is None else target / dose_file.name,
    )


def study_ids(phantom: Phantom) -> StudyIds:
    """Identifiers of the set: study and frame of reference of the CT where it has them, else from the content."""
    digest = hashlib.sha256(phantom.ct.hu.tobytes() + repr(phantom.grid).encode())
    for name, s in phantom.structures.items():
        digest.update(repr((name, s.role, s.grid)).encode() + s.coverage.tobytes())
    content = digest.hexdigest()
    ct = phantom.ct
    return StudyIds(
        patient_name=ct.patient_name or f"rtsim^{phantom.name}"[:64],
        patient_id=ct.patient_id or f"rtsim-{phantom.name}"[:64],
        study_uid=ct.study_instance_uid or uid(content, "study"),
        frame_uid=ct.frame_of_reference_uid or uid(content, "frame of reference"),
        content=content,
    )

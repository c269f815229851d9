"""Which RTDOSE of a folder is the dose of a plan: by what they refer to, never by the order of files."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from rtsim.dose.result import Dose
from rtsim.errors import DicomError
from rtsim.io.dicom_dose import read_dose
from rtsim.io.dicom_inventory import DicomInventory, DoseEntry
from rtsim.io.dicom_plan import PlanFile

_WHOLE = ("PLAN", "FRACTION", "unknown")
"""Dose Summation Types of all beams of a plan (PS3.3 C.8.8.3); FRACTION is a whole fraction group."""


def given_dose(inventory: DicomInventory, file: PlanFile, notes: list[str]) -> tuple[Dose | None, str]:
    """The dose of the plan, PLAN or the sum of its BEAM doses; else None, and why there is none to compare.

    Doses that refer to the plan come first; one that refers to no plan is taken when it is the only one.

    Args:
        notes: gets what was left out or taken otherwise.
    """
    try:
        chosen = _of_plan(inventory.doses, file, notes)
        return (_sum(chosen, file, notes), "") if chosen else (None, "")
    except DicomError as error:
        notes.append(f"the RTDOSE is not compared: {error}")
        return None, str(error)


def _of_plan(doses: tuple[DoseEntry, ...], file: PlanFile, notes: list[str]) -> tuple[DoseEntry, ...]:
    """The files whose sum is the dose of the plan.

    Raises:
        DicomError: which they are cannot be told.
    """
    exact = tuple(d for d in doses if d.plan_uid == file.plan_uid)
    loose = tuple(d for d in doses if not d.plan_uid)
    if len(exact) + len(loose) < len(doses):
        notes.append(f"{len(doses) - len(exact) - len(loose)} RTDOSE of other plans left out")
    if not exact and len(loose) == 1:
        notes.append(f"{loose[0].file.name} refers to no plan; the only such RTDOSE, it is taken as that of this plan")
        exact = loose
    elif not exact and loose:
        raise DicomError(f"{_named(loose)} refer to no plan; leave the dose of this plan alone in the folder")
    elif loose:
        notes.append(f"{_named(loose)} left out: no plan is referred to, and others refer to this one")
    whole = [d for d in exact if d.summation in _WHOLE]
    first = next((kind for kind in _WHOLE if any(d.summation == kind for d in whole)), "")
    found = tuple(d for d in whole if d.summation == first)
    if len(found) > 1:
        raise DicomError(f"{_named(found)} are all the dose of this plan; leave the one that counts in the folder")
    if found:
        return found
    beams = tuple(d for d in exact if d.summation == "BEAM")
    if not exact:
        return ()
    if not beams:
        kinds = ", ".join(dict.fromkeys(d.summation for d in exact))
        raise DicomError(f"{_named(exact)} of Dose Summation Type {kinds}; export that of the PLAN")
    _check_beams(beams, file)
    return beams


def _check_beams(doses: tuple[DoseEntry, ...], file: PlanFile) -> None:
    """Whether the doses are those of each treating beam, once."""
    unsaid = tuple(d for d in doses if not d.beams)
    if unsaid:
        raise DicomError(f"{_named(unsaid)} of BEAM do not say of which beam; export the dose of the plan")
    count = Counter(n for d in doses for n in d.beams)
    names = dict(file.beam_names)
    missing = [name for n, name in names.items() if not count[n]]
    if missing:
        raise DicomError(f"the RTDOSE are those of single beams, and lack {', '.join(map(repr, missing))}")
    twice = [names.get(n, f"beam {n}") for n, times in count.items() if times > 1]
    if twice:
        raise DicomError(f"the RTDOSE are those of single beams, and have {', '.join(map(repr, twice))} more than once")


def _sum(chosen: tuple[DoseEntry, ...], file: PlanFile, notes: list[str]) -> Dose:
    doses = [read_dose(d.file, fractions=file.fractions) for d in chosen]
    if any(d.grid != doses[0].grid for d in doses):
        raise DicomError("its beams are on different grids; export the dose of the plan")
    if chosen[0].summation != "PLAN":
        notes.append(f"the given dose is the sum of {len(doses)} RTDOSE of {chosen[0].summation} each")
    total = replace(doses[0], values_gy=np.sum([d.values_gy for d in doses], axis=0))
    if not total.values_gy.any():
        raise DicomError("it is 0 Gy everywhere")
    return total


def _named(doses: tuple[DoseEntry, ...]) -> str:
    return f"{len(doses)} RTDOSE ({', '.join(d.file.name for d in doses)})"

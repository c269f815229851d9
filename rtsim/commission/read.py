"""A folder of measured curves, in any mixture of the formats that are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtsim.commission.curve_files import read_curve
from rtsim.commission.measured import Axis, DepthDose, MeasuredSet, OutputFactors, Profile
from rtsim.commission.tank_files import SUFFIXES, read_tank_file
from rtsim.errors import InputError


def read_measured(folder: Path, *, rfa300_x: Axis | None = None) -> MeasuredSet:
    """All ``.csv``, ``.mcc`` and ``.asc`` files of a folder, sorted by name.

    Points of depth doses above the surface (negative depths) are left out, with a note.

    Args:
        rfa300_x: along what X runs in RFA300 files; needed when there are any with profiles.

    Raises:
        InputError: no such folder, no such files, or two sets of output factors.
        CaseFileError: a file cannot be read; the message names it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that holds the measured curves")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".csv", *SUFFIXES})
    if not paths:
        raise InputError(f"{folder} holds no .csv, .mcc or .asc file; docs/commissioning.md shows the format of curves")
    curves: list[DepthDose | Profile | OutputFactors] = []
    notes: list[str] = []
    for path in paths:
        if path.suffix.lower() == ".csv":
            curves.append(read_curve(path))
        else:
            scans = read_tank_file(path, rfa300_x=rfa300_x)
            curves += scans.curves
            notes += scans.notes
    factors = [c for c in curves if isinstance(c, OutputFactors)]
    if len(factors) > 1:
        raise InputError(
            f"{folder} holds {len(factors)} tables of output factors; put them into one, at one depth and SSD"
        )
    depth_doses = []
    for curve in curves:
        if isinstance(curve, DepthDose):
            wet = curve.depth_mm >= 0.0
            if not wet.all():
                notes.append(f"{curve.name}: {int((~wet).sum())} points above the surface left out")
                curve = replace(curve, depth_mm=curve.depth_mm[wet], value=curve.value[wet])
            depth_doses.append(curve)
    return MeasuredSet(
        depth_doses=tuple(sorted(depth_doses, key=lambda c: c.field_mm)),
        profiles=tuple(
            sorted(
                (c for c in curves if isinstance(c, Profile)),
                key=lambda c: (c.field_mm, c.axis.value, c.depth_mm),
            )
        ),
        output_factors=factors[0] if factors else None,
        notes=tuple(notes),
    )

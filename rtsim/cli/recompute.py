"""``rtsim recompute``: an RTPLAN on its CT again, beside the dose that came with it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rtsim.cli.beam_record import record_of_beam
from rtsim.cli.console import NOT_A_DEVICE, ExitCode, steps, terminal
from rtsim.ct import read_calibration
from rtsim.dose.engine import Engine
from rtsim.dose.engines import engine_named
from rtsim.dose.monte_carlo.model import MonteCarlo
from rtsim.errors import GeometryError, InputError
from rtsim.io.dicom_write import study_ids
from rtsim.io.dicom_write_dose import write_dose
from rtsim.io.files import refuse_existing, whole_folder
from rtsim.io.recompute import recompute
from rtsim.io.recomputed import ACTION_PERCENT, Recomputed
from rtsim.machine import load_machine

UNCERTAINTY_PERCENT = 1.0
"""Of ``--engine monte_carlo``."""


def run_recompute(arguments: argparse.Namespace) -> ExitCode:
    """Read, compute, compare, say, write."""
    if arguments.output is not None:
        refuse_existing(arguments.output, overwrite=arguments.overwrite)
    machines = None if arguments.machine is None else tuple(load_machine(m) for m in arguments.machine)
    calibration = None if arguments.calibration is None else read_calibration(arguments.calibration)
    with steps(quiet=arguments.quiet) as bars, bars.step("recompute") as progress:
        found = recompute(
            arguments.folder,
            machine=machines,
            engine=_engine(arguments),
            plan=arguments.plan,
            series=arguments.series,
            structure_set=arguments.structure_set,
            target=arguments.target,
            calibration=calibration,
            progress=progress,
        )
    if arguments.output is not None:
        _write(arguments.output, found, overwrite=arguments.overwrite)
    console = terminal()
    if arguments.json:
        console.print_json(json.dumps(record(found)))
    else:
        console.print(str(found), markup=False)
        if arguments.output is not None:
            console.print(f"\n{arguments.output}", markup=False)
        console.print(NOT_A_DEVICE, markup=False)
    beyond = found.pass_percent is not None and found.pass_percent < ACTION_PERCENT
    return ExitCode.LIMIT_NOT_HELD if beyond else ExitCode.DONE


def _engine(arguments: argparse.Namespace) -> Engine | None:
    """None: collapsed cone with the spacing that suits the given dose."""
    kind = engine_named(arguments.engine)
    if arguments.spacing is None and arguments.engine == "collapsed_cone":
        return None
    spacing = 2.0 if arguments.spacing is None else arguments.spacing
    if issubclass(kind, MonteCarlo):
        return kind(spacing_mm=spacing, uncertainty_percent=UNCERTAINTY_PERCENT, seed=1)
    return kind(spacing_mm=spacing)


def record(found: Recomputed) -> dict[str, object]:
    """The result as plain data."""
    rx = found.plan.prescription
    return {
        "not_for_clinical_use": True,
        "plan": found.plan.label,
        "plan_uid": found.plan_uid,
        "machines": list(dict.fromkeys(b.machine.name for b in found.plan.beams)),
        "beams": [record_of_beam(b) for b in found.plan.beams],
        "prescription": {
            "target": rx.target,
            "dose_gy": rx.dose_gy,
            "fractions": rx.fractions,
        },
        "engine": found.dose.engine,
        "grid": found.dose.grid.describe(),
        "given": None if found.given is None else found.given.engine,
        "given_grid": None if found.given is None else found.given.grid.describe(),
        "caution": found.caution or None,
        "headline": found.headline,
        "gamma": [
            {"dose_percent": g.dose_percent, "distance_mm": g.distance_mm, "pass_percent": g.pass_percent}
            for g in found.gammas
        ],
        "structures": [asdict(s) for s in found.structures],
        "differences": [asdict(d) | {"percent": d.percent} for d in found.clinical],
        "points": [asdict(p) | {"difference_percent": p.difference_percent} for p in found.points],
        "notes": list(found.notes),
    }


def _write(folder: Path, found: Recomputed, *, overwrite: bool) -> None:
    """RTDOSE, table, JSON; and a picture of the difference where there is one to draw."""
    with whole_folder(folder, overwrite=overwrite) as partial:
        write_dose(partial / "RTDOSE.dcm", found.dose, study_ids(found.phantom), found.plan_uid)
        (partial / "recomputed.txt").write_text(f"{found}\n\n{NOT_A_DEVICE}\n", encoding="utf-8")
        (partial / "recomputed.json").write_text(json.dumps(record(found), indent=1) + "\n", encoding="utf-8")
        picture = _picture(found)
        if picture is not None:
            (partial / "difference.png").write_bytes(picture)


def _picture(found: Recomputed) -> bytes | None:
    """Recomputed minus given on the slice of the isocenter; None without a given dose or a target."""
    if found.given is None or found.plan.prescription.target not in found.phantom.structures:
        return None
    from rtsim.view.check_picture import (
        GIVEN_AND_RECOMPUTED,
        check_picture,
    )  # matplotlib is loaded only where something is drawn

    at = found.plan.beams[0].isocenter_mm
    try:
        return check_picture(
            found.phantom, found.given, found.dose, found.plan.prescription, at_mm=at, names=GIVEN_AND_RECOMPUTED
        ).png
    except (GeometryError, InputError):
        return None

"""``rtsim info``: what a DICOM folder holds, contour by skipped contour; or what comes bundled with rtsim."""

from __future__ import annotations

import textwrap
from pathlib import Path

from rich.console import Console

from rtsim import machine, protocol
from rtsim.biology import histology_names
from rtsim.cli.console import ExitCode, terminal
from rtsim.io.case import Case, case_names, load_case
from rtsim.io.case_phantom import SpineRecipe
from rtsim.io.dicom_inventory import scan_dicom
from rtsim.phantom.spine import LEVELS, Compartment, SpineSpec
from rtsim.protocol import load_protocol


def info(folder: Path | None) -> ExitCode:
    """Print the inventory of ``folder``, or the bundled cases, machines, protocols and histologies."""
    console = terminal()
    if folder is not None:
        for line in scan_dicom(folder).describe():
            console.print(line, markup=False)
        return ExitCode.DONE
    _cases(console)
    console.print("\nprotocols (--protocol NAME, --dose GY, --cord-limits SET):")
    for name in protocol.names():
        p = load_protocol(name)
        levels = ", ".join(f"{level} (default)" if level.default else str(level) for level in p.dose_levels)
        sets = ", ".join(c.name for c in p.cord_limits)
        console.print(f"  {name:<34}{levels}; cord limits: {p.cord_limits_name} (of {sets})", markup=False)
    console.print(f"\nmachines (--machine NAME): {', '.join(machine.names())}", markup=False)
    console.print(f"\nhistologies (--histology NAME): {', '.join(histology_names())}", markup=False)
    return ExitCode.DONE


def _cases(console: Console) -> None:
    """Spines from head to foot, one line each and what they are below it; then what is not a spine."""
    cases = [load_case(name) for name in case_names()]
    spines = [(case, case.recipe.spec) for case in cases if isinstance(case.recipe, SpineRecipe)]
    console.print("spine cases (rtsim run NAME -o out), from head to foot:")
    for case, spec in sorted(spines, key=lambda pair: (LEVELS.index(pair[1].level), pair[0].name)):
        tumor = case.histology or "not said"
        line = (
            f"  {case.name:<31} {spec.level:<4}{_extent(spec):<15}{tumor:<21}{_schedule(case):<26}{_also(case, spec)}"
        )
        console.print(line.rstrip(), markup=False, soft_wrap=True)
        for part in textwrap.wrap(case.description, max(console.width - 7, 40)):
            console.print(f"      {part}", markup=False, style="dim")
    console.print("\nother cases:")
    for case in cases:
        if not isinstance(case.recipe, SpineRecipe):
            console.print(
                f"  {case.name:<31} {'' if case.protocol or case.goals else '(dose only) '}{case.description}",
                markup=False,
            )


def _extent(spec: SpineSpec) -> str:
    if spec.compartment is Compartment.EXTRADURAL:
        return f"ESCC {spec.epidural.value}"
    return {Compartment.INTRAMEDULLARY: "in the cord"}.get(spec.compartment, "in the dura")


def _schedule(case: Case) -> str:
    if case.prescription is None:
        return "dose only"
    technique = "" if case.beams.technique is None else f", {case.beams.technique.value}"
    return f"{case.prescription.dose_gy:g}/{case.prescription.fractions}{technique}"


def _also(case: Case, spec: SpineSpec) -> str:
    """What makes it different from a spine that nobody touched."""
    words = []
    implants = spec.hardware
    if implants is not None:
        parts = ["screws"] * bool(implants.screws) + ["cage"] * implants.cage
        if parts:
            words.append(f"{implants.material.value.replace('_', '-')} {' and '.join(parts)}")
        words += ["cement"] * implants.cement + ["streaks"] * implants.artefact
    words += ["collapsed"] * (spec.collapse_percent > 0) + ["irradiated before"] * (case.previous is not None)
    return ", ".join(words)

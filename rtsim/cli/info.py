"""``rtsim info``: what a DICOM folder holds, contour by skipped contour; or what comes bundled with rtsim."""

from __future__ import annotations

from pathlib import Path

from rtsim import machine, protocol
from rtsim.biology import histology_names
from rtsim.cli.console import ExitCode, terminal
from rtsim.io.case import case_names, load_case
from rtsim.io.dicom_inventory import scan_dicom
from rtsim.protocol import load_protocol


def info(folder: Path | None) -> ExitCode:
    """Print the inventory of ``folder``, or the bundled cases, machines, protocols and histologies."""
    console = terminal()
    if folder is not None:
        for line in scan_dicom(folder).describe():
            console.print(line, markup=False)
        return ExitCode.DONE
    console.print("cases (rtsim run NAME -o out):")
    for name in case_names():
        case = load_case(name)
        console.print(f"  {name:<34}{'' if case.protocol else '(dose only) '}{case.description}", markup=False)
    console.print("\nprotocols (--protocol NAME, --dose GY, --cord-limits SET):")
    for name in protocol.names():
        p = load_protocol(name)
        levels = ", ".join(f"{level} (default)" if level.default else str(level) for level in p.dose_levels)
        sets = ", ".join(c.name for c in p.cord_limits)
        console.print(f"  {name:<34}{levels}; cord limits: {p.cord_limits_name} (of {sets})", markup=False)
    console.print(f"\nmachines (--machine NAME): {', '.join(machine.names())}", markup=False)
    console.print(f"\nhistologies (--histology NAME): {', '.join(histology_names())}", markup=False)
    return ExitCode.DONE

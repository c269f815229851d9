"""The command line of ``rtsim recompute``, without what it needs to run: ``rtsim --help`` must not wait for numba."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_recompute(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of the command."""
    verb = commands.add_parser(
        "recompute", help="compute the RTPLAN of a folder on its CT again, and compare with its RTDOSE"
    )
    verb.add_argument("folder", type=Path, help="with CT and RTPLAN; RTSTRUCT and RTDOSE where there are any")
    verb.add_argument("-o", "--output", type=Path, help="folder to write: dose, table, JSON and pictures")
    verb.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    verb.add_argument(
        "--machine",
        action="append",
        help="machine by name or TOML file, where the plan names none of rtsim; several for several energies",
    )
    verb.add_argument("--engine", default="collapsed_cone", help="collapsed_cone (default), monte_carlo or pencil_beam")
    verb.add_argument(
        "--spacing",
        type=float,
        metavar="MM",
        help="dose grid spacing (default: collapsed cone as the RTDOSE, held between 1.5 and 3 mm, or 2 mm without "
        "one; other engines 2 mm)",
    )
    verb.add_argument("--plan", help="label, name, file name or UID of the plan, when the folder holds several")
    verb.add_argument("--series", help="SeriesInstanceUID, when the folder holds several CT series")
    verb.add_argument("--structure-set", help="file name or UID, when the folder holds several structure sets")
    verb.add_argument("--target", help="structure that is treated (default: what the plan says)")
    verb.add_argument("--calibration", type=Path, help="HU to density curve (CSV or TOML)")
    verb.add_argument("--json", action="store_true", help="print the result as JSON instead of tables")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")

"""The options of ``rtsim compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

_EXAMPLES = """examples:
  rtsim compare spine_t8_epidural -o out/compare
  rtsim compare spine_t8_epidural --with 30/10,24/2,27/3,24x1 -o out/compare
  rtsim compare spine_t8_epidural --histology melanoma -o out/melanoma

Several cases stand one below the other, with what differs between them: twins that differ in one thing only show what
that thing does. Ctrl-C ends everything, and nothing is written."""


def add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    compare = commands.add_parser(
        "compare",
        help="the same patient under several dose schemes, side by side: what the tumor gets, what the cord pays",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("cases", nargs="+", metavar="CASE", help="a bundled case by name, or a TOML file")
    compare.add_argument(
        "--with",
        dest="schemes",
        default="conventional,stereotactic",
        metavar="SCHEMES",
        help="separated by commas: conventional (8x1, 20/5, 30/10), stereotactic (24/2, 24x1), total/fractions, "
        "dose of a fraction x fractions (24x1), or a protocol with its dose (spine_sbrt_5fx:30); default: "
        "conventional,stereotactic",
    )
    compare.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    compare.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    compare.add_argument("--keep-plans", action="store_true", help="write each plan's own folder, too, as 'rtsim run'")
    compare.add_argument("--histology", metavar="NAME", help="of the tumor (default: of the case)")
    compare.add_argument(
        "--cord-limits", metavar="SET", help="e.g. hytec; several for protocols that hold different ones: quantec,tg101"
    )
    compare.add_argument("--spacing", type=float, metavar="MM", help="dose grid, 0.5 to 5 (default as in 'rtsim run')")
    compare.add_argument("--seed", type=int, default=1, help="of voxel sampling (default 1)")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON instead of a table")
    compare.add_argument("--quiet", action="store_true", help="no progress bar")

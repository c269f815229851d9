"""The options of ``rtsim run``, in groups: what is treated, how it is planned, delivered and checked."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtsim.cli.choices import (
    CHECK_ENGINES,
    CHECK_UNCERTAINTY_PERCENT,
    DEFAULT_ARCS,
    DELIVERIES,
    EMERGENCY_POINTS,
    EMERGENCY_PROTOCOL,
    MOST_ARCS,
)

_EXAMPLES = """examples:
  rtsim run spine_t8_epidural -o out
  rtsim run spine_t8_epidural --delivery arc --arcs 2 --tradeoff -o out
  rtsim run --dicom CT --target PTV --protocol spine_sbrt_2fx --cord-limits hytec -o out
  rtsim run spine_t8_epidural --emergency -o out
  rtsim run spine_t8_epidural --previous 30/10 --months-ago 8 -o out

Ctrl-C while a stereotactic plan is optimized ends the search: the best plan so far is finished, certified and written.
A second Ctrl-C ends everything, and nothing is written."""


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    run = commands.add_parser(
        "run",
        help="plan a case: from CT to a graded plan, a report and a DICOM set",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("case", nargs="?", help="a bundled case by name, or a TOML file")
    run.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    run.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    run.add_argument("--quiet", action="store_true", help="no progress bars")
    _add_patient(run.add_argument_group("the patient"))
    _add_prescription(run.add_argument_group("what is wanted"))
    _add_previous(run.add_argument_group("a previous course"))
    _add_stereotactic(run.add_argument_group("stereotactic plans"))
    _add_conventional(run.add_argument_group("conventional plans"))
    _add_emergency(run.add_argument_group("emergency fields"))
    _add_dose(run.add_argument_group("dose and check"))


def _add_patient(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dicom", type=Path, metavar="FOLDER", help="plan on this CT series and RTSTRUCT")
    group.add_argument("--series", metavar="UID", help="SeriesInstanceUID, when the folder holds several CT series")
    group.add_argument(
        "--structure-set", metavar="NAME", help="file name or UID, when the folder holds several structure sets"
    )
    group.add_argument("--target", metavar="NAME", help="structure to treat; for --dicom")
    group.add_argument("--cord", metavar="NAME", help="structure that is the spinal cord, when its name does not tell")
    group.add_argument("--calibration", type=Path, metavar="FILE", help="HU to density curve (CSV or TOML)")
    group.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="STRUCTURE=G_CM3",
        help="density override of a structure, e.g. Screw=4.43; may be given several times",
    )


def _add_prescription(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--protocol", metavar="NAME", help="protocol by name or TOML file, e.g. spine_sbrt_2fx")
    group.add_argument("--dose", type=float, metavar="GY", help="one of the protocol's dose levels")
    group.add_argument(
        "--fractions",
        type=int,
        metavar="N",
        help="with --dose: another scheme of the same technique, with limits for that number of fractions",
    )
    group.add_argument("--cord-limits", metavar="SET", help="one of the protocol's sets of cord limits, e.g. hytec")
    group.add_argument(
        "--machine",
        metavar="NAME",
        help="machine by name or TOML file (default: of the case, or generic_6fff / generic_6x)",
    )
    group.add_argument("--histology", metavar="NAME", help="of the tumor, for TCP and for judging the dose, e.g. renal")


def _add_previous(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--previous",
        metavar="WHAT",
        help="an earlier course to this level, whose rest is the cord's hard limit: a scheme that the cord got (30/10, "
        "8x1), or an RTDOSE file or folder; 'none' leaves out that of the case",
    )
    group.add_argument("--months-ago", type=float, metavar="M", help="from its end to today; needed with --previous")
    group.add_argument(
        "--previous-percent", type=float, metavar="P", help="of a scheme: how much of it the cord got (default 100)"
    )
    group.add_argument(
        "--previous-fractions", type=int, metavar="N", help="of an RTDOSE, where no RTPLAN beside it says so"
    )
    group.add_argument(
        "--shift",
        metavar="X,Y,Z",
        help="mm along LPS that bring the old dose to today's CT; says that you registered them, and is needed where "
        "their frames of reference differ. Write --shift=-2,0,1 where the first number is negative",
    )


def _add_stereotactic(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--delivery", choices=DELIVERIES, help=f"technique of delivery (default: of the case, or {DELIVERIES[0]})"
    )
    group.add_argument(
        "--arcs",
        type=int,
        metavar="N",
        help=f"how many arcs, 1 to {MOST_ARCS}, with --delivery arc (default {DEFAULT_ARCS})",
    )
    group.add_argument(
        "--scenarios",
        metavar="SET",
        help="where the patient may lie: the cord's hard limits hold there, too; e.g. 1mm,1deg (each way; the "
        "default), 2mm, or none",
    )
    group.add_argument(
        "--tradeoff",
        action="store_true",
        help="draw what other cord limits would leave of the target's coverage (pictures/tradeoff.png, and in the "
        "report); done by itself where a plan does not reach the coverage wanted",
    )


def _add_conventional(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fields",
        choices=["pa", "ap_pa", "pa_obliques", "laterals"],
        help="arrangement (default: of the case, or pa_obliques)",
    )
    group.add_argument(
        "--subfields",
        type=int,
        metavar="N",
        help="segments that a field may have beside its open one (field-in-field), 0 to 10 (default 3)",
    )


def _add_emergency(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--emergency",
        action="store_true",
        help=f"open PA (or --fields ap_pa) fields with monitor units, in one step; protocol {EMERGENCY_PROTOCOL} "
        "unless --protocol says otherwise",
    )
    group.add_argument(
        "--at",
        choices=EMERGENCY_POINTS,
        help="what the dose is prescribed to on the axis (default: PA vertebral_body, AP/PA midplane)",
    )
    group.add_argument("--depth", type=float, metavar="MM", help="below the posterior skin, instead of --at")
    group.add_argument(
        "--levels", type=int, metavar="N", help="vertebrae above and below in the field (default 1, where drawn)"
    )
    group.add_argument(
        "--margin", type=float, metavar="MM", help="from the target to the field edge (default 7 from a PTV)"
    )
    group.add_argument(
        "--field", type=float, nargs=2, metavar=("ACROSS", "ALONG"), help="field size in mm, instead of a margin"
    )


def _add_dose(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--spacing", type=float, metavar="MM", help="dose grid, 0.5 to 5 (default 2 stereotactic, 2.5 conventional)"
    )
    group.add_argument("--seed", type=int, default=1, help="of voxel sampling and of the check (default 1)")
    group.add_argument(
        "--check",
        choices=CHECK_ENGINES,
        help="compute the final plan again with this engine, grade it again and compare: do the hard limits hold there "
        "too? A limit that is broken there ends in exit status 3",
    )
    group.add_argument(
        "--check-uncertainty",
        type=float,
        metavar="PERCENT",
        help="statistical uncertainty of the check: one standard deviation, mean of the voxels above half the maximum "
        f"(default {CHECK_UNCERTAINTY_PERCENT:g})",
    )

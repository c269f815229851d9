"""The options of ``rtsim advise``."""

from __future__ import annotations

import argparse
from typing import Final

COLLAPSE_WORDS: Final = ("none", "half_involved", "less_than_half", "more_than_half")
"""What --collapse takes, in the order of points."""

_EXAMPLES = """examples:
  rtsim advise spine_t8_epidural
  rtsim advise spine_t8_epidural --pain mechanical --unfit-for-surgery
  rtsim advise DICOM_FOLDER --histology breast --level T8 --json

What is not given is taken from the case, else measured from the CT and the drawn structures, else assumed; the answer
says which. It teaches; it does not treat."""


def add_advise(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    verb = commands.add_parser(
        "advise",
        help="which treatment: ESCC and SINS of a case or a DICOM folder, NOMS, schedules, and why",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("case", help="a bundled case by name, a TOML file, or a DICOM folder with CT and RTSTRUCT")
    verb.add_argument("--histology", metavar="NAME", help="of the tumor, e.g. renal (default: of the case)")
    verb.add_argument("--scheme", default="noms", metavar="NAME", help="classes of radiosensitivity: noms or stated")
    verb.add_argument("--level", metavar="NAME", help="of the lesion, e.g. T8 (default: the vertebra that holds it)")
    verb.add_argument(
        "--gtv", action="append", default=[], metavar="NAME", help="structure that is tumor; may be given several times"
    )
    verb.add_argument("--series", metavar="UID", help="SeriesInstanceUID, when the folder holds several CT series")
    verb.add_argument(
        "--structure-set", metavar="NAME", help="file name or UID, when the folder holds several structure sets"
    )
    verb.add_argument("--json", action="store_true", help="print everything as JSON instead of a page")
    _add_patient(verb.add_argument_group("the patient"))
    _add_read(verb.add_argument_group("read from images by a person: goes before what is measured"))


def _add_patient(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--pain", choices=["mechanical", "occasional", "none"])
    fit = group.add_mutually_exclusive_group()
    fit.add_argument("--fit-for-surgery", dest="fit", action="store_true", default=None)
    fit.add_argument("--unfit-for-surgery", dest="fit", action="store_false", default=None)
    group.add_argument("--survival-months", type=float, metavar="N", help="expected survival")
    deficit = group.add_mutually_exclusive_group()
    deficit.add_argument(
        "--myelopathy", dest="myelopathy", action="store_true", default=None, help="signs of cord or cauda compression"
    )
    deficit.add_argument("--no-myelopathy", dest="myelopathy", action="store_false", default=None)
    group.add_argument("--paralysis-hours", type=float, metavar="N", help="since walking was lost")
    group.add_argument("--irradiated-before", action="store_true", default=None, help="this level had radiotherapy")


def _add_read(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--alignment", choices=["normal", "deformity", "subluxation"])
    group.add_argument("--lesion", choices=["lytic", "mixed", "blastic"])
    group.add_argument("--collapse", choices=COLLAPSE_WORDS)
    group.add_argument("--posterolateral", choices=["none", "unilateral", "bilateral"])
    group.add_argument("--escc", choices=["0", "1a", "1b", "1c", "2", "3"], help="grade of epidural compression")
    group.add_argument(
        "--stability",
        choices=["stable", "potentially_unstable", "unstable"],
        help="a surgeon's judgement; goes before SINS",
    )
    group.add_argument("--compartment", choices=["extradural", "intradural_extramedullary", "intramedullary"])

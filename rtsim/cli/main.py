"""``rtsim``: parse the command line, do the work, turn errors into messages and exit codes."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from rtsim import __version__
from rtsim.cli.advise_arguments import add_advise
from rtsim.cli.compare_arguments import add_compare
from rtsim.cli.console import NOT_A_DEVICE, ExitCode, errors, exit_code_of
from rtsim.cli.recompute_arguments import add_recompute
from rtsim.cli.run_arguments import add_run
from rtsim.errors import RtsimError


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    codes = "exit status: " + ", ".join(f"{c.value} {c.name.lower().replace('_', ' ')}" for c in ExitCode)
    top = argparse.ArgumentParser(
        prog="rtsim", description=f"Spine radiotherapy planning simulator. {NOT_A_DEVICE}", epilog=codes
    )
    top.add_argument("--version", action="version", version=f"rtsim {__version__}")
    top.add_argument("--verbose", action="store_true", help="log what is being done; show tracebacks")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_run(commands)
    add_compare(commands)
    add_advise(commands)
    info = commands.add_parser("info", help="what a DICOM folder holds; or the bundled cases, machines and protocols")
    info.add_argument("folder", type=Path, nargs="?", help="a DICOM folder; left out: list what is bundled")
    phantom = commands.add_parser("phantom", help="write a case as a DICOM CT series and RTSTRUCT")
    phantom.add_argument("case", help="a bundled case by name, or a TOML file")
    phantom.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    phantom.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    view = commands.add_parser("view", help="open a case or a result of 'rtsim run' in 3-D, or save the picture")
    view.add_argument("what", help="a case, an output folder of 'rtsim run', or a DICOM folder")
    view.add_argument(
        "--structure-set", metavar="NAME", help="file name or UID, when the folder holds several structure sets"
    )
    view.add_argument("--save", type=Path, help="write a PNG instead of opening a window")
    add_recompute(commands)
    _add_commission(commands)
    commands.add_parser(
        "bench", help="run the benchmark tables (needs a checkout of the repository); 'rtsim bench --help': its options"
    )
    return top


def _add_commission(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = commands.add_parser("commission", help="fit a machine to measured depth doses, profiles and output factors")
    verb.add_argument("measured", type=Path, help="folder of curves: .csv, .mcc, .asc (docs/commissioning.md)")
    verb.add_argument("-o", "--output", type=Path, required=True, help="machine file to write, .toml")
    verb.add_argument("--overwrite", action="store_true", help="replace the file when it is there")
    verb.add_argument("--base", default="generic_6x", help="machine that gives what is not fitted (default generic_6x)")
    verb.add_argument("--energy", type=float, metavar="MV", help="largest photon energy (default: nominal of the base)")
    verb.add_argument("--accept-asymmetry", action="store_true", help="fit the mean of both sides of tilted profiles")
    verb.add_argument("--rfa300-x", choices=["crossline", "inline"], help="along what X runs in RFA300 (.asc) files")
    verb.add_argument("--json", action="store_true", help="print the result as JSON instead of a table")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")


class Terminated(SystemExit):
    """The run is to end (SIGTERM).

    Not a KeyboardInterrupt: a Monte Carlo dose answers that one with what it has, and the work would go on.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (see :class:`ExitCode`)."""
    own, handed_on = _split(sys.argv[1:] if argv is None else list(argv))
    arguments = parser().parse_args(own)
    if threading.current_thread() is threading.main_thread():
        # A scheduler that ends the run (SIGTERM) must leave no half file either.
        signal.signal(signal.SIGTERM, _terminate)
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(name)s: %(message)s")
    try:
        return int(_dispatch(arguments, handed_on))
    except KeyboardInterrupt:
        errors().print("interrupted; nothing half-written is left", markup=False)
        return ExitCode.INTERRUPTED
    except Terminated:
        errors().print("ended by SIGTERM; nothing half-written is left", markup=False)
        return ExitCode.INTERRUPTED
    except RtsimError as error:
        if arguments.verbose:
            logging.getLogger(__name__).exception("the work stopped")
        errors().print(f"rtsim: {error}", markup=False)
        return exit_code_of(error)


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """(arguments of rtsim, arguments that ``bench`` hands on): argparse would take options behind it for its own."""
    command = next((n for n, word in enumerate(argv) if not word.startswith("-")), len(argv))
    if argv[command : command + 1] != ["bench"]:
        return argv, []
    return argv[: command + 1], argv[command + 1 :]


def _terminate(*_: object) -> None:
    raise Terminated(ExitCode.INTERRUPTED)


def _dispatch(arguments: argparse.Namespace, handed_on: Sequence[str]) -> ExitCode:
    # Each command is imported when it is called: `rtsim --help` must not wait for numba or VTK.
    if arguments.command == "run":
        from rtsim.cli.run import run

        return run(arguments)
    if arguments.command == "compare":
        from rtsim.cli.compare import compare

        return compare(arguments)
    if arguments.command == "advise":
        from rtsim.cli.advise import advise

        return advise(arguments)
    if arguments.command == "info":
        from rtsim.cli.info import info

        return info(arguments.folder)
    if arguments.command == "phantom":
        from rtsim.cli.phantom import write_phantom

        return write_phantom(arguments.case, arguments.output, overwrite=arguments.overwrite)
    if arguments.command == "view":
        from rtsim.cli.view import view

        return view(arguments.what, arguments.save, arguments.structure_set)
    if arguments.command == "recompute":
        from rtsim.cli.recompute import run_recompute

        return run_recompute(arguments)
    if arguments.command == "commission":
        from rtsim.cli.commission import commission

        return commission(arguments)
    from rtsim.cli.bench import bench

    return bench(handed_on)


if __name__ == "__main__":
    sys.exit(main())

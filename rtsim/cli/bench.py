"""``rtsim bench``: the benchmark tables of the repository."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import rtsim
from rtsim.cli.console import ExitCode
from rtsim.errors import InputError


def bench(arguments: Sequence[str]) -> ExitCode:
    """Run ``python -m benchmarks`` of the checkout that this rtsim lies in; its options are in ``arguments``.

    Returns:
        DONE; BAD_INPUT where the benchmarks refused an option or know no such case; UNEXPECTED where a goal was missed.

    Raises:
        InputError: rtsim was installed without its repository.
    """
    root = Path(rtsim.__file__).resolve().parent.parent
    if importlib.util.find_spec("benchmarks") is None and not (root / "benchmarks" / "__main__.py").is_file():
        raise InputError(
            "the benchmarks are not installed with the package; clone the repository and run 'rtsim bench' there"
        )
    done = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], cwd=root, check=False)
    if done.returncode == ExitCode.BAD_INPUT:
        return ExitCode.BAD_INPUT
    return ExitCode.DONE if done.returncode == 0 else ExitCode.UNEXPECTED

"""The terminal: progress bars, tables, exit codes. The only place of rtsim that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rtsim import typing as rtyping
from rtsim.errors import OutputExistsError, ResourceError, RtsimError

NOT_A_DEVICE = "rtsim simulates and teaches. It is not a medical device: never treat a patient by what it prints."


class ExitCode(IntEnum):
    """What the exit status of ``rtsim`` means."""

    DONE = 0
    """The work is done; every hard limit holds, and none is broken in the dose of --check."""
    UNEXPECTED = 1
    """A fault of rtsim: please report it."""
    BAD_INPUT = 2
    """Something given was not allowed, or cannot be computed; the message says what and what to do. When that happens
    in --check, the plan is written without it."""
    LIMIT_NOT_HELD = 3
    """A plan was written, and a hard limit does not hold in its delivered dose, or not in that of --check."""
    NOT_ENOUGH_MEMORY = 4
    """The work needs more memory than there is; the message says how much. When --check does, the plan is written
    without it."""
    OUTPUT_EXISTS = 5
    """The output folder holds a result already, and --overwrite was not given."""
    INTERRUPTED = 130
    """Ctrl-C, or ended by a scheduler (SIGTERM): no half file is left. Ctrl-C in --check: the plan is written without
    the check, or with what the check had by then (then the limits decide)."""


def exit_code_of(error: RtsimError) -> ExitCode:
    """What an error means for the exit status."""
    if isinstance(error, ResourceError):
        return ExitCode.NOT_ENOUGH_MEMORY
    return ExitCode.OUTPUT_EXISTS if isinstance(error, OutputExistsError) else ExitCode.BAD_INPUT


class _Output(Console):
    """Standard output; a reader that stops reading (``| head``) does not change the exit status of the work."""

    def on_broken_pipe(self) -> None:
        """Send the rest nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminal() -> Console:
    """The console for results (standard output)."""
    return _Output(highlight=False, soft_wrap=True)


def errors() -> Console:
    """The console for errors and progress (standard error)."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


class Steps:
    """Named steps of a long work, each with its own bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def step(self, title: str) -> Iterator[rtyping.Progress]:
        """A bar for one step; yields the callback that fills it."""
        task = self._progress.add_task(title, total=1.0, detail="")

        def update(fraction: float, detail: str) -> None:
            self._progress.update(task, completed=min(max(fraction, 0.0), 1.0), detail=detail[:60])

        yield update
        self._progress.update(task, completed=1.0, detail="")


@contextmanager
def steps(*, quiet: bool) -> Iterator[Steps]:
    """Progress bars on standard error; none when ``quiet``."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", style="dim"),
    )
    with Progress(*columns, console=errors(), disable=quiet) as progress:
        yield Steps(progress)

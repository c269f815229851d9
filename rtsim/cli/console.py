"""The terminal: progress bars, tables, exit codes. The only place of rtsim that prints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

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
    """A plan was written, and a hard limit does not hold in its delivered dose, or not in that of --check. Of ``rtsim
    recompute``: fewer than 90 % of the voxels agree with the given dose within gamma 3 %/2 mm."""
    NOT_ENOUGH_MEMORY = 4
    """The work needs more memory than there is; the message says how much. When --check does, the plan is written
    without it."""
    OUTPUT_EXISTS = 5
    """The output folder holds a result already, and --overwrite was not given."""
    NOT_DELIVERABLE = 6
    """A plan was written whose hard limits hold, but the machine cannot deliver it as it is; the report and the last
    lines say why. Where a limit does not hold either, the status is 3."""
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


_REFRESH_HZ: Final = 4
"""Often enough to watch, too seldom to flicker."""
_LOG_SECONDS: Final = 10.0
"""Between two lines where there is no terminal to draw on (a log file)."""


class _Display(Progress):
    """Bars, and below them one line on what is going on: a long text neither wraps nor pushes the bars about."""

    line = ""
    notice = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for text, style in ((self.line, "dim"), (self.notice, "bold")):
            if text:
                yield Text(f"  {text}", style=style, no_wrap=True, overflow="ellipsis")


class Steps:
    """Named steps of a long work, each with its own bar."""

    def __init__(self, display: _Display) -> None:
        self._display = display
        self._logged = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[rtyping.Progress]:
        """A bar for one step; yields the callback that fills it and says what is going on."""
        task = self._display.add_task(title, total=1.0)

        def update(fraction: float, detail: str) -> None:
            self._display.update(task, completed=min(max(fraction, 0.0), 1.0))
            self._display.line = detail
            self._log(f"{title} {100 * fraction:.0f} %: {detail}")

        try:
            yield update
            self._display.update(task, completed=1.0)
        finally:
            self._display.line = self._display.notice = ""

    def say(self, text: str) -> None:
        """Print a sentence above the bars; with ``quiet``, too."""
        self._display.console.print(text, markup=False)

    def notice(self, text: str) -> None:
        """A line that stays below the bars until the step ends. Safe to call from a signal handler."""
        self._display.notice = text

    def _log(self, text: str) -> None:
        """A line now and then, where bars cannot be drawn."""
        if self._display.disable or self._display.console.is_terminal:
            return
        if time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            self._display.console.print(text, markup=False)


@contextmanager
def steps(*, quiet: bool) -> Iterator[Steps]:
    """Progress bars on standard error; none when ``quiet``."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with _Display(*columns, console=errors(), disable=quiet, refresh_per_second=_REFRESH_HZ) as display:
        yield Steps(display)

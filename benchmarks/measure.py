"""How long a call or a command takes, and how much memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.row import ROOT


@dataclass(frozen=True)
class Timing:
    """Seconds of the first call and the median of the following ones."""

    first_s: float
    warm_median_s: float


def time_call(call: Callable[[], object], repeats: int = 3) -> Timing:
    """Time a call once cold and ``repeats`` times warm."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    warm = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        warm.append(time.perf_counter() - start)
    return Timing(first, statistics.median(warm))


@dataclass(frozen=True)
class CommandRun:
    """One finished process."""

    seconds: float
    peak_rss_mb: float
    exit_code: int
    output: str


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> CommandRun:
    """Run a command in the repository; wall seconds and the peak memory of its largest process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(command),
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return CommandRun(time.perf_counter() - start, usage.ru_maxrss / 1024.0, process.returncode, output)

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
    """Wall and CPU seconds of the first call, and of the following ones."""

    first_s: float
    first_cpu_s: float
    warm_s: tuple[float, ...]
    warm_cpu_s: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of warm calls."""
        return len(self.warm_s)

    @property
    def warm_median_s(self) -> float:
        """Median wall seconds of the warm calls."""
        return statistics.median(self.warm_s)

    @property
    def cpu_s(self) -> float:
        """Median CPU seconds of the warm calls, all threads together: what other work on the machine hardly changes."""
        return statistics.median(self.warm_cpu_s)

    @property
    def least_s(self) -> float:
        """Wall seconds of the quickest warm call."""
        return min(self.warm_s)

    @property
    def least_cpu_s(self) -> float:
        """CPU seconds of the warm call that took least of it."""
        return min(self.warm_cpu_s)


def time_call(call: Callable[[], object], repeats: int = 3) -> Timing:
    """Time a call once cold and ``repeats`` times warm."""
    start, begun = time.perf_counter(), time.process_time()
    call()
    first, first_cpu = time.perf_counter() - start, time.process_time() - begun
    warm, cpu = [], []
    for _ in range(repeats):
        start, begun = time.perf_counter(), time.process_time()
        call()
        warm.append(time.perf_counter() - start)
        cpu.append(time.process_time() - begun)
    return Timing(first, first_cpu, tuple(warm), tuple(cpu))


@dataclass(frozen=True)
class CommandRun:
    """One finished process."""

    seconds: float
    cpu_s: float
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
    cpu = usage.ru_utime + usage.ru_stime
    return CommandRun(time.perf_counter() - start, cpu, usage.ru_maxrss / 1024.0, process.returncode, output)

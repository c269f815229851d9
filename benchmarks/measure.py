"""How long a call or a command takes, and how much memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numba

from benchmarks.row import ROOT, Row, peak_rss_mb
from rtsim.dose import CollapsedCone


@dataclass(frozen=True)
class Timing:
    """Wall seconds of the first call (None where that was not timed), wall and CPU seconds of the following ones."""

    first_s: float | None
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
    first = time_warm(call).least_s
    warm = [time_warm(call) for _ in range(repeats)]
    return Timing(first, tuple(w.least_s for w in warm), tuple(w.least_cpu_s for w in warm))


def time_warm(call: Callable[[], object]) -> Timing:
    """Time one call, of what is warm already."""
    start, begun = time.perf_counter(), time.process_time()
    call()
    return Timing(None, (time.perf_counter() - start,), (time.process_time() - begun,))


def dose_row(case: str, table: str, engine: CollapsedCone, timing: Timing, *, limit_s: float, note: str) -> Row:
    """The row of a dose that took so long on all threads, beside the seconds that it may take when warm."""
    return Row(
        case=case,
        table=table,
        engine=engine.describe(),
        spacing_mm=engine.spacing_mm,
        threads=numba.get_num_threads(),
        first_call_s=timing.first_s,
        warm_median_s=timing.warm_median_s,
        cpu_s=timing.cpu_s,
        peak_rss_mb=peak_rss_mb(),
        goal=f"warm <= {limit_s:g} s",
        met=timing.warm_median_s <= limit_s,
        note=note,
    )


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

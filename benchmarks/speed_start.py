"""Speed of the beginning: import, the kernels' first call, and the demo from an empty kernel cache and again."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numba

from benchmarks.measure import CommandRun, run_command
from benchmarks.row import Row

COMPILE_GOAL_S: Final = 30.0


def import_rows() -> Iterator[Row]:
    """``import rtsim``, less the start of Python."""
    run_command([sys.executable, "-c", "import rtsim"])
    seconds = min(run_command([sys.executable, "-c", "import rtsim"]).seconds for _ in range(3))
    bare = min(run_command([sys.executable, "-c", "pass"]).seconds for _ in range(3))
    yield Row(
        case="import",
        table="start",
        value=seconds - bare,
        unit="s",
        goal="< 1 s",
        met=seconds - bare < 1.0,
        note="import rtsim, less the start of Python",
    )


def first_call_rows() -> Iterator[Row]:
    """A small plan in a process of its own, twice with one cache that was empty: the difference is compiling."""
    command = [sys.executable, "-m", "benchmarks.first_call"]
    with tempfile.TemporaryDirectory() as cache:
        first, second = (run_command(command, {"NUMBA_CACHE_DIR": cache}) for _ in range(2))
    row = Row(case="first_call", table="start", threads=numba.get_num_threads(), goal=f"<= {COMPILE_GOAL_S:g} s")
    found = [re.search(r"seconds ([\d.]+) kernels (\d+)", run.output) for run in (first, second)]
    if found[0] is None or found[1] is None or first.exit_code or second.exit_code:
        yield replace(row, met=False, note=f"failed: {(first.output + second.output).strip()[-300:]}")
        return
    compiling = float(found[0][1]) - float(found[1][1])
    yield replace(
        row,
        first_call_s=float(found[0][1]),
        warm_median_s=float(found[1][1]),
        cpu_s=first.cpu_s - second.cpu_s,
        peak_rss_mb=first.peak_rss_mb,
        value=compiling,
        unit="s of compiling",
        met=compiling <= COMPILE_GOAL_S,
        note=f"{found[0][2]} kernels compiled for a small plan, optimized, sequenced, computed forward and graded; CPU "
        "s is the first run's less the second's",
    )


def demo_rows() -> Iterator[Row]:
    """``rtsim run`` of the bundled case, whole process."""
    command = [sys.executable, "-m", "rtsim", "run", "spine_t8_epidural", "--overwrite", "--quiet", "-o"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        first = run_command([*command, str(Path(folder) / "out")], environment)
        second = run_command([*command, str(Path(folder) / "out")], environment)
    row = Row(
        case="demo", table="start", threads=numba.get_num_threads(), note="rtsim run spine_t8_epidural, whole process"
    )
    yield replace(
        row,
        case="demo_empty_cache",
        first_call_s=first.seconds,
        cpu_s=first.cpu_s,
        peak_rss_mb=first.peak_rss_mb,
        goal="<= 180 s, <= 4 GB",
        met=_held(first, 180.0),
    )
    yield replace(
        row,
        case="demo_second_time",
        warm_median_s=second.seconds,
        cpu_s=second.cpu_s,
        peak_rss_mb=second.peak_rss_mb,
        goal="<= 60 s, <= 4 GB",
        met=_held(second, 60.0),
    )


def _held(done: CommandRun, seconds: float) -> bool:
    return done.exit_code == 0 and done.seconds <= seconds and done.peak_rss_mb <= 4000.0

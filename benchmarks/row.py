"""One row of the benchmark table, and the header that says what was run where."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured on one case. A field that does not apply is None and is not shown.

    ``table`` gathers the rows that are shown together. ``goal`` is the wanted bound in words; ``met`` is True or False
    wherever a goal is named. ``max_error_percent`` is that of the worst single voxel; ``smoothed_error_percent`` the
    largest of means over 2 cm, and ``noise_percent`` the largest deviation to be expected of a perfect dose from the
    statistics of the reference.
    """

    case: str
    table: str = ""
    engine: str = ""
    spacing_mm: float | None = None
    threads: int | None = None
    first_call_s: float | None = None
    warm_median_s: float | None = None
    cpu_s: float | None = None
    peak_rss_mb: float | None = None
    max_error_percent: float | None = None
    smoothed_error_percent: float | None = None
    noise_percent: float | None = None
    mean_error_percent: float | None = None
    gamma_percent: float | None = None
    penumbra_shift_mm: float | None = None
    value: float | None = None
    unit: str = ""
    goal: str = ""
    met: bool | None = None
    note: str = ""
    sha256: str = ""


def peak_rss_mb() -> float:
    """Largest resident size of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def header(suites: list[str], threads: int) -> dict[str, Any]:
    """What was run where: commit, CPU and how busy it was, threads, versions."""
    return {
        "suites": suites,
        "commit": commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {
            name: _version(name) for name in ("rtsim", "numpy", "scipy", "numba", "llvmlite", "pydicom", "pyvista")
        },
    }


def write_json(path: Path, head: dict[str, Any], rows: list[Row]) -> None:
    """Header and rows as JSON, written to a temporary name and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    shown = [{k: v for k, v in asdict(r).items() if v is not None and v != ""} for r in rows]
    partial.write_text(json.dumps({"header": head, "rows": shown}, indent=1) + "\n")
    partial.replace(path)


def commit() -> str:
    """What ``git describe`` calls this state of the repository; unknown outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

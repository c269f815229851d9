"""Peers: the same work by another open planner and by rtsim, in turn, each in a process of its own.

RTSIM_PEER_PYRADPLAN: the Python of a virtual environment with pyRadPlan (`pip install pyRadPlan==0.5.0
"pydantic==2.13.*"`). Without it the row says so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from benchmarks.measure import run_command
from benchmarks.row import ROOT, Row
from rtsim.typing import FloatArray

_PEER = "RTSIM_PEER_PYRADPLAN"
_REPEATS = 3
_CASE = "pencil_beam_influence_tg119"


def rows(only: str | None) -> Iterator[Row]:
    """The cases whose name holds ``only``."""
    if only is None or only in _CASE:
        yield from _tg119()


@dataclass(frozen=True, eq=False)
class _Measured:
    """What one of the two left: seconds of each warm run (wall and processor), and what it made."""

    seconds: FloatArray
    cpu_seconds: FloatArray
    peak_mb: float
    entries: int
    matrix_bytes: int
    dose: FloatArray

    @classmethod
    def read(cls, path: Path) -> _Measured:
        with np.load(path) as stored:
            return cls(
                stored["seconds"],
                stored["cpu_seconds"],
                float(stored["peak_mb"]),
                int(stored["entries"]),
                int(stored["matrix_bytes"]),
                stored["dose"],
            )


def _tg119() -> Iterator[Row]:
    python = os.environ.get(_PEER)
    if not python:
        yield Row(case=_CASE, note=f"skipped: {_PEER} does not name the Python of a pyRadPlan environment")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = str(ROOT / "benchmarks" / "peers" / "pyradplan_tg119.py")
        done = run_command([python, script, name, str(_REPEATS)])
        if done.exit_code != 0:
            yield Row(case=_CASE, note=f"skipped: pyRadPlan failed: {done.output.strip()[-200:]}")
            return
        own = run_command([sys.executable, "-m", "benchmarks.peers.rtsim_tg119", name, str(_REPEATS)])
        if own.exit_code != 0:
            raise RuntimeError(own.output)
        peer, rtsim = _Measured.read(folder / "peer.npz"), _Measured.read(folder / "rtsim.npz")
        with np.load(folder / "rtsim.npz") as stored:
            first = float(stored["first_s"])
            predicted = int(stored["predicted_bytes"])
            dropped = float(stored["dropped"])
    warm = float(np.median(rtsim.seconds))
    yield Row(
        case=f"{_CASE}_pyradplan",
        engine="pyRadPlan 0.5.0 SVD pencil beam",
        spacing_mm=5.0,
        warm_median_s=float(np.median(peer.seconds)),
        peak_rss_mb=peer.peak_mb,
        note=f"{peer.entries} entries, {peer.matrix_bytes / 1e6:.0f} MB, cpu {np.median(peer.cpu_seconds):.2f} s",
    )
    ratio = float(np.median(peer.seconds)) / warm
    correlation, spread = _agreement(peer.dose, rtsim.dose)
    yield Row(
        case=_CASE,
        engine="pencil beam, 50 mm lateral cut-off",
        spacing_mm=5.0,
        threads=numba.get_num_threads(),
        first_call_s=first,
        warm_median_s=warm,
        peak_rss_mb=rtsim.peak_mb,
        value=ratio,
        unit="x faster",
        goal=">= 20 x pyRadPlan, peak memory not above its",
        met=ratio >= 20.0 and rtsim.peak_mb <= peer.peak_mb,
        note=(
            f"{rtsim.entries} entries, {rtsim.matrix_bytes / 1e6:.0f} MB (predicted {predicted / 1e6:.0f}), cpu "
            f"{np.median(rtsim.cpu_seconds):.2f} s; uniform weights: {100 * dropped:.1f} % of the dose cut off; "
            f"against the peer's dose above 20 % of its maximum: correlation {correlation:.4f}, "
            f"median deviation after scaling {100 * spread:.1f} %"
        ),
    )


def _agreement(peer: FloatArray, rtsim: FloatArray) -> tuple[float, float]:
    """Correlation, and median |deviation| once the two are scaled to each other: their machines differ."""
    high = peer > 0.2 * peer.max()
    a, b = peer[high].astype(np.float64), rtsim[high].astype(np.float64)
    scale = float(a @ b) / float(b @ b)
    return float(np.corrcoef(a, b)[0, 1]), float(np.median(np.abs(scale * b / a - 1.0)))

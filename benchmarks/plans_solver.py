"""Fluence optimization beside pyRadPlan's: its influence matrix, its objectives, in one run; to its final objective.

The peer optimizes its own TG-119 case with its own defaults (``benchmarks/peers/pyradplan_fluence.py``). rtsim then
takes the same matrix and the same functions, which must agree in value and gradient at a random fluence, and runs until
its objective is at or below the one that the peer ended with. RTSIM_PEER_PYRADPLAN names the peer's Python.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy import sparse

from benchmarks.measure import run_command
from benchmarks.row import ROOT, Row, peak_rss_mb
from rtsim.optimize import AugmentedLagrangian, Objective, Problem, Region, SquaredDeviation, SquaredOverdose
from rtsim.optimize.objectives import SquaredUnderdose
from rtsim.typing import FloatArray

_PEER = "RTSIM_PEER_PYRADPLAN"
_CASE = "fluence_tg119_pyradplan"
_REPEATS = 3
_GOAL = 10.0
_SAME = 1e-5
"""Relative: both sum a float32 matrix, the peer in float32."""

_TABLE = "solver"


def rows(only: str | None = None) -> Iterator[Row]:
    """The race, if ``only`` is in its name."""
    if only is not None and only not in _CASE:
        return
    python = os.environ.get(_PEER)
    if not python:
        yield Row(
            case=_CASE, table=_TABLE, note=f"skipped: {_PEER} does not name the Python of a pyRadPlan environment"
        )
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = run_command([python, str(ROOT / "benchmarks" / "peers" / "pyradplan_fluence.py"), name])
        if done.exit_code != 0:
            yield Row(case=_CASE, table=_TABLE, note=f"skipped: pyRadPlan failed: {done.output.strip()[-200:]}")
            return
        yield from _race(_Peer.read(folder))


@dataclass(frozen=True, eq=False)
class _Peer:
    """What the peer left."""

    matrix: sparse.csr_array
    objectives: tuple[tuple[Objective, Region], ...]
    words: dict[str, Any]
    history: FloatArray
    seconds: float
    solver_seconds: float
    cpu_seconds: float
    probe: FloatArray
    probe_value: float
    probe_gradient: FloatArray

    @classmethod
    def read(cls, folder: Path) -> _Peer:
        words = json.loads((folder / "problem.json").read_text())
        with np.load(folder / "matrix.npz") as m:
            matrix = sparse.csr_array((m["data"], m["indices"], m["indptr"]), shape=tuple(m["shape"]))
            objectives = tuple(
                (_objective(o), Region(name=o["name"], rows=own, volume_cm3=np.ones(own.size)))
                for o in words["objectives"]
                for own in (m[f"rows_{o['rows']}"],)
            )
        with np.load(folder / "result.npz") as r:
            return cls(
                matrix=matrix,
                objectives=objectives,
                words=words,
                history=r["history"],
                seconds=float(r["seconds"]),
                solver_seconds=float(r["solver_seconds"]),
                cpu_seconds=float(r["cpu_seconds"]),
                probe=r["probe"],
                probe_value=float(r["probe_value"]),
                probe_gradient=r["probe_gradient"],
            )


def _objective(words: dict[str, Any]) -> Objective:
    """pyRadPlan's objectives are means over voxels, as rtsim's are over the volume of equal voxels."""
    kinds: dict[str, type[SquaredOverdose | SquaredUnderdose | SquaredDeviation]] = {
        "Squared Overdosing": SquaredOverdose,
        "Squared Underdosing": SquaredUnderdose,
        "Squared Deviation": SquaredDeviation,
    }
    if words["name"] not in kinds:
        raise ValueError(f"pyRadPlan's objective {words['name']!r} has no counterpart in this race")
    kind = kinds[words["name"]]
    return kind(structure=words["name"], dose_gy=words["parameters"][0], weight=words["priority"])


def _differences(peer: _Peer) -> tuple[float, float]:
    """Relative differences of value and gradient at the peer's random fluence."""
    problem = Problem(matrix=peer.matrix, offset_gy=np.zeros(peer.matrix.shape[0]), objectives=peer.objectives)
    value, slope, _ = problem.objective(peer.probe, problem.dose(peer.probe))
    gradient = problem.pullback(slope)
    off = float(np.abs(gradient - peer.probe_gradient).max() / np.abs(peer.probe_gradient).max())
    return abs(value / peer.probe_value - 1.0), off


def _race(peer: _Peer) -> Iterator[Row]:
    final = float(peer.history[-1])
    yield Row(
        case=f"{_CASE}_peer",
        table=_TABLE,
        engine="pyRadPlan 0.5.0",
        warm_median_s=peer.seconds,
        cpu_s=peer.cpu_seconds,
        value=final,
        unit="objective",
        note=f"{peer.words['solver']}: {peer.words['iterations']} iterations, {peer.history.size} evaluations, "
        f"{peer.solver_seconds:.1f} s of them in the solver; {peer.words['message']}",
    )
    of_value, of_gradient = _differences(peer)
    if max(of_value, of_gradient) > _SAME:
        raise RuntimeError(f"not the same functions: value off by {of_value:.1e}, gradient by {of_gradient:.1e}")
    solver = AugmentedLagrangian(max_iterations=5000, inner_iterations=5000, tolerance=1e-9, enough=final)
    seconds, cpu_seconds = [], []
    for _ in range(_REPEATS + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        problem = Problem(matrix=peer.matrix, offset_gy=np.zeros(peer.matrix.shape[0]), objectives=peer.objectives)
        solution = solver.solve(problem, _uniform(problem))
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    ratio = peer.seconds / statistics.median(seconds[1:])
    yield Row(
        case=_CASE,
        table=_TABLE,
        engine="rtsim",
        threads=numba.get_num_threads(),
        first_call_s=seconds[0],
        warm_median_s=statistics.median(seconds[1:]),
        cpu_s=statistics.median(cpu_seconds[1:]),
        peak_rss_mb=peak_rss_mb(),
        value=ratio,
        unit="x faster",
        goal=f">= {_GOAL:g} x pyRadPlan to its objective",
        met=ratio >= _GOAL and solution.objective <= final,
        note=f"objective {solution.objective:.5g} (peer {final:.5g}) after {solution.evaluations} evaluations from "
        f"uniform fluence (the peer starts from 0); {peer.matrix.shape[0]} x {peer.matrix.shape[1]}, "
        f"{peer.matrix.nnz} entries, its preparation counted on both sides; processor time "
        f"{peer.cpu_seconds / statistics.median(cpu_seconds[1:]):.1f} x less; value and gradient equal to "
        f"{of_value:.0e} and {of_gradient:.0e}",
    )


def _uniform(problem: Problem) -> FloatArray:
    """Uniform fluence that gives the structure with a wanted dose that dose on the average."""
    ones = np.ones(problem.matrix.shape[1])
    wanted, region = next((o, r) for o, r in problem.objectives if isinstance(o, SquaredDeviation))
    return ones * (wanted.dose_gy / float(problem.dose(ones)[region.rows].mean()))


def main() -> None:
    """Only this race: ``python -m benchmarks.plans_solver``."""
    for row in rows():
        print(row)


if __name__ == "__main__":
    main()

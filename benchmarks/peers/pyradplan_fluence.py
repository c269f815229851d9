"""pyRadPlan's fluence optimization of its TG-119 phantom. Run by pyRadPlan's own Python: SCRIPT FOLDER.

Nine beams at 0, 40 .. 320 degrees, beamlets of 5 mm, dose grid of 5 mm; the objectives that the phantom carries, the
solver that its planning problem takes when nothing is said, both with their defaults. Leaves in FOLDER: matrix.npz (the
rows of its influence matrix that an objective looks at, CSR), problem.json (objectives and solver), and result.npz:
rows of each objective, fluence, objective at each evaluation, seconds (wall and processor, all threads), and objective
and gradient at a random fluence.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    from pyRadPlan import (  # type: ignore[import-not-found]
        PhotonPlan,
        calc_dose_influence,
        generate_stf,
        load_tg119,
    )
    from pyRadPlan.optimization.problems import get_problem_from_pln  # type: ignore[import-not-found]

    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    ct, structures = load_tg119()
    plan = PhotonPlan(machine="Generic")
    plan.prop_stf = {"gantry_angles": np.arange(0, 360, 40.0), "couch_angles": np.zeros(9), "bixel_width": 5.0}
    plan.prop_dose_calc = {"dose_grid": {"resolution": {"x": 5.0, "y": 5.0, "z": 5.0}}}
    steering = generate_stf(ct, structures, plan)
    dij = calc_dose_influence(ct, structures, steering, plan)
    problem = get_problem_from_pln(plan)
    problem.obj_history = []
    start, cpu_start = time.perf_counter(), time.process_time()
    fluence, info = problem.solve(ct, structures, steering, dij)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    history = np.array(problem.obj_history)
    solver = problem.solver
    words = {
        "objectives": [
            {"name": o.name, "priority": float(o.priority), "parameters": [float(p) for p in o.parameters], "rows": n}
            for n, (_, objectives) in enumerate(problem._objective_list)
            for o in objectives
        ],
        "solver": f"{solver.name} ({getattr(solver, 'method', '')}), max_iter {solver.max_iter}, "
        f"tolerance {solver.abs_obj_tol:g}",
        "message": str(info.get("message", "")),
        "iterations": int(info["num_iter"]),
    }
    (folder / "problem.json").write_text(json.dumps(words))
    rows = [np.flatnonzero(mask) for mask, _ in problem._objective_list]
    probe = np.random.default_rng(1).uniform(0.0, 2.0 * fluence.mean(), fluence.size)
    np.savez(
        folder / "result.npz",
        fluence=fluence,
        history=history,
        solver_seconds=float(problem._solve_time),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        probe=probe,
        probe_value=float(problem._objective_function(probe)),
        probe_gradient=np.asarray(problem._objective_gradient(probe)),
    )
    _save_matrix(folder, dij.physical_dose.flat[0], rows)


def _save_matrix(folder: Path, matrix: Any, rows: list[Any]) -> None:
    used = np.unique(np.concatenate(rows))
    by_rows = matrix.tocsr()[used]
    np.savez(
        folder / "matrix.npz",
        data=by_rows.data,
        indices=by_rows.indices.astype(np.int32),
        indptr=by_rows.indptr.astype(np.int64),
        shape=np.array(by_rows.shape),
        **{f"rows_{n}": np.searchsorted(used, own) for n, own in enumerate(rows)},
    )


if __name__ == "__main__":
    main()

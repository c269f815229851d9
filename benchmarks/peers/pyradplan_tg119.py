"""pyRadPlan's influence matrix of its TG-119 phantom. Run by pyRadPlan's own Python: SCRIPT FOLDER REPEATS.

Nine beams at 0, 40 .. 320 degrees, beamlets of 5 mm, dose grid of 5 mm, the peer's defaults otherwise (lateral cut-off
50 mm). Leaves in FOLDER what another engine needs for the same work: geometry.npz; and peer.npz: seconds of each run,
peak memory, non-zeros, and the dose of uniform weights. Nothing of the phantom goes anywhere else.
"""

from __future__ import annotations

import resource
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

    warnings.simplefilter("ignore")
    folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
    ct, structures = load_tg119()
    plan = PhotonPlan(machine="Generic")
    plan.prop_stf = {"gantry_angles": np.arange(0, 360, 40.0), "couch_angles": np.zeros(9), "bixel_width": 5.0}
    plan.prop_dose_calc = {"dose_grid": {"resolution": {"x": 5.0, "y": 5.0, "z": 5.0}}}
    steering = generate_stf(ct, structures, plan)
    seconds, cpu_seconds = [], []
    dij: Any = None
    for _ in range(repeats):
        dij = None
        start, cpu_start = time.perf_counter(), time.process_time()
        dij = calc_dose_influence(ct, structures, steering, plan)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    matrix = dij.physical_dose.flat[0]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    geometry = _geometry(ct, structures, steering, dij.dose_grid)
    np.savez(folder / "geometry.npz", **geometry)
    np.savez(
        folder / "peer.npz",
        seconds=np.array(seconds),
        cpu_seconds=np.array(cpu_seconds),
        peak_mb=peak_mb,
        entries=matrix.nnz,
        matrix_bytes=matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes,
        dose=np.asarray(matrix @ np.ones(matrix.shape[1], dtype=np.float32)),
    )


def _geometry(ct: Any, structures: Any, steering: Any, grid: Any) -> dict[str, Any]:
    """The dose grid, relative densities on it, the voxels inside the structures, and the beamlets in space (mm)."""
    import SimpleITK  # type: ignore[import-not-found]
    from pyRadPlan.core import resample_image  # type: ignore[import-not-found]
    from pyRadPlan.ct import default_hlut  # type: ignore[import-not-found]

    density = resample_image(
        input_image=ct.compute_wet(default_hlut()), interpolator=SimpleITK.sitkLinear, target_grid=grid
    )
    inside = np.zeros(np.prod(ct.cube_hu.GetSize()), dtype=np.float32)
    inside[np.concatenate([voi.indices_numpy for voi in structures.vois])] = 1.0
    mask = SimpleITK.GetImageFromArray(inside.reshape(ct.cube_hu.GetSize()[::-1]))
    mask.CopyInformation(ct.cube_hu)
    body = resample_image(input_image=mask, interpolator=SimpleITK.sitkNearestNeighbor, target_grid=grid)
    return {
        "x_mm": np.asarray(grid.x),
        "y_mm": np.asarray(grid.y),
        "z_mm": np.asarray(grid.z),
        "density": SimpleITK.GetArrayFromImage(density).astype(np.float32),
        "inside": SimpleITK.GetArrayFromImage(body) > 0.5,
        "isocenter_mm": np.asarray(steering.beams[0].iso_center, dtype=np.float64),
        "source_mm": np.array([np.asarray(b.source_point, dtype=np.float64) for b in steering.beams]),
        "beam_of": np.concatenate([np.full(len(b.rays), n) for n, b in enumerate(steering.beams)]),
        "beamlet_mm": np.array([np.asarray(r.ray_pos, dtype=np.float64) for b in steering.beams for r in b.rays]),
        "width_mm": np.array([float(b.bixel_width) for b in steering.beams]),
        "gantry_deg": np.array([float(b.gantry_angle) for b in steering.beams]),
    }


if __name__ == "__main__":
    main()

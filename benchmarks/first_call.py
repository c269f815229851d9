"""A small plan that calls every kernel a plan needs: ``python -m benchmarks.first_call`` prints seconds and kernels.

Run twice with an empty ``NUMBA_CACHE_DIR``, the difference is what compiling costs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

import rtsim as rt
from rtsim.geometry.grid import Grid
from rtsim.optimize import AugmentedLagrangian, StereotacticSettings
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role

QUICK = StereotacticSettings(fluence_solver=AugmentedLagrangian(max_iterations=20, tolerance=1e-2), rounds=1)


def horseshoe(spacing_mm: float = 5.0) -> Phantom:
    """A cylinder with a target bent round a cord."""
    grid = Grid.covering((-80.0, -80.0, -40.0), (80.0, 80.0, 40.0), (spacing_mm,) * 3)
    _, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    z = np.broadcast_to(grid.z_mm[:, None, None], grid.shape)
    r = np.hypot(x, y)
    masks = {
        "body": r < 75.0,
        "spinal_cord": r < 6.0,
        "PTV": (r > 12.0) & (r < 26.0) & (np.abs(z) < 20.0) & (y < 8.0),
    }
    roles = {"body": Role.EXTERNAL, "spinal_cord": Role.OAR, "PTV": Role.PTV}
    hu = np.where(masks["body"], 0.0, -1000.0)
    return Phantom.from_arrays(hu, (spacing_mm,) * 3, grid.origin_mm, masks, roles=roles)


def main() -> None:
    """Plan, grade, and print what it took."""
    start = time.perf_counter()
    phantom = horseshoe()
    machine, protocol = rt.load_machine("generic_6fff"), rt.load_protocol("spine_sbrt_2fx")
    prescription = protocol.prescription("PTV", dose_gy=24.0)
    beams = rt.beams.coplanar(machine, target=phantom["PTV"], gantry_deg=(120.0, 180.0, 240.0))
    planned = rt.optimize.plan_stereotactic(
        phantom,
        prescription,
        protocol,
        machine,
        engine=rt.CollapsedCone(spacing_mm=5.0),
        beams=rt.beams.with_beamlets(beams, phantom["PTV"]),
        settings=QUICK,
        seed=1,
    )
    rt.evaluate.grade(planned.dose, planned.phantom, prescription, protocol, certificates=planned.plan.certificates)
    seconds = time.perf_counter() - start
    cache = Path(os.environ.get("NUMBA_CACHE_DIR", ""))
    kernels = len(list(cache.rglob("*.nbi"))) if os.environ.get("NUMBA_CACHE_DIR") else 0
    print(f"seconds {seconds:.3f} kernels {kernels}")


if __name__ == "__main__":
    main()

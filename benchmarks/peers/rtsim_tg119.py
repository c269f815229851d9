"""rtsim's pencil beam on the work that a peer left in FOLDER (geometry.npz). Run as: -m ... FOLDER REPEATS.

Leaves rtsim.npz: seconds of the first run and of each one after it, peak memory, non-zeros, predicted and allocated
bytes, and the dose of uniform weights on the peer's grid.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import rtsim as rt
from benchmarks.row import peak_rss_mb
from rtsim.beams.model import Beam, Beamlets
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom

PEER_CUTOFF_MM = 50.0


def main() -> None:
    folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
    with np.load(folder / "geometry.npz") as stored:
        g = dict(stored)
    phantom, inside = _phantom(g)
    beams = _beams(g)
    engine = rt.PencilBeam(lateral_cutoff_mm=PEER_CUTOFF_MM, cutoff=0.0)
    grid = engine.dose_grid(phantom)
    k, j, i = grid.offset_in(phantom.grid)
    cut = np.s_[k : k + grid.shape[0], j : j + grid.shape[1], i : i + grid.shape[2]]
    wanted = np.ascontiguousarray(inside[cut])
    seconds, cpu_seconds = [], []
    influence = None
    for _ in range(repeats + 1):
        influence = None
        start, cpu_start = time.perf_counter(), time.process_time()
        influence = engine.influence(phantom, beams, voxels=wanted)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    assert influence is not None
    peak_mb = peak_rss_mb()
    matrix = influence.matrix
    dose = np.zeros(phantom.grid.shape)
    dose[cut] = influence.dose(np.ones(influence.beamlet_count)).values_gy
    np.savez(
        folder / "rtsim.npz",
        first_s=seconds[0],
        seconds=np.array(seconds[1:]),
        cpu_seconds=np.array(cpu_seconds[1:]),
        peak_mb=peak_mb,
        entries=matrix.nnz,
        predicted_bytes=engine.influence_bytes(phantom, beams, voxels=wanted),
        matrix_bytes=matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes,
        dropped=influence.dropped_fraction,
        dose=dose.ravel(),
    )


def _phantom(g: dict[str, np.ndarray]) -> tuple[Phantom, np.ndarray]:
    """Water of the peer's relative density inside its structures, air outside; and where they are."""
    x, y, z = (g[f"{axis}_mm"] for axis in "xyz")
    spacing = float(x[1] - x[0]), float(y[1] - y[0]), float(z[1] - z[0])
    grid = Grid((z.size, y.size, x.size), spacing, (float(x[0]), float(y[0]), float(z[0])))
    density = np.where(g["inside"], np.maximum(g["density"], 0.0012), 0.0012).astype(np.float32)
    water = np.zeros(grid.shape, dtype=np.uint8)
    return Phantom.from_density(density, water, (rt.materials.get("water"),), grid), g["inside"]


def _beams(g: dict[str, np.ndarray]) -> list[Beam]:
    """The peer's beamlets. Its source and beamlets are given in space, from the isocenter: no convention is assumed."""
    machine = rt.load_machine("generic_6x")
    x, y, z = (float(v) for v in g["isocenter_mm"])
    beams = []
    for n, gantry in enumerate(g["gantry_deg"]):
        beam = Beam(machine=machine, isocenter_mm=(x, y, z), gantry_deg=float(gantry), name=f"G{gantry:g}")
        off = float(np.abs(np.asarray(beam.source_mm) - g["isocenter_mm"] - g["source_mm"][n]).max())
        if off > 0.5:
            raise ValueError(f"the source of beam {n} is {off:.1f} mm from the peer's")
        local = g["beamlet_mm"][g["beam_of"] == n] @ beam.rotation
        width = np.full(local.shape[0], float(g["width_mm"][n]))
        beamlets = Beamlets(center_x_mm=local[:, 0], center_y_mm=local[:, 1], width_x_mm=width, width_y_mm=width)
        beams.append(
            Beam(
                machine=machine,
                isocenter_mm=(x, y, z),
                gantry_deg=float(gantry),
                name=beam.name,
                beamlets=beamlets,
            )
        )
    return beams


if __name__ == "__main__":
    main()

"""The scene of the Monte Carlo engine: batches, threads, scored energy, codes of voxels, key of the kernel's cache."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from rtsim.dose.monte_carlo import _kernels
from rtsim.dose.monte_carlo import scene as scene_module
from rtsim.dose.monte_carlo._kernels.history import simulate
from rtsim.dose.monte_carlo.scene import Scene
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.errors import RtsimError
from rtsim.materials import spectrum
from tests.reference.monte_carlo_scenes import layered, photon_source, scene_of, spine

ROOT = pathlib.Path(__file__).parents[2]


def small(**physics: float) -> Scene:
    return scene_of(spine(12), photon_source(spectrum("mohan6"), side_mm=30.0), **physics)


@pytest.mark.parametrize("split", [1, 40])
def test_batch_is_the_same_whichever_call_computes_it(split: int) -> None:
    scene = small(split=split)
    together = scene.batches(1, 0, 4, 50)
    for first, count in ((0, 1), (1, 2), (3, 1)):
        apart = small(split=split).batches(1, first, count, 50)
        assert (apart.energy_mev == together.energy_mev[first : first + count]).all()
        assert (apart.tallies == together.tallies[first : first + count]).all()
    assert len({e.tobytes() for e in together.energy_mev}) == 4
    assert (scene.batches(2, 0, 4, 50).energy_mev != together.energy_mev).any()


def test_tallies() -> None:
    batches = small(split=1).batches(1, 0, 3, 70)
    assert (batches.tallies[:, 3] == 70.0).all()
    assert (batches.tallies[:, 2] == 0.0).all()
    mean = spectrum("mohan6").mean_energy_mev
    # a spectrum of 6 MV has a standard deviation of 1.3 MeV; 4 sigma of 210 photons, 6e-5
    assert batches.tallies[:, 0].sum() / 210 == pytest.approx(mean, abs=4.0 * 1.3 / 210**0.5)


def test_photons_that_miss_the_grid_escape() -> None:
    source = photon_source(2.0, through_mm=(500.0, 10.0, 0.0))
    batches = scene_of(spine(12), source, split=40).batches(1, 0, 1, 20)
    assert batches.energy_mev.sum() == 0.0
    assert batches.tallies[0].tolist() == [40.0, 40.0, 0.0, 20.0]


def test_overflow_of_the_stacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflowing(*given: object) -> None:
        given[-3][0, 2] = 3.0  # type: ignore[index]

    monkeypatch.setattr(scene_module, "simulate", overflowing)
    with pytest.raises(RtsimError, match="3 histories overflowed"):
        small(split=1).batches(1, 0, 1, 10)


def test_scored_factor_weights_the_energy_where_it_is_deposited() -> None:
    """A factor of 2 in lung and 1 elsewhere doubles the energy in lung to the last digit, and changes nothing else."""
    plain = small(split=40)
    factor = np.ones((EnergyGrid.standard().count, len(plain.voxels.materials)))
    lung = [m.name for m in plain.voxels.materials].index("lung")
    factor[:, lung] = 2.0
    doubled = Scene(voxels=plain.voxels, source=plain.source, physics=plain.physics, scored_per_deposited=factor)
    expected = plain.batches(1, 0, 1, 100).energy_mev[0]
    expected[plain.voxels.material == lung] *= 2.0
    assert doubled.batches(1, 0, 1, 100).energy_mev[0] == pytest.approx(expected, rel=1e-12)


def test_codes_hold_material_and_density() -> None:
    voxels = layered([(1, "air", 0.0012), (3, "water", 1.0), (1, "titanium", 4.54), (2, "tungsten", 19.3)])
    code, unit = scene_module._coded(voxels)
    assert (code >> 24).tolist() == voxels.material.ravel().tolist()
    density = (code & 0xFFFFFF) * unit
    # half of 2^-24 of the largest
    assert density == pytest.approx(voxels.density_g_cm3.ravel(), abs=0.51 * 19.3 / 2**24)
    assert density[0] == pytest.approx(0.0012, rel=5e-4)


_THREADS = """
import sys
import numba
from tests.unit.test_monte_carlo_scene import small
scene = small(split=40)
for threads in (1, 2, 4):
    numba.set_num_threads(threads)
    batches = scene.batches(5, 0, 6, 40)
    print(hash((batches.energy_mev.tobytes(), batches.tallies.tobytes())))
"""


@pytest.mark.slow
def test_bitwise_the_same_on_any_number_of_threads() -> None:
    environment = {**os.environ, "NUMBA_NUM_THREADS": "4", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _THREADS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.split()
    assert len(lines) == 3
    assert len(set(lines)) == 1


def test_fingerprint_changes_with_every_kernel_file(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "kernels"
    shutil.copytree(pathlib.Path(_kernels.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    specification = importlib.util.spec_from_file_location("copied_kernels", folder / "__init__.py")
    assert specification is not None
    assert specification.loader is not None
    copied = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(copied)
    assert copied.fingerprint() == _kernels.fingerprint()
    seen = {copied.fingerprint()}
    files = sorted(folder.glob("*.py"))
    assert {"bundle.py", "history.py", "interactions.py", "random.py", "scattering.py", "walk.py"} <= {
        f.name for f in files
    }
    for path in files:
        path.write_text(path.read_text() + "\n# edited\n")
        seen.add(copied.fingerprint())
    assert len(seen) == 1 + len(files)


def test_fingerprint_is_in_the_key_of_the_compiled_kernel() -> None:
    """Numba hashes what a cached function closes over; ``simulate`` closes over the fingerprint."""
    held = [cell.cell_contents for cell in simulate.py_func.__closure__]
    assert _kernels.fingerprint() in held

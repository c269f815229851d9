"""The result archive and the folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtsim.dose import Dose
from rtsim.errors import InputError, OutputExistsError
from rtsim.geometry.grid import Grid
from rtsim.io.archive import RunRecord, read_archive, write_archive
from rtsim.io.files import whole_folder
from rtsim.phantom.phantom import Phantom


def _record() -> RunRecord:
    return RunRecord(
        version="1",
        case="c",
        case_sha256="s",
        machine="m",
        protocol="p",
        engine="e",
        grid="g",
        prescription="rx",
        seed=3,
        beams=({"name": "PA", "monitor_units": 12.5},),
        notes=("said",),
        metrics={"target": {"d95_gy": np.float64(1.25)}},
        seconds={"plan": 1.5},
    )


def test_archive_round_trip(tmp_path: Path) -> None:
    grid = Grid((3, 4, 5), (1.0, 2.0, 3.0), (-1.0, 0.5, 7.0))
    values = np.random.default_rng(1).random(grid.shape).astype(np.float32)
    mask = np.zeros(grid.shape)
    mask[1, 1, 1:3] = 0.5
    phantom = Phantom.from_arrays(np.zeros(grid.shape), grid.spacing_mm, grid.origin_mm, {"PTV": mask})
    write_archive(tmp_path, phantom, Dose(values_gy=values, grid=grid, fractions=5, engine="e"), _record())
    dose, record = read_archive(tmp_path)
    assert np.array_equal(dose.values_gy, values)
    assert (dose.grid, dose.fractions, dose.engine) == (grid, 5, "e")
    assert record == _record()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result.json", "result.npz"]


def test_archive_of_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result\.npz"):
        read_archive(tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(FileNotFoundError), whole_folder(target) as partial:
        (partial / "half").write_bytes((tmp_path / "nowhere").read_bytes())
    assert list(tmp_path.iterdir()) == []
    with whole_folder(target) as partial:
        (partial / "done").write_text("first")
        assert not target.exists()
    with pytest.raises(OutputExistsError, match="holds a result already"), whole_folder(target):
        pass
    with pytest.raises(RuntimeError, match="stop"), whole_folder(target, overwrite=True) as partial:
        raise RuntimeError("stop")
    assert (target / "done").read_text() == "first", "a failed overwrite must keep what was there"
    with whole_folder(target, overwrite=True) as partial:
        (partial / "done").write_text("second")
    assert (target / "done").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]

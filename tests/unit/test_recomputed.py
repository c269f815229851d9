"""What the display of a recomputed plan says, and what gamma must not hide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams.model import Beam
from rtsim.cli.recompute import record
from rtsim.dose.result import Dose
from rtsim.evaluate.gamma import gamma
from rtsim.geometry.grid import Grid
from rtsim.io.recomputed import ComparedStructure, Recomputed, StructureDoses, shown_rank
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription
from tests.unit import optimize_toy as toy


def dose(spacing_mm: float, engine: str) -> Dose:
    n = round(40.0 / spacing_mm)
    grid = Grid((n, n, n), (spacing_mm,) * 3, (-18.0, -18.0, -18.0))
    return Dose(values_gy=np.full(grid.shape, 20.0, dtype=np.float32), grid=grid, fractions=2, engine=engine)


def doses(d95: float, mean: float, top: float) -> StructureDoses:
    return StructureDoses(d95_gy=d95, mean_gy=mean, near_maximum_gy=top)


def compared(name: str, given: StructureDoses, again: StructureDoses, *, is_target: bool = False) -> ComparedStructure:
    return ComparedStructure(name=name, is_target=is_target, volume_cm3=8.0, given=given, recomputed=again)


@pytest.fixture(scope="module")
def found() -> Recomputed:
    """All voxels agree, the cord's near-maximum does not."""
    hu = np.zeros((10, 10, 10))
    masks = {"PTV": np.ones(hu.shape), "body": np.ones(hu.shape)}
    phantom = Phantom.from_arrays(hu, (4.0,) * 3, (-18.0,) * 3, masks)
    given, again = dose(4.0, "clinic (PLAN)"), dose(2.0, "collapsed cone")
    return Recomputed(
        phantom=phantom,
        plan=Plan(beams=(Beam.open_field(toy.machine(), (60.0, 40.0)),), prescription=Prescription("PTV", 24.0, 2)),
        plan_uid="1.2",
        dose=again,
        given=given,
        gammas=(gamma(given, given, dose_percent=3.0, distance_mm=2.0, normalization_gy=24.0),),
        structures=(
            compared("PTV", doses(22.0, 28.0, 35.0), doses(21.8, 28.3, 37.0), is_target=True),
            compared("spinal_cord", doses(0.1, 2.4, 13.4), doses(0.1, 2.3, 11.524)),
            compared("kidney_left", doses(0.1, 0.1, 0.1), doses(0.1, 0.1, 0.2)),
        ),
        points=(),
        unmodeled=(),
        notes=(),
    )


def test_gamma_does_not_hide_the_cord(found: Recomputed) -> None:
    assert found.pass_percent == 100.0
    assert found.headline.endswith("BUT spinal_cord D0.035cc 13.40 Gy given, 11.52 recomputed (-14.0 %).")
    quiet = replace(found, structures=found.structures[::2])
    assert "BUT" not in quiet.headline


def test_the_largest_difference_is_a_clinical_one(found: Recomputed) -> None:
    largest = found.clinical[0]
    assert (largest.structure, largest.metric) == ("spinal_cord", "D0.035cc")
    assert largest.percent == pytest.approx(-14.0)
    assert "kidney_left" not in {d.structure for d in found.clinical}  # 0.1 Gy against 0.2 Gy is +100 % of nothing
    assert "Largest difference of cord, target and organs: spinal_cord D0.035cc" in str(found)


def test_both_grids_are_said_with_what_they_do(found: Recomputed) -> None:
    text = " ".join(str(found).split())
    assert "given on 4 mm, recomputed on 2 mm" in found.caution
    assert "given: clinic (PLAN) on 10 x 10 x 10 voxels" in text
    assert "recomputed: collapsed cone on 20 x 20 x 20 voxels" in text
    assert "1 beam, " in text
    plain = record(found)
    assert plain["caution"] == found.caution
    assert (plain["grid"], plain["given_grid"]) == (found.dose.grid.describe(), dose(4.0, "").grid.describe())
    assert replace(found, dose=dose(4.0, "again")).caution == ""


def test_the_table_has_differences_of_doses_that_matter(found: Recomputed) -> None:
    rows = {line.split()[0]: line.split() for line in found.structure_table().splitlines()[2:5]}
    assert rows["spinal_cord"][-3:] == ["13.40", "11.52", "-14.0"]
    assert rows["PTV"][2:5] == ["22.00", "21.80", "-0.9"]
    assert rows["kidney_left"][-1] == "-"
    assert max(map(len, found.structure_table().splitlines())) <= 110


def test_target_cord_and_prv_come_first() -> None:
    names = ["aorta", "GTV", "spinal_cord_prv", "PTV", "SpinalCord", "heart"]
    ranked = sorted(names, key=lambda n: shown_rank(n, "PTV", is_target=n in ("PTV", "GTV")))
    assert ranked == ["PTV", "SpinalCord", "spinal_cord_prv", "GTV", "aorta", "heart"]

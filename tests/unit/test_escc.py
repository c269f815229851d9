"""The measured grade is the one that was drawn: by hand, in leaning canals, from all sides, on large voxels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rtsim.clinic import EsccGrade
from rtsim.clinic.escc import measure
from rtsim.clinic.escc_rule import Seen, grades_of
from rtsim.ct import AboveCurve
from rtsim.errors import InputError
from rtsim.io.case import load_case
from rtsim.io.case_phantom import SpineRecipe
from rtsim.io.dicom_read import read_ct, read_structures
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import spine
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import Vector3
from tests.shared import SHARED, requires_shared
from tests.unit.escc_scenes import scene

GRADES = [grade.value for grade in EsccGrade]
WAYS = [("front", 0.0, (3.0, 3.0, 3.0)), ("left", -35.0, (2.0, 2.0, 2.0)), ("back", 20.0, (1.0, 1.0, 3.0))]
ALL_WAYS = [
    (side, lean, spacing)
    for side in ("front", "back", "left", "right")
    for lean in (0.0, -35.0)
    for spacing in ((3.0, 3.0, 3.0), (1.0, 1.0, 3.0))
]


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize(("side", "lean_deg", "spacing_mm"), WAYS)
def test_measured_is_drawn(grade: str, side: str, lean_deg: float, spacing_mm: Vector3) -> None:
    found = measure(scene(grade, spacing_mm, side=side, lean_deg=lean_deg, offset_mm=0.7))
    assert found.grade is EsccGrade(grade), found.reasons


@pytest.mark.slow
@pytest.mark.parametrize(("side", "lean_deg", "spacing_mm"), ALL_WAYS)
def test_measured_is_drawn_every_way(side: str, lean_deg: float, spacing_mm: Vector3) -> None:
    for grade in GRADES:
        found = measure(scene(grade, spacing_mm, side=side, lean_deg=lean_deg, offset_mm=0.3 * spacing_mm[0]))
        assert found.grade is EsccGrade(grade), found.reasons


def test_lengths_are_those_that_were_drawn() -> None:
    """1b from the front: the tip lies 3.7 mm below the wall, 1.7 mm in the sac, 1.8 mm before the cord; to a third of a
    voxel of 1 mm, over which the ellipsoid falls off."""
    found = measure(scene("1b", (1.0, 1.0, 1.0)))
    assert found.tumor_in_canal_mm == pytest.approx(3.7, abs=0.35)
    assert found.sac_dent_mm == pytest.approx(1.7, abs=0.35)
    assert found.cord_gap_mm == pytest.approx(1.8, abs=0.35)
    assert found.z_mm == pytest.approx(0.0, abs=1.5)
    assert found.neural == "spinal_cord"
    assert not found.missing


def test_csf_is_what_is_left_of_the_sac() -> None:
    """Without tumor in it: 1 - cord / sac = 1 - 5 x 3.5 / (9 x 7) = 0.722; the tip takes a little of both."""
    found = measure(scene("2", (1.0, 1.0, 1.0)))
    assert found.csf_fraction is not None
    assert 0.6 < found.csf_fraction < 0.75
    assert found.cord_dent_mm == pytest.approx(2.2, abs=0.5)
    assert measure(scene("3", (1.0, 1.0, 1.0))).csf_fraction == pytest.approx(0.0, abs=0.02)


def test_a_cord_pushed_aside_is_not_deformed() -> None:
    """The whole cord moves back by 3 mm where the tumor touches it: 1c, as its own outline stays."""
    phantom = scene("1c", (2.0, 2.0, 2.0))
    cord = phantom["spinal_cord"]
    coverage = cord.coverage_on(phantom.grid).copy()
    gtv = phantom["GTV"].coverage_on(phantom.grid)
    near = (phantom.grid.z_mm > -9.0) & (phantom.grid.z_mm < 9.0)
    coverage[near] = np.roll(coverage[near], 1, axis=1)
    moved = Structure.from_coverage("spinal_cord", Role.OAR, phantom.grid, coverage)
    reached = np.roll(gtv, 1, axis=1) * (coverage < 0.05)
    tumor = Structure.from_coverage("GTV", Role.GTV, phantom.grid, np.maximum(gtv, reached))
    found = measure(phantom.with_structures(moved, tumor))
    assert found.cord_dent_mm is not None
    assert found.cord_dent_mm < 0.5
    assert found.grade is EsccGrade.ESCC_1C


@pytest.mark.parametrize(
    ("grade", "without", "possible"),
    [
        ("1a", ["spinal_canal"], "0 1a"),
        ("1b", ["spinal_canal"], "1b"),
        ("0", ["thecal_sac"], "0"),
        ("1b", ["thecal_sac"], "1a 1b"),
        ("1c", ["thecal_sac"], "1c"),
        ("2", ["thecal_sac"], "2 3"),
        ("1a", ["spinal_cord"], "1a"),
        ("1b", ["spinal_cord"], "1b 1c 2 3"),
        ("3", ["spinal_cord"], "1b 1c 2 3"),
        ("1b", ["thecal_sac", "spinal_cord"], "1a 1b 1c 2 3"),
        ("1b", ["GTV"], "0 1a 1b 1c 2 3"),
        ("1b", ["thecal_sac", "spinal_cord", "spinal_canal"], "0 1a 1b 1c 2 3"),
    ],
)
def test_what_is_not_drawn_leaves_grades_open(grade: str, without: list[str], possible: str) -> None:
    found = measure(scene(grade, (2.0, 2.0, 2.0), without=without))
    assert [g.value for g in found.possible] == possible.split()
    assert (found.grade is None) == (len(found.possible) > 1)
    if found.grade is None:
        assert set(without) & set(found.missing)
        assert "measured closer" in str(found)


def test_high_is_known_only_when_all_grades_agree() -> None:
    assert measure(scene("2", (2.0, 2.0, 2.0), without=["thecal_sac"])).is_high is True
    assert measure(scene("1b", (2.0, 2.0, 2.0), without=["spinal_cord"])).is_high is None


def test_below_l2_a_drawn_cord_is_the_sac() -> None:
    found = measure(scene("1a", (2.0, 2.0, 2.0), level="L4", without=["thecal_sac"]))
    assert found.neural == "cauda_equina"
    assert any("below L2" in reason for reason in found.reasons)
    assert found.grade is EsccGrade.ESCC_1A


def test_several_tumors_must_be_named() -> None:
    phantom = scene("1b", (3.0, 3.0, 3.0))
    other = Structure.from_coverage(
        "GTV_2", Role.GTV, phantom.grid, np.roll(phantom["GTV"].coverage_on(phantom.grid), 3, axis=2)
    )
    both = phantom.with_structures(other)
    with pytest.raises(InputError, match="GTV, GTV_2"):
        measure(both)
    assert measure(both, tumor=["GTV"]).grade is EsccGrade.ESCC_1B
    with pytest.raises(InputError, match="did you mean 'GTV"):
        measure(both, tumor=["GVT_2"])


def test_a_copy_under_another_name_is_the_same_tumor() -> None:
    phantom = scene("1b", (3.0, 3.0, 3.0))
    gtv = phantom["GTV"]
    copy = Structure("GTV_copy", Role.GTV, gtv.grid, gtv.coverage)
    assert measure(phantom.with_structures(copy)).grade is EsccGrade.ESCC_1B


def test_thick_slices_are_said() -> None:
    found = measure(scene("1b", (2.0, 2.0, 5.0)))
    assert any("slices of 5 mm" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("seen", "grades"),
    [
        (Seen(z_mm=0.0, canal_mm=0.2), "0"),
        (Seen(z_mm=0.0, canal_mm=1.0, sac_mm=0.5, cord_gap_mm=3.0, neural="spinal_cord"), "1a"),
        (Seen(z_mm=0.0, canal_mm=3.0, sac_mm=1.0, cord_gap_mm=1.5, neural="spinal_cord"), "1b"),
        (Seen(z_mm=0.0, canal_mm=4.0, sac_mm=2.0, cord_gap_mm=0.5, cord_mm=0.4, csf=0.6, neural="spinal_cord"), "1c"),
        (Seen(z_mm=0.0, canal_mm=6.0, sac_mm=4.0, cord_gap_mm=0.0, cord_mm=2.0, csf=0.06, neural="spinal_cord"), "2"),
        (Seen(z_mm=0.0, canal_mm=6.0, sac_mm=4.0, cord_gap_mm=0.0, cord_mm=2.0, csf=0.04, neural="spinal_cord"), "3"),
        (Seen(z_mm=0.0, canal_mm=6.0, sac_mm=4.0, cord_gap_mm=0.0, cord_mm=2.0, neural="spinal_cord"), "2 3"),
        (Seen(z_mm=0.0, canal_mm=6.0, sac_mm=4.0, sac_area_mm2=90.0, neural="cauda_equina"), "1b"),
        (Seen(z_mm=0.0, canal_mm=6.0, sac_mm=4.0, sac_area_mm2=60.0, csf=0.2, neural="cauda_equina"), "2"),
        (Seen(z_mm=0.0, canal_mm=6.0, sac_mm=4.0, sac_area_mm2=40.0, csf=0.0, neural="cauda_equina"), "3"),
    ],
)
def test_rule(seen: Seen, grades: str) -> None:
    assert [g.value for g in grades_of(seen)] == grades.split()


def test_grades_are_ordered() -> None:
    assert sorted(reversed(EsccGrade)) == list(EsccGrade)
    assert [g.value for g in EsccGrade if g.is_high] == ["2", "3"]


CASES = ["spine_t5_sclerotic", "spine_l1_conus", "spine_c6", "spine_t8_epidural", "spine_t11_cord", "spine_l2_body"]


@cache
def built(name: str, spacing_mm: float) -> tuple[Phantom, str]:
    recipe = load_case(name).recipe
    assert isinstance(recipe, SpineRecipe)
    spec = recipe.spec
    return spine(replace(spec, spacing_mm=(spacing_mm,) * 3, half_length_mm=50.0)), spec.epidural.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spacing_mm"),
    [*((name, mm) for name in CASES for mm in (2.0, 3.0)), ("spine_t8_epidural", 1.0), ("spine_t11_cord", 1.0)],
)
def test_bundled_cases_have_the_grade_they_were_built_with(name: str, spacing_mm: float) -> None:
    phantom, asked = built(name, spacing_mm)
    found = measure(phantom)
    assert found.grade is EsccGrade(asked), found.reasons


@pytest.mark.slow
@requires_shared
def test_a_real_lumbar_ct_says_what_is_missing() -> None:
    """A public CT of a lumbar spine: a vertebral body taken for the tumor, a 'cord' drawn down to the sacrum, no canal
    and no sac. Nothing is deformed; whether tumor lies in the canal cannot be told."""
    folder = SHARED / "data" / "lumbar_totalseg" / "dicom_rewrapped"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    phantom = Phantom.from_ct(read_ct(folder), read_structures(folder), above=AboveCurve.HOLD_LAST)
    body = phantom["vertebral_body_L3"]
    found = measure(phantom, tumor=[body.name])
    assert [g.value for g in found.possible] == ["0", "1a"]
    assert found.missing == ("spinal_canal", "thecal_sac")
    assert found.neural == "cauda_equina"

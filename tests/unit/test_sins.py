"""SINS: the points of the table, and what is measured from drawn structures against what was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim import clinic, materials
from rtsim.clinic import Alignment, Collapse, Findings, How, LesionQuality, Location, Pain, Posterolateral, Stability
from rtsim.clinic.sins_score import POINTS, Sins, SinsPart, location_of, stability_of
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import anatomy
from rtsim.phantom.structure import Role, Structure, Structures
from rtsim.typing import BoolArray

# source: Fisher et al. 2010, Spine 35:E1221, as on pacs.de and cancercalc.com/sins
LOCATIONS = {
    Location.JUNCTIONAL: "C0 C1 C2 C7 T1 T2 T11 T12 L1 L5 S1",
    Location.MOBILE: "C3 C4 C5 C6 L2 L3 L4",
    Location.SEMI_RIGID: "T3 T4 T5 T6 T7 T8 T9 T10",
    Location.RIGID: "S2 S3 S4 S5",
}


@pytest.mark.parametrize("location", LOCATIONS)
def test_levels_of_the_table(location: Location) -> None:
    for level in LOCATIONS[location].split():
        assert location_of(level) is location


def test_points_of_the_table() -> None:
    wanted = {
        Location: (3, 2, 1, 0),
        Pain: (3, 1, 0),
        LesionQuality: (2, 1, 0),
        Alignment: (4, 2, 0),
        Collapse: (3, 2, 1, 0),
        Posterolateral: (3, 1, 0),
    }
    for kind, points in wanted.items():
        assert tuple(POINTS[value] for value in kind) == points
    assert sum(max(points) for points in wanted.values()) == 18


@pytest.mark.parametrize("points", range(19))
def test_classes(points: int) -> None:
    wanted = Stability.STABLE if points <= 6 else Stability.POTENTIALLY_UNSTABLE if points <= 12 else Stability.UNSTABLE
    assert stability_of(points) is wanted


def test_points_that_do_not_exist() -> None:
    for points in (-1, 19):
        with pytest.raises(InputError, match="0 to 18"):
            stability_of(points)


@pytest.mark.parametrize(("given", "name"), [("Th8", Location.SEMI_RIGID), ("d12", Location.JUNCTIONAL)])
def test_other_writings_of_a_level(given: str, name: Location) -> None:
    assert location_of(given) is name


@pytest.mark.parametrize(
    ("given", "nearest"), [("T13", "T12"), ("L6", "L5"), ("C8", "C7"), ("S6", "S5"), ("T88", "T8"), ("th13", "T12")]
)
def test_unknown_level_names_the_nearest_of_its_region(given: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{nearest}'"):
        location_of(given)


@pytest.mark.parametrize(("given", "nearest"), [("L6", "L5"), ("C8", "C7"), ("T13", "T12"), ("S2", "S1")])
def test_unknown_level_of_a_phantom_likewise(given: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{nearest}'"):
        anatomy.level(given)


def test_assumed_parts_span_a_range() -> None:
    score = Sins(
        level="T8",
        parts=(
            SinsPart(name="location", value=Location.SEMI_RIGID, how=How.MEASURED, reason=""),
            SinsPart(name="pain", value=Pain.NONE, how=How.ASSUMED, reason=""),
            SinsPart(name="lesion", value=LesionQuality.LYTIC, how=How.GIVEN, reason=""),
        ),
    )
    assert (score.total, score.lowest, score.highest) == (3, 3, 6)
    assert [part.name for part in score.assumed] == ["pain"]
    assert "(3 to 6 as assumed parts turn out; best assumed of pain)" in str(score)
    with pytest.raises(InputError, match="did you mean 'pain'"):
        score["pains"]


GRID = Grid((60, 50, 40), (2.0, 2.0, 2.0), (-39.0, -49.0, -59.0))
Z, Y, X = (GRID.z_mm[:, None, None], GRID.y_mm[None, :, None], GRID.x_mm[None, None, :])
BODY_HEIGHT = 20.0
PITCH = 26.0


def body(middle_mm: float, height_mm: float = BODY_HEIGHT) -> BoolArray:
    low = middle_mm - BODY_HEIGHT / 2
    return (np.abs(X) < 16.0) & (np.abs(Y + 14.0) < 14.0) & (low < Z) & (low + height_mm > Z)


def arch(middle_mm: float) -> BoolArray:
    near = (np.abs(Z - middle_mm) < 6.0) & (np.abs(X) < 20.0) & (Y > 0.0) & (Y < 26.0)
    hollow = (np.abs(X) < 10.0) & (Y < 16.0)
    return near & ~hollow


def phantom(tumor: BoolArray, *, hu: float = 60.0, marrow: float = 190.0, height_mm: float = BODY_HEIGHT) -> Phantom:
    """Three vertebrae (T7, T8, T9) with a canal behind them; T8 holds the tumor."""
    whole = {
        "vertebra_T7": body(PITCH) | arch(PITCH),
        "vertebra_T8": body(0.0, height_mm) | arch(0.0),
        "vertebra_T9": body(-PITCH) | arch(-PITCH),
    }
    canal = (np.abs(X) < 10.0) & (Y > 0.0) & (Y < 16.0) & (np.abs(Z) < 200.0)
    image = np.full(GRID.shape, 40.0)
    for bone in whole.values():
        image[bone] = marrow
    image[tumor] = hu
    image += np.random.default_rng(3).normal(0.0, 15.0, GRID.shape)
    drawn = {**whole, "spinal_canal": canal, "GTV": tumor}
    structures = tuple(
        Structure.from_coverage(name, Role.GTV if name == "GTV" else Role.OAR, GRID, inside)
        for name, inside in drawn.items()
    )
    return Phantom.from_density(
        np.ones(GRID.shape),
        np.zeros(GRID.shape, np.uint8),
        (materials.get("water"),),
        GRID,
        Structures(structures),
        hu=image,
    )


FRONT = body(0.0) & (np.abs(X) < 9.0) & (Y < -8.0)


@pytest.mark.parametrize(
    ("hu", "marrow", "quality", "how"),
    [
        (60.0, 190.0, LesionQuality.LYTIC, How.MEASURED),
        (650.0, 190.0, LesionQuality.BLASTIC, How.MEASURED),
        (290.0, 190.0, LesionQuality.MIXED, How.MEASURED),
        (100.0, 105.0, LesionQuality.MIXED, How.ASSUMED),
    ],
)
def test_quality_of_the_lesion(hu: float, marrow: float, quality: LesionQuality, how: How) -> None:
    part = clinic.sins(phantom(FRONT, hu=hu, marrow=marrow))["lesion"]
    assert part.value is quality
    assert part.how is how


@pytest.mark.parametrize(
    ("height_mm", "tumor", "value"),
    [
        (20.0, FRONT, Collapse.NONE),
        (20.0, body(0.0) & (X < 10.0), Collapse.NONE_BUT_HALF_INVOLVED),
        (14.0, FRONT, Collapse.LESS_THAN_HALF),
        (8.0, FRONT, Collapse.MORE_THAN_HALF),
    ],
)
def test_collapse_against_the_neighbours(height_mm: float, tumor: BoolArray, value: Collapse) -> None:
    """Heights of 14 and 8 mm beside 20 mm: 30 and 60 % lost, exactly on 2 mm voxels."""
    part = clinic.sins(phantom(tumor & body(0.0, height_mm), height_mm=height_mm))["collapse"]
    assert part.value is value, part.reason
    assert part.how is How.MEASURED


LEFT, RIGHT = arch(0.0) & (X > 10.0), arch(0.0) & (X < -10.0)
SPINOUS = arch(0.0) & (np.abs(X) < 4.0)


@pytest.mark.parametrize(
    ("tumor", "value"),
    [
        (FRONT, Posterolateral.NONE),
        (FRONT | SPINOUS, Posterolateral.NONE),
        (FRONT | LEFT, Posterolateral.UNILATERAL),
        (FRONT | RIGHT, Posterolateral.UNILATERAL),
        (LEFT | RIGHT, Posterolateral.BILATERAL),
    ],
)
def test_posterolateral(tumor: BoolArray, value: Posterolateral) -> None:
    part = clinic.sins(phantom(tumor))["posterolateral"]
    assert part.value is value, part.reason
    assert part.how is How.MEASURED


def test_left_is_positive_x() -> None:
    reason = clinic.sins(phantom(FRONT | LEFT))["posterolateral"].reason
    assert "right 0.0 cm3" in reason
    assert "left 0.0 cm3" not in reason


def test_the_total_says_which_way_its_assumptions_lean() -> None:
    """Tumor outside of bone: the quality is assumed at its worst, pain and alignment at their best."""
    in_canal = (np.abs(X) < 6.0) & (Y > 2.0) & (Y < 12.0) & (np.abs(Z) < 8.0)
    score = clinic.sins(phantom(in_canal), level="T8")
    assert score["lesion"].how is How.ASSUMED
    assert score["lesion"].value is LesionQuality.LYTIC
    assert "best assumed of pain and alignment, worst assumed of lesion" in str(score)
    alike = clinic.sins(phantom(FRONT, hu=100.0, marrow=105.0))
    assert "middle assumed of lesion" in str(alike)


def test_level_is_found_and_given_goes_first() -> None:
    score = clinic.sins(phantom(FRONT))
    assert score.level == "T8"
    assert score["location"].how is How.MEASURED
    given = clinic.sins(phantom(FRONT), level="Th9")
    assert given.level == "T9"
    assert given["location"].how is How.GIVEN


def test_what_is_given_goes_before_what_is_measured() -> None:
    said = Findings(
        pain=Pain.MECHANICAL,
        alignment=Alignment.SUBLUXATION,
        lesion=LesionQuality.BLASTIC,
        collapse=Collapse.MORE_THAN_HALF,
        posterolateral=Posterolateral.BILATERAL,
    )
    score = clinic.sins(phantom(FRONT), said, level="L5")
    assert score.total == score.lowest == score.highest == 3 + 3 + 0 + 4 + 3 + 3
    assert score.stability is Stability.UNSTABLE
    assert {part.how for part in score.parts} == {How.GIVEN}


def test_what_is_not_drawn_is_assumed() -> None:
    bare = phantom(FRONT)
    kept = tuple(bare[name] for name in ("GTV", "vertebra_T8"))
    score = clinic.sins(replace(bare, structures=Structures(kept)))
    assert {part.name for part in score.assumed} == {"pain", "alignment", "collapse", "posterolateral"}


def test_no_level_is_said() -> None:
    bare = phantom(FRONT)
    with pytest.raises(InputError, match="level='T8'"):
        clinic.sins(replace(bare, structures=Structures((bare["GTV"],))))


def test_a_body_that_the_ct_cuts_is_not_compared() -> None:
    """T7 reaches the last slice: nothing is measured against it, T9 alone is the measure."""
    cut = phantom(FRONT)
    high = body(50.0) & (Z > 0.0)
    structures = cut.structures.adding(Structure.from_coverage("vertebra_T7", Role.OAR, GRID, high | arch(50.0)))
    part = clinic.sins(replace(cut, structures=structures))["collapse"]
    assert "T9" in part.reason
    assert "T7" not in part.reason

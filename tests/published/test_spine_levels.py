"""Every level from C3 to S1 against the tables: vertebra, canal, pedicle, cord, sac, disc, curvature, neighbors."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from rtsim.geometry.shapes import Shape, Union
from rtsim.phantom.spine import LEVELS, level
from rtsim.phantom.spine.column import Column, Placement
from rtsim.phantom.spine.organs import abdominal_organs, thoracic_organs
from rtsim.phantom.spine.ribs import rib_path
from rtsim.phantom.spine.trunk import Trunk
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.typing import FloatArray

STEP = 0.05

# source: Panjabi 1991 (DOI 10.1097/00007632-199108000-00006, -00007), 1992 (10.1097/00007632-199203000-00010), rounded,
# from memory; S1 from memory: upper endplate width x depth, posterior height, canal AP x width, pedicle width.
# Levels that the tables leave out (T3, T5, T7, T9) must lie between their neighbors.
TABLE = {
    "C3": (16.0, 15.0, 11.6, 16.0, 23.0, 5.6),
    "C4": (17.0, 15.0, 11.4, 16.0, 24.0, 5.4),
    "C5": (17.5, 15.5, 11.4, 16.0, 24.7, 5.6),
    "C6": (18.5, 16.5, 10.9, 16.0, 25.5, 6.0),
    "C7": (22.0, 18.0, 12.8, 15.0, 24.5, 6.6),
    "T1": (24.5, 18.5, 14.1, 16.4, 21.8, 8.5),
    "T2": (25.0, 19.6, 15.6, 15.7, 19.5, 7.0),
    "T4": (24.5, 23.3, 16.2, 16.0, 17.0, 4.7),
    "T6": (26.0, 26.0, 17.4, 16.0, 17.3, 5.0),
    "T8": (29.5, 28.0, 18.7, 16.0, 17.5, 6.0),
    "T10": (32.0, 30.5, 20.2, 15.5, 18.0, 7.0),
    "T11": (35.0, 32.0, 21.3, 16.0, 19.5, 8.5),
    "T12": (39.0, 33.0, 22.7, 18.0, 22.0, 8.5),
    "L1": (41.0, 34.0, 23.8, 19.0, 23.7, 8.6),
    "L2": (42.6, 34.6, 24.3, 18.2, 23.8, 8.3),
    "L3": (44.0, 35.2, 23.8, 17.5, 24.3, 10.2),
    "L4": (46.6, 35.5, 24.1, 18.6, 25.4, 14.1),
    "L5": (47.3, 34.7, 22.9, 19.7, 27.1, 18.0),
    "S1": (50.0, 32.0, 28.0, 15.0, 30.0, 20.0),
}


@cache
def column() -> Column:
    return Column.around("T8")


@cache
def vertebra(name: str) -> Vertebra:
    return Vertebra.of(column()[name])


def extent(shape: Shape, placed: Placement, axis: int, base: tuple[float, float, float]) -> float:
    """Length in mm of the piece of ``shape`` that holds ``base``, along a local axis through it."""
    ticks = np.arange(-70.0, 70.0, STEP)
    local = np.tile(np.array(base), (len(ticks), 1))
    local[:, axis] += ticks
    inside = shape.contains(np.array([placed.at(*(float(c) for c in p)) for p in local]))
    outside = np.flatnonzero(~inside)
    middle = len(ticks) // 2
    return float(STEP * (outside[outside > middle].min() - outside[outside < middle].max() - 1))


@pytest.mark.parametrize("name", LEVELS)
def test_dimensions_of_every_level(name: str) -> None:
    """Of the painted shapes, measured in the level's own axes; standard deviations in the tables are 5-10 %."""
    placed, whole = column()[name], vertebra(name)
    row = level(name)
    width, depth, height, canal_ap, canal_width, pedicle = TABLE.get(
        name,
        (
            row.endplate_width_mm,
            row.endplate_depth_mm,
            row.height_mm,
            row.canal_ap_mm,
            row.canal_width_mm,
            row.pedicle_width_mm,
        ),
    )
    if name not in TABLE:
        names = list(TABLE)
        near = sorted(names, key=lambda n: abs(LEVELS.index(n) - LEVELS.index(name)))[:2]
        for value, low, high in zip(
            (width, depth, height, canal_ap, canal_width, pedicle), *(TABLE[n] for n in near), strict=True
        ):
            assert min(low, high) <= value <= max(low, high)
    near_endplate = 0.5 * height - 0.9
    assert extent(whole.body, placed, 0, (0.0, 0.0, near_endplate)) == pytest.approx(width, rel=0.06)
    assert extent(whole.body, placed, 1, (0.0, 0.0, near_endplate)) == pytest.approx(depth, rel=0.08)
    assert extent(whole.body, placed, 2, (0.0, 0.0, 0.0)) == pytest.approx(height, abs=0.7)  # endplates bulge 0.3 mm
    v = placed.canal_v_mm
    canal = column().canal()
    # 7 %: at S1 the canal bends within the level
    assert extent(canal, placed, 1, (0.0, v, 0.0)) == pytest.approx(canal_ap, rel=0.07)
    assert extent(canal, placed, 0, (0.0, v, 0.0)) == pytest.approx(canal_width, rel=0.06)
    w = {"C": 0.05, "T": 0.22, "L": 0.18, "S": 0.1}[name[0]] * height
    u = (canal_width + pedicle) / 2
    for side, part in ((1.0, whole.pedicle_left), (-1.0, whole.pedicle_right)):
        assert extent(part, placed, 0, (side * u, v - 1.0, w)) == pytest.approx(pedicle, abs=1.0)


@pytest.mark.parametrize("name", LEVELS)
def test_sac_leaves_room_in_the_canal_and_cord_in_the_sac(name: str) -> None:
    placed, row = column()[name], level(name)
    v = placed.canal_v_mm
    sac_ap, sac_w = (extent(column().sac(), placed, axis, (0.0, v, 0.0)) for axis in (1, 0))
    # sac: C 13-15, T 12-14, L 13-16 mm deep [M], and never within 1 mm of the bone
    low, high = {"C": (12.5, 15.5), "T": (12.0, 15.0), "L": (13.0, 16.5), "S": (10.0, 14.0)}[name[0]]
    assert low <= sac_ap <= high
    assert sac_ap <= row.canal_ap_mm - 1.5
    assert sac_w <= 0.9 * row.canal_width_mm
    if row.cord_width_mm == 0:
        assert row.name in ("L2", "L3", "L4", "L5", "S1")  # the conus ends at L1/L2 [M]
        return
    cord_w, cord_ap = (extent(column().cord(), placed, axis, (0.0, v, 0.0)) for axis in (0, 1))
    # Frostell 2016 (DOI 10.3389/fneur.2016.00238) and MRI by level (AJNR 11:369): 8-14 mm wide, 6-9 mm deep
    assert 7.0 <= cord_w <= 14.5
    assert 5.5 <= cord_ap <= 9.0
    # fluid around the cord, 2-4 mm [M]; at the enlargements it is the least
    assert 1.5 <= (sac_ap - cord_ap) / 2 <= 5.0


# source: Frostell 2016, C5 13.3 +- 2.2 x 7.4 +- 1.6, T8 8.3 +- 2.1 x 6.3 +- 2.0; AJNR 11:369 by MRI, C4 14 x 8.7,
# C7 11.4 x 7.4 (no spread given: that of Frostell)
@pytest.mark.parametrize(
    ("name", "width", "width_sd", "ap", "ap_sd"),
    [("C4", 14.0, 2.2, 8.7, 1.6), ("C5", 13.3, 2.2, 7.4, 1.6), ("C7", 11.4, 2.2, 7.4, 1.6), ("T8", 8.3, 2.1, 6.3, 2.0)],
)
def test_cord_lies_within_one_standard_deviation(
    name: str, width: float, width_sd: float, ap: float, ap_sd: float
) -> None:
    placed = column()[name]
    at = (0.0, placed.canal_v_mm, 0.0)
    assert abs(extent(column().cord(), placed, 0, at) - width) < width_sd
    assert abs(extent(column().cord(), placed, 1, at) - ap) < ap_sd


def test_cord_has_its_two_enlargements() -> None:
    area = {n: level(n).cord_width_mm * level(n).cord_ap_mm for n in LEVELS if level(n).cord_width_mm > 0}
    assert max(area, key=lambda n: area[n]) in ("C4", "C5", "C6")
    lumbar = {n: a for n, a in area.items() if n in ("T8", "T9", "T10", "T11", "T12", "L1")}
    assert max(lumbar, key=lambda n: lumbar[n]) in ("T11", "T12")
    assert min(area, key=lambda n: area[n] if n[0] == "T" else np.inf) in ("T6", "T7", "T8")


def test_discs_and_curvature() -> None:
    for name in LEVELS[:-1]:
        row = level(name)
        low, high = {"C": (5.0, 6.0), "T": (4.0, 6.5), "L": (8.0, 12.0)}[name[0]]
        assert low <= row.disc_mm <= high
    tilt = {n: level(n).tilt_deg for n in LEVELS}
    # usual ranges of adults [M]: thoracic kyphosis 20-45, lumbar lordosis 40-60, cervical lordosis 15-40 degrees
    assert 20.0 <= tilt["T12"] - tilt["T1"] <= 45.0
    assert 40.0 <= tilt["L1"] - tilt["S1"] <= 60.0
    assert 15.0 <= tilt["C3"] - tilt["C7"] <= 40.0
    places = [column()[n].center_mm for n in LEVELS]
    steps = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
    heights = [(level(a).height_mm + level(b).height_mm) / 2 + level(a).disc_mm for a, b in pairwise(LEVELS)]
    assert steps == pytest.approx(heights, rel=0.015)  # each level leans on its own
    # neck, chest and loins of an adult [M]
    assert 480.0 < float(steps.sum()) < 640.0


@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_rib_starts_beside_its_vertebra_and_sinks_forward(number: int, side: float) -> None:
    path = np.array(rib_path(Trunk(column()), number, side))
    placed = column()[f"T{number}"]
    assert float(vertebra(f"T{number}").body.distance_mm(path[0])) < 4.4  # the radius of its head
    assert (side * path[1:, 0] > 0).all()
    assert path[-1, 2] < path[0, 2]
    assert path[-1, 1] < placed.center_mm[1] or number >= 11


@cache
def organs() -> dict[str, Shape]:
    trunk = Trunk(column())
    found: dict[str, list[Shape]] = {}
    for organ in (*thoracic_organs(trunk), *abdominal_organs(trunk, 1)):
        if organ.structure:
            found.setdefault(organ.structure, []).append(organ.shape)
    return {name: Union(tuple(shapes)) for name, shapes in found.items()}


def section(name: str, at: str) -> FloatArray:
    """(n, 2) x and y - y of the body's front, of the points of an organ in the axial plane of a level."""
    placed = column()[at]
    step = 8.0 if name == "bowel" else 2.0
    x, y = np.meshgrid(np.arange(-180.0, 181.0, step), np.arange(-220.0, 120.0, step))
    z = placed.center_mm[2]
    points = np.stack((x, y + placed.center_mm[1], np.full_like(x, z)), axis=-1)
    inside = organs()[name].contains(points)
    front = placed.at(0.0, -placed.level.endplate_depth_mm / 2, 0.0)[1] - placed.center_mm[1]
    return np.stack((x[inside], y[inside] - front), axis=-1)


# source: CT anatomy by level, from memory; the founding facts: lungs T2-T11, esophagus and aorta 5-15 mm before T4-T10,
# kidneys T12-L3, bowel L2-S1
@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("lung_left", ("T3", "T5", "T8", "T10"), ("C6", "L2")),
        ("lung_right", ("T3", "T5", "T8", "T10"), ("C6", "L2")),
        ("heart", ("T7", "T8", "T9"), ("T2", "L1")),
        ("aorta", ("T5", "T8", "T11", "L1", "L3"), ("T1", "S1")),
        ("esophagus", ("C7", "T2", "T5", "T8", "T10"), ("C3", "L2")),
        ("trachea", ("C4", "C6", "T1", "T3"), ("T8",)),
        ("liver", ("T11", "T12", "L1"), ("T4", "L5")),
        ("stomach", ("T12",), ("T5", "L5")),
        ("spleen", ("T12",), ("T5", "L5")),
        ("kidney_left", ("T12", "L1", "L2"), ("T9", "L5")),
        ("kidney_right", ("L1", "L2", "L3"), ("T9", "L5")),
        ("bowel", ("L2", "L3", "L4", "L5"), ("T8",)),
        ("inferior_vena_cava", ("T11", "L1", "L3"), ("T5", "S1")),
    ],
)
def test_neighbors_lie_at_their_levels(name: str, present: tuple[str, ...], absent: tuple[str, ...]) -> None:
    for at in present:
        assert len(section(name, at)), f"no {name} at {at}"
    for at in absent:
        assert not len(section(name, at)), f"{name} at {at}"


@pytest.mark.parametrize("at", ["T5", "T6", "T7", "T8", "T9"])
def test_aorta_and_esophagus_lie_close_before_the_column(at: str) -> None:
    for name in ("aorta", "esophagus"):
        points = section(name, at)
        placed = column()[at]
        body = np.stack(
            (
                points[:, 0],
                points[:, 1] + placed.at(0.0, -placed.level.endplate_depth_mm / 2, 0.0)[1],
                np.full(len(points), placed.center_mm[2]),
            ),
            axis=-1,
        )
        gap = float(vertebra(at).body.distance_mm(body).min())
        assert 0.0 < gap <= 21.0, f"{name} at {at}: {gap:.1f} mm"
    if at != "T5":  # where the arch crosses
        assert section("aorta", at)[:, 0].max() > 25.0  # left of the middle
        assert section("aorta", at)[:, 1].max() > -15.0

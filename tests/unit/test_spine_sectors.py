"""CTV by sectors: every row of the consensus' table (Cox 2012, DOI 10.1016/j.ijrobp.2012.03.009, from memory)."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.errors import GeometryError, InputError
from rtsim.geometry.coverage import coverage
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Sphere
from rtsim.phantom.spine.column import Column
from rtsim.phantom.spine.sectors import (
    BodyExtent,
    BothPedicles,
    Involvement,
    Part,
    Sector,
    clinical_target,
    involvement,
    part_shape,
    union,
)
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.phantom.structure import Role, Structure

B, SP = Part.BODY, Part.SPINOUS
PL, TL, LL = Part.PEDICLE_LEFT, Part.TRANSVERSE_LEFT, Part.LAMINA_LEFT
PR, TR, LR = Part.PEDICLE_RIGHT, Part.TRANSVERSE_RIGHT, Part.LAMINA_RIGHT


@pytest.mark.parametrize(
    ("body", "parts", "ctv"),
    [
        pytest.param(BodyExtent.PART, set(), {B}, id="any part of the body"),
        pytest.param(BodyExtent.LEFT, set(), {B, PL, TL}, id="body, lateralized left"),
        pytest.param(BodyExtent.RIGHT, set(), {B, PR, TR}, id="body, lateralized right"),
        pytest.param(BodyExtent.DIFFUSE, set(), {B, PL, TL, PR, TR}, id="diffuse body"),
        pytest.param(BodyExtent.PART, {PL}, {B, PL, TL, LL}, id="body and one pedicle"),
        pytest.param(BodyExtent.PART, {PL, PR}, {B, PL, TL, LL, PR, TR, LR}, id="body and both pedicles"),
        pytest.param(BodyExtent.NONE, {PR}, {PR, TR, LR}, id="one pedicle"),
        pytest.param(BodyExtent.NONE, {LL}, {LL, TL, PL, SP}, id="one lamina"),
        pytest.param(BodyExtent.NONE, {TR}, {LR, TR, PR, SP}, id="one transverse process"),
        pytest.param(BodyExtent.NONE, {SP}, {SP, LL, LR}, id="spinous process"),
        pytest.param(
            BodyExtent.DIFFUSE, {PL, PR, LL, LR, SP}, {B, PL, TL, LL, PR, TR, LR, SP}, id="all round: the whole ring"
        ),
    ],
)
def test_rows_of_the_table(body: BodyExtent, parts: set[Part], ctv: set[Part]) -> None:
    assert clinical_target(Involvement(body, frozenset(parts))) == ctv


def test_sources_differ_on_the_spinous_process_of_body_and_both_pedicles() -> None:
    both = Involvement(BodyExtent.PART, frozenset({PL, PR}))
    assert SP not in clinical_target(both)
    assert SP in clinical_target(both, both_pedicles=BothPedicles.WITH_SPINOUS)
    one = Involvement(BodyExtent.PART, frozenset({PL}))
    assert SP not in clinical_target(one, both_pedicles=BothPedicles.WITH_SPINOUS)


def test_pedicle_takes_the_body_only_when_it_is_asked_to() -> None:
    pedicle = Involvement(parts=frozenset({PL}))
    assert B not in clinical_target(pedicle)
    assert clinical_target(pedicle, body_with_pedicle=True) == {B, PL, TL, LL}


def test_every_involved_sector_is_in_the_target() -> None:
    """The rule itself, over all combinations."""
    others = [p for p in Part if p is not B]
    for bits in range(1 << len(others)):
        parts = frozenset(p for n, p in enumerate(others) if bits >> n & 1)
        for body in BodyExtent:
            if body is BodyExtent.NONE and not parts:
                continue
            involved = Involvement(body, parts)
            target = clinical_target(involved)
            assert parts <= target
            assert all(s.parts <= target for s in involved.sectors)


def test_sectors_share_out_the_vertebra() -> None:
    assert [s.value for s in Sector] == [1, 2, 3, 4, 5, 6]
    assert sorted(p.value for s in Sector for p in s.parts) == sorted(p.value for p in Part)


def vertebra(name: str = "T8") -> Vertebra:
    return Vertebra.of(Column.around(name)[name])


def ball(center_mm: tuple[float, float, float], radius_mm: float) -> Structure:
    lower = (center_mm[0] - radius_mm - 2, center_mm[1] - radius_mm - 2, center_mm[2] - radius_mm - 2)
    upper = (center_mm[0] + radius_mm + 2, center_mm[1] + radius_mm + 2, center_mm[2] + radius_mm + 2)
    grid = Grid.covering(lower, upper, (1.0, 1.0, 1.0))
    return Structure.from_coverage("GTV", Role.GTV, grid, coverage(Sphere(center_mm, radius_mm), grid))


def test_involvement_is_measured_on_a_drawn_gtv() -> None:
    v = vertebra()
    assert involvement(ball((0.0, -4.0, 0.0), 4.0), v) == Involvement(BodyExtent.PART)
    assert involvement(ball((0.0, -2.0, 0.0), 11.0), v) == Involvement(BodyExtent.DIFFUSE)
    assert involvement(ball((7.0, -4.0, 0.0), 4.0), v) == Involvement(BodyExtent.LEFT)
    assert involvement(ball((-7.0, -4.0, 0.0), 4.0), v) == Involvement(BodyExtent.RIGHT)
    tip = v.placement.at(0.0, v.placement.canal_v_mm + 24.0, -16.0)
    assert involvement(ball(tip, 3.0), v) == Involvement(parts=frozenset({SP}))


def test_gtv_elsewhere_is_refused() -> None:
    with pytest.raises(GeometryError, match="meets no part"):
        involvement(ball((80.0, 0.0, 0.0), 5.0), vertebra())


def test_involvement_says_where() -> None:
    with pytest.raises(InputError, match="somewhere"):
        Involvement()
    with pytest.raises(InputError, match="BODY"):
        Involvement(parts=frozenset({B}))
    with pytest.raises(InputError, match="at least one part"):
        union(vertebra(), frozenset())


def test_union_holds_its_parts() -> None:
    v = vertebra()
    points = np.array([v.placement.at(0.0, 0.0, 0.0), v.placement.at(0.0, v.placement.canal_v_mm, 0.0)])
    whole = union(v, frozenset(Part))
    assert list(whole.contains(points)) == [True, False]
    assert list(part_shape(v, B).contains(points)) == [True, False]

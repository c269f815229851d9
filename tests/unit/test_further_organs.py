"""Structures that SpineSpec.more_organs adds: where they are, what they leave alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import SpineSpec, spine
from rtsim.phantom.structure import Role
from rtsim.protocol.nomenclature import canonical


@cache
def built(level: str, more: bool) -> Phantom:
    return spine(SpineSpec(level=level, spacing_mm=(3.0, 3.0, 3.0), half_length_mm=60.0, more_organs=more))


NEW = {
    "C6": {"larynx", "brachial_plexus_left", "brachial_plexus_right", "skin"},
    "T5": {"bronchi", "superior_vena_cava", "chest_wall", "skin"},
    "L2": {"duodenum", "renal_hilum", "skin"},
    "S1": {"sacral_plexus", "skin"},
}


@pytest.mark.parametrize("level", NEW)
def test_they_are_added_where_they_are_and_nothing_else_changes(level: str) -> None:
    usual, more = built(level, False), built(level, True)
    added = set(more.structures) - set(usual.structures)
    assert NEW[level] <= added
    for name in added:
        assert canonical(name) == name, "protocols would not find it"
        assert more[name].role is Role.OAR
    # the duodenum alone is painted, and takes its place from the CT and from organs there
    elsewhere = np.ones(more.grid.shape, dtype=bool)
    if "duodenum" in added:
        elsewhere = more["duodenum"].coverage_on(more.grid) == 0
    for name in usual.structures:
        changed = more[name].coverage_on(more.grid) != usual[name].coverage_on(usual.grid)
        assert not (changed & elsewhere).any(), name
    assert not ((more.ct.hu != usual.ct.hu) & elsewhere).any()


@pytest.mark.parametrize("level", NEW)
def test_none_lies_in_the_canal(level: str) -> None:
    phantom = built(level, True)
    canal = phantom["spinal_canal"].coverage_on(phantom.grid)
    for name in NEW[level]:
        shared = np.minimum(phantom[name].coverage_on(phantom.grid), canal).sum() * phantom.grid.voxel_volume_cm3
        assert shared < 0.1, name


# source: adult organs, from memory: larynx 20-50 cm3 with its lumen, skin rind of 3 mm, duodenum 25-30 cm long
@pytest.mark.parametrize(
    ("level", "name", "low", "high"),
    [
        ("C6", "larynx", 20.0, 50.0),
        ("T5", "bronchi", 10.0, 40.0),
        ("L2", "renal_hilum", 10.0, 40.0),
        ("L2", "duodenum", 30.0, 110.0),
    ],
)
def test_volumes(level: str, name: str, low: float, high: float) -> None:
    assert low < built(level, True)[name].volume_cm3 < high

"""Which structure is the tumor, and at which level of the column it lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.optimize.find import is_same_volume
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.nomenclature import canonical

_VERTEBRA: Final = re.compile(r"vertebra(?:l_body)?_([CTLS]\d{1,2})")


def tumor_of(phantom: Phantom, names: Sequence[str] = ()) -> tuple[Structure, ...]:
    """The gross tumor: the structures called ``names``, else the one GTV that is drawn; empty when none is.

    Raises:
        InputError: no structure of a name (with the nearest), or several GTVs and none named.
    """
    if names:
        return tuple(phantom[name] for name in names)
    found: list[Structure] = []
    for s in phantom.structures.values():
        named = s.role is Role.GTV or canonical(s.name) == "GTV"
        if named and not any(is_same_volume(s, other) for other in found):
            found.append(s)
    if len(found) > 1:
        raise InputError(
            f"{len(found)} gross tumor volumes are drawn: {', '.join(s.name for s in found)}; say which belong to the "
            "lesion that is asked about (tumor=..., on the command line --gtv NAME)"
        )
    return tuple(found)


def vertebrae(phantom: Phantom) -> dict[str, tuple[Structure, ...]]:
    """The structures of each vertebra that is drawn, whole or its body, by level."""
    found: dict[str, tuple[Structure, ...]] = {}
    for s in phantom.structures.values():
        match = _VERTEBRA.fullmatch(canonical(s.name) or "")
        if match:
            found[match[1]] = (*found.get(match[1], ()), s)
    return found


def level_of(phantom: Phantom, tumor: tuple[Structure, ...]) -> str | None:
    """The level whose vertebra holds most of the tumor; when none holds any, the one at whose height most of it lies.

    None when no vertebra is drawn there: the level must then be given.
    """
    drawn = vertebrae(phantom)
    if not drawn or not tumor:
        return None
    shared = {level: max(_shared_cm3(tumor, s) for s in parts) for level, parts in drawn.items()}
    best = max(shared, key=lambda level: shared[level])
    if shared[best] > 0.0:
        return best
    height = {level: sum(_beside_cm3(t, s) for t in tumor for s in parts) for level, parts in drawn.items()}
    best = max(height, key=lambda level: height[level])
    return best if height[best] > 0.0 else None


@dataclass(frozen=True)
class Heights:
    """Where each drawn vertebra stands: (level, z of its middle, how tall it is drawn), mm."""

    rows: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, phantom: Phantom) -> Heights:
        """Of every vertebra that is drawn."""
        rows = []
        for level, parts in vertebrae(phantom).items():
            smallest = min(parts, key=lambda s: s.volume_cm3)  # the body, where that is drawn too
            tall = smallest.grid.upper_mm[2] - smallest.grid.lower_mm[2]
            rows.append((level, smallest.centroid_mm[2], tall))
        return cls(tuple(rows))

    def at(self, z_mm: float) -> str | None:
        """The vertebra whose middle is nearest to an axial slice; None when none reaches it."""
        near = [(abs(z - z_mm), level) for level, z, tall in self.rows if abs(z - z_mm) <= tall]
        return min(near)[1] if near else None


def _shared_cm3(tumor: tuple[Structure, ...], other: Structure) -> float:
    """Volume of the tumor in ``other``, on its grid."""
    total = 0.0
    for t in tumor:
        inside = np.minimum(t.coverage_on(other.grid), other.coverage)
        # voxels that two neighbours share by halves are no common volume
        total += float(inside[inside >= 0.5].sum(dtype=np.float64)) * other.grid.voxel_volume_cm3
    return total


def _beside_cm3(tumor: Structure, other: Structure) -> float:
    """Volume of the tumor on the slices of ``other``."""
    z = tumor.grid.z_mm
    here = (z >= other.grid.lower_mm[2]) & (z <= other.grid.upper_mm[2])
    return float(tumor.coverage[here].sum(dtype=np.float64)) * tumor.grid.voxel_volume_cm3

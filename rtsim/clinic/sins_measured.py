"""The parts of SINS that a CT and drawn structures show: quality of the lesion, collapse, posterolateral involvement.

Thresholds are rtsim's: tumor in bone is lytic when its median HU is below 115 and below 70 % of the marrow next to it,
blastic above 450 (sclerotic metastases 654 +- 176: AJR 2016 207:362), mixed between; when it looks like the marrow next
to it, the CT shows nothing, and mixed is assumed. A body counts as collapsed from 20 % of height lost against its
neighbours (Genant 1993: 20 to 25 % is a mild fracture); a pedicle or facet counts as involved from 0.1 cm3 of tumor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import binary_erosion

from rtsim.clinic.findings import Collapse, LesionQuality, Posterolateral
from rtsim.clinic.level import vertebrae
from rtsim.clinic.sins_score import LEVELS, How, Part, SinsPart
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import resample_linear
from rtsim.optimize.find import find_structure
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.typing import BoolArray, FloatArray

LYTIC_BELOW_HU: Final = 115.0
LYTIC_BELOW_SHARE: Final = 0.7
_ALIKE: Final = (0.8, 1.25)
_ALIKE_SPREAD: Final = 1.4
BLASTIC_ABOVE_HU: Final = 450.0
COLLAPSED_FROM: Final = 0.20
INVOLVED_CM3: Final = 0.1
_METAL_HU: Final = 2000.0
_FOREIGN: Final = ("screws", "rods", "cage", "cement")
_FEWEST_VOXELS: Final = 20
_PURE: Final = 0.95
_SHELL_MM: Final = 2.0
_BEFORE_CORD_MM: Final = 4.0
"""From the front of the cord to the back of the body, where no canal is drawn. [A]"""
_MIDDLE: Final = 0.6
"""Share of the body's breadth and depth over which its height is read: the rims are beaked."""


@dataclass(frozen=True, eq=False)
class _Bone:
    """One vertebra on its own crop of the CT, and what of it lies in front of and beside the canal."""

    grid: Grid
    whole: BoolArray
    body: BoolArray
    body_coverage: FloatArray
    sides: tuple[BoolArray, BoolArray] | None
    """(left, right) of the canal; None when nothing tells them from the body."""
    is_cut: bool = False
    """The CT ends within the body."""


def lesion_part(phantom: Phantom, tumor: tuple[Structure, ...], level: str) -> SinsPart:
    """Lytic, mixed or blastic, by the HU of the tumor in bone."""
    bone = _bone(phantom, level)
    inside = _tumor_on(tumor, bone.grid) & (bone.whole | bone.body) if bone is not None else None
    if bone is None or inside is None or np.count_nonzero(inside) < _FEWEST_VOXELS:
        reason = "no tumor is drawn in bone, so the worst is assumed" if bone else f"no vertebra {level} is drawn"
        return SinsPart(name="lesion", value=LesionQuality.LYTIC, how=How.ASSUMED, reason=reason)
    hu = _hu_on(phantom, bone.grid)
    usable = inside & (hu < _METAL_HU) & ~_foreign(phantom, bone.grid)
    # voxels that are tumor through and through, where there are enough: rims are half cortical bone
    pure = usable & _tumor_on(tumor, bone.grid, _PURE)
    usable = pure if np.count_nonzero(pure) >= _FEWEST_VOXELS else usable
    if np.count_nonzero(usable) < _FEWEST_VOXELS:
        return SinsPart(
            name="lesion", value=LesionQuality.LYTIC, how=How.ASSUMED, reason="metal fills the bone that is tumor"
        )
    return _judged(_Tissue.of(hu[usable]), _marrow(phantom, tumor, level))


@dataclass(frozen=True)
class _Tissue:
    """Percentiles (10, 50, 90) of HU."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, hu: FloatArray) -> _Tissue:
        low, median, high = (float(v) for v in np.percentile(hu, (10, 50, 90)))
        return cls(low, median, high)

    def __str__(self) -> str:
        return f"median {self.median:.0f} HU (tenth to ninetieth percentile {self.low:.0f} to {self.high:.0f})"


def _judged(found: _Tissue, marrow: _Tissue | None) -> SinsPart:
    reason = f"tumor in bone: {found}" + (f"; marrow next to it: median {marrow.median:.0f} HU" if marrow else "")
    lytic_below = LYTIC_BELOW_HU if marrow is None else min(LYTIC_BELOW_HU, LYTIC_BELOW_SHARE * marrow.median)
    if found.median < lytic_below:
        return SinsPart(name="lesion", value=LesionQuality.LYTIC, how=How.MEASURED, reason=reason)
    if found.median > BLASTIC_ABOVE_HU:
        return SinsPart(name="lesion", value=LesionQuality.BLASTIC, how=How.MEASURED, reason=reason)
    if marrow is not None and _is_alike(found, marrow):
        reason += ": the CT shows no change of bone"
        return SinsPart(name="lesion", value=LesionQuality.MIXED, how=How.ASSUMED, reason=reason)
    return SinsPart(name="lesion", value=LesionQuality.MIXED, how=How.MEASURED, reason=reason)


def _is_alike(found: _Tissue, marrow: _Tissue) -> bool:
    low, high = _ALIKE
    spread = (found.high - found.low) / max(1.0, marrow.high - marrow.low)
    return low * marrow.median <= found.median <= high * marrow.median and spread < _ALIKE_SPREAD


def _marrow(phantom: Phantom, tumor: tuple[Structure, ...], level: str) -> _Tissue | None:
    """HU of the bodies above and below, within their shell and without tumor; None when none is drawn."""
    found = []
    for bone in _neighbours(phantom, level).values():
        inner = binary_erosion(bone.body, iterations=max(1, round(_SHELL_MM / min(bone.grid.spacing_mm))))
        hu = _hu_on(phantom, bone.grid)
        found.append(hu[inner & ~_tumor_on(tumor, bone.grid) & (hu < _METAL_HU) & ~_foreign(phantom, bone.grid)])
    values = np.concatenate(found) if found else np.zeros(0)
    return _Tissue.of(values) if values.size >= _FEWEST_VOXELS else None


def collapse_part(phantom: Phantom, tumor: tuple[Structure, ...], level: str) -> SinsPart:
    """Height of the body against its neighbours, and the share of it that is tumor."""
    bone = _bone(phantom, level)
    if bone is None or bone.sides is None or bone.is_cut:
        why = "no vertebra is drawn, or nothing tells its body from the rest"
        if bone is not None and bone.is_cut:
            why = f"the CT ends within {level}"
        return SinsPart(name="collapse", value=Collapse.NONE, how=How.ASSUMED, reason=why)
    neighbours = _neighbours(phantom, level)
    if not neighbours:
        return SinsPart(
            name="collapse",
            value=Collapse.NONE,
            how=How.ASSUMED,
            reason=f"no whole neighbour of {level} is drawn to compare its height with",
        )
    around = tuple(neighbours.values())
    usual = np.mean([_upright_mm(n) * _cosine(n) for n in around], axis=0)
    # a wedge leans by itself: between two neighbours the body leans as they do
    own = _upright_mm(bone) * (_cosine(bone) if len(around) == 1 else float(np.mean([_cosine(n) for n in around])))
    lost = 1.0 - own / usual
    worst = int(np.argmax(lost))
    share = float(np.count_nonzero(_tumor_on(tumor, bone.grid) & bone.body)) / max(
        1.0, float(np.count_nonzero(bone.body))
    )
    where = ("anterior", "middle", "posterior")[worst]
    reason = (
        f"{where} height {own[worst]:.1f} mm, that of {' and '.join(neighbours)} {usual[worst]:.1f} mm: "
        f"{max(0.0, 100 * lost[worst]):.0f} % lost; {100 * share:.0f} % of the body is tumor"
    )
    return SinsPart(name="collapse", value=_collapse(float(lost[worst]), share), how=How.MEASURED, reason=reason)


def _collapse(lost: float, share: float) -> Collapse:
    if lost > 0.5:
        return Collapse.MORE_THAN_HALF
    if lost >= COLLAPSED_FROM:
        return Collapse.LESS_THAN_HALF
    return Collapse.NONE_BUT_HALF_INVOLVED if share > 0.5 else Collapse.NONE


def posterolateral_part(phantom: Phantom, tumor: tuple[Structure, ...], level: str) -> SinsPart:
    """Tumor beside and behind the canal, left and right: pedicles, facets, laminae; the spinous process is neither."""
    bone = _bone(phantom, level)
    if bone is None or bone.sides is None:
        why = "neither canal nor vertebral body is drawn, to tell the sides apart" if bone else "no vertebra is drawn"
        return SinsPart(name="posterolateral", value=Posterolateral.NONE, how=How.ASSUMED, reason=why)
    inside = _tumor_on(tumor, bone.grid)
    found = [float(np.count_nonzero(inside & side)) * bone.grid.voxel_volume_cm3 for side in bone.sides]
    hit = [v >= INVOLVED_CM3 for v in found]
    value: Part = {0: Posterolateral.NONE, 1: Posterolateral.UNILATERAL, 2: Posterolateral.BILATERAL}[sum(hit)]
    reason = f"tumor in pedicle, facet and lamina: left {found[0]:.1f} cm3, right {found[1]:.1f} cm3"
    return SinsPart(name="posterolateral", value=value, how=How.MEASURED, reason=reason)


def _bone(phantom: Phantom, level: str) -> _Bone | None:
    """The vertebra of a level, its body, and its sides, from the whole vertebra, its body and the canal as drawn."""
    parts = vertebrae(phantom).get(level, ())
    if not parts:
        return None
    body_drawn = [s for s in parts if "body" in s.name.lower() or "corpus" in s.name.lower()]
    whole_drawn = [s for s in parts if s not in body_drawn]
    first = (whole_drawn or body_drawn)[0]
    grid = first.grid
    whole = np.asarray(first.coverage >= 0.5)
    canal, before = _canal_of(phantom)
    front, middle = _canal_line(canal, grid, before)
    j, i = grid.y_mm[None, :, None], grid.x_mm[None, None, :]
    filling = first.coverage.astype(np.float64)
    if body_drawn:
        filling = body_drawn[0].coverage_on(grid).astype(np.float64)
    elif front is not None:
        filling = np.where(j < front[:, None, None], filling, 0.0)
    body = filling >= 0.5
    if not whole_drawn or (front is None and not body_drawn):
        return _Bone(grid, whole, body, filling, None, _is_cut(body, grid, phantom.grid))
    if front is None:
        front = np.full(grid.shape[0], body_drawn[0].grid.upper_mm[1])
        middle = np.full(grid.shape[0], body_drawn[0].centroid_mm[0])
    behind = whole & ~body & (j >= front[:, None, None])
    away = i - middle[:, None, None]
    # the spinous process lies within a few millimeters of the middle
    sides = (behind & (away > _SPINOUS_MM), behind & (away < -_SPINOUS_MM))
    return _Bone(grid, whole, body, filling, sides, _is_cut(body, grid, phantom.grid))


_SPINOUS_MM: Final = 5.0


def _is_cut(body: BoolArray, grid: Grid, ct: Grid) -> bool:
    """The body goes on beyond the first or last slice of the CT."""
    section = body.sum(axis=(1, 2))
    usual = 0.3 * float(np.median(section[section > 0])) if section.any() else 0.0
    half = ct.spacing_mm[2] / 2
    at_bottom = grid.lower_mm[2] <= ct.lower_mm[2] + half and section[0] > usual
    at_top = grid.upper_mm[2] >= ct.upper_mm[2] - half and section[-1] > usual
    return bool(at_bottom or at_top)


def _canal_of(phantom: Phantom) -> tuple[Structure | None, float]:
    """What shows the canal, and how far in front of it the body ends."""
    for key, before in (("spinal_canal", 0.0), ("thecal_sac", 1.5), ("spinal_cord", _BEFORE_CORD_MM)):
        found = find_structure(phantom, key)
        if found is not None:
            return found, before
    return None, 0.0


def _canal_line(canal: Structure | None, grid: Grid, before_mm: float) -> tuple[FloatArray | None, FloatArray]:
    """(y of the canal's front, x of its middle) on every slice of ``grid``, interpolated over slices without it."""
    if canal is None:
        return None, np.zeros(0)
    inside = canal.coverage >= 0.5
    shown = np.flatnonzero(inside.any(axis=(1, 2)))
    z = canal.grid.z_mm[shown]
    if not shown.size or z[-1] < grid.lower_mm[2] or z[0] > grid.upper_mm[2]:
        return None, np.zeros(0)
    half = canal.grid.spacing_mm[1] / 2
    front = np.array([canal.grid.y_mm[np.flatnonzero(inside[k].any(axis=1))[0]] - half for k in shown])
    middle = np.array([canal.grid.x_mm[np.flatnonzero(inside[k].any(axis=0))].mean() for k in shown])
    return np.interp(grid.z_mm, z, front - before_mm), np.interp(grid.z_mm, z, middle)


def _neighbours(phantom: Phantom, level: str) -> Mapping[str, _Bone]:
    """The whole bodies above and below that are drawn."""
    at = LEVELS.index(level)
    found: dict[str, _Bone] = {}
    for name in LEVELS[max(0, at - 1) : at + 2]:
        bone = _bone(phantom, name) if name != level and name[0] in "CTL" else None
        if bone is not None and bone.sides is not None and not bone.is_cut and bone.body.any():
            found[name] = bone
    return found


def _upright_mm(bone: _Bone) -> FloatArray:
    """(3,) lengths of the body (front, middle, back third) along z, at least 0.1."""
    column = bone.body_coverage.sum(axis=0) * bone.grid.spacing_mm[2]
    rows, columns = (np.flatnonzero(bone.body.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    j0, j1 = _inner(rows)
    i0, i1 = _inner(columns)
    inner = column[j0:j1, i0:i1]
    thirds = np.array_split(inner, 3, axis=0)
    upright = np.array([float(np.median(t[t > 0])) if (t > 0).any() else 0.0 for t in thirds])
    return np.asarray(np.maximum(upright, 0.1))


def _inner(index: np.ndarray) -> tuple[int, int]:
    low, high = int(index[0]), int(index[-1]) + 1
    cut = round((high - low) * (1.0 - _MIDDLE) / 2)
    return low + cut, max(high - cut, low + cut + 3)


def _cosine(bone: _Bone) -> float:
    """Cosine of the lean of the body: the slope of its middle plane from front to back."""
    k, j, _ = np.nonzero(bone.body)
    y, z = bone.grid.y_mm[j], bone.grid.z_mm[k]
    rows = np.unique(j)
    j0, j1 = _inner(rows)
    inner = (j >= j0) & (j < j1)
    if np.unique(j[inner]).size < 2:
        return 1.0
    slope = float(np.polyfit(y[inner], z[inner], 1)[0])
    return 1.0 / float(np.hypot(1.0, slope))


def _tumor_on(tumor: tuple[Structure, ...], grid: Grid, at_least: float = 0.5) -> BoolArray:
    out = np.zeros(grid.shape, dtype=np.bool_)
    for s in tumor:
        out |= s.coverage_on(grid) >= at_least
    return out


def _foreign(phantom: Phantom, grid: Grid) -> BoolArray:
    """Voxels of metal and cement, as far as they are drawn."""
    out = np.zeros(grid.shape, dtype=np.bool_)
    for name in _FOREIGN:
        if name in phantom.structures:
            out |= phantom[name].coverage_on(grid) > 0.0
    return out


def _hu_on(phantom: Phantom, grid: Grid) -> FloatArray:
    """HU on a crop of the CT's lattice, or sampled when the structure has another one."""
    if grid.same_lattice(phantom.grid):
        k, j, i = grid.offset_in(phantom.grid)
        nz, ny, nx = grid.shape
        return np.asarray(phantom.ct.hu[k : k + nz, j : j + ny, i : i + nx], dtype=np.float64)
    return resample_linear(phantom.ct.hu, phantom.grid, grid)

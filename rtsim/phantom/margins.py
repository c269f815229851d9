"""Margins and boolean operations on structures, finer than the voxel: PTV = CTV + margin, PRV = cord + margin, rings.

A margin is the Minkowski sum with a ball, or with the ellipsoid that reaches each of six given margins. Distances come
from the half-coverage surface (rtsim.geometry.distance), and the result is again fractional coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import distance_transform_edt

from rtsim.errors import GeometryError, InputError
from rtsim.geometry.distance import Surface
from rtsim.geometry.grid import Grid
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import FloatArray, IntArray, Vector3

_ENDLESS_MM: Final = 1e6
_SUBVOXEL_MM: Final = 1.5
"""Voxels longer than this are sampled at several points where the new surface runs."""


@dataclass(frozen=True, kw_only=True)
class SixMargins:
    """Margins >= 0 mm on the six sides of the patient (LPS)."""

    left_mm: float
    right_mm: float
    anterior_mm: float
    posterior_mm: float
    superior_mm: float
    inferior_mm: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or value < 0:
                raise InputError(
                    f"{name} of a margin is {value}; it must be finite and >= 0 mm. To shrink use shrink()"
                )

    @classmethod
    def uniform(cls, margin_mm: float) -> SixMargins:
        """The same margin on every side."""
        return cls(
            left_mm=margin_mm,
            right_mm=margin_mm,
            anterior_mm=margin_mm,
            posterior_mm=margin_mm,
            superior_mm=margin_mm,
            inferior_mm=margin_mm,
        )

    @property
    def plus_mm(self) -> Vector3:
        """Towards +x, +y, +z."""
        return self.left_mm, self.posterior_mm, self.superior_mm

    @property
    def minus_mm(self) -> Vector3:
        """Towards -x, -y, -z."""
        return self.right_mm, self.anterior_mm, self.inferior_mm


def expand(structure: Structure, margin_mm: float | SixMargins, grid: Grid, *, name: str, role: Role) -> Structure:
    """``structure`` grown by a margin, on ``grid`` (what would lie beyond it is cut off).

    A uniform margin is a ball of that radius; six margins are an ellipsoid that reaches each of them.

    Raises:
        InputError: a negative margin, or a structure that does not meet the grid.
    """
    margins = margin_mm if isinstance(margin_mm, SixMargins) else SixMargins.uniform(margin_mm)
    work, slices = _region(structure, grid, margins.plus_mm, margins.minus_mm)
    own = structure.coverage_on(work).astype(np.float64)
    if max(*margins.plus_mm, *margins.minus_mm) > 0:
        own = np.maximum(own, _grown(structure.name, own, work, margins.plus_mm, margins.minus_mm))
    return _placed(own, grid, slices, name, role, structure)


def shrink(structure: Structure, margin_mm: float | SixMargins, grid: Grid, *, name: str, role: Role) -> Structure:
    """``structure`` less a rim of ``margin_mm``. Where it touches the edge of ``grid`` it counts as going on beyond it.

    Raises:
        InputError: nothing is left.
    """
    margins = margin_mm if isinstance(margin_mm, SixMargins) else SixMargins.uniform(margin_mm)
    work, slices = _region(structure, grid, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    own = structure.coverage_on(work).astype(np.float64)
    if max(*margins.plus_mm, *margins.minus_mm) > 0:
        touching = []
        for axis in range(3):
            touching += [slices[axis].start == 0, slices[axis].stop == grid.shape[axis]]
        # eroding by E is growing the outside by E mirrored
        rim = _grown(structure.name, own, work, margins.minus_mm, margins.plus_mm, continued=tuple(touching))
        own = np.minimum(own, 1.0 - rim)
    if not own.any():
        raise InputError(f"structure {structure.name!r} shrunk by {margin_mm} leaves nothing; take a smaller margin")
    return _placed(own, grid, slices, name, role, structure)


def union(a: Structure, b: Structure, grid: Grid, *, name: str, role: Role) -> Structure:
    """Everything in ``a`` or ``b``: the larger coverage of each voxel."""
    either = np.maximum(a.coverage_on(grid), b.coverage_on(grid))
    return Structure.from_coverage(name, role, grid, either, color=a.color)


def intersect(a: Structure, b: Structure, grid: Grid, *, name: str, role: Role) -> Structure:
    """What ``a`` and ``b`` share: the smaller coverage of each voxel.

    Raises:
        InputError: they share nothing.
    """
    shared = np.minimum(a.coverage_on(grid), b.coverage_on(grid))
    if not shared.any():
        raise InputError(f"structures {a.name!r} and {b.name!r} do not overlap; their intersection is empty")
    return Structure.from_coverage(name, role, grid, shared, color=a.color)


def subtract(a: Structure, b: Structure, grid: Grid, *, name: str, role: Role) -> Structure:
    """``a`` without ``b``: what :func:`intersect` does not take of ``a`` (coverage max(0, a - b)).

    Raises:
        InputError: ``b`` covers all of ``a``.
    """
    left = np.maximum(a.coverage_on(grid) - b.coverage_on(grid), 0.0)
    if not left.any():
        raise InputError(f"structure {b.name!r} covers all of {a.name!r}; nothing is left after subtracting it")
    return Structure.from_coverage(name, role, grid, left, color=a.color)


def ring(
    structure: Structure, inner_mm: float, outer_mm: float, grid: Grid, *, name: str, role: Role = Role.CONTROL
) -> Structure:
    """The shell between ``inner_mm`` and ``outer_mm`` outside ``structure``, to steer the dose gradient.

    Raises:
        InputError: not 0 <= inner_mm < outer_mm.
    """
    if not 0.0 <= inner_mm < outer_mm:
        raise InputError(f"a ring of {inner_mm} .. {outer_mm} mm was asked for; 0 <= inner_mm < outer_mm is needed")
    inner = expand(structure, inner_mm, grid, name=name, role=role)
    outer = expand(structure, outer_mm, grid, name=name, role=role)
    return subtract(outer, inner, grid, name=name, role=role)


def _region(structure: Structure, grid: Grid, plus: Vector3, minus: Vector3) -> tuple[Grid, tuple[slice, slice, slice]]:
    own, step = structure.grid, grid.spacing_mm
    lower = [own.lower_mm[a] - minus[a] - step[a] for a in range(3)]
    upper = [own.upper_mm[a] + plus[a] + step[a] for a in range(3)]
    try:
        return grid.crop((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
    except GeometryError:
        raise InputError(f"structure {structure.name!r} lies outside the grid it is to be grown or shrunk on") from None


def _grown(
    name: str, own: FloatArray, work: Grid, plus: Vector3, minus: Vector3, continued: tuple[bool, ...] | None = None
) -> FloatArray:
    """Coverage of the grown structure; with ``continued`` (see Surface.of) that of the grown outside.

    An axis without margins is taken slice by slice, so that nothing leaves its slice.
    """
    for axis in range(3):
        if plus[2 - axis] + minus[2 - axis] == 0.0 and own.shape[axis] > 1:
            out = np.zeros(own.shape)
            for k in range(own.shape[axis]):
                cut = [slice(None)] * 3
                cut[axis] = slice(k, k + 1)
                part, sub = own[tuple(cut)], _slice_of(work, axis, k)
                top = float(part.max())
                if top > 0.0:
                    grown = _grown(name, part / top, sub, plus, minus, continued)
                    out[tuple(cut)] = grown * top if continued is None else 1.0 - (1.0 - grown) * top
                elif continued is not None:
                    out[tuple(cut)] = 1.0
            return out
    try:
        surface = Surface.of(own, work, continued=continued or (False,) * 6)
    except GeometryError as error:
        raise InputError(f"structure {name!r}: {error}") from error
    return _within(surface, own, plus, minus, work, outward=continued is None)


def _slice_of(work: Grid, axis: int, k: int) -> Grid:
    shape, origin = list(work.shape), list(work.origin_mm)
    shape[axis] = 1
    origin[2 - axis] += k * work.spacing_mm[2 - axis]
    return Grid((shape[0], shape[1], shape[2]), work.spacing_mm, (origin[0], origin[1], origin[2]))


def _within(
    surface: Surface, own: FloatArray, plus: Vector3, minus: Vector3, work: Grid, *, outward: bool
) -> FloatArray:
    """Fraction of each voxel that the grown structure (outward) or the grown outside (inward) covers.

    The structuring ellipsoid has the semi-axes (plus + minus) / 2 and is centered at (plus - minus) / 2.
    """
    spacing = np.array(work.spacing_mm)
    semi = (np.array(plus) + np.array(minus)) / 2
    semi[semi == 0.0] = _ENDLESS_MM
    shift = (np.array(plus) - np.array(minus)) / 2
    unit = (float(semi[0]), float(semi[1]), float(semi[2]))
    # the distance to the nearest voxel center on the other side is coarse, but tells which voxels need the fine one
    coarse = distance_transform_edt((own < 0.5) if outward else (own >= 0.5), sampling=(spacing / semi)[::-1])
    diagonal = float(np.linalg.norm(spacing / semi))
    doubt = 1.5 * diagonal + float(np.linalg.norm(shift / semi))
    out = np.where(coarse < 1.0 - doubt, 1.0, 0.0)
    todo = np.argwhere(np.abs(coarse - 1.0) <= doubt)
    signed, _ = _reach(surface, work.point_at(todo.astype(np.float64)) - shift, unit, outward)
    out[tuple(todo[signed <= 1.0].T)] = 1.0
    index = todo[np.abs(signed - 1.0) < diagonal]
    out[tuple(index.T)] = _fraction(surface, index, work, unit, shift, outward)
    return out if outward else np.maximum(out, 1.0 - own)


def _fraction(
    surface: Surface, index: IntArray, work: Grid, unit: Vector3, shift: FloatArray, outward: bool
) -> FloatArray:
    """Covered fraction (n,) of the voxels ``index`` (n, 3): each sub-voxel is a ramp along the normal."""
    spacing = np.array(work.spacing_mm)
    counts = np.array([max(1, math.ceil(s / _SUBVOXEL_MM)) for s in work.spacing_mm])
    steps = np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in counts], indexing="ij")
    total = np.zeros(len(index))
    for offset in np.stack(steps, axis=-1).reshape(-1, 3):
        points = work.point_at(index.astype(np.float64)) + offset * spacing - shift
        signed, normal = _reach(surface, points, unit, outward)
        width = np.linalg.norm(normal * (spacing / counts / np.array(unit)), axis=1)
        total += np.clip(0.5 - (signed - 1.0) / np.maximum(width, 1e-9), 0.0, 1.0)
    return total / float(counts.prod())


def _reach(surface: Surface, points: FloatArray, unit: Vector3, outward: bool) -> tuple[FloatArray, FloatArray]:
    signed, normal = surface.distance(points, unit)
    return (signed if outward else -signed), normal


def _placed(
    coverage: FloatArray, grid: Grid, slices: tuple[slice, slice, slice], name: str, role: Role, source: Structure
) -> Structure:
    full = np.zeros(grid.shape, dtype=np.float32)
    full[slices] = coverage
    return Structure.from_coverage(name, role, grid, full, color=source.color)

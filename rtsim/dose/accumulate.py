"""Doses of several courses added voxel by voxel as EQD2: what tissue has had in all, on the grid of one of them.

An earlier dose lies on another grid, and the patient lay otherwise: it is moved rigidly, sampled where the wanted grid
has its voxels, turned into EQD2 there with its own number of fractions, and added.
EQD2 = D (D / n + a/b) / (2 + a/b). Source: Fowler 1989, Br J Radiol 62:679. Nothing recovers with time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from rtsim.biology import eqd2_gy
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.resample import sample_linear
from rtsim.geometry.rigid import before_motion, rotation_xyz
from rtsim.phantom.structure import Structure
from rtsim.typing import AnyFloatArray, BoolArray, Float32Array, FloatArray, Vector3

CORD_ALPHA_BETA_GY: Final = 2.0
_PLANES_AT_ONCE: Final = 1_000_000
"""Points that are sampled at once, so that a large grid does not need coordinates of all its voxels in memory."""


@dataclass(frozen=True, kw_only=True)
class RigidShift:
    """Where an earlier dose lies in the coordinates of today: dose at p comes to center + R (p - center) + shift.

    Attributes:
        shift_mm: (x, y, z) LPS: to the left, to posterior, to superior.
        rotation_deg: right-handed about LPS x, y, z, in this order: R = Rz Ry Rx.
        center_mm: of the rotation, LPS.
    """

    shift_mm: Vector3 = (0.0, 0.0, 0.0)
    rotation_deg: Vector3 = (0.0, 0.0, 0.0)
    center_mm: Vector3 = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("shift_mm", "rotation_deg", "center_mm"):
            value = getattr(self, name)
            if len(value) != 3 or not all(math.isfinite(v) for v in value):
                raise InputError(f"{name} is {value}; three finite numbers (x, y, z) are needed")
            object.__setattr__(self, name, (float(value[0]), float(value[1]), float(value[2])))

    @property
    def is_identity(self) -> bool:
        """True when nothing is moved."""
        return not any(self.shift_mm) and not any(self.rotation_deg)

    @cached_property
    def rotation(self) -> FloatArray:
        """R (3, 3)."""
        return rotation_xyz(self.rotation_deg)

    def before(self, points_mm: AnyFloatArray) -> FloatArray:
        """Where points (..., 3) of today, LPS mm, lay in the coordinates of the earlier dose."""
        return before_motion(points_mm, self.rotation, self.center_mm, self.shift_mm)

    def __str__(self) -> str:
        if self.is_identity:
            return "not shifted"
        x, y, z = self.shift_mm
        text = f"shifted by ({x:g}, {y:g}, {z:g}) mm LPS"
        if any(self.rotation_deg):
            a, b, c = self.rotation_deg
            text += f", rotated by ({a:g}, {b:g}, {c:g}) degrees about LPS x, y, z"
        return text


NOT_SHIFTED: Final = RigidShift()


@dataclass(frozen=True, eq=False, kw_only=True)
class Course:
    """One course for :func:`accumulate`: its whole physical dose (``dose.fractions`` equal fractions), and how it
    lies in the coordinates of the wanted grid."""

    dose: Dose
    shift: RigidShift = NOT_SHIFTED
    name: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Accumulated:
    """EQD2 of several courses together.

    Attributes:
        values_gy: (nz, ny, nx) float32, read-only: sum of the EQD2 of the courses that reach a voxel.
        reached: one (nz, ny, nx) bool for each course, read-only: the voxels that its grid reaches. Beyond, what the
            course gave is not known, and 0 Gy of it are in the sum.
        names: of the courses.
        grid, alpha_beta_gy: of all of it.
    """

    values_gy: Float32Array
    reached: tuple[BoolArray, ...]
    names: tuple[str, ...]
    grid: Grid
    alpha_beta_gy: float

    @property
    def as_dose(self) -> Dose:
        """The sum as a dose, for DVH and pictures; it is EQD2 already and must not be converted again.

        Between voxels EQD2 is below its interpolation where the dose is steep: accumulate on a grid that is finer than
        those of the doses where that matters.
        """
        said = f"EQD2 (alpha/beta {self.alpha_beta_gy:g} Gy) of {' + '.join(self.names)}"
        return Dose(values_gy=self.values_gy, grid=self.grid, engine=said)

    def unreached_cm3(self, structure: Structure) -> tuple[float, ...]:
        """By course: how much of a structure its grid does not reach, in cm3, on voxels of this grid and beyond it."""
        coverage = structure.coverage_on(self.grid)
        voxel_cm3 = math.prod(self.grid.spacing_mm) * 1e-3
        here = float(coverage.sum(dtype=np.float64)) * voxel_cm3
        beyond = max(structure.volume_cm3 - here, 0.0)
        beyond = beyond if beyond > 1e-3 * structure.volume_cm3 else 0.0
        return tuple(float(coverage[~r].sum(dtype=np.float64)) * voxel_cm3 + beyond for r in self.reached)


def accumulate(courses: Sequence[Course], grid: Grid, alpha_beta_gy: float = CORD_ALPHA_BETA_GY) -> Accumulated:
    """EQD2 of all courses in Gy on ``grid``, voxel by voxel.

    The physical dose is interpolated (trilinear), which is smooth; its EQD2 is taken after that.

    Raises:
        InputError: no course, or alpha/beta not > 0.
        GeometryError: the grid of a course, as shifted, does not meet ``grid`` at all.
    """
    if not courses:
        raise InputError("no course is given; accumulate needs at least one dose")
    total = np.zeros(grid.shape, dtype=np.float64)
    reached: list[BoolArray] = []
    names: list[str] = []
    for number, course in enumerate(courses, start=1):
        name = course.name or f"course {number}"
        dose_gy, inside = _sampled(course, grid)
        if not inside.any():
            raise GeometryError(
                f"the dose of {name} ({course.dose.grid.describe()}, {course.shift}) does not reach the grid "
                f"{grid.describe()} anywhere: another patient position or frame of reference? Give the shift that "
                "registers it"
            )
        total += eqd2_gy(dose_gy, course.dose.fractions, alpha_beta_gy)
        inside.flags.writeable = False
        reached.append(inside)
        names.append(name)
    values = total.astype(np.float32)
    values.flags.writeable = False
    return Accumulated(
        values_gy=values, reached=tuple(reached), names=tuple(names), grid=grid, alpha_beta_gy=float(alpha_beta_gy)
    )


def moved_dose(course: Course, grid: Grid) -> tuple[Dose, BoolArray]:
    """The physical dose of a course on ``grid``, as it lies today, and which voxels its own grid reaches."""
    values, inside = _sampled(course, grid)
    return Dose(
        values_gy=values.astype(np.float32),
        grid=grid,
        fractions=course.dose.fractions,
        engine=f"{course.dose.engine or 'dose'}, {course.shift}",
    ), inside


def _sampled(course: Course, grid: Grid) -> tuple[FloatArray, BoolArray]:
    """Physical dose in Gy on ``grid`` (0 where not known), and where it is known."""
    values = np.zeros(grid.shape, dtype=np.float64)
    inside = np.zeros(grid.shape, dtype=np.bool_)
    y, x = np.meshgrid(grid.y_mm, grid.x_mm, indexing="ij")
    planes = max(1, _PLANES_AT_ONCE // max(x.size, 1))
    for first in range(0, grid.shape[0], planes):
        z = grid.z_mm[first : first + planes]
        shape = (len(z), *x.shape)
        here = np.stack(
            [np.broadcast_to(x, shape), np.broadcast_to(y, shape), np.broadcast_to(z[:, None, None], shape)]
        )
        before = course.shift.before(np.moveaxis(here, 0, -1))
        part = slice(first, first + len(z))
        values[part] = sample_linear(course.dose.values_gy, course.dose.grid, before)
        inside[part] = course.dose.grid.contains(before)
    # The dose of a treatment is >= 0; an export may hold tiny negative numbers.
    return np.maximum(values, 0.0), inside

"""Scenarios: where the patient may lie instead of where the plan thinks; rigid displacements about the isocenter.

The default, +-1 mm along and +-1 degree about each axis, is the residual error of image-guided spine stereotaxy with a
six-degree couch: what exceeds 1 mm or 1 degree is corrected (Hyde et al., Med Phys 39 (2012), DOI 10.1118/1.4740198:
motion between two images of one fraction 0.36-0.54 mm on average [V, abstract]).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from rtsim.errors import InputError
from rtsim.geometry.rigid import before_motion, rotation_xyz
from rtsim.typing import AnyFloatArray, FloatArray, Vector3

NOMINAL: Final = "as planned"
"""Name of the position in which nothing is displaced."""

LARGEST_SHIFT_MM, LARGEST_ROTATION_DEG = 20.0, 10.0
"""Beyond these a displacement is a blunder to be found by imaging, no residual error to plan for [A]."""

_WAYS: Final = (("left", "right"), ("posterior", "anterior"), ("superior", "inferior"))
_TURNS: Final = ("pitch", "yaw", "roll")


@dataclass(frozen=True, kw_only=True)
class Displacement:
    """A rigid displacement of the patient against the machine: tissue at p comes to center + R (p - center) + shift.

    Attributes:
        name: for reports, says where the patient lies: "1 mm posterior", "pitch +1 deg".
        shift_mm: (x, y, z) LPS.
        rotation_deg: right-handed about LPS x (pitch), y (yaw), z (roll), in this order: R = Rz Ry Rx.
        center_mm: of the rotation, LPS.
    """

    name: str
    shift_mm: Vector3 = (0.0, 0.0, 0.0)
    rotation_deg: Vector3 = (0.0, 0.0, 0.0)
    center_mm: Vector3 = (0.0, 0.0, 0.0)

    @property
    def is_nominal(self) -> bool:
        """True when nothing is displaced."""
        return not any(self.shift_mm) and not any(self.rotation_deg)

    @cached_property
    def rotation(self) -> FloatArray:
        """R (3, 3)."""
        return rotation_xyz(self.rotation_deg)

    def moved(self, points_mm: AnyFloatArray) -> FloatArray:
        """Where tissue at points (..., 3), LPS mm, comes to."""
        from_center = np.asarray(points_mm, dtype=np.float64) - np.asarray(self.center_mm)
        return np.asarray(from_center @ self.rotation.T + np.add(self.center_mm, self.shift_mm), dtype=np.float64)

    def seen_by_patient(self, point_mm: AnyFloatArray) -> FloatArray:
        """Where a point (..., 3) of the room lies for the displaced patient, in the coordinates of the plan."""
        return before_motion(point_mm, self.rotation, self.center_mm, self.shift_mm)


@dataclass(frozen=True, kw_only=True)
class Scenarios:
    """The positions in which the cord's hard limits must hold.

    The limits of the cord (cord, canal, thecal sac, cauda equina) hold in every position. A planning-risk volume *is*
    a margin for set-up errors: held in displaced positions, too, it would count them twice. So its hard limits hold as
    planned, the cord inside it gets the same limit in every position (unless the protocol limits the cord itself at
    that volume), and what the PRV gets at worst is reported.

    Attributes:
        shift_mm: each way along LPS x, y, z (left, posterior, superior); one number for all axes.
        rotation_deg: each way about LPS x, y, z (pitch, yaw, roll); one number for all axes.
        combined: also every corner: all shifts and rotations at once, in every combination of signs. Otherwise one
            displacement at a time is promised, and what the corners get is only reported.
        recomputed: how many of the worst positions are computed by the engine at most: one is enough where it stays
            15 % below every limit. The others are read in the displaced dose cloud, with what the recomputed ones show
            to be missing in it added; a fixed margin where none is.
        hold_prv_too: hold hard limits of the cord's PRV in every position, too; as always where no cord is drawn.
    """

    shift_mm: float | Vector3 = 1.0
    rotation_deg: float | Vector3 = 1.0
    combined: bool = False
    recomputed: int = 2
    hold_prv_too: bool = False

    def __post_init__(self) -> None:
        _three("shift_mm", self.shift_mm, LARGEST_SHIFT_MM, "mm")
        _three("rotation_deg", self.rotation_deg, LARGEST_ROTATION_DEG, "degrees")
        if not isinstance(self.recomputed, int) or isinstance(self.recomputed, bool) or self.recomputed < 0:
            raise InputError(f"recomputed is {self.recomputed!r}; a whole number of positions >= 0 is needed")

    @classmethod
    def nominal_only(cls) -> Scenarios:
        """No displacement: limits hold as planned and nowhere else."""
        return cls(shift_mm=0.0, rotation_deg=0.0)

    def displacements(self, center_mm: Vector3) -> tuple[Displacement, ...]:
        """All positions, the nominal one first; rotations are about ``center_mm`` (LPS), the isocenter."""
        shifts = _three("shift_mm", self.shift_mm, LARGEST_SHIFT_MM, "mm")
        turns = _three("rotation_deg", self.rotation_deg, LARGEST_ROTATION_DEG, "degrees")
        found: list[tuple[float, ...]] = [(0.0,) * 6]
        for axis, size in enumerate((*shifts, *turns)):
            if size > 0:
                found += [tuple(sign * size if a == axis else 0.0 for a in range(6)) for sign in (1.0, -1.0)]
        named = tuple(_displacement(six, center_mm) for six in found)
        return (*named, *self.corners(center_mm)) if self.combined else named

    def corners(self, center_mm: Vector3) -> tuple[Displacement, ...]:
        """All shifts and rotations at once, in every combination of signs; empty with fewer than two to combine."""
        shifts = _three("shift_mm", self.shift_mm, LARGEST_SHIFT_MM, "mm")
        turns = _three("rotation_deg", self.rotation_deg, LARGEST_ROTATION_DEG, "degrees")
        if sum(size > 0 for size in (*shifts, *turns)) < 2:
            return ()
        ways = [(size, -size) if size > 0 else (0.0,) for size in (*shifts, *turns)]
        return tuple(_displacement(six, center_mm) for six in itertools.product(*ways))

    @property
    def sizes(self) -> str:
        """For headlines: "one displacement at a time: 1 mm or 1 deg"; empty without any."""
        parts = self._parts()
        at_once = "one displacement, or all at once" if self.combined else "one displacement at a time"
        return f"{at_once}: {' or '.join(parts)}" if parts else ""

    @property
    def together(self) -> str:
        """A corner in words: "1 mm along and 1 deg about every axis"."""
        return " and ".join(f"{p} {way}" for p, way in zip(self._parts(), self._ways(), strict=True)) + " every axis"

    def _parts(self) -> list[str]:
        shifts = _three("shift_mm", self.shift_mm, LARGEST_SHIFT_MM, "mm")
        turns = _three("rotation_deg", self.rotation_deg, LARGEST_ROTATION_DEG, "degrees")
        return [f"{_numbers(three)} {unit}" for three, unit in ((shifts, "mm"), (turns, "deg")) if any(three)]

    def _ways(self) -> list[str]:
        return [w for three, w in ((self.shift_mm, "along"), (self.rotation_deg, "about")) if np.any(np.array(three))]

    def describe(self) -> str:
        """For reports: "+-1 mm along and +-1 deg about each axis"."""
        text = " and ".join(f"+-{p} {way}" for p, way in zip(self._parts(), self._ways(), strict=True))
        return f"{text} each axis{', and all corners' if self.combined else ''}" if text else "as planned only"


def _three(name: str, given: float | Vector3, largest: float, unit: str) -> Vector3:
    try:
        values = np.broadcast_to(np.asarray(given, dtype=np.float64), (3,))
    except (TypeError, ValueError):
        values = np.array([math.nan] * 3)
    if not bool(np.all((values >= 0.0) & (values <= largest))):
        raise InputError(
            f"{name} is {given!r}; one number, or three for x, y, z, of 0 to {largest:g} {unit} is needed (both ways "
            "are taken; 0 leaves an axis out)"
        )
    return _vector(values)


def _vector(values: AnyFloatArray | tuple[float, ...]) -> Vector3:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _displacement(six: tuple[float, ...], center_mm: Vector3) -> Displacement:
    return Displacement(
        name=_name(six), shift_mm=_vector(six[:3]), rotation_deg=_vector(six[3:]), center_mm=_vector(center_mm)
    )


def _numbers(three: Vector3) -> str:
    return f"{three[0]:g}" if len(set(three)) == 1 else "/".join(f"{v:g}" for v in three)


def _name(six: tuple[float, ...]) -> str:
    shifts = [f"{abs(s):g} mm {_WAYS[axis][s < 0]}" for axis, s in enumerate(six[:3]) if s]
    turns = [f"{_TURNS[axis]} {a:+g} deg" for axis, a in enumerate(six[3:]) if a]
    return ", ".join((*shifts, *turns)) or NOMINAL

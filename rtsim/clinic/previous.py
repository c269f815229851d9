"""An earlier course of radiotherapy: a scheme that the cord got, or its dose voxel by voxel."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rtsim.biology import eqd2_gy
from rtsim.dose.accumulate import NOT_SHIFTED, Course, RigidShift, moved_dose
from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.phantom.structure import Structure

CORD_ALPHA_BETA_GY: Final = 2.0
NEAR_MAXIMUM_CM3: Final = 0.035
"""The volume whose least dose stands for a point maximum, as in the protocols."""
_SCHEME: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:Gy)?\s*([/xX])\s*(\d+)\s*")
_MOST_FRACTIONS: Final = 60
_FEW_FRACTIONS: Final = 5
_MOST_PER_FRACTION_GY: Final = 10.0
"""What no course of more than five fractions gave: such a scheme is a slip of total dose and dose of a fraction."""
LOW_RIM_GY: Final = 0.5
"""Dose of the whole earlier course at the rim of its grid below which the field is taken to have ended before: what
lies beyond got less, and counts as nothing (EQD2_2 0.3 Gy in 10 fractions). An assumption of rtsim."""


@dataclass(frozen=True, kw_only=True)
class PreviousDose:
    """What an earlier course gave one structure.

    Attributes:
        near_max_gy: D0.035cc in Gy, physical dose of the whole course.
        eqd2_gy: the same as EQD2, alpha/beta 2 Gy.
        unreached_cm3: how much of the structure the earlier dose grid does not reach. What that got is not known, so
            that with any of it both doses are lower bounds.
        rim_gy: the highest earlier dose at the rim of its grid where that faces what it does not reach, in Gy; 0 where
            all is reached.
    """

    near_max_gy: float
    eqd2_gy: float
    unreached_cm3: float = 0.0
    rim_gy: float = 0.0

    @property
    def is_known(self) -> bool:
        """False where the structure leaves the earlier grid in more than low dose: it may have got anything there."""
        return self.unreached_cm3 <= 0.0 or self.rim_gy <= LOW_RIM_GY


@dataclass(frozen=True, eq=False, kw_only=True)
class PreviousCourse:
    """An earlier course of radiotherapy to the same level: a scheme, or its dose voxel by voxel.

    Attributes:
        fractions: in how many equal fractions it was given.
        dose_gy: prescribed dose of a scheme, in Gy; None when ``dose`` is given.
        cord_percent: of a scheme: how much of ``dose_gy`` the cord got, all along the level, in percent.
        months_ago: from its end to today; None = not known, and both courses are then held as one.
        dose: the whole physical dose (an RTDOSE), Gy over all ``fractions``; None for a scheme.
        shift: how ``dose`` lies in the coordinates of today.
        name: where it comes from, for reports.
        notes: what was done or taken for granted when it was read, in sentences.
    """

    fractions: int
    dose_gy: float | None = None
    cord_percent: float = 100.0
    months_ago: float | None = None
    dose: Dose | None = None
    shift: RigidShift = NOT_SHIFTED
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = self.fractions
        if isinstance(count, bool) or count != int(count) or not 1 <= count <= _MOST_FRACTIONS:
            raise InputError(
                f"fractions of the previous course is {count!r}; it must be a whole number >= 1 (and <= "
                f"{_MOST_FRACTIONS})"
            )
        if (self.dose_gy is None) == (self.dose is None):
            raise InputError("a previous course is a scheme (dose_gy) or a dose (RTDOSE): give one of the two")
        if self.dose_gy is not None and not (math.isfinite(self.dose_gy) and self.dose_gy > 0.0):
            raise InputError(f"dose_gy of the previous course is {self.dose_gy}; it must be > 0 Gy")
        if not (math.isfinite(self.cord_percent) and 0.0 < self.cord_percent <= 150.0):
            raise InputError(
                f"cord_percent of the previous course is {self.cord_percent}; 0 to 150 % of its dose, and more than 0"
            )
        if self.dose is not None and self.cord_percent != 100.0:
            raise InputError("cord_percent belongs to a scheme; a dose says itself what the cord got")
        if self.months_ago is not None and not (math.isfinite(self.months_ago) and self.months_ago >= 0.0):
            raise InputError(
                f"months_ago of the previous course is {self.months_ago}; it is the time from its end to today: "
                "a number >= 0, or nothing where it is not known"
            )
        if self.dose is not None and self.dose.fractions != self.fractions:
            object.__setattr__(self, "dose", replace(self.dose, fractions=int(count)))

    @classmethod
    def scheme(cls, text: str, *, months_ago: float | None = None, cord_percent: float = 100.0) -> PreviousCourse:
        """From words such as '30/10' or '8x1' (:func:`scheme_of`).

        Raises:
            InputError: other words, a negative interval, a percentage out of range.
        """
        dose_gy, fractions = scheme_of(text)
        return cls(fractions=fractions, dose_gy=dose_gy, months_ago=months_ago, cord_percent=cord_percent)

    @property
    def is_scheme(self) -> bool:
        """True when only dose and fractions are known, not where the dose lay."""
        return self.dose is None

    def __str__(self) -> str:
        if self.dose_gy is not None:
            share = "whole" if self.cord_percent == 100.0 else f"by {self.cord_percent:g} %"
            text = f"{self.dose_gy:g} Gy in {self.fractions}, which the cord got {share}"
            text = f"{self.name}: {text}" if self.name else text
        else:
            text = f"{self.name or 'a dose'} in {self.fractions} fractions, {self.shift}"
        return text if self.months_ago is None else f"{text}, {self.months_ago:g} months ago"

    def given_to(self, structure: Structure | None) -> PreviousDose:
        """What the course gave a structure (of a scheme: the cord, wherever it lies).

        Raises:
            InputError: a dose without a structure to read it in.
            GeometryError: the earlier dose does not reach the structure at all.
        """
        if self.dose_gy is not None:
            gy = self.dose_gy * self.cord_percent / 100.0
            return PreviousDose(near_max_gy=gy, eqd2_gy=float(eqd2_gy(gy, self.fractions, CORD_ALPHA_BETA_GY)))
        if structure is None or self.dose is None:
            raise InputError(
                "the previous course is a dose: what the cord got of it can be read in a drawn cord only; give the "
                "phantom (phantom=)"
            )
        try:
            histogram = dvh(self._today(structure), structure)
        except GeometryError as error:
            raise GeometryError(
                f"the previous dose ({self.dose.grid.describe()}, {self.shift}) does not reach {structure.name}: "
                f"another level, or the shift that registers it is missing or wrong ({error})"
            ) from error
        gy = histogram.dose_gy_at(min(NEAR_MAXIMUM_CM3, histogram.volume_cm3))
        unreached = histogram.outside_cm3 if histogram.is_truncated else self._unreached_cm3(structure)
        return PreviousDose(
            near_max_gy=gy,
            eqd2_gy=float(eqd2_gy(gy, self.fractions, CORD_ALPHA_BETA_GY)),
            unreached_cm3=unreached,
            rim_gy=self.rim_gy(structure) if unreached > 0.0 else 0.0,
        )

    def rim_gy(self, structure: Structure) -> float:
        """The highest dose at the rim of the earlier grid, facing what of a structure lies beyond it, in Gy.

        Of each voxel with a corner beyond, the nearest point of the grid is looked at, and one voxel round it. 0 for
        a scheme, and where nothing lies beyond.
        """
        if self.dose is None:
            return 0.0
        grid = self.dose.grid
        corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        index = (np.argwhere(structure.coverage > 0)[:, None, :] + corners).reshape(-1, 3)
        before = self.shift.before(structure.grid.point_at(index))
        beyond = before[~grid.contains(before)]
        if not len(beyond):
            return 0.0
        last = np.array(grid.shape) - 1
        nearest = np.unique(np.clip(np.rint(grid.index_of(beyond)).astype(np.int64), 0, last), axis=0)
        steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        k, j, i = np.moveaxis(np.clip(nearest[:, None, :] + steps, 0, last), -1, 0)
        return float(self.dose.values_gy[k, j, i].max())

    def _today(self, structure: Structure) -> Dose:
        """The dose in the coordinates of today; without a rotation on its own voxels, which then only move."""
        assert self.dose is not None
        if any(self.shift.rotation_deg):
            return moved_dose(Course(dose=self.dose, shift=self.shift), structure.grid)[0]
        grid = self.dose.grid
        x, y, z = np.add(grid.origin_mm, self.shift.shift_mm)
        return replace(self.dose, grid=replace(grid, origin_mm=(float(x), float(y), float(z))))

    def _unreached_cm3(self, structure: Structure) -> float:
        """Of a rotated dose, which was sampled on the grid of the structure: what its own grid does not reach."""
        if self.dose is None or not any(self.shift.rotation_deg):
            return 0.0
        _, inside = moved_dose(Course(dose=self.dose, shift=self.shift), structure.grid)
        lost = float(structure.coverage[~inside].sum(dtype=np.float64))
        if not inside[structure.coverage > 0].any():
            raise GeometryError(f"the previous dose ({self.shift}) does not reach {structure.name}")
        return lost * math.prod(structure.grid.spacing_mm) * 1e-3


def scheme_of(text: str) -> tuple[float, int]:
    """(total dose in Gy, fractions) of total/fractions ('30/10') or dose of a fraction x fractions ('8x1', '3x10').

    Raises:
        InputError: no scheme, or none that can have been given.
    """
    match = _SCHEME.fullmatch(text)
    if match is None or float(match[1]) <= 0.0 or not 1 <= int(match[3]) <= _MOST_FRACTIONS:
        raise InputError(
            f"{text!r} is no scheme; write total dose in Gy and number of fractions (30/10), or dose of a fraction and "
            "fractions (8x1, 3x10)"
        )
    count = int(match[3])
    is_total = match[2] == "/"
    dose_gy = float(match[1]) * (1 if is_total else count)
    if count > _FEW_FRACTIONS and dose_gy > _MOST_PER_FRACTION_GY * count:
        meant = f"did you mean {dose_gy / count:g}x{count}" if is_total else f"did you mean {match[1]}/{count}"
        raise InputError(
            f"{text!r} is {dose_gy:g} Gy in {count} fractions, {dose_gy / count:g} Gy each; more than "
            f"{_FEW_FRACTIONS} fractions have at most {_MOST_PER_FRACTION_GY:g} Gy each: {meant}? Total "
            "dose/fractions, or dose of a fraction x fractions"
        )
    return dose_gy, count

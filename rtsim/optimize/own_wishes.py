"""What a planner asks for beside the protocol: objectives and hard limits of one's own, on drawn structures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from rtsim.dose.dvh.model import default_subvoxels
from rtsim.dose.result import Dose
from rtsim.dose.statistics import structure_points
from rtsim.errors import InputError
from rtsim.optimize.constraints import Constraint, MaximumGEud, MaximumMean, MinimumGEud, MinimumMean, is_upper
from rtsim.optimize.find import find_structure
from rtsim.optimize.goals import points_dose
from rtsim.optimize.objectives import Objective, Region
from rtsim.optimize.rows import NORMAL_TISSUE, Rows, limit_name
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Prescription
from rtsim.typing import FloatArray

_AVERAGED: Final = (MaximumMean, MinimumMean, MaximumGEud, MinimumGEud)
"""Limits on an average over a whole structure are read from its voxels, each with its volume; those on the hottest or
coldest part from sub-voxel points, which are chosen at the surface."""

_MOST_POINTS: Final = 3_000_000
"""A structure with more sub-voxel points than this is read at its voxel centers."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnLimit:
    """A limit of one's own, bound to the rows that the optimizer has of its structure.

    These are a sample of large structures; whether the limit holds is read from all points of the structure.

    Attributes:
        constraint: in Gy.
        region: the rows of the planning that stand for the structure.
        structure: as it is drawn.
    """

    constraint: Constraint
    region: Region
    structure: Structure

    @property
    def is_upper(self) -> bool:
        """Whether it limits dose from above: no dose at all keeps it."""
        return is_upper(self.constraint, self.region)

    def in_rows(self, rows_gy: FloatArray) -> float:
        """By how much doses (rows,) exceed it, relative to it; < 0 where they keep it."""
        return float(self.constraint.residual(rows_gy[self.region.rows], self.region).max())

    def in_dose(self, dose: Dose) -> float:
        """The same in a dose, at every sub-voxel point; what lies outside its grid counts as 0 Gy."""
        points, every = self._points
        return float(self.constraint.residual(points_dose(dose, points), every).max())

    @cached_property
    def _points(self) -> tuple[FloatArray, Region]:
        count = default_subvoxels(self.structure)
        if count**3 * np.count_nonzero(self.structure.coverage) > _MOST_POINTS:
            count = 1
        points, volume = structure_points(self.structure, count)
        return points, Region(name=self.structure.name, rows=np.arange(len(points)), volume_cm3=volume)


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnWishes:
    """Objectives and limits, each with the structure that it is about.

    Attributes:
        objectives: None: normal tissue.
        constraints: hold in the planned position of the patient, not in displaced ones.
    """

    objectives: tuple[tuple[Objective, Structure | None], ...] = ()
    constraints: tuple[tuple[Constraint, Structure], ...] = ()

    @classmethod
    def of(
        cls,
        objectives: tuple[Objective, ...],
        constraints: tuple[Constraint, ...],
        phantom: Phantom,
        prescription: Prescription,
    ) -> OwnWishes:
        """Find the structures: by their very name, else by what the name stands for ("cord": the spinal cord).

        Raises:
            InputError: one is not drawn.
        """

        def structure(name: str, what: str) -> Structure:
            """The drawn structure of that name, or an error that names what asked for it."""
            found = find_structure(phantom, name, prescription)
            if found is None:
                raise InputError(
                    f"{what} is about {name!r}, which is not drawn; structures: {', '.join(sorted(phantom.structures))}"
                )
            return found

        return cls(
            objectives=tuple(
                (
                    o,
                    None if o.structure == NORMAL_TISSUE else structure(o.structure, f"the objective '{o.describe()}'"),
                )
                for o in objectives
            ),
            constraints=tuple((c, structure(c.structure, f"the limit '{c.describe()}'")) for c in constraints),
        )

    @property
    def organs(self) -> dict[str, Structure]:
        """By name the structures that need voxels."""
        averaged = [s for c, s in self.constraints if isinstance(c, _AVERAGED)]
        return {s.name: s for s in (*(s for _, s in self.objectives if s is not None), *averaged)}

    @property
    def limited(self) -> dict[str, Structure]:
        """By name the structures that need sub-voxel points."""
        return {s.name: s for c, s in self.constraints if not isinstance(c, _AVERAGED)}

    def bound_objectives(self, rows: Rows) -> tuple[tuple[Objective, Region], ...]:
        """With the rows that they are read from; without those of no weight."""
        return tuple(
            (o, _region(rows, NORMAL_TISSUE if s is None else s.name, o.describe()))
            for o, s in self.objectives
            if o.weight > 0
        )

    def bound_constraints(self, rows: Rows) -> tuple[OwnLimit, ...]:
        """With the voxels or points that the optimizer has of them."""
        return tuple(
            OwnLimit(
                constraint=c,
                region=_region(rows, s.name if isinstance(c, _AVERAGED) else limit_name(s.name), c.describe()),
                structure=s,
            )
            for c, s in self.constraints
        )


def _region(rows: Rows, name: str, what: str) -> Region:
    found = rows.regions.get(name)
    if found is None:
        raise InputError(f"'{what}' is about a structure that lies off the dose grid; make the dose grid larger")
    return found

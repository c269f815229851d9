"""The default objectives of a stereotactic plan: which goal becomes which objective, with visible weights."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.errors import InputError
from rtsim.optimize.constraints import Constraint, MaximumDose, MaximumDoseAtVolume, MaximumMean
from rtsim.optimize.goals import DoseVolumeLimit, SortedGoals
from rtsim.optimize.objectives import Falloff, MeanDose, Objective, Region, SquaredOverdose, SquaredUnderdose
from rtsim.optimize.rows import NORMAL_TISSUE, Rows, limit_name
from rtsim.protocol.model import Prescription

UNIFORM_UP_TO = 1.15
"""A target that shall get no more than this times the prescription is to be uniform (ICRU 50: up to 107 %)."""

NEAR_MAXIMUM_CM3 = 0.1
"""A D(cc) of less volume than this is held as a maximum of all points; the delivered dose gives the rest back."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How much each kind of objective counts (per Gy^2, mean over the volume), and where the target objectives lie.

    Attributes:
        target_under, target_over, falloff, organ, smoothness: the weights.
        coverage: weight of the underdose of the hottest ``coverage_percent`` of the target alone, which gives up
            voxels that the cord makes unreachable.
        aim, ceiling: doses that underdose and overdose of the target are counted from, relative to the prescription.
    """

    target_under: float = 15.0
    coverage: float = 300.0
    target_over: float = 3.0
    falloff: float = 50.0
    organ: float = 10.0
    smoothness: float = 4.0
    aim: float = 1.06
    ceiling: float = 1.3

    def __post_init__(self) -> None:
        falls = (self.falloff, self.organ, self.smoothness)
        if min(self.target_under, self.coverage, self.target_over, *falls) < 0:
            raise InputError("weights of objectives must be >= 0")
        if self.target_under + self.coverage <= 0:
            raise InputError("target_under and coverage are both 0: nothing would ask for dose in the target")
        if not 0.0 < self.aim < self.ceiling:
            raise InputError(f"aim is {self.aim} and ceiling {self.ceiling}; 0 < aim < ceiling is needed")


UNIFORM_WEIGHTS = Weights(target_under=100.0, target_over=100.0, falloff=2.0, organ=3.0)
"""For a target that shall be uniform: its ceiling counts like its floor, and both before fall-off and organs."""


def suited_weights(goals: SortedGoals, prescription: Prescription) -> Weights:
    """The default weights for these goals: those of a uniform target where one is asked for."""
    return Weights() if uniform_up_to_gy(goals, prescription) is None else UNIFORM_WEIGHTS


@dataclass(frozen=True, eq=False, kw_only=True)
class Wishes:
    """Objectives bound to their regions, and the hard limits in the order of their constraints."""

    objectives: tuple[tuple[Objective, Region], ...]
    limits: tuple[DoseVolumeLimit, ...]
    rows: Rows

    def constraints(self, levels_gy: dict[int, float]) -> tuple[tuple[Constraint, Region], ...]:
        """The limits as constraints; ``levels_gy`` by position replaces a limit by the level that makes it hold."""
        return tuple(self.numbered_constraints(levels_gy).values())

    def numbered_constraints(self, levels_gy: dict[int, float]) -> dict[int, tuple[Constraint, Region]]:
        """The same by position of the limit; limits of structures that lie off the dose grid have none."""
        out: dict[int, tuple[Constraint, Region]] = {}
        for k, limit in enumerate(self.limits):
            region = self.rows.regions.get(limit_name(limit.structure.name))
            if region is not None:
                out[k] = _constraint(limit, levels_gy.get(k, limit.limit_gy), region), region
        return out

    def describe(self) -> str:
        """The objectives with their weights, for notes."""
        return "; ".join(f"{o.describe()} (weight {o.weight:.3g})" for o, _ in self.objectives)


def _constraint(limit: DoseVolumeLimit, level_gy: float, region: Region) -> Constraint:
    name = limit.structure.name
    if limit.mean:
        return MaximumMean(structure=name, dose_gy=level_gy)
    if limit.volume_cm3 < NEAR_MAXIMUM_CM3 or limit.volume_cm3 >= 0.98 * float(region.volume_cm3.sum()):
        return MaximumDose(structure=name, dose_gy=level_gy)
    return MaximumDoseAtVolume(structure=name, dose_gy=level_gy, volume_cm3=limit.volume_cm3)


def default_wishes(goals: SortedGoals, prescription: Prescription, rows: Rows, weights: Weights) -> Wishes:
    """Objectives from goals: target underdose and overdose, fall-off, sought limits of organs.

    A sought limit of a small volume counts more, as a mean over the organ dilutes it.
    """
    target, dose = prescription.target, prescription.dose_gy
    uniform = uniform_up_to_gy(goals, prescription)
    aim = weights.aim * dose if uniform is None else min(weights.aim * dose, 0.5 * (dose + uniform))
    ceiling = weights.ceiling * dose
    objectives: list[Objective] = [
        SquaredUnderdose(structure=target, dose_gy=aim, weight=weights.target_under),
        SquaredUnderdose(
            structure=target,
            dose_gy=aim,
            weight=weights.coverage,
            volume_percent=min(100.0, prescription.coverage_percent),
        ),
        Falloff(structure=NORMAL_TISSUE, dose_gy=dose, weight=weights.falloff),
    ]
    for limit in goals.sought:
        if limit.structure.name == target:
            ceiling = min(ceiling, max(limit.limit_gy, aim))
        else:
            objectives.append(_organ(limit, weights))
    objectives.append(SquaredOverdose(structure=target, dose_gy=ceiling, weight=weights.target_over))
    for structure, dose_gy, percent in goals.target_doses:
        if structure.name != target:
            objectives.append(
                SquaredUnderdose(
                    structure=structure.name,
                    dose_gy=1.02 * dose_gy,
                    weight=weights.target_under,
                    volume_percent=percent,
                )
            )
    bound = [(o, rows.regions[o.structure]) for o in objectives if o.structure in rows.regions and o.weight > 0]
    return Wishes(objectives=tuple(bound), limits=goals.hard, rows=rows)


def uniform_up_to_gy(goals: SortedGoals, prescription: Prescription) -> float | None:
    """The lowest limit in Gy on the hottest part (a fifth at most) of a target that shall be uniform; else None."""
    found = [
        limit.limit_gy
        for limit in (*goals.sought, *goals.hard)
        if limit.structure.name == prescription.target
        and not limit.mean
        and limit.volume_cm3 <= 0.2 * limit.structure.volume_cm3
        and limit.limit_gy <= UNIFORM_UP_TO * prescription.dose_gy
    ]
    return min(found, default=None)


def _organ(limit: DoseVolumeLimit, weights: Weights) -> Objective:
    name, volume = limit.structure.name, limit.structure.volume_cm3
    if limit.mean:
        return MeanDose(structure=name, dose_gy=0.9 * limit.limit_gy, weight=weights.organ)
    concentrated = min(100.0, max(1.0, volume / max(limit.volume_cm3, NEAR_MAXIMUM_CM3)))
    return SquaredOverdose(structure=name, dose_gy=0.95 * limit.limit_gy, weight=weights.organ * concentrated)

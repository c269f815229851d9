"""The default objectives of a stereotactic plan: which goal becomes which objective, with visible weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.optimize.constraints import Constraint, MaximumDose, MaximumDoseAtVolume, MaximumMean
from rtsim.optimize.goals import DoseVolumeLimit, SortedGoals
from rtsim.optimize.objectives import Falloff, MeanDose, Objective, Region, SquaredOverdose, SquaredUnderdose
from rtsim.optimize.own_wishes import OwnLimit, OwnWishes
from rtsim.optimize.robust.promises import is_prv
from rtsim.optimize.rows import NORMAL_TISSUE, Rows, limit_name
from rtsim.phantom.structure import Role
from rtsim.protocol.model import Goal, Prescription
from rtsim.typing import FloatArray

UNIFORM_UP_TO = 1.15
"""A target that shall get no more than this times the prescription is to be uniform (ICRU 50: up to 107 %)."""

NEAR_MAXIMUM_CM3 = 0.1
"""A D(cc) of less volume than this is held as a maximum of all points; the delivered dose gives the rest back."""

WHOLE = 0.98
"""A D(cc) of so much of a structure is its least dose."""

ROUNDING = 1e-6
"""Share of a limit that single precision may round away."""

NEAR_WHOLE_PERCENT = 90.0
"""A dose wanted in so much of a tumor is sought in all of it: the rest would be what lies beside the cord."""

TUMOR_AIM = 1.02
"""A dose wanted in a tumor is sought a little higher, so that what is delivered reaches it."""

HALF = 0.49
"""The 50 % isodose is sought a little inside, so that the delivered one lies within."""


@dataclass(frozen=True, kw_only=True)
class GoalWeight:
    """Makes the objective of one goal count more or less than by default.

    Attributes:
        structure, metric: of the goal, as the protocol writes them, e.g. "esophagus", "D5cc".
        factor: its default weight is multiplied by this; 0 leaves the objective out.
    """

    structure: str
    metric: str
    factor: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor >= 0.0):
            raise InputError(f"factor of the goal {self.structure} {self.metric} is {self.factor}; it must be >= 0")

    def is_of(self, goal: Goal) -> bool:
        """True for the goal that is meant."""
        return goal.structure == self.structure and self.metric in (goal.metric, goal.parsed.name)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How much each kind of objective counts (per Gy^2, mean over the volume), and where the objectives lie.

    Attributes:
        target_under, target_over, falloff, gradient, conformity, organ, smoothness: the weights.
        coverage: weight of the underdose of the hottest ``coverage_percent`` of the target alone, which gives up
            voxels that the cord makes unreachable.
        tumor: of the underdose of a GTV or CTV that the protocol wants a dose in, beside the target: so that the part
            of the target that is given up is not the tumor itself.
        aim, ceiling: doses that underdose and overdose of the target are counted from, relative to the prescription.
        falloff_start, falloff_floor, falloff_rate_per_mm: the dose from which normal tissue counts, relative to the
            prescription, at the target, far away, and how fast it falls between them.
        spare: of the dose of organs under a hard limit, from ``spare_aim`` of it on (PRVs: from ``organ_aim``): a limit
            that holds does not yet ask for less.
        organ_aim: an organ's dose counts from this part of its sought limit, so that what is delivered lies below it.
        gradient_index: tissue that gets more than half the prescription counts (with ``gradient``) beyond the volume
            that this V50% / V100% leaves outside a target covered as wanted; tissue that gets more than the whole
            prescription counts with ``conformity``.
        monitor_units_per_gy: no weight, but a hard limit on the beam-on time that the fluence will need, all beams
            together, for each Gy prescribed; default: the smoothness alone keeps it low. What is delivered may need
            more than the fluence, which the notes of the plan then say.
        goals: factors on the weights of single goals.
    """

    target_under: float = 3.0
    coverage: float = 3000.0
    tumor: float = 30.0
    target_over: float = 3.0
    falloff: float = 120.0
    gradient: float = 3000.0
    conformity: float = 2e4
    organ: float = 10.0
    spare: float = 5.0
    smoothness: float = 4.0
    aim: float = 1.04
    ceiling: float = 1.3
    organ_aim: float = 0.9
    spare_aim: float = 0.75
    falloff_start: float = 0.95
    falloff_floor: float = 0.2
    falloff_rate_per_mm: float = 0.2
    gradient_index: float = 2.7
    monitor_units_per_gy: float | None = None
    goals: tuple[GoalWeight, ...] = ()

    def __post_init__(self) -> None:
        for name in _WEIGHTS:
            weight = getattr(self, name)
            if not (math.isfinite(weight) and weight >= 0.0):
                raise InputError(f"{name} is {weight}; a finite weight >= 0 is needed")
        if self.target_under + self.coverage <= 0:
            raise InputError("target_under and coverage are both 0: nothing would ask for dose in the target")
        if not 0.0 < self.aim < self.ceiling:
            raise InputError(f"aim is {self.aim} and ceiling {self.ceiling}; 0 < aim < ceiling is needed")
        for name, part in (("organ_aim", self.organ_aim), ("spare_aim", self.spare_aim)):
            if not 0.0 < part <= 1.0:
                raise InputError(f"{name} is {part}; 0 < {name} <= 1 is needed")
        if self.monitor_units_per_gy is not None and not self.monitor_units_per_gy > 0.0:
            raise InputError(f"monitor_units_per_gy is {self.monitor_units_per_gy}; it must be > 0, or None")
        if not self.gradient_index > 1.0:
            raise InputError(f"gradient_index is {self.gradient_index}; V50% / V100% is > 1")

    def factor_of(self, goal: Goal) -> float:
        """What the default weight of a goal is multiplied by."""
        return next((own.factor for own in self.goals if own.is_of(goal)), 1.0)


_WEIGHTS = (
    "target_under",
    "coverage",
    "tumor",
    "target_over",
    "falloff",
    "gradient",
    "conformity",
    "organ",
    "spare",
    "smoothness",
)

UNIFORM_WEIGHTS = Weights(
    target_under=100.0,
    coverage=500.0,
    tumor=100.0,
    target_over=300.0,
    falloff=5.0,
    gradient=0.0,
    conformity=0.0,
    organ=50.0,
    spare=0.0,
    organ_aim=0.80,
    aim=1.06,
    falloff_rate_per_mm=0.15,
)
"""For a target that shall be uniform: its ceiling counts like its floor, and both before fall-off and organs."""


def suited_weights(goals: SortedGoals, prescription: Prescription) -> Weights:
    """The default weights for these goals: those of a uniform target where one is asked for."""
    return Weights() if uniform_up_to_gy(goals, prescription) is None else UNIFORM_WEIGHTS


@dataclass(frozen=True, eq=False, kw_only=True)
class Wishes:
    """Objectives bound to their regions, and the hard limits in the order of their constraints.

    ``own`` are hard limits beside those of the protocol; they are held as they are, without levels.
    """

    objectives: tuple[tuple[Objective, Region], ...]
    limits: tuple[DoseVolumeLimit, ...]
    rows: Rows
    own: tuple[OwnLimit, ...] = ()

    def constraints(self, levels_gy: dict[int, float]) -> tuple[tuple[Constraint, Region], ...]:
        """The limits as constraints; ``levels_gy`` by position replaces a limit by the level that makes it hold."""
        return (*self.numbered_constraints(levels_gy).values(), *((o.constraint, o.region) for o in self.own))

    def with_own(self, own: OwnWishes) -> Wishes:
        """With objectives and limits beside those of the protocol."""
        objectives = (*self.objectives, *own.bound_objectives(self.rows))
        return replace(self, objectives=objectives, own=own.bound_constraints(self.rows))

    def own_scale(self, rows_gy: FloatArray, dose: Dose | None = None) -> float:
        """By how much doses (rows,), and the dose that they are of, may be multiplied so that the own upper limits
        hold; infinite without any.

        A limit is convex with g(0) = -1, so that g(f d) <= f (1 + g(d)) - 1. Lower limits leave the scale alone.
        """
        worst = max((_worst(o, rows_gy, dose) + 1.0 for o in self.own if o.is_upper), default=0.0)
        return math.inf if worst <= 0.0 else (1.0 - ROUNDING) / worst

    def own_states(self, rows_gy: FloatArray, dose: Dose | None = None) -> tuple[str, ...]:
        """A sentence for each own limit: by how much doses (rows,), and the dose that they are of, keep or break it."""
        out = []
        for own in self.own:
            residual = _worst(own, rows_gy, dose)
            state = "NOT HELD" if residual > ROUNDING else "held"
            out.append(f"Own limit {own.constraint.describe()}: {state} as planned ({100.0 * residual:+.1f} %).")
        return tuple(out)

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


def _worst(own: OwnLimit, rows_gy: FloatArray, dose: Dose | None) -> float:
    """Of what the rows and, where it is known, the dose itself say of a limit."""
    in_rows = own.in_rows(rows_gy)
    return in_rows if dose is None else max(in_rows, own.in_dose(dose))


def _constraint(limit: DoseVolumeLimit, level_gy: float, region: Region) -> Constraint:
    name = limit.structure.name
    if limit.mean:
        return MaximumMean(structure=name, dose_gy=level_gy)
    if limit.volume_cm3 >= WHOLE * float(region.volume_cm3.sum()):  # its least dose, which is never above the mean
        return MaximumMean(structure=name, dose_gy=level_gy)
    if limit.volume_cm3 < NEAR_MAXIMUM_CM3:
        return MaximumDose(structure=name, dose_gy=level_gy)
    return MaximumDoseAtVolume(structure=name, dose_gy=level_gy, volume_cm3=limit.volume_cm3)


def default_wishes(goals: SortedGoals, prescription: Prescription, rows: Rows, weights: Weights) -> Wishes:
    """Objectives from goals: target underdose and overdose, fall-off, sought limits of organs.

    A PRV is a margin, not tissue: the organ in it is spared from ``spare_aim`` of its limit on, the PRV from
    ``organ_aim`` on, so that its limit is not what holds the plan where a little less costs nothing.

    Raises:
        InputError: a weight is given for a goal that does not exist.
    """
    _check_goals(goals, prescription.target, weights)
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
        *_around(prescription, rows, weights),
    ]
    for limit in goals.sought:
        if limit.structure.name == target:
            ceiling = min(ceiling, max(limit.limit_gy, aim))
        else:
            weight = weights.organ * weights.factor_of(limit.goal)
            objectives.append(_organ(limit, weights.organ_aim, weight))
    for limit in goals.hard:
        if limit.structure.name != target:
            is_margin = limit.structure.role is Role.PRV or is_prv(limit)  # of any organ; of the cord by its name, too
            aim = weights.organ_aim if is_margin else weights.spare_aim
            objectives.append(_organ(limit, aim, weights.spare))
    objectives.append(SquaredOverdose(structure=target, dose_gy=ceiling, weight=weights.target_over))
    objectives += _tumor(goals, target, weights)
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


def _check_goals(goals: SortedGoals, target: str, weights: Weights) -> None:
    known = [limit.goal for limit in goals.sought if limit.structure.name != target]
    for own in weights.goals:
        if not any(own.is_of(goal) for goal in known):
            names = ", ".join(dict.fromkeys(f"{g.structure} {g.parsed.name}" for g in known)) or "none"
            raise InputError(
                f"a weight is given for {own.structure} {own.metric}, which is no sought limit of an organ here; "
                f"those are: {names}"
            )


def _tumor(goals: SortedGoals, target: str, weights: Weights) -> list[Objective]:
    """Underdose of what is a tumor beside the target: of two doses wanted in the same part of it, the higher one."""
    wanted: dict[tuple[str, float], float] = {}
    for structure, dose_gy, percent in goals.target_doses:
        if structure.name != target:
            part = structure.name, 100.0 if percent >= NEAR_WHOLE_PERCENT else percent
            wanted[part] = max(wanted.get(part, 0.0), TUMOR_AIM * dose_gy)
    return [
        SquaredUnderdose(structure=name, dose_gy=dose_gy, weight=weights.tumor, volume_percent=percent)
        for (name, percent), dose_gy in wanted.items()
    ]


def _around(prescription: Prescription, rows: Rows, weights: Weights) -> tuple[Objective, ...]:
    """Objectives of the tissue around the target: dose that falls with distance, small 100 % and 50 % isodoses."""
    dose, tissue = prescription.dose_gy, rows.regions[NORMAL_TISSUE]
    falling = Falloff(
        structure=NORMAL_TISSUE,
        dose_gy=dose,
        weight=weights.falloff,
        start=weights.falloff_start,
        floor=weights.falloff_floor,
        rate_per_mm=weights.falloff_rate_per_mm,
    )
    spilled = SquaredOverdose(structure=NORMAL_TISSUE, dose_gy=dose, weight=weights.conformity)
    target_cm3 = float(rows.regions[prescription.target].volume_cm3.sum())
    covered = prescription.coverage_percent / 100.0
    allowed_cm3 = max(weights.gradient_index * covered - 1.0, 0.0) * target_cm3
    percent = 100.0 * allowed_cm3 / float(tissue.volume_cm3.sum())
    if percent >= 100.0:
        return falling, spilled
    half = SquaredOverdose(
        structure=NORMAL_TISSUE, dose_gy=HALF * dose, weight=weights.gradient, allowed_percent=percent
    )
    return falling, spilled, half


def _organ(limit: DoseVolumeLimit, aim: float, weight: float) -> Objective:
    """Dose above ``aim`` times a limit; one on a small volume counts more, as a mean over the organ dilutes it."""
    name, volume, dose_gy = limit.structure.name, limit.structure.volume_cm3, aim * limit.limit_gy
    if limit.mean:
        return MeanDose(structure=name, dose_gy=dose_gy, weight=weight)
    concentrated = min(100.0, max(1.0, volume / max(limit.volume_cm3, NEAR_MAXIMUM_CM3)))
    return SquaredOverdose(structure=name, dose_gy=dose_gy, weight=weight * concentrated)

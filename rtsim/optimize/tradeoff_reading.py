"""How near a fluence is to the hard limits: by its own dose, or by what a delivered plan taught.

A constraint holds a maximum (or a mean of the hottest part) over points, in displaced positions of the patient, too; a
limit is on D(cc) of the delivered dose. In a fluence alone the D(cc) of its dose can be read. A planner that computed
what is delivered knows more: the level of each constraint at which the delivered dose meets its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsim.dose.dvh import dvh
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError
from rtsim.optimize.delivered import SAFETY
from rtsim.optimize.fluence import FluencePlan
from rtsim.optimize.goals import DoseVolumeLimit
from rtsim.optimize.plan import Planned


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnDose:
    """A fluence read in its own dose, as planned; a :class:`~rtsim.optimize.tradeoff_series.Reading`."""

    limits: tuple[DoseVolumeLimit, ...]
    levels_gy: tuple[float, ...]
    of_plan: tuple[float, ...]

    @staticmethod
    def of_fluence(plan: FluencePlan) -> OwnDose:
        """The limits of the fluence itself."""
        limits = plan.planning.wishes.limits
        return OwnDose(limits=limits, levels_gy=_aims(limits), of_plan=_in_dose(limits, plan.dose))

    def of(self, fluence: FluencePlan) -> tuple[float, ...]:
        """D(cc) of the fluence's dose."""
        return _in_dose(self.limits, fluence.dose)

    def given_back(self, levels: dict[int, float], aims: Sequence[float], fluence: FluencePlan) -> dict[int, float]:
        """Each level raised by what its constraint, a maximum or a mean, reads above the D(cc) that it stands for."""
        held, reached = _in_constraints(fluence, tuple(aims)), self.of(fluence)
        raised = {k: aims[k] + held[k] - reached[k] for k in levels if held[k] > 0}
        return {k: min(max(raised.get(k, v), 0.7 * aims[k]), 1.4 * aims[k]) for k, v in levels.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Learned:
    """A fluence read in its constraints, against the levels at which the delivered plan meets its limits."""

    limits: tuple[DoseVolumeLimit, ...]
    levels_gy: tuple[float, ...]
    of_plan: tuple[float, ...]

    @staticmethod
    def of_planned(plan: Planned, fluence: FluencePlan) -> Learned:
        """What the planner learned."""
        limits = fluence.planning.wishes.limits
        return Learned(limits=limits, levels_gy=plan.levels_gy, of_plan=certified_gy(plan, limits))

    def of(self, fluence: FluencePlan) -> tuple[float, ...]:
        """What the delivered dose would be, in every position that is promised."""
        held = _in_constraints(fluence, self.levels_gy)
        return tuple(
            aim * own / level for aim, own, level in zip(_aims(self.limits), held, self.levels_gy, strict=True)
        )

    def given_back(self, levels: dict[int, float], aims: Sequence[float], fluence: FluencePlan) -> dict[int, float]:
        """Nothing: these levels have been found by forward doses."""
        return levels


def certified_gy(plan: Planned, limits: tuple[DoseVolumeLimit, ...]) -> tuple[float, ...]:
    """What the delivered plan gives each limit: at worst, where it is promised in every position of the patient."""
    worst = {
        (c.structure, c.metric): c.positions.worst_gy
        for c in plan.plan.certificates
        if c.positions is not None and c.positions.promised
    }
    read = _in_dose(limits, plan.dose)
    keys = [(limit.structure.name, limit.goal.parsed.name) for limit in limits]
    return tuple(max(own, worst.get(key, 0.0)) for key, own in zip(keys, read, strict=True))


def _aims(limits: tuple[DoseVolumeLimit, ...]) -> tuple[float, ...]:
    return tuple(limit.limit_gy * (1.0 - SAFETY) for limit in limits)


def _in_dose(limits: tuple[DoseVolumeLimit, ...], dose: Dose) -> tuple[float, ...]:
    return tuple(_reached(limit, dose) for limit in limits)


def _reached(limit: DoseVolumeLimit, dose: Dose) -> float:
    try:
        return limit.reached_in(dvh(dose, limit.structure))
    except GeometryError:
        return 0.0


def _in_constraints(fluence: FluencePlan, levels_gy: tuple[float, ...]) -> tuple[float, ...]:
    """The dose that each constraint compares with its level; 0 for limits that have none."""
    rows, wishes = fluence.solution.dose_gy, fluence.planning.wishes
    found = [0.0] * len(levels_gy)
    for k, (constraint, region) in wishes.numbered_constraints(dict(enumerate(levels_gy))).items():
        found[k] = (float(constraint.residual(rows[region.rows], region).max()) + 1.0) * levels_gy[k]
    return tuple(found)

"""What is wanted of a plan: prescription, goals, protocol. Data only; each number carries its source."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

from rtsim.errors import InputError, check_choice, unknown_name
from rtsim.protocol.metric import Metric, MetricKind
from rtsim.sources import Source, Standing

__all__ = [
    "CordLimits",
    "DoseLevel",
    "Goal",
    "Metric",
    "Prescription",
    "Priority",
    "Protocol",
    "Sense",
    "Source",
    "Standing",
    "Technique",
]

CORD_STRUCTURES = ("spinal_cord", "spinal_cord_prv", "spinal_canal", "thecal_sac")
"""Canonical keys whose hard goals count as the limit of the cord."""
MOST_CORD_EQD2_GY = 59.3
"""EQD2_2 of 5 % myelopathy (Schultheiss 2008, IJROBP 71:1455): a limit of the cord in percent of the prescription must
not come out above it."""
_NEAR_MAXIMA = (MetricKind.DOSE_AT_VOLUME, MetricKind.MAX_DOSE)


class Sense(Enum):
    """On which side of its value a goal is met."""

    AT_MOST = "<="
    AT_LEAST = ">="


class Priority(Enum):
    """HARD is never given up for the target, GOAL is sought, REPORT is only shown."""

    HARD = "hard"
    GOAL = "goal"
    REPORT = "report"


class Technique(Enum):
    """Family of treatment that a protocol belongs to."""

    CONVENTIONAL = "conventional"
    STEREOTACTIC = "stereotactic"


@dataclass(frozen=True)
class Prescription:
    """Dose wanted: ``dose_gy`` in ``fractions`` to at least ``coverage_percent`` of the volume of ``target``."""

    target: str
    dose_gy: float
    fractions: int
    coverage_percent: float = 95.0

    def __post_init__(self) -> None:
        if not self.target.strip():
            raise InputError("target is empty; name the structure that the dose is prescribed to, e.g. 'PTV'")
        _check_dose(self.dose_gy, self.fractions)
        if not 0.0 < self.coverage_percent <= 100.0:
            raise InputError(f"coverage_percent is {self.coverage_percent}; allowed: 0 < coverage_percent <= 100")

    @property
    def dose_per_fraction_gy(self) -> float:
        """Dose of one fraction in Gy."""
        return self.dose_gy / self.fractions

    def __str__(self) -> str:
        return f"{self.dose_gy:g} Gy in {self.fractions} fraction{'s' if self.fractions != 1 else ''} to {self.target}"


@dataclass(frozen=True)
class DoseLevel:
    """One dose that a protocol allows; exactly one level of a protocol is the default."""

    dose_gy: float
    fractions: int
    default: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        _check_dose(self.dose_gy, self.fractions)

    def __str__(self) -> str:
        return f"{self.dose_gy:g} Gy/{self.fractions}"


@dataclass(frozen=True)
class Goal:
    """One wish on one structure: ``metric`` of ``structure`` at most or at least ``value`` in ``unit``.

    ``structure`` is a canonical key of `rtsim.protocol.nomenclature` ('spinal_cord', 'PTV', 'esophagus').
    ``metric`` follows the grammar of `rtsim.protocol.metric`; ``unit`` is 'Gy', '%', 'cm3' or ''.
    ``dose_gy`` restricts the goal to one dose level of its protocol; None: it holds at every level.
    """

    structure: str
    metric: str
    sense: Sense
    value: float
    unit: str
    priority: Priority
    source: Source
    note: str = ""
    dose_gy: float | None = None
    parsed: Metric = field(init=False, repr=False, compare=False)
    """The metric, parsed once, with ``unit`` as the unit of its result."""

    def __post_init__(self) -> None:
        if not self.source.citation.strip():
            raise InputError(f"goal {self.structure} {self.metric} cites nothing; every number names its source")
        if not self.structure.strip():
            raise InputError(f"structure of the goal {self.metric!r} is empty; name an organ or 'PTV', 'CTV', 'GTV'")
        object.__setattr__(self, "parsed", Metric.parse(self.metric, self.unit))
        check_choice(f"sense of {self.structure} {self.metric}", self.sense, Sense)
        check_choice(f"priority of {self.structure} {self.metric}", self.priority, Priority)
        if not (math.isfinite(self.value) and self.value >= 0.0):
            raise InputError(f"value of {self.structure} {self.metric} is {self.value}; it must be finite and >= 0")
        if self.sense is Sense.AT_MOST and self.priority is Priority.HARD and self.value == 0.0:
            raise InputError(
                f"{self.structure} {self.metric} may be at most 0 {self.unit}; no dose keeps that; give more, or none"
            )
        is_share = self.parsed.kind is MetricKind.VOLUME_AT_DOSE and self.unit == "%"
        if is_share and self.sense is Sense.AT_LEAST and self.value > 100.0:
            raise InputError(f"{self.structure} {self.metric} is to be {self.value:g} %; a volume has 100 % at most")

    def met_by(self, value: float) -> bool:
        """Whether ``value`` (in ``unit``) meets the goal; NaN never does."""
        return value <= self.value if self.sense is Sense.AT_MOST else value >= self.value

    def applies_to(self, prescription: Prescription) -> bool:
        """Whether the goal holds at the dose level of ``prescription``."""
        return self.dose_gy is None or math.isclose(self.dose_gy, prescription.dose_gy, abs_tol=1e-6)

    def __str__(self) -> str:
        return f"{self.structure} {self.parsed.name} {self.sense.value} {self.value:g} {self.unit}".rstrip()


@dataclass(frozen=True, kw_only=True)
class CordLimits:
    """A named, selectable set of limits for the cord; protocols offer several because the literature disagrees."""

    name: str
    description: str
    goals: tuple[Goal, ...]

    def __post_init__(self) -> None:
        if not any(g.priority is Priority.HARD for g in self.goals):
            raise InputError(f"cord_limits {self.name!r} holds no hard goal; a set of cord limits needs at least one")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A treatment protocol: dose levels, margins, and every goal (the selected cord limits are among ``goals``).

    ``cord_margin_mm`` grows the cord to 'spinal_cord_prv', ``ptv_margin_mm`` the CTV to the PTV; ``evaluation`` says in
    words how the plan is normalised and judged. ``cord_limits`` are the sets to choose from, ``cord_limits_name`` the
    chosen one ('' when the protocol offers none).
    """

    name: str
    description: str
    technique: Technique
    dose_levels: tuple[DoseLevel, ...]
    goals: tuple[Goal, ...]
    cord_margin_mm: float
    ptv_margin_mm: float
    coverage_percent: float = 95.0
    evaluation: str = ""
    sources: tuple[Source, ...] = ()
    cord_limits: tuple[CordLimits, ...] = ()
    cord_limits_name: str = ""

    def __post_init__(self) -> None:
        check_choice(f"technique of protocol {self.name!r}", self.technique, Technique)
        _check_levels(self)
        _check_percent(self, self.default_level)
        for name, margin_mm in (("cord_margin_mm", self.cord_margin_mm), ("ptv_margin_mm", self.ptv_margin_mm)):
            if not (math.isfinite(margin_mm) and margin_mm >= 0.0):
                raise InputError(f"{name} of protocol {self.name!r} is {margin_mm}; it must be >= 0 mm")
        if self.cord_limits or self.cord_limits_name:
            missing = [g for g in self._limits_named(self.cord_limits_name).goals if g not in self.goals]
            if missing:
                raise InputError(f"protocol {self.name!r}: the selected cord limit '{missing[0]}' is not in goals")

    @property
    def default_level(self) -> DoseLevel:
        """The dose level used when none is asked for."""
        return next(level for level in self.dose_levels if level.default)

    @property
    def cord_limit(self) -> tuple[Goal, ...]:
        """The hard goals on the cord (or on what stands for it: PRV, canal, thecal sac), at every dose level."""
        return tuple(g for g in self.goals if g.structure in CORD_STRUCTURES and g.priority is Priority.HARD)

    def prescription(self, target: str, dose_gy: float | None = None) -> Prescription:
        """Prescription to ``target`` at ``dose_gy``, or at the default level."""
        level = self.default_level if dose_gy is None else self._level(dose_gy)
        _check_percent(self, level)
        return Prescription(target, level.dose_gy, level.fractions, self.coverage_percent)

    def goals_for(self, prescription: Prescription) -> tuple[Goal, ...]:
        """Goals that hold at the dose level of ``prescription``, which must be one of the protocol's."""
        level = self._level(prescription.dose_gy)
        if prescription.fractions != level.fractions:
            raise InputError(
                f"fractions is {prescription.fractions}, but {prescription.dose_gy:g} Gy of protocol {self.name!r} "
                f"is given in {level.fractions}; its limits hold for that number only. Choose another protocol"
            )
        _check_percent(self, level)
        return tuple(g for g in self.goals if g.applies_to(prescription))

    def with_cord_limits(self, name: str) -> Protocol:
        """Same protocol with another of its ``cord_limits`` sets selected."""
        chosen = self._limits_named(name)
        old = self._limits_named(self.cord_limits_name).goals if self.cord_limits_name else ()
        rest = tuple(g for g in self.goals if g not in old)
        return replace(self, goals=chosen.goals + rest, cord_limits_name=name)

    def _limits_named(self, name: str) -> CordLimits:
        for limits in self.cord_limits:
            if limits.name == name:
                return limits
        raise InputError(unknown_name("cord_limits", name, [c.name for c in self.cord_limits]))

    def _level(self, dose_gy: float) -> DoseLevel:
        for level in self.dose_levels:
            if math.isclose(level.dose_gy, dose_gy, abs_tol=1e-6):
                return level
        raise InputError(
            f"dose_gy is {dose_gy:g}; protocol {self.name!r} allows {_listed(self.dose_levels)}. "
            "Choose one of these or another protocol"
        )


def _check_dose(dose_gy: float, fractions: int) -> None:
    if not (math.isfinite(dose_gy) and dose_gy > 0.0):
        raise InputError(f"dose_gy is {dose_gy}; a prescribed dose is > 0 Gy")
    if isinstance(fractions, bool) or int(fractions) != fractions or fractions < 1:
        raise InputError(f"fractions is {fractions!r}; it must be a whole number >= 1")


def _check_levels(protocol: Protocol) -> None:
    levels = protocol.dose_levels
    defaults = [level for level in levels if level.default]
    if len(defaults) != 1:
        raise InputError(
            f"protocol {protocol.name!r} has {len(defaults)} default dose levels among {_listed(levels) or '(none)'}; "
            "mark exactly one with default = true"
        )
    doses = [level.dose_gy for level in levels]
    if len(set(doses)) != len(doses):
        raise InputError(f"protocol {protocol.name!r} lists a dose level twice: {_listed(levels)}")
    for goal in protocol.goals:
        if goal.dose_gy is not None and not any(math.isclose(goal.dose_gy, d, abs_tol=1e-6) for d in doses):
            raise InputError(
                f"protocol {protocol.name!r}: goal '{goal}' is for {goal.dose_gy:g} Gy, which is no dose level; "
                f"levels: {_listed(levels)}"
            )


def _check_percent(protocol: Protocol, level: DoseLevel) -> None:
    """That a cord which is limited in percent of the prescription only is not allowed any dose for it.

    Raises:
        InputError: the limit comes out above EQD2_2 59.3 Gy at this dose level.
    """
    hard = [g for g in protocol.cord_limit if g.applies_to(Prescription("PTV", level.dose_gy, level.fractions))]
    near = [g for g in hard if g.sense is Sense.AT_MOST and g.parsed.kind in _NEAR_MAXIMA]
    if any(g.unit == "Gy" for g in near):
        return
    for goal in near:
        gy = goal.value / 100.0 * level.dose_gy
        eqd2 = gy * (gy / level.fractions + 2.0) / 4.0
        if goal.unit == "%" and eqd2 > MOST_CORD_EQD2_GY:
            others = ", ".join(c.name for c in protocol.cord_limits if c.name != protocol.cord_limits_name)
            raise InputError(
                f"cord limits {protocol.cord_limits_name or protocol.name!r} allow the cord {goal.value:g} % of the "
                f"prescription: of {level} that is {gy:.1f} Gy, EQD2 {eqd2:.1f} Gy (alpha/beta 2 Gy). Allowed is EQD2 "
                f"{MOST_CORD_EQD2_GY:g} Gy, 5 % myelopathy by Schultheiss 2008. Prescribe less"
                + (f", or choose cord limits in Gy ({others})" if others else "")
            )


def _listed(levels: Iterable[DoseLevel]) -> str:
    return ", ".join(str(level) for level in levels)

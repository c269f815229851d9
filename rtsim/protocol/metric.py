"""Dose-volume metrics as parsed objects: the one place where their grammar is written.

===================  =================================================================  ============
text                 meaning                                                            unit, default first
===================  =================================================================  ============
``D95%``             least dose of the hottest 95 % of the volume (ICRU 83)             Gy, %
``D0.035cc``         least dose of the hottest 0.035 cm3 (``cm3`` is the same)          Gy, %
``V20Gy``            volume that gets at least 20 Gy                                    %, cm3
``V100%``            volume that gets at least 100 % of the prescription                %, cm3
``CV7Gy``            cold volume: what gets less than 7 Gy (``CV50%`` likewise)         cm3, %
``Dmean``            mean dose                                                          Gy, %
``Dmax``, ``Dmin``   largest, least dose of any voxel                                   Gy, %
``conformity_paddick``, ``homogeneity_icru83``, ``gradient_index``  plan indices        (none)
===================  =================================================================  ============

A dose in ``%`` is a percentage of the prescribed dose, a volume in ``%`` one of the structure. Another unit than the
default is written after a space: ``"V18Gy cm3"``, ``"D95% %"``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from rtsim.errors import InputError


class MetricKind(Enum):
    """What is asked of a dose distribution."""

    DOSE_AT_VOLUME = "D"
    VOLUME_AT_DOSE = "V"
    COLD_VOLUME = "CV"
    MEAN_DOSE = "Dmean"
    MAX_DOSE = "Dmax"
    MIN_DOSE = "Dmin"
    CONFORMITY_PADDICK = "conformity_paddick"
    HOMOGENEITY_ICRU83 = "homogeneity_icru83"
    GRADIENT_INDEX = "gradient_index"


class Unit(Enum):
    """Unit of a threshold or of a result. ``PERCENT`` is of the prescription (dose) or of the structure (volume)."""

    GY = "Gy"
    PERCENT = "%"
    CM3 = "cm3"
    NONE = ""


EXAMPLES = "D95%, D0.035cc, Dmean, Dmax, Dmin, V20Gy, V100%, 'V18Gy cm3', CV7Gy, conformity_paddick"

_DOSE_UNITS = (Unit.GY, Unit.PERCENT)
_VOLUME_UNITS = (Unit.PERCENT, Unit.CM3)
_RESULT_UNITS: dict[MetricKind, tuple[Unit, ...]] = {
    MetricKind.DOSE_AT_VOLUME: _DOSE_UNITS,
    MetricKind.MEAN_DOSE: _DOSE_UNITS,
    MetricKind.MAX_DOSE: _DOSE_UNITS,
    MetricKind.MIN_DOSE: _DOSE_UNITS,
    MetricKind.VOLUME_AT_DOSE: _VOLUME_UNITS,
    MetricKind.COLD_VOLUME: (Unit.CM3, Unit.PERCENT),
    MetricKind.CONFORMITY_PADDICK: (Unit.NONE,),
    MetricKind.HOMOGENEITY_ICRU83: (Unit.NONE,),
    MetricKind.GRADIENT_INDEX: (Unit.NONE,),
}
"""Units that a result may have; the first is the default."""

_WITH_THRESHOLD = (MetricKind.DOSE_AT_VOLUME, MetricKind.VOLUME_AT_DOSE, MetricKind.COLD_VOLUME)
_BY_WORD = {kind.value.lower(): kind for kind in MetricKind if kind not in _WITH_THRESHOLD}
_PATTERN = re.compile(r"(D|V|CV)(\d+(?:\.\d*)?|\.\d+)(%|cc|cm3|Gy)", re.IGNORECASE)
_THRESHOLD_UNITS = {"%": Unit.PERCENT, "cc": Unit.CM3, "cm3": Unit.CM3, "gy": Unit.GY}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One parsed metric.

    ``threshold`` is the number in the name and ``threshold_unit`` its unit: a volume (``PERCENT`` of the structure or
    ``CM3``) for ``DOSE_AT_VOLUME``; a dose (``GY`` or ``PERCENT`` of the prescription) for ``VOLUME_AT_DOSE`` and
    ``COLD_VOLUME``; 0 and ``NONE`` for the rest. ``unit`` is the unit of the result.
    """

    kind: MetricKind
    threshold: float = 0.0
    threshold_unit: Unit = Unit.NONE
    unit: Unit

    def __post_init__(self) -> None:
        _check_threshold(self)
        allowed = _RESULT_UNITS[self.kind]
        if self.unit not in allowed:
            names = " or ".join(repr(u.value) for u in allowed)
            raise InputError(f"metric {self.name!r} cannot be in {self.unit.value!r}; its unit is {names}")

    @classmethod
    def parse(cls, text: str, unit: str | None = None) -> Metric:
        """Parse ``text`` by the grammar above; ``unit`` ('Gy', '%', 'cm3', '') replaces the default unit of the result.

        Case and blanks around the number do not matter (``"d 95 %"`` is ``"D95%"``).
        """
        body, written = _split_unit(text)
        kind, threshold, threshold_unit = _parse_body(body, text)
        if written is not None and unit is not None and _unit(unit, text) is not written:
            raise InputError(f"metric {text!r} is written in {written.value!r} but the unit given is {unit!r}")
        result = written or (_RESULT_UNITS[kind][0] if unit is None else _unit(unit, text))
        return cls(kind=kind, threshold=threshold, threshold_unit=threshold_unit, unit=result)

    @property
    def name(self) -> str:
        """Canonical text without the unit of the result: ``D0.035cc``, ``V100%``, ``Dmean``."""
        if self.kind not in _WITH_THRESHOLD:
            return self.kind.value
        unit = "cc" if self.threshold_unit is Unit.CM3 else self.threshold_unit.value
        return f"{self.kind.value}{self.threshold:g}{unit}"

    @property
    def needs_prescription(self) -> bool:
        """Whether a prescribed dose is needed to compute it."""
        dose_threshold = self.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.COLD_VOLUME)
        if self.unit is Unit.NONE:
            return self.kind is not MetricKind.HOMOGENEITY_ICRU83
        in_percent_of_dose = Unit.GY in _RESULT_UNITS[self.kind] and self.unit is Unit.PERCENT
        return in_percent_of_dose or (dose_threshold and self.threshold_unit is Unit.PERCENT)

    def __str__(self) -> str:
        default = _RESULT_UNITS[self.kind][0]
        return self.name if self.unit is default else f"{self.name} {self.unit.value}"


def _check_threshold(metric: Metric) -> None:
    """Refuse a threshold that its kind does not have: D95Gy, V0.1cc, D120%, CV-3Gy."""
    if metric.kind not in _WITH_THRESHOLD:
        if metric.threshold != 0.0 or metric.threshold_unit is not Unit.NONE:
            raise InputError(f"metric {metric.kind.value!r} takes no threshold; examples: {EXAMPLES}")
        return
    if metric.kind is MetricKind.DOSE_AT_VOLUME:
        allowed, quantity = (Unit.PERCENT, Unit.CM3), "a volume in % or cc"
    else:
        allowed, quantity = (Unit.GY, Unit.PERCENT), "a dose in Gy or % of the prescription"
    if metric.threshold_unit not in allowed:
        raise InputError(f"metric {metric.name!r} needs {quantity}; examples: {EXAMPLES}")
    if not (math.isfinite(metric.threshold) and metric.threshold >= 0.0):
        raise InputError(f"metric threshold is {metric.threshold}; it must be finite and >= 0")
    if metric.kind is MetricKind.DOSE_AT_VOLUME and metric.threshold_unit is Unit.PERCENT and metric.threshold > 100.0:
        raise InputError(f"metric {metric.name!r} asks for more than 100 % of the volume")


def _split_unit(text: str) -> tuple[str, Unit | None]:
    """Split ``'V18Gy cm3'`` into ``'V18Gy'`` and the unit; without a unit after the metric it is None."""
    words = text.split()
    if len(words) >= 2:
        last = {"gy": Unit.GY, "%": Unit.PERCENT, "cm3": Unit.CM3, "cc": Unit.CM3}.get(words[-1].lower())
        head = "".join(words[:-1])
        if last is not None and (_PATTERN.fullmatch(head) or head.lower() in _BY_WORD):
            return head, last
    return "".join(words), None


def _parse_body(body: str, text: str) -> tuple[MetricKind, float, Unit]:
    word = _BY_WORD.get(body.lower())
    if word is not None:
        return word, 0.0, Unit.NONE
    match = _PATTERN.fullmatch(body)
    if match is None:
        raise InputError(f"unknown metric {text!r}; examples: {EXAMPLES}")
    letter, number, unit = match.groups()
    return MetricKind(letter.upper()), float(number), _THRESHOLD_UNITS[unit.lower()]


def _unit(unit: str, text: str) -> Unit:
    for known in Unit:
        if known.value == unit:
            return known
    raise InputError(f"unit {unit!r} of metric {text!r} is unknown; allowed: 'Gy', '%', 'cm3', '' (plan indices)")

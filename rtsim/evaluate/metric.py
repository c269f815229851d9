"""One number from a dose distribution: ``metric(dose, structure, "D0.035cc")``. The grammar is that of
rtsim.protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate.dvh import DVH, dvh
from rtsim.evaluate.indices import conformity_paddick, gradient_index, homogeneity_icru83
from rtsim.phantom.structure import Structure
from rtsim.protocol import Metric, MetricKind, Unit

_INDICES = (MetricKind.CONFORMITY_PADDICK, MetricKind.HOMOGENEITY_ICRU83, MetricKind.GRADIENT_INDEX)


@dataclass(frozen=True)
class MetricValue:
    """A value and its unit; ``float(...)`` and ``str(...)`` of it are what they say."""

    metric: Metric
    value: float

    @property
    def unit(self) -> Unit:
        """The unit of ``value``."""
        return self.metric.unit

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.2f} {self.unit.value}".rstrip()


def metric(
    dose: Dose,
    structure: Structure,
    wanted: Metric | str,
    *,
    prescription_gy: float | None = None,
    external: Structure | None = None,
) -> MetricValue:
    """A dose-volume metric or plan index of ``structure``.

    Args:
        wanted: a Metric, or its text: "D95%", "D0.035cc", "V20Gy", "V100%", "V18Gy cm3", "Dmean", "conformity_paddick".
        prescription_gy: needed where percent of the prescription is asked for, and by the indices.
        external: outline of the patient; isodose volumes of the indices are counted inside it.

    Raises:
        InputError: unknown metric, or ``prescription_gy`` is needed and missing.
        GeometryError: the structure lies wholly outside the dose grid.
    """
    parsed = Metric.parse(wanted) if isinstance(wanted, str) else wanted
    if parsed.kind in _INDICES:
        return MetricValue(parsed, _index(dose, structure, parsed, prescription_gy, external))
    return metric_of_dvh(dvh(dose, structure), parsed, prescription_gy=prescription_gy)


def metric_of_dvh(histogram: DVH, wanted: Metric | str, *, prescription_gy: float | None = None) -> MetricValue:
    """A dose-volume metric of a DVH that is there already.

    Raises:
        InputError: a plan index is asked for (it needs the dose), or ``prescription_gy`` is needed and missing.
    """
    parsed = Metric.parse(wanted) if isinstance(wanted, str) else wanted
    if parsed.kind is MetricKind.HOMOGENEITY_ICRU83:
        return MetricValue(parsed, homogeneity_icru83(histogram))
    if parsed.kind in _INDICES:
        raise InputError(f"{parsed.name} cannot be read from a DVH; call metric(dose, structure, ...)")
    if parsed.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.COLD_VOLUME):
        return MetricValue(parsed, _volume(histogram, parsed, prescription_gy))
    dose_gy = _dose_gy(histogram, parsed)
    if parsed.unit is Unit.PERCENT:
        dose_gy *= 100.0 / _prescription(parsed, prescription_gy)
    return MetricValue(parsed, dose_gy)


def _dose_gy(histogram: DVH, wanted: Metric) -> float:
    if wanted.kind is MetricKind.MEAN_DOSE:
        return histogram.mean_gy
    if wanted.kind is MetricKind.MAX_DOSE:
        return histogram.max_gy
    if wanted.kind is MetricKind.MIN_DOSE:
        return histogram.min_gy
    if wanted.threshold_unit is Unit.PERCENT:
        return histogram.dose_gy_at_percent(wanted.threshold)
    return histogram.dose_gy_at(wanted.threshold)


def _volume(histogram: DVH, wanted: Metric, prescription_gy: float | None) -> float:
    level = wanted.threshold
    if wanted.threshold_unit is Unit.PERCENT:
        level *= _prescription(wanted, prescription_gy) / 100.0
    volume = histogram.volume_cm3_at(level)
    if wanted.kind is MetricKind.COLD_VOLUME:
        volume = histogram.volume_cm3 - volume
    return 100.0 * volume / histogram.volume_cm3 if wanted.unit is Unit.PERCENT else volume


def _index(
    dose: Dose, structure: Structure, wanted: Metric, prescription_gy: float | None, external: Structure | None
) -> float:
    if wanted.kind is MetricKind.HOMOGENEITY_ICRU83:
        return homogeneity_icru83(dvh(dose, structure))
    level = _prescription(wanted, prescription_gy)
    if wanted.kind is MetricKind.CONFORMITY_PADDICK:
        return conformity_paddick(dose, structure, level, external=external)
    return gradient_index(dose, level, external=external)


def _prescription(wanted: Metric, prescription_gy: float | None) -> float:
    if prescription_gy is None or not prescription_gy > 0:
        raise InputError(f"metric {str(wanted)!r} needs prescription_gy > 0; given {prescription_gy}")
    return prescription_gy

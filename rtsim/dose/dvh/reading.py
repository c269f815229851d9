"""One number from a DVH by a parsed metric: the same for planners, certificates and grades."""

from __future__ import annotations

from rtsim.dose.dvh.model import DVH
from rtsim.errors import InputError
from rtsim.protocol.metric import Metric, MetricKind, Unit


def value_of_dvh(histogram: DVH, wanted: Metric, *, prescription_gy: float | None = None) -> float:
    """A dose-volume metric of a DVH, in the metric's unit.

    Raises:
        InputError: a plan index that needs the dose is asked for, or ``prescription_gy`` is needed and missing.
    """
    if wanted.kind is MetricKind.HOMOGENEITY_ICRU83:
        return homogeneity_icru83(histogram)
    if wanted.kind in (MetricKind.CONFORMITY_PADDICK, MetricKind.GRADIENT_INDEX):
        raise InputError(f"{wanted.name} cannot be read from a DVH; call rtsim.evaluate.metric(dose, structure, ...)")
    if wanted.kind in (MetricKind.VOLUME_AT_DOSE, MetricKind.COLD_VOLUME):
        return _volume(histogram, wanted, prescription_gy)
    dose_gy = _dose_gy(histogram, wanted)
    if wanted.unit is Unit.PERCENT:
        dose_gy *= 100.0 / known_prescription(wanted, prescription_gy)
    return dose_gy


def homogeneity_icru83(target: DVH) -> float:
    """(D2% - D98%) / D50%; 0 is perfect (ICRU report 83, section 3.7.1)."""
    return (target.dose_gy_at_percent(2) - target.dose_gy_at_percent(98)) / target.dose_gy_at_percent(50)


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
        level *= known_prescription(wanted, prescription_gy) / 100.0
    volume = histogram.volume_cm3_at(level)
    if wanted.kind is MetricKind.COLD_VOLUME:
        volume = histogram.volume_cm3 - volume
    return 100.0 * volume / histogram.volume_cm3 if wanted.unit is Unit.PERCENT else volume


def known_prescription(wanted: Metric, prescription_gy: float | None) -> float:
    """The prescribed dose in Gy, or an InputError that says which metric needs it."""
    if prescription_gy is None or not prescription_gy > 0:
        raise InputError(f"metric {str(wanted)!r} needs prescription_gy > 0; given {prescription_gy}")
    return prescription_gy

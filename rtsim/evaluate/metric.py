"""One number from a dose distribution: ``metric(dose, structure, "D0.035cc")``. The grammar is that of
rtsim.protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.dose.dvh import DVH, dvh, known_prescription, value_of_dvh
from rtsim.dose.result import Dose
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
    return MetricValue(parsed, value_of_dvh(histogram, parsed, prescription_gy=prescription_gy))


def _index(
    dose: Dose, structure: Structure, wanted: Metric, prescription_gy: float | None, external: Structure | None
) -> float:
    if wanted.kind is MetricKind.HOMOGENEITY_ICRU83:
        return homogeneity_icru83(dvh(dose, structure))
    level = known_prescription(wanted, prescription_gy)
    if wanted.kind is MetricKind.CONFORMITY_PADDICK:
        return conformity_paddick(dose, structure, level, external=external)
    return gradient_index(dose, level, external=external)

"""One factor on all monitor units: a reference dose is the prescription, and hard limits hold.

A single field is prescribed to the center of the target, the ICRU reference point (ICRU 50, section 2.3); two and more
fields so that the median dose of the target, D50%, is the prescription (ICRU 83, section 3.4). A target that would just
miss 95 % of the dose is raised by up to 2 % as long as D2% stays within 107 %. Hard limits hold: where the delivered
dose would break one, all monitor units are scaled down to it and the certificate says so.
"""

from __future__ import annotations

import numpy as np

from rtsim.dose.result import Dose
from rtsim.optimize.conventional.settings import FieldArrangement
from rtsim.optimize.delivered import SAFETY, Reader, Reading
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Prescription

COVERED_AT = 0.95
"""A conventional target counts as covered at this share of the prescription (ICRU 50: -5 % to +7 %)."""

HOTTEST = 1.07
"""D2% of the target over the prescription that raising it for coverage may reach (ICRU 50)."""

MOST_RAISED = 1.02
"""By which the median dose may lie above the prescription for coverage [A]."""


def scale(
    target: Structure,
    prescription: Prescription,
    dose: Dose,
    reader: Reader,
    technique: FieldArrangement,
) -> tuple[float, str]:
    """Factor on all monitor units, and the sentence that says which rule it follows."""
    reading = reader.read(dose)
    wanted, said = _to_reference(target, prescription, dose, reading, technique)
    allowed = [
        (limit.limit_gy * (1.0 - SAFETY) / reached, limit)
        for limit, reached in zip(reader.limits, reading.reached_gy, strict=True)
        if reached > 0
    ]
    tightest = min(allowed, key=lambda pair: pair[0], default=None)
    if tightest is None or wanted <= tightest[0]:
        return wanted, said
    return tightest[0], (
        f"{said.removesuffix('.')}; that would break the hard limit {tightest[1].describe()}: scaled down to it, "
        f"{100 * tightest[0] / wanted:.1f} % of the prescription."
    )


def _to_reference(
    target: Structure, prescription: Prescription, dose: Dose, reading: Reading, technique: FieldArrangement
) -> tuple[float, str]:
    rx = prescription.dose_gy
    if technique is FieldArrangement.PA:
        factor = rx / float(dose.at(np.array([target.centroid_mm]))[0])
        return factor, f"Normalized so that the center of {target.name} (ICRU 50 reference point) gets {rx:g} Gy."
    factor = rx / reading.target.dose_gy_at_percent(50.0)
    said = f"Normalized so that the median dose of {target.name} (D50%, ICRU 83) gets {rx:g} Gy"
    needed = COVERED_AT * rx / max(factor * reading.coverage_dose_gy, 1e-9)
    room = HOTTEST * rx / max(factor * reading.target.dose_gy_at_percent(2.0), 1e-9)
    if 1.0 < needed <= min(room, MOST_RAISED):
        raised = f", then raised by {100 * (needed - 1):.1f} % so that {prescription.coverage_percent:g} % of it gets"
        return factor * needed, f"{said}{raised} {100 * COVERED_AT:g} % of that."
    return factor, f"{said}."

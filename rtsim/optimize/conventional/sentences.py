"""What a report says of conventional fields: weights, wedges, segments, and where it is hot."""

from __future__ import annotations

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose
from rtsim.optimize.conventional.fields import Weighted, outside_cm3
from rtsim.optimize.conventional.settings import FieldArrangement
from rtsim.optimize.conventional.weighting import HOT_ABOVE, HOT_SPOT_CM3
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol.model import Prescription


def weights_said(best: Weighted, beams: tuple[Beam, ...]) -> str:
    """Monitor units and shares of the fields, with their wedges and segments."""
    said = []
    for beam, share in zip(beams, best.field_shares, strict=True):
        wedge = f" ({beam.wedge.name})" if beam.wedge else ""
        parts = [units for _, units in beam.segments()]
        split = f" in {len(parts)} segments ({' + '.join(f'{u:.0f}' for u in parts)})" if len(parts) > 1 else ""
        said.append(f"{beam.name}{wedge} {beam.monitor_units:.0f} MU per fraction{split} for {100 * share:.0f} %")
    return ", ".join(said) + " of the target's mean dose"


def hot_spots_said(
    phantom: Phantom, target: Structure, prescription: Prescription, dose: Dose, technique: FieldArrangement
) -> tuple[str, ...]:
    """The global maximum and where it is; the volume above 107 % outside the target when there is enough to matter."""
    level = 1.0 + HOT_ABOVE
    k, j, i = np.unravel_index(int(np.argmax(dose.values_gy)), dose.grid.shape)
    inside = bool(target.coverage_on(dose.grid)[k, j, i] >= 0.5)
    x, y, z = (float(v) for v in dose.grid.point_at(np.array([k, j, i], dtype=np.float64)))
    said = [
        f"Global maximum {dose.max_gy:.2f} Gy, {100 * dose.max_gy / prescription.dose_gy:.1f} % of the prescription, "
        f"{'inside' if inside else 'outside'} {target.name}, at ({x:.0f}, {y:.0f}, {z:.0f}) mm."
    ]
    hot = dose.values_gy > level * prescription.dose_gy
    volume = float(outside_cm3(phantom, target, dose.grid)[hot].sum())
    if volume > HOT_SPOT_CM3:
        said.append(
            f"{volume:.1f} cm3 of the body outside {target.name} get more than {100 * level:.0f} % of the prescription."
            f"{_WHY[technique]}"
        )
    return tuple(said)


_WHY = {
    FieldArrangement.PA: " A single field prescribed at depth is always hottest behind its entrance.",
    FieldArrangement.AP_PA: " Opposed fields are hottest behind their entrances, the more the thicker the patient and "
    "the lower the energy. Look at where, before this plan is accepted.",
    FieldArrangement.LATERALS: " Opposed fields are hottest behind their entrances, the more the thicker the patient "
    "and the lower the energy; laterals are for the neck. Look at where, before this plan is accepted.",
    FieldArrangement.PA_AND_OBLIQUES: " Look at where, before this plan is accepted.",
}

"""Monitor units by the formula of a hand calculation, from dose in a water tank, without the patient's CT.

        MU = dose / (output(s) x TPR(d, s) x (SAD / distance)^2)

with s the equivalent square 2 a b / (a + b) of the field (Sterling 1964, doi:10.1259/0007-1285-37-439-544 [M]), d the
depth as water, output the dose of one monitor unit 100 mm deep at the isocenter, and TPR the tissue-phantom ratio to
100 mm, from the depth dose behind a water surface at SAD - 100 mm with the inverse square taken out. What it does not
know: the shape of the patient beside the axis, lung and bone beside it, scatter that is missing at the far side.
The formula is that of AAPM TG-114, doi:10.1118/1.3521473 [M]; the independence that TG-114 asks for is not there:
output and TPR are not measured but computed by the collapsed cone from the same machine data as the plan. So it checks
geometry and arithmetic (depth, distance, field, weights, monitor units), not the calibration, the beam data or the
engine. For that put measured output and TPR in place of the tank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.model import CollapsedCone
from rtsim.machine.model import Machine
from rtsim.optimize.conventional.reference_point import Path
from rtsim.phantom.builders import Slab, slabs
from rtsim.typing import FloatArray

LOOK_AT_PERCENT = 5.0
"""A difference above this needs an explanation before the patient is treated (TG-114, heterogeneous [M])."""

WHAT_IT_CHECKS = (
    "By hand means the same engine in water: it checks geometry and arithmetic, not calibration, beam data or engine. "
    "For those take the factors from measured tables."
)
"""A sentence for the sheet."""

REFERENCE_DEPTH_MM = 100.0
_TANK_MM = 350.0
_GRID_MM = 5.0
_UNITS = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class WaterTank:
    """What a square field gives in water, its isocenter 100 mm deep.

    Attributes:
        square_mm: side of the field.
        depth_mm, gy_per_mu: (n,) depth dose on the axis.
        sad_mm: of the machine.
    """

    square_mm: float
    depth_mm: FloatArray
    gy_per_mu: FloatArray
    sad_mm: float

    @classmethod
    def of(cls, machine: Machine, field_mm: tuple[float, float]) -> WaterTank:
        """Computed by the collapsed cone."""
        a, b = field_mm
        square = 2.0 * a * b / (a + b)
        tank = slabs(
            [Slab(_TANK_MM, materials.get("water"))], side_mm=_cells(1.5 * square + 100.0), spacing_mm=(_GRID_MM,) * 3
        )
        surface = -_TANK_MM / 2
        beam = Beam.open_field(
            machine,
            (square, square),
            isocenter_mm=(0.0, surface + REFERENCE_DEPTH_MM, 0.0),
            monitor_units=_UNITS,
            name="water tank",
        )
        dose = CollapsedCone(spacing_mm=_GRID_MM).forward(tank, (beam,))
        depth = np.arange(_GRID_MM, _TANK_MM - _GRID_MM, _GRID_MM)
        axis = np.stack([np.zeros_like(depth), surface + depth, np.zeros_like(depth)], axis=1)
        return cls(square_mm=square, depth_mm=depth, gy_per_mu=dose.at(axis) / _UNITS, sad_mm=machine.sad_mm)

    @property
    def output_gy_per_mu(self) -> float:
        """At the isocenter, 100 mm deep."""
        return float(np.interp(REFERENCE_DEPTH_MM, self.depth_mm, self.gy_per_mu))

    def tissue_phantom_ratio(self, depth_mm: float) -> float:
        """Dose at a depth over that 100 mm deep, both at the isocenter."""
        distance = self.sad_mm - REFERENCE_DEPTH_MM + self.depth_mm
        at_isocenter = self.gy_per_mu * (distance / self.sad_mm) ** 2
        return float(np.interp(depth_mm, self.depth_mm, at_isocenter) / self.output_gy_per_mu)


@dataclass(frozen=True, kw_only=True)
class HandCalculation:
    """Monitor units of one field by hand.

    Attributes:
        dose_gy: of this field at the reference point in one fraction.
        square_mm, output_gy_per_mu, tissue_phantom_ratio, inverse_square: the factors.
        water_mm: depth of the point as water.
        planned_mu: what the dose engine found in the CT.
    """

    dose_gy: float
    square_mm: float
    output_gy_per_mu: float
    tissue_phantom_ratio: float
    water_mm: float
    inverse_square: float
    planned_mu: float

    @classmethod
    def of(cls, tank: WaterTank, path: Path, dose_gy: float, planned_mu: float) -> HandCalculation:
        """From a tank with the field's equivalent square, and the way to the reference point."""
        return cls(
            dose_gy=dose_gy,
            square_mm=tank.square_mm,
            output_gy_per_mu=tank.output_gy_per_mu,
            tissue_phantom_ratio=tank.tissue_phantom_ratio(path.water_mm),
            water_mm=path.water_mm,
            inverse_square=(tank.sad_mm / (path.ssd_mm + path.depth_mm)) ** 2,
            planned_mu=planned_mu,
        )

    @property
    def monitor_units(self) -> float:
        """By hand."""
        return self.dose_gy / (self.output_gy_per_mu * self.tissue_phantom_ratio * self.inverse_square)

    @property
    def difference_percent(self) -> float:
        """Of the plan from the hand calculation."""
        return 100.0 * (self.planned_mu / self.monitor_units - 1.0)

    def describe(self) -> str:
        """What the sheet says of a field."""
        warning = (
            f" MORE THAN {LOOK_AT_PERCENT:g} %: scatter that a thin neck or lung does not give, or an error; find out "
            "which before treating."
            if abs(self.difference_percent) > LOOK_AT_PERCENT
            else ""
        )
        return (
            f"{self.dose_gy:.3f} Gy / ({1000 * self.output_gy_per_mu:.3f} mGy/MU of the {self.square_mm:.0f} mm square "
            f"{REFERENCE_DEPTH_MM:g} mm deep in water x TPR of {self.water_mm:.0f} to {REFERENCE_DEPTH_MM:g} mm "
            f"{self.tissue_phantom_ratio:.3f} x inverse square {self.inverse_square:.3f}) = "
            f"{self.monitor_units:.0f} MU; the plan has {self.planned_mu:.0f} "
            f"({self.difference_percent:+.1f} %).{warning}"
        )


def _cells(width_mm: float) -> float:
    return float(2.0 * _GRID_MM * np.ceil(width_mm / (2.0 * _GRID_MM)))

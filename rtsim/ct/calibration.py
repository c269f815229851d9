"""The calibration curve of a CT scanner: Hounsfield units to mass density."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from rtsim.errors import InputError
from rtsim.typing import FloatArray

# Segments of Schneider et al. 2000, DOI 10.1088/0031-9155/45/2/314 [M]: air to adipose rho = .00121 + (H + 1000)
# .92879/902; soft tissue 1.03 (14..23), 1.003 + 1.169e-3 H (23..100); skeleton 1.017 + .592e-3 H (> 100).
_SOFT_TISSUE = (1.003, 1.169e-3)
_SKELETON = (1.017, 0.592e-3)
_JUMP_AT_HU = 100.0
_BONE_TO_HU = 1600.0
# The metals [A]: 120 kV scanners with an extended scale show titanium near HU 7500, steel and CoCrMo near 16000.
_METAL_HU = (7500.0, 16000.0, 25000.0)
_METAL_DENSITY_G_CM3 = (4.5, 8.1, 8.3)


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """A piecewise linear curve from Hounsfield units to mass density.

    Attributes:
        name: its name in reports.
        hu: (n,) strictly ascending, at least two points.
        density_g_cm3: (n,) not descending, > 0, at most 25 g/cm3.
        source: where it comes from, with its standing.
    """

    name: str
    hu: FloatArray
    density_g_cm3: FloatArray
    source: str = ""

    def __post_init__(self) -> None:
        hu = np.array(self.hu, dtype=np.float64)
        density = np.array(self.density_g_cm3, dtype=np.float64)
        where = f"calibration curve {self.name!r}"
        if hu.ndim != 1 or hu.shape != density.shape or hu.size < 2:
            raise InputError(
                f"{where}: hu has shape {hu.shape} and density_g_cm3 {density.shape}; give two or more pairs"
            )
        if not (np.isfinite(hu).all() and np.isfinite(density).all()):
            raise InputError(f"{where}: hu and density_g_cm3 must be finite numbers")
        if not (np.diff(hu) > 0.0).all():
            i = int(np.argmax(np.diff(hu) <= 0.0))
            raise InputError(f"{where}: hu must ascend, but {hu[i]:g} is followed by {hu[i + 1]:g}; sort the points")
        if not (np.diff(density) >= 0.0).all():
            i = int(np.argmax(np.diff(density) < 0.0))
            raise InputError(
                f"{where}: density_g_cm3 falls from {density[i]:g} to {density[i + 1]:g} between HU {hu[i]:g} and "
                f"{hu[i + 1]:g}; it must not fall"
            )
        if density[0] <= 0.0 or density[-1] > 25.0:
            raise InputError(
                f"{where}: density_g_cm3 reaches from {density[0]:g} to {density[-1]:g}; "
                "0 < density_g_cm3 <= 25 is allowed (is the column in kg/m3 or mg/cm3?)"
            )
        hu.flags.writeable = False
        density.flags.writeable = False
        object.__setattr__(self, "hu", hu)
        object.__setattr__(self, "density_g_cm3", density)

    @property
    def min_hu(self) -> float:
        """Lower end of the curve; whatever is below it is air and takes the density there."""
        return float(self.hu[0])

    @property
    def max_hu(self) -> float:
        """Upper end of the curve."""
        return float(self.hu[-1])

    def density_at(self, hu: ArrayLike) -> FloatArray:
        """Mass density in g/cm3 at ``hu`` (any shape); held at the lower end below the curve, refused above it."""
        values = np.asarray(hu, dtype=np.float64)
        if values.size and float(values.max()) > self.max_hu:
            raise InputError(
                f"HU {values.max():g} is above the calibration curve {self.name!r}, which ends at {self.max_hu:g}; "
                "give a curve that reaches further"
            )
        return np.asarray(np.interp(values, self.hu, self.density_g_cm3))

    def hu_at(self, density_g_cm3: ArrayLike) -> FloatArray:
        """Hounsfield units of ``density_g_cm3`` (any shape): the inverse of the curve, its ends for what is beyond.

        Where the curve is level it is the upper end of the level. A phantom made from densities takes its HU from here.
        """
        return np.asarray(np.interp(np.asarray(density_g_cm3, dtype=np.float64), self.density_g_cm3, self.hu))


@cache
def default_curve() -> CalibrationCurve:
    """Schneider 2000 for tissue, then a line to titanium and on to steel: no metal is clipped at bone.

    The paper's line for soft tissue (1.120 at HU 100) and that for the skeleton (1.076) do not meet; the curve stays
    at the middle of the gap, 1.098 g/cm3, from where the one reaches it (HU 81) to where the other does (HU 137), so
    that it is continuous and never falls; it differs from the paper by at most 2 % there and nowhere else below
    HU 1600. A scanner has its own curve: give it (read_calibration) for anything that matters.
    """
    soft, bone = _SOFT_TISSUE, _SKELETON
    plateau = 0.5 * (soft[0] + soft[1] * _JUMP_AT_HU + bone[0] + bone[1] * _JUMP_AT_HU)
    points = [
        (-1000.0, 0.00121),
        (-98.0, 0.930),
        (14.0, 1.030),
        (23.0, 1.030),
        ((plateau - soft[0]) / soft[1], plateau),
        ((plateau - bone[0]) / bone[1], plateau),
        (_BONE_TO_HU, bone[0] + bone[1] * _BONE_TO_HU),
        *zip(_METAL_HU, _METAL_DENSITY_G_CM3, strict=True),
    ]
    table = np.array(points)
    source = (
        "[M] Schneider et al. 2000 PMB 45:459 (DOI 10.1088/0031-9155/45/2/314) to HU 1600, joined at HU 81-137; "
        "[A] above: titanium at HU 7500, steel at HU 16000"
    )
    return CalibrationCurve("schneider2000_metal", table[:, 0], table[:, 1], source)

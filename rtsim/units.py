"""Physical constants and the few conversions that all floors need. Lengths in rtsim are mm, doses Gy, energies MeV."""

from __future__ import annotations

from typing import Final

JOULE_PER_MEV: Final = 1.602176634e-13
"""source: CODATA 2018 (exact elementary charge)."""

GY_PER_MEV_PER_G: Final = JOULE_PER_MEV * 1.0e3
"""Dose in Gy of 1 MeV absorbed in 1 g (1 Gy = 1 J/kg)."""

ELECTRON_REST_MEV: Final = 0.51099895
"""source: CODATA 2018."""

MM_PER_CM: Final = 10.0
CM3_PER_MM3: Final = 1.0e-3
BYTES_PER_GB: Final = 1.0e9

"""Physics: what is transported and what is scored. The settings that tables, kernels and calibration share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rtsim.errors import InputError, unknown_name
from rtsim.materials import Spectrum

LEAST_CUT_MEV: Final = 0.01
"""The tables begin at 10 keV."""

MOST_SPLIT: Final = 1000


class DoseTo(StrEnum):
    """What the energy is absorbed in: the medium of the voxel, or a small volume of water in it."""

    MEDIUM = "medium"
    WATER = "water"


@dataclass(frozen=True, kw_only=True)
class Physics:
    """Cuts, splitting and what is scored.

    Attributes:
        electron_cut_mev: kinetic energy below which an electron is not followed: neither produced by Moller
            scattering (W_cc) nor transported; its energy stays where it is.
        photon_cut_mev: energy below which a photon is not followed: neither produced as bremsstrahlung (W_cb) nor
            transported.
        split: interaction sites along the ray of each photon, whose electrons are transported together; 1 = analog.
        largest_loss: largest fraction of its energy that an electron loses in one step.
        dose_to: dose to the medium of each voxel, or to water in it.
    """

    electron_cut_mev: float = 0.2
    photon_cut_mev: float = 0.05
    split: int = 60
    largest_loss: float = 0.25
    dose_to: DoseTo = DoseTo.MEDIUM

    def __post_init__(self) -> None:
        for name in ("electron_cut_mev", "photon_cut_mev"):
            cut = getattr(self, name)
            if not (_is_number(cut) and math.isfinite(cut) and cut >= LEAST_CUT_MEV):
                raise InputError(
                    f"{name} is {cut!r}; the tables begin at {LEAST_CUT_MEV:g} MeV: give a kinetic energy in MeV "
                    f">= {LEAST_CUT_MEV:g} and below the spectrum"
                )
        if isinstance(self.split, bool) or not (isinstance(self.split, int) and 1 <= self.split <= MOST_SPLIT):
            raise InputError(
                f"split is {self.split!r}; a whole number 1 <= split <= {MOST_SPLIT} is allowed (1 = analog)"
            )
        if not (_is_number(self.largest_loss) and 0.01 <= self.largest_loss <= 0.5):
            raise InputError(f"largest_loss is {self.largest_loss!r}; 0.01 <= largest_loss <= 0.5 is allowed")
        if self.dose_to not in tuple(DoseTo):
            raise InputError(unknown_name("dose_to", str(self.dose_to), [d.value for d in DoseTo]))
        object.__setattr__(self, "dose_to", DoseTo(self.dose_to))  # "water" is as good as DoseTo.WATER

    def check_spectrum(self, spectrum: Spectrum) -> None:
        """Raise InputError when a cut lies above all of the spectrum: nothing would be transported."""
        highest = float(spectrum.edges_mev[1:][spectrum.photons > 0.0].max())
        for name in ("electron_cut_mev", "photon_cut_mev"):
            if not getattr(self, name) < highest:
                raise InputError(
                    f"{name} is {getattr(self, name):g}, but spectrum {spectrum.name!r} ends at {highest:g} MeV: "
                    "nothing would be transported. Give a lower cut"
                )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What things are: compositions, photon cross sections, spectra. Per gram and per MeV; densities come from the CT.

water = materials.get("water")
water.mass_attenuation_cm2_g([1.25, 6.0])
materials.spectrum("mohan6").groups(12)
"""

from rtsim.materials.basis import Basis, basis_weights, default_basis
from rtsim.materials.electrons import ElectronStopping, electron_stopping
from rtsim.materials.elements import MAX_ENERGY_MEV, MIN_ENERGY_MEV, Process
from rtsim.materials.library import get, names
from rtsim.materials.material import Material
from rtsim.materials.schneider import CompositionTable, schneider_composition
from rtsim.materials.spectrum import EnergyGroups, Spectrum, spectrum, spectrum_names

__all__ = [
    "MAX_ENERGY_MEV",
    "MIN_ENERGY_MEV",
    "Basis",
    "CompositionTable",
    "ElectronStopping",
    "EnergyGroups",
    "Material",
    "Process",
    "Spectrum",
    "basis_weights",
    "default_basis",
    "electron_stopping",
    "get",
    "names",
    "schneider_composition",
    "spectrum",
    "spectrum_names",
]

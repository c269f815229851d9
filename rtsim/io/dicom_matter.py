"""What a structure is made of, in RTSTRUCT: ROI Physical Properties (3006,00B0), by which planning systems carry the
densities that override a CT (DICOM PS3.3 C.8.8.8, RT ROI Observations)."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from rtsim import materials
from rtsim.ct.matter import matter_from_density
from rtsim.errors import InputError
from rtsim.io.dicom_tags import Tags, items, number, text
from rtsim.materials import Material
from rtsim.materials.elements import SYMBOLS
from rtsim.phantom.phantom import DensityOverride

_MASS: Final = "REL_MASS_DENSITY"
_ELECTRONS: Final = "REL_ELEC_DENSITY"
_ELEMENTS: Final = "ELEM_FRACTION"
_SAME_COMPOSITION: Final = 1e-4


def write_matter(observation: Dataset, override: DensityOverride) -> None:
    """Put density (relative to water of 1 g/cm3), electron density, elements and name of a material into an item."""
    properties = [_property(_MASS, override.density_g_cm3)]
    if override.material is not None:
        electrons = float(override.material.relative_electron_density(override.density_g_cm3))
        properties.append(_property(_ELECTRONS, electrons))
        elements = _property(_ELEMENTS, 0.0)
        elements.ROIElementalCompositionSequence = [_element(z, f) for z, f in override.material.mass_fractions]
        properties.append(elements)
        observation.MaterialID = override.material.name[:64]
    observation.ROIPhysicalPropertiesSequence = properties


def read_matter(name: str, observation: Tags | None) -> DensityOverride | None:
    """The override that an item of the RT ROI Observations asks for; None when it asks for none.

    With nothing but an electron density, density and composition are those of the tissue that has it (Schneider 2000).

    Raises:
        InputError: a density beyond 0 < density < 25 g/cm3.
    """
    if observation is None:
        return None
    given: dict[str, float] = {}
    fractions: dict[int, float] = {}
    for item in items(observation, "ROIPhysicalPropertiesSequence"):
        kind, value = text(item, "ROIPhysicalProperty").upper(), number(item, "ROIPhysicalPropertyValue")
        if value is not None:
            given[kind] = value
        for element in items(item, "ROIElementalCompositionSequence"):
            z = number(element, "ROIElementalCompositionAtomicNumber")
            share = number(element, "ROIElementalCompositionAtomicMassFraction")
            if z is not None and share is not None:
                fractions[int(z)] = share
    if given.get(_MASS, 0.0) > 0.0:
        return DensityOverride(
            structure=name,
            density_g_cm3=given[_MASS],
            material=_material(text(observation, "MaterialID") or f"{name} (RTSTRUCT)", given[_MASS], fractions),
        )
    if given.get(_ELECTRONS, 0.0) > 0.0:
        return _by_electrons(name, given[_ELECTRONS])
    return None


def _property(kind: str, value: float) -> Dataset:
    out = Dataset()
    out.ROIPhysicalProperty, out.ROIPhysicalPropertyValue = kind, f"{value:.6g}"
    return out


def _element(z: int, fraction: float) -> Dataset:
    out = Dataset()
    out.ROIElementalCompositionAtomicNumber = z
    out.ROIElementalCompositionAtomicMassFraction = fraction
    return out


def _material(name: str, density_g_cm3: float, fractions: dict[int, float]) -> Material | None:
    """The material of the library with these elements, else one of its own; None without elements, or with one that
    there are no cross sections for."""
    if not fractions or not fractions.keys() <= SYMBOLS.keys() or not sum(fractions.values()) > 0.0:
        return None
    known = materials.get(name) if name in materials.names() else None
    if known is not None and _same(known, fractions):
        return known
    total = sum(fractions.values())
    symbols = {SYMBOLS[z]: f / total for z, f in fractions.items()}
    return Material.from_mass_fractions(name, density_g_cm3, symbols, source="[M] RTSTRUCT")


def _same(known: Material, fractions: dict[int, float]) -> bool:
    own = dict(known.mass_fractions)
    return own.keys() == fractions.keys() and all(abs(own[z] - f) < _SAME_COMPOSITION for z, f in fractions.items())


def _by_electrons(name: str, relative: float) -> DensityOverride:
    density = relative
    for _ in range(4):
        if not 0.0 < density < 25.0:
            raise InputError(f"structure {name!r}: electron density {relative:g} of its override is beyond any matter")
        matter = matter_from_density(np.array([density]))
        material = matter.materials[int(matter.material_index[0])]
        density = relative / material.electrons_per_gram_ratio
    return DensityOverride(structure=name, density_g_cm3=density, material=material)

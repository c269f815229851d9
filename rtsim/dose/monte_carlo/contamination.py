"""Contaminating electrons in the Monte Carlo dose: the machine's model, as in the collapsed cone; not transported.

What electrons come out of a head is not known from a photon spectrum. The machine says what dose they leave (a share
of the photon maximum of the calibration field, falling exponentially with mass depth); it is added without noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.beam_dose import electron_scale, wedge_gradient_per_mm
from rtsim.dose.fluence.model import each_fluence_map
from rtsim.dose.fluence.sectors import sectors, together
from rtsim.dose.medium import Medium
from rtsim.dose.monte_carlo.media import Voxels
from rtsim.dose.terma.contamination import electron_dose
from rtsim.materials import default_basis, get
from rtsim.typing import Float32Array


def electron_dose_gy(voxels: Voxels, beams: Sequence[Beam], *, photons_per_unit: Sequence[float]) -> Float32Array:
    """Dose [k, j, i] in Gy of the contaminating electrons of one fraction.

    Args:
        photons_per_unit: for each beam, as :func:`rtsim.dose.monte_carlo.source.source_of` takes it.

    Raises:
        GeometryError: the source lies in or behind the phantom, or the field misses it.
    """
    total = np.zeros(voxels.grid.shape, dtype=np.float32)
    medium = None
    for beam, per_unit in zip(beams, photons_per_unit, strict=True):
        if beam.machine.electrons.fraction == 0.0:
            continue
        medium = _mass(voxels) if medium is None else medium
        scale = per_unit * electron_scale(beam.machine)
        for maps in sectors(each_fluence_map(beam, wedge_gradient_per_mm=wedge_gradient_per_mm(beam))):
            open_maps = tuple(m for m in maps if m.values.any())
            if open_maps:
                total += electron_dose(medium, beam, together(open_maps), scale)
    return total


def _mass(voxels: Voxels) -> Medium:
    """The voxels as a medium whose mass alone counts."""
    water = default_basis().materials.index(get("water"))
    density = voxels.density_g_cm3
    return Medium(voxels.grid, density, density, density[None], (water,))

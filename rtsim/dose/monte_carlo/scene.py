"""Scene: voxels, source and physics as the arrays that the kernel reads; batches of histories in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtsim.dose.monte_carlo._kernels.history import simulate
from rtsim.dose.monte_carlo.media import Voxels
from rtsim.dose.monte_carlo.settings import Physics
from rtsim.dose.monte_carlo.source import Source
from rtsim.dose.monte_carlo.tables.bremsstrahlung import bremsstrahlung_table
from rtsim.dose.monte_carlo.tables.electrons import electron_table
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.dose.monte_carlo.tables.photons import photon_table
from rtsim.dose.monte_carlo.tables.scattering import first_moment, scattering_table
from rtsim.errors import RtsimError
from rtsim.threads import over_ranges
from rtsim.typing import FloatArray

LARGEST_MOMENT: Final = 0.25
"""First moment <1 - cos> of the scattering in one step, at most.

In metal, steps of a fraction of the energy alone would turn electrons by a radian at one point: behind 6 mm of titanium
that gave 2 to 3 % too much dose.
"""
_COUNTS: Final = 2**24 - 1
ROULETTE_BELOW_MEV: Final = 1.0
"""Scattered photons of energy E below it go on with probability E / it, and as much more weight (none when split is 1).

What they still deposit then has at most the energy of a photon of this energy.
"""
ALL_SITES_FROM_MEV: Final = 1.0
"""Photons below it have fewer sites, in proportion to their energy."""
_PER_MM: Final = 0.1
"""A mass coefficient in cm2/g times a density in g/cm3, per mm."""


class Batches(NamedTuple):
    """What a few batches of histories left behind.

    Attributes:
        energy_mev: (batches, nz, ny, nx) deposited, times the factor of what is scored.
        tallies: (batches, 4) MeV incident, MeV escaped, 0, photons of the source.
    """

    energy_mev: FloatArray
    tallies: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """A phantom and a delivery, ready to be simulated.

    Attributes:
        voxels, source: where, and what comes in.
        physics: what is simulated.
        scored_per_deposited: (energies of EnergyGrid.standard(), materials) factor from energy deposited to what is
            scored, e.g. the ratio of stopping powers of water and medium; None = 1, dose to medium.
    """

    voxels: Voxels
    source: Source
    physics: Physics
    scored_per_deposited: FloatArray | None = None

    def batches(self, seed: int, first_batch: int, count: int, histories: int) -> Batches:
        """``count`` batches of ``histories`` photons of the source each, on as many threads as numba has.

        Batch n of a seed is the same whichever call, and whatever number of threads, computes it.

        Raises:
            RtsimError: the stacks of secondaries overflowed (never seen; energy would have been lost).
        """
        shape = self.voxels.grid.shape
        energy, tallies = np.zeros((count, int(np.prod(shape)))), np.zeros((count, 4))
        first = first_batch * histories
        over_ranges(simulate, count, seed, first, histories, self.physics.split, *self.arrays, energy, tallies)
        if tallies[:, 2].any():
            raise RtsimError(
                f"{int(tallies[:, 2].sum())} histories overflowed the stacks of secondary particles; "
                "please report the machine and the cuts"
            )
        return Batches(energy.reshape(count, *shape), tallies)

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """Arguments of ``simulate`` between the number of sites and what it fills."""
        physics, voxels = self.physics, self.voxels
        grid, energies = EnergyGrid.standard(), EnergyGrid.standard().energies_mev
        electrons = electron_table(
            voxels.materials, electron_cut_mev=physics.electron_cut_mev, photon_cut_mev=physics.photon_cut_mev
        )
        photons = photon_table(voxels.materials)
        hard = np.ascontiguousarray(electrons[:, :, 1:3])
        # what an electron of the energy of a node may still meet on its way down
        largest = np.maximum.accumulate(hard.sum(axis=2).max(axis=1))
        scored = self.scored_per_deposited
        if scored is None:
            scored = np.ones((energies.size, len(voxels.materials)))
        at_cut = np.array(
            [np.interp(np.log(physics.electron_cut_mev), np.log(energies), column) for column in scored.T]
        )
        settings = np.array(
            [
                physics.electron_cut_mev,
                physics.photon_cut_mev,
                physics.largest_loss,
                ROULETTE_BELOW_MEV if physics.split > 1 else 0.0,
                ALL_SITES_FROM_MEV,
            ]
        )
        code, density_unit = _coded(voxels)
        medium = (
            code,
            density_unit,
            np.array(voxels.grid.shape, dtype=np.int64),
            1.0 / np.array(voxels.grid.spacing_mm),
        )
        table = (
            grid.log_min,
            grid.inverse_step,
            np.ascontiguousarray(electrons[:, :, 0]) * _PER_MM,
            hard,
            np.ascontiguousarray(electrons[:, :, 3:5]),
            np.ascontiguousarray(scored),
            largest,
            LARGEST_MOMENT / (electrons[:, :, 3] * first_moment(electrons[:, :, 4])),
        )
        densest = np.zeros(len(voxels.materials))
        np.maximum.at(densest, code >> np.uint32(24), (code & np.uint32(_COUNTS)).astype(np.float64))
        photon_tables = (np.ascontiguousarray(photons[:, :, 0]) * _PER_MM, photons, densest)
        source = self.source
        return (
            settings,
            medium,
            np.array(voxels.grid.lower_mm),
            (
                source.rotation,
                source.source_mm,
                source.sad_mm,
                source.raster,
                source.start,
                source.cumulative,
                source.map_spectrum,
                source.energy_edges,
                source.energy_cumulative,
                source.radius_step_mm,
            ),
            table,
            photon_tables,
            scattering_table(),
            bremsstrahlung_table(),
            at_cut,
        )


def _coded(voxels: Voxels) -> tuple[NDArray[np.uint32], float]:
    """(voxels,) uint32 with the material in the upper 8 bits and the density in the lower 24, and g/cm3 of its unit.

    One number a voxel: a particle that enters it waits for one access to memory. The unit is 2^-24 of the largest
    density, a part in 4000 of the density of air beside titanium and of a part in a million of tissue's.
    """
    unit = float(voxels.density_g_cm3.max()) / _COUNTS
    counts = np.maximum(np.rint(voxels.density_g_cm3.ravel().astype(np.float64) / unit), 1.0).astype(np.uint32)
    return counts | (voxels.material.ravel().astype(np.uint32) << np.uint32(24)), unit

"""Electron stopping powers of the library's materials, 10 keV to 30 MeV (ICRU 37)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from rtsim.errors import InputError, unknown_name
from rtsim.materials.library import get
from rtsim.materials.material import Material
from rtsim.materials.tables import read_rows
from rtsim.typing import FloatArray


@dataclass(frozen=True, eq=False)
class ElectronStopping:
    """Stopping of electrons in one material, at the density for which the density effect holds.

    Attributes:
        material: name of the material.
        energy_mev: (n,) kinetic energies, ascending, 0.01 to 30 MeV.
        collision_mev_cm2_g, radiative_mev_cm2_g: (n,) mass stopping powers.
        csda_range_g_cm2: (n,) range in the continuous-slowing-down approximation.
    """

    material: str
    energy_mev: FloatArray
    collision_mev_cm2_g: FloatArray
    radiative_mev_cm2_g: FloatArray
    csda_range_g_cm2: FloatArray

    def collision_at(self, energy_mev: ArrayLike) -> FloatArray:
        """Collision stopping power in MeV cm2/g at ``energy_mev`` (any shape), log-log between the knots."""
        return self._at(self.collision_mev_cm2_g, energy_mev)

    def radiative_at(self, energy_mev: ArrayLike) -> FloatArray:
        """Radiative stopping power in MeV cm2/g at ``energy_mev`` (any shape), log-log between the knots."""
        return self._at(self.radiative_mev_cm2_g, energy_mev)

    def csda_range_at(self, energy_mev: ArrayLike) -> FloatArray:
        """CSDA range in g/cm2 at ``energy_mev`` (any shape), log-log between the knots."""
        return self._at(self.csda_range_g_cm2, energy_mev)

    def _at(self, values: FloatArray, energy_mev: ArrayLike) -> FloatArray:
        energy = np.asarray(energy_mev, dtype=np.float64)
        low, high = self.energy_mev[0], self.energy_mev[-1]
        if energy.size and not bool(((energy >= low) & (energy <= high)).all()):
            raise InputError(
                f"energy_mev reaches from {energy.min():g} to {energy.max():g}; "
                f"the electron tables cover {low:g} <= energy_mev <= {high:g}"
            )
        return np.asarray(np.exp(np.interp(np.log(energy), np.log(self.energy_mev), np.log(values))))


def electron_stopping(material: Material | str) -> ElectronStopping:
    """Stopping powers of a library material (not every one has a table; a mixture of one's own has none)."""
    name = get(material).name if isinstance(material, str) else material.name
    tables = _stopping_tables()
    if name not in tables:
        raise InputError(unknown_name("electron stopping table", name, tables))
    return tables[name]


@cache
def _stopping_tables() -> dict[str, ElectronStopping]:
    rows: dict[str, list[list[float]]] = {}
    for row in read_rows("electron_stopping.csv"):
        values = [float(row[key]) for key in ("energy_mev", "collision", "radiative", "csda_g_cm2")]
        rows.setdefault(row["material"], []).append(values)
    tables = {}
    for name, table in rows.items():
        columns = [np.array(column) for column in zip(*table, strict=True)]
        for column in columns:
            column.flags.writeable = False
        tables[name] = ElectronStopping(name, *columns)
    return tables

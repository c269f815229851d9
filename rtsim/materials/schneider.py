"""Composition of tissue by Hounsfield unit: the 24 groups of Schneider, Bortfeld and Schlegel (2000)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from rtsim.errors import InputError
from rtsim.materials.elements import ELEMENTS
from rtsim.materials.library import get
from rtsim.materials.material import Material
from rtsim.materials.tables import read_rows
from rtsim.typing import FloatArray

_SOURCE = "[V] weights, [M] HU edges: Schneider et al. 2000 PMB 45:459, DOI 10.1088/0031-9155/45/2/314"


@dataclass(frozen=True, eq=False)
class CompositionTable:
    """Materials by Hounsfield unit.

    Attributes:
        edges_hu: (n - 1,) ascending HU between the materials; material ``m`` covers edges[m - 1] <= HU < edges[m].
        materials: the n materials, the last for metal.
        metal_density_g_cm3: at or above this density a voxel is metal whatever its HU.
    """

    edges_hu: FloatArray
    materials: tuple[Material, ...]
    metal_density_g_cm3: float

    def __post_init__(self) -> None:
        edges = np.array(self.edges_hu, dtype=np.float64)
        if edges.shape != (len(self.materials) - 1,) or not (np.diff(edges) > 0.0).all():
            raise InputError(
                f"edges_hu must ascend and be one fewer than the materials; got {edges.size} for {len(self.materials)}"
            )
        if len(self.materials) > 255:
            raise InputError(f"a composition table holds at most 255 materials; got {len(self.materials)}")
        edges.flags.writeable = False
        object.__setattr__(self, "edges_hu", edges)


@cache
def schneider_composition() -> CompositionTable:
    """The 24 groups of Schneider 2000, and titanium above HU 3000 or from 2.9 g/cm3 on.

    The table of the paper ends at HU 1600; its densest bone composition is kept up to HU 3000, where 12-bit scanners
    saturate and nothing but metal is left. 2.9 g/cm3 is enamel, the densest tissue.
    """
    rows = read_rows("schneider2000.csv")
    symbols = [name for name in rows[0] if name in ELEMENTS]
    materials = []
    for number, row in enumerate(rows, start=1):
        fractions = {symbol: float(row[symbol]) / 100.0 for symbol in symbols}
        name = f"schneider_{number:02d}"
        materials.append(Material.from_mass_fractions(name, float(row["density_g_cm3"]), fractions, source=_SOURCE))
    edges = np.array([float(row["hu_low"]) for row in rows[1:]] + [3000.0])
    return CompositionTable(edges, (*materials, get("titanium")), metal_density_g_cm3=2.9)

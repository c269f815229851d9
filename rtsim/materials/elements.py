"""Chemical elements and their photon cross sections (NIST XCOM, 0.01 to 25 MeV)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from rtsim.errors import InputError, unknown_name
from rtsim.materials.tables import read_rows
from rtsim.typing import FloatArray
from rtsim.units import ELECTRON_REST_MEV

MIN_ENERGY_MEV: Final = 0.01
MAX_ENERGY_MEV: Final = 25.0


class Process(Enum):
    """A photon interaction; the value is its column in the table of elements."""

    COHERENT = "coherent"
    COMPTON = "compton"
    PHOTO = "photo"
    PAIR = "pair"
    TRIPLET = "triplet"


THRESHOLD_MEV: Final = {Process.PAIR: 2.0 * ELECTRON_REST_MEV, Process.TRIPLET: 4.0 * ELECTRON_REST_MEV}

# symbol: (Z, atomic weight, mean excitation energy of the element in a compound or alloy, eV)
# source: weights IUPAC 2021 (conventional); energies ICRU 37 table 5.5 [M]: H 19.2, C 81, N 82, O 106, Cl 180 in solids
# and liquids; metals as elements; the other elements 1.13 times the elemental value (ICRU 37, the rule for compounds).
ELEMENTS: Final[dict[str, tuple[int, float, float]]] = {
    "H": (1, 1.008, 19.2), "C": (6, 12.011, 81.0), "N": (7, 14.007, 82.0), "O": (8, 15.999, 106.0),
    "Na": (11, 22.990, 168.4), "Mg": (12, 24.305, 176.3), "Al": (13, 26.982, 166.0), "Si": (14, 28.085, 195.5),
    "P": (15, 30.974, 195.5), "S": (16, 32.06, 203.4), "Cl": (17, 35.45, 180.0), "Ar": (18, 39.95, 188.0),
    "K": (19, 39.098, 214.7), "Ca": (20, 40.078, 215.8), "Ti": (22, 47.867, 233.0), "V": (23, 50.942, 245.0),
    "Cr": (24, 51.996, 257.0), "Mn": (25, 54.938, 272.0), "Fe": (26, 55.845, 286.0), "Co": (27, 58.933, 297.0),
    "Ni": (28, 58.693, 311.0), "Cu": (29, 63.546, 322.0), "Zn": (30, 65.38, 330.0), "Mo": (42, 95.95, 424.0),
    "Ba": (56, 137.33, 554.8), "Ta": (73, 180.95, 718.0), "W": (74, 183.84, 727.0), "Pb": (82, 207.2, 823.0),
}  # fmt: skip
SYMBOLS: Final = {z: symbol for symbol, (z, _, _) in ELEMENTS.items()}

# K edges above the lower end of the table, MeV. source: NIST X-ray transition energies (Deslattes 2003)
K_EDGE_MEV: Final = {42: 0.0200, 56: 0.037441, 73: 0.067416, 74: 0.069525, 82: 0.088005}


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Cross sections of one element on its knots.

    Attributes:
        log_energy: (n,) natural logarithm of the energy in MeV, ascending.
        log_cross_section: for each process (n,) logarithm of cm2/g; pair and triplet divided by (1 - threshold/E)^3.
        compton_transfer: (n,) mean fraction of the photon energy that a Compton electron receives.
        fluorescence: (n,) fraction of the photon energy that leaves a photoabsorption as K fluorescence.
    """

    log_energy: FloatArray
    log_cross_section: dict[Process, FloatArray]
    compton_transfer: FloatArray
    fluorescence: FloatArray


def atomic_number(symbol: str) -> int:
    """Atomic number of a chemical symbol of the table."""
    if symbol not in ELEMENTS:
        raise InputError(unknown_name("element", symbol, ELEMENTS))
    return ELEMENTS[symbol][0]


def check_energy(energy_mev: ArrayLike) -> FloatArray:
    """The energies as float64, refused when outside the tables."""
    energy = np.asarray(energy_mev, dtype=np.float64)
    if energy.size and not bool(((energy >= MIN_ENERGY_MEV) & (energy <= MAX_ENERGY_MEV)).all()):
        raise InputError(
            f"energy_mev reaches from {np.min(energy):g} to {np.max(energy):g}; "
            f"the photon tables cover {MIN_ENERGY_MEV} <= energy_mev <= {MAX_ENERGY_MEV}"
        )
    return energy


def element_cross_section_cm2_g(z: int, process: Process, energy_mev: FloatArray) -> FloatArray:
    """Cross section of element ``z`` in cm2/g at ``energy_mev`` (any shape): log-log between the knots of the table.

    Pair and triplet production are interpolated as sigma / (1 - threshold/E)^3, which is smooth down to the threshold.
    """
    table = element_table(z)
    value = np.exp(np.interp(np.log(energy_mev), table.log_energy, table.log_cross_section[process]))
    threshold = THRESHOLD_MEV.get(process)
    if threshold is None:
        return np.asarray(value)
    return np.asarray(value * np.maximum(0.0, 1.0 - threshold / energy_mev) ** 3)


@cache
def element_table(z: int) -> ElementTable:
    """Table of element ``z``; every element of ``ELEMENTS`` has one."""
    if z not in SYMBOLS:
        raise InputError(f"atomic number {z} has no cross sections here; known: {sorted(SYMBOLS)}")
    columns = _columns()[z]
    log_energy = np.log(columns["energy_mev"])
    cross_sections = {process: _log_of_process(process, columns) for process in Process}
    transfer, fluorescence = columns["transfer"], columns["fluorescence"]
    if z in K_EDGE_MEV:
        log_energy, cross_sections, transfer, fluorescence = _with_edge(
            np.log(K_EDGE_MEV[z]), log_energy, cross_sections, transfer, fluorescence
        )
    for array in (log_energy, transfer, fluorescence, *cross_sections.values()):
        array.flags.writeable = False
    return ElementTable(log_energy, cross_sections, transfer, fluorescence)


def _log_of_process(process: Process, columns: dict[str, FloatArray]) -> FloatArray:
    energy, sigma = columns["energy_mev"], columns[process.value].copy()
    threshold = THRESHOLD_MEV.get(process)
    if threshold is None:
        return np.asarray(np.log(sigma))
    above = sigma > 0.0
    reduced = sigma[above] / (1.0 - threshold / energy[above]) ** 3
    # below the first knot above threshold the reduced cross section is held: the factor in front brings it to zero
    return np.asarray(np.interp(np.log(energy), np.log(energy[above]), np.log(reduced)))


def _with_edge(
    log_edge: float,
    log_energy: FloatArray,
    cross_sections: dict[Process, FloatArray],
    transfer: FloatArray,
    fluorescence: FloatArray,
) -> tuple[FloatArray, dict[Process, FloatArray], FloatArray, FloatArray]:
    """Two more knots at an absorption edge: photoabsorption and fluorescence jump there, each side continued to it."""
    outside = np.abs(log_energy - log_edge) > 1e-4  # a knot on the edge itself is replaced
    base = log_energy[outside]
    i = int(np.searchsorted(base, log_edge))
    knots = np.insert(base, i, [log_edge - 1e-9, log_edge])

    def insert(values: FloatArray, *, jumps: bool) -> FloatArray:
        kept = values[outside]
        if not jumps:
            return np.insert(kept, i, np.interp([log_edge, log_edge], base, kept))
        ends = []
        for a, b in ((i - 2, i - 1), (i, i + 1)):
            slope = (kept[b] - kept[a]) / (base[b] - base[a])
            ends.append(kept[a] + slope * (log_edge - base[a]))
        return np.insert(kept, i, ends)

    return (
        knots,
        {process: insert(values, jumps=process is Process.PHOTO) for process, values in cross_sections.items()},
        insert(transfer, jumps=False),
        insert(fluorescence, jumps=True),
    )


@cache
def _columns() -> dict[int, dict[str, FloatArray]]:
    rows = read_rows("photon_elements.csv")
    by_z: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        by_z.setdefault(int(row["z"]), []).append(row)
    names = [name for name in rows[0] if name != "z"]
    return {z: {name: np.array([float(r[name]) for r in group]) for name in names} for z, group in by_z.items()}

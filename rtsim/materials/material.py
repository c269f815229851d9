"""Material: a composition by mass, and what a photon and an electron see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from rtsim.errors import InputError
from rtsim.materials.elements import (
    ELEMENTS,
    SYMBOLS,
    THRESHOLD_MEV,
    Process,
    atomic_number,
    check_energy,
    element_cross_section_cm2_g,
    element_table,
)
from rtsim.materials.tables import read_rows
from rtsim.typing import FloatArray

WATER_FRACTIONS: tuple[tuple[int, float], ...] = ((1, 0.111894), (8, 0.888106))
"""Mass fractions of water by Z. source: ICRU 37."""

_FRACTION_SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Material:
    """A material: nominal density and composition. Cross sections are per gram, so any density may be used with it.

    Attributes:
        name: its name in reports.
        density_g_cm3: nominal mass density; a CT gives its own density to each voxel.
        mass_fractions: ((Z, fraction), ...) ascending in Z, summing to 1.
        mean_excitation_ev: mean excitation energy I of the electronic stopping power.
        source: where the numbers come from, with their standing ([V] verified, [M] literature, [A] assumed).
    """

    name: str
    density_g_cm3: float
    mass_fractions: tuple[tuple[int, float], ...]
    mean_excitation_ev: float
    source: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.density_g_cm3) and self.density_g_cm3 > 0.0):
            raise InputError(f"material {self.name!r}: density_g_cm3 is {self.density_g_cm3}; it must be above 0")
        if not self.mass_fractions:
            raise InputError(f"material {self.name!r} has no elements; give at least one mass fraction")
        for z, fraction in self.mass_fractions:
            if z not in SYMBOLS:
                raise InputError(f"material {self.name!r}: no cross sections for Z = {z}; known: {sorted(SYMBOLS)}")
            if not (np.isfinite(fraction) and fraction >= 0.0):
                raise InputError(
                    f"material {self.name!r}: mass fraction of {SYMBOLS[z]} is {fraction}; allowed: 0 to 1"
                )
        total = sum(fraction for _, fraction in self.mass_fractions)
        if abs(total - 1.0) > 1e-9:
            raise InputError(
                f"material {self.name!r}: mass fractions sum to {total:.6f}, not 1; "
                "Material.from_mass_fractions normalizes rounded tables"
            )
        if not (np.isfinite(self.mean_excitation_ev) and self.mean_excitation_ev > 0.0):
            raise InputError(
                f"material {self.name!r}: mean_excitation_ev is {self.mean_excitation_ev}; must be above 0"
            )

    @staticmethod
    def from_mass_fractions(
        name: str,
        density_g_cm3: float,
        mass_fractions: Mapping[str, float],
        *,
        mean_excitation_ev: float | None = None,
        source: str = "",
    ) -> Material:
        """A material from mass fractions by chemical symbol, for example ``{"H": 0.1119, "O": 0.8881}``.

        Fractions may miss 1 by up to one percent (rounded tables) and are then normalized. Without
        ``mean_excitation_ev`` it follows from Bragg additivity with the elemental values of ICRU 37.
        """
        total = float(sum(mass_fractions.values()))
        if abs(total - 1.0) > _FRACTION_SUM_TOLERANCE:
            raise InputError(f"material {name!r}: mass fractions sum to {total:.4f}; they must sum to 1 (within 0.01)")
        present = {symbol: fraction for symbol, fraction in mass_fractions.items() if fraction != 0.0}
        fractions = tuple(sorted((atomic_number(symbol), fraction / total) for symbol, fraction in present.items()))
        if mean_excitation_ev is None:
            mean_excitation_ev = _bragg_excitation_ev(fractions)
        return Material(name, density_g_cm3, fractions, mean_excitation_ev, source)

    @staticmethod
    def mixture(name: str, density_g_cm3: float, parts: Mapping[Material, float], *, source: str = "") -> Material:
        """A mixture of materials by mass fraction (sum 1 within 0.01); excitation energy by Bragg additivity."""
        total = float(sum(parts.values()))
        if abs(total - 1.0) > _FRACTION_SUM_TOLERANCE:
            raise InputError(f"mixture {name!r}: mass fractions of the parts sum to {total:.4f}; they must sum to 1")
        by_z: dict[int, float] = {}
        log_i = electrons = 0.0
        for part, weight in parts.items():
            share = weight / total * part.electrons_per_gram_ratio
            electrons += share
            log_i += share * np.log(part.mean_excitation_ev)
            for z, fraction in part.mass_fractions:
                by_z[z] = by_z.get(z, 0.0) + fraction * weight / total
        return Material(name, density_g_cm3, tuple(sorted(by_z.items())), float(np.exp(log_i / electrons)), source)

    def with_density(self, density_g_cm3: float) -> Material:
        """The same composition at another nominal density."""
        return replace(self, density_g_cm3=density_g_cm3)

    @property
    def z_over_a(self) -> float:
        """Electrons per atomic mass unit, the mean of Z/A by mass."""
        return _z_over_a(self.mass_fractions)

    @property
    def electrons_per_gram_ratio(self) -> float:
        """Electrons per gram relative to water: relative electron density per g/cm3; scales the dose kernels."""
        return self.z_over_a / _z_over_a(WATER_FRACTIONS)

    def relative_electron_density(self, density_g_cm3: ArrayLike | None = None) -> FloatArray:
        """Electron density relative to water of 1 g/cm3, at ``density_g_cm3`` (any shape) or the nominal density."""
        density = self.density_g_cm3 if density_g_cm3 is None else density_g_cm3
        return np.asarray(density, dtype=np.float64) * self.electrons_per_gram_ratio

    def cross_section_cm2_g(self, process: Process, energy_mev: ArrayLike) -> FloatArray:
        """Mass attenuation of one process in cm2/g at ``energy_mev`` (any shape), by the mixture rule."""
        energy = check_energy(energy_mev)
        total = np.zeros(energy.shape)
        for z, fraction in self.mass_fractions:
            total = total + fraction * element_cross_section_cm2_g(z, process, energy)
        return np.asarray(total)

    def mass_attenuation_cm2_g(self, energy_mev: ArrayLike, *, coherent: bool = True) -> FloatArray:
        """Mass attenuation coefficient in cm2/g at ``energy_mev`` (any shape), 0.01 to 25 MeV.

        Sum over elements and processes (NIST XCOM by way of EGSnrc), log-log between the knots. 0.2 % below the
        tables of NIST near 1 MeV (Compton scatter), 0.3 % at most anywhere above 0.1 MeV.
        """
        processes = [process for process in Process if coherent or process is not Process.COHERENT]
        return np.asarray(sum(self.cross_section_cm2_g(process, energy_mev) for process in processes))

    def mass_energy_transfer_cm2_g(self, energy_mev: ArrayLike) -> FloatArray:
        """Mass energy-transfer coefficient in cm2/g: energy given to electrons and positrons as kinetic energy.

        f_C sigma_C + (1 - f_K) sigma_ph + (1 - 2 m c^2/E)(sigma_pair + sigma_triplet), element by element.
        """
        energy = check_energy(energy_mev)
        log_energy = np.log(energy)
        rest = THRESHOLD_MEV[Process.PAIR]
        total = np.zeros(energy.shape)
        for z, fraction in self.mass_fractions:
            table = element_table(z)
            compton = element_cross_section_cm2_g(z, Process.COMPTON, energy)
            photo = element_cross_section_cm2_g(z, Process.PHOTO, energy)
            pairs = sum(element_cross_section_cm2_g(z, process, energy) for process in (Process.PAIR, Process.TRIPLET))
            total = total + fraction * (
                np.interp(log_energy, table.log_energy, table.compton_transfer) * compton
                + (1.0 - np.interp(log_energy, table.log_energy, table.fluorescence)) * photo
                + np.maximum(0.0, 1.0 - rest / energy) * pairs
            )
        return np.asarray(total)

    def radiative_fraction(self, energy_mev: ArrayLike) -> FloatArray:
        """Fraction g of the transferred energy that leaves again as bremsstrahlung and annihilation in flight.

        Interpolated between tabulated materials in <Z> = sum w Z^2/A / sum w Z/A, the ratio that governs radiative
        against collision stopping power; this moves mu_en by less than 0.1 % for liquids and solids up to 10 MeV, and
        by 0.3 % for air, which has no density effect.
        """
        energy = check_energy(energy_mev)
        anchors, log_knots, table = _radiative_table()
        mean_z = min(max(_radiative_z(self.mass_fractions), anchors[0]), anchors[-1])
        at_z = np.array([np.interp(mean_z, anchors, row) for row in table])
        return np.asarray(np.interp(np.log(energy), log_knots, at_z))

    def mass_energy_absorption_cm2_g(self, energy_mev: ArrayLike) -> FloatArray:
        """Mass energy-absorption coefficient in cm2/g, mu_en/rho = mu_tr/rho (1 - g)."""
        return np.asarray(self.mass_energy_transfer_cm2_g(energy_mev) * (1.0 - self.radiative_fraction(energy_mev)))


def _z_over_a(fractions: tuple[tuple[int, float], ...]) -> float:
    return sum(fraction * z / ELEMENTS[SYMBOLS[z]][1] for z, fraction in fractions)


def _radiative_z(fractions: tuple[tuple[int, float], ...]) -> float:
    return sum(f * z * z / ELEMENTS[SYMBOLS[z]][1] for z, f in fractions) / _z_over_a(fractions)


def _bragg_excitation_ev(fractions: tuple[tuple[int, float], ...]) -> float:
    """ln I = sum w Z/A ln I_Z / sum w Z/A (ICRU 37)."""
    weighted = sum(f * z / ELEMENTS[SYMBOLS[z]][1] * np.log(ELEMENTS[SYMBOLS[z]][2]) for z, f in fractions)
    return float(np.exp(weighted / _z_over_a(fractions)))


@cache
def _radiative_table() -> tuple[FloatArray, FloatArray, FloatArray]:
    """(anchor <Z>, ln E, g[energy, anchor]) of the materials that the table's columns name."""
    rows = read_rows("radiative_fraction.csv")
    compositions = {row["name"]: row["mass_fractions"] for row in read_rows("materials.csv")}
    columns = [name for name in rows[0] if name != "energy_mev"]
    anchors = np.array([_radiative_z(parse_fractions(compositions[name])) for name in columns])
    log_energy = np.log(np.array([float(row["energy_mev"]) for row in rows]))
    return anchors, log_energy, np.array([[float(row[name]) for name in columns] for row in rows])


def parse_fractions(text: str) -> tuple[tuple[int, float], ...]:
    """Mass fractions by Z from the table's form ``H:0.111894 O:0.888106``."""
    pairs = (part.split(":") for part in text.split())
    return tuple(sorted((atomic_number(symbol), float(fraction)) for symbol, fraction in pairs))

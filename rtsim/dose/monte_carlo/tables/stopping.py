"""Electron stopping powers of any composition: collision by Berger and Seltzer, radiative by elements.

The library tabulates some thirty materials; a CT needs more (each Hounsfield group is one). The density effect and
bremsstrahlung of the tables are carried over here. A verified composition of the tables comes out as tabulated, at the
density of its table: collision to 0.02 %, radiative to 0.3 %. Left out of the tables and held against its own table,
0.2 to 25 MeV: collision to 0.4 % for tissues and plastics, 0.8 % for metals but aluminum (1.6 %); radiative to 0.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from rtsim import materials
from rtsim.errors import InputError
from rtsim.materials import Material
from rtsim.materials.elements import ELEMENTS, SYMBOLS
from rtsim.materials.tables import read_rows
from rtsim.typing import FloatArray
from rtsim.units import ELECTRON_REST_MEV

STOPPING_CONSTANT: Final = 0.153537
"""2 pi r_e^2 N_A m c^2 in MeV cm2/mol. source: ICRU 37."""

_PLASMA_EV: Final = 28.816  # hbar omega_p of 1 mol of electrons per cm3. source: Sternheimer 1984, ADNDT 30:261

# density that the tabulated density effect is of, where it is not the nominal one: lung tissue without its air. [V]:
# shifted to this density the table of muscle, nearly the same tissue, agrees with it
_TABLE_DENSITY_G_CM3: Final = {"lung": 1.05}


@dataclass(frozen=True, eq=False)
class _Tabulated:
    """What the library's table says of one material.

    Attributes:
        material: the material, with the density that its density effect is of.
        log_momentum: (n,) ln(beta gamma) of the knots, ascending.
        density_effect: (n,) delta.
        radiative: (n,) radiative stopping power, MeV cm2/g.
    """

    material: Material
    log_momentum: FloatArray
    density_effect: FloatArray
    radiative: FloatArray


def collision_mev_cm2_g(material: Material, kinetic_mev: ArrayLike) -> FloatArray:
    """Unrestricted collision stopping power of electrons in MeV cm2/g at ``kinetic_mev`` (any shape).

    K Z/A / beta^2 [ln(t^2 (t + 2) / (2 (I/mc2)^2)) + F(t) - delta], t = T/mc2,
    F = 1 - beta^2 + [t^2/8 - (2 t + 1) ln 2]/(t + 1)^2 (ICRU 37 eq. 2.9). Raises InputError for an energy <= 0.
    """
    t = _checked(kinetic_mev) / ELECTRON_REST_MEV
    beta2 = t * (t + 2.0) / (t + 1.0) ** 2
    excitation = material.mean_excitation_ev * 1.0e-6 / ELECTRON_REST_MEV
    bracket = np.log(t * t * (t + 2.0) / (2.0 * excitation**2)) + 1.0 - beta2
    bracket += (t * t / 8.0 - (2.0 * t + 1.0) * np.log(2.0)) / (t + 1.0) ** 2
    bracket -= density_effect(material, kinetic_mev)
    return np.asarray(STOPPING_CONSTANT * material.z_over_a / beta2 * bracket)


def density_effect(material: Material, kinetic_mev: ArrayLike) -> FloatArray:
    """Density effect delta at the nominal density of ``material``, at ``kinetic_mev`` (any shape).

    delta depends on beta gamma times plasma energy over mean excitation energy (its limit at high energy,
    2 ln(beta gamma hbar omega_p/I) - 1, on nothing else), so a material of the tables that is near in both energies
    lends its delta, shifted in ln(beta gamma); a material of the tables keeps its own.
    """
    return _density_effect_from(_tables(), material, kinetic_mev)


def radiative_mev_cm2_g(material: Material, kinetic_mev: ArrayLike) -> FloatArray:
    """Radiative stopping power of electrons in MeV cm2/g at ``kinetic_mev`` (any shape), log-log between the knots.

    sum over elements of w Z (Z + 1)/A phi(Z, T); phi is a cubic in ln Z, hydrogen on its own, fitted at each knot to
    the tables of all materials (Seltzer and Berger 1986).
    """
    return _radiative_from(_radiative_fit(_tables()), material, kinetic_mev)


def _checked(kinetic_mev: ArrayLike) -> FloatArray:
    kinetic = np.asarray(kinetic_mev, dtype=np.float64)
    if kinetic.size and not bool((np.isfinite(kinetic) & (kinetic > 0.0)).all()):
        raise InputError(f"kinetic_mev holds {np.min(kinetic):g}; kinetic energies must be finite and above 0")
    return kinetic


def _log_momentum(kinetic_mev: ArrayLike) -> FloatArray:
    t = _checked(kinetic_mev) / ELECTRON_REST_MEV
    return np.asarray(0.5 * np.log(t * (t + 2.0)))


def _plasma_ev(material: Material) -> float:
    return float(_PLASMA_EV * np.sqrt(material.density_g_cm3 * material.z_over_a))


def _density_effect_from(tables: tuple[_Tabulated, ...], material: Material, kinetic_mev: ArrayLike) -> FloatArray:
    lender = _nearest(tuple(entry for entry in tables if _has_own_density_effect(entry.material)), material)
    shift = _log_ratio(material) - _log_ratio(lender.material)
    x = _log_momentum(kinetic_mev) + shift
    beyond = 2.0 * np.maximum(0.0, x - lender.log_momentum[-1])  # the limit at high energy
    return np.asarray(np.interp(x, lender.log_momentum, lender.density_effect) + beyond)


def _has_own_density_effect(material: Material) -> bool:
    """ESTAR computed a density effect for the verified compositions; the others took that of a similar material."""
    return material.source.startswith("[V]")


def _log_ratio(material: Material) -> float:
    """ln of plasma energy over mean excitation energy."""
    return float(np.log(_plasma_ev(material) / material.mean_excitation_ev))


def _nearest(tables: tuple[_Tabulated, ...], material: Material) -> _Tabulated:
    """The material's own table, else the one nearest in ln I and in ln of plasma energy over I."""

    def distance(entry: _Tabulated) -> tuple[bool, float]:
        ratio = abs(_log_ratio(entry.material) - _log_ratio(material))
        excitation = abs(np.log(entry.material.mean_excitation_ev / material.mean_excitation_ev))
        return entry.material.mass_fractions != material.mass_fractions, float(ratio + excitation)

    return min(tables, key=distance)


def _radiative_from(coefficients: FloatArray, material: Material, kinetic_mev: ArrayLike) -> FloatArray:
    values = coefficients @ _radiative_terms(material)
    return np.asarray(np.exp(np.interp(np.log(_checked(kinetic_mev)), np.log(_knots_mev()), np.log(values))))


def _radiative_fit(tables: tuple[_Tabulated, ...]) -> FloatArray:
    """(knots, 5) coefficients of the terms; least squares of the relative error over the materials."""
    terms = np.array([_radiative_terms(entry.material) for entry in tables])
    values = np.array([entry.radiative for entry in tables])
    ones = np.ones(len(tables))
    return np.array([np.linalg.lstsq(terms / values[:, [k]], ones, rcond=None)[0] for k in range(values.shape[1])])


def _radiative_terms(material: Material) -> FloatArray:
    """(5,) sum of w Z (Z + 1)/A times (hydrogen, others, others ln Z, ln^2 Z, ln^3 Z)."""
    total = np.zeros(5)
    for z, fraction in material.mass_fractions:
        log_z = np.log(z)
        powers = np.array([float(z == 1), float(z > 1), log_z, log_z**2, log_z**3])
        total += fraction * z * (z + 1) / ELEMENTS[SYMBOLS[z]][1] * powers
    return total


@cache
def _tables() -> tuple[_Tabulated, ...]:
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for row in read_rows("electron_stopping.csv"):
        numbers = (float(row["energy_mev"]), float(row["density_effect"]), float(row["radiative"]))
        rows.setdefault(row["material"], []).append(numbers)
    tables = []
    for name, values in rows.items():
        energy, delta, radiative = np.array(values).T
        material = materials.get(name).with_density(_TABLE_DENSITY_G_CM3.get(name, materials.get(name).density_g_cm3))
        tables.append(_Tabulated(material, _log_momentum(energy), delta, radiative))
    return tuple(tables)


@cache
def _knots_mev() -> FloatArray:
    """(n,) energies of the tables' knots; all materials share them."""
    return np.asarray(materials.electron_stopping("water").energy_mev)

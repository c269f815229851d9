"""Samplers of the Monte Carlo engine against quadrature of the cross sections, and against kinematics."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from numba import njit
from scipy.integrate import quad

from rtsim import materials
from rtsim.dose.monte_carlo._kernels import interactions
from rtsim.dose.monte_carlo._kernels.random import seed_history
from rtsim.dose.monte_carlo.tables.bremsstrahlung import (
    bremsstrahlung_table,
    hard_photons_cm2_g,
    soft_radiative_mev_cm2_g,
)
from rtsim.dose.monte_carlo.tables.delta_rays import delta_ray_mev_cm2_g, moller_cm2_g
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.dose.monte_carlo.tables.stopping import radiative_mev_cm2_g
from rtsim.materials import Process
from rtsim.typing import FloatArray
from rtsim.units import ELECTRON_REST_MEV as REST
from tests.reference.interactions import assert_drawn_from, assert_mean, klein_nishina, koch_motz_2bs, moller, sauter
from tests.shared import SHARED, requires_shared

SAMPLE = 400_000
LARGE_SAMPLE = 2_000_000  # for what a factor of the cross section changes little


@njit
def _comptons(energy, state, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = interactions.compton(energy, state)


@njit
def _pairs(energy, state, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = interactions.pair(energy, state)


@njit
def _photos(energy, state, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1] = interactions.photo(energy, state)


@njit
def _mollers(kinetic, cut, state, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1], out[i, 2] = interactions.moller(kinetic, cut, state)


@njit
def _photons(kinetic, cut, table, log_min, inverse_step, state, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1] = interactions.bremsstrahlung(kinetic, cut, table, log_min, inverse_step, state)


@njit
def _angles(kinetic, photon, state, out):
    for i in range(out.shape[0]):
        out[i, 0] = interactions._bremsstrahlung_cosine(kinetic, photon, state)


def _state(seed: int) -> np.ndarray:
    state = np.zeros(2, dtype=np.uint64)
    seed_history(state, seed, 0)
    return state


def _bremsstrahlung(kinetic: float, cut: float, seed: int) -> FloatArray:
    grid, out = EnergyGrid.standard(), np.empty((SAMPLE, 2))
    _photons(kinetic, cut, bremsstrahlung_table(), grid.log_min, grid.inverse_step, _state(seed), out)
    return out


def _even_edges(cosines: FloatArray) -> FloatArray:
    """Forty bins of cosines that hold about equally many (taken from draws that are not tested)."""
    return np.concatenate([[-1.0], np.quantile(cosines[:100_000], np.linspace(0.025, 0.975, 39)), [1.0]])


def _momentum(kinetic: FloatArray | float) -> FloatArray:
    return np.sqrt(np.asarray(kinetic) * (np.asarray(kinetic) + 2.0 * REST))


@pytest.mark.parametrize("energy", [0.02, 0.4999, 0.5, 1.25, 6.0])
def test_compton_angles_are_those_of_klein_and_nishina(energy: float) -> None:
    out = np.empty((LARGE_SAMPLE, 4))
    _comptons(energy, _state(1), out)
    # fine bins forward, where the scatter of high energies is
    edges = 1.0 - np.concatenate([np.linspace(2.0, 0.2, 19), np.linspace(0.2, 0.0, 21)[1:]])
    assert_drawn_from(out[:, 1], lambda cosine: klein_nishina(cosine, energy), edges)


@requires_shared
@pytest.mark.parametrize("row", [2, 5, 8, 10, 15, 20, 25, 28])
def test_compton_electrons_receive_the_tabulated_mean_energy(row: int) -> None:
    with (SHARED / "physics_data" / "klein_nishina.csv").open() as file:
        lines = list(csv.DictReader(line for line in file if not line.startswith("#")))
    energy, expected = float(lines[row]["E_MeV"]), float(lines[row]["mean_T_fraction"])
    if energy > 25.0:
        pytest.skip("beyond the tables")
    out = np.empty((SAMPLE, 4))
    _comptons(energy, _state(2), out)
    assert_mean(out[:, 2] / energy, expected)


@pytest.mark.parametrize("energy", [0.01, 0.3, 2.0, 20.0])
def test_compton_keeps_energy_and_momentum(energy: float) -> None:
    out = np.empty((20_000, 4))
    _comptons(energy, _state(3), out)
    scattered, cos_photon, kinetic, cos_electron = out.T
    np.testing.assert_allclose(scattered + kinetic, energy, rtol=1e-14)
    momentum = _momentum(kinetic)
    np.testing.assert_allclose(scattered * cos_photon + momentum * cos_electron, energy, rtol=1e-12)
    across = momentum * np.sqrt(1.0 - cos_electron**2) - scattered * np.sqrt(np.maximum(0.0, 1.0 - cos_photon**2))
    np.testing.assert_allclose(across / energy, 0.0, atol=1e-7)


def _pair_cross_section(kappa: float) -> float:
    """Pair production per nucleus over alpha r_e^2 Z^2: the density that is sampled, integrated."""
    mean = quad(lambda share: interactions.pair_density(share, kappa), 0.0, 1.0, epsrel=1e-10)[0] / kappa**3
    return float((kappa - 2.0) * mean)


@pytest.mark.parametrize("kappa", [2.05, 2.3, 3.0, 4.5, 8.0, 20.0, 49.0])
def test_pair_density_integrates_to_the_series_of_maximon(kappa: float) -> None:
    """Born's total cross section without screening in closed series: a check of every term of the density.

    source: Maximon 1968 J Res NBS 72B:79, as in Hubbell, Gimm and Overbo 1980 J Phys Chem Ref Data 9:1023, eqs. 12, 13;
    the low series is cut at the fourth order (1e-4 below kappa = 3), the high one at kappa^-6 (1e-4 from 4 on).
    """
    if kappa < 4.0:
        eps = (2.0 * kappa - 4.0) / (2.0 + kappa + 2.0 * math.sqrt(2.0 * kappa))
        series = 1.0 + eps / 2.0 + 23.0 / 40.0 * eps**2 + 11.0 / 60.0 * eps**3 + 29.0 / 960.0 * eps**4
        expected = 2.0 * math.pi / 3.0 * ((kappa - 2.0) / kappa) ** 3 * series
    else:
        log, zeta3 = math.log(2.0 * kappa), 1.2020569
        second = 6.0 * log - 3.5 + 2.0 / 3.0 * log**3 - log**2 - math.pi**2 / 3.0 * log + 2.0 * zeta3 + math.pi**2 / 6.0
        expected = 28.0 / 9.0 * log - 218.0 / 27.0 + (2.0 / kappa) ** 2 * second
        expected -= (2.0 / kappa) ** 4 * (3.0 / 16.0 * log + 1.0 / 8.0)
        expected -= (2.0 / kappa) ** 6 * (29.0 / 2304.0 * log - 77.0 / 13824.0)
    assert _pair_cross_section(kappa) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("energy", [1.5, 2.5, 4.0, 6.0, 10.0, 20.0])
def test_pair_density_integrates_to_the_pair_cross_section_of_carbon(energy: float) -> None:
    """In absolute terms against XCOM: Born without screening is good to 1 % for carbon from 1.5 MeV on."""
    per_atom = 7.2973525693e-3 * 2.8179403262e-13**2 * 36.0 * _pair_cross_section(energy / REST)
    carbon = materials.Material.from_mass_fractions("carbon", 2.0, {"C": 1.0})
    expected = carbon.cross_section_cm2_g(Process.PAIR, energy).item()
    assert per_atom * 6.02214076e23 / 12.011 == pytest.approx(expected, rel=0.011)


@pytest.mark.parametrize("energy", [1.1, 3.0, 25.0])
def test_pairs_share_the_energy_by_bethe_and_heitler(energy: float) -> None:
    out = np.empty((SAMPLE, 4))
    _pairs(energy, _state(4), out)
    available = energy - 2.0 * REST
    np.testing.assert_allclose(out[:, 0] + out[:, 2], available, rtol=1e-12)
    density = np.vectorize(lambda share: interactions.pair_density(share, energy / REST))
    edges = np.concatenate([[1e-3], np.linspace(0.02, 0.98, 49), [0.999]])
    assert_drawn_from(out[:, 2] / available, density, edges)
    shares = np.linspace(0.001, 0.999, 999)
    assert density(shares).max() < 1.01 * density(0.5), "the bound of the rejection"


def test_no_pair_below_threshold() -> None:
    out = np.empty((10, 4))
    for energy in (0.5, 2.0 * REST):
        _pairs(energy, _state(5), out)
        np.testing.assert_array_equal(out[:, [0, 2]], 0.0)
    _pairs(2.0 * REST + 1e-9, _state(5), out)
    assert (out[:, [0, 2]] >= 0.0).all()
    assert np.isfinite(out).all()


def test_pair_angles_are_of_the_order_of_mc2_over_e() -> None:
    """dP/dcos ~ 1/(E - p cos)^2 of each particle: the cumulative share (1 + cos)(E - p)/(2 (E - p cos)) is uniform."""
    out = np.empty((SAMPLE, 4))
    _pairs(8.0, _state(6), out)
    for column in (0, 2):
        kinetic, cosine = out[:, column], out[:, column + 1]
        total, momentum = kinetic + REST, _momentum(kinetic)
        share = (1.0 + cosine) * (total - momentum) / (2.0 * (total - momentum * cosine))
        assert_drawn_from(share, np.ones_like, np.linspace(0.0, 1.0 + 1e-9, 51))


@pytest.mark.parametrize("energy", [0.02, 0.511, 2.0])
def test_photoelectrons_leave_at_sauters_angle(energy: float) -> None:
    out = np.empty((LARGE_SAMPLE, 2))
    _photos(energy, _state(7), out)
    np.testing.assert_array_equal(out[:, 0], energy)
    assert_drawn_from(out[1::2, 1], lambda cosine: sauter(cosine, energy), _even_edges(out[::2, 1]))


@pytest.mark.parametrize(("kinetic", "cut"), [(0.41, 0.2), (1.0, 0.2), (1.0, 0.01), (6.0, 0.2), (20.0, 0.2)])
def test_moller_energies_are_those_of_the_cross_section(kinetic: float, cut: float) -> None:
    out = np.empty((SAMPLE, 3))
    _mollers(kinetic, cut, _state(8), out)
    edges = 1.0 / np.linspace(2.0 / kinetic, 1.0 / cut, 41)[::-1]
    edges[0], edges[-1] = cut * (1.0 - 1e-12), 0.5 * kinetic * (1.0 + 1e-12)
    assert_drawn_from(out[:, 0], lambda secondary: moller(secondary, kinetic), edges)


@pytest.mark.parametrize(("kinetic", "cut"), [(0.41, 0.2), (2.0, 0.05), (20.0, 0.2)])
def test_moller_keeps_momentum(kinetic: float, cut: float) -> None:
    out = np.empty((20_000, 3))
    _mollers(kinetic, cut, _state(9), out)
    slow, cos_primary, cos_slow = out.T
    p_left, p_slow = _momentum(kinetic - slow), _momentum(slow)
    np.testing.assert_allclose(p_left * cos_primary + p_slow * cos_slow, _momentum(kinetic), rtol=1e-12)
    across = p_left * np.sqrt(1.0 - cos_primary**2) - p_slow * np.sqrt(1.0 - cos_slow**2)
    np.testing.assert_allclose(across / _momentum(kinetic), 0.0, atol=1e-7)


def test_moller_below_threshold_shares_equally() -> None:
    out = np.empty((10, 3))
    _mollers(0.399, 0.2, _state(14), out)
    np.testing.assert_allclose(out[:, 0], 0.1995, rtol=1e-12)
    np.testing.assert_allclose(out[:, 1], out[:, 2], rtol=1e-12)


@pytest.mark.parametrize("kinetic", [0.5, 2.0, 12.0])
def test_delta_rays_take_the_energy_that_the_restricted_stopping_power_leaves_out(kinetic: float) -> None:
    """Events per g/cm2 times the mean energy drawn is the loss that was taken off the stopping power."""
    water, cut = materials.get("water"), 0.2
    out = np.empty((SAMPLE, 3))
    _mollers(kinetic, cut, _state(10), out)
    expected = delta_ray_mev_cm2_g(water, kinetic, cut) / moller_cm2_g(water, kinetic, cut)
    assert_mean(out[:, 0], expected.item())


@pytest.mark.parametrize("node", [420, 600, 750, 900, 1020])
def test_bremsstrahlung_takes_the_energy_that_the_restricted_stopping_power_leaves_out(node: int) -> None:
    """Hard photons per g/cm2 times their mean energy is the radiative stopping power less its soft part."""
    water, cut = materials.get("water"), 0.05
    kinetic = EnergyGrid.standard().energies_mev[node]
    out = _bremsstrahlung(kinetic, cut, 11)
    hard = radiative_mev_cm2_g(water, kinetic) - soft_radiative_mev_cm2_g(water, cut)[node]
    assert out[:, 0].min() >= cut
    assert out[:, 0].max() <= kinetic * (1.0 + 1e-12)
    assert_mean(out[:, 0], float(hard / hard_photons_cm2_g(water, cut)[node]))


@pytest.mark.parametrize(("kinetic", "cut"), [(0.2, 0.05), (3.0, 0.01), (18.0, 0.05)])
def test_bremsstrahlung_spectrum_is_that_of_its_table(kinetic: float, cut: float) -> None:
    grid, table = EnergyGrid.standard(), bremsstrahlung_table()
    x = (math.log(kinetic) - grid.log_min) * grid.inverse_step
    row = table[int(x)] + (x - int(x)) * (table[int(x) + 1] - table[int(x)])
    shares = np.linspace(0.0, 1.0, table.shape[1])
    out = _bremsstrahlung(kinetic, cut, 12)
    edges = np.geomspace(cut / kinetic, 1.0, 41)
    edges[0], edges[-1] = edges[0] * (1.0 - 1e-12), 1.0 + 1e-12
    assert_drawn_from(out[:, 0] / kinetic, lambda share: np.interp(share, shares, row) / share, edges)


@pytest.mark.parametrize(
    ("kinetic", "photon"), [(0.1, 0.05), (0.5, 0.4), (1.0, 0.05), (6.0, 0.05), (6.0, 3.0), (6.0, 5.999), (20.0, 1.0)]
)
def test_bremsstrahlung_angles_are_those_of_koch_and_motz(kinetic: float, photon: float) -> None:
    out = np.empty((SAMPLE, 1))
    _angles(kinetic, photon, _state(13), out)
    edges = _even_edges(out[::2, 0])
    assert_drawn_from(out[1::2, 0], lambda cosine: koch_motz_2bs(cosine, kinetic, photon, 7.4), edges)

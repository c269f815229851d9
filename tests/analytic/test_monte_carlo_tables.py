"""Tables of the Monte Carlo engine: attenuation, stopping powers and cross sections against their sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from rtsim import materials
from rtsim.dose.monte_carlo.tables import bremsstrahlung, delta_rays, electrons, photons, stopping
from rtsim.dose.monte_carlo.tables.energy_grid import EnergyGrid
from rtsim.errors import InputError
from rtsim.materials import Material, Process
from rtsim.units import ELECTRON_REST_MEV as REST
from tests.reference.interactions import moller

ENERGIES = EnergyGrid.standard().energies_mev
MEDIA = tuple(materials.get(name) for name in ("water", "air", "lung", "adipose", "bone_cortical", "titanium"))
TABULATED = materials.electron_stopping("water").energy_mev
THERAPY = TABULATED[(TABULATED >= 0.2) & (TABULATED <= 25.0)]
GAUSS = np.polynomial.legendre.leggauss(40)
ENTRIES = stopping._tables()
VERIFIED = tuple(entry for entry in ENTRIES if stopping._has_own_density_effect(entry.material))


def _name(entry: stopping._Tabulated) -> str:
    return entry.material.name


def test_grid_covers_the_photon_tables_uniformly_in_ln_e() -> None:
    grid = EnergyGrid.standard()
    assert materials.MIN_ENERGY_MEV <= ENERGIES[0] < materials.MIN_ENERGY_MEV * (1.0 + 1e-12)
    assert materials.MAX_ENERGY_MEV >= ENERGIES[-1] > materials.MAX_ENERGY_MEV * (1.0 - 1e-12)
    np.testing.assert_allclose((np.log(ENERGIES) - grid.log_min) * grid.inverse_step, np.arange(1024), atol=1e-9)


@pytest.mark.parametrize(("count", "step"), [(1, 0.1), (5, 0.0), (5, float("nan"))])
def test_grid_refuses_what_is_no_grid(count: int, step: float) -> None:
    with pytest.raises(InputError, match="energy grid"):
        EnergyGrid(log_min=0.0, step=step, count=count)


@pytest.mark.parametrize("rayleigh", [False, True])
def test_photon_table_is_the_attenuation_and_its_shares(rayleigh: bool) -> None:
    table = photons.photon_table(MEDIA, rayleigh=rayleigh)
    assert table.shape == (1024, len(MEDIA), 4)
    for m, material in enumerate(MEDIA):
        total = material.mass_attenuation_cm2_g(ENERGIES, coherent=rayleigh)
        np.testing.assert_allclose(table[:, m, 0], total, rtol=1e-12)
        shares = np.diff(table[:, m, 1:], axis=1, prepend=0.0)
        parts = [
            material.cross_section_cm2_g(Process.COMPTON, ENERGIES),
            material.cross_section_cm2_g(Process.PAIR, ENERGIES)
            + material.cross_section_cm2_g(Process.TRIPLET, ENERGIES),
            material.cross_section_cm2_g(Process.PHOTO, ENERGIES),
        ]
        np.testing.assert_allclose(shares.T * total, parts, rtol=1e-9, atol=1e-15)
    if not rayleigh:
        np.testing.assert_array_equal(table[:, :, 3], 1.0)


def test_no_pairs_below_threshold() -> None:
    table = photons.photon_table(MEDIA)
    below = ENERGIES <= 2.0 * REST
    np.testing.assert_array_equal(table[below, :, 2], table[below, :, 1])
    assert (table[ENERGIES > 1.1][:, :, 2] > table[ENERGIES > 1.1][:, :, 1]).all()


def test_linear_interpolation_between_nodes_holds_to_a_ten_thousandth() -> None:
    """Middle of each interval, above 0.05 MeV: the tables behind have knots of their own, log-log."""
    middle = np.sqrt(ENERGIES[1:] * ENERGIES[:-1])
    chosen = middle > 0.05
    table = photons.photon_table(MEDIA)[:, :, 0]
    for m, material in enumerate(MEDIA):
        between = 0.5 * (table[1:, m] + table[:-1, m])
        expected = material.mass_attenuation_cm2_g(middle, coherent=False)
        np.testing.assert_allclose(between[chosen], expected[chosen], rtol=1e-4)


@pytest.mark.parametrize("entry", VERIFIED, ids=_name)
def test_collision_stopping_is_that_of_the_tables(entry: stopping._Tabulated) -> None:
    """At the density of the table. It is given to five digits, its density effect to four decimals."""
    table = materials.electron_stopping(entry.material.name)
    found = stopping.collision_mev_cm2_g(entry.material, table.energy_mev)
    np.testing.assert_allclose(found, table.collision_mev_cm2_g, rtol=2e-4)


@pytest.mark.parametrize("energy", [1.0, 2.0, 6.0, 10.0, 20.0])
def test_collision_stopping_of_water_is_that_of_estar(energy: float) -> None:
    # source: NIST ESTAR, liquid water, MeV cm2/g
    estar = {1.0: 1.849, 2.0: 1.824, 6.0: 1.911, 10.0: 1.968, 20.0: 2.046}
    found = stopping.collision_mev_cm2_g(materials.get("water"), energy).item()
    assert found == pytest.approx(estar[energy], abs=0.0006)


def test_borrowed_density_effects_are_replaced_by_shifted_ones() -> None:
    """Where the tables lend a density effect without regard to density, the shifted one moves less than 0.7 %."""
    for entry in ENTRIES:
        table = materials.electron_stopping(entry.material.name)
        found = stopping.collision_mev_cm2_g(entry.material, table.energy_mev)
        np.testing.assert_allclose(found, table.collision_mev_cm2_g, rtol=7e-3)


@pytest.mark.parametrize("entry", VERIFIED, ids=_name)
def test_collision_stopping_without_the_materials_own_table(entry: stopping._Tabulated) -> None:
    """Leave one out: tissues and plastics 0.5 %, metals 0.8 %; aluminum has no neighbour (1.7 %)."""
    others = tuple(e for e in ENTRIES if e.material.mass_fractions != entry.material.mass_fractions)
    delta = stopping._density_effect_from(others, entry.material, THERAPY)
    t = THERAPY / REST
    beta2 = t * (t + 2.0) / (t + 1.0) ** 2
    change = stopping.STOPPING_CONSTANT * entry.material.z_over_a / beta2
    change = change * (stopping.density_effect(entry.material, THERAPY) - delta)
    metal = entry.material.mean_excitation_ev > 150.0
    bound = 0.017 if entry.material.name == "aluminum" else (0.008 if metal else 0.005)
    np.testing.assert_array_less(np.abs(change / stopping.collision_mev_cm2_g(entry.material, THERAPY)), bound)


def test_density_effect_has_its_limit_at_high_energy() -> None:
    """2 ln(beta gamma hbar omega_p/I) - 1 is reached from below; 1 GeV is far beyond the tables."""
    for name in ("water", "bone_cortical", "titanium", "vertebra"):
        material = materials.get(name)
        plasma = 28.816 * np.sqrt(material.density_g_cm3 * material.z_over_a)
        momentum = np.sqrt((1000.0 / REST + 1.0) ** 2 - 1.0)
        limit = 2.0 * np.log(momentum * plasma / material.mean_excitation_ev) - 1.0
        found = stopping.density_effect(material, 1000.0).item()
        assert limit < found < limit + 0.45


def test_density_effect_vanishes_with_the_density_and_follows_it() -> None:
    """Lung at its nominal density, mostly air, against the same tissue without air."""
    lung = materials.get("lung")
    tissue = lung.with_density(1.05)
    assert stopping.density_effect(lung, 1.0).item() == 0.0
    assert stopping.density_effect(tissue, 1.0).item() == pytest.approx(0.276, abs=0.001)
    # far up the two differ by ln of the ratio of densities
    difference = stopping.density_effect(tissue, 500.0) - stopping.density_effect(lung, 500.0)
    assert difference.item() == pytest.approx(np.log(1.05 / 0.26), abs=0.02)


@pytest.mark.parametrize("entry", ENTRIES, ids=_name)
def test_radiative_stopping_by_elements(entry: stopping._Tabulated) -> None:
    """Fitted to all materials 0.3 %; without the material itself, and those of the same elements, 0.5 %."""
    table = materials.electron_stopping(entry.material.name).radiative_at(THERAPY)
    np.testing.assert_allclose(stopping.radiative_mev_cm2_g(entry.material, THERAPY), table, rtol=0.003)
    others = tuple(e for e in ENTRIES if e.material.mass_fractions != entry.material.mass_fractions)
    without = stopping._radiative_from(stopping._radiative_fit(others), entry.material, THERAPY)
    np.testing.assert_allclose(without, table, rtol=0.005)


@given(st.floats(0.02, 25.0), st.floats(0.01, 1.0), st.sampled_from(MEDIA))
def test_soft_and_hard_collisions_make_the_whole(kinetic: float, cut: float, material: Material) -> None:
    """Quadrature of Moller's cross section above the cut against the analytic number and loss."""
    number = delta_rays.moller_cm2_g(material, kinetic, cut).item()
    loss = delta_rays.delta_ray_mev_cm2_g(material, kinetic, cut).item()
    soft = delta_rays.restricted_collision_mev_cm2_g(material, kinetic, cut).item()
    assert soft + loss == pytest.approx(stopping.collision_mev_cm2_g(material, kinetic).item(), rel=1e-12)
    if kinetic <= 2.0 * cut:
        assert number == pytest.approx(0.0, abs=1e-12)
        assert loss == pytest.approx(0.0, abs=1e-12)
        return
    t = kinetic / REST
    scale = stopping.STOPPING_CONSTANT * material.z_over_a * (t + 1.0) ** 2 / (t * (t + 2.0))

    def moment(power: int) -> float:
        # in ln W, where the integrand is smooth
        def integrand(log_w: float) -> float:
            w = np.exp(log_w)
            return float(w ** (power + 1) * moller(w, kinetic))

        return float(scale * quad(integrand, np.log(cut), np.log(0.5 * kinetic), epsrel=1e-11)[0])

    assert number == pytest.approx(moment(0), rel=1e-8, abs=1e-10)
    assert loss == pytest.approx(moment(1), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("material", MEDIA, ids=lambda m: m.name)
def test_soft_and_hard_photons_make_the_whole(material: Material) -> None:
    """Quadrature of k dsigma/dk as the kernel draws it, normalised to the photons above the cut, and the soft loss."""
    cut = 0.05
    table = bremsstrahlung.bremsstrahlung_table()
    number = bremsstrahlung.hard_photons_cm2_g(material, cut)
    soft = bremsstrahlung.soft_radiative_mev_cm2_g(material, cut)
    shares = np.linspace(0.0, 1.0, table.shape[1])
    for node in (260, 500, 640, 760, 900, 1023):
        energy = ENERGIES[node]
        breaks = np.concatenate([[cut / energy], shares[shares > cut / energy]])
        x = 0.5 * (breaks[1:] + breaks[:-1])[:, None] + 0.5 * np.diff(breaks)[:, None] * GAUSS[0]
        weight = 0.5 * np.diff(breaks)[:, None] * GAUSS[1]
        shape = np.interp(x, shares, table[node])
        mean_k = energy * (shape * weight).sum() / (shape / x * weight).sum()
        whole = stopping.radiative_mev_cm2_g(material, energy).item()
        assert soft[node] + number[node] * mean_k == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(("name", "tolerance"), [("water", 0.075), ("bone_cortical", 0.04), ("titanium", 0.012)])
def test_bremsstrahlung_spectrum_radiates_nearly_what_the_tables_say(name: str, tolerance: float) -> None:
    """The Bethe-Heitler shape in absolute terms against Seltzer and Berger, 1 to 20 MeV.

    An electron radiates in the field of another a little less than the 1 of Z (Z + 1) below a few MeV, so that light
    elements come out high there; Born's approximation itself is good to 1 % for titanium.
    """
    material = materials.get(name)
    x = (np.arange(4000) + 0.5) / 4000.0
    constant = 7.2973525693e-3 * 2.8179403262e-13**2 * 6.02214076e23
    for energy in (1.0, 2.0, 5.0, 10.0, 20.0):
        radiated = constant * energy * bremsstrahlung.spectrum_shape(material, energy, x).mean()
        assert radiated == pytest.approx(stopping.radiative_mev_cm2_g(material, energy).item(), rel=tolerance)


def test_one_shape_of_bremsstrahlung_serves_tissues_and_titanium() -> None:
    x = (np.arange(4000) + 0.5) / 4000.0

    def mean_share(name: str, energy: float) -> float:
        shape = bremsstrahlung.spectrum_shape(materials.get(name), energy, x) * (x * energy > 0.05)
        return float(shape.sum() / (shape / x).sum())

    for energy in (0.5, 2.0, 6.0, 20.0):
        for name, tolerance in (("adipose", 0.006), ("bone_cortical", 0.016), ("titanium", 0.035)):
            assert mean_share(name, energy) == pytest.approx(mean_share("water", energy), rel=tolerance)


@pytest.mark.parametrize("entry", VERIFIED, ids=_name)
def test_range_from_the_table_without_cuts_is_the_csda_range(entry: stopping._Tabulated) -> None:
    """Integral of dT/L from 10 keV on, L of losses of any size, at the density of the table: 0.15 %."""
    table = electrons.electron_table((entry.material,), electron_cut_mev=100.0, photon_cut_mev=100.0)[:, 0, 0]
    step = ENERGIES / table * EnergyGrid.standard().step  # dT/L = T/L dlnT
    length = np.concatenate([[0.0], np.cumsum(0.5 * (step[1:] + step[:-1]))])
    tabulated = materials.electron_stopping(entry.material.name)
    for energy in (0.5, 2.0, 6.0, 20.0):
        found = np.interp(np.log(energy), np.log(ENERGIES), length) + tabulated.csda_range_g_cm2[0]
        assert found == pytest.approx(tabulated.csda_range_at(energy).item(), rel=0.0015)


def test_electron_table_holds_what_its_parts_say() -> None:
    table = electrons.electron_table(MEDIA, electron_cut_mev=0.2, photon_cut_mev=0.05)
    assert table.shape == (1024, len(MEDIA), 5)
    assert np.isfinite(table).all()
    assert (table[:, :, [0, 3, 4]] > 0.0).all()
    np.testing.assert_allclose(table[ENERGIES <= 0.4][:, :, 1], 0.0, atol=1e-12)
    np.testing.assert_array_equal(table[ENERGIES <= 0.05][:, :, 2], 0.0)
    bone = MEDIA.index(materials.get("bone_cortical"))
    stopping_power, number = table[:, bone, 0], table[:, bone, 1] * table[:, bone, 0]
    np.testing.assert_allclose(number, delta_rays.moller_cm2_g(MEDIA[bone], ENERGIES, 0.2), rtol=1e-12, atol=1e-15)
    whole = stopping.collision_mev_cm2_g(MEDIA[bone], ENERGIES) + stopping.radiative_mev_cm2_g(MEDIA[bone], ENERGIES)
    assert (stopping_power < whole * (1.0 + 1e-12)).all()


def test_water_over_medium_is_the_ratio_of_the_tabulated_stopping_powers() -> None:
    ratio = electrons.water_over_medium(MEDIA)
    np.testing.assert_array_equal(ratio[:, 0], 1.0)
    water = materials.electron_stopping("water").collision_at(ENERGIES)
    for name in ("bone_cortical", "titanium", "adipose"):
        expected = water / materials.electron_stopping(name).collision_at(ENERGIES)
        # log-log between the knots there, the formula here
        np.testing.assert_allclose(ratio[:, MEDIA.index(materials.get(name))], expected, rtol=1e-3)


def test_every_tissue_of_a_ct_has_an_electron_table() -> None:
    """The 24 groups of Schneider have no stopping powers of their own; nearly water, per gram, up to the bone."""
    tissues = materials.schneider_composition().materials
    table = electrons.electron_table(tissues, electron_cut_mev=0.2, photon_cut_mev=0.05)
    water = electrons.electron_table((materials.get("water"),), electron_cut_mev=0.2, photon_cut_mev=0.05)
    node = int(np.searchsorted(ENERGIES, 2.0))
    assert (np.abs(table[node, 1:-1, 0] / water[node, 0, 0] - 1.0) < 0.13).all()
    assert np.isfinite(table).all()


@pytest.mark.parametrize("cut", [0.0, -0.1, float("nan"), float("inf")])
def test_cuts_must_be_energies(cut: float) -> None:
    water = (materials.get("water"),)
    with pytest.raises(InputError, match="cut_mev"):
        electrons.electron_table(water, electron_cut_mev=cut, photon_cut_mev=0.05)
    with pytest.raises(InputError, match="cut_mev"):
        electrons.electron_table(water, electron_cut_mev=0.2, photon_cut_mev=cut)


def test_tables_need_a_material_and_energies_above_zero() -> None:
    with pytest.raises(InputError, match="no material"):
        photons.photon_table(())
    with pytest.raises(InputError, match="no material"):
        electrons.electron_table((), electron_cut_mev=0.2, photon_cut_mev=0.05)
    with pytest.raises(InputError, match="no material"):
        electrons.water_over_medium(())
    with pytest.raises(InputError, match="kinetic_mev"):
        stopping.collision_mev_cm2_g(materials.get("water"), [1.0, 0.0])

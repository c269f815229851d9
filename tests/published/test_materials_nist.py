"""Materials against NIST and against the material lists of the Monte Carlo references."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim import materials
from rtsim.errors import InputError
from rtsim.materials import Material

# source: NIST X-Ray Mass Attenuation Coefficients (NISTIR 5632), cm2/g: energy MeV, mu/rho, mu_en/rho. The Compton
# cross sections used here lie 0.2 % below NIST near 1 MeV; the tolerance is that and rounding (absorption: and g).
NIST = {
    "water": [
        (0.01, 5.329, 4.944),
        (0.1, 0.1707, 0.02546),
        (1.25, 0.06323, 0.02965),
        (6.0, 0.02770, 0.01806),
        (10.0, 0.02219, 0.01566),
        (20.0, 0.01813, 0.01382),
    ],
    "air": [(1.25, 0.05687, 0.02666), (10.0, 0.02045, 0.01450)],
}


@pytest.mark.parametrize("name", NIST)
def test_nist_coefficients(name: str) -> None:
    energy, attenuation, absorption = np.array(NIST[name]).T
    material = materials.get(name)
    np.testing.assert_allclose(material.mass_attenuation_cm2_g(energy), attenuation, rtol=0.0025)
    np.testing.assert_allclose(material.mass_energy_absorption_cm2_g(energy), absorption, rtol=0.0035)


def test_lead_attenuation_for_collimators() -> None:
    # source: NISTIR 5632, lead at 1.25 MeV
    assert materials.get("lead").mass_attenuation_cm2_g(1.25) == pytest.approx(0.05876, rel=0.0025)


@pytest.mark.parametrize(
    ("name", "expected"),
    # source: ICRU 44 / ESTAR densities and compositions; alloys ASTM nominal; three decimals
    [
        ("muscle", 1.040),
        ("adipose", 0.951),
        ("lung", 0.258),
        ("bone_cortical", 1.781),
        ("spongiosa", 1.150),
        ("cartilage", 1.083),
        ("pmma", 1.156),
        ("peek", 1.219),
        ("cfr_peek", 1.427),
        ("titanium", 3.759),
        ("ti6al4v", 3.676),
        ("cocrmo", 6.846),
        ("steel_316l", 6.762),
    ],
)
def test_relative_electron_density(name: str, expected: float) -> None:
    assert materials.get(name).relative_electron_density() == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "fractions"),
    # source: PEGS4 700icru medium definitions of EGSnrc
    [
        ("water", {"H": 0.11190, "O": 0.88810}),
        ("icru_tissue", {"H": 0.101172, "C": 0.111, "N": 0.026, "O": 0.761828}),
        (
            "icrp_cortical_bone",
            {
                "H": 0.047234,
                "C": 0.14433,
                "N": 0.04199,
                "O": 0.446096,
                "Mg": 0.0022,
                "P": 0.10497,
                "S": 0.00315,
                "Ca": 0.20993,
                "Zn": 0.0001,
            },
        ),
    ],
)
def test_library_holds_the_materials_of_egsnrc(name: str, fractions: dict[str, float]) -> None:
    mine, theirs = materials.get(name), Material.from_mass_fractions("pegs", 1.0, fractions)
    energy = np.geomspace(0.05, 20.0, 21)
    np.testing.assert_allclose(mine.mass_attenuation_cm2_g(energy), theirs.mass_attenuation_cm2_g(energy), rtol=1e-4)


def test_water_attenuation_of_the_kernel_reference() -> None:
    # source: EGSnrc (XCOM photon data, PEGS4 H2O521icru) mu/rho with Rayleigh, printed by EDKnrc. 0.3 %: its Compton
    # cross section is its own (bound Klein-Nishina without radiative corrections), 0.25 % off XCOM at both ends
    energy = np.array([0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15])
    edk = [
        0.13710, 0.096834, 0.070645, 0.057472, 0.049327, 0.039608, 0.033952, 0.030243, 0.027636, 0.024230, 0.022135,
        0.019361,
    ]  # fmt: skip
    np.testing.assert_allclose(materials.get("water").mass_attenuation_cm2_g(energy), edk, rtol=0.003)


def test_electron_stopping_of_water() -> None:
    # source: NIST ESTAR, liquid water: collision and radiative stopping power in MeV cm2/g
    water = materials.electron_stopping("water")
    np.testing.assert_allclose(
        water.collision_at([1.0, 2.0, 6.0, 10.0, 20.0]), [1.849, 1.824, 1.911, 1.968, 2.046], rtol=5e-4
    )
    np.testing.assert_allclose(water.radiative_at([1.0, 10.0, 20.0]), [0.01280, 0.1832, 0.4086], rtol=0.007)
    with pytest.raises(InputError, match="electron tables cover"):
        water.collision_at(50.0)
    with pytest.raises(InputError, match="unknown electron stopping table 'csf'"):
        materials.electron_stopping("csf")


def test_mean_energy_of_the_mohan_6_mv_spectrum() -> None:
    # source: EGSnrc listing of mohan6.spectrum
    assert materials.spectrum("mohan6").mean_energy_mev == pytest.approx(1.8985, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ali_tuned_6X", 1.73), ("ali_tuned_6FFF", 1.28), ("ali_tuned_10X", 3.17), ("ali_tuned_15X", 3.97)],
)
def test_mean_energy_of_the_tuned_spectra(name: str, expected: float) -> None:
    assert materials.spectrum(name).mean_energy_mev == pytest.approx(expected, abs=0.006)

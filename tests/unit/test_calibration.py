"""The calibration curve and HU to matter: the curve's shape, files, what lies beyond its ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtsim import ct, materials
from rtsim.ct import AboveCurve, CalibrationCurve
from rtsim.errors import CaseFileError, InputError

CURVE = ct.default_curve()


def test_default_curve_follows_schneider_2000_and_never_falls() -> None:
    hu = np.arange(-1000.0, 25000.0, 0.5)
    density = CURVE.density_at(hu)
    assert (np.diff(density) >= 0.0).all()
    assert np.diff(density).max() < 1e-3  # continuous: no jump in half a HU

    def close(where: np.ndarray, expected: np.ndarray, relative: float) -> None:
        np.testing.assert_allclose(density[where], expected[where], rtol=relative)

    # source: Schneider et al. 2000 PMB 45:459 eq. 21 and following; the paper's segments miss each other by 0.001
    close(hu < -98, 0.00121 + (hu + 1000) * 0.92879 / 902, 0.001)
    close((hu > -98) & (hu < 14), 1.018 + 0.893e-3 * hu, 0.001)
    close((hu > 23) & (hu < 81), 1.003 + 1.169e-3 * hu, 0.001)
    close((hu > 81) & (hu < 100), 1.003 + 1.169e-3 * hu, 0.021)
    close((hu > 100) & (hu < 137), 1.017 + 0.592e-3 * hu, 0.021)
    close((hu > 137) & (hu < 1600), 1.017 + 0.592e-3 * hu, 1e-6)


def test_metal_is_not_clipped_at_bone() -> None:
    assert CURVE.density_at(3382.0) > 2.5
    assert CURVE.density_at(7500.0) == pytest.approx(4.5)
    matter = ct.matter_from_hu(np.array([1500.0, 2999.0, 3001.0, 3382.0, 7500.0, 20000.0]))
    names = [matter.materials[i].name for i in matter.material_index]
    assert names == ["schneider_24", "schneider_24", "titanium", "titanium", "titanium", "titanium"]


def test_matter_equals_the_plain_formula() -> None:
    """Against numpy's interp and searchsorted on every kind of HU, whole and broken, edges and knots among them."""
    table = materials.schneider_composition()
    hu = np.concatenate([np.linspace(-1500, 25000, 20001), table.edges_hu, CURVE.hu]).astype(np.float32)
    matter = ct.matter_from_hu(hu.reshape(-1, 1, 1))
    density = np.interp(hu, CURVE.hu, CURVE.density_g_cm3)
    index = np.searchsorted(table.edges_hu, hu, side="right")
    index[density >= 2.9] = len(table.materials) - 1
    np.testing.assert_allclose(matter.density_g_cm3.ravel(), density, rtol=2e-7)
    np.testing.assert_array_equal(matter.material_index.ravel(), index)
    assert matter.density_g_cm3.shape == (hu.size, 1, 1)
    assert not matter.density_g_cm3.flags.writeable


def test_composition_group_of_known_tissues() -> None:
    matter = ct.matter_from_hu(np.array([-1000.0, -700.0, -100.0, 50.0, 250.0, 1550.0]))
    names = [matter.materials[i].name for i in matter.material_index]
    assert names == [f"schneider_{n:02d}" for n in (1, 2, 3, 8, 11, 24)]
    ratio = [matter.materials[i].electrons_per_gram_ratio for i in matter.material_index]
    # source: mean Z/A against water of the group compositions in the paper's table 5
    np.testing.assert_allclose(ratio, [0.899, 0.992, 1.003, 0.992, 0.978, 0.927], atol=1e-3)


def test_matter_from_density_agrees_with_matter_from_hu() -> None:
    hu = np.array([-1000.0, -700.0, -100.0, -10.0, 50.0, 250.0, 1550.0, 5000.0], dtype=np.float32)
    from_hu = ct.matter_from_hu(hu)
    from_density = ct.matter_from_density(from_hu.density_g_cm3)
    np.testing.assert_array_equal(from_density.material_index, from_hu.material_index)
    with pytest.raises(InputError, match="above 0"):
        ct.matter_from_density(np.array([1.0, 0.0]))


def test_hu_at_inverts_the_curve() -> None:
    density = np.array([0.00121, 0.26, 0.95, 1.05, 1.3, 1.92, 4.5])
    np.testing.assert_allclose(CURVE.density_at(CURVE.hu_at(density)), density, rtol=1e-12)


def test_below_the_curve_is_air_and_is_noted() -> None:
    hu = np.array([-1207.0, -2048.0, 0.0])
    matter = ct.matter_from_hu(hu)
    np.testing.assert_allclose(matter.density_g_cm3[:2], 0.00121, rtol=1e-6)
    (note,) = ct.calibration_notes(hu)
    assert "2 voxels lie below HU -1000" in note
    assert "-2048" in note
    assert ct.calibration_notes(np.array([0.0])) == ()


def test_above_the_curve_is_refused_unless_asked() -> None:
    hu = np.array([-1000.0, 26000.0, 31743.0])
    with pytest.raises(InputError, match=r"2 voxels lie above HU 25000.*-1000 to 31743.*AboveCurve.HOLD_LAST"):
        ct.matter_from_hu(hu)
    held = ct.matter_from_hu(hu, above=AboveCurve.HOLD_LAST)
    np.testing.assert_allclose(held.density_g_cm3[1:], 8.3)
    assert "above HU 25000" in ct.calibration_notes(hu, above=AboveCurve.HOLD_LAST)[0]
    with pytest.raises(InputError, match="1 values that are NaN"):
        ct.matter_from_hu(np.array([0.0, np.nan]))


def test_csv_and_toml_give_the_same_curve(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("# scanner 7, 120 kV\nhu,density_g_cm3\n-1000,0.0012\n0,1\n\n3071.5,2.8\n")
    (tmp_path / "a.toml").write_text(
        '[calibration]\nname = "seven"\nsource = "QA 2024"\nhu = [-1000, 0, 3071.5]\ndensity_g_cm3 = [0.0012, 1, 2.8]\n'
    )
    from_csv, from_toml = ct.read_calibration(tmp_path / "a.csv"), ct.read_calibration(str(tmp_path / "a.toml"))
    np.testing.assert_array_equal(from_csv.hu, from_toml.hu)
    np.testing.assert_array_equal(from_csv.density_g_cm3, from_toml.density_g_cm3)
    assert (from_csv.name, from_csv.source) == ("a", "scanner 7, 120 kV")
    assert (from_toml.name, from_toml.source) == ("seven", "QA 2024")
    matter = ct.matter_from_hu(np.array([-500.0, 3071.0]), from_csv)
    np.testing.assert_allclose(matter.density_g_cm3, [0.5006, 2.8 - 0.5 * 1.8 / 3071.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "HU;rho\n0;1\n", r"line 1: the header is 'HU;rho'; it must be 'hu,density_g_cm3'"),
        ("c.csv", "", "the header is ''"),
        ("c.csv", "hu,density_g_cm3\n0,1\nbone,1.9\n", r"line 3: 'bone,1.9' is not two numbers"),
        ("c.csv", "hu,density_g_cm3\n0,1,2\n", r"line 2: .* is not two numbers"),
        ("c.csv", "hu,density_g_cm3\n0,1\n", "two or more pairs"),
        ("c.csv", "hu,density_g_cm3\n0,1\n-100,0.9\n", "0 is followed by -100"),
        ("c.csv", "hu,density_g_cm3\n0,1\n100,0.9\n", "falls from 1 to 0.9"),
        ("c.csv", "hu,density_g_cm3\n-1000,1.2\n0,1000\n", "kg/m3"),
        ("c.csv", "hu,density_g_cm3\n-1000,nan\n0,1\n", "finite"),
        ("c.toml", "[calibration]\nhu = [0, 1]\ndensty_g_cm3 = [1, 2]\n", "did you mean 'density_g_cm3'"),
        ("c.toml", "[calibraton]\nhu = [0, 1]\n", "did you mean 'calibration'"),
        ("c.toml", "[calibration]\nhu = [0, 1]\n", "density_g_cm3 is missing"),
        ("c.toml", '[calibration]\nhu = [0, "1"]\ndensity_g_cm3 = [1, 2]\n', "hu is .* list of numbers"),
        ("c.toml", "[calibration]\nname = 7\nhu = [0, 1]\ndensity_g_cm3 = [1, 2]\n", "name is 7; it must be text"),
        ("c.toml", "[calibration\n", "not TOML"),
        ("c.toml", "", r"a table \[calibration\] is needed"),
        ("c.txt", "", r"a calibration curve is a .csv or .toml file"),
    ],
)
def test_a_bad_curve_file_says_where_and_what(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CaseFileError, match=message) as error:
        ct.read_calibration(tmp_path / name)
    assert name in str(error.value)


def test_a_missing_curve_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match=r"none\.csv: there is no such calibration file"):
        ct.read_calibration(tmp_path / "none.csv")


def test_a_curve_of_ones_own_does_not_change_afterwards() -> None:
    hu = np.array([-1000.0, 0.0, 1000.0])
    curve = CalibrationCurve("mine", hu, np.array([0.001, 1.0, 1.6]))
    hu[1] = 500.0
    assert curve.density_at(0.0) == pytest.approx(1.0)
    with pytest.raises(InputError, match="ends at 1000"):
        curve.density_at(1001.0)

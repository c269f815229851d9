"""Machines: every shipped file loads, says what it should, and a wrong file says what is wrong."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from rtsim import machine, materials
from rtsim.errors import CaseFileError, InputError
from rtsim.machine import Jaws, Limits, Wedge, load_machine, point_source

LINACS = ("generic_6x", "generic_6x_agility", "generic_6fff", "generic_10x", "generic_10fff", "generic_15x")
# source: TrueBeam PDD(10 cm), 10 x 10, SSD 100 (Glide-Hurst 2013; Chang 2012); Co-60 BJR Supplement 25, SSD 80
PDD10_PERCENT = {
    "generic_6x": 66.3,
    "generic_6x_agility": 66.3,
    "generic_6fff": 63.8,
    "generic_10x": 73.6,
    "generic_10fff": 71.3,
    "generic_15x": 76.8,
    "cobalt60": 56.4,
}


def _text(name: str) -> str:
    return resources.files("rtsim.machine").joinpath("data", f"{name}.toml").read_text(encoding="utf-8")


def test_names_are_the_shipped_files() -> None:
    assert machine.names() == tuple(sorted((*LINACS, "cobalt60", "point_source")))


@pytest.mark.parametrize("name", machine.names())
def test_every_machine_loads_and_cites(name: str) -> None:
    m = load_machine(name)
    assert m.name == name
    assert m.description
    assert m.sources


@pytest.mark.parametrize("name", machine.names())
def test_every_number_line_of_the_head_carries_its_standing(name: str) -> None:
    section, bare = "", []
    for line in _text(name).splitlines():
        if line.startswith("["):
            section = line
        in_head = section in {
            "",
            "[spectrum]",
            "[focal_spot]",
            "[extra_focal]",
            "[electrons]",
            "[jaws]",
            "[mlc]",
            "[limits]",
        }
        number = re.match(r"\w+ = [-\[0-9]", line) and not line.startswith("sources")
        standing = any(tag in line for tag in ("[M]", "[V]", "[E]", "definition"))
        if in_head and number and not standing:
            bare.append(line)
    assert not [b for b in bare if not (name == "cobalt60" and "11.8" in b)]


@pytest.mark.parametrize(("name", "pdd"), PDD10_PERCENT.items())
def test_calibration_is_one_centigray_at_the_maximum_carried_to_100_mm(name: str, pdd: float) -> None:
    m = load_machine(name)
    assert m.calibration is not None
    assert m.calibration.dose_gy_per_mu == pytest.approx(0.01 * pdd / 100, rel=1e-12)
    assert (m.calibration.depth_mm, m.calibration.ssd_mm) == (100.0, m.sad_mm)


@pytest.mark.parametrize("name", LINACS)
def test_leaves(name: str) -> None:
    mlc = load_machine(name).mlc
    assert mlc is not None
    edges = np.asarray(mlc.leaf_edges_mm)
    widths = np.diff(edges)
    assert mlc.leaf_count == (80 if mlc.model == "Agility" else 60)
    np.testing.assert_array_equal(edges, -edges[::-1])
    if mlc.model == "HD120":  # source: Varian, 32 x 2.5 + 28 x 5 mm, 22 cm field
        assert (edges[0], edges[-1]) == (-110.0, 110.0)
        assert [int((widths == w).sum()) for w in (2.5, 5.0)] == [32, 28]
        assert set(widths[np.abs(edges[:-1] + widths / 2) < 40]) == {2.5}
    elif mlc.model == "Agility":  # source: Elekta, 160 leaves of 5 mm, 40 cm field
        assert (edges[0], edges[-1]) == (-200.0, 200.0)
        assert set(widths) == {5.0}
    else:  # source: Varian, 40 x 5 + 20 x 10 mm, 40 cm field
        assert (edges[0], edges[-1]) == (-200.0, 200.0)
        assert [int((widths == w).sum()) for w in (5.0, 10.0)] == [40, 20]
        assert set(widths[np.abs(edges[:-1] + widths / 2) < 100]) == {5.0}


def test_flattening_filter_free_profiles_fall_and_flattened_ones_have_horns() -> None:
    for name in LINACS:
        profile = load_machine(name).off_axis
        at_100 = np.interp(100.0, profile.radius_mm, profile.relative)
        assert at_100 < 0.9 if name.endswith("fff") else 1.0 < at_100 < 1.06
        assert (sum(profile.softening) > 0) != name.endswith("fff")


def test_harder_beams_have_harder_spectra() -> None:
    softest_first = ("generic_6fff", "generic_6x", "generic_10x", "generic_15x")
    mean = [load_machine(n).spectrum.mean_energy_mev for n in softest_first]
    assert mean == sorted(mean)


def test_field_limits_are_those_of_the_narrowest_device() -> None:
    assert load_machine("generic_6x").field_limit_y_mm == (-200.0, 200.0)
    assert load_machine("generic_6fff").field_limit_y_mm == (-110.0, 110.0)
    assert load_machine("generic_6fff").field_limit_x_mm == (-200.0, 200.0)
    assert load_machine("cobalt60").field_limit_x_mm == (-175.0, 175.0)
    assert point_source(max_field_mm=60.0).field_limit_y_mm == (-30.0, 30.0)


def test_wedges() -> None:
    m = load_machine("generic_6x")
    wanted = {(a, p) for a in (15.0, 30.0, 45.0, 60.0) for p in (True, False)}
    assert {(w.angle_deg, w.physical) for w in m.wedges} == wanted
    factors = [w.factor for w in m.wedges if w.physical]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] < 1.0
    assert {w.factor for w in m.wedges if not w.physical} == {1.0}
    with pytest.raises(InputError, match=r"factor of wedge 'w' is 1\.2"):
        Wedge(name="w", angle_deg=30.0, factor=1.2)
    turned = m.wedge("physical_30", orientation_deg=180.0)
    assert (turned.angle_deg, turned.orientation_deg, turned.physical) == (30.0, 180.0, True)
    with pytest.raises(InputError, match="did you mean 'physical_30'"):
        m.wedge("phisical_30")
    with pytest.raises(InputError, match=r"0 <= orientation_deg < 360"):
        Wedge(name="w", angle_deg=30.0, orientation_deg=-90.0)


def test_point_source_is_bare() -> None:
    m = point_source("co60", sad_mm=800.0)
    assert (m.sad_mm, m.spectrum.name) == (800.0, "co60")
    assert m.calibration is None
    assert m.jaws is None
    assert m.mlc is None
    assert (m.focal_spot.fwhm_x_mm, m.extra_focal.fraction, m.electrons.fraction) == (0.0, 0.0, 0.0)
    assert m.off_axis.relative == (1.0, 1.0)
    assert point_source(materials.spectrum("mohan6")).spectrum.name == "mohan6"
    assert load_machine("point_source").calibration is None


def test_a_users_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = _text("generic_6x").replace("generic_6x", "mine")
    path.write_text(text.replace("transmission = 0.004", "transmission = 0.006"))
    m = load_machine(path)
    assert m.name == "mine"
    assert m.jaws is not None
    assert m.jaws.transmission == 0.006
    assert load_machine(str(path)).name == "mine"


def test_unknown_name_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'generic_6fff'"):
        load_machine("generic_6ff")
    with pytest.raises(InputError, match="does not exist"):
        load_machine(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sad_mm = 1000.0", "sad_cm = 100.0", "unknown key 'sad_cm'; did you mean 'sad_mm'"),
        ("limit_mm = 200.0", "limits_mm = 200.0", r"\[jaws\]: unknown key 'limits_mm'; did you mean 'limit_mm'"),
        ("limit_mm = 200.0", "", r"\[jaws\]: limit_mm missing"),
        ("leaf_groups =", "leaf_edges_mm =", "unknown key 'leaf_edges_mm'"),
        ("[10, 10.0], [40, 5.0]", "[0, 10.0], [40, 5.0]", "each entry is"),
        (
            "endpoint_mev = 6.0",
            "endpoint_mv = 6.0",
            r"\[spectrum\]: unknown key 'endpoint_mv'; did you mean 'endpoint_mev'",
        ),
        ("endpoint_mev = 6.0", "", r"\[spectrum\]: endpoint_mev missing, nothing too much"),
        ("endpoint_mev = 6.0", "endpoint_mev = 6.0\nphotons = [1.0]", "nothing missing, photons too much"),
        ("endpoint_mev = 6.0", "endpoint_mev = 60.0", "endpoint_mev of spectrum 'fitted_6X' is 60.* <= 25 MeV"),
        ("tungsten_g_cm2 = 1.493", "tungsten_g_cm2 = -1.0", "tungsten_g_cm2 of spectrum .* is -1.0; .* g/cm2"),
        ("limit_mm = 200.0", 'limit_mm = 200.0\nalong = "x"', "along of the jaws is 'x'; allowed are 'xy' and 'y'"),
        ("limit_mm = 200.0", 'limit_mm = 200.0\nalong = "y"', "distance_x_mm of the jaws is 406.0 with along = 'y'"),
        ("distance_x_mm = 406.0", "", "distance_x_mm of the jaws is None with along = 'xy'"),
        ("distance_y_mm = 318.0", "distance_y_mm = 1000.0", "must be less than sad_mm 1000 mm"),
        ("leaf_end_radius_mm = 80.0", "leaf_end_radius_mm = -80.0", "0 <= leaf_end_radius_mm <= 500 mm"),
        (
            "leaf_end_radius_mm = 80.0",
            'leaf_end_radius_mm = 80.0\nleaf_position = "apex"',
            "leaf_position of MLC .* is 'apex'; allowed are",
        ),
        ("tongue_groove_mm = 0.5", "tongue_groove_mm = 5.0", "narrower than the narrowest leaf, 5 mm"),
        ("max_speed_mm_s = 25.0", "max_speed_mm_s = 0.0", r"max_speed_mm_s of MLC .* is 0.0; .* mm/s"),
        ("max_gantry_speed_deg_s = 6.0", "max_gantry_speed_deg_s = 0.0", "max_gantry_speed_deg_s .* is 0.0; .* deg/s"),
        ("max_gantry_acceleration_deg_s2 = 1.5", "max_gantry_acceleration_deg_s2 = -1.0", "is -1.0; .* deg/s2"),
        ("max_dose_rate_mu_min = 600.0", "max_dose_rate_mu_min = -1.0", "max_dose_rate_mu_min .* is -1.0; .* MU/min"),
        ("transmission = 0.004", "transmission = 4.0", "0 <= transmission <= 1"),
        ("transmission = 0.004", 'transmission = "low"', "a finite number is needed"),
        ("transmission = 0.004", "transmission = nan", "a finite number is needed"),
        ("physical = true", "physical = 1", "true or false is needed"),
        ("field_mm = [100.0, 100.0]", "field_mm = [100.0]", "numbers as tuple"),
        ("relative = [1.0, 1.02", "relative = [0.9, 1.02", "it is 1 on the axis"),
        ("relative = [1.0, 1.02", "relative = [1.02", "one value each"),
        ("[focal_spot]", "[focal_spots]", "did you mean 'focal_spot'"),
        ("sad_mm = 1000.0", "sad_mm = ", "not valid TOML"),
        ("sad_mm = 1000.0", "", r"wrong\.toml: sad_mm missing"),
        ("factor = 0.63", "", r"\[\[wedges\]\]: factor of wedge 'physical_30' is missing"),
        ('name = "physical_30"', 'name = "physical_15"', "two wedges of the name physical_15"),
        ("dose_gy_per_mu = 0.00663", "dose_gy_per_mu = 0.663", "0.05 Gy per MU; is it in cGy"),
        ("dose_gy_per_mu = 0.00663", "dose_gy_per_mu = 6.63e-5", "0.0005 <= dose_gy_per_mu"),
        ("ssd_mm = 1000.0", "ssd_mm = 500.0", "is 500; .* more than distance_mm of mlc, 509 mm"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = _text("generic_6x")
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises((CaseFileError, InputError), match=message):
        load_machine(path)


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ("focal_spot", ("fwhm_x_mm", "fwhm_y_mm")),
        ("extra_focal", ("fraction", "sigma_mm", "distance_mm")),
        ("electrons", ("fraction", "attenuation_per_mm", "sigma_mm")),
        ("off_axis", ("radius_mm", "relative")),
        ("mlc", ("transmission", "leaf_end_radius_mm", "dosimetric_leaf_gap_mm", "max_position_mm")),
    ],
)
def test_a_table_that_is_there_states_what_the_dose_depends_on(
    part: str, keys: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "wrong.toml"
    before, after = _text("generic_6x").split(f"[{part}]\n")
    for key in keys:
        left_out, count = re.subn(rf"^{key} = .*\n", "", after, count=1, flags=re.MULTILINE)
        assert count == 1
        path.write_text(f"{before}[{part}]\n{left_out}")
        with pytest.raises(CaseFileError, match=rf"\[{part}\]: {key} missing"):
            load_machine(path)


@pytest.mark.parametrize("name", [n for n in machine.names() if n != "point_source"])
def test_a_machine_with_a_head_has_a_calibration(name: str, tmp_path: Path) -> None:
    text = re.sub(r"\[calibration\]\n(\w.*\n)+", "", _text(name))
    assert "[calibration]" not in text
    path = tmp_path / "bare.toml"
    path.write_text(text)
    with pytest.raises(CaseFileError, match=r"\[calibration\] is missing; only a bare point source has none"):
        load_machine(path)


def test_a_machine_is_a_name_or_a_path() -> None:
    with pytest.raises(InputError, match="the machine is 5; give the path"):
        load_machine(5)  # type: ignore[arg-type]


def test_an_error_of_a_value_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(_text("generic_6x").replace("transmission = 0.004", "transmission = 4.0", 1))
    with pytest.raises(CaseFileError, match=r"wrong\.toml"):
        load_machine(path)


def test_a_spectrum_is_a_name_a_formula_or_bins(tmp_path: Path) -> None:
    text = _text("generic_6x")
    start, end = text.index("[spectrum]"), text.index("[focal_spot]")
    path = tmp_path / "mine.toml"

    def read(spectrum: str, *, table: bool = True) -> machine.Machine:
        path.write_text(text[:start] + spectrum + text[end:] if table else spectrum + text[:start] + text[end:])
        return load_machine(path)

    assert read('spectrum = "ali_tuned_6X"\n', table=False).spectrum.name == "ali_tuned_6X"
    bins = '[spectrum]\nname = "mine"\nsource = "fit"\nedges_mev = [0.1, 1.0, 6]\nphotons = [3, 1.0]\n\n'
    own = read(bins).spectrum
    assert (own.name, own.source, own.photons.tolist()) == ("mine", "fit", [3.0, 1.0])
    with pytest.raises(CaseFileError, match="did you mean 'ali_tuned_6X'"):
        read('spectrum = "ali_tuned_6Y"\n', table=False)
    with pytest.raises(CaseFileError, match="spectrum missing"):
        read("")
    with pytest.raises(CaseFileError, match="spectrum is 6"):
        read("spectrum = 6\n", table=False)
    with pytest.raises(CaseFileError, match="edges_mev must be finite and ascend"):
        read(bins.replace("[0.1, 1.0, 6]", "[0.1, 6, 1.0]"))
    with pytest.raises(CaseFileError, match="photons is -1 in the bin 1 to 6 MeV"):
        read(bins.replace("[3, 1.0]", "[3, -1.0]"))
    with pytest.raises(CaseFileError, match=r"\(n \+ 1,\) edges and \(n,\) bins"):
        read(bins.replace("[3, 1.0]", "[3]"))


def test_the_formula_of_a_linac_is_that_of_the_shipped_tables() -> None:
    # source: spectra.csv, tabulated from the same equation on 0.1 and 0.2 MeV bins: C2 = 5.5 and 6.8
    for endpoint, c2, name in ((6.0, 5.5, "ali_tuned_6X"), (10.2, 6.8, "ali_tuned_10X")):
        own = machine.linac_spectrum(
            "own", endpoint_mev=endpoint, tungsten_g_cm2=1.222**2, aluminium_g_cm2=c2**2, bins=200
        )
        assert own.mean_energy_mev == pytest.approx(materials.spectrum(name).mean_energy_mev, rel=2e-3)
        assert own.probabilities.sum() == pytest.approx(1.0, rel=1e-12)
    softer, harder = (
        machine.linac_spectrum("s", endpoint_mev=6.0, tungsten_g_cm2=1.5, aluminium_g_cm2=a).mean_energy_mev
        for a in (5.0, 40.0)
    )
    assert softer < harder


def test_dose_rates_are_those_of_the_class() -> None:
    # source: TrueBeam [M]
    rates = {name: load_machine(name).limits.max_dose_rate_mu_min for name in LINACS}
    assert rates["generic_6fff"] == 1400.0
    assert rates["generic_10fff"] == 2400.0
    assert {v for k, v in rates.items() if not k.endswith("fff")} == {600.0}


def test_limits_of_the_gantry_are_given_for_linacs_and_open_elsewhere() -> None:
    for name in LINACS:
        limits = load_machine(name).limits
        assert limits.max_gantry_acceleration_deg_s2 == 1.5
        assert limits.max_monitor_units_per_degree in (20.0, 60.0)
    assert Limits().max_gantry_acceleration_deg_s2 is None
    assert Limits().max_monitor_units_per_degree is None


def test_parts_check_their_ranges() -> None:
    with pytest.raises(InputError, match="distance_x_mm of the jaws is -1"):
        Jaws(distance_x_mm=-1.0, distance_y_mm=300.0, limit_mm=200.0, transmission=0.0)

"""Case files: what is read, and what each kind of mistake is told."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from rtsim.biology import histology_names
from rtsim.errors import CaseFileError, InputError, RtsimError
from rtsim.io.case import Arrangement, case_names, cases_folder, load_case, load_phantom
from rtsim.phantom.structure import Role
from rtsim.protocol import Priority, Sense, Standing, Technique
from rtsim.protocol.load import load_protocol

MINIMAL = """
[case]
name = "ball"
description = "a ball of bone in water"
sources = ["closed form"]

[grid]
lower_mm = [-30.0, -30.0, -30.0]
upper_mm = [30.0, 30.0, 30.0]
spacing_mm = [3.0, 3.0, 3.0]
background = "water"

[[structures]]
name = "ball"
role = "GTV"
material = "bone_cortical"
shape = { kind = "sphere", center_mm = [0.0, 0.0, 0.0], radius_mm = 12.0 }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_case_of_shapes_is_painted(tmp_path: Path) -> None:
    case = load_case(write(tmp_path, MINIMAL))
    ball = case.phantom["ball"]
    assert ball.role is Role.GTV
    assert ball.volume_cm3 == pytest.approx(4 / 3 * 3.14159265 * 1.2**3, rel=0.005)
    center = case.phantom.density_g_cm3[10, 10, 10]
    assert center == pytest.approx(1.92)  # source: ICRU 44 cortical bone
    assert case.phantom.density_g_cm3[0, 0, 0] == pytest.approx(1.0)
    assert case.phantom.materials[case.phantom.material_index[10, 10, 10]].name == "bone_cortical"
    assert case.prescription is None
    assert case.protocol is None


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    case = load_case(path)
    assert case.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert case.phantom.case_sha256 == case.sha256


def test_half_the_box_is_cut_away(tmp_path: Path) -> None:
    shape = """shape = { kind = "difference", rotated_deg = 90.0, rotated_about = "z", moved_mm = [0.0, 0.0, 3.0],
      base = { kind = "box", lower_mm = [-12.0, -6.0, -6.0], upper_mm = [12.0, 6.0, 6.0] },
      cut = { kind = "box", lower_mm = [0.0, -20.0, -20.0], upper_mm = [20.0, 20.0, 20.0] } }"""
    old = next(line for line in MINIMAL.splitlines() if line.startswith("shape"))
    joined = " ".join(part.strip() for part in shape.splitlines())
    ball = load_phantom(write(tmp_path, MINIMAL.replace(old, joined)))["ball"]
    assert ball.volume_cm3 == pytest.approx(1.2 * 1.2 * 1.2, rel=1e-6)
    assert ball.centroid_mm == pytest.approx((0.0, -6.0, 3.0))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[grid]", "[grids]", "did you mean 'grid'"),
        ("spacing_mm", "spacing", "did you mean 'spacing_mm'"),
        ("radius_mm = 12.0", "radius_mm = '12'", "radius_mm is '12'; it must be a finite number"),
        ("radius_mm = 12.0", "radius = 12.0", "did you mean 'radius_mm'"),
        ("radius_mm = 12.0", "radius_mm = -1.0", "a finite length > 0 mm is needed"),
        ('"sphere"', '"spere"', "did you mean 'sphere'"),
        ('"bone_cortical"', '"bone_corticl"', "did you mean 'bone_cortical'"),
        ('role = "GTV"', 'role = "GTW"', "did you mean 'GTV'"),
        ('name = "ball"\ndescription', "description", "the key 'name' is missing"),
        ('sources = ["closed form"]', 'sources = "closed form"', "a list of texts in quotes"),
        ("[grid]", '[spine]\nlevel = "T8"\n\n[grid]', "exactly one of [spine], [grid] and [ct]"),
        ("spacing_mm = [3.0, 3.0, 3.0]", "spacing_mm = [3.0, 3.0]", "a list of 3 numbers"),
        ("[case]", "[case", "is not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(CaseFileError) as error:
        load_case(write(tmp_path, MINIMAL.replace(old, new, 1)))
    assert told in str(error.value)
    assert "mine.toml" in str(error.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('level = "T13"', "unknown spine level 'T13'"),
        ('level = "T8"\nlesion = "litic"', "did you mean 'lytic'"),
        ('level = "T8"\nepidural = "2"', "Known: 0, 1a, 1b, 1c"),
        ('level = "T8"\nspacing_mm = [2.0, 2.0, 20.0]', "0.3 .. 5 mm"),
        ('level = "T8"\nptv_margin = 2.0', "did you mean 'ptv_margin_mm'"),
    ],
)
def test_mistakes_in_a_spine_case_are_named(tmp_path: Path, line: str, told: str) -> None:
    head = MINIMAL.split("[grid]")[0]
    with pytest.raises(CaseFileError) as error:
        load_case(write(tmp_path, f"{head}\n[spine]\n{line}\n"))
    assert told in str(error.value)


def test_unknown_case_and_missing_file() -> None:
    with pytest.raises(InputError, match="did you mean 'spine_t8_epidural'"):
        load_case("spine_t8_epidurl")
    with pytest.raises(CaseFileError, match="does not exist"):
        load_case("no/such/file.toml")


def test_goals_beams_and_expectations_are_read() -> None:
    case = load_case("tg119_c_shape")
    assert [(g.structure, g.metric, g.sense, g.value) for g in case.goals] == [
        ("PTV", "D95%", Sense.AT_LEAST, 50.0),
        ("PTV", "D10%", Sense.AT_MOST, 55.0),
        ("Core", "D10%", Sense.AT_MOST, 25.0),
    ]
    assert all(g.priority is Priority.GOAL and g.source.standing is Standing.LITERATURE for g in case.goals)
    assert case.beams.gantry_deg == tuple(40.0 * i for i in range(9))
    assert case.beams.technique is Technique.STEREOTACTIC
    assert {e.structure for e in case.expects} == {"PTV", "Core"}
    assert load_case("spine_l3_conventional").beams.arrangement is Arrangement.ANTERIOR_POSTERIOR


@pytest.mark.parametrize("name", case_names())
def test_every_bundled_case_reads_and_names_what_exists(name: str) -> None:
    case = load_case(name)
    assert case.name == name == Path(case.path).stem
    assert case.sources
    assert case.description
    if name.startswith("spine_"):
        assert case.histology in histology_names()
    if case.protocol is not None:
        assert case.prescription is not None
        protocol = load_protocol(case.protocol.name, cord_limits=case.protocol.cord_limits)
        assert protocol.goals_for(case.prescription)
    if case.prescription is None:
        assert case.expects, "a case without a prescription says what dose it expects"


def test_bundled_cases() -> None:
    expected = {
        "water_tank",
        "slab_bone",
        "slab_lung",
        "titanium_rod",
        "tg119_c_shape",
        "spine_t8_epidural",
        "spine_l2_body",
        "spine_t5_sclerotic",
        "spine_c6",
        "spine_t11_cord",
        "spine_l1_conus",
        "tg119_c_shape_harder",
        "spine_l3_conventional",
        "spine_t10_myeloma_conventional",
    }
    assert expected <= set(case_names())
    assert all((cases_folder() / f"{n}.toml").is_file() for n in expected)


def test_stereotactic_cases_are_of_every_grade_and_region() -> None:
    cases = [load_case(n) for n in case_names() if n.startswith("spine_")]
    stereotactic = [c for c in cases if c.beams.technique is Technique.STEREOTACTIC]
    specs = [tomllib.loads(Path(c.path).read_text(encoding="utf-8"))["spine"] for c in stereotactic]
    assert {s["epidural"] for s in specs} == {"0", "1a", "1b", "1c"}
    assert {s["level"][0] for s in specs} == {"C", "T", "L"}
    assert all(load_case("tg119_c_shape_harder").goals[k].metric == m for k, m in enumerate(("D95%", "D10%", "D10%")))
    easier, harder = (load_case(n).goals[2].value for n in ("tg119_c_shape", "tg119_c_shape_harder"))
    assert (easier, harder) == (25.0, 10.0)


def test_arrangement_and_angles_exclude_each_other(tmp_path: Path) -> None:
    text = MINIMAL + '\n[beams]\narrangement = "posterior"\ngantry_deg = [0.0]\n'
    with pytest.raises(RtsimError, match="give one"):
        load_case(write(tmp_path, text))

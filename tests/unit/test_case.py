"""Case files: what is read, and what each kind of mistake is told."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from rtsim.biology import histology_names
from rtsim.clinic.escc_grade import EsccGrade
from rtsim.clinic.findings import (
    Alignment,
    Collapse,
    Findings,
    LesionQuality,
    Pain,
    Posterolateral,
    Stability,
)
from rtsim.errors import CaseFileError, InputError, RtsimError
from rtsim.io import case_patient, case_spine
from rtsim.io.case import Arrangement, case_names, cases_folder, load_case, load_phantom
from rtsim.io.case_phantom import SpineRecipe
from rtsim.phantom.spine import Compartment, EpiduralGrade, LesionSite, SpineSpec
from rtsim.phantom.spine.hardware import Hardware, ImplantMaterial
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
        ('level = "T8"\nepidural = "4"', "Known: 0, 1a, 1b, 1c, 2, 3"),
        ('level = "L3"\nepidural = "1c"', "the cord, which ends at L1/L2"),
        ('level = "T8"\nsite = "pedicle"', "did you mean 'pedicle_left'"),
        ('level = "T8"\ncompartment = "extra_dural"', "did you mean 'extradural'"),
        ('level = "T8"\ncompartment = "intramedullary"', "set spare_cord = false"),
        ('level = "T8"\ncollapse_percent = 90.0', "0 <= collapse_percent <= 70"),
        ('level = "T8"\ncollapse_percent = "a third"', "it must be a finite number"),
        ('level = "T8"\nhardware = "screws"', "a table [hardware]"),
        ('level = "T8"\n[spine.hardware]\nscrew = ["T7"]', "did you mean 'screws'"),
        ('level = "T8"\n[spine.hardware]\nscrews = "T7"', "a list of texts in quotes"),
        ('level = "T8"\n[spine.hardware]\nscrews = ["T7", "T13"]', "unknown spine level 'T13'"),
        ('level = "T8"\n[spine.hardware]\nmaterial = "titan"\ncage = true', "did you mean 'titanium'"),
        ('level = "T8"\n[spine.hardware]\ncage = 1', "true or false"),
        ('level = "T8"\n[spine.hardware]\nmaterial = "titanium"', "without screws, cage or cement"),
        ('level = "T8"\nspacing_mm = [2.0, 2.0, 20.0]', "0.3 .. 5 mm"),
        ('level = "T8"\nptv_margin = 2.0', "did you mean 'ptv_margin_mm'"),
    ],
)
def test_mistakes_in_a_spine_case_are_named(tmp_path: Path, line: str, told: str) -> None:
    head = MINIMAL.split("[grid]")[0]
    with pytest.raises(CaseFileError) as error:
        load_case(write(tmp_path, f"{head}\n[spine]\n{line}\n"))
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[patients]\npain = "none"', "did you mean 'patient'"),
        ('[patient]\npains = "none"', "did you mean 'pain'"),
        ('[patient]\npain = "mechanic"', "did you mean 'mechanical'"),
        ("[patient]\npain = true", "text in quotes"),
        ('[patient]\nfit_for_surgery = "yes"', "true or false"),
        ("[patient]\nsurvival_months = -2", "0 <= survival_months"),
        ('[patient]\nsurvival_months = "long"', "a finite number"),
        ('[patient]\ncollapse = "half"', "more than 50 %"),
        ('[patient]\nstability = "potentialy unstable"', "did you mean 'potentially unstable'"),
        ('[patient]\nescc = "4"', "0, 1a, 1b, 1c, 2, 3"),
        ("[previous]\ndose_gy = 30.0", "the key 'fractions' is missing"),
        ("[previous]\nfractions = 10", "the key 'dose_gy' is missing"),
        ("[previous]\ndose_gy = 30.0\nfractions = 10.5", "a whole number"),
        ("[previous]\ndose_gy = -30.0\nfractions = 10", "it must be > 0 Gy"),
        ("[previous]\ndose_gy = 30.0\nfractions = 0", "fractions of the previous course is 0"),
        ("[previous]\ndose_gy = 30.0\nfractions = 10\nmonths_ago = -1", "from its end to today"),
        ("[previous]\ndose_gy = 30.0\nfractions = 10\nmonth_ago = 9", "did you mean 'months_ago'"),
        ("[previous]\ndose_gy = 30.0\nfractions = 10\ncord_percent = 300", "0 to 150 %"),
        ("[patient]\nprevious_radiotherapy = false\n[previous]\ndose_gy = 8\nfractions = 1", "leave one of them out"),
    ],
)
def test_mistakes_about_the_patient_are_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CaseFileError) as error:
        load_case(write(tmp_path, f"{MINIMAL}\n{text}\n"))
    assert told in str(error.value)
    assert "mine.toml" in str(error.value)


def test_what_is_known_of_the_patient_is_read(tmp_path: Path) -> None:
    text = """
[patient]
pain = "mechanical"
alignment = "deformity"
fit_for_surgery = false
survival_months = 9
myelopathy = true
paralysis_hours = 12.0
lesion = "blastic"
collapse = "less than 50 %"
posterolateral = "bilateral"
escc = "2"
stability = "potentially unstable"
compartment = "extradural"

[previous]
dose_gy = 30.0
fractions = 10
months_ago = 8
cord_percent = 95.0
name = "palliative course"
"""
    case = load_case(write(tmp_path, MINIMAL + text))
    assert case.findings == Findings(
        pain=Pain.MECHANICAL,
        alignment=Alignment.DEFORMITY,
        fit_for_surgery=False,
        survival_months=9.0,
        myelopathy=True,
        paralysis_hours=12.0,
        previous_radiotherapy=True,
        lesion=LesionQuality.BLASTIC,
        collapse=Collapse.LESS_THAN_HALF,
        posterolateral=Posterolateral.BILATERAL,
        escc=EsccGrade.ESCC_2,
        stability=Stability.POTENTIALLY_UNSTABLE,
        compartment=Compartment.EXTRADURAL,
    )
    given = case.previous
    assert given is not None
    assert (given.dose_gy, given.fractions, given.months_ago) == (30.0, 10, 8.0)
    assert (given.cord_percent, given.name) == (95.0, "palliative course")


def test_what_is_not_said_of_the_patient_is_not_given(tmp_path: Path) -> None:
    case = load_case(write(tmp_path, MINIMAL))
    assert case.findings == Findings()
    assert case.previous is None
    said = load_case(write(tmp_path, MINIMAL + "\n[patient]\nmyelopathy = false\n"))
    assert said.findings == Findings(myelopathy=False)
    irradiated = load_case(write(tmp_path, MINIMAL + "\n[previous]\ndose_gy = 8\nfractions = 1\n"))
    assert irradiated.findings == Findings(previous_radiotherapy=True)


def test_every_field_of_the_spine_and_of_the_patient_can_be_said_in_a_case() -> None:
    """A new field of SpineSpec, Hardware or Findings must find its key in the reader of cases."""
    assert set(case_spine._SPINE_KEYS) == {f.name for f in fields(SpineSpec)}
    assert set(case_spine._HARDWARE_KEYS) == {f.name for f in fields(Hardware)}
    assert set(case_patient._PATIENT_KEYS) == {f.name for f in fields(Findings)}


def test_a_stabilized_spine_is_read(tmp_path: Path) -> None:
    head = MINIMAL.split("[grid]")[0]
    text = """
[spine]
level = "T8"
site = "pedicle_left"
epidural = "2"

[spine.hardware]
material = "carbon_peek"
screws = ["T9", "T7"]
cage = true
artefact = true
"""
    recipe = load_case(write(tmp_path, head + text)).recipe
    assert isinstance(recipe, SpineRecipe)
    assert recipe.spec == SpineSpec(
        level="T8",
        site=LesionSite.PEDICLE_LEFT,
        epidural=EpiduralGrade.ESCC_2,
        hardware=Hardware(material=ImplantMaterial.CARBON_PEEK, screws=("T7", "T9"), cage=True, artefact=True),
    )


def test_a_tumor_within_the_dura_is_read(tmp_path: Path) -> None:
    head = MINIMAL.split("[grid]")[0]
    text = '[spine]\nlevel = "C5"\ncompartment = "intradural_extramedullary"\nsite = "pedicle_left"\n'
    text += "dumbbell = true\ntumor_length_mm = 25.0\nspare_cord = false\n"
    recipe = load_case(write(tmp_path, head + text)).recipe
    assert isinstance(recipe, SpineRecipe)
    spec = recipe.spec
    assert (spec.compartment.value, spec.dumbbell, spec.tumor_length_mm) == ("intradural_extramedullary", True, 25.0)
    assert spec.hardware is None


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
    assert {s["level"][0] for s in specs} == {"C", "T", "L", "S"}
    assert all(load_case("tg119_c_shape_harder").goals[k].metric == m for k, m in enumerate(("D95%", "D10%", "D10%")))
    easier, harder = (load_case(n).goals[2].value for n in ("tg119_c_shape", "tg119_c_shape_harder"))
    assert (easier, harder) == (25.0, 10.0)


def test_arrangement_and_angles_exclude_each_other(tmp_path: Path) -> None:
    text = MINIMAL + '\n[beams]\narrangement = "posterior"\ngantry_deg = [0.0]\n'
    with pytest.raises(RtsimError, match="give one"):
        load_case(write(tmp_path, text))

"""Implants of a stabilized spine: where they lie, what the CT shows of them, and what the dose engines see."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rtsim import materials
from rtsim.beams.model import Beam
from rtsim.dose import CollapsedCone, Engine, MonteCarlo, PencilBeam, forward
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.io.dicom_read import read_dicom
from rtsim.io.dicom_write import write_dicom
from rtsim.machine import point_source
from rtsim.phantom.phantom import DensityOverride, Phantom
from rtsim.phantom.spine import SpineSpec, spine
from rtsim.phantom.spine.anatomy import LEVELS
from rtsim.phantom.spine.artefact import ct_number, streaks
from rtsim.phantom.spine.column import Column
from rtsim.phantom.spine.hardware import Hardware, ImplantMaterial
from rtsim.phantom.spine.hardware_phantom import ARTEFACT_STRUCTURE, artefact_override, instrumented
from rtsim.phantom.spine.hardware_shapes import Screw, implant_shapes, screw
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.phantom.structure import Role, Structure
from rtsim.typing import Float32Array, FloatArray
from rtsim.view.implants import legend_name
from rtsim.view.scene import Scene
from rtsim.view.style import styles_for

PLAIN = SpineSpec(level="T8", spacing_mm=(3.0, 3.0, 3.0), half_length_mm=50.0)
TITANIUM = Hardware(screws=("T9", "T7"), artefact=True)
CARBON = Hardware(material=ImplantMaterial.CARBON_PEEK, screws=("T7", "T9"), artefact=True)


@cache
def built(hardware: Hardware | None) -> Phantom:
    if hardware is None:
        return spine(PLAIN)
    vertebrae = [Vertebra.of(p) for p in Column.around("T8").placements if p.level.name in ("T7", "T8", "T9")]
    return instrumented(built(None), hardware, vertebrae, "T8", PLAIN.seed)


def on(phantom: Phantom, name: str) -> FloatArray:
    return phantom[name].coverage_on(phantom.grid).astype(np.float64)


def implants(phantom: Phantom) -> FloatArray:
    parts = [s.coverage_on(phantom.grid).astype(np.float64) for s in phantom.structures.with_role(Role.IMPLANT)]
    return np.asarray(np.sum(parts, axis=0))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "at least one"),
        ({"screws": ("T7", "T7")}, "twice"),
        ({"screws": ("T99",)}, "T9"),
        ({"cage": True, "cement": True}, "replaces the body"),
        ({"cement": True, "artefact_overridden": True}, "no streaks"),
    ],
)
def test_hardware_that_makes_no_sense_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Hardware(**given)  # type: ignore[arg-type]


def test_screws_are_sorted_from_head_to_foot() -> None:
    assert Hardware(screws=("l1", "T11")).screws == ("T11", "L1")


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_screw_runs_through_the_pedicle_into_the_body_and_never_into_the_canal(name: str, side: float) -> None:
    column = Column.around(name)
    placed = column[name]
    vertebra = Vertebra.of(placed)
    s = screw(vertebra, side)
    # sizes in use: 3.5 mm in the neck, 4.5-7.5 mm and 35-50 mm below
    if name[0] == "C":
        assert s.diameter_mm == 3.5
        assert 18.0 <= s.length_mm <= 30.0
    else:
        assert 4.5 <= s.diameter_mm <= 7.5
        assert 35.0 <= s.length_mm <= 50.0
    ends = np.array((s.entry_mm, s.tip_mm))
    along = ends[0] + np.linspace(0.0, 1.0, 200)[:, None] * (ends[1] - ends[0])
    assert vertebra.whole.contains(along[1:]).all()
    assert float(vertebra.body.distance_mm(ends[1])) < -2.0
    assert (vertebra.pedicle_left if side > 0 else vertebra.pedicle_right).contains(along).any()
    # converging: the tip lies nearer to the middle than the entry; each side keeps to itself
    assert s.diameter_mm / 2 < side * s.tip_mm[0] < side * s.entry_mm[0]
    rng = np.random.default_rng(1)
    points = rng.uniform(*s.shape.bounds_mm(), size=(20_000, 3))
    points = points[s.shape.contains(points)]
    assert float(column.canal().distance_mm(points).min()) > 0.2
    # the head lies behind the bone that the shaft enters, beside the canal and not in front of its middle
    assert float(vertebra.whole.distance_mm(np.array(s.head_mm))) > 0.0
    assert s.head_mm[1] > placed.canal_mm[1]


@pytest.mark.parametrize("names", [("C4", "C6"), ("T7", "T9"), ("T6", "T7", "T9", "T10"), ("T11", "L1"), ("L4", "S1")])
def test_rods_join_the_heads_and_bridge_the_lesion_behind_the_canal(names: tuple[str, ...]) -> None:
    target = {"C": "C5", "L": "L5"}.get(names[0][0], "T8" if names[0] != "T11" else "T12")
    column = Column.around(target)
    found = implant_shapes(Hardware(screws=names), [Vertebra.of(p) for p in column.placements], target)
    assert len(found.rods) == 2
    for rod, side in zip(found.rods, (1.0, -1.0), strict=True):
        heads = [np.array(s.head_mm) for s in found.screws if side * s.head_mm[0] > 0]
        assert len(heads) == len(names)
        assert rod.contains(np.array(heads)).all()
        rng = np.random.default_rng(1)
        points = rng.uniform(*rod.bounds_mm(), size=(40_000, 3))
        points = points[rod.contains(points)]
        assert float(column.canal().distance_mm(points).min()) > 2.0
        height = points[:, 2]
        assert height.min() < min(h[2] for h in heads)
        assert height.max() > max(h[2] for h in heads)


def test_cage_stands_between_the_neighbors_and_cement_stays_in_the_body() -> None:
    column = Column.around("L2")
    vertebrae = [Vertebra.of(p) for p in column.placements]
    target = next(v for v in vertebrae if v.placement.level.name == "L2")
    row = target.placement.level
    cage = implant_shapes(Hardware(screws=("L1", "L3"), cage=True), vertebrae, "L2").cage
    assert cage is not None
    axis = np.array(
        [target.placement.at(0.0, -0.04 * row.endplate_depth_mm, float(w)) for w in np.arange(-40, 40, 0.5)]
    )
    assert not cage.contains(axis).any()  # hollow
    low, high = cage.bounds_mm()
    assert high[2] - low[2] > row.height_mm + row.disc_mm
    rng = np.random.default_rng(1)
    points = rng.uniform(low, high, (20_000, 3))
    assert float(column.canal().distance_mm(points[cage.contains(points)]).min()) > 1.5
    cement = implant_shapes(Hardware(cement=True), vertebrae, "L2").cement
    assert cement is not None
    points = rng.uniform(*cement.bounds_mm(), size=(20_000, 3))
    inside = cement.contains(points)
    assert float(target.body.distance_mm(points[inside]).max()) < -1.5
    # a vertebroplasty leaves 2-8 ml [M]
    volume = inside.mean() * float(np.prod(np.subtract(cement.bounds_mm()[1], cement.bounds_mm()[0]))) / 1000.0
    assert 2.0 < volume < 8.0


def test_implants_without_room_are_refused() -> None:
    vertebrae = [Vertebra.of(p) for p in Column.around("T8").placements if p.level.name in ("T7", "T8", "T9")]
    with pytest.raises(InputError, match="the CT holds T7 to T9"):
        implant_shapes(Hardware(screws=("T3",)), vertebrae, "T8")
    with pytest.raises(InputError, match="a cage replaces"):
        implant_shapes(Hardware(screws=("T8",), cage=True), vertebrae, "T8")


def test_structures_density_and_material_are_those_of_the_implants() -> None:
    hardware = replace(TITANIUM, artefact=False)
    before, after = built(None), built(hardware)
    c = implants(after)
    assert set(after.structures) - set(before.structures) == {"screws", "rods"}
    assert float(c.max()) <= 1.0 + 1e-5  # they share no space
    assert after.overrides == tuple(
        DensityOverride(structure=n, density_g_cm3=4.43, material=materials.get("ti6al4v")) for n in ("rods", "screws")
    )
    expected = before.density_g_cm3 * (1.0 - c) + 4.43 * c
    alone = (on(after, "screws") == 0) | (on(after, "rods") == 0)  # not where a rod meets the head of a screw
    assert after.density_g_cm3[alone] == pytest.approx(expected[alone], rel=1e-4)
    solid = on(after, "screws") >= 0.5
    assert {after.materials[i].name for i in np.unique(after.material_index[solid])} == {"ti6al4v"}
    assert np.array_equal(after.ct.hu[c == 0], before.ct.hu[c == 0])
    # the CT is cut off where a 12-bit scanner is, and the report says so
    assert float(after.ct.hu.max()) == 3071.0
    assert any("overridden: 4.43 g/cm3, ti6al4v" in n for n in after.notes)
    assert any("ends at 3071 HU" in n for n in after.notes)


def test_ct_numbers_of_implants() -> None:
    # titanium stands beyond 3071; carbon-PEEK at 200-350 HU for 1.40-1.45 g/cm3 [M], in proportion more at 1.56
    assert ct_number(materials.get("ti6al4v")) > 3071.0
    carbon = materials.get("cfr_peek")
    assert 200.0 < ct_number(carbon.with_density(1.40)) < ct_number(carbon.with_density(1.45)) < 350.0
    assert ct_number(carbon) == pytest.approx(375.0, abs=10.0)
    assert ct_number(materials.get("water")) == pytest.approx(0.0, abs=1e-9)
    assert ct_number(materials.get("muscle")) == pytest.approx(45.0, abs=10.0)


def test_titanium_makes_streaks_and_carbon_hardly_any() -> None:
    plain, titanium, carbon = built(None), built(TITANIUM), built(CARBON)
    soft = (np.abs(plain.ct.hu) < 150.0) & (implants(titanium) == 0) & plain.external_mask()
    slices = on(titanium, "screws").any(axis=(1, 2))
    spread = {}
    for name, phantom in (("titanium", titanium), ("carbon", carbon)):
        change = (phantom.ct.hu - plain.ct.hu)[slices][soft[slices]]
        spread[name] = float(np.percentile(np.abs(change), 99))
    # sheep with titanium and with carbon screws, 120 kV: streaks of -848 and -11 HU (DOI 10.1186/s12880-021-00554-y)
    assert spread["titanium"] > 100.0
    assert spread["carbon"] < 12.0
    canal = on(plain, "spinal_canal") > 0.9
    canal &= slices[:, None, None]
    assert np.abs(titanium.ct.hu - plain.ct.hu)[canal].mean() > 20.0
    # Kraetzig 2021 (DOI 10.1007/s10143-020-01384-2): 33 HU in the canal between carbon screws, -31 between titanium
    assert np.abs(carbon.ct.hu - plain.ct.hu)[canal].mean() < 5.0
    assert not (titanium.ct.hu != plain.ct.hu)[
        ~on(titanium, "screws").any(axis=(1, 2)) & ~on(titanium, "rods").any(axis=(1, 2))
    ].any()


def two_rods(material: str) -> tuple[Float32Array, Grid]:
    """HU of the streaks of two rods of 6 mm, 40 mm apart, in a disc of water of 250 mm."""
    grid = Grid((1, 140, 140), (2.0, 2.0, 2.0), (-139.0, -139.0, 0.0))
    x, y = np.meshgrid(grid.x_mm, grid.y_mm)
    hu = np.where(np.hypot(x, y) < 125.0, 0.0, -1000.0).astype(np.float32)[None]
    rods = (np.hypot(np.abs(x) - 20.0, y) < 3.0).astype(np.float32)[None]
    return streaks(hu, grid, [(materials.get(material), rods)], seed=1), grid


def test_the_line_through_two_metal_rods_is_dark() -> None:
    # De Man 1999 (DOI 10.1109/23.775600): beam hardening darkens the line that joins two metals
    found, grid = two_rods("titanium")
    x, y = np.meshgrid(grid.x_mm, grid.y_mm)
    between = (np.abs(x) < 10.0) & (np.abs(y) < 3.0)
    beside = (np.abs(x) < 10.0) & (np.abs(np.abs(y) - 20.0) < 4.0)
    assert found[0][between].mean() < found[0][beside].mean() - 20.0
    assert np.abs(two_rods("cfr_peek")[0][0][between]).max() < 5.0
    nothing = streaks(np.zeros(grid.shape, np.float32), grid, [(materials.get("titanium"), found * 0)], seed=1)
    assert not nothing.any()


def test_streaks_give_tissue_wrong_densities_until_they_are_overridden() -> None:
    plain, wrong = built(None), built(TITANIUM)
    right = built(replace(TITANIUM, artefact_overridden=True))
    assert any("override metal_artefact" in n for n in wrong.notes)
    assert not any("override metal_artefact" in n for n in right.notes)
    region = on(wrong, ARTEFACT_STRUCTURE) > 0.9999

    def error(phantom: Phantom) -> float:
        return float(np.abs(phantom.density_g_cm3 - plain.density_g_cm3)[region].mean())

    assert error(wrong) > 0.05
    assert error(right) < 0.7 * error(wrong)
    # the same by hand
    by_hand = wrong.overriding(artefact_override())
    assert by_hand.density_g_cm3[region] == pytest.approx(right.density_g_cm3[region], abs=1e-5)


@pytest.mark.parametrize(
    "engine", [CollapsedCone(), PencilBeam(), MonteCarlo(histories=20_000)], ids=lambda e: type(e).__name__
)
def test_every_engine_sees_the_override_and_not_the_ct(engine: Engine) -> None:
    shape, spacing = (12, 30, 12), 4.0
    grid = Grid(shape, (spacing,) * 3, (-22.0, 2.0, -22.0))
    block = np.zeros(shape, dtype=np.float32)
    block[4:8, 6:9, 4:8] = 1.0
    metal = materials.get("ti6al4v")
    ct = Phantom.from_arrays(np.where(block > 0, 3071.0, 0.0), (spacing,) * 3, grid.origin_mm, {"screws": block})
    told = ct.overriding(DensityOverride(structure="screws", density_g_cm3=4.43, material=metal))
    true = Phantom.from_density(
        np.where(block > 0, 4.43, ct.density_g_cm3),
        (block > 0).astype(np.uint8),
        (ct.materials[int(ct.material_index[0, 0, 0])], metal),
        grid,
    )
    beam = Beam.open_field(point_source(materials.spectrum("mohan6")), (30.0, 30.0), monitor_units=1.0)
    beam = replace(beam, isocenter_mm=(0.0, 30.0, 0.0))
    doses = [forward(p, beam, engine=engine).values_gy for p in (told, true, ct)]
    assert doses[0] == pytest.approx(doses[1], rel=1e-5, abs=1e-7 * float(doses[1].max()))
    # behind the block: titanium takes more than the 2.6 g/cm3 that the saturated CT gives it
    behind = (slice(4, 8), slice(12, 16), slice(4, 8))
    assert doses[0][behind].mean() < 0.97 * doses[2][behind].mean()


def test_material_of_implants_goes_through_dicom(tmp_path) -> None:  # type: ignore[no-untyped-def]
    grid = Grid((8, 12, 12), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    masks = {}
    for name, first in (("screws", 2), ("cement", 7)):
        masks[name] = np.zeros(grid.shape, dtype=np.float32)
        masks[name][2:6, 2:10, first : first + 3] = 1.0
    phantom = Phantom.from_arrays(
        np.zeros(grid.shape), grid.spacing_mm, grid.origin_mm, masks, roles=dict.fromkeys(masks, Role.IMPLANT)
    ).overriding(
        DensityOverride(structure="cement", density_g_cm3=1.5, material=materials.get("cement_30baso4")),
        DensityOverride(structure="screws", density_g_cm3=4.43, material=materials.get("ti6al4v")),
    )
    write_dicom(tmp_path / "out", phantom)
    back = read_dicom(tmp_path / "out")
    assert back.overrides == phantom.overrides
    assert [back[n].role for n in ("screws", "cement")] == [Role.IMPLANT] * 2
    middle = (4, 6, 3)
    assert back.density_g_cm3[middle] == pytest.approx(4.43, rel=1e-5)
    assert back.materials[int(back.material_index[middle])].name == "ti6al4v"
    assert any("screws overridden: 4.43 g/cm3, ti6al4v" in n for n in back.notes)


def test_an_electron_density_alone_becomes_the_tissue_that_has_it() -> None:
    from pydicom.dataset import Dataset

    from rtsim.io.dicom_matter import read_matter

    item, observation = Dataset(), Dataset()
    item.ROIPhysicalProperty, item.ROIPhysicalPropertyValue = "REL_ELEC_DENSITY", "1.2"
    observation.ROIPhysicalPropertiesSequence = [item]
    found = read_matter("bolus", observation)
    assert found is not None
    assert found.material is not None
    assert float(found.material.relative_electron_density(found.density_g_cm3)) == pytest.approx(1.2, rel=1e-6)
    assert read_matter("bolus", Dataset()) is None


def test_pictures_show_implants_and_name_their_material() -> None:
    phantom = built(CARBON)
    assert legend_name(phantom, "screws") == "screws, carbon-PEEK"
    assert legend_name(phantom, "PTV") == "PTV"
    assert legend_name(built(TITANIUM), "rods") == "rods, titanium"
    styles = styles_for(tuple(phantom.structures.values()), on_dark=True)
    assert styles["screws"].fill
    assert not styles["spinal_cord"].fill
    shown = [s.name for s in Scene(phantom).default_structures()]
    assert {"screws", "rods", "PTV", "spinal_cord"} <= set(shown)


def test_a_case_with_hardware_is_built_with_it() -> None:
    phantom = spine(replace(PLAIN, hardware=Hardware(cement=True)))
    assert isinstance(phantom["cement"], Structure)
    assert phantom["cement"].role is Role.IMPLANT
    assert 1.5 < phantom["cement"].volume_cm3 < 6.0
    assert isinstance(screw(Vertebra.of(Column.around("T8")["T7"]), 1.0), Screw)

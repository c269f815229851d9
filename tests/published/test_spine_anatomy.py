"""The generated spine against the tables it is built from."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.errors import InputError
from rtsim.io.case import load_phantom
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import EpiduralGrade, LesionKind, LesionSite, SpineSpec, level, spine
from rtsim.phantom.spine.column import Column
from rtsim.phantom.spine.lesion import Lesion
from rtsim.phantom.spine.lesion_canal import rise_mm
from rtsim.phantom.spine.vertebra import Vertebra
from rtsim.typing import FloatArray

COARSE = (3.0, 3.0, 3.0)


def on(phantom: Phantom, name: str) -> FloatArray:
    return phantom[name].coverage_on(phantom.grid).astype(np.float64)


def extent(inside: np.ndarray, step_mm: float) -> float:
    return float(np.count_nonzero(inside)) * step_mm


# source: Panjabi 1991, 1992 (rounded, from memory):
# level, endplate width x depth, height, canal AP x width, pedicle width; standard deviations there are 5-10 %
PANJABI = [
    ("C6", 18.5, 16.5, 10.9, 16.0, 25.5, 6.0),
    ("T4", 24.5, 23.3, 16.2, 16.0, 17.0, 4.7),
    ("T8", 29.5, 28.0, 18.7, 16.0, 17.5, 6.0),
    ("T12", 39.0, 33.0, 22.7, 18.0, 22.0, 8.5),
    ("L2", 42.6, 34.6, 24.3, 18.2, 23.8, 8.3),
    ("L5", 47.3, 34.7, 22.9, 19.7, 27.1, 18.0),
]


@pytest.mark.parametrize("row", PANJABI, ids=lambda r: r[0])
def test_shapes_have_the_dimensions_of_the_table(row: tuple[str, float, float, float, float, float, float]) -> None:
    """Measured along rays through the signed distances, in the level's own axes."""
    name, width, depth, height, canal_ap, canal_width, pedicle = row
    column = Column.around(name)
    placed = column[name]
    vertebra = Vertebra.of(placed)
    ticks = np.arange(-60.0, 90.0, 0.05)

    def along(axis: int, base: tuple[float, float, float]) -> FloatArray:
        local = np.tile(np.array(base), (len(ticks), 1))
        local[:, axis] += ticks
        return np.array([placed.at(*p) for p in local])

    near_endplate = 0.5 * height - 0.9
    assert extent(vertebra.body.contains(along(0, (0.0, 0.0, near_endplate))), 0.05) == pytest.approx(width, abs=1.3)
    assert extent(vertebra.body.contains(along(1, (0.0, 0.0, near_endplate))), 0.05) == pytest.approx(depth, abs=1.6)
    assert extent(vertebra.body.contains(along(2, (0.0, 0.0, 0.0))), 0.05) == pytest.approx(height, abs=0.7)
    v = placed.canal_v_mm
    canal = column.canal()
    assert extent(canal.contains(along(1, (0.0, v, 0.0))), 0.05) == pytest.approx(canal_ap, rel=0.05)
    assert extent(canal.contains(along(0, (0.0, v, 0.0))), 0.05) == pytest.approx(canal_width, rel=0.05)
    w = {"C": 0.05, "T": 0.22, "L": 0.18}[name[0]] * height
    across = vertebra.pedicle_left.contains(along(0, (0.0, v - 1.0, w)))
    assert extent(across, 0.05) == pytest.approx(pedicle, abs=0.9)


@pytest.mark.parametrize(("name", "width", "ap"), [("C5", 13.3, 7.4), ("T8", 8.3, 6.3)])
def test_cord_has_the_size_of_frostell(name: str, width: float, ap: float) -> None:
    # source: Frostell 2016, DOI 10.3389/fneur.2016.00238, transverse x AP; standard deviations there are 1.6-2.2 mm
    column = Column.around(name)
    x, y, z = column[name].canal_mm
    ticks = np.arange(-15.0, 15.0, 0.02)
    lateral = np.stack((x + ticks, np.full_like(ticks, y), np.full_like(ticks, z)), axis=-1)
    sagittal = np.stack((np.full_like(ticks, x), y + ticks, np.full_like(ticks, z)), axis=-1)
    assert extent(column.cord().contains(lateral), 0.02) == pytest.approx(width, abs=0.2)
    assert extent(column.cord().contains(sagittal), 0.02) == pytest.approx(ap, abs=0.3)


def test_cord_is_thickest_in_its_lumbar_enlargement_and_ends_at_l1_l2() -> None:
    column = Column.around("T12")
    lowest = column.cord().bounds_mm()[0][2]
    assert column.z_mm("L2") < lowest < column.z_mm("L1")
    areas = {n: level(n).cord_width_mm * level(n).cord_ap_mm for n in ("T6", "T8", "T10", "T12", "L1")}
    assert areas["T12"] > areas["T10"] > areas["T8"]
    assert areas["T12"] > areas["L1"]


def test_healthy_vertebrae_have_the_density_of_vertebrae() -> None:
    # source: White, Woodard & Hammond 1987, whole vertebra D6-L3 with cartilage 1.33 g/cm3 (from memory); people differ
    # by some 5 %
    phantom = load_phantom("spine_t8_epidural")
    inside = on(phantom, "vertebra_T7") > 0.5
    assert float(phantom.density_g_cm3[inside].mean()) == pytest.approx(1.33, rel=0.05)


def test_kinds_of_lesion_have_their_hounsfield_units() -> None:
    for kind, low, high in (
        (LesionKind.LYTIC, 30.0, 80.0),
        (LesionKind.MIXED, 150.0, 400.0),
        # source: AJR 2016 207:362, sclerotic metastases 654 +- 176 HU
        (LesionKind.SCLEROTIC, 654.0 - 176.0, 654.0 + 176.0),
    ):
        phantom = spine(SpineSpec(level="T9", lesion=kind, half_length_mm=40.0, spacing_mm=(2.5, 2.5, 2.5)))
        inside = on(phantom, "GTV") > 0.999
        assert low < float(np.mean(phantom.ct.hu[inside])) < high


@pytest.mark.parametrize("site", [LesionSite.WHOLE_BODY, LesionSite.BODY_LEFT, LesionSite.BODY_RIGHT])
@pytest.mark.parametrize("name", ["C5", "T4", "T8", "L1"])
def test_escc_is_the_grade_that_was_asked_for(name: str, site: LesionSite) -> None:
    """Bilsky 2010: 1a leaves the sac, 1b deforms the sac and leaves the cord, 1c touches the cord without entering."""
    column = Column.around(name)
    vertebra = Vertebra.of(column[name])
    placed, tilt = column[name], np.radians(level(name).tilt_deg)
    for grade in (EpiduralGrade.ESCC_0, EpiduralGrade.ESCC_1A, EpiduralGrade.ESCC_1B, EpiduralGrade.ESCC_1C):
        spec = SpineSpec(level=name, site=site, epidural=grade)
        lesion = Lesion.of(spec, vertebra, column)
        if grade is EpiduralGrade.ESCC_0:
            assert lesion.epidural is None
            continue
        assert lesion.epidural is not None
        # the plane in which the tumor is deepest; it leans with the level: z follows y
        x, y, z = placed.at(0.0, placed.canal_v_mm, rise_mm(spec, placed))
        grid = np.stack(np.meshgrid(np.arange(-14, 14, 0.1) + x, np.arange(-11, 11, 0.1) + y, indexing="ij"), axis=-1)
        plane = np.concatenate((grid, (z - np.tan(tilt) * (grid[..., 1:] - y))), axis=-1)
        in_sac, to_cord = column.sac().contains(plane), column.cord().distance_mm(plane)
        tumor = lesion.epidural.contains(plane)
        gap = float(to_cord[tumor].min())
        assert tumor.any()
        if grade is EpiduralGrade.ESCC_1A:
            assert not (tumor & in_sac).any()
        elif grade is EpiduralGrade.ESCC_1B:
            assert (tumor & in_sac).any()
            assert gap > 0.5
        else:
            assert (tumor & in_sac).any()
            assert gap == pytest.approx(0.0, abs=0.25)


def test_grade_1c_below_the_conus_is_refused() -> None:
    with pytest.raises(InputError, match="ends at L1/L2"):
        spine(SpineSpec(level="L3", epidural=EpiduralGrade.ESCC_1C))


def test_left_is_left_and_the_target_vertebra_is_at_the_origin() -> None:
    left = spine(SpineSpec(level="T8", site=LesionSite.BODY_LEFT, half_length_mm=40.0, spacing_mm=COARSE))
    right = spine(SpineSpec(level="T8", site=LesionSite.BODY_RIGHT, half_length_mm=40.0, spacing_mm=COARSE))
    assert left["GTV"].centroid_mm[0] > 3.0
    assert right["GTV"].centroid_mm[0] < -3.0
    assert left["CTV"].centroid_mm[0] > 0.5
    assert abs(left["vertebra_T8"].centroid_mm[0]) < 0.2


def test_seeds_make_the_noise() -> None:
    spec = SpineSpec(level="T12", half_length_mm=60.0, spacing_mm=COARSE, noise_hu=10.0, seed=4)
    a, b = spine(spec), spine(spec)
    assert np.array_equal(a.ct.hu, b.ct.hu)
    quiet = spine(SpineSpec(level="T12", half_length_mm=60.0, spacing_mm=COARSE, noise_hu=0.0, seed=4))
    inside = on(a, "liver") > 0.999
    spread = float(np.std((a.ct.hu - quiet.ct.hu)[inside]))
    assert spread == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("name", ["C3", "C7", "T2", "T11", "L5", "S1"])
def test_every_level_builds(name: str) -> None:
    phantom = spine(SpineSpec(level=name, spacing_mm=COARSE, half_length_mm=40.0))
    assert phantom["PTV"].volume_cm3 > phantom["GTV"].volume_cm3
    assert {"BODY", "spinal_canal", "thecal_sac", f"vertebra_{name}"} <= set(phantom.structures)

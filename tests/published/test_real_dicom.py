"""Real files: a lumbar CT with automatic contours, and plans exported by Eclipse and Pinnacle/RayStation."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from rtsim.io import read_ct, read_dicom, read_plan, read_structures, scan_dicom, write_dicom
from rtsim.machine import load_machine
from rtsim.phantom.structure import Role
from tests.shared import SHARED, requires_shared

LUMBAR = SHARED / "data" / "lumbar_totalseg"
SAMPLES = SHARED / "data" / "dicom_samples"
pytestmark = requires_shared


@pytest.fixture(scope="module")
def lumbar():
    start = time.perf_counter()
    phantom = read_dicom(LUMBAR / "dicom_rewrapped")
    with np.load(LUMBAR / "case.npz") as case:
        arrays = {k: case[k] for k in case.files}
    return SimpleNamespace(phantom=phantom, arrays=arrays, seconds=time.perf_counter() - start)


def dice(a, b):
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_hu_and_grid_of_the_lumbar_ct_are_those_of_its_source(lumbar):
    ct = lumbar.phantom.ct
    # source: data/README.md: 122 x 101 x 112 voxels of 3 mm; pixels clipped below -1024 only
    assert ct.grid.shape == (112, 101, 122)
    assert ct.grid.spacing_mm == (3.0, 3.0, 3.0)
    np.testing.assert_allclose(ct.grid.origin_mm, lumbar.arrays["origin_xyz_mm"], atol=1e-3)
    np.testing.assert_array_equal(ct.hu, np.maximum(lumbar.arrays["ct_hu"], -1024))
    assert ct.notes == ()


def test_all_17_structures_of_the_lumbar_ct_are_the_masks_they_were_drawn_from(lumbar):
    names = {"BODY": "mask_BODY_derived", "SpinalCord": "mask_spinal_cord"}
    assert len(lumbar.phantom.structures) == 17
    for name, structure in lumbar.phantom.structures.items():
        mask = lumbar.arrays[names.get(name, f"mask_{name}")] > 0
        # source: data/README.md: contours are half-level outlines of these masks, XOR rasterising gives Dice 1.000
        assert dice(structure.mask_on(lumbar.phantom.grid), mask) >= 0.998, name
        assert structure.coverage.sum() == pytest.approx(mask.sum(), rel=0.06), name
    assert lumbar.phantom["BODY"].role is Role.EXTERNAL


def test_the_canal_stays_open_in_the_vertebra(lumbar):
    overlap = lumbar.phantom["vertebra_L3"].mask_on(lumbar.phantom.grid) & lumbar.phantom["SpinalCord"].mask_on(
        lumbar.phantom.grid
    )
    vertebra = lumbar.phantom["vertebra_L3"].mask_on(lumbar.phantom.grid)
    assert overlap.sum() <= 0.01 * vertebra.sum()


def test_the_lumbar_case_written_again_gives_the_same_structures(lumbar, tmp_path):
    write_dicom(tmp_path / "out", lumbar.phantom)
    back = read_dicom(tmp_path / "out")
    np.testing.assert_array_equal(back.ct.hu, lumbar.phantom.ct.hu)
    for name, own in lumbar.phantom.structures.items():
        assert dice(back[name].mask_on(back.grid), own.mask_on(back.grid)) >= 0.995, name


def test_inventory_of_the_lumbar_folder():
    inventory = scan_dicom(LUMBAR / "dicom_rewrapped")
    assert [len(s.files) for s in inventory.ct_series] == [112]
    assert [len(s.rois) for s in inventory.structure_sets] == [17]
    assert inventory.damaged == ()


def test_sliding_window_plan_of_eclipse():
    with pytest.raises(ValueError, match="'txmachine'"):
        read_plan(SAMPLES / "dicompyler_breast_plan" / "rtplan.dcm")
    plan = read_plan(SAMPLES / "dicompyler_breast_plan" / "rtplan.dcm", machine=load_machine("generic_6x"))
    # source: the file itself: 4 dynamic beams, meterset 97, 87, 89, 94 MU, 92-103 control points, 14 Gy in 7 fractions
    assert [b.monitor_units for b in plan.beams] == pytest.approx([97.0, 87.0, 89.0, 94.0])
    assert [len(b.control_points) for b in plan.beams] == [92, 94, 103, 95]
    assert [b.gantry_deg for b in plan.beams] == [327.0, 0.0, 56.0, 150.0]
    assert (plan.prescription.dose_gy, plan.prescription.fractions) == (14.0, 7)
    first = plan.beams[0].control_points[0].aperture
    assert first.jaws_x_mm == pytest.approx((9.0, 70.0))
    assert first.leaf_pairs_mm.shape == (60, 2)
    assert (first.leaf_pairs_mm[:, 0] <= first.leaf_pairs_mm[:, 1]).all()
    edges = np.array(plan.beams[0].machine.mlc.leaf_edges_mm)
    assert (edges[0], edges[-1]) == (-200.0, 200.0)
    # leaves move while the beam is on
    last = plan.beams[0].control_points[-1].aperture
    assert np.abs(last.leaf_pairs_mm - first.leaf_pairs_mm).max() > 5.0


def test_structure_set_and_single_slice_of_eclipse():
    structures = read_structures(SAMPLES / "dicompyler_breast_plan")
    assert "BODY" in structures or any(s.role is Role.EXTERNAL for s in structures.values())
    inventory = scan_dicom(SAMPLES / "dicompyler_breast_plan")
    body = next(r for r in inventory.structure_sets[0].rois if r.name == "BODY")
    # source: the file itself: BODY has 141 contours every 3 mm over z -122.44 .. 168.56
    assert len(body.contours) == 141
    assert len(body.contours.planes()) == 98
    assert body.contours.z_mm.min() == pytest.approx(-122.0, abs=1.0)
    assert read_ct(SAMPLES / "dicompyler_breast_plan").grid.shape[0] == 1


def test_static_field_of_a_raysearch_export():
    plan = read_plan(
        SAMPLES / "pymedphys_water_10x10" / "RP1.2.752.243.1.1.20190116132313410.8000.72385.dcm",
        machine=load_machine("generic_6fff"),
    )
    (beam,) = plan.beams
    # source: data/README.md: HD120, static 10 x 10 cm jaws, gantry 0, isocenter at y = 100 mm, 100 MU, 0.7979931 Gy
    assert beam.monitor_units == 100.0
    assert beam.isocenter_mm == pytest.approx((0.0, 100.0, 0.0), abs=1e-9)
    assert beam.control_points[0].aperture.jaws_x_mm == (-50.0, 50.0)
    assert plan.prescription.dose_gy == pytest.approx(0.7979931)
    assert beam.machine.mlc.leaf_count == 60

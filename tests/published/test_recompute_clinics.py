"""Plans of clinics computed by rtsim with generic machines: what the planning systems say of the dose comes out."""

import numpy as np
import pytest

from rtsim.dose import CollapsedCone, forward
from rtsim.dose.dvh import dvh
from rtsim.geometry.contours import cropped_coverage
from rtsim.geometry.grid import Grid
from rtsim.io import read_plan, scan_dicom
from rtsim.machine import load_machine
from rtsim.phantom.phantom import Phantom
from tests.shared import SHARED, requires_shared

SAMPLES = SHARED / "data" / "dicom_samples"
pytestmark = requires_shared


def test_a_static_field_of_a_raysearch_export_gives_the_dose_that_it_states():
    plan = read_plan(
        SAMPLES / "pymedphys_water_10x10" / "RP1.2.752.243.1.1.20190116132313410.8000.72385.dcm",
        machine=load_machine("generic_6x"),
    )
    # source: the file: SSD 899.8 mm, Beam Dose 0.7979931 Gy at the isocenter (100 mm deep) of a TrueBeam, 100 MU
    water = Phantom.from_arrays(np.zeros((60, 60, 60)), (5.0,) * 3, (-147.5, 2.3, -147.5))
    dose = forward(water, plan, engine=CollapsedCone(spacing_mm=5.0))
    # generic machine of the class: 3 % for calibration and depth dose of a linac that it was not fitted to
    assert float(dose.at(np.array([0.0, 100.0, 0.0]))) == pytest.approx(0.7979931, rel=0.03)


@pytest.mark.slow
def test_a_sliding_window_plan_of_eclipse_covers_its_target():
    folder = SAMPLES / "dicompyler_breast_plan"
    plan = read_plan(folder, machine=(load_machine("generic_6x"), load_machine("generic_10x")))
    assert [b.machine.nominal_energy for b in plan.beams] == ["10 MV", "6 MV", "6 MV", "10 MV"]
    rois = {r.name: r.contours for r in scan_dicom(folder).structure_sets[0].rois if r.contours is not None}
    body = rois["BODY"]
    points = np.concatenate([np.asarray(p)[:, :2] for p in body.polygons])
    low, high = (*points.min(axis=0), min(body.z_mm)), (*points.max(axis=0), max(body.z_mm))
    grid = Grid.covering(tuple(np.array(low) - 8.0), tuple(np.array(high) + 8.0), (4.0,) * 3)
    masks = {name: _on(grid, rois[name]) for name in ("BODY", "Lt Lung", "Tumor Bed", "Tumor Bed Block")}
    # the CT is not there but for one slice: water in the outline, a density of 0.25 in the drawn lung
    hu = np.where(masks["Lt Lung"] >= 0.5, -750.0, np.where(masks["BODY"] >= 0.5, 0.0, -1000.0))
    phantom = Phantom.from_arrays(hu, grid.spacing_mm, grid.origin_mm, masks)
    dose = forward(phantom, plan, engine=CollapsedCone(spacing_mm=4.0))
    # source: the file: 14 Gy in 7 fractions, a boost of the tumor bed with its margin. 5 %: generic machines, water
    for name in ("Tumor Bed", "Tumor Bed Block"):
        assert dvh(dose, phantom[name]).dose_gy_at_percent(95.0) == pytest.approx(14.0, rel=0.05), name


def _on(grid, contours):
    crop, _, coverage = cropped_coverage(contours, grid)
    out = np.zeros(grid.shape)
    first = np.rint(grid.index_of(np.array(crop.origin_mm))).astype(int)
    out[tuple(slice(a, a + n) for a, n in zip(first, crop.shape, strict=True))] = coverage
    return out

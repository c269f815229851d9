"""Pencil beam against collapsed cone: the same beamlets, the same absolute dose; deviations stated per region."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.reference_cases import load_case
from rtsim import materials
from rtsim.beams.model import Beam, Beamlets
from rtsim.dose import CollapsedCone, Dose, PencilBeam
from rtsim.geometry.grid import Grid
from rtsim.machine import Machine, load_machine, point_source
from rtsim.phantom.phantom import Phantom
from rtsim.typing import FloatArray
from tests.shared import SHARED, requires_shared

MATTER = tuple(materials.get(n) for n in ("water", "lung", "bone_cortical"))
DENSITY = {"water": 1.0, "lung": 0.26, "bone_cortical": 1.85}
SPACING = 2.5
MACHINES: dict[str, Machine] = {
    "point_source": point_source(materials.spectrum("mohan6")),
    "generic_6x": load_machine("generic_6x"),
}


def slab(name: str = "water", first_mm: float = 50.0, last_mm: float = 100.0) -> Phantom:
    """160 x 160 mm2, 300 mm deep; a slab of matter between two depths."""
    grid = Grid.covering((-80.0, 0.0, -80.0), (80.0, 300.0, 80.0), (SPACING,) * 3)
    index = np.zeros(grid.shape, dtype=np.uint8)
    inside = (grid.y_mm > first_mm) & (grid.y_mm < last_mm)
    index[:, inside] = [m.name for m in MATTER].index(name)
    density = np.where(index > 0, DENSITY[name], 1.0).astype(np.float32)
    return Phantom.from_density(density, index, MATTER, grid)


def tiled(machine: Machine, side_mm: float) -> Beam:
    """A square field as open beamlets of 5 mm."""
    count = round(side_mm / 5.0)
    x, y = np.meshgrid(*[(np.arange(count) - (count - 1) / 2) * 5.0] * 2)
    width = np.full(x.size, 5.0)
    beamlets = Beamlets(center_x_mm=x.ravel(), center_y_mm=y.ravel(), width_x_mm=width, width_y_mm=width)
    return Beam(
        machine=machine,
        isocenter_mm=(0.0, 100.0, 0.0),
        gantry_deg=0.0,
        beamlets=beamlets,
        beamlet_monitor_units=np.ones(x.size),
    )


def both(phantom: Phantom, beam: Beam) -> tuple[Dose, Dose]:
    """Summed influence of the pencil beam on the two planes through the axis, nothing cut off; collapsed cone."""
    engine = PencilBeam(lateral_cutoff_mm=300.0, cutoff=0.0)
    wanted = np.zeros(phantom.grid.shape, dtype=bool)
    middle = phantom.grid.shape[0] // 2
    wanted[middle - 1 : middle + 1] = True
    influence = engine.influence(phantom, [beam], voxels=wanted)
    assert influence.beams[0].beamlet_monitor_units is not None
    return influence.dose(influence.beams[0].beamlet_monitor_units), CollapsedCone().forward(phantom, [beam])


def axis(dose: Dose, depth_mm: FloatArray) -> FloatArray:
    return dose.at(np.stack([0 * depth_mm, depth_mm, 0 * depth_mm], axis=-1))


def crossing(dose: Dose, depth_mm: float, fraction: float) -> float:
    x = np.arange(0.0, 75.0, 0.25)
    profile = dose.at(np.stack([x, np.full_like(x, depth_mm), 0 * x], axis=-1))
    return float(np.interp(-fraction * profile[0], -profile, x))


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize("side_mm", [20.0, 50.0, 100.0])
def test_open_fields_in_water(machine: str, side_mm: float) -> None:
    pencil, cone = both(slab(), tiled(MACHINES[machine], side_mm))
    depth = np.arange(18.75, 251.0, SPACING)
    deviation = axis(pencil, depth) / axis(cone, depth) - 1.0
    # each is within 1 % of EGSnrc there
    assert np.abs(deviation).max() < 0.015
    for level in (0.8, 0.5, 0.2):
        assert crossing(pencil, 100.0, level) == pytest.approx(crossing(cone, 100.0, level), abs=1.0)


REGIONS = {"before": (15.0, 40.0), "inside": (60.0, 92.0), "behind": (112.0, 250.0)}
# largest deviation on the axis, in percent of the collapsed cone's dose: what a pencil beam that sees only its own ray
# leaves out. Small fields in lung are the worst, where the two stand on either side of EGSnrc (slab_lung_2x2 and 3x3:
# -3 and +1 to +3 %). Behind bone the missing scatter of the slab shows in large fields.
STATED = {
    ("lung", 20.0): (1.5, 9.0, 3.0),
    ("lung", 100.0): (1.5, 2.0, 4.0),
    ("bone_cortical", 20.0): (1.5, 2.0, 1.5),
    ("bone_cortical", 100.0): (1.5, 2.5, 4.0),
}


@pytest.mark.parametrize(("name", "side_mm"), sorted(STATED))
def test_slabs_by_region(name: str, side_mm: float) -> None:
    pencil, cone = both(slab(name), tiled(MACHINES["point_source"], side_mm))
    for (region, (first, last)), percent in zip(REGIONS.items(), STATED[name, side_mm], strict=True):
        depth = np.arange(first + SPACING / 2, last, SPACING)
        deviation = axis(pencil, depth) / axis(cone, depth) - 1.0
        assert 100.0 * np.abs(deviation).max() < percent, region


@requires_shared
@pytest.mark.parametrize(
    # 5-voxel means carry about 0.5 % of EGSnrc's own noise, more beyond 20 cm of the widest field
    ("name", "tolerance"),
    [("water_1x1", 0.015), ("water_2x2", 0.015), ("water_5x5", 0.015), ("water_10x10", 0.02)],
)
def test_water_against_egsnrc(name: str, tolerance: float) -> None:
    case = load_case(SHARED / "reference" / "egsnrc", name)
    dose = PencilBeam().forward(case.phantom, [case.beam])
    x, y, z = case.centers_mm
    i, k = (np.flatnonzero(np.abs(c) < np.abs(c).min() + 1e-6) for c in (x, z))
    reference = case.dose[np.ix_(k, np.arange(y.size), i)].mean(axis=(0, 2))
    points = np.stack(np.meshgrid(z[k], y, x[i], indexing="ij")[::-1], axis=-1)
    ratio = dose.at(points).mean(axis=(0, 2)) / reference
    smooth = np.convolve(ratio, np.ones(5) / 5, mode="valid")  # EGSnrc's own noise is 0.3 to 0.9 % a voxel
    beyond = (y[2:-2] > 17.0) & (y[2:-2] < 250.0)
    assert np.abs(smooth[beyond] - 1.0).max() < tolerance
    assert abs(smooth[beyond].mean() - 1.0) < 0.0075

"""From what is drawn to what a planner needs: PTV, cord PRV and outline, and targets that cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.errors import GeometryError, InputError
from rtsim.phantom.external import find_external
from rtsim.phantom.margins import expand
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.phantom.targets import PlanningVolumes, with_planning_volumes


def _disc(axis: np.ndarray, center: tuple[float, float], radius_mm: float) -> np.ndarray:
    """Fractional coverage (1, ny, nx) of a disc: a staircase of voxels has a longer outline and grows by more."""
    parts = (np.arange(8) + 0.5) / 8 - 0.5
    fine = (axis[:, None] + parts * (axis[1] - axis[0])).ravel()
    inside = (fine[None, :] - center[0]) ** 2 + (fine[:, None] - center[1]) ** 2 < radius_mm**2
    n = axis.size
    return inside.reshape(n, 8, n, 8).mean(axis=(1, 3))[None]


def _phantom(target: tuple[float, float], *, radius_mm: float = 9.0) -> Phantom:
    """A cylinder of tissue (radius 45 mm), a couch under it, a cord (radius 5 mm, y = 15) and a round target."""
    n, step = 60, 2.0
    axis = (np.arange(n) - n / 2 + 0.5) * step
    x, y = axis[None, None, :], axis[None, :, None]
    hu = np.full((20, n, n), -1000.0)
    hu[:] = np.where(x**2 + y**2 < 45.0**2, 20.0, hu)
    hu[:] = np.where((y > 50.0) & (y < 54.0), 100.0, hu)
    z = np.ones((20, 1, 1), dtype=bool)
    z[:3] = z[-3:] = False
    masks = {"myelon": _disc(axis, (0.0, 15.0), 5.0) * np.ones_like(z), "met": _disc(axis, target, radius_mm) * z}
    return Phantom.from_arrays(
        hu, (step, step, step), (axis[0], axis[0], 0.0), {k: v.astype(float) for k, v in masks.items()}
    )


def _volumes(*, spare: bool = True) -> PlanningVolumes:
    return PlanningVolumes(target="met", cord="myelon", ptv_margin_mm=3.0, cord_margin_mm=2.0, spare_cord=spare)


def test_outline_is_the_patient_without_the_couch() -> None:
    body = find_external(_phantom((0.0, -1.0)))
    assert body.role is Role.EXTERNAL
    assert body.volume_cm3 == pytest.approx(np.pi * 4.5**2 * 4.0, rel=0.02)
    assert body.grid.upper_mm[1] < 48.0, "the couch is not the patient"


def test_ptv_is_the_target_with_its_margin_less_the_prv() -> None:
    made, name = with_planning_volumes(_phantom((0.0, -1.0)), _volumes())
    assert name == "PTV"
    ptv, prv = made["PTV"], made["spinal_cord_prv"]
    assert (ptv.role, prv.role) == (Role.PTV, Role.PRV)
    assert made["spinal_cord"].volume_cm3 == made["myelon"].volume_cm3
    assert prv.volume_cm3 / made["myelon"].volume_cm3 == pytest.approx((7.0 / 5.0) ** 2, rel=0.04)
    together = ptv.coverage_on(made.grid) + prv.coverage_on(made.grid)
    assert together.max() <= 1.0 + 1e-5, "no voxel belongs to both"
    whole = with_planning_volumes(_phantom((0.0, -1.0)), _volumes(spare=False))[0]["PTV"]
    assert whole.volume_cm3 > ptv.volume_cm3 + 0.1


def test_a_target_on_the_cord_is_refused_only_where_the_cord_is_to_be_spared() -> None:
    phantom = _phantom((0.0, 12.0))
    with pytest.raises(GeometryError, match=r"overlap by .* cm3"):
        with_planning_volumes(phantom, _volumes())
    assert with_planning_volumes(phantom, _volumes(spare=False))[0]["PTV"].volume_cm3 > 1.0


def test_a_target_outside_the_body_is_refused() -> None:
    with pytest.raises(GeometryError, match="patient outline"):
        with_planning_volumes(_phantom((50.0, 40.0), radius_mm=6.0), _volumes())


def test_an_unknown_target_is_named_with_the_nearest() -> None:
    volumes = PlanningVolumes(target="mett", cord="myelon", ptv_margin_mm=3.0, cord_margin_mm=2.0, spare_cord=True)
    with pytest.raises(InputError, match="did you mean 'met'"):
        with_planning_volumes(_phantom((0.0, -1.0)), volumes)


def test_goals_on_the_cord_are_about_the_cord_that_was_chosen() -> None:
    phantom = _phantom((0.0, -1.0))
    decoy = replace(
        phantom["myelon"], name="spinal_cord", grid=replace(phantom["myelon"].grid, origin_mm=(30.0, 0.0, 0.0))
    )
    made, _ = with_planning_volumes(phantom.with_structures(decoy), _volumes())
    assert made["spinal_cord"].centroid_mm == made["myelon"].centroid_mm
    assert made["spinal_cord (as drawn, not used)"].centroid_mm == decoy.centroid_mm
    assert any("kept under the name" in note for note in made.notes)


def test_a_drawn_prv_is_used_only_when_it_holds_the_cord() -> None:
    phantom = _phantom((0.0, -1.0))
    drawn = expand(phantom["myelon"], 1.0, phantom.grid, name="Cord_PRV01", role=Role.PRV)
    volumes = replace(_volumes(), cord_prv="Cord_PRV01", is_only_cord=True)
    made, _ = with_planning_volumes(phantom.with_structures(drawn), volumes)
    assert "spinal_cord_prv" not in made.structures
    beside = replace(drawn, grid=replace(drawn.grid, origin_mm=(30.0, 0.0, 0.0)))
    made, _ = with_planning_volumes(phantom.with_structures(beside), volumes)
    assert made["spinal_cord_prv"].volume_cm3 > phantom["myelon"].volume_cm3
    assert any("does not hold" in note for note in made.notes)


def test_a_drawn_ptv_is_kept_when_another_target_is_chosen() -> None:
    phantom = _phantom((0.0, -1.0))
    drawn = replace(phantom["met"], name="PTV", role=Role.PTV)
    made, name = with_planning_volumes(phantom.with_structures(drawn), _volumes())
    assert name == "PTV_met"
    assert made["PTV"].volume_cm3 == drawn.volume_cm3

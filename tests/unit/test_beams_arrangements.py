"""Arrangements: angles of the field's usual set-ups, and wedges that point the right way."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim import beams
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.machine import load_machine
from rtsim.phantom.structure import Role, Structure

MACHINE = load_machine("generic_6x")
ISO = (10.0, -20.0, 30.0)


def _angles(found: tuple[beams.Beam, ...]) -> list[float]:
    return [b.gantry_deg for b in found]


def test_angles_of_the_arrangements() -> None:
    assert _angles(beams.posterior_anterior(MACHINE, isocenter_mm=ISO)) == [180.0]
    assert _angles(beams.anterior_posterior(MACHINE, isocenter_mm=ISO)) == [0.0, 180.0]
    assert _angles(beams.lateral_pair(MACHINE, isocenter_mm=ISO)) == [90.0, 270.0]
    assert _angles(beams.posterior_with_wedged_obliques(MACHINE, isocenter_mm=ISO)) == [180.0, 120.0, 240.0]
    # source: 9 posterior fields 100, 120, ..., 260; TG-119 nine fields 40 degrees apart
    assert _angles(beams.posterior(MACHINE, isocenter_mm=ISO)) == list(range(100, 261, 20))
    assert _angles(beams.posterior(MACHINE, count=7, isocenter_mm=ISO)) == list(range(105, 256, 25))
    assert _angles(beams.posterior(MACHINE, count=13, isocenter_mm=ISO)) == list(range(90, 271, 15))
    assert _angles(beams.posterior(MACHINE, count=5, step_deg=30, isocenter_mm=ISO)) == [120, 150, 180, 210, 240]
    assert _angles(beams.equidistant(MACHINE, isocenter_mm=ISO)) == list(range(0, 360, 40))


def test_names_say_where_from() -> None:
    where = {
        b.name: b.source_mm - np.array(ISO)
        for b in (
            *beams.anterior_posterior(MACHINE, isocenter_mm=ISO),
            *beams.lateral_pair(MACHINE, isocenter_mm=ISO),
            *beams.posterior_with_wedged_obliques(MACHINE, isocenter_mm=ISO),
        )
    }
    assert where["AP"][1] == -1000.0  # LPS y is posterior
    assert where["PA"][1] == 1000.0
    assert where["LEFT"][0] == 1000.0  # LPS x is left
    assert where["RIGHT"][0] == -1000.0
    assert where["LPO"][0] > 0 < where["LPO"][1]
    assert where["RPO"][0] < 0 < where["RPO"][1]


@pytest.mark.parametrize("oblique_deg", [110.0, 120.0, 135.0])
def test_toes_of_the_obliques_point_anterior_and_heels_face_each_other(oblique_deg: float) -> None:
    """Without wedges the region next to all three entries (posterior) is hot; the toes must lie opposite of it."""
    pa, *obliques = beams.posterior_with_wedged_obliques(
        MACHINE, isocenter_mm=ISO, oblique_deg=oblique_deg, wedge_deg=45.0
    )
    assert pa.wedge is None
    heels = []
    for b in obliques:
        assert b.wedge is not None
        assert (b.wedge.angle_deg, b.wedge.physical) == (45.0, True)
        turn = np.deg2rad(b.wedge.orientation_deg)
        toe = b.rotation @ np.array([np.cos(turn), np.sin(turn), 0.0])
        assert toe[1] < -0.5  # anterior
        assert abs(toe[2]) < 1e-12  # in the axial plane
        heels.append(-toe)
    # seen from the isocenter the heels lie on the side of the other oblique and of PA
    for heel, other in zip(heels, reversed(obliques), strict=True):
        toward_other = (other.source_mm - np.array(ISO)) / 1000.0
        toward_pa = (pa.source_mm - np.array(ISO)) / 1000.0
        assert heel @ toward_other > 0 < heel @ toward_pa
    assert [b.wedge.orientation_deg for b in obliques if b.wedge] == [180.0, 0.0]


def test_wedge_toward_follows_the_collimator_and_refuses_the_beam_axis() -> None:
    wedge = MACHINE.wedge("physical_30")
    pa = beams.posterior_anterior(MACHINE, isocenter_mm=ISO)[0]
    for collimator, slot in ((0.0, 90.0), (90.0, 0.0), (180.0, 270.0), (270.0, 180.0)):
        turned = beams.coplanar(MACHINE, gantry_deg=[180], isocenter_mm=ISO, collimator_deg=collimator)[0]
        found = beams.wedge_toward(turned, wedge, (0.0, 0.0, 1.0)).wedge
        assert found is not None
        assert found.orientation_deg == slot
    with pytest.raises(InputError, match="lies along beam 'PA'"):
        beams.wedge_toward(pa, wedge, (0.0, 1.0, 0.0))


def test_isocenter_of_a_target_is_its_centroid() -> None:
    grid = Grid((4, 5, 6), (2.0, 3.0, 4.0), (1.0, 2.0, 3.0))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1:3, 2, 4:6] = True
    target = Structure.from_coverage("PTV", Role.PTV, grid, mask)
    found = beams.posterior_anterior(MACHINE, target=target)[0].isocenter_mm
    assert found == pytest.approx((10.0, 8.0, 9.0), abs=1e-12)
    with pytest.raises(InputError, match="both are given"):
        beams.posterior(MACHINE, target=target, isocenter_mm=ISO)
    with pytest.raises(InputError, match="neither is given"):
        beams.posterior(MACHINE)


def test_errors_say_what_is_allowed() -> None:
    with pytest.raises(InputError, match="gantry_deg is 400"):
        beams.coplanar(MACHINE, gantry_deg=[400], isocenter_mm=ISO)
    with pytest.raises(InputError, match="each angle may be given once"):
        beams.coplanar(MACHINE, gantry_deg=[100, 100], isocenter_mm=ISO)
    with pytest.raises(InputError, match="empty"):
        beams.coplanar(MACHINE, gantry_deg=[], isocenter_mm=ISO)
    with pytest.raises(InputError, match="others need step_deg"):
        beams.posterior(MACHINE, count=6, isocenter_mm=ISO)
    with pytest.raises(InputError, match="90 < oblique_deg < 180"):
        beams.posterior_with_wedged_obliques(MACHINE, isocenter_mm=ISO, oblique_deg=60.0)
    with pytest.raises(InputError, match="has 15, 30, 45, 60"):
        beams.posterior_with_wedged_obliques(MACHINE, isocenter_mm=ISO, wedge_deg=25.0)
    with pytest.raises(InputError, match="no physical wedge"):
        beams.posterior_with_wedged_obliques(load_machine("point_source"), isocenter_mm=ISO)

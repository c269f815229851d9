"""Emergency fields: dose at the point, monitor units that a hand calculation confirms, what is said of the cord."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtsim.dose import CollapsedCone
from rtsim.dose.dvh import dvh
from rtsim.errors import GeometryError, InputError, MachineLimitError
from rtsim.geometry.grid import Grid
from rtsim.machine import Machine, load_machine
from rtsim.optimize import FieldArrangement, Planned, PrescribedTo, emergency
from rtsim.optimize.conventional.hand_calculation import HandCalculation, WaterTank
from rtsim.optimize.conventional.reference_point import levels_about, path_to, reference_y_mm
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structures
from rtsim.protocol import load_protocol

SPACING_MM = 5.0
ENGINE = CollapsedCone(spacing_mm=SPACING_MM, cones=24)
FRONT, BACK = -90.0, 110.0
"""LPS y of the skin: the patient is 200 mm thick."""


@pytest.fixture(scope="module")
def machine() -> Machine:
    return load_machine("generic_6x")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """A block of water, 300 x 200 x 240 mm, with a target 70 mm below its posterior skin, and three vertebrae."""
    grid = Grid.covering((-160.0, -100.0, -130.0), (160.0, 120.0, 130.0), (SPACING_MM,) * 3)
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    body = (np.abs(x) < 150.0) & (y > FRONT) & (y < BACK) & (np.abs(z) < 120.0)

    def vertebra(z0: float) -> np.ndarray:
        front = (np.abs(x) < 20.0) & (np.abs(y - 40.0) < 20.0) & (np.abs(z - z0) < 10.0)
        spinous = (np.abs(x) < 5.0) & (np.abs(y - 80.0) < 20.0) & (z - z0 < 0.0) & (z - z0 > -35.0)
        return front | spinous

    return Phantom.from_arrays(
        np.where(body, 0.0, -1000.0),
        (SPACING_MM,) * 3,
        grid.origin_mm,
        {
            "BODY": body,
            "CTV": (np.abs(x) < 20.0) & (np.abs(y - 40.0) < 20.0) & (np.abs(z) < 10.0),
            "spinal_cord": np.hypot(x, y - 65.0) < 6.0,
            **{f"vertebra_{name}": vertebra(z0) for name, z0 in (("T9", 25.0), ("T10", 0.0), ("T11", -25.0))},
        },
        roles={"BODY": Role.EXTERNAL},
    )


def bare(phantom: Phantom) -> Phantom:
    return replace(phantom, structures=Structures(()))


def by_hand_percent(planned: Planned) -> list[float]:
    assert any("checks geometry and arithmetic, not calibration" in n for n in planned.plan.notes)
    found = [re.search(r"^By hand, .*\(([+-][\d.]+) %\)", n) for n in planned.plan.notes]
    return [float(m[1]) for m in found if m]


@pytest.fixture(scope="module")
def posterior(phantom: Phantom, machine: Machine) -> Planned:
    return emergency(phantom, "CTV", machine, at=PrescribedTo.TARGET_CENTER, levels=0, engine=ENGINE)


def test_the_reference_point_gets_the_dose(posterior: Planned) -> None:
    (beam,) = posterior.plan.beams
    assert (beam.gantry_deg, beam.name) == (180.0, "PA")
    assert beam.isocenter_mm == pytest.approx(posterior.phantom["CTV"].centroid_mm, abs=0.5)
    assert posterior.dose.at(np.array([beam.isocenter_mm]))[0] == pytest.approx(8.0, rel=1e-5)
    (forward,) = ENGINE.forward(posterior.phantom, posterior.plan.beams).at(np.array([beam.isocenter_mm]))
    assert forward == pytest.approx(8.0, rel=1e-4)
    assert [(c.structure, c.limit_gy, c.held) for c in posterior.plan.certificates] == [("spinal_cord", 13.1, True)]


def test_the_sheet_has_the_geometry_of_the_block(posterior: Planned) -> None:
    """Known from the block: 70 mm of water above the isocenter, 930 mm to the skin; target 40 mm wide + 2 x 15 mm."""
    (said,) = [n for n in posterior.plan.notes if n.startswith("PA: ")]
    ssd, depth, water = (float(re.search(p, said)[1]) for p in (r"SSD (\d+)", r"depth (\d+)", r"as water (\d+)"))  # type: ignore[index]
    assert ssd + depth == 1000.0
    assert depth == pytest.approx(70.0, abs=1.0)
    assert water == pytest.approx(70.0, abs=1.5)
    (x1, x2), (y1, y2) = (
        posterior.plan.beams[0].control_points[0].aperture.jaws_x_mm,
        posterior.plan.beams[0].control_points[0].aperture.jaws_y_mm,
    )
    assert (x1, y1) == (-x2, -y2)
    assert 70.0 <= x2 - x1 <= 80.0  # the face nearest to the source is seen 2 % larger, and it is rounded up
    assert 50.0 <= y2 - y1 <= 60.0
    assert f"{posterior.plan.beams[0].monitor_units:.1f} MU" in said


def test_monitor_units_of_the_book(machine: Machine, phantom: Phantom) -> None:
    """100 x 100 mm, isocenter 100 mm deep in water, by tables only, without the dose engine.

    source: the calibration, 1 cGy/MU at the depth of maximum (15 mm), SSD 1000 mm, moved to the isocenter by the
    inverse square, and TMR(100 mm, 100 x 100 mm) = 0.777 of 6 MV (BJR supplement 25, from memory) to 1 %. The block is
    finite and coarse: 2 %.
    """
    planned = emergency(
        phantom, None, machine, isocenter_mm=(0.0, 10.0, 0.0), field_mm=(100.0, 100.0), depth_mm=100.0, engine=ENGINE
    )
    expected = 8.0 / (0.01 * (1015.0 / 1000.0) ** 2 * 0.777)
    assert planned.plan.monitor_units == pytest.approx(expected, rel=0.02)
    # source: the machine's own calibration, 100 mm deep at SSD 1000 mm, and the inverse square: the field there is
    # 10 % larger, which scatters 1 % more
    assert machine.calibration is not None
    at_isocenter = machine.calibration.dose_gy_per_mu * (1100.0 / 1000.0) ** 2
    assert planned.plan.monitor_units == pytest.approx(8.0 / at_isocenter, rel=0.02)


def test_the_hand_calculation_confirms_plans_in_water(posterior: Planned, phantom: Phantom, machine: Machine) -> None:
    """In homogeneous water the tank and the block differ by the equivalent square, the scatter that the ends of the
    block miss, and two grids: 2 % (TG-114, homogeneous [M])."""
    opposed = emergency(phantom, "CTV", machine, technique=FieldArrangement.AP_PA, engine=ENGINE)
    long = emergency(
        phantom, "CTV", machine, field_mm=(60.0, 180.0), at=PrescribedTo.TARGET_ANTERIOR, dose_gy=20, engine=ENGINE
    )
    for planned in (posterior, opposed, long):
        found = by_hand_percent(planned)
        assert len(found) == len(planned.plan.beams)
        assert np.abs(found).max() < 2.0


def test_the_hand_calculation_sees_wrong_monitor_units(posterior: Planned, machine: Machine) -> None:
    (beam,) = posterior.plan.beams
    jaws = beam.control_points[0].aperture
    tank = WaterTank.of(machine, (2 * jaws.jaws_x_mm[1], 2 * jaws.jaws_y_mm[1]))
    path = path_to(posterior.phantom, beam, beam.isocenter_mm)
    right = HandCalculation.of(tank, path, 8.0, beam.monitor_units)
    wrong = HandCalculation.of(tank, replace(path, water_mm=path.water_mm + 20.0), 8.0, beam.monitor_units)
    assert "MORE THAN" not in right.describe()
    assert "MORE THAN 5 %" in wrong.describe()


def test_opposed_fields_share_the_midplane(phantom: Phantom, machine: Machine) -> None:
    planned = emergency(
        phantom, "CTV", machine, technique=FieldArrangement.AP_PA, fractions=5, dose_gy=20, engine=ENGINE
    )
    front, back = planned.plan.beams
    middle = np.array([(0.0, (FRONT + BACK) / 2, 0.0)])
    assert front.isocenter_mm[1] == pytest.approx(middle[0, 1], abs=0.5)
    parts = [float(ENGINE.forward(phantom, (b,), fractions=5).at(np.array([b.isocenter_mm]))[0]) for b in (front, back)]
    assert parts == pytest.approx([10.0, 10.0], rel=1e-3)
    assert front.monitor_units == pytest.approx(back.monitor_units, rel=0.01)  # the block is the same from both sides
    assert planned.plan.certificates[0].limit_gy == pytest.approx(27.0)  # EQD2 50 Gy in 5: 5 (sqrt(1 + 40) - 1)


def test_nothing_drawn_is_said_and_not_invented(phantom: Phantom, machine: Machine) -> None:
    planned = emergency(bare(phantom), None, machine, isocenter_mm=(0, 40, 0), field_mm=(80, 120), engine=ENGINE)
    assert planned.plan.certificates == ()
    (unchecked,) = planned.plan.not_checked
    assert "spinal_cord" in unchecked
    (said,) = [n for n in planned.plan.notes if n.startswith("No cord is drawn")]
    assert f"{planned.dose.max_gy:.2f} Gy" in said
    assert "held wherever it lies" in said
    assert planned.dose.max_gy < 13.1
    assert planned.plan.prescription.target == "reference_point"
    assert planned.phantom["reference_point"].centroid_mm == pytest.approx((0, 40, 0), abs=0.5)
    assert planned.dose.at(np.array([(0.0, 40.0, 0.0)]))[0] == pytest.approx(8.0, rel=1e-5)


def test_a_broken_limit_is_said_with_the_dose_that_holds_it(phantom: Phantom, machine: Machine) -> None:
    planned = emergency(phantom, "CTV", machine, dose_gy=16.0, engine=ENGINE)
    assert not planned.plan.certificates[0].held
    (said,) = [n for n in planned.plan.notes if n.startswith("LIMIT NOT HELD")]
    most = float(re.search(r"at most ([\d.]+) Gy", said)[1])  # type: ignore[index]
    assert planned.dose.at(np.array([planned.plan.beams[0].isocenter_mm]))[0] == pytest.approx(16.0, rel=1e-5)
    lower = emergency(phantom, "CTV", machine, dose_gy=most - 0.01, engine=ENGINE)
    assert lower.plan.certificates[0].held
    assert lower.plan.certificates[0].reached_gy == pytest.approx(13.1, rel=0.002)


def test_a_field_over_one_vertebra_above_and_below(phantom: Phantom, machine: Machine) -> None:
    """Spinous processes hang down over the next vertebra: the field follows the bodies."""
    low, high, names = levels_about(phantom, phantom["vertebra_T10"], 1)
    assert (low, high) == pytest.approx((-35.0, 35.0), abs=SPACING_MM)
    assert names == "vertebra_T9 to vertebra_T11"
    planned = emergency(phantom, "vertebra_T10", machine, levels=1, engine=ENGINE)
    y1, y2 = planned.plan.beams[0].control_points[0].aperture.jaws_y_mm
    z = planned.plan.beams[0].isocenter_mm[2]
    assert z + y1 <= low
    assert z + y2 >= high
    with pytest.raises(InputError, match="not enough vertebrae"):
        levels_about(phantom, phantom["vertebra_T10"], 2)


@pytest.mark.parametrize(
    ("at", "depth_mm", "y"),
    [
        (PrescribedTo.MIDPLANE, 50.0, BACK - 50.0),  # a depth goes before the rule
        (PrescribedTo.TARGET_ANTERIOR, None, 22.5),
        (PrescribedTo.VERTEBRAL_BODY, None, 40.0),
        (PrescribedTo.CORD, None, 65.0),
        (PrescribedTo.MIDPLANE, None, 10.0),
    ],
)
def test_points_lie_where_they_say(phantom: Phantom, at: PrescribedTo, depth_mm: float | None, y: float) -> None:
    found, _ = reference_y_mm(phantom, phantom["CTV"], at, (0.0, 40.0, 0.0), depth_mm)
    assert found == pytest.approx(y, abs=0.6)


def test_protocol_and_machine_without_x_jaws(phantom: Phantom) -> None:
    protocol = load_protocol("spine_conventional_5fx")
    planned = emergency(
        phantom,
        "CTV",
        load_machine("generic_6x_agility"),
        dose_gy=protocol.default_level.dose_gy,
        fractions=5,
        protocol=protocol,
        engine=ENGINE,
    )
    assert planned.plan.certificates[0].limit_gy == protocol.cord_limit[0].value
    assert planned.plan.beams[0].control_points[0].aperture.leaf_pairs_mm is not None
    assert np.abs(by_hand_percent(planned)).max() < 2.0


def test_errors_say_what_to_give(phantom: Phantom, machine: Machine) -> None:
    with pytest.raises(InputError, match=r"isocenter_mm .* and field_mm"):
        emergency(phantom, None, machine)
    with pytest.raises(InputError, match=r"FieldArrangement\.PA or FieldArrangement\.AP_PA"):
        emergency(phantom, "CTV", machine, technique=FieldArrangement.LATERALS)
    with pytest.raises(InputError, match="no calibration"):
        emergency(phantom, "CTV", load_machine("point_source"))
    with pytest.raises(InputError, match="no spinal cord is drawn"):
        emergency(
            bare(phantom),
            None,
            machine,
            isocenter_mm=(0, 40, 0),
            field_mm=(80, 80),
            at=PrescribedTo.CORD,
            engine=ENGINE,
        )
    with pytest.raises(InputError, match="0 < depth_mm < "):
        emergency(phantom, "CTV", machine, depth_mm=250.0)
    with pytest.raises(GeometryError, match="misses the patient"):
        emergency(phantom, None, machine, isocenter_mm=(400, 0, 0), field_mm=(80, 80))
    with pytest.raises(MachineLimitError):
        emergency(phantom, "CTV", machine, field_mm=(80, 500), engine=ENGINE)
    with pytest.raises(InputError, match="levels is 1"):
        emergency(phantom, None, machine, isocenter_mm=(0, 40, 0), field_mm=(80, 80), levels=1)
    with pytest.raises(InputError, match=r"the field is 900 x 900 mm \(field_mm"):
        emergency(phantom, "CTV", machine, field_mm=(900, 900), engine=ENGINE)
    with pytest.raises(InputError, match=r"field_mm is 80; two widths"):
        emergency(phantom, "CTV", machine, field_mm=80)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"at": "cord"}, r"at is 'cord'; choose PrescribedTo\.VERTEBRAL_BODY, .*PrescribedTo\.CORD"),
        ({"at": FieldArrangement.PA}, r"at is FieldArrangement\.PA; choose PrescribedTo\."),
        ({"technique": "ap_pa"}, r"technique is 'ap_pa'; choose FieldArrangement\.PA or FieldArrangement\.AP_PA"),
        ({"engine": "pencil"}, r"engine is 'pencil'; a dose engine is needed"),
        ({"engine": CollapsedCone}, "engine is CollapsedCone; a dose engine is needed"),
    ],
)
def test_names_are_not_taken_for_choices(phantom: Phantom, machine: Machine, given: dict[str, Any], words: str) -> None:
    """A name that no branch knows must not end in the last branch: at="cord" was the anterior edge of the target."""
    with pytest.raises(InputError, match=words):
        emergency(phantom, "CTV", machine, **given)


def test_the_default_is_the_vertebral_body_with_one_vertebra_above_and_below(
    phantom: Phantom, machine: Machine
) -> None:
    """Known from the block: bodies from y 20 to 60, and from z -35 to 35 with the neighbors; 7 mm beyond: penumbra."""
    planned = emergency(phantom, "CTV", machine, engine=ENGINE)
    (beam,) = planned.plan.beams
    assert beam.isocenter_mm[1] == pytest.approx(40.0, abs=SPACING_MM / 2)
    y1, y2 = beam.control_points[0].aperture.jaws_y_mm
    assert (y1, y2) == pytest.approx((-42.0, 42.0), abs=SPACING_MM)
    x, y, _ = beam.isocenter_mm
    edge = planned.dose.at(np.array([(x, y, z) for z in (-35.0, 35.0)]))
    assert (edge > 0.8 * 8.0).all()  # the neighbors' far endplates; at the field edge it would be half
    (said,) = [n for n in planned.plan.notes if n.startswith("Prescribed to")]
    assert "the middle of the vertebral body of vertebra_T10" in said
    assert "vertebra_T9 to vertebra_T11 (one above and below, as usual, from memory)" in said
    d95 = dvh(planned.dose, planned.phantom["CTV"]).dose_gy_at_percent(95.0)
    (covered,) = [n for n in planned.plan.notes if n.startswith("CTV gets")]
    assert f"D95% {d95:.2f} Gy" in covered
    assert ("LESS THAN 95 %" in covered) == (d95 < 0.95 * 8.0)


def test_what_is_not_drawn_is_said_where_it_changes_the_default(phantom: Phantom, machine: Machine) -> None:
    only = replace(phantom, structures=Structures((phantom["BODY"], phantom["CTV"])))
    (said,) = [n for n in emergency(only, "CTV", machine, engine=ENGINE).plan.notes if n.startswith("Prescribed to")]
    assert "the depth of the center of CTV" in said
    assert "no vertebra with cord or canal is drawn" in said
    assert "not drawn about CTV" in said
    with pytest.raises(InputError, match="VERTEBRAL_BODY, but no vertebra"):
        emergency(only, "CTV", machine, at=PrescribedTo.VERTEBRAL_BODY, engine=ENGINE)


def test_a_ptv_holds_the_set_up_already(phantom: Phantom, machine: Machine) -> None:
    """15 mm from a tumor, 7 mm from a PTV: 16 mm less in width, of which rounding up to 5 mm leaves 15 or 20."""
    ctv = phantom["CTV"]
    both = replace(
        phantom, structures=Structures((*phantom.structures.values(), replace(ctv, name="P", role=Role.PTV)))
    )
    width = []
    for name in ("CTV", "P"):
        jaws = emergency(both, name, machine, engine=ENGINE).plan.beams[0].control_points[0].aperture
        width.append(jaws.jaws_x_mm[1] - jaws.jaws_x_mm[0])
    assert width[0] - width[1] in (15.0, 20.0)


def test_the_cauda_has_a_limit_where_it_is_drawn(phantom: Phantom, machine: Machine) -> None:
    """EQD2 60 Gy in one fraction, alpha/beta 2 Gy: d (d + 2) / 4 = 60, d = sqrt(241) - 1 = 14.52 Gy."""
    cauda = replace(phantom["spinal_cord"], name="cauda_equina")
    drawn = replace(phantom, structures=Structures((phantom["BODY"], phantom["CTV"], cauda)))
    planned = emergency(drawn, "CTV", machine, engine=ENGINE)
    assert [(c.structure, c.limit_gy) for c in planned.plan.certificates] == [("cauda_equina", 14.5)]

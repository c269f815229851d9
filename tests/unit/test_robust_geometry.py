"""Beams as a displaced patient sees them: source and axes turned and moved, and the same dose in moved tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsim.beams.model import Aperture, Beam, ControlPoint
from rtsim.dose import PencilBeam
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.geometry.iec61217 import bld_to_lps
from rtsim.machine.read import load_machine
from rtsim.optimize.robust import Displacement, Scenarios, displaced_beam, displaced_beams
from rtsim.optimize.robust.displaced import angles_of, stays_whole
from rtsim.optimize.robust.scenarios import NOMINAL
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role

MACHINE = load_machine("generic_6x")
CENTER = (4.0, -7.0, 11.0)
APERTURE = Aperture(jaws_x_mm=(-30.0, 20.0), jaws_y_mm=(-10.0, 40.0), leaf_pairs_mm=np.tile((-30.0, 20.0), (60, 1)))


def displacements(count: int) -> list[Displacement]:
    rng = np.random.default_rng(5)
    return [
        Displacement(
            name=str(n),
            shift_mm=tuple(rng.uniform(-5, 5, 3)),
            rotation_deg=tuple(rng.uniform(-180, 180, 3)),
            center_mm=CENTER,
        )
        for n in range(count)
    ]


def static(gantry: float, couch: float = 0.0, collimator: float = 0.0) -> Beam:
    return Beam.open_field(
        MACHINE,
        (60.0, 40.0),
        gantry_deg=gantry,
        couch_deg=couch,
        collimator_deg=collimator,
        isocenter_mm=(1.0, 2.0, 3.0),
    )


def arc(couch: float = 0.0, collimator: float = 30.0, points: int = 7) -> Beam:
    states = tuple(
        ControlPoint(cumulative_monitor_units=5.0 * n, aperture=APERTURE, gantry_deg=(350.0 + 5.0 * n) % 360.0)
        for n in range(points)
    )
    return Beam(
        machine=MACHINE,
        isocenter_mm=(1.0, 2.0, 3.0),
        gantry_deg=350.0,
        couch_deg=couch,
        collimator_deg=collimator,
        name="arc",
        control_points=states,
    )


def check_pose(seen: Beam, gantry_deg: float, planned: Beam, d: Displacement) -> None:
    """The patient's tissue where source and axes are found, moved with the patient, is where they are in the room."""
    axes = bld_to_lps(gantry_deg, planned.couch_deg, planned.collimator_deg)
    source = np.array(planned.isocenter_mm) + planned.machine.sad_mm * axes[:, 2]
    assert d.moved(seen.source_mm) == pytest.approx(source, abs=1e-8)
    assert d.moved(np.array(seen.isocenter_mm)) == pytest.approx(np.array(planned.isocenter_mm), abs=1e-9)
    assert d.rotation @ seen.rotation == pytest.approx(axes, abs=1e-11)


@pytest.mark.parametrize("gantry", [0.0, 1e-7, 37.0, 90.0, 180.0, 270.0, 359.9])
@pytest.mark.parametrize(("couch", "collimator"), [(0.0, 0.0), (0.0, 45.0), (90.0, 0.0), (335.0, 200.0)])
def test_a_static_beam_lies_to_the_tissue_as_the_planned_one_to_the_displaced_patient(
    gantry: float, couch: float, collimator: float
) -> None:
    beam = static(gantry, couch, collimator)
    for d in (*displacements(4), *Scenarios(combined=True).displacements(CENTER)[::9]):
        (seen,) = displaced_beam(beam, d)
        check_pose(seen, gantry, beam, d)
        assert seen.monitor_units == beam.monitor_units
        assert seen.control_points[0].aperture is beam.control_points[0].aperture


def test_angles_stay_near_where_two_answers_give_the_same_rotation() -> None:
    for near in ((350.0, 200.0, 10.0), (0.0, 0.0, 0.0), (20.0, 180.0, 300.0), (5.0, 340.0, 90.0)):
        couch, gantry, collimator = near
        assert angles_of(bld_to_lps(gantry, couch, collimator), near) == pytest.approx(near, abs=1e-9)


def test_an_arc_stays_an_arc_where_one_couch_angle_describes_it() -> None:
    beam = arc()
    for d in (
        Displacement(name="shift", shift_mm=(1.0, -2.0, 3.0)),
        Displacement(name="roll", rotation_deg=(0.0, 0.0, 1.0), center_mm=CENTER),
        Displacement(name="yaw, as a couch turns", rotation_deg=(0.0, -1.0, 0.0), center_mm=CENTER),
        Displacement(name="both", shift_mm=(1.0, 0.0, 0.0), rotation_deg=(0.0, 0.0, -3.0), center_mm=CENTER),
    ):
        assert stays_whole(beam, d)
        (seen,) = displaced_beam(beam, d)
        assert len(seen.control_points) == len(beam.control_points)
        for at, point in zip(beam.control_points, seen.control_points, strict=True):
            pose = Beam(
                machine=MACHINE,
                isocenter_mm=seen.isocenter_mm,
                gantry_deg=point.gantry_deg,
                couch_deg=seen.couch_deg,
                collimator_deg=seen.collimator_deg,
            )
            check_pose(pose, at.gantry_deg, beam, d)


@pytest.mark.parametrize("rotation", [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.5, 0.5, 1.0)])
def test_an_arc_comes_to_pieces_at_its_middle_angles_where_none_does(rotation: tuple[float, float, float]) -> None:
    beam = arc()
    d = Displacement(name="turned", rotation_deg=rotation, center_mm=CENTER)
    assert not stays_whole(beam, d)
    seen = displaced_beam(beam, d)
    assert len(seen) == len(beam.control_points) - 1
    assert sum(b.monitor_units for b in seen) == pytest.approx(beam.monitor_units)
    for n, part in enumerate(seen):
        assert not part.is_arc
        check_pose(part, (352.5 + 5.0 * n) % 360.0, beam, d)


@pytest.mark.parametrize("rotation", [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.5, 0.5, 1.0)])
def test_intervals_of_an_arc_stay_together_as_far_as_their_pose_is_right(rotation: tuple[float, float, float]) -> None:
    """Held against the exact pieces: no pose is off by more than was allowed, nothing is lost, fewer beams are left."""
    states = tuple(
        ControlPoint(cumulative_monitor_units=5.0 * n, aperture=APERTURE, gantry_deg=(182.0 + 4.0 * n) % 360.0)
        for n in range(90)
    )
    beam = replace(arc(), gantry_deg=182.0, control_points=states)
    d = Displacement(name="turned", rotation_deg=rotation, center_mm=CENTER)
    exact, seen = displaced_beam(beam, d), displaced_beam(beam, d, within_deg=0.2)
    assert len(exact) == 89
    assert len(seen) < 0.6 * len(exact)
    found = [(part, k) for part in seen for k in range(len(part.control_points) - 1)]
    assert len(found) == 89
    off = []
    for (part, k), alone in zip(found, exact, strict=True):
        a, b = part.control_points[k : k + 2]
        middle = a.gantry_deg + 0.5 * ((b.gantry_deg - a.gantry_deg + 180.0) % 360.0 - 180.0)
        assert b.cumulative_monitor_units - a.cumulative_monitor_units == pytest.approx(5.0)
        turned = alone.rotation.T @ bld_to_lps(middle, part.couch_deg, part.collimator_deg)
        off.append(np.degrees(np.arccos(min(1.0, 0.5 * (float(np.trace(turned)) - 1.0)))))
    assert max(off) <= 0.2 + 1e-6
    assert max(off) > 0.02, "else nothing was left together"


def block(spacing_mm: float, turn: Displacement | None = None, origin_shift: tuple[float, float, float] = (0, 0, 0)):
    """Water with a lung and a bone in it, or the same displaced: by a shift of its grid, or by right angles.

    No edge goes through the center of a voxel, where rounding would decide.
    """
    count = 18
    origin = tuple(-0.5 * (count - 1) * spacing_mm + o for o in origin_shift)
    grid = Grid((count,) * 3, (spacing_mm,) * 3, origin)
    points = grid.point_at(np.argwhere(np.ones(grid.shape, dtype=bool)).astype(float)).reshape(*grid.shape, 3)
    own = points - np.array(origin_shift) if turn is None else turn.seen_by_patient(points)
    x, y, z = own[..., 0], own[..., 1], own[..., 2]
    hu = np.where((np.abs(x - 30) < 25) & (np.abs(y) < 30), -700.0, 0.0)
    hu = np.where((np.abs(y - 30) < 15) & (np.abs(z + 10) < 32), 600.0, hu)
    hu[np.max(np.abs(own), axis=-1) > 66] = -1000.0
    body = {"body": hu > -900.0}
    return Phantom.from_arrays(hu, (spacing_mm,) * 3, grid.origin_mm, body, roles={"body": Role.EXTERNAL})


@pytest.mark.parametrize(
    ("shift", "rotation"),
    [
        ((3.0, -2.0, 4.0), (0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (90.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 90.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 180.0)),
    ],
)
def test_tissue_gets_the_same_dose_whether_it_moves_or_the_beams_are_displaced(
    shift: tuple[float, float, float], rotation: tuple[float, float, float]
) -> None:
    """Shifts and right angles carry voxels onto voxels, so that both ways must give the same number in each of them.

    The fan of rays starts from the same places of the tissue: what is left is the rounding of float32.
    """
    spacing, engine = 8.0, PencilBeam()
    d = Displacement(name="d", shift_mm=shift, rotation_deg=rotation)
    beams = (static(40.0, 15.0, 30.0), arc(collimator=0.0, points=3))
    still = engine.forward(block(spacing), displaced_beams(beams, d))
    moved_phantom = block(spacing, d) if any(rotation) else block(spacing, None, shift)
    moved = engine.forward(moved_phantom, beams)
    points = still.grid.point_at(np.argwhere(still.values_gy > 0.02 * still.max_gy).astype(float))
    assert len(points) > 100
    assert moved.at(d.moved(points)) == pytest.approx(still.at(points), rel=2e-4, abs=2e-4 * still.max_gy)


def test_the_default_positions_are_thirteen_and_their_names_say_where_the_patient_lies() -> None:
    positions = Scenarios().displacements((0.0, 0.0, 0.0))
    assert len(positions) == 13
    assert positions[0].name == NOMINAL
    assert positions[0].is_nominal
    by_name = {p.name: p for p in positions}
    # LPS: +x is the patient's left, +y posterior, +z superior
    assert by_name["1 mm posterior"].shift_mm == (0.0, 1.0, 0.0)
    assert by_name["1 mm right"].shift_mm == (-1.0, 0.0, 0.0)
    assert by_name["roll -1 deg"].rotation_deg == (0.0, 0.0, -1.0)
    assert len(Scenarios(combined=True).displacements((0.0, 0.0, 0.0))) == 13 + 2**6
    assert len(Scenarios(shift_mm=(1.0, 0.0, 2.0), rotation_deg=0.0).displacements((0.0, 0.0, 0.0))) == 5
    assert [p.name for p in Scenarios.nominal_only().displacements((0.0, 0.0, 0.0))] == [NOMINAL]
    assert Scenarios(shift_mm=(1.0, 0.0, 2.0), rotation_deg=0.0).describe() == "+-1/0/2 mm along each axis"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift_mm": -1.0}, "shift_mm is -1.0"),
        ({"shift_mm": 25.0}, "0 to 20 mm"),
        ({"shift_mm": (1.0, 1.0)}, "three for x, y, z"),
        ({"rotation_deg": 11.0}, "0 to 10 degrees"),
        ({"rotation_deg": float("nan")}, "rotation_deg is nan"),
        ({"shift_mm": "one"}, "shift_mm is 'one'"),
        ({"recomputed": -1}, "recomputed is -1"),
        ({"recomputed": 1.5}, "recomputed is 1.5"),
    ],
)
def test_impossible_scenarios_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Scenarios(**settings)  # type: ignore[arg-type]

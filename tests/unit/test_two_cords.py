"""A limit that held for one cord of two would be no limit: several are refused, and what is not limited is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rtsim.cli.main import parser
from rtsim.cli.request import request_of
from rtsim.dose.result import Dose
from rtsim.errors import InfeasiblePlanError, InputError
from rtsim.evaluate import find_cord, grade
from rtsim.optimize import emergency, plan_conventional, plan_stereotactic
from rtsim.optimize.find import find_structure
from rtsim.optimize.goals import sort_goals
from rtsim.optimize.robust.promises import promises_of
from rtsim.optimize.robust.scenarios import Scenarios
from rtsim.optimize.volumes import with_target_and_prv
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structures
from rtsim.phantom.targets import PlanningVolumes, with_planning_volumes
from rtsim.protocol import load_protocol
from rtsim.protocol.model import Protocol
from rtsim.view import report_html, report_pictures
from tests.unit import optimize_toy as toy

Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rod(radius_mm: float, low_mm: float = -99.0, high_mm: float = 99.0) -> Shape:
    return lambda r, z: (r < radius_mm) & (z > low_mm) & (z < high_mm)


UPPER, LOWER = rod(6.0, 12.0), rod(6.0, high_mm=12.0)


def drawn(**rods: Shape) -> Phantom:
    """The toy with these rods along its axis instead of its cord."""
    base = toy.phantom(5.0)
    z, y, x = np.meshgrid(base.grid.z_mm, base.grid.y_mm, base.grid.x_mm, indexing="ij")
    masks = {name: shape(np.hypot(x, y), z).astype(float) for name, shape in rods.items()}
    made = Phantom.from_arrays(base.ct.hu, (5.0,) * 3, base.grid.origin_mm, masks)
    kept = tuple(s for s in base.structures.values() if s.name != "spinal_cord")
    return replace(base, structures=Structures(kept).adding(*made.structures.values()))


def with_volumes(phantom: Phantom, protocol: Protocol) -> tuple[Phantom, tuple[str, ...]]:
    return with_target_and_prv(phantom, protocol.prescription("PTV"), protocol)


def some_dose(phantom: Phantom) -> Dose:
    return Dose(values_gy=np.full(phantom.grid.shape, 5.0), grid=phantom.grid)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("spinal_cord", ("Cord", "SpinalCord")),
        ("spinal_cord", ("spinal_cord", "Myelon")),
        ("spinal_cord_prv", ("SpinalCord_PRV02", "SpinalCord_PRV05")),
        ("spinal_canal", ("SpinalCanal", "canal")),
        ("thecal_sac", ("ThecalSac", "dura")),
        ("cauda_equina", ("CaudaEquina", "cauda")),
    ],
)
def test_two_of_a_kind_are_refused_with_their_names(key: str, names: tuple[str, str]) -> None:
    phantom = drawn(**dict(zip(names, (UPPER, LOWER), strict=True)))
    with pytest.raises(InputError, match="2 different structures") as refused:
        find_structure(phantom, key)
    assert all(name in str(refused.value) for name in (*names, "rename"))
    assert ("--cord NAME" in str(refused.value)) == (key not in ("spinal_cord_prv", "cauda_equina"))
    assert find_structure(phantom, names[1] if names[1] != key else names[0]) is not None, "asked for by its name"


def test_a_copy_under_another_name_is_no_second_cord() -> None:
    phantom = drawn(Cord=rod(6.0), spinal_cord=rod(6.0))
    assert find_structure(phantom, "spinal_cord") is phantom["spinal_cord"]
    assert find_cord(phantom) is phantom["spinal_cord"]


def test_every_planner_and_the_grade_refuse_two_cords_before_any_work() -> None:
    phantom, protocol, machine = drawn(Cord=UPPER, SpinalCord=LOWER), toy.protocol(), toy.machine()
    rx, engine = protocol.prescription("PTV"), toy.PencilEngine()
    with pytest.raises(InputError, match="Cord, SpinalCord"):
        plan_stereotactic(phantom, rx, protocol, machine, engine=engine, beams=toy.beams())
    with pytest.raises(InputError, match="Cord, SpinalCord"):
        plan_conventional(phantom, rx, protocol, machine, engine=engine)
    with pytest.raises(InputError, match="Cord, SpinalCord"):
        emergency(phantom, "PTV", machine, dose_gy=18.0, protocol=protocol, engine=engine)
    with pytest.raises(InputError, match="Cord, SpinalCord"):
        grade(some_dose(phantom), phantom, rx, protocol)


def test_two_prvs_are_refused_beside_one_cord() -> None:
    with pytest.raises(InputError, match="SpinalCord_PRV02, SpinalCord_PRV05"):
        with_volumes(drawn(SpinalCord=rod(5.0), SpinalCord_PRV02=rod(8.0), SpinalCord_PRV05=rod(11.0)), toy.protocol())


@pytest.mark.parametrize("name", ["SpinalCord_MR", "Cord1", "SpinalCord_T2", "PRV Cauda", "thecal_old"])
def test_a_name_like_a_cord_that_no_limit_speaks_of_is_said_loudly(name: str) -> None:
    phantom, protocol = drawn(SpinalCord=rod(5.0), **{name: UPPER}), toy.protocol()
    made, notes = with_volumes(phantom, protocol)
    (said,) = [n for n in notes if n.startswith("NOT LIMITED")]
    assert name in said
    report = grade(some_dose(made), made, protocol.prescription("PTV"), protocol)
    assert report.unlimited == (said,)
    assert f"NOT LIMITED: {name}" in str(report)


def test_the_report_says_it_beside_the_limits_that_hold() -> None:
    made, _ = with_volumes(drawn(SpinalCord=rod(5.0), Cord1=UPPER), toy.protocol())
    report = grade(some_dose(made), made, toy.protocol().prescription("PTV"), toy.protocol())
    pictures = report_pictures(made, some_dose(made), report, has_scene=False)
    html = report_html(made, some_dose(made), report, pictures=pictures)
    assert html.index("NOT LIMITED: Cord1") < html.index("<h2>Goals</h2>")
    assert "class='limits open'" in html
    assert "named like a cord is not limited" in html


def test_known_names_targets_and_copies_of_the_cord_are_no_such_names() -> None:
    phantom = drawn(SpinalCord=rod(5.0), SpinalCord_MR=rod(5.0), SpinalCanal=rod(9.0), GTV_epidural_canal=rod(12.0))
    assert not [n for n in with_volumes(phantom, toy.protocol())[1] if "NOT LIMITED" in n]


def test_what_is_drawn_limited_and_to_be_chosen_is_said() -> None:
    protocol = load_protocol("spine_sbrt_1fx")
    with pytest.raises(InfeasiblePlanError, match="drawn is ThecalSac, and no hard limit is on that") as refused:
        with_volumes(drawn(ThecalSac=rod(8.0)), protocol)
    assert "cord_limits 'hytec') limits spinal_cord," in str(refused.value)
    assert "no cord_limits of the protocol limit what is drawn" in str(refused.value)
    assert "--cord ThecalSac" in str(refused.value)
    prv = drawn(SpinalCord_PRV02=rod(8.0))
    with pytest.raises(InfeasiblePlanError, match=r"choose cord_limits .*: hytec_prv, reirradiation"):
        with_volumes(prv, protocol)
    assert with_volumes(prv, protocol.with_cord_limits("hytec_prv"))[1] == ()
    with pytest.raises(InfeasiblePlanError, match="drawn is SpinalCord_MR"):
        with_volumes(drawn(SpinalCord_MR=rod(5.0)), protocol)
    with pytest.raises(InfeasiblePlanError, match=r"none of spinal_cord, .* is drawn; draw the cord"):
        with_volumes(drawn(), protocol)


def test_a_cauda_with_a_hard_limit_suffices_where_nothing_else_is_drawn() -> None:
    protocol = load_protocol("spine_sbrt_1fx")
    rx = protocol.prescription("PTV")
    phantom, notes = with_volumes(drawn(CaudaEquina=rod(8.0)), protocol)
    assert any("the hard limit of CaudaEquina is held" in n for n in notes)
    hard = sort_goals(protocol.goals_for(rx), rx, phantom).hard
    (promise,) = promises_of(hard, phantom, rx, Scenarios())
    assert (promise.limit.structure.name, promise.limit.limit_gy, promise.everywhere) == ("CaudaEquina", 16.0, True)
    for beside in ("SpinalCanal", "SpinalCord_MR"):
        with pytest.raises(InfeasiblePlanError, match=f"drawn is {beside}, and no hard limit"):
            with_volumes(drawn(CaudaEquina=rod(8.0), **{beside: UPPER}), protocol)
    with pytest.raises(InfeasiblePlanError, match="drawn is CaudaEquina"):
        with_volumes(drawn(CaudaEquina=rod(8.0)), toy.protocol())


def request_for(phantom: Phantom, monkeypatch: pytest.MonkeyPatch, *options: str) -> Phantom:
    monkeypatch.setattr("rtsim.cli.request_phantom.read_dicom", lambda *_, **__: phantom)
    argv = ["run", "--dicom", "x", "--target", "PTV", "--protocol", "spine_sbrt_1fx", "-o", "y", *options]
    return request_of(parser().parse_args(argv), None).phantom


@pytest.mark.parametrize("chosen", ["Cord", "SpinalCord", "SpinalCord_MR", "spinal_cord"])
def test_the_cord_that_the_command_line_names_is_the_only_one(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {"Cord": UPPER, "SpinalCord": rod(6.0, -12.0, 12.0), "SpinalCord_MR": rod(8.0), "spinal_cord": LOWER}
    phantom = drawn(**shapes)
    made, _ = with_volumes(request_for(phantom, monkeypatch, "--cord", chosen), load_protocol("spine_sbrt_1fx"))
    cord, prv = find_structure(made, "spinal_cord"), find_structure(made, "spinal_cord_prv")
    assert cord is not None
    assert prv is not None
    assert cord.volume_cm3 == pytest.approx(phantom[chosen].volume_cm3)
    assert find_cord(made) is cord
    assert prv.volume_cm3 > cord.volume_cm3
    for other in {"Cord", "SpinalCord", "spinal_cord"} - {chosen}:
        assert f"{other} (as drawn, not used)" in made.structures
        assert any("NOT LIMITED" in n and repr(other) in n for n in made.notes)


def test_the_command_line_refuses_what_it_cannot_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="named like a spinal cord: Cord, SpinalCord; say which one"):
        request_for(drawn(Cord=UPPER, SpinalCord=LOWER), monkeypatch)
    with pytest.raises(InputError, match="spinal canal: SpinalCanal, canal"):
        request_for(drawn(SpinalCanal=UPPER, canal=LOWER), monkeypatch)
    with pytest.raises(InputError, match="SpinalCord_PRV02, SpinalCord_PRV05"):
        request_for(drawn(SpinalCord=rod(5.0), SpinalCord_PRV02=rod(8.0), SpinalCord_PRV05=rod(11.0)), monkeypatch)


def test_a_prv_of_another_cord_is_set_aside() -> None:
    phantom = drawn(SpinalCord=rod(6.0), Cord_PRV01=rod(8.0, 20.0))
    volumes = PlanningVolumes(
        target="PTV",
        cord="SpinalCord",
        ptv_margin_mm=0.0,
        cord_margin_mm=2.0,
        spare_cord=True,
        is_only_cord=True,
        cord_prv="Cord_PRV01",
    )
    made, _ = with_planning_volumes(phantom, volumes)
    assert find_structure(made, "spinal_cord_prv") is made["spinal_cord_prv"]
    assert made["Cord_PRV01 (as drawn, not used)"].role is Role.CONTROL
    assert "Cord_PRV01" not in made.structures

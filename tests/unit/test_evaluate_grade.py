"""Grading a synthetic spine: a dose shell around a vertebral body, bent round the cord."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rtsim.biology import histology
from rtsim.dose.result import Dose
from rtsim.errors import InputError
from rtsim.evaluate import Status, find_cord, find_structure, grade
from rtsim.geometry.grid import Grid
from rtsim.optimize.plan import Certificate, PositionsHeld
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Structure
from rtsim.protocol import Goal, Prescription, Priority, Sense, Source, Standing
from rtsim.protocol.load import load_protocol

SOURCE = Source(citation="made for this test", standing=Standing.ASSUMPTION)
SPACING_MM = (2.0, 2.0, 3.0)


@cache
def spine() -> Phantom:
    """Body, vertebral body 40 x 30 mm in front of a cord of radius 6 mm; half-covered voxels at the edges."""
    grid = Grid.covering((-100.0, -90.0, -45.0), (100.0, 90.0, 45.0), SPACING_MM)
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")

    def soft(distance_mm: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance_mm / 2.0, 0.0, 1.0)

    body = soft(np.hypot(x / 95.0, y / 80.0) * 85.0 - 85.0)
    vertebra = soft(np.maximum(np.hypot(x / 20.0, (y + 5.0) / 15.0) * 17.0 - 17.0, np.abs(z) - 13.0))
    cord = soft(np.hypot(x, y - 22.0) - 5.0)
    canal = soft(np.hypot(x, y - 22.0) - 9.0)
    arch = soft(np.maximum(np.abs(np.hypot(x, y - 22.0) - 11.5) - 2.5, np.abs(z) - 13.0)) * (y > 12)
    spinous = soft(np.maximum(np.maximum(np.abs(x) - 3.0, np.abs(y - 45.0) - 13.0), np.abs(z) - 8.0))
    lungs = [soft(np.hypot((x - s * 55.0) / 30.0, (y + 10.0) / 45.0) * 35.0 - 35.0) for s in (1, -1)]
    bone = np.maximum(np.maximum(vertebra, arch), spinous)
    hu = -1000.0 + 1020.0 * body + 480.0 * bone * body
    for lung in lungs:
        hu = hu * (1 - lung) - 750.0 * lung
    masks = {
        "BODY": body,
        "PTV": vertebra,
        "SpinalCord": cord,
        "spinal_canal": canal,
        "vertebra_T8": bone,
        "Lung_L": lungs[0],
        "Lung_R": lungs[1],
    }
    noise = np.random.default_rng(1).normal(0.0, 12.0, grid.shape)
    return Phantom.from_arrays(hu + noise * (body > 0.5), grid.spacing_mm, grid.origin_mm, masks, name="synthetic_t8")


@cache
def bent_dose(scale: float = 1.0, fractions: int = 2) -> Dose:
    """24 Gy x scale to the vertebral body, falling off around it and more steeply towards the cord."""
    grid = Grid.covering((-95.0, -85.0, -40.0), (95.0, 85.0, 40.0), (2.0, 2.0, 2.0))
    z, y, x = np.meshgrid(grid.z_mm, grid.y_mm, grid.x_mm, indexing="ij")
    away = np.maximum(np.hypot(x / 20.0, (y + 5.0) / 15.0) * 17.0 - 17.0, np.abs(z) - 13.0)
    shell = 24.0 / (1.0 + np.exp((away - 6.0) / 2.5)) + 5.0 * np.exp(-np.clip(away, 0, None) / 25.0)
    bend = 1.0 - 0.6 * np.exp(-(((x / 9.0) ** 2 + ((y - 23.0) / 9.0) ** 2) ** 2))
    return Dose(values_gy=scale * shell * bend, grid=grid, fractions=fractions, engine="made for this test")


RX = Prescription("PTV", 24.0, 2)


def goal(structure: str, metric: str, sense: Sense, value: float, unit: str, priority: Priority) -> Goal:
    return Goal(structure, metric, sense, value, unit, priority, SOURCE)


def test_against_a_shipped_protocol() -> None:
    report = grade(bent_dose(), spine(), RX, load_protocol("spine_sbrt_2fx"), histology=histology("renal"))
    assert report.protocol == "spine_sbrt_2fx"
    by = {(r.goal.structure, r.goal.parsed.name): r for r in report.rows}
    assert len(by) == len(report.rows)
    assert {r.found_as for r in report.rows if r.goal.structure == "PTV"} == {"PTV"}
    absent = [r for r in report.rows if r.status is Status.ABSENT]
    assert any(r.goal.structure == "esophagus" for r in absent)
    assert report.target.d95_gy == pytest.approx(27.0, abs=0.5)
    t = report.target
    assert t.d98_gy < t.d95_gy < t.d50_gy < t.d2_gy <= t.max_gy
    assert report.tumor is not None
    assert report.tumor.tcp_log_logistic is not None
    assert 0.0 < report.tumor.tcp_log_logistic < 1.0
    assert report.cord is not None
    assert report.cord.structure == "SpinalCord"
    text = str(report)
    assert "not a medical device" in text
    assert "Not drawn, so not judged:" in text
    assert "esophagus" in text.split("Not drawn")[1]
    assert max(map(len, text.splitlines())) <= 130


def test_a_violated_hard_limit_is_unmistakable() -> None:
    limit = goal("spinal_cord", "D0.035cc", Sense.AT_MOST, 3.0, "Gy", Priority.HARD)
    report = grade(bent_dose(), spine(), RX, [limit])
    assert not report.hard_limits_held
    assert report.violations == report.rows
    text = str(report)
    assert text.count("HARD LIMIT VIOLATED") >= 2
    assert text.startswith("!!!!")
    assert "SpinalCord D0.035cc is" in report.headline
    held = grade(bent_dose(), spine(), RX, [replace(limit, value=50.0)])
    assert held.hard_limits_held
    assert "HARD LIMIT VIOLATED" not in str(held)


def test_a_hard_limit_on_an_absent_structure_is_said() -> None:
    report = grade(bent_dose(), spine(), RX, [goal("esophagus", "Dmax", Sense.AT_MOST, 5.0, "Gy", Priority.HARD)])
    assert report.unmeasured_hard_limits == report.rows
    assert "NOT CHECKED" in report.headline
    assert report.rows[0].got == "-"


def test_a_cauda_equina_that_is_drawn_as_cord_is_not_missed() -> None:
    """The cord is drawn down to the lower end of the CT: its limit holds for whatever else lies in its contour.

    Not so without a limit on the cord, nor where the cord ends 20 mm higher, as at a conus.
    """
    limit, patient = goal("cauda_equina", "Dmax", Sense.AT_MOST, 5.0, "Gy", Priority.HARD), spine()
    on_cord = goal("spinal_cord", "D0.035cc", Sense.AT_MOST, 50.0, "Gy", Priority.HARD)
    unchecked = "NOT CHECKED (structure absent or outside the grid): cauda_equina"
    whole = grade(bent_dose(), patient, RX, [on_cord, limit])
    assert not whole.unmeasured_hard_limits
    assert "NOT CHECKED" not in whole.headline
    assert "the spinal cord is drawn, and limited, down to the lower end of the CT" in " ".join(str(whole).split())
    cord = patient["SpinalCord"]
    above = cord.coverage * (cord.grid.z_mm > cord.grid.z_mm[0] + 20.0)[:, None, None]
    ends = patient.with_structures(Structure.from_coverage(cord.name, cord.role, cord.grid, above))
    assert unchecked in grade(bent_dose(), ends, RX, [on_cord, limit]).headline
    assert unchecked in grade(bent_dose(), patient, RX, [replace(on_cord, priority=Priority.GOAL), limit]).headline


def test_a_broken_certificate_shows_first() -> None:
    broken = Certificate(
        structure="SpinalCord",
        metric="D0.035cc",
        limit_gy=17.0,
        reached_gy=18.0,
        held=False,
        statement="The cord limit of 17 Gy is exceeded: 18 Gy.",
    )
    report = grade(bent_dose(), spine(), RX, [], certificates=[broken])
    assert not report.hard_limits_held
    assert "exceeded: 18 Gy" in report.headline


def test_the_limit_in_every_position_is_a_line_of_its_own() -> None:
    positions = PositionsHeld(
        scenarios="+-1 mm along each axis",
        promised=True,
        count=7,
        held=7,
        worst="1 mm posterior",
        worst_gy=15.92,
        recomputed=("1 mm posterior",),
        margin_percent=0.4,
    )
    certificate = Certificate(
        structure="SpinalCord",
        metric="D0.035cc",
        limit_gy=17.0,
        reached_gy=14.5,
        held=True,
        statement="In words." + positions.sentence,
        positions=positions,
    )
    text = str(grade(bent_dose(), spine(), RX, [], certificates=[certificate]))
    assert "Cord limit HELD in 7 of 7 positions (worst 15.92 of 17 Gy D0.035cc, 1 mm posterior)" in text.splitlines()
    words = " ".join(text.split())
    computed = "1 as planned, 1 computed by the engine (1 mm posterior)"
    assert f"{computed}, 5 read in the displaced dose cloud, 0.4 % added" in words
    broken = replace(certificate, held=False, positions=replace(positions, held=6))
    report = grade(bent_dose(), spine(), RX, [], certificates=[broken])
    assert not report.hard_limits_held
    assert "Cord limit NOT HELD in 6 of 7 positions" in str(report)
    beside = replace(certificate, positions=replace(positions, promised=False, held=6))
    assert beside.headline == "Cord limit HELD as planned (14.50 of 17 Gy D0.035cc; 15.92 Gy when 1 mm posterior)"
    assert "positions" not in str(grade(bent_dose(), spine(), RX, [], certificates=[beside])).splitlines()[2]


def test_names_pairs_and_roles() -> None:
    phantom = spine()
    assert find_structure(phantom, "spinal_cord", RX) is phantom["SpinalCord"]
    pair = find_structure(phantom, "lungs", RX)
    assert pair is not None
    assert pair.name == "Lung_L + Lung_R"
    both = phantom["Lung_L"].volume_cm3 + phantom["Lung_R"].volume_cm3
    assert pair.volume_cm3 == pytest.approx(both, rel=0.01)
    assert find_structure(phantom, "PTV", Prescription("vertebra_T8", 8.0, 1)) is phantom["vertebra_T8"]
    assert find_structure(phantom, "GTV", RX) is None
    assert find_cord(phantom) is phantom["SpinalCord"]


def test_truncated_structure_says_so() -> None:
    dose = bent_dose()
    crop, slices = dose.grid.crop((-40.0, -40.0, -20.0), (40.0, 40.0, 20.0))
    short = Dose(values_gy=dose.values_gy[slices], grid=crop, fractions=2)
    report = grade(short, spine(), RX, [goal("spinal_cord", "Dmean", Sense.AT_MOST, 20.0, "Gy", Priority.GOAL)])
    assert "lies outside the dose grid and counts as 0 Gy" in report.rows[0].note
    assert "met*" in str(report)


def test_fractions_must_agree() -> None:
    with pytest.raises(InputError, match="dose is for 2 fractions, the prescription for 1"):
        grade(bent_dose(), spine(), Prescription("PTV", 24.0, 1), [])


def test_unknown_target_gives_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'PTV'"):
        grade(bent_dose(), spine(), Prescription("PTB", 24.0, 2), [])


def test_standing_of_each_source_is_shown() -> None:
    sources = {s: Source(citation=f"cite {s.name}", standing=s) for s in Standing}
    goals = [Goal("PTV", "D95%", Sense.AT_LEAST, 20.0, "Gy", Priority.GOAL, s) for s in sources.values()]
    text = str(grade(bent_dose(), spine(), RX, goals))
    assert all(standing.label in text for standing in Standing)
    assert all(f"[{i}]" in text for i in (1, 2, 3))

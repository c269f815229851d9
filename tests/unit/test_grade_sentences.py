"""What the head of a report says in sentences: goals that are missed, PRV and displaced positions, the thecal sac."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtsim.biology import histology
from rtsim.dose.result import Dose
from rtsim.evaluate import grade
from rtsim.geometry.grid import Grid
from rtsim.optimize.plan import Certificate, PositionsHeld
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import Goal, Prescription, Priority, Sense, Source, Standing
from rtsim.protocol.load import load_protocol

RX = Prescription("PTV", 20.0, 2)
SOURCE = Source(citation="made for this test", standing=Standing.ASSUMPTION)
SHAPE, SPACING_MM, ORIGIN_MM = (10, 10, 10), (4.0, 4.0, 4.0), (-18.0, -18.0, -18.0)


def phantom() -> Phantom:
    masks = {name: np.zeros(SHAPE) for name in ("PTV", "spinal_cord", "thecal_sac", "body")}
    masks["body"][:] = 1.0
    masks["PTV"][3:7, 2:5, 3:7] = 1.0
    masks["spinal_cord"][:, 7, 5] = 1.0
    masks["thecal_sac"][:, 6:8, 4:6] = 1.0
    return Phantom.from_arrays(np.zeros(SHAPE), SPACING_MM, ORIGIN_MM, masks)


def dose(fractions: int = 2) -> Dose:
    return Dose(
        values_gy=np.full(SHAPE, 15.0, dtype=np.float32), grid=Grid(SHAPE, SPACING_MM, ORIGIN_MM), fractions=fractions
    )


def goal(structure: str, metric: str, value: float, priority: Priority = Priority.GOAL, note: str = "") -> Goal:
    return Goal(structure, metric, Sense.AT_MOST, value, "Gy", priority, SOURCE, note)


def test_missed_goals_are_named_and_reported_numbers_counted_apart() -> None:
    goals = [goal("PTV", "D0.035cc", 14.0), goal("spinal_cord", "D0.035cc", 16.0)]
    reported = goal("PTV", "Dmean", 10.0, Priority.REPORT)
    found = grade(dose(), phantom(), RX, [*goals, reported])
    assert found.goals_sentence == (
        "1 of 2 judged goals met; NOT MET: PTV D0.035cc 15.00 Gy (<= 14 Gy). Of 1 numbers that are only reported, 0 "
        "lie in their bands."
    )
    assert grade(dose(), phantom(), RX, goals[1:]).goals_sentence == "1 of 1 judged goals met."
    assert found.goals_sentence in " ".join(str(found).split())


def test_the_sac_is_told_where_the_prv_stands_for_it() -> None:
    about = goal("spinal_cord_prv", "D0.035cc", 17.0, note="the PRV stands for the thecal sac")
    (said,) = grade(dose(), phantom(), RX, [about]).information
    assert said.startswith("Not limited, for information: thecal_sac D0.035cc is 15.00 Gy.")
    assert grade(dose(), phantom(), RX, [replace(about, note="")]).information == ()
    limited = goal("thecal_sac", "D0.035cc", 17.0)
    assert grade(dose(), phantom(), RX, [about, limited]).information == ()


def test_of_a_limit_on_the_prv_displaced_positions_are_explained() -> None:
    positions = PositionsHeld(
        scenarios="+-1 mm",
        promised=False,
        count=7,
        held=3,
        worst="1 mm left",
        worst_gy=19.0,
        recomputed=(),
        margin_percent=0.0,
    )
    prv = Certificate(
        structure="spinal_cord_prv",
        metric="D0.035cc",
        limit_gy=17.0,
        reached_gy=16.9,
        held=True,
        statement="",
        positions=positions,
    )
    cord = replace(prv, structure="spinal_cord", positions=replace(positions, held=7))
    found = grade(dose(), phantom(), RX, [], certificates=[prv, cord])
    assert found.margin_sentences == (
        "spinal_cord_prv (the limit): met as planned, not in 4 of 7 positions, because the PRV is itself the margin "
        "for these; the cord inside it is held in 7 of 7.",
    )
    promised = replace(prv, positions=replace(positions, promised=True))
    assert grade(dose(), phantom(), RX, [], certificates=[promised]).margin_sentences == ()


def test_control_is_not_estimated_for_palliative_plans() -> None:
    rx = Prescription("PTV", 20.0, 5)
    palliative = grade(dose(5), phantom(), rx, load_protocol("spine_conventional_5fx"), histology=histology("renal"))
    assert palliative.tumor is not None
    assert palliative.tumor.tcp_poisson is None
    assert "TCP" not in str(palliative)
    assert grade(dose(), phantom(), RX, [], histology=histology("renal")).tumor.tcp_poisson is not None  # type: ignore[union-attr]

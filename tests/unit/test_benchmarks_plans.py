"""The benchmarks of plans: which rows a name chooses, that finished rows are kept, what is asked of the planner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench_plans, plans_certified
from benchmarks.plans_asked import stereotactic_spines
from benchmarks.plans_spine_18x1 import PRV_GY, request_18x1
from benchmarks.row import Row
from rtsim.phantom.targets import CORD, CORD_PRV
from rtsim.protocol import Priority


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (None, True),
        ("t8", True),
        ("t8:24x1", True),
        ("spine_t8_epidural:24x1", True),
        ("t8:24/2", False),
        ("t5:24x1", False),
        ("tg119", False),
        ("t8:18x1", False),
    ],
)
def test_a_name_chooses_levels_of_cases(only: str | None, chosen: bool) -> None:
    assert plans_certified.is_wanted(only, "spine_t8_epidural", "24x1") is chosen


def test_a_finished_row_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def row(case: str, level: str) -> Row:
        made.append(f"{case}:{level}")
        return Row(case=made[-1], value=91.5, unit="%", goal="held", met=True)

    monkeypatch.setattr(plans_certified, "KEPT", tmp_path)
    monkeypatch.setattr(plans_certified, "_row", row)
    monkeypatch.setattr(plans_certified, "commit", lambda: "one commit")
    first = list(plans_certified.rows("t8"))
    again = list(plans_certified.rows("t8"))
    assert first == again
    assert [r.case for r in first] == [f"spine_t8_epidural:{level}" for level in ("24x1", "24/2", "27/3", "30/5")]
    assert len(made) == 4
    monkeypatch.setattr(plans_certified, "commit", lambda: "another commit")
    assert [replace(r, note="") for r in plans_certified.rows("t8:27/3")] == [first[2]]
    assert len(made) == 5
    for state in ("one commit-dirty", "unknown"):  # files that no commit names: the next run may be of others
        monkeypatch.setattr(plans_certified, "commit", lambda state=state: state)
        made.clear()
        assert list(plans_certified.rows("t8:27/3")) == list(plans_certified.rows("t8:27/3"))
        assert len(made) == 2


def test_no_part_makes_a_plan_for_a_name_that_it_does_not_have() -> None:
    assert list(bench_plans.rows("no such case")) == []


def test_18x1_is_asked_with_the_limit_and_the_prv_of_the_five_centers() -> None:
    assert {"spine_c6", "spine_t8_epidural", "spine_t11_cord", "spine_l1_conus"} <= set(stereotactic_spines())
    request = request_18x1("spine_c6")
    assert (request.prescription.dose_gy, request.prescription.fractions) == (18.0, 1)
    hard = [g for g in request.protocol.goals_for(request.prescription) if g.priority is Priority.HARD]
    assert ("spinal_cord_prv", "Dmax", PRV_GY) in {(g.structure, g.metric, g.value) for g in hard}
    cord, prv = request.phantom[CORD], request.phantom[CORD_PRV]
    # a shell of 1 mm round a cord of some 13 mm x 7 mm: 12.3 cm3 become 18.5; of 2 mm, as the case has it, 25.8
    assert prv.volume_cm3 / cord.volume_cm3 == pytest.approx(1.5, abs=0.1)

"""The seam between what is wanted and what checks it: metrics, goals, prescriptions, organ names."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rtsim.errors import InputError
from rtsim.protocol import (
    CordLimits,
    DoseLevel,
    Goal,
    Metric,
    MetricKind,
    Prescription,
    Priority,
    Protocol,
    Sense,
    Source,
    Standing,
    Technique,
    Unit,
    canonical,
    tg263,
)
from rtsim.protocol.nomenclature import organs
from tests.shared import SHARED, requires_shared

SOURCE = Source(citation="made for this test", standing=Standing.ASSUMPTION)


def _goal(structure: str = "spinal_cord", value: float = 17.0, **changes: object) -> Goal:
    goal = Goal(structure, "D0.035cc", Sense.AT_MOST, value, "Gy", Priority.HARD, SOURCE)
    return dataclasses.replace(goal, **changes)  # type: ignore[arg-type]


def test_what_no_dose_can_keep_is_refused() -> None:
    with pytest.raises(InputError, match=r"spinal_cord D0\.035cc may be at most 0 Gy"):
        _goal(value=0.0)
    assert dataclasses.replace(_goal(priority=Priority.GOAL), value=0.0).value == 0.0
    with pytest.raises(InputError, match="PTV V100% is to be 190 %; a volume has 100 % at most"):
        _goal("PTV", 190.0, metric="V100%", unit="%", sense=Sense.AT_LEAST)
    assert _goal("PTV", 100.0, metric="V100%", unit="%", sense=Sense.AT_LEAST).value == 100.0
    assert _goal("PTV", 107.0, metric="D2% %", unit="%", sense=Sense.AT_LEAST).value == 107.0


@pytest.mark.parametrize(
    ("text", "kind", "threshold", "threshold_unit", "unit"),
    [
        ("D0.035cc", MetricKind.DOSE_AT_VOLUME, 0.035, Unit.CM3, Unit.GY),
        ("D2cm3", MetricKind.DOSE_AT_VOLUME, 2.0, Unit.CM3, Unit.GY),
        ("D95%", MetricKind.DOSE_AT_VOLUME, 95.0, Unit.PERCENT, Unit.GY),
        ("D95% %", MetricKind.DOSE_AT_VOLUME, 95.0, Unit.PERCENT, Unit.PERCENT),
        ("d 95 %", MetricKind.DOSE_AT_VOLUME, 95.0, Unit.PERCENT, Unit.GY),
        ("V20Gy", MetricKind.VOLUME_AT_DOSE, 20.0, Unit.GY, Unit.PERCENT),
        ("V18Gy cm3", MetricKind.VOLUME_AT_DOSE, 18.0, Unit.GY, Unit.CM3),
        ("V100%", MetricKind.VOLUME_AT_DOSE, 100.0, Unit.PERCENT, Unit.PERCENT),
        ("CV7Gy", MetricKind.COLD_VOLUME, 7.0, Unit.GY, Unit.CM3),
        ("Dmean", MetricKind.MEAN_DOSE, 0.0, Unit.NONE, Unit.GY),
        ("dmax %", MetricKind.MAX_DOSE, 0.0, Unit.NONE, Unit.PERCENT),
        ("conformity_paddick", MetricKind.CONFORMITY_PADDICK, 0.0, Unit.NONE, Unit.NONE),
    ],
)
def test_metric_grammar(text: str, kind: MetricKind, threshold: float, threshold_unit: Unit, unit: Unit) -> None:
    metric = Metric.parse(text)
    assert (metric.kind, metric.threshold) == (kind, threshold)
    assert (metric.threshold_unit, metric.unit) == (threshold_unit, unit)
    assert Metric.parse(str(metric)) == metric


@pytest.mark.parametrize("text", ["D95", "V20", "Dmedian", "D95Gy", "V0.1cc", "CV5cc", "D120%", "", "D-1%", "V20Gy Gy"])
def test_metric_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(InputError, match=r"examples: D95%|more than 100 %|cannot be in"):
        Metric.parse(text)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("V100%", True),
        ("V20Gy", False),
        ("D95%", False),
        ("D95% %", True),
        ("CV50%", True),
        ("CV7Gy", False),
        ("gradient_index", True),
        ("homogeneity_icru83", False),
    ],
)
def test_metric_says_when_it_needs_the_prescription(text: str, needs: bool) -> None:
    assert Metric.parse(text).needs_prescription is needs


def test_goal_carries_its_parsed_metric_and_judges() -> None:
    goal = Goal("PTV", "D95%", Sense.AT_LEAST, 90.0, "%", Priority.GOAL, SOURCE)
    assert goal.parsed.unit is Unit.PERCENT
    assert goal.met_by(90.0)
    assert not goal.met_by(89.9)
    assert not goal.met_by(float("nan"))
    assert str(goal) == "PTV D95% >= 90 %"
    assert _goal().met_by(17.0)
    assert not _goal().met_by(17.01)


def test_goal_refuses_a_wrong_unit_and_an_empty_source() -> None:
    with pytest.raises(InputError, match="cannot be in 'cm3'; its unit is 'Gy' or '%'"):
        _goal(unit="cm3")
    with pytest.raises(InputError, match="cites nothing"):
        _goal(source=Source(citation=" ", standing=Standing.VERIFIED))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 24.0, 2), "target is empty"),
        (("PTV", -1.0, 2), "dose_gy is -1.0"),
        (("PTV", 24.0, 0), "fractions is 0"),
        (("PTV", 24.0, 2, 101.0), "coverage_percent is 101.0"),
    ],
)
def test_prescription_is_checked(arguments: tuple[str, float, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Prescription(*arguments)


def _protocol() -> Protocol:
    hard, lax = _goal(), _goal(value=19.0)
    return Protocol(
        name="made",
        description="",
        technique=Technique.STEREOTACTIC,
        dose_levels=(DoseLevel(24.0, 2, True), DoseLevel(28.0, 2)),
        goals=(hard, _goal("PTV", 30.0, priority=Priority.GOAL, dose_gy=28.0)),
        cord_margin_mm=2.0,
        ptv_margin_mm=2.0,
        cord_limits=(
            CordLimits(name="strict", description="", goals=(hard,)),
            CordLimits(name="lax", description="", goals=(lax,)),
        ),
        cord_limits_name="strict",
    )


def test_protocol_prescribes_only_its_levels() -> None:
    protocol = _protocol()
    assert protocol.prescription("PTV") == Prescription("PTV", 24.0, 2)
    assert protocol.prescription("PTV", 28.0).dose_per_fraction_gy == 14.0
    with pytest.raises(InputError, match="dose_gy is 26; protocol 'made' allows 24 Gy/2, 28 Gy/2"):
        protocol.prescription("PTV", 26.0)
    with pytest.raises(InputError, match="fractions is 3"):
        protocol.goals_for(Prescription("PTV", 24.0, 3))


def test_goals_of_another_level_do_not_apply() -> None:
    protocol = _protocol()
    assert len(protocol.goals_for(protocol.prescription("PTV", 24.0))) == 1
    assert len(protocol.goals_for(protocol.prescription("PTV", 28.0))) == 2


def test_cord_limits_can_be_chosen() -> None:
    protocol = _protocol()
    assert [g.value for g in protocol.cord_limit] == [17.0]
    other = protocol.with_cord_limits("lax")
    assert [g.value for g in other.cord_limit] == [19.0]
    assert len(other.goals) == len(protocol.goals)
    with pytest.raises(InputError, match="did you mean 'strict'"):
        protocol.with_cord_limits("strikt")


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("SpinalCord", "spinal_cord"),
        ("spinal_cord", "spinal_cord"),
        ("Cord", "spinal_cord"),
        ("Myelon", "spinal_cord"),
        ("MEDULLA", "spinal_cord"),
        ("Rueckenmark", "spinal_cord"),
        ("Spinal Cord PRV", "spinal_cord_prv"),
        ("SpinalCanal", "spinal_canal"),
        ("vertebrae_L3", "vertebra_L3"),
        ("vertebra_L3", "vertebra_L3"),
        ("vertebral_body_T12", "vertebral_body_T12"),
        ("BWK 7", "vertebra_T7"),
        ("LWK3", "vertebra_L3"),
        ("Th5", "vertebra_T5"),
        ("kidney_left", "kidney_left"),
        ("Lt Lung", "lung_left"),
        ("RightParotid", "parotid_right"),
        ("External", "body"),
        ("BODY", "body"),
        ("BODY_derived", "body"),
        ("Water_External", "body"),
        ("Skin", "skin"),
        ("oesophagus", "esophagus"),
        ("PTV70", "PTV"),
        ("PTV_CShape", "PTV"),
        ("PTV_L3", "PTV"),
        ("vertebra_L9", None),
        ("Scar", None),
        ("Core", None),
        ("CAX_10 cm depth", None),
        ("PTV minus cord", None),
        ("", None),
    ],
)
def test_labels_found_in_data(label: str, key: str | None) -> None:
    assert canonical(label) == key


def test_every_key_is_its_own_label_and_has_a_tg263_name_that_leads_back() -> None:
    for key in organs():
        assert canonical(key) == key
        assert canonical(tg263(key)) == key


@requires_shared
def test_labels_of_the_real_lumbar_case() -> None:
    masks = json.loads((SHARED / "data/lumbar_totalseg/case.json").read_text())["masks"]
    unknown = {label for label in masks if canonical(label) is None}
    assert unknown == {"high_density_gt_2000HU_derived"}


@pytest.mark.parametrize("label", ["SpinalCord_PRV02", "PRV02_SpinalCord", "Cord+2mm", "Cord PRV 3mm", "Myelon_PRV"])
def test_a_grown_cord_is_a_prv_not_a_cord(label: str) -> None:
    assert canonical(label) == "spinal_cord_prv"


@pytest.mark.parametrize("label", ["Liver_PRV05", "Liver+5mm", "PRV"])
def test_a_grown_organ_is_not_the_organ(label: str) -> None:
    assert canonical(label) is None

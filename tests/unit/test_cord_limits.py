"""The cord's limit by name for any number of fractions, every schedule that is used, and protocols made for others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtsim import biology
from rtsim.biology import cord_limit_gy, eqd2_gy
from rtsim.errors import InputError
from rtsim.io.case import case_names, load_case
from rtsim.io.case_phantom import SpineRecipe
from rtsim.phantom.spine.spec import Compartment
from rtsim.protocol import (
    CORD_EQD2_GY,
    DoseLevel,
    Priority,
    Standing,
    Technique,
    cord_limit,
    cord_limit_names,
    for_fractions,
    load_protocol,
    names,
)
from rtsim.protocol.cord import closed_form_gy

SCHEDULES = {
    Technique.STEREOTACTIC: ["16/1", "18/1", "24/1", "24/2", "28/2", "27/3", "30/3", "30/4", "30/5", "35/5", "40/5"],
    Technique.CONVENTIONAL: ["8/1", "20/5", "30/10", "37.5/15", "40/20", "45/25", "50.4/28", "54/30"],
}
ORGANS = {
    "cord": ["spinal_cord"],
    "PRV": ["spinal_cord_prv"],
    "thecal sac": ["thecal_sac"],
    "cauda": ["cauda_equina"],
    "oesophagus": ["esophagus"],
    "trachea": ["trachea"],
    "heart": ["heart"],
    "lungs": ["lungs"],
    "kidneys": ["kidneys"],
    "liver": ["liver"],
    "stomach": ["stomach"],
    "bowel": ["bowel", "small_bowel", "colon"],
    "great vessels": ["great_vessels", "aorta", "inferior_vena_cava"],
    "skin": ["skin"],
    "plexus": ["brachial_plexuses", "sacral_plexus"],
    "larynx": ["larynx"],
}


@pytest.mark.parametrize("technique", list(Technique))
def test_every_schedule_that_is_used_has_a_protocol(technique: Technique) -> None:
    held = {
        f"{level.dose_gy:g}/{level.fractions}"
        for protocol in map(load_protocol, names())
        for level in protocol.dose_levels
        if protocol.technique is technique
    }
    assert set(SCHEDULES[technique]) <= held


@pytest.mark.parametrize("name", names())
def test_every_protocol_speaks_of_every_organ(name: str) -> None:
    protocol = load_protocol(name)
    goals = [*protocol.goals, *(g for c in protocol.cord_limits for g in c.goals)]
    spoken = {g.structure for g in goals}
    missing = {organ: [k for k in keys if k not in spoken] for organ, keys in ORGANS.items()}
    assert not {organ: keys for organ, keys in missing.items() if keys}


def test_one_constant_in_two_packages() -> None:
    """Neither imports the other."""
    assert CORD_EQD2_GY == biology.CORD_EQD2_GY
    for n in (1, 2, 3, 5, 8, 10, 25, 30):
        assert closed_form_gy(n) == pytest.approx(cord_limit_gy(n), rel=1e-12)


@pytest.mark.parametrize(("fractions", "gy"), [(1, 12.4), (2, 17.0), (3, 20.3), (4, 23.0), (5, 25.3)])
def test_hytec_as_published(fractions: int, gy: float) -> None:
    """source: Sahgal et al. 2021, IJROBP 110:124."""
    limit = cord_limit(fractions)
    assert limit.dose_gy == gy
    assert limit.source.standing is Standing.VERIFIED


@pytest.mark.parametrize("fractions", [6, 8, 10, 15, 25, 30])
def test_hytec_carried_to_other_numbers_is_an_assumption(fractions: int) -> None:
    """By hand for 8: 8 (sqrt(1 + 178.4 / 8) - 1) = 30.62, down to 30.6."""
    limit = cord_limit(fractions)
    assert 44.2 < float(eqd2_gy(limit.dose_gy, fractions, 2.0)) <= 44.6
    assert limit.eqd2_gy == pytest.approx(float(eqd2_gy(limit.dose_gy, fractions, 2.0)))
    assert limit.source.standing is Standing.ASSUMPTION
    assert cord_limit(8).dose_gy == 30.6


@pytest.mark.parametrize(
    ("name", "fractions", "gy", "eqd2"),
    [
        ("tg101", 1, 14.0, 56.0),
        ("tg101", 3, 21.9, 50.9),
        ("tg101", 5, 30.0, 60.0),
        ("rtog0631", 1, 14.0, 56.0),
        ("mskcc", 1, 14.0, 56.0),
        ("nccn", 4, 26.0, 55.2),
    ],
)
def test_alternatives_by_name(name: str, fractions: int, gy: float, eqd2: float) -> None:
    """source: TG-101 table III; RTOG 0631; MSKCC criteria as in PortPy; EQD2 by hand, D (d + 2) / 4."""
    limit = cord_limit(fractions, name)
    assert limit.dose_gy == gy
    assert limit.eqd2_gy == pytest.approx(eqd2, abs=0.06)
    assert limit.source.citation
    assert any(g.priority is Priority.HARD and g.value == gy for g in limit.goals)


@pytest.mark.parametrize(
    ("fractions", "name", "words"),
    [
        (2, "tg101", "no value for 2 fractions, only for 1, 3, 5.*'hytec' has one for any .17.0 Gy"),
        (3, "rtog0631", "no value for 3 fractions, only for 1"),
        (5, "mskcc", "no value for 5 fractions, only for 1"),
        (2, "tg1O1", "did you mean 'tg101'"),
        (0, "hytec", "a whole number from 1"),
        (41, "hytec", "a whole number from 1 to 40"),
        (2.5, "hytec", "a whole number"),
    ],
)
def test_where_there_is_no_value_it_is_said(fractions: float, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        cord_limit(fractions, name)  # type: ignore[arg-type]


def test_a_limit_in_percent_is_no_tolerance() -> None:
    assert "intramedullary" not in cord_limit_names()
    assert {"hytec", "tg101", "rtog0631", "mskcc", "quantec"} <= set(cord_limit_names())


@pytest.mark.parametrize("name", ["spine_conventional_25fx", "spine_conventional_28fx", "spine_conventional_30fx"])
def test_a_tumor_in_the_cord_can_be_treated(name: str) -> None:
    """The cord holds the target: the prescription and the 7 % of ICRU 50 are within the limit; EQD2_2 stays below
    59.3 Gy, 5 % myelopathy (Schultheiss 2008)."""
    protocol = load_protocol(name, cord_limits="intramedullary")
    (limit,) = protocol.cord_limit
    assert (limit.structure, limit.unit, limit.value) == ("spinal_cord", "%", 107.0)
    for level in protocol.dose_levels:
        assert float(eqd2_gy(1.07 * level.dose_gy, level.fractions, 2.0)) < 59.3
    assert load_protocol(name).cord_limits_name == "quantec"  # in percent by name only


EVERY = [(Technique.STEREOTACTIC, n) for n in range(1, 11)] + [(Technique.CONVENTIONAL, n) for n in range(1, 36)]


@pytest.mark.parametrize(("technique", "fractions"), EVERY)
def test_the_default_limit_is_a_dose_whatever_is_prescribed(technique: Technique, fractions: int) -> None:
    """In Gy, and at most the closed form of EQD2_2 44.6 Gy (HyTEC publishes to 0.1 Gy), conventional 50 Gy (QUANTEC
    0.2 %); also of far more dose than the cord bears."""
    stereotactic = technique is Technique.STEREOTACTIC
    most = closed_form_gy(fractions, CORD_EQD2_GY if stereotactic else 50.0) + (0.05 if stereotactic else 1e-6)
    for each in (1.8, 5.0):
        limits = for_fractions(each * fractions, fractions, technique).cord_limit
        assert [(g.structure, g.unit) for g in limits] == [("spinal_cord", "Gy")]
        assert limits[0].value <= most


@pytest.mark.parametrize(("dose_gy", "fractions", "limit_gy"), [(60.0, 30, 53.0), (66.0, 33, 54.6), (70.0, 35, 55.6)])
def test_more_dose_is_no_more_for_the_cord(dose_gy: float, fractions: int, limit_gy: float) -> None:
    """EQD2_2 = 50 Gy by hand, n (sqrt(1 + 200 / n) - 1): 53.07, 54.69, 55.68 Gy, down to 0.1 Gy. The set in percent
    would allow 107 %: EQD2_2 66.4 Gy and more, and is refused."""
    made = for_fractions(dose_gy, fractions, Technique.CONVENTIONAL)
    assert made.cord_limits_name == "quantec"
    assert [(g.value, g.unit) for g in made.cord_limit] == [(limit_gy, "Gy")]
    with pytest.raises(InputError, match=rf"of {dose_gy:g} Gy/{fractions} .*EQD2 59.3 Gy, 5 % .*in Gy .quantec"):
        made.with_cord_limits("intramedullary")


@pytest.mark.parametrize(("dose_gy", "fractions", "fits"), [(55.6, 30, True), (55.7, 30, False), (55.8, 31, True)])
def test_a_set_in_percent_ends_at_5_percent_myelopathy(dose_gy: float, fractions: int, fits: bool) -> None:
    """By hand in 30: EQD2_2 59.3 Gy is 30 (sqrt(1 + 237.2 / 30) - 1) = 59.53 Gy = 107 % of 55.64 Gy; 107 % of 55.8 Gy
    in 31 is 59.71 Gy, EQD2_2 58.6 Gy."""
    made = for_fractions(dose_gy, fractions, Technique.CONVENTIONAL)
    if fits:
        assert made.with_cord_limits("intramedullary").prescription("PTV").dose_gy == dose_gy
    else:
        with pytest.raises(InputError, match="Prescribe less"):
            made.with_cord_limits("intramedullary")


def test_a_level_that_is_too_high_for_a_set_in_percent_is_refused() -> None:
    """The default level fits, another does not: refused where that is prescribed."""
    base = load_protocol("spine_conventional_30fx")
    both = replace(base, dose_levels=(*base.dose_levels, DoseLevel(60.0, 30)))
    asked = both.with_cord_limits("intramedullary")
    assert asked.prescription("PTV").dose_gy == 54.0
    with pytest.raises(InputError, match="60 Gy/30"):
        asked.prescription("PTV", 60.0)
    with pytest.raises(InputError, match="60 Gy/30"):
        asked.goals_for(both.prescription("PTV", 60.0))


@pytest.mark.parametrize("name", [n for n in case_names() if n.startswith("spine_")])
def test_a_case_names_the_set_in_percent_where_the_tumor_lies_in_the_cord(name: str) -> None:
    case = load_case(name)
    inside = isinstance(case.recipe, SpineRecipe) and case.recipe.spec.compartment is Compartment.INTRAMEDULLARY
    assert case.protocol is not None
    assert (case.protocol.cord_limits == "intramedullary") is inside


def test_a_schedule_names_the_protocol_that_holds_it() -> None:
    held = {
        (level.dose_gy, level.fractions, protocol.technique.value): protocol.name
        for protocol in map(load_protocol, names())
        for level in protocol.dose_levels
    }
    schedules = {s for name in biology.histology_names() for s in biology.histology(name).schedules}
    for s in schedules:
        assert s.protocol == held.get((s.dose_gy, s.fractions, s.technique), "")
    assert any(s.protocol == "spine_conventional_30fx" for s in schedules)


def test_a_bundled_scheme_is_the_bundled_protocol() -> None:
    assert for_fractions(24.0, 2) == load_protocol("spine_sbrt_2fx")
    assert for_fractions(27.0, 3).default_level.dose_gy == 27.0


def test_another_dose_in_a_bundled_number_keeps_its_limits() -> None:
    made, file = for_fractions(24.0, 3), load_protocol("spine_sbrt_3fx")
    assert made.goals == file.goals
    assert str(made.default_level) == "24 Gy/3"
    assert made.prescription("PTV").dose_gy == 24.0
    assert "not a level of the protocol" in made.description


@pytest.mark.parametrize("fractions", [6, 7, 8, 9, 10])
def test_a_stereotactic_protocol_for_a_number_without_a_file(fractions: int) -> None:
    made, five = for_fractions(4.0 * fractions, fractions), load_protocol("spine_sbrt_5fx")
    assert [g.value for g in made.cord_limit] == [cord_limit(fractions).dose_gy]
    assert made.goals_for(made.prescription("PTV"))
    heart = next(g for g in made.goals if (g.structure, g.metric) == ("heart", "D15cc"))
    before = next(g for g in five.goals if (g.structure, g.metric) == ("heart", "D15cc"))
    same = float(eqd2_gy(before.value, 5, 3.0))
    assert same - 0.4 < float(eqd2_gy(heart.value, fractions, 3.0)) <= same  # down to 0.1 Gy; dEQD2/dD = 3.0 at most
    assert heart.source.standing is Standing.ASSUMPTION
    assert "32 Gy in 5" in heart.note
    coverage = [g for g in made.goals if g.structure == "PTV"]
    assert coverage == [g for g in five.goals if g.structure == "PTV" and g.dose_gy is None]


def test_a_conventional_protocol_for_a_number_without_a_file() -> None:
    """39/13; by hand: EQD2_2 = 50 Gy in 13 is 13 (sqrt(1 + 200 / 13) - 1) = 39.63, down to 39.6 Gy."""
    made = for_fractions(39.0, 13, Technique.CONVENTIONAL)
    assert [(g.structure, g.value) for g in made.cord_limit] == [("spinal_cord", 39.6)]
    assert made.technique is Technique.CONVENTIONAL
    assert all(made.with_cord_limits(c.name).cord_limit for c in made.cord_limits)


def test_thresholds_are_carried_over_too() -> None:
    """Lungs CV12.5Gy in 5 fractions: 12.5 (2.5 + 3) = 68.75 = D (D / 8 + 3), D = 14.38, down to 14.3 Gy."""
    lungs = [g.metric for g in for_fractions(32.0, 8).goals if g.structure == "lungs"]
    assert lungs[0] == "CV14.3Gy"


@pytest.mark.parametrize(
    ("dose_gy", "fractions", "technique", "words"),
    [
        (60.0, 20, Technique.STEREOTACTIC, "has 1 to 10"),
        (30.0, 0, Technique.STEREOTACTIC, "has 1 to 10"),
        (40.0, 1, Technique.STEREOTACTIC, "at most 30 Gy per fraction"),
        (-1.0, 3, Technique.STEREOTACTIC, "more than 0"),
        (60.0, 60, Technique.CONVENTIONAL, "has 1 to 35"),
    ],
)
def test_no_protocol_for_what_is_never_given(dose_gy: float, fractions: int, technique: Technique, words: str) -> None:
    with pytest.raises(InputError, match=words):
        for_fractions(dose_gy, fractions, technique)

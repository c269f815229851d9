"""A name where a member of an enumeration is needed would equal none of them: it is refused, with the choices.

Before it was, ``priority="hard"`` made a limit that nobody held, and ``epidural="1b"`` a spine without epidural tumor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtsim.clinic.findings import Findings
from rtsim.errors import InputError
from rtsim.geometry.grid import Grid
from rtsim.phantom.spine import SpineSpec
from rtsim.phantom.spine.hardware import Hardware
from rtsim.phantom.structure import Structure
from rtsim.protocol.load import load_protocol
from rtsim.protocol.model import Goal, Priority, Sense
from rtsim.sources import Source, Standing

SOURCE = Source(citation="made for this test", standing=Standing.ASSUMPTION)


def goal(**said: Any) -> Goal:
    given: dict[str, Any] = {"sense": Sense.AT_MOST, "priority": Priority.HARD} | said
    return Goal(structure="spinal_cord", metric="D0.035cc", value=12.4, unit="Gy", source=SOURCE, **given)


def structure(role: Any) -> Structure:
    return Structure(
        name="cord",
        role=role,
        grid=Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
        coverage=np.ones((1, 1, 1), np.float32),
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: goal(priority="hard"), "priority of spinal_cord D0.035cc is 'hard'; choose Priority.HARD"),
        (lambda: goal(sense="<="), "sense of spinal_cord D0.035cc is '<='; choose Sense.AT_MOST"),
        (lambda: structure("OAR"), "role of structure 'cord' is 'OAR'; choose Role."),
        (lambda: SpineSpec(epidural="1b"), "epidural is '1b'; choose EpiduralGrade.ESCC_0"),  # type: ignore[arg-type]
        (lambda: SpineSpec(site="body"), "site is 'body'; choose LesionSite."),  # type: ignore[arg-type]
        (lambda: Hardware(material="titanium", cage=True), "material is 'titanium'; choose"),  # type: ignore[arg-type]
        (lambda: Findings(pain="none"), "pain is 'none'; choose Pain.MECHANICAL"),  # type: ignore[arg-type]
    ],
)
def test_a_name_is_no_member(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)


def test_a_protocol_of_a_technique_that_is_a_name() -> None:
    fields = vars(load_protocol("spine_sbrt_2fx"))
    with pytest.raises(InputError, match=r"technique of protocol 'spine_sbrt_2fx' is 'stereotactic'; choose Technique"):
        type(load_protocol("spine_sbrt_2fx"))(**{**fields, "technique": "stereotactic"})

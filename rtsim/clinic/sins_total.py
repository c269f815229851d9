"""The whole of SINS of a patient: what is given goes before what is measured, and that before what is assumed."""

from __future__ import annotations

from collections.abc import Sequence

from rtsim.clinic.findings import Alignment, Findings, Pain
from rtsim.clinic.level import level_of, tumor_of
from rtsim.clinic.sins_measured import collapse_part, lesion_part, posterolateral_part
from rtsim.clinic.sins_score import How, Part, Sins, SinsPart, level_name, location_of
from rtsim.errors import InputError
from rtsim.phantom.phantom import Phantom

ELSEWHERE = "but the drawn vertebra that holds most of the tumor is"
"""Words of the reason for a level that is given against what is drawn."""


def sins(
    phantom: Phantom, findings: Findings | None = None, *, level: str | None = None, tumor: Sequence[str] = ()
) -> Sins:
    """Score the lesion of a patient.

    Args:
        findings: pain and alignment, and whatever else was read by a person; that goes before what is measured.
        level: of the lesion, 'T8'; None finds the vertebra that holds most of the tumor.
        tumor: names of the structures that make up the tumor, where several GTVs are drawn.

    Raises:
        InputError: an unknown level (with the nearest), no level given and none to be found, several GTVs and none
            named.
    """
    said = findings or Findings()
    found = tumor_of(phantom, tumor)
    at = level_name(level) if level is not None else level_of(phantom, found)
    if at is None:
        raise InputError(
            "the level of the lesion is not known: no drawn vertebra (vertebra_T8, vertebral_body_T8 ...) holds the "
            "tumor; give level='T8' (on the command line --level T8)"
        )
    how, why = (How.MEASURED, f"{at} holds most of the tumor")
    if level is not None:
        seen = level_of(phantom, found)
        how, why = How.GIVEN, f"{at} is given" + (f", {ELSEWHERE} {seen}" if seen not in (None, at) else "")
    return Sins(
        level=at,
        parts=(
            SinsPart(name="location", value=location_of(at), how=how, reason=why),
            _given("pain", said.pain) or _assumed("pain", Pain.NONE, "not given, and not to be seen on a CT"),
            _given("lesion", said.lesion) or lesion_part(phantom, found, at),
            _given("alignment", said.alignment)
            or _assumed("alignment", Alignment.NORMAL, "not given; a lying patient's CT does not show instability"),
            _given("collapse", said.collapse) or collapse_part(phantom, found, at),
            _given("posterolateral", said.posterolateral) or posterolateral_part(phantom, found, at),
        ),
    )


def _given(name: str, value: Part | None) -> SinsPart | None:
    return None if value is None else SinsPart(name=name, value=value, how=How.GIVEN, reason="given")


def _assumed(name: str, value: Part, why: str) -> SinsPart:
    return SinsPart(name=name, value=value, how=How.ASSUMED, reason=why)

"""What is known of the vertebra that bears on a fracture: said in [patient], asked of the phantom, seen on the CT."""

from __future__ import annotations

from typing import Final

from rtsim.biology import BodyState, VertebraFindings
from rtsim.clinic import sins
from rtsim.clinic.findings import Alignment, Collapse, Findings, LesionQuality
from rtsim.clinic.sins_score import How, Part
from rtsim.errors import InputError
from rtsim.io.case import Case
from rtsim.io.case_phantom import SpineRecipe
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine import LesionKind, SpineSpec

_BODIES: Final = {
    Collapse.MORE_THAN_HALF: BodyState.COLLAPSED_HALF_OR_MORE,
    Collapse.LESS_THAN_HALF: BodyState.COLLAPSED_LESS,
    Collapse.NONE_BUT_HALF_INVOLVED: BodyState.HALF_INVOLVED,
    Collapse.NONE: BodyState.SOUND,
}
_HALF_PERCENT: Final = 50.0


def vertebra_of(case: Case | None, phantom: Phantom) -> VertebraFindings:
    """What a person said goes before what the phantom was asked to be, and that before what its structures show.

    Alignment is never taken from a CT: a lying patient's does not show it.
    """
    said = Findings() if case is None else case.findings
    built = case.recipe.spec if case is not None and isinstance(case.recipe, SpineRecipe) else None
    seen = _seen(phantom)
    return VertebraFindings(
        lytic=_lytic(said, built, seen.get("lesion")),
        deformity=None if said.alignment is None else said.alignment is not Alignment.NORMAL,
        body=_body(said, built, seen.get("collapse")),
    )


def _seen(phantom: Phantom) -> dict[str, Part]:
    """By name the parts of SINS that the structures show; none where no tumor, or more than one, lies in a vertebra."""
    try:
        parts = sins(phantom).parts
    except InputError:
        return {}  # nobody asked for a score: what is not seen is listed in the report as not known
    return {part.name: part.value for part in parts if part.how is How.MEASURED}


def _lytic(said: Findings, built: SpineSpec | None, seen: Part | None) -> bool | None:
    quality = said.lesion or seen
    if said.lesion is None and built is not None:
        return built.lesion is LesionKind.LYTIC
    return None if quality is None else quality is LesionQuality.LYTIC


def _body(said: Findings, built: SpineSpec | None, seen: Part | None) -> BodyState | None:
    if said.collapse is not None:
        return _BODIES[said.collapse]
    if built is not None and built.collapse_percent > 0.0:
        half = built.collapse_percent >= _HALF_PERCENT
        return BodyState.COLLAPSED_HALF_OR_MORE if half else BodyState.COLLAPSED_LESS
    return _BODIES[seen] if isinstance(seen, Collapse) else None

"""What a case knows of its vertebra that bears on a fracture: from [patient], else from the phantom it asks for."""

from __future__ import annotations

from typing import Final

from rtsim.biology import BodyState, VertebraFindings
from rtsim.clinic.findings import Alignment, Collapse, Findings, LesionQuality
from rtsim.io.case import Case
from rtsim.io.case_phantom import SpineRecipe
from rtsim.phantom.spine import LesionKind, SpineSpec

_BODIES: Final = {
    Collapse.MORE_THAN_HALF: BodyState.COLLAPSED_HALF_OR_MORE,
    Collapse.LESS_THAN_HALF: BodyState.COLLAPSED_LESS,
    Collapse.NONE_BUT_HALF_INVOLVED: BodyState.HALF_INVOLVED,
    Collapse.NONE: BodyState.SOUND,
}
_HALF_PERCENT: Final = 50.0


def vertebra_of(case: Case | None) -> VertebraFindings | None:
    """None for a patient's CT, of which nobody said anything."""
    if case is None:
        return None
    said = case.findings
    built = case.recipe.spec if isinstance(case.recipe, SpineRecipe) else None
    return VertebraFindings(
        lytic=_lytic(said, built),
        deformity=None if said.alignment is None else said.alignment is not Alignment.NORMAL,
        body=_body(said, built),
    )


def _lytic(said: Findings, built: SpineSpec | None) -> bool | None:
    if said.lesion is not None:
        return said.lesion is LesionQuality.LYTIC
    return None if built is None else built.lesion is LesionKind.LYTIC


def _body(said: Findings, built: SpineSpec | None) -> BodyState | None:
    if said.collapse is not None:
        return _BODIES[said.collapse]
    if built is None:
        return None
    if built.collapse_percent >= _HALF_PERCENT:
        return BodyState.COLLAPSED_HALF_OR_MORE
    if built.collapse_percent > 0.0:
        return BodyState.COLLAPSED_LESS
    return None  # not fractured; how much of the body is tumor depends on the vertebra, and nobody said it

"""What every engine checks before it works on a phantom and beams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtsim.beams.model import Beam, with_names
from rtsim.errors import GeometryError, InputError
from rtsim.phantom.phantom import Phantom


def placed_beams(phantom: Phantom, beams: Sequence[Beam]) -> tuple[Beam, ...]:
    """The beams, each with a name that messages can quote, when their isocenters lie where they can.

    Raises:
        InputError: no beams.
        GeometryError: an isocenter off the phantom.
    """
    if not beams:
        raise InputError("no beams are given; at least one is needed")
    named = with_names(beams)
    for beam in named:
        check_isocenter(phantom, beam)
    return named


def check_isocenter(phantom: Phantom, beam: Beam) -> None:
    """Raise GeometryError when the isocenter lies outside the phantom's grid (its surface is allowed)."""
    if not bool(phantom.grid.contains(np.asarray(beam.isocenter_mm))):
        raise GeometryError(
            f"isocenter_mm of {beam.label} is {beam.isocenter_mm}; the phantom's grid spans "
            f"{phantom.grid.lower_mm} .. {phantom.grid.upper_mm} mm"
        )


def check_fractions(fractions: int) -> None:
    """Raise InputError when ``fractions`` is no whole number above 0."""
    if not isinstance(fractions, int) or fractions < 1:
        raise InputError(f"fractions is {fractions!r}; a whole number >= 1 is needed")


def nothing_delivered(beams: Sequence[Beam]) -> InputError:
    """The error of beams, with names, whose fluence is nothing."""
    names = ", ".join(repr(beam.name) for beam in beams)
    return InputError(f"nothing is delivered by {names}: 0 MU, or leaves that are closed and let nothing through")

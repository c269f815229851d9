"""What every engine checks before it works on a phantom and beams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rtsim.beams.model import Beam, with_names
from rtsim.errors import GeometryError, InputError
from rtsim.phantom.phantom import Phantom

FARTHEST_ISOCENTER_MM: Final = 500.0
"""Between head and phantom there is no air for the rays: 0.2 to 0.3 % in half a meter at 6 MV, more would be missed."""


def placed_beams(phantom: Phantom, beams: Sequence[Beam]) -> tuple[Beam, ...]:
    """The beams, each with a name that messages can quote, when their isocenters lie where they can.

    Raises:
        InputError: no beams.
        GeometryError: an isocenter too far off the phantom.
    """
    if not beams:
        raise InputError("no beams are given; at least one is needed")
    named = with_names(beams)
    for beam in named:
        check_isocenter(phantom, beam)
    return named


def check_isocenter(phantom: Phantom, beam: Beam) -> None:
    """Raise GeometryError when the isocenter lies farther than ``FARTHEST_ISOCENTER_MM`` from the phantom's grid.

    Within that it may lie outside, as for a water tank at an extended distance; that the beam meets the phantom, and
    that the source does not lie in it, is checked with the rays.
    """
    isocenter, grid = np.asarray(beam.isocenter_mm), phantom.grid
    away = float(np.linalg.norm(isocenter - np.clip(isocenter, grid.lower_mm, grid.upper_mm)))
    if away > FARTHEST_ISOCENTER_MM:
        raise GeometryError(
            f"isocenter_mm of {beam.label} is {beam.isocenter_mm}, {away:.0f} mm from the phantom's grid, which spans "
            f"{grid.lower_mm} .. {grid.upper_mm} mm; at most {FARTHEST_ISOCENTER_MM:g} mm are allowed. Are both in the "
            "same frame (LPS), in mm?"
        )


def check_fractions(fractions: int) -> None:
    """Raise InputError when ``fractions`` is no whole number above 0."""
    if not isinstance(fractions, int) or fractions < 1:
        raise InputError(f"fractions is {fractions!r}; a whole number >= 1 is needed")


def nothing_delivered(beams: Sequence[Beam]) -> InputError:
    """The error of beams, with names, whose fluence is nothing."""
    names = ", ".join(repr(beam.name) for beam in beams)
    return InputError(f"nothing is delivered by {names}: 0 MU, or leaves that are closed and let nothing through")

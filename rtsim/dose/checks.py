"""What every engine asks of beams and phantom before it computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtsim.beams.model import Beam
from rtsim.errors import GeometryError, InputError
from rtsim.phantom.phantom import Phantom


def check_delivery(phantom: Phantom, beams: Sequence[Beam], fractions: int = 1) -> None:
    """Check what a dose is asked of.

    Raises:
        InputError: no beams, fractions that are no whole number above 0.
        GeometryError: isocenter off the phantom.
    """
    if not beams:
        raise InputError("no beams are given; at least one is needed")
    if not isinstance(fractions, int) or fractions < 1:
        raise InputError(f"fractions is {fractions!r}; a whole number >= 1 is needed")
    for beam in beams:
        check_isocenter(phantom, beam)


def check_isocenter(phantom: Phantom, beam: Beam) -> None:
    """Raise GeometryError when the isocenter lies outside the phantom's grid (its surface is allowed)."""
    if not bool(phantom.grid.contains(np.asarray(beam.isocenter_mm))):
        raise GeometryError(
            f"isocenter_mm of beam {beam.name!r} is {beam.isocenter_mm}; the phantom's grid spans "
            f"{phantom.grid.lower_mm} .. {phantom.grid.upper_mm} mm"
        )


def nothing_delivered(beams: Sequence[Beam]) -> InputError:
    """The error of beams whose fluence is nothing."""
    names = ", ".join(repr(beam.name) for beam in beams)
    return InputError(f"nothing is delivered by {names}: 0 MU, or leaves that are closed and let nothing through")

"""The Engine protocol: what every dose engine offers. An engine is a frozen dataclass of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InputError
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress


@runtime_checkable
class Engine(Protocol):
    """A dose engine."""

    @property
    def references(self) -> tuple[str, ...]:
        """DOIs of what the engine implements."""
        ...

    def describe(self) -> str:
        """One line for reports: name and settings."""
        ...

    def forward(
        self, phantom: Phantom, beams: Sequence[Beam], *, fractions: int = 1, progress: Progress | None = None
    ) -> Dose:
        """Dose of ``fractions`` deliveries of the beams (control points, or beamlets with monitor units)."""
        ...

    def influence(self, phantom: Phantom, beams: Sequence[Beam], *, progress: Progress | None = None) -> Influence:
        """Dose-influence matrix of the beamlets of the beams."""
        ...


def check_engine(name: str, given: object) -> None:
    """Refuse what is no engine before anything slow is done; None leaves the choice to the caller.

    Raises:
        InputError: a name, or a class without its parentheses.
    """
    if given is not None and (isinstance(given, type) or not isinstance(given, Engine)):
        shown = given.__name__ if isinstance(given, type) else repr(given)
        raise InputError(
            f"{name} is {shown}; a dose engine is needed: CollapsedCone(spacing_mm=2.0), PencilBeam() or MonteCarlo()"
        )

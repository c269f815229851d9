"""The Engine protocol: what every dose engine offers. An engine is a frozen dataclass of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose, Influence
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

"""The ENGINES table, and ``forward``: a dose in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from rtsim.beams.model import Beam
from rtsim.dose.collapsed_cone.model import CollapsedCone
from rtsim.dose.engine import Engine
from rtsim.dose.monte_carlo.model import MonteCarlo
from rtsim.dose.pencil_beam.model import PencilBeam
from rtsim.dose.result import Dose, Influence
from rtsim.errors import InputError, unknown_name
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress
from rtsim.units import BYTES_PER_GB

ENGINES: Final[dict[str, type[CollapsedCone | PencilBeam | MonteCarlo]]] = {
    "collapsed_cone": CollapsedCone,
    "monte_carlo": MonteCarlo,
    "pencil_beam": PencilBeam,
}
"""Engine names as case files and the command line write them."""


def engine_named(name: str) -> type[CollapsedCone | PencilBeam | MonteCarlo]:
    """The engine class of that name.

    Raises:
        InputError: unknown name; the message gives the nearest known one.
    """
    if name not in ENGINES:
        raise InputError(unknown_name("engine", name, ENGINES))
    return ENGINES[name]


class Fractionated(Protocol):
    """A prescription, as far as a dose needs it."""

    @property
    def fractions(self) -> int:
        """Number of equal fractions."""
        ...


@runtime_checkable
class Deliverable(Protocol):
    """Anything with beams and a prescription: a Plan."""

    @property
    def beams(self) -> tuple[Beam, ...]:
        """What is delivered in each fraction."""
        ...

    @property
    def prescription(self) -> Fractionated:
        """Says how many fractions."""
        ...


def beams_and_fractions(
    delivery: Beam | Sequence[Beam] | Deliverable, fractions: int | None
) -> tuple[tuple[Beam, ...], int]:
    """The beams of a beam, a sequence of beams or a plan; and how many fractions (a plan says so itself)."""
    if isinstance(delivery, Beam):
        return (delivery,), 1 if fractions is None else fractions
    if isinstance(delivery, Deliverable):
        return delivery.beams, delivery.prescription.fractions if fractions is None else fractions
    return tuple(delivery), 1 if fractions is None else fractions


def _checked(engine: Engine | None) -> Engine:
    if engine is None:
        return CollapsedCone()
    if isinstance(engine, type) or not isinstance(engine, Engine):
        wanted = engine.__name__ if isinstance(engine, type) else ENGINES.get(str(engine), CollapsedCone).__name__
        raise InputError(f"engine is {engine!r}; give an engine object such as rt.{wanted}(spacing_mm=2.0)")
    return engine


def forward(
    phantom: Phantom,
    delivery: Beam | Sequence[Beam] | Deliverable,
    *,
    engine: Engine | None = None,
    fractions: int | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose in Gy of a beam, of beams, or of a plan (over all its fractions) in a phantom.

    Args:
        engine: default ``CollapsedCone()``.
        fractions: how many equal deliveries; default 1, or the prescription's for a plan.
    """
    beams, count = beams_and_fractions(delivery, fractions)
    if not count >= 1 or count % 1:  # NaN is not >= 1
        raise InputError(f"fractions is {count!r}; a whole number >= 1 is needed")
    chosen = _checked(engine)
    return chosen.forward(phantom, beams, fractions=count, progress=progress)


def influence(
    phantom: Phantom,
    delivery: Beam | Sequence[Beam] | Deliverable,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Influence:
    """Dose-influence matrix, Gy per monitor unit, of the beamlets of a beam, of beams, or of a plan.

    Args:
        engine: default ``CollapsedCone()``.
    """
    beams, _ = beams_and_fractions(delivery, 1)
    chosen = _checked(engine)
    return chosen.influence(phantom, beams, progress=progress)


def predicted_influence_gb(
    phantom: Phantom, delivery: Beam | Sequence[Beam] | Deliverable, *, engine: Engine | None = None
) -> float:
    """GB (10^9 bytes) that the matrix of :func:`influence` will take, without building it.

    The pencil beam counts its entries; the collapsed cone computes a sample of the beamlets of each beam.

    Raises:
        InputError: the engine cannot say.
    """
    beams, _ = beams_and_fractions(delivery, 1)
    chosen = _checked(engine)
    if not isinstance(chosen, CollapsedCone | PencilBeam):
        raise InputError(f"engine {chosen.describe()!r} does not predict the size of its influence matrix")
    return chosen.influence_bytes(phantom, beams) / BYTES_PER_GB

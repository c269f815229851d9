"""The worst positions computed by the engine, and what they teach about those that were not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.engine import Engine
from rtsim.dose.result import Dose
from rtsim.optimize.delivered import readable_dvh
from rtsim.optimize.interruptible import calmed, share
from rtsim.optimize.robust.displaced import displaced_beams, stays_whole
from rtsim.optimize.robust.positions import UNCONFIRMED, InPositions, PositionsReader, PositionsReading
from rtsim.optimize.solver import StopOptimization
from rtsim.phantom.phantom import Phantom
from rtsim.typing import Progress

ARC_WITHIN_DEG = 0.2
"""Poses of arcs that come to pieces may err by this: 0.05 mm at the edge of a target of 30 mm, with opposite signs at
both ends of a piece. Pieces are then about as long as the sectors in which engines compute arcs [E]."""

AMPLE = 0.15
"""Where the worst position, computed, stays so far below every limit at the scale that coverage asks for, no further
one is computed: to matter there the cloud would have to miss 15 % more than it did in the worst one; it misses
0.1-1.1 % on grids of 2 mm and 4-10 % on 4 mm (measured on bundled cases) [E]."""


def recomputed(
    reader: PositionsReader,
    dose: Dose,
    engine: Engine,
    phantom: Phantom,
    beams: Sequence[Beam],
    count: int,
    progress: Progress | None = None,
) -> tuple[PositionsReader, PositionsReading]:
    """Compute the ``count`` worst positions of what is promised in all of them; fewer where one leaves ``AMPLE`` room.

    Args:
        dose: the forward dose of ``beams``.
        progress: ``StopOptimization`` raised from it leaves the rest to the cloud; the worst position is computed all
            the same, as nothing else says what the cloud misses.

    Returns:
        The reader with the margins learned, and the dose read in all positions, the computed ones exactly. Where none
        was to be computed the margin is ``UNCONFIRMED`` at least.
    """
    chosen = worst_positions(reader.positions(dose).positions, count, beams, reader)
    cloud = replace(reader, margins=()).positions(dose).positions
    exact: dict[int, tuple[float, ...]] = {}
    knowing = replace(reader, margins=_margins(cloud, exact, reader))
    found = knowing.positions(dose)
    structures = {p.limit.structure.name: p.limit.structure for p in reader.promises if p.is_read}
    for n, position in enumerate(chosen):
        seen = displaced_beams(beams, reader.displacements[position], ARC_WITHIN_DEG)
        part = share(progress, n, len(chosen))
        try:
            moved = engine.forward(phantom, seen, fractions=dose.fractions, progress=calmed(part) if n == 0 else part)
        except StopOptimization:
            break
        exact[position] = reader.nominal({name: readable_dvh(moved, s) for name, s in structures.items()})
        knowing = replace(reader, margins=_margins(cloud, exact, reader))
        found = knowing.positions(dose, exact)
        if _is_ample(found, reader):
            break
    return knowing, found


def _is_ample(found: PositionsReading, reader: PositionsReader) -> bool:
    """Whether all positions stay ``AMPLE`` below their limits when the dose is scaled to the wanted coverage."""
    scale = reader.prescription.dose_gy / max(found.reading.coverage_dose_gy, 1e-9)
    return all(
        scale * max(f.reached_gy) <= (1.0 - AMPLE) * f.promise.limit.limit_gy
        for f in found.positions
        if f.promise.everywhere
    )


def worst_positions(
    found: tuple[InPositions, ...], count: int, beams: Sequence[Beam], reader: PositionsReader
) -> tuple[int, ...]:
    """Indices of the positions that come nearest to a limit promised in all of them, the worst first.

    Of two that differ by less than half a percent of the limit the one comes first in which arcs stay arcs: an arc
    taken to pieces takes the engine several times as long.
    """
    promised = [f for f in found if f.promise.everywhere]
    if not promised:
        return ()
    use = np.max([np.array(f.reached_gy) / f.promise.limit.limit_gy for f in promised], axis=0)
    whole = [all(stays_whole(beam, d) for beam in beams) for d in reader.displacements]
    order = sorted(range(1, len(use)), key=lambda n: (-round(use[n] / 0.005), not whole[n], -use[n]))
    return tuple(order[:count])


def _margins(
    cloud: tuple[InPositions, ...], exact: dict[int, tuple[float, ...]], reader: PositionsReader
) -> tuple[float, ...]:
    """For each promise the largest relative difference of exact and cloud, at least 0 and what was known before."""
    out = list(reader.margins) if reader.margins else [0.0] * len(reader.promises)
    for found in cloud:
        k = reader.promises.index(found.promise)
        differences = [
            values[k] / found.reached_gy[n] - 1.0 for n, values in exact.items() if found.reached_gy[n] > 0.0
        ]
        out[k] = max([out[k], *differences] if exact else [out[k], UNCONFIRMED])
    return tuple(out)
